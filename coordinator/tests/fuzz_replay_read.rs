//! Runs the fuzz target of remote read over its seeds and past findings, on the stable compiler,
//! and over requests made at random.

#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote.rs"]
mod generated;
#[allow(dead_code, reason = "messages of answers, too")]
#[path = "api/read_messages.rs"]
mod read_messages;
#[path = "fuzz/remote_read.rs"]
mod remote_read;

use std::path::{Path, PathBuf};

use m3rs_core::fs::{DiskFs, Fs};
use proptest::prelude::*;
use prost::Message;

use read_messages::{LabelMatcher, Query, ReadHints, ReadRequest};
use remote_read::fuzz_remote_read;

fn fuzz_dir(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join("remote_read")
}

#[test]
fn remote_read_inputs_hold() {
    let mut inputs = 0;
    for kind in ["corpus", "regressions"] {
        for path in DiskFs.list(&fuzz_dir(kind)).unwrap_or_default() {
            fuzz_remote_read(&DiskFs.read(&path).expect("readable"));
            inputs += 1;
        }
    }
    assert!(inputs >= 4, "{inputs} inputs");
}

/// Seeds that show the fuzzer the shapes of a request. `M3RS_WRITE_GOLDEN=1` writes them.
#[test]
fn seeds_are_current() {
    let dir = fuzz_dir("corpus");
    for (name, bytes) in seeds() {
        let path = dir.join(name);
        if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
            DiskFs.create_dir_all(&dir).expect("makes");
            let mut file = DiskFs.create(&path).expect("creates");
            file.write_all(&bytes).expect("writes");
        }
        assert_eq!(DiskFs.read(&path).expect("the seed is committed"), bytes, "{name}");
    }
}

fn matcher(r#type: u64, name: &str, value: &str) -> LabelMatcher {
    LabelMatcher { r#type, name: name.to_owned(), value: value.to_owned() }
}

fn query() -> Query {
    Query {
        start_timestamp_ms: 1_704_067_200_000,
        end_timestamp_ms: 1_704_067_260_000,
        matchers: vec![matcher(0, "__name__", "up"), matcher(2, "job", "a|b")],
        hints: Some(ReadHints {
            step_ms: 15_000,
            func: "rate".to_owned(),
            start_ms: 1_704_067_200_000,
            end_ms: 1_704_067_260_000,
            grouping: vec!["job".to_owned()],
            by: true,
            range_ms: 300_000,
        }),
    }
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let request = |queries, accepted_response_types| {
        ReadRequest { queries, accepted_response_types }.encode_to_vec()
    };
    let odd = Query { matchers: vec![matcher(9, "a", "b")], ..Query::default() };
    let negative = Query { start_timestamp_ms: -1, end_timestamp_ms: i64::MIN, ..query() };
    vec![
        ("empty", Vec::new()),
        ("one", request(vec![query()], vec![1, 0])),
        ("several", request(vec![query(), Query::default(), negative], Vec::new())),
        ("unknown_matcher", request(vec![odd], vec![5])),
        ("unpacked_types", vec![0x10, 1, 0x10, 0]),
        ("group", vec![0x0a, 2, 0x2b, 0x2c]),
    ]
}

fn any_request() -> impl Strategy<Value = ReadRequest> {
    let matcher = (0..5u64, "[a-z\u{e9}]{0,3}", "[a-z]{0,3}")
        .prop_map(|(r#type, name, value)| LabelMatcher { r#type, name, value });
    let hints = (any::<i64>(), any::<i64>(), "[a-z]{0,3}").prop_map(|(start_ms, end_ms, func)| {
        ReadHints { start_ms, end_ms, func, step_ms: 1, ..ReadHints::default() }
    });
    let query = (
        any::<i64>(),
        any::<i64>(),
        proptest::collection::vec(matcher, 0..4),
        proptest::option::of(hints),
    )
        .prop_map(|(start_timestamp_ms, end_timestamp_ms, matchers, hints)| Query {
            start_timestamp_ms,
            end_timestamp_ms,
            matchers,
            hints,
        });
    let types = proptest::collection::vec(any::<i32>(), 0..20);
    (proptest::collection::vec(query, 0..5), types).prop_map(
        |(queries, accepted_response_types)| ReadRequest { queries, accepted_response_types },
    )
}

proptest! {
    #[test]
    fn requests_are_read_as_the_generated_decoder_reads_them(
        request in any_request(),
        damage in prop::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = request.encode_to_vec();
        fuzz_remote_read(&bytes);
        if let Some((at, byte)) = damage.filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fuzz_remote_read(&bytes);
        }
    }
}
