//! Any bytes are dissected, and what is promised of them holds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrule_tests::fuzz::dissect_any(data));
