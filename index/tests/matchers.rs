//! Matchers as Prometheus defines them, on a table that is small enough to check by eye and on
//! segments that are large enough for every way a search may take.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::SharedFs;
use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_core::regexp::AnchoredRegex;
use m3rs_index::{Index, IndexError, LABELS_LEN_CEILING, Limits};
use m3rs_sim::disk::SimFs;

use MatchOp::{Equal, NotEqual, NotRegexp, Regexp};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("valid")
}

/// The index with all in one open segment, and that with all but the last series sealed.
fn both(docs: &[(u32, Labels)]) -> [Index; 2] {
    let fs: SharedFs = Arc::new(SimFs::new(0));
    let dir = Path::new("/index");
    let (open, sealed) = (Index::new(Limits::default()), Index::new(Limits::default()));
    open.insert(docs).expect("ids ascend");
    let (last, rest) = docs.split_last().expect("some");
    for half in rest.chunks(rest.len().div_ceil(2).max(1)) {
        sealed.insert(half).expect("ids ascend");
        sealed.seal(fs.as_ref(), dir).expect("sealed");
    }
    sealed.insert(std::slice::from_ref(last)).expect("ids ascend");
    [open, sealed]
}

#[test]
fn matchers_that_accept_the_empty_value_select_series_without_the_label() {
    let docs = [
        (1, labels(&[("a", "x")])),
        (2, labels(&[("a", "y"), ("b", "1")])),
        (3, labels(&[("b", "1")])),
        (4, labels(&[("a", "x\ny")])),
        (7, labels(&[])),
        (9, labels(&[("a", "xx")])),
    ];
    let table: [(MatchOp, &str, &[u32]); 26] = [
        (Equal, "x", &[1]),
        (Equal, "", &[3, 7]),
        (Equal, "z", &[]),
        (NotEqual, "x", &[2, 3, 4, 7, 9]),
        (NotEqual, "", &[1, 2, 4, 9]),
        (NotEqual, "z", &[1, 2, 3, 4, 7, 9]),
        (Regexp, "x", &[1]),
        (Regexp, "", &[3, 7]),
        (Regexp, ".*", &[1, 2, 3, 4, 7, 9]),
        (Regexp, ".+", &[1, 2, 4, 9]),
        (Regexp, "x.*", &[1, 4, 9]),
        (Regexp, "x.+", &[4, 9]),
        (Regexp, "x|", &[1, 3, 7]),
        (Regexp, "x|y", &[1, 2]),
        (Regexp, "x?", &[1, 3, 7]),
        (Regexp, "x.y", &[4]),
        (Regexp, "X|(?i:Y)", &[2]),
        (Regexp, "[^x]*", &[2, 3, 7]),
        (Regexp, "^x$", &[1]),
        (NotRegexp, "x", &[2, 3, 4, 7, 9]),
        (NotRegexp, "", &[1, 2, 4, 9]),
        (NotRegexp, ".*", &[]),
        (NotRegexp, ".+", &[3, 7]),
        (NotRegexp, "x.*", &[2, 3, 7]),
        (NotRegexp, "x|", &[2, 4, 9]),
        (NotRegexp, "[a-w]+", &[1, 2, 3, 4, 7, 9]),
    ];
    for (at, index) in both(&docs).iter().enumerate() {
        for (op, value, want) in table {
            let matcher = Matcher::new("a", op, value);
            let got = index.search(std::slice::from_ref(&matcher), 100).expect("a search");
            assert_eq!(got, want, "{matcher}, index {at}");
        }
        let absent = |op, value: &str| index.search(&[Matcher::new("none", op, value)], 9);
        assert_eq!(absent(Equal, "").expect("a search").len(), 6);
        assert_eq!(absent(Regexp, ".*").expect("a search").len(), 6);
        assert_eq!(absent(NotEqual, "x").expect("a search").len(), 6);
        assert_eq!(absent(NotEqual, "").expect("a search").len(), 0);
        assert_eq!(absent(Regexp, ".+").expect("a search").len(), 0);
        assert_eq!(index.search(&[], 9).expect("a search").len(), 6);
        let twice = [Matcher::new("a", NotEqual, "x"), Matcher::new("a", Regexp, "x.*")];
        assert_eq!(index.search(&twice, 9).expect("a search"), [4, 9]);
        let bad = index.search(&[Matcher::new("a", Regexp, "(")], 9);
        assert!(matches!(bad, Err(IndexError::Regexp(_))), "{bad:?}");
    }
}

