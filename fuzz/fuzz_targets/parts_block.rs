//! See `tsdb/tests/fuzz/parts_block.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/parts_block.rs"]
#[allow(dead_code, reason = "seeds are for the tests")]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_parts_block(data));
