//! See `index/tests/fuzz/index_segment.rs`.
#![no_main]

#[path = "../../index/tests/fuzz/index_segment.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_index_segment(data));
