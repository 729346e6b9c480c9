//! Whatever was inserted, sealed, merged or reopened: every answer equals that of a plain filter
//! over all label sets.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::SharedFs;
use m3rs_core::model::{Labels, MatchOp, Matcher, shard_hash};
use m3rs_core::regexp::AnchoredRegex;
use m3rs_index::{Identity, Index, IndexError, Limits, Query};
use m3rs_sim::disk::SimFs;
use proptest::prelude::*;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_128;

const DIR: &str = "/index";

#[derive(Clone, Debug)]
enum Action {
    /// Label sets, each with the distance of its id to the one before.
    Insert(Vec<(u32, Labels)>),
    Seal,
    Compact,
    Reopen,
}

fn labels() -> impl Strategy<Value = Labels> {
    let name = prop_oneof![Just("__name__"), Just("a"), Just("b"), Just("c"), Just("\u{e9}")];
    let value = prop_oneof![
        Just("x".to_owned()),
        Just("y".to_owned()),
        Just("xy".to_owned()),
        Just("x\ny".to_owned()),
        Just("\u{e9}".to_owned()),
        (0u32..60).prop_map(|n| format!("v{n}")),
    ];
    proptest::collection::btree_map(name, value, 0..5)
        .prop_map(|pairs| Labels::from_pairs(pairs).expect("distinct names"))
}

fn action() -> impl Strategy<Value = Action> {
    let gap = prop_oneof![9 => Just(1u32), 1 => 1u32..5];
    prop_oneof![
        6 => proptest::collection::vec((gap, labels()), 1..120).prop_map(Action::Insert),
        2 => Just(Action::Seal),
        1 => Just(Action::Compact),
        1 => Just(Action::Reopen),
    ]
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let name = prop_oneof![
        Just("__name__"),
        Just("a"),
        Just("b"),
        Just("c"),
        Just("\u{e9}"),
        Just("absent"),
    ];
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regexp),
        Just(MatchOp::NotRegexp),
    ];
    let value = prop_oneof![
        Just("".to_owned()),
        Just("x".to_owned()),
        Just("nothing".to_owned()),
        Just("x|y".to_owned()),
        Just("x|".to_owned()),
        Just("x?".to_owned()),
        Just(".*".to_owned()),
        Just(".+".to_owned()),
        Just("x.*".to_owned()),
        Just("x.+".to_owned()),
        Just(".*y".to_owned()),
        Just(".*y.*".to_owned()),
        Just("v.*".to_owned()),
        Just("v1|v2|v3|v4|v5|v6|v7|v8|v9".to_owned()),
        Just("v[0-9]".to_owned()),
        Just("v[1-3]+|x".to_owned()),
        Just("(?i)V1.*".to_owned()),
        Just("[^v].*".to_owned()),
        Just(r"\w+".to_owned()),
        (0u32..60).prop_map(|n| format!("v{n}")),
        (0u32..6).prop_map(|n| format!("v{n}.*")),
    ];
    (name, op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value))
}

fn matchers(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Matcher>> {
    proptest::collection::vec(matcher(), count)
}

/// The matchers of one selector, each with its expression compiled.
type Filter<'m> = Vec<(&'m Matcher, Option<AnchoredRegex>)>;

fn filter(matchers: &[Matcher]) -> Filter<'_> {
    let is_regexp = |m: &Matcher| matches!(m.op, MatchOp::Regexp | MatchOp::NotRegexp);
    let compile = |m: &Matcher| AnchoredRegex::new(&m.value).expect("valid");
    matchers.iter().map(|m| (m, is_regexp(m).then(|| compile(m)))).collect()
}

/// What Prometheus defines: an absent label has the empty value.
fn accepts(filter: &Filter<'_>, labels: &Labels) -> bool {
    filter.iter().all(|(matcher, regex)| {
        let value = labels.get(&matcher.name).unwrap_or("");
        let passes = regex.as_ref().map_or(value == matcher.value, |r| r.is_match(value));
        match matcher.op {
            MatchOp::Equal | MatchOp::Regexp => passes,
            MatchOp::NotEqual | MatchOp::NotRegexp => !passes,
        }
    })
}

