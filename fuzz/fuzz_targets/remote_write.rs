//! See `coordinator/tests/fuzz/remote_write.rs`.
#![no_main]

#[allow(dead_code, reason = "generated for all messages of the file")]
#[path = "../../coordinator/src/generated/remote.rs"]
mod generated;
#[path = "../../coordinator/tests/fuzz/remote_write.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_remote_write(data));
