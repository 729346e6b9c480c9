//! What a start makes of changes in the configuration file, of changes that were cut off, and of
//! work that failed half way: nothing that was acknowledged goes, nothing that went comes back.

use std::path::PathBuf;
use std::sync::Arc;

use m3rs_core::fs::Fs;
use m3rs_core::model::{Labels, Matcher, Metadata, MetricType};
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{CommitLogError, ConfiguredNamespace, NamespaceOptions, TsdbError};

use crate::gate::GatedFs;
use crate::world::{EVER, HOUR, START, Samples, World, options, samples};

fn unlogged() -> NamespaceOptions {
    NamespaceOptions { writes_to_commit_log: false, ..options() }
}

/// The log still has writes of the run before; the run after it writes files only. A third run
/// replayed the log over these: old values and deleted samples came back.
#[test]
fn switching_the_log_off_in_the_file_brings_no_old_write_back() {
    let mut world = World::new(1);
    world.write("default", &[(1, START, 1.0), (2, START, 2.0)]).expect("written");
    world.stop();
    world.of_default = unlogged();
    world.open().expect("opens");
    assert!(!world.namespace("default").options().writes_to_commit_log);
    let logged = samples(&[(1, START, 1.0), (2, START, 2.0)]);
    assert_eq!(world.read("default"), logged, "what was logged is replayed once more");
    world.write("default", &[(1, START, 3.0)]).expect("written");
    world.delete("default", 2, EVER.0.0, EVER.1.0).expect("deleted");
    let want = samples(&[(1, START, 3.0)]);
    for _ in 0..2 {
        world.restart();
        assert_eq!(world.read("default"), want);
    }
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("default"), want);
    assert_eq!(world.database().damage_at_start(), []);
}

