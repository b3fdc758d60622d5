//! `cvm_fuzz::body`, with whatever libFuzzer comes up with.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cvm_fuzz::body(data));
