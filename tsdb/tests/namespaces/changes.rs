//! Namespaces come, change and go while the database serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use m3rs_core::ErrorKind;
use m3rs_core::fs::Fs;
use m3rs_core::model::{Matcher, Metadata, MetricType};
use m3rs_core::spawn::Thread;
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{ConfiguredNamespace, Namespace, NamespaceOptions, TsdbError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{EVER, HOUR, START, Samples, World, labels, options, read_all, samples};

#[test]
fn a_namespace_is_made_and_removed_and_made_again() {
    let mut world = World::new(1);
    let database = world.database();
    database.add_namespace("a", options()).expect("made");
    world.write("a", &[(1, START, 1.0)]).expect("written");
    database.flush_all().expect("flushed");
    let error = database.add_namespace("a", options()).expect_err("twice");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    for name in ["", "../x", "a b"] {
        let error = database.add_namespace(name, options()).expect_err(name);
        assert!(matches!(error, TsdbError::Options { .. }), "{error}");
    }
    assert_eq!(world.files("data/a").len(), 1);

    let old = world.namespace("a");
    let found = old.select(&[Matcher::equal("series", "1")], EVER.0, EVER.1, 10).expect("found");
    database.remove_namespace("a").expect("removed");
    assert!(database.namespace("a").is_none());
    let error = database.remove_namespace("a").expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(read_all(&found), samples(&[(1, START, 1.0)]), "readers finish");
    let error = world.write_to(&old, &[(1, START, 2.0)]).expect_err("writers do not");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = world.write_to(&old, &[(9, START, 2.0)]).expect_err("new series neither");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    database.tick().expect("ticked");
    assert_eq!(world.files("data/a").len(), 1, "the file is still read");
    database.add_namespace("a", options()).expect("made again");
    world.write("a", &[(2, START, 3.0)]).expect("written");
    database.flush_all().expect("flushed");
    assert_eq!(world.read("a"), samples(&[(2, START, 3.0)]));
    drop((old, found));
    database.tick().expect("ticked");
    assert_eq!(world.files("data/a").len(), 0, "nobody reads it any more");
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("a"), samples(&[(2, START, 3.0)]));
    assert_eq!(world.database().damage_at_start(), []);
}

