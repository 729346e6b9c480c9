//! Series without samples are taken out, and nothing else is lost by it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use m3rs_core::ErrorKind;
use m3rs_core::fs::Fs;
use m3rs_core::model::Matcher;
use m3rs_core::spawn::{ThreadCount, fork};
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{NamespaceOptions, TsdbError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{EVER, HOUR, START, Samples, World, labels, options};

/// The series that keeps the set of files changing.
const BEAT: u32 = 1_000_000;

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.of_default = NamespaceOptions { retention_ns: 12 * HOUR, ..options() };
    world.restart();
    world
}

/// Lets retirement have a look twice: the second takes what was there at the first.
fn look_twice(world: &World) -> Result<(), TsdbError> {
    for _ in 0..2 {
        world.write("default", &[(BEAT, world.now(), 1.0)])?;
        world.database().flush_all()?;
        world.database().tick()?;
    }
    Ok(())
}

fn listed(world: &World) -> BTreeSet<u32> {
    let values = world.namespace("default").label_values("series", &[], EVER, 0).expect("listed");
    values.items.iter().map(|v| v.parse().expect("a number")).collect()
}

fn count(world: &World) -> u64 {
    world.namespace("default").series_count()
}

#[test]
fn expired_and_deleted_series_are_taken_out_and_may_come_back() {
    let mut world = world(60);
    let old: Vec<_> = (0..500).map(|s| (s, START, f64::from(s))).collect();
    world.write("default", &old).expect("written");
    world.pass(6 * HOUR);
    let kept = world.now();
    let newer: Vec<_> = (400..700).map(|s| (s, kept, f64::from(s))).collect();
    world.write("default", &newer).expect("written");
    look_twice(&world).expect("ticks");
    assert_eq!(count(&world), 701);
    // The first block goes with retention, and what is deleted with the next merge.
    world.pass(9 * HOUR);
    for series in 690..700 {
        world.delete("default", series, 0, i64::MAX / 2).expect("deleted");
    }
    look_twice(&world).expect("ticks");
    let live: BTreeSet<u32> = (400..690).chain([BEAT]).collect();
    assert_eq!((count(&world), listed(&world)), (291, live.clone()));
    // They come back whole, with whatever is written then.
    let again: Vec<_> = (0..700).map(|s| (s, world.now(), -1.0)).collect();
    world.write("default", &again).expect("written");
    assert_eq!(count(&world), 701);
    let check = |world: &World| {
        let read = world.read("default");
        for (series, t, v) in &again {
            assert_eq!(read[series].get(t), Some(&v.to_bits()), "series {series}");
            let first = (400..690).contains(series).then(|| f64::from(*series).to_bits());
            assert_eq!(read[series].get(&kept).copied(), first, "series {series}");
        }
        assert_eq!(world.database().damage_at_start(), []);
    };
    check(&world);
    world.crash(Unsynced::Lost);
    check(&world);
    world.database().flush_all().expect("flushed");
    check(&world);
    world.restart();
    check(&world);
    assert_eq!(count(&world), 701);
}

/// The limit is one of series that there are, not of those that ever were.
#[test]
fn the_limit_of_series_counts_those_that_live() {
    let mut world = World::new(61);
    world.of_default = NamespaceOptions { retention_ns: 12 * HOUR, series_max: 300, ..options() };
    world.restart();
    for round in 0..40u32 {
        let rows: Vec<_> = (0..40).map(|s| (round * 40 + s, world.now(), 1.0)).collect();
        world.write("default", &rows).expect("within the limit");
        world.database().flush_all().expect("flushed");
        world.pass(3 * HOUR);
        world.database().tick().expect("ticks");
        assert!(count(&world) <= 300, "{} series in round {round}", count(&world));
    }
    world.restart();
    assert!(count(&world) <= 300, "{} series after a start", count(&world));
}

