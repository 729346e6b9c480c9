//! Reads: what queries of every shape get, whatever lies in memory and in files.

#[path = "namespaces/world.rs"]
#[expect(dead_code, reason = "each test program uses its part of the world")]
mod world;

use std::collections::BTreeMap;

use m3rs_core::fs::Fs;
use m3rs_core::model::{Histogram, Matcher, STALE_NAN};
use m3rs_core::time::{NS_PER_MS, NS_PER_S, TimestampNs};
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{Columns, DEFAULT_NAMESPACE, Detail, NamespaceOptions, Selection, Wanted};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{EVER, HOUR, START, World, labels, options, read_all, samples};

fn every_series() -> [Matcher; 1] {
    [Matcher::equal("__name__", "m")]
}

/// A query over times that all lie before retention was raised to the horizon at its start alone:
/// its range ended before it began, and the look into the open windows ended the process.
#[test]
fn a_range_before_retention_is_empty() {
    let world = World::new(1);
    let short = NamespaceOptions { retention_ns: 6 * HOUR, ..options() };
    world.database().add_namespace("short", short).expect("made");
    world.write("short", &[(1, START, 1.0)]).expect("written");
    for (from, to) in [(START - 9 * HOUR, START - 8 * HOUR), (START, START - 1)] {
        let found = world
            .namespace("short")
            .select(&every_series(), TimestampNs(from), TimestampNs(to), 1000)
            .expect("selected");
        let mut columns = Columns::default();
        for number in 0..found.labels().len() {
            found.read(number, &mut columns);
            assert!(columns.is_empty(), "{from}..={to}: {:?}", columns.ts);
        }
    }
    let now = (TimestampNs(START - 9 * HOUR), TimestampNs(START + NS_PER_S));
    let found =
        world.namespace("short").select(&every_series(), now.0, now.1, 1000).expect("found");
    let mut columns = Columns::default();
    found.read(0, &mut columns);
    assert_eq!(columns.ts, [START]);
}

/// What `read_many` gives of all series, by number; each exactly once.
fn read_batch(found: &Selection, series: usize, wanted: Wanted) -> Vec<Vec<(i64, u64)>> {
    let mut all = vec![None; series];
    found.read_many(0..series, (wanted, Detail::Values), |number, columns| {
        let samples = columns.iter().map(|s| (s.t.0, s.v.to_bits())).collect();
        assert!(all[number].replace(samples).is_none(), "series {number} twice");
    });
    all.into_iter().map(|samples| samples.expect("each series once")).collect()
}

/// Samples go to windows, snapshots, volumes, compacted blocks and late lists in turn, some of
/// them are deleted, the process dies; reads of many series at once give what a map says, and
/// reads of last samples alone the last of it.
#[test]
fn many_series_at_once_are_as_one_by_one() {
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        world.limits.open_filesets_max = if seed % 2 == 0 { 1 } else { 1000 };
        world.restart();
        let mut model: BTreeMap<u32, BTreeMap<i64, u64>> = BTreeMap::new();
        let mut now = START;
        for _ in 0..60 {
            match rng.random_range(0..14) {
                0 => world.database().snapshot().expect("a snapshot"),
                1 => drop(world.database().flush_all().expect("flushed")),
                2 => drop(world.database().compact().expect("compacted")),
                3 => world.crash(Unsynced::Lost),
                4 => {
                    let (series, from) = (rng.random_range(0..9), now - rng.random_range(0..HOUR));
                    let to = from + rng.random_range(0..HOUR);
                    world.delete(DEFAULT_NAMESPACE, series, from, to).expect("deleted");
                    model.entry(series).or_default().retain(|t, _| !(from..=to).contains(t));
                }
                _ => {
                    let step = rng.random_range(0..40) * 60 * NS_PER_S;
                    now += step;
                    world.pass(step);
                    let row = |rng: &mut StdRng| {
                        let behind = if rng.random_range(0..5) == 0 { 5 * HOUR } else { 300 };
                        let t = now - rng.random_range(0..behind);
                        (rng.random_range(0..9u32), t, rng.random::<f64>())
                    };
                    let rows: Vec<_> = (0..40).map(|_| row(&mut rng)).collect();
                    world.write(DEFAULT_NAMESPACE, &rows).expect("written");
                    for (series, t, v) in rows {
                        model.entry(series).or_default().insert(t, v.to_bits());
                    }
                }
            }
            let from = now - rng.random_range(0..12 * HOUR);
            let to = now - if rng.random() { 0 } else { rng.random_range(0..6 * HOUR) };
            compare(&world, &model, (from, to));
        }
    }
}

