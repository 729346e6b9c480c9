//! Any bytes as a decompressed request of remote read: no panic, and the walker and a generated
//! decoder read the same.

use m3rs_coordinator::limits::RemoteReadLimits;
use m3rs_coordinator::remote_read::{ReadRequestError, parse_read_request};
use m3rs_core::model::MatchOp;
use prost::Message;

use crate::read_messages;

const NO_LIMITS: RemoteReadLimits = RemoteReadLimits {
    concurrent_max: 1,
    body_bytes_max: usize::MAX,
    queries_max: usize::MAX,
    matchers_max: usize::MAX,
    series_max: usize::MAX,
    samples_max: u64::MAX,
    frame_bytes_max: usize::MAX,
};

/// The property.
pub(crate) fn fuzz_remote_read(body: &[u8]) {
    // With limits, too: what they refuse is an error and nothing else.
    drop(parse_read_request(body, &RemoteReadLimits::default()));
    let ours = parse_read_request(body, &NO_LIMITS);
    let Ok(theirs) = read_messages::ReadRequest::decode(body) else { return };
    let all = || theirs.queries.iter().flat_map(|q| &q.matchers);
    let ours = match ours {
        Ok(ours) => ours,
        // Groups, which the generated decoder skips.
        Err(ReadRequestError::Malformed(c)) if c.expected.starts_with("wire type") => return,
        Err(ReadRequestError::MatcherType { number, .. }) => {
            assert!(number > 3 && all().any(|m| m.r#type > 3));
            return;
        }
        Err(error) => panic!("the generated decoder reads what we refuse: {error}"),
    };
    assert_eq!(ours.queries.len(), theirs.queries.len());
    let accepted = &theirs.accepted_response_types;
    assert_eq!(ours.accepted, accepted[..accepted.len().min(16)]);
    for (ours, theirs) in ours.queries.iter().zip(&theirs.queries) {
        let times = (theirs.start_timestamp_ms, theirs.end_timestamp_ms);
        assert_eq!((ours.start_ms, ours.end_ms), times);
        assert_eq!(ours.matchers.len(), theirs.matchers.len());
        for (ours, theirs) in ours.matchers.iter().zip(&theirs.matchers) {
            let number = match ours.op {
                MatchOp::Equal => 0,
                MatchOp::NotEqual => 1,
                MatchOp::Regexp => 2,
                MatchOp::NotRegexp => 3,
            };
            assert_eq!(
                (&ours.name, &ours.value, number),
                (&theirs.name, &theirs.value, theirs.r#type)
            );
        }
        assert_eq!(ours.hints.is_some(), theirs.hints.is_some());
        if let Some((ours, theirs)) = ours.hints.as_ref().zip(theirs.hints.as_ref()) {
            let times = (theirs.start_ms, theirs.end_ms, theirs.step_ms, theirs.range_ms);
            assert_eq!((ours.start_ms, ours.end_ms, ours.step_ms, ours.range_ms), times);
            assert_eq!(ours.function, theirs.func);
        }
    }
}
