//! Any text is read and checked without a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrule_tests::fuzz::parse(data));