fn compare(world: &World, model: &BTreeMap<u32, BTreeMap<i64, u64>>, (from, to): (i64, i64)) {
    let found = world
        .namespace(DEFAULT_NAMESPACE)
        .select(&every_series(), TimestampNs(from), TimestampNs(to), 1000)
        .expect("selected");
    let series = found.labels().len();
    let all = read_batch(&found, series, Wanted::All);
    let last = read_batch(&found, series, Wanted::Last);
    for (number, labels) in found.labels().iter().enumerate() {
        let series: u32 = labels.get("series").and_then(|s| s.parse().ok()).expect("our label");
        let of_series = model.get(&series).into_iter().flatten();
        let want: Vec<(i64, u64)> =
            of_series.map(|(t, v)| (*t, *v)).filter(|(t, _)| (from..=to).contains(t)).collect();
        assert_eq!(all[number], want, "series {series} in {from}..={to}");
        assert_eq!(last[number].last(), want.last(), "the last of series {series} until {to}");
        let mut columns = Columns::default();
        found.read(number, &mut columns);
        let one: Vec<_> = columns.iter().map(|s| (s.t.0, s.v.to_bits())).collect();
        assert_eq!(one, want);
    }
    assert_eq!(found.damage(), Vec::<String>::new());
}

/// Series that are scraped together share their times, which reads give in milliseconds as well:
/// the right ones or none, whatever lies over the files.
#[test]
fn milliseconds_are_those_of_the_times() {
    for (seed, step) in [15 * NS_PER_S, 14_999_999_999, 700_000].into_iter().enumerate() {
        let world = World::new(300 + seed as u64);
        let time = |i: i64| START + i * step + i % 3;
        let rows: Vec<_> =
            (0..900).flat_map(|i| (0..6).map(move |series| (series, time(i), i as f64))).collect();
        world.pass(4 * HOUR);
        world.write(DEFAULT_NAMESPACE, &rows).expect("written");
        world.database().flush_all().expect("flushed");
        let known = count_millis(&world, (time(1), time(880)));
        assert_eq!(known > 0, step > NS_PER_MS, "{known} with a step of {step}");
        let one = time(850) + 500;
        world.write(DEFAULT_NAMESPACE, &[(0, one, 1.0), (1, time(2), 2.0)]).expect("written");
        assert!(count_millis(&world, (time(1), i64::MAX)) <= known);
        world.delete(DEFAULT_NAMESPACE, 2, time(5), time(9)).expect("deleted");
        assert!(count_millis(&world, (time(1), i64::MAX)) <= known);
    }
}

/// Checks the milliseconds of all series; says how many series have them.
fn count_millis(world: &World, (from, to): (i64, i64)) -> usize {
    let found = world
        .namespace(DEFAULT_NAMESPACE)
        .select(&every_series(), TimestampNs(from), TimestampNs(to), 1000)
        .expect("selected");
    let mut known = 0;
    for wanted in [Wanted::All, Wanted::Last] {
        found.read_many(0..found.labels().len(), (wanted, Detail::Values), |_, columns| {
            let millis: Vec<_> = columns.ts.iter().map(|t| t.div_euclid(NS_PER_MS)).collect();
            if !columns.millis.is_empty() {
                assert_eq!(columns.millis, millis);
                assert!(millis.is_sorted_by(|a, b| a < b));
                known += 1;
            }
        });
    }
    known
}

/// The last sample of any kind: its time, the bits of a float, or a histogram.
fn last_of(columns: &Columns) -> Option<(i64, Result<u64, Histogram>)> {
    let histograms = &columns.rich.histograms;
    let float = columns.ts.last().zip(columns.vs.last()).map(|(t, v)| (*t, Ok(v.to_bits())));
    let histogram =
        histograms.ts.last().zip(histograms.values.last()).map(|(t, h)| (*t, Err((**h).clone())));
    match (&float, &histogram) {
        (Some((f, _)), Some((h, _))) if h > f => histogram,
        (None, _) => histogram,
        _ => float,
    }
}

fn sum_of(rng: &mut StdRng) -> Histogram {
    Histogram { sum: rng.random(), ..Histogram::stale() }
}