/// Trees of conditions on few labels and values, so that many of them find something.
fn query() -> impl Strategy<Value = Query> {
    let leaf = (matcher(), any::<bool>()).prop_map(|(Matcher { name, op, value }, is_field)| {
        let is_regexp = matches!(op, MatchOp::Regexp | MatchOp::NotRegexp);
        match op {
            _ if is_regexp => Query::Regexp { name, pattern: value },
            MatchOp::NotEqual if is_field => Query::Field { name },
            _ => Query::Term { name, value },
        }
    });
    let leaf = prop_oneof![1 => Just(Query::All), 12 => leaf];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            2 => inner.prop_map(|q| Query::Not(Box::new(q))),
            3 => parts.clone().prop_map(Query::And),
            2 => parts.prop_map(Query::Or),
        ]
    })
}

/// What M3 defines: a condition on a label holds for series that have it.
fn wants(query: &Query, labels: &Labels) -> bool {
    match query {
        Query::All => true,
        Query::Term { name, value } => labels.get(name) == Some(value),
        Query::Regexp { name, pattern } => {
            let regex = AnchoredRegex::new(pattern).expect("valid");
            labels.get(name).is_some_and(|value| regex.is_match(value))
        }
        Query::Field { name } => labels.get(name).is_some(),
        Query::Not(inner) => !wants(inner, labels),
        Query::And(parts) => !parts.is_empty() && parts.iter().all(|q| wants(q, labels)),
        Query::Or(parts) => parts.iter().any(|q| wants(q, labels)),
    }
}