/// A retirement that the disk failed was not tried again before some file came or went.
#[test]
fn a_retirement_that_fails_is_made_up_for_at_the_next_look() {
    let prepared = || {
        let world = world(69);
        let old: Vec<_> = (0..500).map(|s| (s, START, f64::from(s))).collect();
        world.write("default", &old).expect("written");
        world.database().flush_all().expect("flushed");
        world.database().tick().expect("looks");
        world.pass(15 * HOUR);
        world.write("default", &[(BEAT, world.now(), 1.0)]).expect("written");
        world.database().flush_all().expect("flushed");
        world
    };
    // A file that was merged into another and not removed is removed at a start.
    let index_bytes = |world: &mut World| -> u64 {
        world.restart();
        let files = world.fs.list(Path::new("/data/index/default")).expect("listed");
        files.iter().map(|path| world.fs.file_len(path).expect("a file")).sum()
    };
    let mut sound = prepared();
    let first = sound.fs.ops();
    sound.database().tick().expect("the disk is fine");
    let last = sound.fs.ops();
    assert_eq!(count(&sound), 1);
    assert!(last > first + 4, "{first} to {last}");
    let bytes = index_bytes(&mut sound);
    for op in first + 1..=last {
        let mut world = prepared();
        world.fs.fail_at_op(op);
        let failed = world.database().tick();
        world.fs.fail_at_op(0);
        world.database().tick().expect("the disk is fine");
        assert_eq!(count(&world), 1, "op {op}: {failed:?}");
        assert_eq!(index_bytes(&mut world), bytes, "op {op}: {failed:?}");
    }
}

#[derive(Default)]
struct Model(Samples);

impl Model {
    fn cut(&mut self, horizon: i64) {
        self.0.values_mut().for_each(|samples| samples.retain(|t, _| *t >= horizon));
        self.0.retain(|_, samples| !samples.is_empty());
    }
}

/// Series come and go, are deleted and come back, over crashes and starts.
#[test]
fn random_lives_of_series_equal_a_map() {
    for seed in 62..68 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = world(seed);
        let mut model = Model::default();
        let (mut most, mut ever) = (0, BTreeSet::new());
        for step in 0..150u32 {
            match rng.random_range(0..20) {
                0..=7 => {
                    let first = step / 4 * 3;
                    let rows: Vec<(u32, i64, f64)> = (0..rng.random_range(1..20))
                        .map(|_| {
                            let t = world.now() - rng.random_range(0..3 * HOUR);
                            (first + rng.random_range(0..12), t, f64::from(step))
                        })
                        .collect();
                    world.write("default", &rows).expect("written");
                    for (series, t, v) in rows {
                        ever.insert(series);
                        model.0.entry(series).or_default().insert(t, v.to_bits());
                    }
                }
                8..=10 => look_twice(&world).expect("ticks"),
                11 => world.database().snapshot().expect("a snapshot"),
                12 => world.crash(Unsynced::Lost),
                13 => world.crash(Unsynced::Torn),
                14 => world.restart(),
                15 => drop(world.database().compact().expect("compacts")),
                16 => {
                    let series = step / 4 * 3 + rng.random_range(0..12);
                    world.delete("default", series, 0, i64::MAX / 2).expect("deleted");
                    model.0.remove(&series);
                }
                _ => world.pass(rng.random_range(0..4 * HOUR)),
            }
            let horizon = world.namespace("default").horizon().0;
            model.cut(horizon);
            let mut read = world.read("default");
            read.remove(&BEAT);
            read.values_mut().for_each(|samples| samples.retain(|t, _| *t >= horizon));
            read.retain(|_, samples| !samples.is_empty());
            assert_eq!(read, model.0, "seed {seed}, step {step}");
            let listed = listed(&world);
            assert!(model.0.keys().all(|series| listed.contains(series)), "step {step}");
            most = most.max(count(&world));
        }
        assert!(most < ever.len() as u64, "{most} series at once of {}", ever.len());
        assert_eq!(world.database().damage_at_start(), []);
    }
}