const SERIES: u32 = 24_000;

/// A unique label, one of a hundred values, one that half of the series have, and a name that few
/// have.
fn large() -> Vec<(u32, Labels)> {
    (0..SERIES)
        .map(|i| {
            let mut pairs = vec![
                ("__name__", format!("metric_{}", i % 7)),
                ("host", format!("host-{:05}.dc{}", i * 7919 % SERIES, i % 3)),
                ("job", format!("job-{}", i % 100)),
            ];
            if i % 2 == 0 {
                pairs.push(("zone", format!("z{}", i % 5)));
            }
            if i % 5_000 == 0 {
                pairs.push(("rare", "yes".to_owned()));
            }
            (i + i / 1_000, Labels::from_pairs(pairs).expect("valid"))
        })
        .collect()
}

fn plain(docs: &[(u32, Labels)], matcher: &Matcher) -> BTreeSet<u32> {
    let regex = match matcher.op {
        Regexp | NotRegexp => Some(AnchoredRegex::new(&matcher.value).expect("valid")),
        Equal | NotEqual => None,
    };
    let is_negated = matches!(matcher.op, NotEqual | NotRegexp);
    let is_wanted = |labels: &Labels| {
        let value = labels.get(&matcher.name).unwrap_or("");
        regex.as_ref().map_or(value == matcher.value, |r| r.is_match(value)) != is_negated
    };
    docs.iter().filter(|(_, labels)| is_wanted(labels)).map(|(id, _)| *id).collect()
}

#[test]
fn large_segments_answer_as_a_plain_filter() {
    let docs = large();
    let conditions = [
        ("host", "host-00777.dc0"),
        // A set that is cached, one of values that are not there, and an automaton's walk.
        ("host", "host-0000[0-9].dc.|x"),
        ("host", "host-(1.*7|2.*)[.]dc[01]"),
        ("host", "host-[0-9]{3}1[0-9].dc1"),
        ("host", ".*9[.]dc2"),
        ("host", "(?i)HOST-1.*"),
        ("host", "[^-]*-[0-9]*(1|2|3)[.]dc."),
        ("host", "host-.*"),
        ("job", "job-1|job-2|job-3|job-4|job-5|job-6|job-7|job-8|job-9|job-10"),
        ("job", "job-[1-8].*"),
        ("zone", "z[0-3]?"),
        ("zone", ".*"),
        ("zone", ".+"),
        ("zone", ""),
        ("zone", "z1|"),
        ("rare", "yes"),
        ("__name__", "metric_[0-5]"),
        ("none", "x*"),
    ];
    let ops = [Equal, NotEqual, Regexp, NotRegexp];
    let matchers: Vec<(Matcher, BTreeSet<u32>)> = conditions
        .iter()
        .flat_map(|(name, value)| ops.map(|op| Matcher::new(*name, op, *value)))
        .map(|matcher| {
            let found = plain(&docs, &matcher);
            (matcher, found)
        })
        .collect();
    for index in &both(&docs) {
        for (at, (matcher, alone)) in matchers.iter().enumerate() {
            let search = |set: &[Matcher]| index.search(set, usize::MAX).expect("a search");
            // Asked again, the answer comes from the cache.
            for _ in 0..2 {
                let got = search(std::slice::from_ref(matcher));
                assert!(got.iter().eq(alone), "{matcher}: {} of {}", got.len(), alone.len());
            }
            for step in [1, 5, 13, 29] {
                let (other, others) = &matchers[(at + step) % matchers.len()];
                let got = search(&[matcher.clone(), other.clone()]);
                assert!(got.iter().eq(alone.intersection(others)), "{matcher}, {other}");
            }
        }
    }
}

