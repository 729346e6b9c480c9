//! See `coordinator/tests/fuzz/lines.rs`.
#![no_main]

#[allow(dead_code, reason = "all properties of lines stand in one file")]
#[path = "../../coordinator/tests/fuzz/lines.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_m3_json(data));