/// Writes one request of samples of every kind, some of them late.
fn write_some(world: &World, rng: &mut StdRng, now: i64) {
    let namespace = world.namespace(DEFAULT_NAMESPACE);
    let mut session = namespace.writer();
    for _ in 0..rng.random_range(1..40) {
        let handle = session.resolve_labels(&labels(rng.random_range(0..9))).expect("resolved");
        let behind = if rng.random_range(0..6) == 0 { 5 * HOUR } else { 300 * NS_PER_S };
        let t = TimestampNs(now - rng.random_range(0..behind) / NS_PER_S * NS_PER_S);
        let start = TimestampNs(START);
        match rng.random_range(0..12) {
            0 => session.push(handle, t, STALE_NAN),
            1 => session.push_histogram(handle, t, Histogram::stale(), TimestampNs(0)),
            2 => session.push_histogram(handle, t, sum_of(rng), start),
            3 => session.push_started(handle, t, rng.random(), start),
            _ => session.push(handle, t, rng.random()),
        }
        .expect("inside the window");
    }
    world.commit(session).expect("written");
}

/// A read that asks for last samples alone looks at pages and encoders, and must not be deceived
/// by what is newer or gone: late samples, histograms, staleness markers, deletions.
#[test]
fn the_last_sample_of_any_kind_is_that_of_the_full_read() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(100 + seed);
        let mut now = START;
        for _ in 0..60 {
            match rng.random_range(0..14) {
                0 => world.database().snapshot().expect("a snapshot"),
                1 => drop(world.database().flush_all().expect("flushed")),
                2 => drop(world.database().compact().expect("compacted")),
                3 => world.crash(Unsynced::Lost),
                4 | 5 => {
                    let (series, to) = (rng.random_range(0..9), now - rng.random_range(0..HOUR));
                    let to = if rng.random() { now } else { to };
                    let from = to - rng.random_range(0..HOUR);
                    world.delete(DEFAULT_NAMESPACE, series, from, to).expect("deleted");
                }
                _ => {
                    let step = rng.random_range(0..40) * 60 * NS_PER_S;
                    now += step;
                    world.pass(step);
                    write_some(&world, &mut rng, now);
                }
            }
            let to = now - if rng.random() { 0 } else { rng.random_range(0..2 * HOUR) };
            let from = to - rng.random_range(0..6 * HOUR);
            compare_last(&world, (from, to));
        }
    }
}

fn compare_last(world: &World, (from, to): (i64, i64)) {
    let found = world
        .namespace(DEFAULT_NAMESPACE)
        .select(&every_series(), TimestampNs(from), TimestampNs(to), 1000)
        .expect("selected");
    let mut full = Columns::default();
    for detail in [Detail::Values, Detail::All] {
        let mut last = vec![None; found.labels().len()];
        found.read_many(0..last.len(), (Wanted::Last, detail), |number, columns| {
            last[number] = last_of(columns).map(|(t, v)| {
                let starts = &columns.rich.starts;
                (t, v, (detail == Detail::All).then(|| starts.at(t).copied()))
            });
        });
        for (number, got) in last.into_iter().enumerate() {
            found.read(number, &mut full);
            let want = last_of(&full).map(|(t, v)| {
                (t, v, (detail == Detail::All).then(|| full.rich.starts.at(t).copied()))
            });
            assert_eq!(got, want, "{} in {from}..={to}", found.labels()[number]);
        }
    }
}

/// Linux allows 65,530 mappings, and one was held for each file for ever, so that a node with
/// more files did not start.
#[test]
fn there_may_be_more_files_than_mappings() {
    let mut world = World::new(3);
    world.limits.open_filesets_max = 3;
    world.restart();
    let rows: Vec<_> = (0..40).map(|i| (i % 4, START + i64::from(i) * HOUR, 1.0)).collect();
    for row in &rows {
        world.pass(HOUR);
        world.write(DEFAULT_NAMESPACE, &[*row]).expect("written");
    }
    world.database().flush_all().expect("flushed");
    for _ in 0..2 {
        assert_eq!(world.read(DEFAULT_NAMESPACE), samples(&rows));
        let status = world.database().status();
        assert!(status.volumes > 10, "{status:?}");
        assert!(status.filesets_mapped <= 3, "{status:?}");
        assert!(status.fileset_map_misses > 0, "{status:?}");
        world.restart();
    }
    world.limits.open_filesets_max = 1000;
    world.restart();
    assert_eq!(world.read(DEFAULT_NAMESPACE), samples(&rows));
    let status = world.database().status();
    assert_eq!((status.filesets_mapped, status.fileset_map_misses), (status.volumes, 0));
}

