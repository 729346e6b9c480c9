//! See `tsdb/tests/fuzz/catalog.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/catalog.rs"]
#[allow(dead_code, reason = "seeds are for the tests")]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_catalog(data));
