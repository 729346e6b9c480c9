//! See `tsdb/tests/fuzz/m3tsz_decode.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/m3tsz_decode.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_m3tsz_decode(data));
