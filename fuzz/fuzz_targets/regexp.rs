//! See `index/tests/fuzz/regexp.rs`.
#![no_main]

#[path = "../../index/tests/fuzz/regexp.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_regexp(data));
