//! See `coordinator/tests/fuzz/remote_read.rs`.
#![no_main]

#[allow(dead_code, reason = "generated for all messages of the file")]
#[path = "../../coordinator/src/generated/remote.rs"]
mod generated;
#[allow(dead_code, reason = "messages of answers, too")]
#[path = "../../coordinator/tests/api/read_messages.rs"]
mod read_messages;
#[path = "../../coordinator/tests/fuzz/remote_read.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::fuzz_remote_read(data));