/// The same start, cut off at each of its operations: what was logged is in files before the log
/// stops to count.
#[test]
fn a_power_cut_while_the_log_is_switched_off_loses_nothing() {
    let all = [(1, START, 1.0), (2, START - 5 * HOUR, 2.0)];
    let mut cuts = 0;
    for op in 1.. {
        let mut world = World::new(2);
        world.write("default", &all).expect("written");
        world.stop();
        world.of_default = unlogged();
        world.fs.crash_at_op(world.fs.ops() + op);
        if world.open().is_ok() {
            world.stop();
            if !world.fs.is_down() {
                break;
            }
        }
        cuts += 1;
        world.crash(if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        assert_eq!(world.read("default"), samples(&all), "operation {op}");
        assert!(!world.namespace("default").options().writes_to_commit_log);
    }
    assert!(cuts > 10, "{cuts} power cuts");
}

fn metadata() -> Metadata {
    Metadata { metric_type: MetricType::Gauge, help: "h".into(), unit: "s".into() }
}

/// A world with samples in two blocks and metadata, some of it in files.
fn filled(seed: u64) -> World {
    let world = World::new(seed);
    world.write("default", &[(1, START, 1.0), (2, START - 5 * HOUR, 2.0)]).expect("written");
    let namespace = world.namespace("default");
    let mut session = namespace.writer();
    session.push_metadata("m", metadata());
    world.commit(session).expect("written");
    world.database().flush_all().expect("flushed");
    world.write("default", &[(3, START, 3.0)]).expect("written");
    world
}

fn assert_emptied(world: &World, told: &str) {
    assert_eq!(world.read("default"), Samples::new(), "{told}");
    assert_eq!(world.namespace("default").series_count(), 0, "{told}");
    assert!(!world.namespace("default").metadata().knows("m", &metadata()), "{told}");
}

/// Directories of namespaces that are there beside those of `default`.
fn directories(world: &World) -> Vec<PathBuf> {
    let parts = ["data", "snapshots", "index", "side"];
    let of_part = |part: &&str| world.fs.list(format!("/data/{part}").as_ref());
    let mut all: Vec<PathBuf> = parts.iter().flat_map(|p| of_part(p).expect("listed")).collect();
    all.sort();
    all
}

/// The new shards of an attempt that failed lie in a directory that no one lists. The next change
/// got the same number, opened that directory, and an emptied namespace was full again.
#[test]
fn what_a_failed_change_left_is_never_opened() {
    let mut failed = 0;
    for op in 1..90 {
        let mut world = filled(3);
        world.fs.fail_at_op(world.fs.ops() + op);
        if world.database().reshard("default", 3).is_ok() {
            continue;
        }
        failed += 1;
        world.database().truncate("default").expect("emptied");
        assert_emptied(&world, &format!("operation {op}"));
        world.database().tick().expect("ticked");
        assert!(directories(&world).len() <= 4, "{:?}", directories(&world));
        world.restart();
        assert_emptied(&world, &format!("operation {op}, after a restart"));
        assert!(directories(&world).len() <= 4, "{:?}", directories(&world));
    }
    assert!(failed > 20, "{failed} attempts failed");
}

/// The same with a power cut: what is left goes at the start.
#[test]
fn what_a_change_that_was_cut_off_left_goes_at_the_start() {
    let mut cuts = 0;
    for op in 1.. {
        let mut world = filled(4);
        world.fs.crash_at_op(world.fs.ops() + op);
        let done = world.database().reshard("default", 3);
        if done.is_ok() && !world.fs.is_down() {
            break;
        }
        cuts += 1;
        world.crash(Unsynced::Kept);
        let all = [(1, START, 1.0), (2, START - 5 * HOUR, 2.0), (3, START, 3.0)];
        assert_eq!(world.read("default"), samples(&all), "operation {op}");
        assert!(directories(&world).len() <= 4, "{op}: {:?}", directories(&world));
        world.database().truncate("default").expect("emptied");
        assert_emptied(&world, &format!("operation {op}"));
    }
    assert!(cuts > 20, "{cuts} power cuts");
}

/// Only names that we alone give are taken for leftovers.
#[test]
fn directories_that_no_one_lists_go_if_they_are_ours() {
    let mut world = filled(5);
    world.stop();
    let kept = ["default.bak", "lost+found", "default@01", "@3", "default@x", "copy of default"];
    for name in kept.iter().chain(&["default@7", "gone@12"]) {
        for part in ["data", "index"] {
            let dir = PathBuf::from(format!("/data/{part}/{name}/0"));
            world.fs.create_dir_all(&dir).expect("made");
            let mut file = world.fs.create(&dir.join("file")).expect("made");
            file.write_all(b"bytes").expect("written");
        }
    }
    world.open().expect("opens");
    for name in kept {
        let file = PathBuf::from(format!("/data/data/{name}/0/file"));
        assert!(world.fs.exists(&file), "{name} is not ours to remove");
    }
    for name in ["default@7", "gone@12"] {
        for part in ["data", "index"] {
            assert!(!world.fs.exists(format!("/data/{part}/{name}").as_ref()), "{part}/{name}");
        }
    }
    assert_eq!(world.read("default").len(), 3);
}

/// A deletion over a block that is in files alone is in memory and in the log. Without snapshots
/// nothing puts it into a file, and a checkpoint dropped the log that held it.
#[test]
fn a_deletion_holds_the_log_until_a_file_has_it() {
    let mut world = World::new(6);
    let plain = NamespaceOptions { snapshot_enabled: false, ..options() };
    world.database().add_namespace("plain", plain).expect("made");
    world.write("plain", &[(1, START, 1.0), (2, START, 2.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    world.delete("plain", 1, EVER.0.0, EVER.1.0).expect("deleted");
    let want = samples(&[(2, START, 2.0)]);
    for round in 0..3 {
        world.write("default", &[(1, START + round, 1.0)]).expect("written");
        world.database().snapshot().expect("a snapshot");
        assert_eq!(world.read("plain"), want);
    }
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("plain"), want, "the deletion is not lost");
    // Once the block is flushed, the log may go.
    world.pass(5 * HOUR);
    world.database().tick().expect("ticked");
    world.database().snapshot().expect("a snapshot");
    assert!(world.files("commitlog").len() < 3, "{:?}", world.files("commitlog"));
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("plain"), want);
}

/// The option says what a start reads, in M3; it is no order to remove anything. Here a start
/// serves what is there whatever it says, in whatever order it is switched.
#[test]
fn no_setting_of_bootstrap_costs_any_data() {
    let mut world = World::new(7);
    let mut want = Vec::new();
    for (round, bootstrap_enabled) in [false, false, true, false, true].into_iter().enumerate() {
        let t = START + round as i64;
        world.of_default = NamespaceOptions { bootstrap_enabled, ..options() };
        world.open().expect("opens");
        assert_eq!(world.read("default"), samples(&want), "start {round}");
        world.write("default", &[(1, t, 1.0), (round as u32, t, 2.0)]).expect("written");
        want.extend([(1, t, 1.0), (round as u32, t, 2.0)]);
        match round {
            1 => drop(world.database().flush_all().expect("flushed")),
            2 => world.database().snapshot().expect("a snapshot"),
            _ => {}
        }
        world.crash(Unsynced::Lost);
        assert_eq!(world.read("default"), samples(&want), "start {round}");
        assert_eq!(world.database().damage_at_start(), []);
    }
}

/// A recovery of the log saves what was not logged, fails, and is tried again; meanwhile more is
/// written.
/// The second try gave its files the names of the first one's, whose samples were gone then.
#[test]
fn a_second_try_of_a_recovery_keeps_the_files_of_the_first() {
    let mut failed = 0;
    for op in 1..70 {
        let mut world = World::new(8);
        world.database().add_namespace("cache", unlogged()).expect("made");
        world.write("cache", &[(1, START, 1.0)]).expect("written");
        world.write("default", &[(1, START, 1.0)]).expect("written");
        world.fs.fail_next_sync(1);
        world.write("default", &[(1, START + 1, 2.0)]).expect_err("the log fails");
        world.fs.fail_at_op(world.fs.ops() + op);
        if world.database().tick().is_ok() {
            continue;
        }
        failed += 1;
        world.write("cache", &[(1, START + 1, 2.0)]).expect("it needs no log");
        world.database().tick().expect("the log recovers");
        world.database().snapshot().expect("a snapshot");
        world.crash(Unsynced::Lost);
        let all = samples(&[(1, START, 1.0), (1, START + 1, 2.0)]);
        assert_eq!(world.read("cache"), all, "operation {op}");
        assert_eq!(world.database().damage_at_start(), [], "operation {op}");
    }
    assert!(failed > 10, "{failed} tries failed");
}

fn long_labels(series: u32) -> Labels {
    let long = "x".repeat(60_000);
    let pairs = [("__name__", "m".to_owned()), ("pad", long), ("series", series.to_string())];
    Labels::from_pairs(pairs).expect("valid labels")
}

/// Many new series are more than one piece of log. When the log was full after the first piece,
/// the request failed, its repetition made new refs for the same labels, and after a restart both
/// were there.
#[test]
fn a_request_that_the_log_refused_half_way_leaves_no_second_series() {
    let mut world = World::new(9);
    let fs = GatedFs::new(world.fs.clone());
    world.limits.log_pending_bytes_max = 1500 << 10;
    let mut options = world.options();
    options.fs = Arc::new(fs.clone());
    world.open_with(options).expect("opens");
    let namespace = world.namespace("default");
    let push = |t: i64, all: std::ops::Range<u32>| {
        let mut session = namespace.writer();
        for series in all {
            let handle = session.resolve_labels(&long_labels(series)).expect("resolved");
            session.push(handle, TimestampNs(t), 1.0).expect("inside the window");
        }
        session.commit()
    };
    fs.shut();
    drop(push(START, 0..1).expect("the log takes it"));
    fs.wait_for_a_sync();
    drop(push(START, 1..2).expect("it waits for the first"));
    let error = push(START, 2..42).expect_err("more than may wait");
    assert!(matches!(error, TsdbError::CommitLog(CommitLogError::Busy { .. })), "{error}");
    assert_eq!(namespace.series_count(), 2, "all of a request's series are made or none");
    fs.open_gate();
    let mut tries = 0;
    while push(START, 2..42).is_err() {
        tries += 1;
        assert!(tries < 1_000_000, "the log is free some day");
        std::thread::yield_now();
    }
    drop(namespace);
    for _ in 0..2 {
        world.restart();
        let namespace = world.namespace("default");
        assert_eq!(namespace.series_count(), 42);
        let by_name = [vec![Matcher::equal("__name__", "m")]];
        assert_eq!(namespace.series(&by_name, EVER, 0).expect("listed").items.len(), 42);
        world.database().snapshot().expect("a snapshot");
    }
}

/// One damaged block ended the start that gives a namespace other shards, for good.
#[test]
fn other_shards_are_made_of_what_can_be_read() {
    let old: Vec<_> = (0..40).map(|s| (s, START - 9 * HOUR, f64::from(s))).collect();
    let new: Vec<_> = (0..40).map(|s| (s, START, f64::from(s) * 0.5)).collect();
    let all = samples(&[old.clone(), new.clone()].concat());
    let start = |world: &World| {
        let mut start = world.options();
        let shards =
            ConfiguredNamespace { options: options(), block_size_ns: None, shard_count: Some(5) };
        start.namespaces.insert("default".to_owned(), shards);
        start
    };
    let (mut told, mut at) = (0, 3);
    loop {
        let mut world = World::new(10);
        world.write("default", &old).expect("written");
        world.write("default", &new).expect("written");
        world.database().flush_all().expect("flushed");
        world.stop();
        let damaged = world.files("data/default")[0].clone();
        if at >= usize::try_from(world.fs.file_len(&damaged).expect("there")).expect("small") {
            break;
        }
        world.fs.damage(&damaged, |bytes| bytes[at] ^= 0x10).expect("damaged");
        world.open_with(start(&world)).unwrap_or_else(|e| panic!("byte {at}: {e}"));
        assert_eq!(world.namespace("default").shard_count(), 5);
        let (read, warnings) = world.read_warned("default");
        let is_of_all = |(s, found): (&u32, &std::collections::BTreeMap<i64, u64>)| {
            found.iter().all(|(t, v)| all[s].get(t) == Some(v))
        };
        assert!(read.iter().all(is_of_all), "byte {at}: nothing is made up");
        let held: usize = read.values().map(|s| s.len()).sum();
        assert!(held >= 60, "byte {at}: three of the four files are sound: {held}");
        let kept = |path: &PathBuf| path.to_string_lossy().ends_with(".damaged");
        if held < 80 {
            told += 1;
            assert!(!world.database().damage_at_start().is_empty(), "byte {at}");
            assert!(!warnings.is_empty(), "byte {at}: readers are told");
            world.database().tick().expect("ticked");
            let kept = world.files("data").into_iter().filter(kept).count();
            assert_eq!(kept, 1, "byte {at}: its bytes stay for a closer look");
        }
        world.restart();
        assert_eq!(world.read_warned("default"), (read, warnings), "byte {at}");
        at += 97;
    }
    assert!(told > 0, "some damage costs something");
}

/// A namespace whose files cannot be written must not keep others from being flushed.
#[test]
fn an_error_of_one_namespace_does_not_hold_up_the_others() {
    let mut world = World::new(11);
    let fs = GatedFs::new(world.fs.clone());
    let mut start = world.options();
    start.fs = Arc::new(fs.clone());
    world.open_with(start).expect("opens");
    for name in ["a", "z"] {
        world.database().add_namespace(name, options()).expect("made");
        world.write(name, &[(1, START - 5 * HOUR, 1.0)]).expect("written");
    }
    world.database().flush_all().expect("flushed");
    assert_eq!(world.files("data/z").len(), 1);
    for name in ["a", "z"] {
        world.write(name, &[(2, START - 5 * HOUR, 2.0)]).expect("written");
    }
    fs.refuse_below(Some("/data/data/a"));
    world.pass(3 * HOUR);
    let error = world.database().tick().expect_err("one cannot be flushed");
    assert!(error.to_string().contains("/data/data/a"), "{error}");
    let newest = |world: &World| world.files("data/z")[0].to_string_lossy().into_owned();
    assert!(newest(&world).ends_with("-1.fileset"), "the other one is flushed: {}", newest(&world));
    world.write("z", &[(2, START - 5 * HOUR, 3.0)]).expect("written");
    let error = world.database().flush_all().expect_err("one cannot be flushed");
    assert!(error.to_string().contains("/data/data/a"), "{error}");
    assert!(newest(&world).ends_with("-2.fileset"), "the other one is flushed: {}", newest(&world));
    fs.refuse_below(None);
    world.database().tick().expect("all can be flushed");
    assert_eq!(world.read("a").len(), 2);
}
