//! See `coordinator/tests/fuzz/remote_write.rs`.
#![no_main]

#[allow(dead_code, reason = "generated for all messages of the file")]
#[path = "../../coordinator/src/generated/remote.rs"]
mod generated;
#[allow(dead_code, reason = "generated for all messages of the file")]
#[path = "../../coordinator/src/generated/remote2.rs"]
mod generated2;
#[allow(dead_code, reason = "both properties stand in one file")]
#[path = "../../coordinator/tests/fuzz/remote_write.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_remote_write(data));
