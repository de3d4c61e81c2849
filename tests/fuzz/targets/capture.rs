//! Any bytes are read as a capture to an end or a break, however few come at a time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrule_tests::fuzz::capture(data));
