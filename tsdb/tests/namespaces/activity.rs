//! Series by time: which have samples in the blocks of a range.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use m3rs_core::fs::Fs;
use m3rs_core::model::Matcher;
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{Limits, NamespaceOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{EVER, HOUR, START, World, options};

type Range = (TimestampNs, TimestampNs);

fn range(from: i64, to: i64) -> Range {
    (TimestampNs(from), TimestampNs(to))
}

/// The series that lists of labels have in a range, and those that a query selects.
fn active(world: &World, range: Range) -> BTreeSet<u32> {
    let namespace = world.namespace("default");
    let parse = |text: &str| text.parse::<u32>().expect("a number");
    let values = namespace.label_values("series", &[], range, 0).expect("listed").items;
    let values: BTreeSet<u32> = values.iter().map(|v| parse(v)).collect();
    let all = vec![Matcher::equal("__name__", "m")];
    let sets = [all.clone()];
    let series = namespace.series(&sets, range, 0).expect("listed").items;
    let numbers = |l: &m3rs_core::model::Labels| parse(l.get("series").expect("our label"));
    assert_eq!(series.iter().map(numbers).collect::<BTreeSet<_>>(), values);
    let names = namespace.label_names(&[], range, 0).expect("listed").items;
    assert_eq!(names.is_empty(), values.is_empty());
    let selected = namespace.select(&all, range.0, range.1, usize::MAX).expect("selected");
    assert_eq!(selected.labels().iter().map(numbers).collect::<BTreeSet<_>>(), values);
    values
}

/// On real M3 such series end in no index, and replayed ones stay unfindable until their flush.
#[test]
fn a_late_sample_of_an_unknown_series_is_found_at_once_after_flush_and_without_logs() {
    for flushed in [true, false] {
        let mut world = World::new(40);
        world.write("default", &[(1, START, 1.0)]).expect("written");
        world.database().flush_all().expect("flushed");
        let late = START - 72 * HOUR;
        world.write("default", &[(2, late, 2.0)]).expect("written");
        let check = |world: &World| {
            assert_eq!(active(world, range(late - HOUR, late + HOUR)), [2].into());
            assert_eq!(active(world, range(START - HOUR, START)), [1].into());
            assert_eq!(active(world, range(late + 10 * HOUR, late + 20 * HOUR)), [].into());
            assert_eq!(active(world, EVER), [1, 2].into());
        };
        check(&world);
        world.crash(Unsynced::Lost);
        check(&world);
        match flushed {
            true => drop(world.database().flush_all().expect("flushed")),
            false => world.database().snapshot().expect("a snapshot"),
        }
        check(&world);
        world.stop();
        for path in world.fs.list(Path::new("/data/commitlog")).expect("listed") {
            world.fs.remove_file(&path).expect("removed");
        }
        world.open().expect("opens without logs");
        check(&world);
    }
}

/// Series by the block that has samples of theirs.
type Model = BTreeMap<i64, BTreeSet<u32>>;

fn expected(model: &Model, (from, to): Range) -> BTreeSet<u32> {
    let first = from.0.div_euclid(2 * HOUR) * 2 * HOUR;
    model.range(first..=to.0).flat_map(|(_, series)| series.iter().copied()).collect()
}

#[test]
fn lists_and_queries_of_a_range_equal_a_map_of_blocks() {
    for (seed, active_sets_bytes) in [(41, 64 << 20), (42, 0), (43, 4096)] {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.limits = Limits { active_sets_bytes, ..Limits::default() };
        let six_hours = m3rs_tsdb::IndexOptions {
            block_size_ns: 6 * HOUR,
            ..m3rs_tsdb::IndexOptions::default()
        };
        world.of_default = NamespaceOptions { index: six_hours, ..options() };
        world.restart();
        let mut model = Model::new();
        for step in 0..120 {
            match rng.random_range(0..16) {
                0..=8 => {
                    // Series come and go; some samples are late.
                    let first = step * 3;
                    let rows: Vec<(u32, i64, f64)> = (0..rng.random_range(1..30))
                        .map(|_| {
                            let back = if rng.random_bool(0.2) { 60 } else { 2 };
                            let t = world.now() - rng.random_range(0..back * HOUR);
                            (first + rng.random_range(0..20), t, 1.0)
                        })
                        .collect();
                    for &(series, t, _) in &rows {
                        model.entry(t.div_euclid(2 * HOUR) * 2 * HOUR).or_default().insert(series);
                    }
                    world.write("default", &rows).expect("written");
                }
                9 => drop(world.database().flush_all().expect("flushed")),
                10 => world.database().snapshot().expect("a snapshot"),
                11 => world.database().tick().expect("ticks"),
                12 => world.crash(Unsynced::Lost),
                _ => world.pass(rng.random_range(0..3 * HOUR)),
            }
            for _ in 0..3 {
                let from = world.now() - rng.random_range(-HOUR..70 * HOUR);
                let asked = range(from, from + rng.random_range(0..20 * HOUR));
                assert_eq!(active(&world, asked), expected(&model, asked), "step {step}");
            }
            assert_eq!(active(&world, EVER), expected(&model, EVER), "step {step}");
            let stats = world.namespace("default").series_stats(5).expect("counted");
            let counted = stats.blocks.iter().map(|b| (b.start_ns, b.series));
            assert!(counted.eq(model.iter().map(|(&start, s)| (start, s.len() as u64))));
        }
        // Longer blocks select more, and never less.
        world.pass(72 * HOUR);
        world.database().flush_all().expect("flushed");
        assert!(world.database().compact().expect("compacts") > 0);
        for hours in 0..150 {
            let from = world.now() - hours * HOUR;
            let asked = range(from, from + 5 * HOUR);
            // Blocks of up to eight days.
            let wide = range(from - 192 * HOUR, from + 197 * HOUR);
            let got = active(&world, asked);
            assert!(got.is_superset(&expected(&model, asked)), "{hours} hours ago");
            assert!(got.is_subset(&expected(&model, wide)), "{hours} hours ago");
        }
    }
}

/// A query counts the series of its time, however many there ever were.
#[test]
fn the_limit_of_series_counts_those_of_the_range() {
    let world = World::new(44);
    for block in 0..20 {
        let t = START - block * 2 * HOUR;
        let rows: Vec<_> = (0..50).map(|s| (1000 + block as u32 * 50 + s, t, 1.0)).collect();
        world.write("default", &rows).expect("written");
    }
    world.database().flush_all().expect("flushed");
    world.pass(4 * HOUR);
    let now = world.now();
    let rows: Vec<_> = (0..9).map(|s| (s, now, 1.0)).collect();
    world.write("default", &rows).expect("written");
    let namespace = world.namespace("default");
    let few = [Matcher::equal("series", "3")];
    let all = [Matcher::equal("__name__", "m")];
    for matchers in [&few, &all] {
        let limit = if matchers == &all { 9 } else { 1 };
        let (from, to) = range(now - HOUR / 2, now);
        let found = namespace.select(matchers, from, to, limit).expect("within the limit");
        assert_eq!(found.labels().len(), limit);
        let error = namespace.select(matchers, from, to, limit - 1).expect_err("above it");
        assert_eq!(error.too_many_series(), Some((limit, limit - 1)));
        let (from, to) = range(START - 100 * HOUR, START - 99 * HOUR);
        assert_eq!(namespace.select(matchers, from, to, 0).expect("none").labels().len(), 0);
    }
    let error = namespace.select(&all, EVER.0, EVER.1, 9).expect_err("all are too many");
    assert_eq!(error.too_many_series(), Some((1009, 9)));
}