/// An index in a directory, and all that it should hold.
struct Pair {
    fs: SharedFs,
    limits: Limits,
    index: Index,
    /// What was inserted.
    all: Vec<(u32, Labels)>,
    /// How many of them were sealed.
    sealed: usize,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let fs: SharedFs = Arc::new(SimFs::new(0));
        let index = Index::new(limits.clone());
        Self { fs, limits, index, all: Vec::new(), sealed: 0 }
    }

    fn run(&mut self, action: &Action) {
        match action {
            Action::Insert(batch) => {
                let mut last = self.all.last().map_or(0, |(id, _)| *id);
                let mut docs = Vec::new();
                for (gap, labels) in batch {
                    last += gap;
                    docs.push((last, labels.clone()));
                }
                self.index.insert(&docs).expect("ids ascend");
                self.all.extend(docs);
            }
            Action::Seal => {
                let sealed = self.index.seal(self.fs.as_ref(), Path::new(DIR)).expect("sealed");
                let added = &self.all[self.sealed..];
                let want = added.first().zip(added.last()).map(|(f, l)| (f.0, l.0, added.len()));
                assert_eq!(sealed.map(|s| (s.first, s.last, s.series as usize)), want);
                self.sealed = self.all.len();
            }
            Action::Compact => {
                self.index.compact(self.fs.as_ref(), Path::new(DIR)).expect("merged");
                assert!(self.index.sealed_segments().len() <= self.limits.segments_max);
            }
            Action::Reopen => {
                let (index, damages) =
                    Index::open(&self.fs, Path::new(DIR), self.limits.clone()).expect("opened");
                assert_eq!(damages, []);
                self.index = index;
                let lost = self.all.split_off(self.sealed);
                self.index.insert(&lost).expect("ids go on");
                self.all.extend(lost);
            }
        }
    }

    /// All series, then some, then nearly all.
    fn restrictions(&self) -> [Option<RoaringBitmap>; 4] {
        let those = |keep: fn(u32) -> bool| -> RoaringBitmap {
            self.all.iter().map(|(id, _)| *id).filter(|id| keep(*id)).collect()
        };
        [None, Some(those(|_| true)), Some(those(|id| id % 3 == 1 && id < 200)), {
            Some(those(|id| id % 17 != 2))
        }]
    }

    fn expected(
        &self,
        matcher_sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
    ) -> Vec<&(u32, Labels)> {
        let filters: Vec<_> = matcher_sets.iter().map(|set| filter(set)).collect();
        let is_wanted = |l: &Labels| filters.iter().any(|filter| accepts(filter, l));
        let counts = |id: u32| among.is_none_or(|among| among.contains(id));
        self.all.iter().filter(|(id, labels)| counts(*id) && is_wanted(labels)).collect()
    }

    fn check(&self, matchers: &[Matcher], other: &[Matcher]) -> Result<(), TestCaseError> {
        let single = [matchers.to_vec()];
        let want: Vec<u32> = self.expected(&single, None).iter().map(|d| d.0).collect();
        let got = self.index.search(matchers, usize::MAX).expect("a search");
        prop_assert_eq!(&got, &want, "{:?}", matchers);
        let again = self.index.search(matchers, want.len()).expect("a cached search");
        prop_assert_eq!(&again, &want, "{:?}", matchers);
        if let Some(limit) = want.len().checked_sub(1) {
            let refused = self.index.search(matchers, limit);
            let matched = want.len() as u64;
            let is_right = matches!(
                refused,
                Err(IndexError::TooMany { matched: m, limit: l }) if m == matched && l == limit
            );
            prop_assert!(is_right, "{:?}", refused);
        }
        let sets = [matchers.to_vec(), other.to_vec()];
        for among in self.restrictions() {
            let among = among.as_ref();
            let found = self.index.find(matchers).expect("a search");
            let want: Vec<u32> = self.expected(&single, among).iter().map(|d| d.0).collect();
            prop_assert_eq!(&found.ids(among, want.len()).expect("found"), &want);
            let refused = want.len().checked_sub(1).map(|limit| found.ids(among, limit));
            prop_assert!(refused.is_none_or(|r| r.is_err()), "the limit counts after it");
            let want: Vec<u32> = self.expected(&sets, among).iter().map(|d| d.0).collect();
            let got = self.index.series(&sets, among, usize::MAX).expect("series");
            prop_assert_eq!((got.items, got.truncated), (want.clone(), false));
            let got = self.index.series(&sets, among, 3).expect("series");
            prop_assert_eq!(got.truncated, want.len() > 3);
            prop_assert_eq!(got.items, want.into_iter().take(3).collect::<Vec<_>>());
            self.check_labels(&sets, among)?;
            self.check_labels(&[], among)?;
        }
        Ok(())
    }

    fn check_labels(
        &self,
        sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
    ) -> Result<(), TestCaseError> {
        let everything = [Vec::new()];
        let docs = self.expected(if sets.is_empty() { &everything } else { sets }, among);
        let pairs = || docs.iter().flat_map(|d| d.1.iter());
        let names: BTreeSet<String> = pairs().map(|(n, _)| n.to_owned()).collect();
        for limit in [0, 1, names.len(), usize::MAX] {
            let got = self.index.label_names(sets, among, limit).expect("names");
            prop_assert_eq!(got.truncated, names.len() > limit);
            prop_assert_eq!(got.items, names.iter().take(limit).cloned().collect::<Vec<_>>());
        }
        for (name, limit) in [("a", 4), ("b", usize::MAX), ("\u{e9}", 0), ("absent", 4)] {
            let values: BTreeSet<String> =
                pairs().filter(|(n, _)| *n == name).map(|(_, v)| v.to_owned()).collect();
            let got = self.index.label_values(name, sets, among, limit).expect("values");
            prop_assert_eq!(got.truncated, values.len() > limit);
            prop_assert_eq!(got.items, values.into_iter().take(limit).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn check_documents(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.index.len(), self.all.len() as u64);
        let last = self.all.last().map_or(0, |(id, _)| *id);
        let ids: Vec<u32> = (0..=last + 1).collect();
        let got = self.index.labels_of(&ids).expect("labels");
        let mut want = vec![None; ids.len()];
        for (id, labels) in &self.all {
            want[*id as usize] = Some(labels.clone());
        }
        prop_assert_eq!(&got, &want);
        let names = ["b", "absent", "a", "b"].map(str::to_owned);
        for wanted in [&names[..], &names[..1], &[]] {
            let got = self.index.some_labels_of(&ids, wanted).expect("labels");
            let keep = |n: &str| wanted.iter().any(|w| w == n);
            let some = |l: &Option<Labels>| l.as_ref().map(|l| l.retain(keep));
            prop_assert_eq!(got, want.iter().map(some).collect::<Vec<_>>());
        }
        let mut identities = Vec::new();
        self.index.for_each_identity(|id, of| identities.push((id, of))).expect("hashes");
        let identity = |l: &Labels| Identity {
            labels_hash: xxh3_128(l.as_bytes()),
            shard_hash: shard_hash(l.iter(), &mut Vec::new()),
        };
        let want: Vec<_> = self.all.iter().map(|(id, l)| (*id, identity(l))).collect();
        prop_assert_eq!(identities, want);
        let counted = self.index.cardinality(5).expect("numbers");
        let pairs: BTreeSet<_> = self.all.iter().flat_map(|d| d.1.iter()).collect();
        prop_assert_eq!(counted.label_pairs, pairs.len() as u64);
        for pair in &counted.series_by_pair {
            let (name, value) = pair.name.split_once('=').expect("a pair");
            let count = self.all.iter().filter(|(_, l)| l.get(name) == Some(value)).count();
            prop_assert_eq!(pair.count, count as u64);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_equal_a_plain_filter(
        actions in proptest::collection::vec(action(), 1..10),
        searches in proptest::collection::vec(
            (matchers(0..4), matchers(1..3)),
            1..12,
        ),
        // Without verification every condition goes through postings.
        verify_max in prop_oneof![Just(0usize), Just(20), Just(1_000)],
    ) {
        let limits = Limits { verify_max, segments_max: 3, ..Limits::default() };
        let mut pair = Pair::new(limits);
        for action in &actions {
            pair.run(action);
            let (matchers, other) = &searches[0];
            pair.check(matchers, other)?;
        }
        for (matchers, other) in &searches {
            pair.check(matchers, other)?;
        }
        pair.check_documents()?;
        pair.run(&Action::Seal);
        pair.run(&Action::Compact);
        pair.run(&Action::Reopen);
        for (matchers, other) in &searches {
            pair.check(matchers, other)?;
        }
        pair.check_documents()?;
    }

    #[test]
    fn trees_equal_a_plain_filter(
        actions in proptest::collection::vec(action(), 1..8),
        queries in proptest::collection::vec(query(), 1..12),
        verify_max in prop_oneof![Just(0usize), Just(1_000)],
    ) {
        let mut pair = Pair::new(Limits { verify_max, segments_max: 3, ..Limits::default() });
        let last = [Action::Seal, Action::Compact, Action::Reopen];
        for action in actions.iter().chain(&last) {
            pair.run(action);
            for query in &queries {
                let got = pair.index.query(query).expect("a search").ids(None, usize::MAX);
                let want: Vec<u32> =
                    pair.all.iter().filter(|(_, l)| wants(query, l)).map(|d| d.0).collect();
                prop_assert_eq!(got.expect("found"), want, "{:?}", query);
            }
        }
    }
}

/// A tree of any depth or width is refused by its limit, not by the end of the stack.
#[test]
fn a_tree_has_a_limit() {
    let limits = Limits { query_nodes_max: 3, ..Limits::default() };
    let index = Index::new(limits);
    let not = |q| Query::Not(Box::new(q));
    assert!(index.query(&not(not(Query::All))).is_ok());
    for query in [not(not(not(Query::All))), Query::Or(vec![Query::All; 3])] {
        let error = index.query(&query).expect_err("too large");
        assert!(matches!(error, IndexError::QueryTooLarge { max: 3 }), "{error}");
        assert!(error.to_string().contains("query_nodes_max"));
    }
    let deepest = (0..1_023).fold(Query::All, |q, _| not(q));
    assert!(Index::new(Limits::default()).query(&deepest).is_ok());
}
