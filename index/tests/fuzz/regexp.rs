//! The index finds by a regular expression what a plain scan finds, and refuses what it refuses.

use std::path::Path;

use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_core::regexp::AnchoredRegex;
use m3rs_index::{Index, IndexError, Limits};
use m3rs_sim::disk::SimFs;

/// Takes the first line of `data` for a pattern and the others for values.
pub(crate) fn fuzz_regexp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let pattern = lines.next().unwrap_or_default();
    let values: Vec<&str> = lines.take(200).collect();
    let docs: Vec<(u32, Labels)> = (0u32..)
        .zip(&values)
        .map(|(id, value)| (id, Labels::from_pairs([("a", value)]).expect("valid")))
        .collect();
    let limits = Limits { verify_max: 0, ..Limits::default() };
    let index = Index::new(limits);
    index.insert(&docs).expect("ids ascend");
    let regex = AnchoredRegex::new(pattern);
    for _segment in ["open", "sealed"] {
        for op in [MatchOp::Regexp, MatchOp::NotRegexp] {
            let got = index.search(&[Matcher::new("a", op, pattern)], usize::MAX);
            let regex = match &regex {
                Ok(regex) => regex,
                Err(refusal) => {
                    assert!(matches!(got, Err(IndexError::Regexp(e)) if e == *refusal));
                    continue;
                }
            };
            let is_wanted = |value: &str| regex.is_match(value) == (op == MatchOp::Regexp);
            let want = (0u32..).zip(&values).filter(|(_, v)| is_wanted(v)).map(|(id, _)| id);
            assert_eq!(got.expect("a valid pattern"), want.collect::<Vec<_>>(), "{pattern:?}");
        }
        index.seal(&SimFs::new(0), Path::new("/index")).expect("no fault");
    }
}