#[test]
fn large_segments_name_labels_as_a_plain_filter() {
    let docs = large();
    let sets = [
        Matcher::new("job", Regexp, "job-.*"),
        Matcher::new("zone", NotEqual, ""),
        Matcher::new("rare", Equal, "yes"),
        Matcher::new("job", Equal, "job-42"),
        Matcher::new("job", Equal, "none"),
    ];
    for index in &both(&docs) {
        for matcher in &sets {
            let wanted = plain(&docs, matcher);
            let inside = || docs.iter().filter(|(id, _)| wanted.contains(id));
            let pairs = || inside().flat_map(|(_, labels)| labels.iter());
            let set = [vec![matcher.clone()]];
            let names: BTreeSet<&str> = pairs().map(|(name, _)| name).collect();
            let got = index.label_names(&set, None, usize::MAX).expect("names");
            assert!(got.items.iter().eq(&names), "{matcher}: {:?}", got.items);
            for name in ["host", "job", "zone", "rare", "none"] {
                let values: BTreeSet<&str> =
                    pairs().filter(|(n, _)| *n == name).map(|(_, value)| value).collect();
                let got = index.label_values(name, &set, None, usize::MAX).expect("values");
                assert!(got.items.iter().eq(&values), "{matcher}, {name}");
            }
        }
        let all = index.label_values("host", &[], None, 10).expect("values");
        assert_eq!((all.items.len(), all.truncated), (10, true));
        assert_eq!(all.items[0], "host-00000.dc0");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    // Before the value come the name, its length, and the value's length of one byte or three.
    let doc = |id: u32, len: usize| {
        let value_len = if len < 128 { len - 3 } else { len - 5 };
        let labels = labels(&[("a", &"x".repeat(value_len))]);
        assert_eq!(labels.as_bytes().len(), len);
        (id, labels)
    };
    let limits = Limits { labels_len_max: 100, open_series_max: 3, ..Limits::default() };
    let index = Index::new(limits);
    index.insert(&[doc(1, 100)]).expect("at the limit");
    let long = index.insert(&[doc(2, 50), doc(3, 101)]);
    assert!(
        matches!(long, Err(IndexError::LabelsTooLong { id: 3, len: 101, max: 100 })),
        "{long:?}"
    );
    assert_eq!((index.len(), index.last_id()), (1, Some(1)), "no part of the batch was taken");
    let back = index.insert(&[doc(2, 50), doc(2, 50)]);
    assert!(matches!(back, Err(IndexError::OutOfOrder { id: 2, last: 2 })), "{back:?}");
    let many = index.insert(&[doc(2, 50), doc(3, 50), doc(4, 50)]);
    assert!(matches!(many, Err(IndexError::Full { held: 1, max: 3 })), "{many:?}");
    index.insert(&[doc(2, 50), doc(3, 50)]).expect("at the limit");
    let fs = SimFs::new(0);
    index.seal(&fs, Path::new("/index")).expect("sealed");
    index.insert(&[doc(4, 50)]).expect("a seal makes room");
    assert_eq!(index.len(), 4);

    let generous =
        Limits { labels_len_max: usize::MAX, postings_cache_bytes: 0, ..Limits::default() };
    let index = Index::new(generous);
    let long = index.insert(&[doc(1, LABELS_LEN_CEILING + 1)]);
    assert!(matches!(long, Err(IndexError::LabelsTooLong { max: LABELS_LEN_CEILING, .. })));
    index.insert(&[doc(1, LABELS_LEN_CEILING)]).expect("below the ceiling");
    let found = index.search(&[Matcher::new("a", Regexp, "x+")], 1).expect("nothing is cached");
    assert_eq!(found, [1]);
}
