//! See `tsdb/tests/fuzz/side_file.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/side_file.rs"]
#[allow(dead_code, reason = "seeds are for the tests")]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_side_file(data));