#[test]
fn a_power_cut_at_any_operation_of_a_retirement_loses_nothing() {
    let prepare = || {
        let world = world(70);
        let rows: Vec<_> = (0..60).map(|s| (s, START, 1.0)).collect();
        world.write("default", &rows).expect("written");
        world.database().flush_all().expect("flushed");
        world.pass(7 * HOUR);
        let rows: Vec<_> = (50..70).map(|s| (s, world.now(), 2.0)).collect();
        world.write("default", &rows).expect("written");
        world.database().flush_all().expect("flushed");
        world.database().tick().expect("looks");
        world.pass(7 * HOUR);
        world
    };
    // Series that are retired are written again, so a wrong replay would be seen.
    let act = |world: &World, acked: &mut Vec<u32>| -> Result<(), TsdbError> {
        look_twice(world)?;
        let now = world.now();
        for series in 40..60 {
            world.write("default", &[(series, now, 3.0)])?;
            acked.push(series);
        }
        world.database().snapshot()
    };
    let world = prepare();
    let first = world.fs.ops();
    act(&world, &mut Vec::new()).expect("without a fault all goes well");
    assert_eq!(count(&world), 10 + 20 + 1, "forty were retired for good");
    let last = world.fs.ops();
    for op in first..last {
        let mut world = prepare();
        world.fs.crash_at_op(op);
        let mut acked = Vec::new();
        let now = world.now();
        let _cut_off = act(&world, &mut acked);
        world.crash(if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        assert_eq!(world.database().damage_at_start(), [], "op {op}");
        let read = world.read("default");
        for series in &acked {
            assert_eq!(read[series].get(&now), Some(&3f64.to_bits()), "op {op}, series {series}");
        }
        for series in 50..70 {
            let t = START + 7 * HOUR;
            assert_eq!(read[&series].get(&t), Some(&2f64.to_bits()), "op {op}, series {series}");
        }
        // A process that just started lets nothing expire.
        world.pass(HOUR);
        look_twice(&world).expect("goes on");
        assert_eq!(world.read("default").len() as u64, count(&world), "op {op}");
    }
}

/// Writers of series that are deleted and retired under their hands: what was acknowledged is
/// there, and a refusal is one that passes.
#[test]
fn writes_and_retirement_at_once_lose_nothing() {
    let world = world(71);
    let namespace = world.namespace("default");
    let (ends, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let base = world.now();
    let parts = fork("lives", ThreadCount::new(3), |thread| {
        let mut acked = Vec::new();
        if thread == 0 {
            for round in 0..60i64 {
                let beat = labels(BEAT);
                let mut session = namespace.writer();
                let handle = session.resolve_labels(&beat).expect("resolved");
                session.push(handle, TimestampNs(base + round), 1.0).expect("inside");
                drop(session.commit().expect("committed"));
                // All series of the odd numbers lose what they have, and may be retired.
                let odd: Vec<_> = (0..40)
                    .map(|s| vec![Matcher::equal("series", (2 * s + 1).to_string())])
                    .collect();
                drop(namespace.delete(&odd, EVER.0, EVER.1).expect("deleted"));
                world.database().flush_all().expect("flushed");
                world.database().tick().expect("ticks");
            }
            ends.store(true, Ordering::Relaxed);
            return acked;
        }
        let mut rng = StdRng::seed_from_u64(thread as u64);
        let mut at = base + 1_000_000 * thread as i64;
        while !ends.load(Ordering::Relaxed) {
            at += 1;
            let series = rng.random_range(0..80u32);
            let mut session = namespace.writer();
            let handle = session.resolve_labels(&labels(series)).expect("resolved");
            session.push(handle, TimestampNs(at), 7.0).expect("inside");
            match session.commit() {
                Ok(_) => acked.push((series, at)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        acked
    });
    let read = world.read("default");
    let mut even = 0;
    for (series, t) in parts.into_iter().flatten().filter(|(series, _)| series % 2 == 0) {
        assert!(read[&series].contains_key(&t), "series {series} at {t}");
        even += 1;
    }
    assert!(even > 100, "{even} writes");
}
