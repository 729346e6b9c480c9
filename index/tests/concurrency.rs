//! Searches, inserts, seals and merges at the same time: a search sees every series whose insert
//! returned before it began.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_index::{Index, Limits};
use m3rs_sim::disk::SimFs;

const SERIES: u32 = 6_000;

fn labels(id: u32) -> Labels {
    let pairs = [
        ("__name__", "m".to_owned()),
        ("id", format!("i{id}")),
        ("parity", format!("{}", id % 2)),
        ("third", if id.is_multiple_of(3) { "yes".to_owned() } else { String::new() }),
    ];
    Labels::from_pairs(pairs).expect("valid")
}

type IsWanted = fn(u32) -> bool;

fn selectors() -> Vec<(Matcher, IsWanted)> {
    vec![
        (Matcher::equal("__name__", "m"), |_| true),
        (Matcher::equal("parity", "1"), |id| id % 2 == 1),
        (Matcher::new("parity", MatchOp::NotEqual, "1"), |id| id.is_multiple_of(2)),
        (Matcher::new("third", MatchOp::Equal, ""), |id| !id.is_multiple_of(3)),
        (Matcher::new("third", MatchOp::NotEqual, ""), |id| id.is_multiple_of(3)),
        (Matcher::new("id", MatchOp::Regexp, "i.*7"), |id| id % 10 == 7),
        (Matcher::new("id", MatchOp::NotRegexp, "i[0-9]*7"), |id| id % 10 != 7),
        (Matcher::new("id", MatchOp::Regexp, "i[0-9]*[0-8]"), |id| id % 10 != 9),
        // What accepts the empty value is the rest of a label's series: two sets of one moment.
        (Matcher::new("id", MatchOp::Regexp, "|i[0-9]*7"), |id| id % 10 == 7),
        (Matcher::new("id", MatchOp::NotRegexp, "|i[0-9]*7"), |id| id % 10 != 7),
        (Matcher::new("id", MatchOp::NotRegexp, "|i.*"), |_| false),
    ]
}

#[test]
fn a_search_sees_what_was_inserted_before_it() {
    let fs = SimFs::new(0);
    let dir = Path::new("/index");
    // Without verification every condition goes through postings and the cache.
    for verify_max in [0, 1_000] {
        let index = Index::new(Limits { verify_max, segments_max: 3, ..Limits::default() });
        let (inserted, searches) = (AtomicU32::new(0), AtomicU32::new(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let search = || {
                scope.spawn(|| {
                    let mut last_round = false;
                    while !last_round {
                        last_round = done.load(Ordering::Acquire);
                        for (matcher, is_wanted) in selectors() {
                            check(&index, &inserted, &matcher, is_wanted);
                            searches.fetch_add(1, Ordering::AcqRel);
                        }
                    }
                })
            };
            let searchers = [search(), search()];
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    // Large open segments take longer to search, so that more happens meanwhile.
                    if index.unsealed_len() < 1_500 {
                        thread::yield_now();
                        continue;
                    }
                    index.seal(&fs, dir).expect("sealed");
                    index.compact(&fs, dir).expect("merged");
                }
            });
            let mut id = 0;
            while id < SERIES {
                let batch: Vec<_> =
                    (id..SERIES.min(id + 1 + id % 9)).map(|i| (i, labels(i))).collect();
                index.insert(&batch).expect("ids ascend");
                id += batch.len() as u32;
                inserted.store(id, Ordering::Release);
                // Inserts go on for as long as there are searches to meet, but not faster.
                while searches.load(Ordering::Acquire) < id / 8
                    && searchers.iter().any(|searcher| !searcher.is_finished())
                {
                    thread::yield_now();
                }
            }
            done.store(true, Ordering::Release);
        });
        assert_eq!(index.len(), u64::from(SERIES));
        for file in index.sealed_segments() {
            m3rs_core::fs::Fs::remove_file(&fs, &file.path).expect("removed");
        }
    }
}

fn check(index: &Index, inserted: &AtomicU32, matcher: &Matcher, is_wanted: IsWanted) {
    let before = inserted.load(Ordering::Acquire);
    let got = index.search(std::slice::from_ref(matcher), usize::MAX).expect("a search");
    assert!(got.iter().all(|&id| is_wanted(id)), "{matcher} found another series");
    assert!(got.is_sorted_by(|a, b| a < b), "{matcher} found a series twice");
    let seen = got.iter().filter(|&&id| id < before);
    assert!(seen.copied().eq((0..before).filter(|&id| is_wanted(id))), "{matcher} lacks a series");
    // Whatever the search found beyond has no gap either: it saw one moment.
    let end = got.last().map_or(0, |last| last + 1);
    let whole = (0..end).filter(|&id| is_wanted(id));
    assert!(whole.eq(got.iter().copied()), "{matcher} has a gap");
    let labels = index.labels_of(&got).expect("labels");
    assert!(labels.iter().all(Option::is_some), "a found series has no labels");
}