/// A query looks at the blocks, and a flush or a compaction takes their files away before they are
/// mapped: what replaced them is read.
#[test]
fn files_may_go_while_a_query_reads() {
    let mut world = World::new(4);
    world.limits.open_filesets_max = 1;
    world.restart();
    let mut rows: Vec<_> = (0..30).map(|i| (i % 4, START + i64::from(i) * HOUR, 1.0)).collect();
    world.pass(30 * HOUR);
    world.write(DEFAULT_NAMESPACE, &rows).expect("written");
    world.database().flush_all().expect("flushed");
    let namespace = world.namespace(DEFAULT_NAMESPACE);
    let found = namespace.select(&every_series(), EVER.0, EVER.1, 1000).expect("selected");
    assert_eq!(read_all(&found), samples(&rows));
    world.pass(100 * HOUR);
    assert!(world.database().compact().expect("compacted") > 0);
    assert_eq!(read_all(&found), samples(&rows), "after a compaction");
    let late = (1, START + HOUR + 7, 9.0);
    world.write(DEFAULT_NAMESPACE, &[late]).expect("written");
    world.database().flush_all().expect("flushed");
    rows.push(late);
    assert_eq!(read_all(&found), samples(&rows), "after a flush");
}

/// A file that became damaged after the start costs a query what it had, and a warning.
#[test]
fn damage_is_found_when_a_file_is_mapped_again() {
    let mut world = World::new(5);
    world.limits.open_filesets_max = 1;
    world.restart();
    let rows = [(1, START, 1.0), (1, START + 10 * HOUR, 2.0), (1, START + 20 * HOUR, 3.0)];
    world.pass(20 * HOUR);
    world.write(DEFAULT_NAMESPACE, &rows).expect("written");
    world.database().flush_all().expect("flushed");
    let files = world.files("data");
    assert_eq!(files.len(), 3, "{files:?}");
    for path in &files {
        world.fs.truncate(path, 10).expect("cut");
    }
    let namespace = world.namespace(DEFAULT_NAMESPACE);
    let found = namespace.select(&every_series(), EVER.0, EVER.1, 1000).expect("selected");
    let mut columns = Columns::default();
    found.read(0, &mut columns);
    // One may still be mapped as it was.
    assert!(columns.len() <= 1, "{:?}", columns.ts);
    assert_eq!(found.damage().len(), 3 - columns.len(), "{:?}", found.damage());
}

/// A query wants to know whether the first histogram of its range follows a reset.
#[test]
fn the_histogram_before_a_range_is_found_where_it_is_the_last_sample() {
    let world = World::new(1);
    let namespace = world.namespace(DEFAULT_NAMESPACE);
    let mut rng = StdRng::seed_from_u64(1);
    let (first, second) = (sum_of(&mut rng), sum_of(&mut rng));
    let write = |series: u32, t: i64, h: Option<&Histogram>| {
        let mut session = namespace.writer();
        let handle = session.resolve_labels(&labels(series)).expect("resolved");
        match h {
            Some(h) => session.push_histogram(handle, TimestampNs(t), h.clone(), TimestampNs(0)),
            None => session.push(handle, TimestampNs(t), 1.0),
        }
        .expect("in the window");
        world.commit(session).expect("durable");
    };
    for series in [1, 2] {
        write(series, START, Some(&first));
        write(series, START + 120 * NS_PER_S, Some(&second));
    }
    write(2, START + 60 * NS_PER_S, None);
    let before = |from: i64, within: i64| {
        let range = (TimestampNs(START + from * NS_PER_S), TimestampNs(START + HOUR));
        let found = namespace.select(&every_series(), range.0, range.1, 10).expect("selected");
        let number = |series| found.labels().iter().position(|l| *l == labels(series));
        [1, 2].map(|series| {
            let number = number(series).expect("both are there");
            found.histogram_before(number, within * NS_PER_S).map(|h| (*h).clone())
        })
    };
    assert_eq!(before(90, 3600), [Some(first.clone()), None]);
    assert_eq!(before(90, 80), [None, None]);
    assert_eq!(before(30, 3600), [Some(first.clone()), Some(first.clone())]);
    assert_eq!(before(0, 3600), [None, None]);
    world.database().flush_all().expect("flushed");
    assert_eq!(before(90, 3600), [Some(first), None]);
}
