//! `cvm_fuzz::names`, with whatever libFuzzer comes up with.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cvm_fuzz::names(data));
