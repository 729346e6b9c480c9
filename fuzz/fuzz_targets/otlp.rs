//! See `coordinator/tests/fuzz/otlp.rs`.
#![no_main]

#[allow(dead_code, reason = "generated for all messages of the file")]
#[path = "../../coordinator/src/generated/otlp.rs"]
mod generated_otlp;
#[path = "../../coordinator/tests/fuzz/otlp.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_otlp(data));
