//! See `query/tests/fuzz/promql_parse.rs`.
#![no_main]

#[path = "../../query/tests/fuzz/promql_parse.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_promql_parse(data));