#[test]
fn what_cannot_change_is_refused_by_name() {
    let world = World::new(2);
    let database = world.database();
    database.add_namespace("a", options()).expect("made");
    let refused = [
        (NamespaceOptions { block_size_ns: HOUR, ..options() }, "block_size"),
        (NamespaceOptions { shard_count: 3, ..options() }, "shards"),
        (NamespaceOptions { retention_ns: HOUR, ..options() }, "retention"),
    ];
    for (new, option) in refused {
        let error = database.update_namespace("a", new).expect_err(option);
        assert!(error.to_string().contains(option), "{error}");
        assert!(error.to_string().contains("\"a\""), "{error}");
    }
    assert_eq!(*world.namespace("a").options(), options());
    let error = database.update_namespace("b", options()).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn truncate_empties_at_once_and_for_good() {
    let mut world = World::new(3);
    world.write("default", &[(1, START, 1.0), (2, START, 2.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    world.write("default", &[(1, START + 1, 3.0)]).expect("written");
    world.database().add_namespace("other", options()).expect("made");
    world.write("other", &[(1, START, 4.0)]).expect("written");
    let old = world.namespace("default");
    world.database().truncate("default").expect("emptied");
    assert_eq!(world.read("default"), Samples::new());
    assert_eq!(world.namespace("default").series_count(), 0);
    assert_eq!(world.database().status().samples_written, 4, "counters only grow");
    let error = world.write_to(&old, &[(1, START, 9.0)]).expect_err("the old one");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    drop(old);
    world.write("default", &[(2, START + 5, 5.0)]).expect("written");
    for unsynced in [Unsynced::Lost, Unsynced::Kept] {
        world.crash(unsynced);
        assert_eq!(world.read("default"), samples(&[(2, START + 5, 5.0)]));
        assert_eq!(world.read("other"), samples(&[(1, START, 4.0)]));
        assert_eq!(world.database().damage_at_start(), []);
        assert_eq!(world.files("data/default").len(), 0, "the old volume is gone");
    }
    let error = world.database().truncate("none").expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn configuration_makes_and_changes_namespaces_at_the_start() {
    let mut world = World::new(4);
    let configured = |days: i64, shard_count| ConfiguredNamespace {
        options: NamespaceOptions { retention_ns: days * 24 * HOUR, ..options() },
        block_size_ns: None,
        shard_count,
    };
    let mut start = world.options();
    start.namespaces.insert("wide".to_owned(), configured(3, Some(8)));
    world.open_with(start).expect("made");
    assert_eq!(world.namespace("wide").shard_count(), 8);
    world.write("wide", &[(1, START, 1.0)]).expect("written");
    // What configuration does not say stays; what it says holds.
    let mut start = world.options();
    start.namespaces.insert("wide".to_owned(), configured(5, None));
    world.open_with(start).expect("changed");
    assert_eq!(world.namespace("wide").shard_count(), 8);
    assert_eq!(world.namespace("wide").options().retention_ns, 5 * 24 * HOUR);
    assert_eq!(world.read("wide"), samples(&[(1, START, 1.0)]));
    // One that it does not name any more is opened as it is.
    world.restart();
    assert_eq!(world.namespace("wide").options().retention_ns, 5 * 24 * HOUR);
    let mut start = world.options();
    start.namespaces.insert("wide".to_owned(), configured(5, Some(4)));
    world.open_with(start).expect("laid out anew");
    assert_eq!(world.namespace("wide").shard_count(), 4);
    assert_eq!(world.read("wide"), samples(&[(1, START, 1.0)]));
    let mut start = world.options();
    let blocks = ConfiguredNamespace { block_size_ns: Some(HOUR), ..configured(5, None) };
    start.namespaces.insert("wide".to_owned(), blocks);
    let error = world.open_with(start).expect_err("the block size is fixed");
    assert!(error.to_string().contains("block_size"), "{error}");
    world.open().expect("opens as it was");
    assert_eq!(world.read("wide"), samples(&[(1, START, 1.0)]));
}

#[test]
fn data_without_a_catalog_is_not_guessed_at() {
    let mut world = World::new(5);
    world.write("default", &[(1, START, 1.0)]).expect("written");
    world.stop();
    for name in ["catalog", "catalog.copy"] {
        let path = format!("/data/namespaces/{name}");
        world.fs.remove_file(path.as_ref()).expect("removed");
    }
    let error = world.open().expect_err("no catalog");
    assert!(matches!(error, TsdbError::CatalogMissing { .. }), "{error}");
}

/// What a story believes to be there.
type Model = BTreeMap<String, (NamespaceOptions, Samples)>;

fn check(world: &World, model: &Model) {
    let there: Vec<String> =
        world.database().namespaces().iter().map(|n| n.name().to_owned()).collect();
    let believed: Vec<&String> = model.keys().collect();
    assert_eq!(there.iter().collect::<Vec<_>>(), believed);
    for (name, (options, samples)) in model {
        assert_eq!(&*world.namespace(name).options(), options, "{name}");
        assert_eq!(&world.read(name), samples, "{name}");
    }
}

fn random_options(rng: &mut StdRng, old: &NamespaceOptions) -> NamespaceOptions {
    let writes_to_commit_log = rng.random_bool(0.7);
    NamespaceOptions {
        flush_enabled: rng.random_bool(0.8),
        // Without either, nothing that is not flushed outlasts a crash.
        snapshot_enabled: !writes_to_commit_log || rng.random_bool(0.8),
        cleanup_enabled: rng.random_bool(0.5),
        writes_to_commit_log,
        buffer_past_ns: rng.random_range(0..3000) * NS_PER_S,
        series_max: rng.random_range(100..1000),
        ..old.clone()
    }
}

/// Writes a request into one of the namespaces, any time of the last twenty hours.
fn write_random(rng: &mut StdRng, world: &World, model: &mut Model) {
    let at = rng.random_range(0..model.len());
    let (name, (_, known)) = model.iter_mut().nth(at).expect("one of them");
    let t = world.now() - rng.random_range(0..20 * HOUR) / NS_PER_S * NS_PER_S;
    let request: Vec<_> = (0..rng.random_range(1..20))
        .map(|i| (rng.random_range(0..8), t + i, f64::from_bits(rng.random())))
        .collect();
    world.write(name, &request).expect("the disk is fine");
    for (series, t, v) in request {
        known.entry(series).or_default().insert(t, v.to_bits());
    }
}

/// Deletes three hours of a series.
fn delete_random(rng: &mut StdRng, world: &World, model: &mut Model, name: &str) {
    let (series, t) = (rng.random_range(0..8), world.now() - rng.random_range(0..20 * HOUR));
    let Some((_, known)) = model.get_mut(name) else { return };
    world.delete(name, series, t, t + 3 * HOUR).expect("the disk is fine");
    if let Some(samples) = known.get_mut(&series) {
        samples.retain(|at, _| !(t..=t + 3 * HOUR).contains(at));
    }
    known.retain(|_, samples| !samples.is_empty());
}

fn story(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    let mut model = Model::new();
    model.insert("default".to_owned(), (options(), Samples::new()));
    for _ in 0..150 {
        let name = ["a", "b", "c"][rng.random_range(0..3)].to_owned();
        match rng.random_range(0..27) {
            0..=9 => write_random(&mut rng, &world, &mut model),
            10..=12 => {
                let shard_count = rng.random_range(1..6);
                let own = NamespaceOptions { shard_count, ..options() };
                let added = world.database().add_namespace(&name, own.clone());
                assert_eq!(added.is_ok(), !model.contains_key(&name));
                model.entry(name).or_insert((own, Samples::new()));
            }
            13 | 14 => {
                let removed = world.database().remove_namespace(&name);
                assert_eq!(removed.is_ok(), model.remove(&name).is_some());
            }
            24 | 25 => {
                let shard_count = rng.random_range(1..7);
                if let Some((options, _)) = model.get_mut(&name) {
                    world.database().reshard(&name, shard_count).expect("laid out anew");
                    options.shard_count = shard_count;
                }
            }
            15 => {
                let emptied = world.database().truncate(&name);
                assert_eq!(emptied.is_ok(), model.contains_key(&name));
                model.entry(name).and_modify(|(_, samples)| samples.clear());
            }
            16 | 17 => {
                if let Some((old, _)) = model.get_mut(&name) {
                    let new = random_options(&mut rng, old);
                    world.database().update_namespace(&name, new.clone()).expect("changed");
                    *old = new;
                }
            }
            18 => drop(world.database().flush_all().expect("the disk is fine")),
            19 => world.database().snapshot().expect("the disk is fine"),
            20 => {
                world.pass(rng.random_range(0..HOUR));
                world.database().tick().expect("the disk is fine");
            }
            26 => delete_random(&mut rng, &world, &mut model, &name),
            21 => {
                // What is not logged is lost unless a file holds it.
                if model.values().any(|(options, _)| !options.writes_to_commit_log) {
                    world.database().snapshot().expect("the disk is fine");
                }
                world.crash(if seed.is_multiple_of(2) { Unsynced::Lost } else { Unsynced::Torn });
            }
            22 => world.restart(),
            _ => check(&world, &model),
        }
    }
    check(&world, &model);
    world.database().snapshot().expect("the disk is fine");
    world.crash(Unsynced::Lost);
    check(&world, &model);
    assert_eq!(world.database().damage_at_start(), []);
}

#[test]
fn random_stories_of_namespaces_equal_a_map() {
    for seed in 0..16 {
        story(seed);
    }
}

/// Something that is done to a database.
type Change = fn(&World) -> Result<(), TsdbError>;

/// One step of the story below, and what it makes of the model.
type Step = (Change, fn(&mut Model));

fn steps() -> Vec<Step> {
    vec![
        (
            |w| w.database().add_namespace("a", options()).map(drop),
            |m| drop(m.insert("a".to_owned(), (options(), Samples::new()))),
        ),
        (
            |w| w.write("a", &[(1, START, 1.0), (2, START, 2.0)]),
            |m| m.get_mut("a").expect("a").1 = samples(&[(1, START, 1.0), (2, START, 2.0)]),
        ),
        (|w| w.database().flush_all().map(drop), |_| ()),
        (
            |w| {
                let new = NamespaceOptions { buffer_past_ns: 7 * NS_PER_S, ..options() };
                w.database().update_namespace("a", new)
            },
            |m| m.get_mut("a").expect("a").0.buffer_past_ns = 7 * NS_PER_S,
        ),
        (|w| w.database().truncate("a"), |m| m.get_mut("a").expect("a").1.clear()),
        (
            |w| w.write("a", &[(3, START, 3.0)]),
            |m| m.get_mut("a").expect("a").1 = samples(&[(3, START, 3.0)]),
        ),
        (|w| w.database().snapshot(), |_| ()),
        (|w| w.database().reshard("a", 3), |m| m.get_mut("a").expect("a").0.shard_count = 3),
        (
            |w| w.write("a", &[(3, START + 1, 4.0)]),
            |m| m.get_mut("a").expect("a").1 = samples(&[(3, START, 3.0), (3, START + 1, 4.0)]),
        ),
        (|w| w.database().remove_namespace("a"), |m| drop(m.remove("a"))),
        (|w| w.database().tick(), |_| ()),
        (
            |w| w.database().add_namespace("a", options()).map(drop),
            |m| drop(m.insert("a".to_owned(), (options(), Samples::new()))),
        ),
        (
            |w| w.write("a", &[(1, START, 5.0)]),
            |m| m.get_mut("a").expect("a").1 = samples(&[(1, START, 5.0)]),
        ),
    ]
}

/// Kills the machine at every operation of a story of changes: each is done or not done.
#[test]
fn a_power_cut_at_any_operation_leaves_each_change_whole() {
    let rehearse = |crash_at: Option<u64>| {
        let world = World::new(6);
        let mut model = Model::new();
        let before = samples(&[(1, START, 0.5)]);
        world.write("default", &[(1, START, 0.5)]).expect("written");
        model.insert("default".to_owned(), (options(), before));
        let first = world.fs.ops();
        if let Some(op) = crash_at {
            world.fs.crash_at_op(first + op);
        }
        let mut after = model.clone();
        for (act, believe) in steps() {
            believe(&mut after);
            if act(&world).is_err() {
                return (world, first, model, after);
            }
            model = after.clone();
        }
        (world, first, model, after)
    };
    let (world, first, model, _) = rehearse(None);
    check(&world, &model);
    let last = world.fs.ops() - first;
    assert!(last > 60, "the story does something: {last}");
    let (mut met, mut done) = (0, 0);
    for op in 1..=last {
        let (mut world, _, before, after) = rehearse(Some(op));
        met += u64::from(world.fs.is_down());
        world.crash(if op.is_multiple_of(2) { Unsynced::Lost } else { Unsynced::Torn });
        let believed = [&before, &after].into_iter().find(|model| is_like(&world, model));
        assert!(believed.is_some(), "operation {op}: {:?}", before.keys());
        done += u64::from(believed == Some(&after));
        // A torn header of a segment without entries is told, and costs nothing.
        let told = world.database().damage_at_start().len();
        assert!(told <= usize::from(op % 2 == 1), "operation {op}: {told}");
        // It goes on from there.
        let (mut names, all) = (0, world.database().namespaces());
        for namespace in all {
            world.write_to(&namespace, &[(8, START, 8.0)]).expect("takes writes");
            names += 1;
        }
        assert!(names > 0);
        world.database().tick().expect("ticks");
    }
    assert!(met * 10 >= last * 9, "{met} of {last} power cuts happened");
    assert!(done > 0);
}

fn is_like(world: &World, model: &Model) -> bool {
    let there = world.database().namespaces();
    there.len() == model.len()
        && there.iter().all(|n| {
            let believed = model.get(n.name());
            believed.is_some_and(|(o, s)| *n.options() == *o && world.read(n.name()) == *s)
        })
}

/// A failed write of the catalog leaves everything as it was, and serving.
#[test]
fn an_error_at_any_operation_of_a_change_undoes_it_or_says_so() {
    let changes: [Change; 6] = [
        |w| w.database().reshard("default", 5),
        |w| {
            let new = NamespaceOptions { writes_to_commit_log: false, ..options() };
            w.database().update_namespace("default", new)
        },
        |w| w.database().truncate("default"),
        |w| w.database().remove_namespace("default"),
        |w| w.database().add_namespace("b", options()).map(drop),
        |w| {
            let new = NamespaceOptions { buffer_past_ns: 7 * NS_PER_S, ..options() };
            w.database().update_namespace("default", new)
        },
    ];
    for change in changes {
        for op in 1..60 {
            let mut world = World::new(7);
            world.write("default", &[(1, START, 1.0)]).expect("written");
            world.fs.fail_at_op(world.fs.ops() + op);
            if change(&world).is_ok() {
                continue;
            }
            // What was acknowledged before the next write is there, whatever became of the change.
            world.write("default", &[(1, START + 1, 2.0)]).expect("takes writes");
            let all = samples(&[(1, START, 1.0), (1, START + 1, 2.0)]);
            assert_eq!(world.read("default"), all, "operation {op}");
            world.crash(Unsynced::Lost);
            assert_eq!(world.read("default"), all, "operation {op}");
        }
    }
}

/// Writers, readers and flushes go on while a namespace is emptied and changed again and again.
#[test]
fn changes_do_not_disturb_who_works_on_other_namespaces() {
    let world = Arc::new(World::new(8));
    world.database().add_namespace("busy", options()).expect("made");
    world.database().add_namespace("other", options()).expect("made");
    let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let other = world.namespace("other");
    let writer = {
        let (stop, acked) = (Arc::clone(&stop), Arc::clone(&acked));
        Thread::start("writer", move || write_until(&other, &stop, &acked)).expect("a thread")
    };
    for round in 0..40 {
        // Refused only if the namespace was replaced since it was looked up, which no one does.
        world.write("busy", &[(1, START + round, 1.0)]).expect("written");
        match round % 4 {
            0 => world.database().truncate("busy").expect("emptied"),
            1 => drop(world.database().flush_all().expect("flushed")),
            2 => world.database().snapshot().expect("a snapshot"),
            _ => {
                let new = NamespaceOptions { series_max: 1000 + round as u32, ..options() };
                world.database().update_namespace("busy", new).expect("changed");
            }
        }
    }
    while acked.load(Ordering::Acquire) < 20 {
        world.database().snapshot().expect("a snapshot");
    }
    stop.store(true, Ordering::Release);
    writer.join().expect("the writer is well");
    let count = acked.load(Ordering::Acquire);
    let written = world.read("other").get(&1).map_or(0, |s| s.len() as u64);
    assert_eq!(written, count);
}

fn write_until(namespace: &Namespace, stop: &AtomicBool, acked: &AtomicU64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut t = START;
    while !stop.load(Ordering::Acquire) {
        let mut session = namespace.writer();
        let handle = session.resolve_labels(&labels(1)).expect("resolved");
        session.push(handle, TimestampNs(t), 1.0).expect("inside the window");
        let commit = session.commit().expect("committed");
        runtime.block_on(commit.durable()).expect("durable");
        acked.fetch_add(1, Ordering::AcqRel);
        t += 1;
    }
}

#[test]
fn other_shards_hold_the_same_samples() {
    let mut world = World::new(9);
    let blocks = NamespaceOptions { block_size_ns: HOUR, ..options() };
    world.database().add_namespace("a", blocks).expect("made");
    let mut all = Vec::new();
    let write = |world: &World, all: &mut Vec<(u32, i64, f64)>, hour: i64, v: f64| {
        let request: Vec<_> =
            (0..50).map(|s| (s, START - hour * HOUR + i64::from(s), v * f64::from(s))).collect();
        world.write("a", &request).expect("written");
        all.extend(request);
    };
    write(&world, &mut all, 3, 0.1);
    world.database().flush_all().expect("flushed");
    write(&world, &mut all, 2, 1e300);
    write(&world, &mut all, 3, 7.0);
    world.database().snapshot().expect("a snapshot");
    write(&world, &mut all, 0, -1.5);
    let gone = [vec![Matcher::equal("series", "7")]];
    let deleted = world.namespace("a").delete(&gone, EVER.0, EVER.1).expect("deleted");
    drop(deleted);
    all.retain(|(series, ..)| *series != 7);
    let want = samples(&all);
    assert_eq!(world.read("a"), want);
    let help = Metadata { metric_type: MetricType::Gauge, help: "h".into(), unit: "s".into() };
    let namespace = world.namespace("a");
    let mut session = namespace.writer();
    session.push_metadata("m", help.clone());
    world.commit(session).expect("written");
    drop(namespace);
    let old = world.namespace("a");
    let found = old.select(&[Matcher::equal("__name__", "m")], EVER.0, EVER.1, 99).expect("found");
    for shard_count in [7, 1, 64] {
        world.database().reshard("a", shard_count).expect("laid out anew");
        assert_eq!(world.namespace("a").shard_count(), shard_count);
        assert_eq!(world.namespace("a").series_count(), 50);
        assert!(world.namespace("a").metadata().knows("m", &help), "metadata comes along");
        assert_eq!(world.read("a"), want, "{shard_count} shards");
        assert_eq!(read_all(&found), want, "a reader of before goes on");
        world.crash(Unsynced::Lost);
        assert_eq!(world.database().damage_at_start(), []);
        assert_eq!(world.read("a"), want, "{shard_count} shards");
        // Samples go where they belong, and go on through flushes.
        world.write("a", &[(3, START + 3, 1.0)]).expect("written");
        world.database().flush_all().expect("flushed");
        assert_eq!(world.read("a")[&3].get(&(START + 3)), Some(&1f64.to_bits()));
        world.write("a", &[(3, START + 3, -1.5 * 3.0)]).expect("written");
    }
    drop((old, found));
    world.database().tick().expect("ticked");
    let data = world.fs.list("/data/data".as_ref()).expect("listed");
    let of_a = data.iter().filter(|path| path.to_string_lossy().contains("/a"));
    assert_eq!(of_a.count(), 1, "{data:?}");
    let error = world.database().reshard("a", 0).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = world.database().reshard("b", 3).expect_err("no such namespace");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// What is not logged is never overwritten by what was logged before.
#[test]
fn a_log_from_before_is_not_replayed_over_what_is_not_logged() {
    let mut world = World::new(10);
    let unlogged = NamespaceOptions { writes_to_commit_log: false, ..options() };
    world.write("default", &[(1, START, 1.0), (2, START, 2.0)]).expect("written");
    // Another namespace keeps the log.
    let keeper = NamespaceOptions { snapshot_enabled: false, ..options() };
    world.database().add_namespace("keeper", keeper).expect("made");
    world.write("keeper", &[(1, START, 1.0)]).expect("written");
    world.database().update_namespace("default", unlogged.clone()).expect("changed");
    world.write("default", &[(1, START, 3.0)]).expect("written");
    let gone = [vec![Matcher::equal("series", "2")]];
    drop(world.namespace("default").delete(&gone, EVER.0, EVER.1).expect("deleted"));
    world.write("default", &[(2, START + 1, 4.0)]).expect("written");
    world.database().snapshot().expect("a snapshot");
    world.of_default = unlogged;
    let want = samples(&[(1, START, 3.0), (2, START + 1, 4.0)]);
    assert_eq!(world.read("default"), want);
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("default"), want);
    assert_eq!(world.read("keeper"), samples(&[(1, START, 1.0)]));
    assert_eq!(world.database().damage_at_start(), []);
}
