//! See `tsdb/tests/fuzz/sealed_block.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/sealed_block.rs"]
#[allow(dead_code, reason = "seeds are for the tests")]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_sealed_block(data));
