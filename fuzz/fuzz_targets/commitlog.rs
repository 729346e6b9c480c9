//! See `tsdb/tests/fuzz/commitlog.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/commitlog.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_commitlog(data));
