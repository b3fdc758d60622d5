//! `cvm_fuzz::Requests::read`, with whatever libFuzzer comes up with.
#![no_main]

use std::cell::OnceCell;

use cvm_fuzz::Requests;

thread_local!(static REQUESTS: OnceCell<Requests> = const { OnceCell::new() });

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    REQUESTS.with(|requests| requests.get_or_init(Requests::begin).read(data));
});
