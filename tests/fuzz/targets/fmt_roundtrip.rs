//! What is printed is read again, means the same, and is printed the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrule_tests::fuzz::fmt_roundtrip(data));
