//! Labels as odd as they may be: short and long values, any UTF-8, thousands of them on a series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::SharedFs;
use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_index::{Index, Limits};
use m3rs_sim::disk::SimFs;
use proptest::prelude::*;

const DIR: &str = "/index";

/// Texts of one byte, of 4 KB, and of any characters but none.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[a-c]",
        1 => Just("\0".to_owned()),
        1 => ("[xy\u{e9}]", 1usize..=4096).prop_map(|(c, n)| c.repeat(n / c.len().max(1) + 1)),
        4 => proptest::collection::vec(any::<char>(), 1..12).prop_map(String::from_iter),
    ]
}

fn label_set() -> impl Strategy<Value = Labels> {
    let few = proptest::collection::btree_map(text(), text(), 1..6);
    // As many as fit below the limit of a series' bytes.
    let many = (1_000usize..5_000, "[a-c\u{e9}]{1,50}").prop_map(|(n, value)| {
        let pair = |i| (format!("label_{i:04}"), format!("{value}{}", i % 7));
        (0..n).map(pair).collect::<BTreeMap<String, String>>()
    });
    prop_oneof![8 => few, 1 => many].prop_map(|pairs| Labels::from_pairs(pairs).expect("distinct"))
}

/// Searches for each pair of some series, and lists names and values.
fn check(index: &Index, all: &[(u32, Labels)]) -> Result<(), TestCaseError> {
    let ids: Vec<u32> = all.iter().map(|(id, _)| *id).collect();
    let got = index.labels_of(&ids).expect("labels");
    prop_assert!(got.iter().map(Option::as_ref).eq(all.iter().map(|(_, l)| Some(l))));
    let names: BTreeSet<&str> = all.iter().flat_map(|(_, l)| l.iter()).map(|(n, _)| n).collect();
    let listed = index.label_names(&[], None, usize::MAX).expect("names");
    prop_assert!(listed.items.iter().eq(names.iter()));
    for (name, value) in all.iter().filter_map(|(_, l)| l.iter().next()) {
        let of = |wanted: &dyn Fn(Option<&str>) -> bool| -> Vec<u32> {
            all.iter().filter(|(_, l)| wanted(l.get(name))).map(|(id, _)| *id).collect()
        };
        let found = |op, text: &str| {
            index.search(&[Matcher::new(name, op, text)], usize::MAX).expect("a search")
        };
        prop_assert_eq!(found(MatchOp::Equal, value), of(&|v| v == Some(value)));
        prop_assert_eq!(found(MatchOp::NotEqual, value), of(&|v| v != Some(value)));
        prop_assert_eq!(found(MatchOp::NotEqual, ""), of(&|v| v.is_some()));
        prop_assert_eq!(found(MatchOp::Regexp, "(?s).+"), of(&|v| v.is_some()));
        let values: BTreeSet<&str> = all.iter().filter_map(|(_, l)| l.get(name)).collect();
        let listed = index.label_values(name, &[], None, usize::MAX).expect("values");
        prop_assert!(listed.items.iter().eq(values.iter()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn odd_labels_are_found_in_every_kind_of_segment(
        sets in proptest::collection::vec(label_set(), 3..12),
    ) {
        let all: Vec<(u32, Labels)> = (0..).zip(sets).collect();
        let fs: SharedFs = Arc::new(SimFs::new(0));
        let limits = Limits { segments_max: 1, ..Limits::default() };
        let index = Index::new(limits.clone());
        for docs in all.chunks(all.len() / 3) {
            index.insert(docs).expect("ids ascend");
            check(&index, &all[..=docs[docs.len() - 1].0 as usize])?;
            index.seal(fs.as_ref(), Path::new(DIR)).expect("sealed");
        }
        check(&index, &all)?;
        prop_assert!(index.sealed_segments().len() > 1);
        index.compact(fs.as_ref(), Path::new(DIR)).expect("merged");
        prop_assert_eq!(index.sealed_segments().len(), 1);
        check(&index, &all)?;
        let (index, damages) = Index::open(&fs, Path::new(DIR), limits).expect("opens");
        prop_assert_eq!(damages, []);
        check(&index, &all)?;
    }
}
