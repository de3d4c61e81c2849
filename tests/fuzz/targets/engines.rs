//! Interpreter and native code agree on any program and packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mrule_tests::fuzz::engines(data));
