//! See `tsdb/tests/fuzz/fileset.rs`.
#![no_main]

#[path = "../../tsdb/tests/fuzz/fileset.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_fileset(data));
