//! Indexes that share a cache of what regular expressions found.

use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::SharedFs;
use m3rs_core::model::MatchOp::Regexp;
use m3rs_core::model::{Labels, Matcher};
use m3rs_index::{Index, Limits, PostingsCache};
use m3rs_sim::disk::SimFs;

const SERIES: u32 = 5000;

/// Every condition is looked up in postings, and so is kept.
fn limits() -> Limits {
    Limits { verify_max: 0, ..Limits::default() }
}

/// Series `i` has the value `i * factor`.
fn fill(index: &Index, factor: u32) {
    let docs: Vec<(u32, Labels)> = (0..SERIES)
        .map(|i| (i, Labels::from_pairs([("n", format!("v{}", i * factor))]).expect("valid")))
        .collect();
    index.insert(&docs).expect("they ascend");
}

fn matching(index: &Index, pattern: &str) -> Vec<u32> {
    index.search(&[Matcher::new("n", Regexp, pattern)], SERIES as usize).expect("searched")
}

fn expected(factor: u32, digit: u32) -> Vec<u32> {
    let tail = digit.to_string();
    (0..SERIES).filter(|i| (i * factor).to_string().ends_with(&tail)).collect()
}

/// Each namespace had a budget of its own, so that a thousand of them could take a thousand times
/// what the limit says. Segments had numbers of their index alone; in one cache the results of one
/// namespace would have been those of another.
#[test]
fn indexes_share_a_budget_and_no_results() {
    let budget = 256 << 10;
    let cache = PostingsCache::new(budget);
    let fs: SharedFs = Arc::new(SimFs::new(1));
    let growing = Index::sharing(limits(), &cache);
    let sealed = Index::sharing(limits(), &cache);
    fill(&growing, 3);
    fill(&sealed, 7);
    sealed.seal(fs.as_ref(), Path::new("/index")).expect("sealed");
    let (opened, damages) =
        Index::open_with(&fs, Path::new("/index"), (limits(), &cache), |_| {}).expect("opened");
    assert!(damages.is_empty());
    let mut most = 0;
    for round in 0..3 {
        for digit in 0..10 {
            for other in 0..10 {
                let pattern = format!(".*{digit}|x{other}");
                assert_eq!(matching(&growing, &pattern), expected(3, digit), "{round} {pattern}");
                assert_eq!(matching(&sealed, &pattern), expected(7, digit), "{round} {pattern}");
                assert_eq!(matching(&opened, &pattern), expected(7, digit), "{round} {pattern}");
                most = most.max(cache.bytes());
                assert!(cache.bytes() <= budget, "{} of {budget}", cache.bytes());
            }
        }
    }
    assert!(most > budget / 2, "only {most} of {budget} were ever used");
}

#[test]
fn no_budget_keeps_nothing() {
    let cache = PostingsCache::new(0);
    let index = Index::sharing(limits(), &cache);
    fill(&index, 1);
    assert_eq!(matching(&index, ".*1"), expected(1, 1));
    assert_eq!(cache.bytes(), 0);
}
