//! Limits on namespaces, new series and the disk.

use std::sync::atomic::{AtomicBool, Ordering};

use m3rs_core::ErrorKind;
use m3rs_core::fs::Fs;
use m3rs_core::time::NS_PER_S;
use m3rs_tsdb::{NamespaceOptions, TsdbError};

use crate::world::{HOUR, START, World, options, samples};

#[test]
fn new_series_have_a_rate_and_known_ones_are_written() {
    let mut world = World::new(1);
    world.limits.new_series_per_second_max = 10;
    world.open().expect("opens");
    let first: Vec<_> = (0..10).map(|s| (s, START, 1.0)).collect();
    world.write("default", &first).expect("a second's worth at once");
    let error = world.write("default", &[(10, START, 1.0)]).expect_err("one more");
    assert!(matches!(error, TsdbError::NewSeriesRate { limit: 10 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("limits.new_series_per_second_max"), "{error}");
    world.write("default", &[(3, START + 1, 2.0)]).expect("a known series");
    world.pass(NS_PER_S / 10);
    world.write("default", &[(10, START, 1.0)]).expect("time brings another");
    world.write("default", &[(11, START, 1.0)]).expect_err("but one only");
    assert_eq!(world.database().status().series_rate_refusals, 2);

    // A namespace's own rate wins, and may change at once.
    let own = NamespaceOptions { new_series_per_second_max: 2, ..options() };
    world.database().add_namespace("own", own.clone()).expect("made");
    world.write("own", &[(1, START, 1.0), (2, START, 1.0)]).expect("two");
    world.write("own", &[(3, START, 1.0)]).expect_err("not three");
    let more = NamespaceOptions { new_series_per_second_max: 100, ..own };
    world.database().update_namespace("own", more).expect("changed");
    world.pass(NS_PER_S);
    let many: Vec<_> = (3..70).map(|s| (s, START, 1.0)).collect();
    world.write("own", &many).expect("the new rate");
}

#[test]
fn a_namespace_may_have_fewer_series_than_others() {
    let world = World::new(2);
    let few = NamespaceOptions { series_max: 3, ..options() };
    world.database().add_namespace("few", few).expect("made");
    let all: Vec<_> = (0..3).map(|s| (s, START, 1.0)).collect();
    world.write("few", &all).expect("three");
    let error = world.write("few", &[(3, START, 1.0)]).expect_err("a fourth");
    assert!(matches!(error, TsdbError::SeriesLimit { limit: 3 }), "{error}");
    world.write("default", &[(3, START, 1.0)]).expect("another namespace");
}

#[test]
fn there_are_only_so_many_namespaces() {
    let mut world = World::new(3);
    world.limits.namespaces_max = 3;
    world.open().expect("opens");
    for name in ["a", "b"] {
        world.database().add_namespace(name, options()).expect(name);
    }
    let error = world.database().add_namespace("c", options()).expect_err("a fourth");
    assert!(error.to_string().contains("limits.namespaces_max"), "{error}");
    world.database().remove_namespace("a").expect("removed");
    world.database().add_namespace("c", options()).expect("there is room again");
}

/// What M3 has as runtime options and means something here: new series in a second, and how much
/// may wait to be flushed. The rate of flushes has a test of its own.
#[test]
fn limits_change_while_the_database_serves() {
    let world = World::new(9);
    let one = NamespaceOptions { shard_count: 1, ..options() };
    world.database().add_namespace("one", one).expect("made");
    world.database().set_new_series_rate(2);
    world.write("one", &[(1, START, 1.0), (2, START, 1.0)]).expect("two");
    let error = world.write("one", &[(3, START, 1.0)]).expect_err("not three");
    assert!(matches!(error, TsdbError::NewSeriesRate { limit: 2 }), "{error}");
    world.database().set_new_series_rate(0);
    world.write("one", &[(3, START, 1.0)]).expect("no limit");

    world.database().set_windows_max(1);
    for block in 1..3 {
        let written = world.write("one", &[(1, START - block * 2 * HOUR, 1.0)]);
        assert_eq!(written.is_ok(), block == 1, "{written:?}");
    }
    world.database().set_windows_max(3);
    world.write("one", &[(1, START - 4 * HOUR, 1.0)]).expect("there is room");
}

/// The disk fills up, writes stop before it is full, and go on once there is space.
#[test]
fn writes_stop_at_the_disk_floor_and_the_rest_goes_on() {
    let world = World::new(4);
    // A hundredth of the volume is below the setting, and counts.
    world.fs.set_space(Some(20_000_000));
    let mut model = Vec::new();
    let mut refused = None;
    for round in 0..10_000 {
        let t = START - 6 * HOUR + round * NS_PER_S;
        let request: Vec<_> = (0..50).map(|s| (s, t, f64::from(s).sqrt() + round as f64)).collect();
        world.pass(NS_PER_S);
        match world.write("default", &request) {
            Ok(()) => model.extend(request),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        // Someone else fills the disk too.
        if round % 10 == 9 {
            let free = world.database().status().disk_free_bytes.expect("known");
            world.fs.set_space(Some(free - free / 4));
        }
    }
    let error = refused.expect("the disk is nearly full");
    assert!(matches!(error, TsdbError::DiskFloor { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("limits.disk_floor_bytes_max"), "{error}");
    let status = world.database().status();
    assert!(status.disk_floor_refusals > 0);
    assert!(status.disk_free_bytes.expect("known") > 0, "the disk is not full");
    assert_eq!(status.log_failure, None, "the log never met a full disk");
    assert_eq!(world.read("default"), samples(&model), "reads go on");

    let error = world.write("default", &[(1000, START, 1.0)]).expect_err("a new series too");
    assert!(matches!(error, TsdbError::DiskFloor { .. }), "{error}");

    world.fs.set_space(Some(20_000_000));
    world.pass(NS_PER_S);
    world.write("default", &[(1, START, 1.0)]).expect("there is space again");
    model.push((1, START, 1.0));
    assert_eq!(world.read("default"), samples(&model));
}

/// What frees space is not held up by the floor.
#[test]
fn a_checkpoint_below_the_floor_frees_the_log() {
    let mut world = World::new(5);
    let mut model = Vec::new();
    for round in 0..200 {
        let request: Vec<_> =
            (0..20).map(|s| (s, START + round * NS_PER_S, f64::from(s))).collect();
        world.write("default", &request).expect("there is space");
        model.extend(request);
    }
    let log = |world: &World| -> u64 {
        let files = world.files("commitlog");
        files.iter().map(|f| Fs::file_len(&world.fs, f).expect("there")).sum()
    };
    let before = log(&world);
    world.limits.disk_floor_bytes_max = u64::MAX;
    world.open().expect("opens");
    world.fs.set_space(Some(before));
    // The floor is a hundredth of the volume; leave half of that.
    let used: u64 =
        world.files("").iter().map(|f| Fs::file_len(&world.fs, f).expect("there")).sum();
    world.fs.set_space(Some(used / 250));
    world.pass(NS_PER_S);
    world.write("default", &[(1, START, 9.0)]).expect_err("below the floor");
    world.fs.set_space(Some(before));
    world.pass(NS_PER_S);
    world.database().flush_all().expect("flushed");
    assert!(log(&world) < before / 2, "{} of {before}", log(&world));
    world.write("default", &[(1, START, 9.0)]).expect("there is space again");
    model.push((1, START, 9.0));
    assert_eq!(world.read("default"), samples(&model));
}

#[test]
fn only_so_many_windows_wait_to_be_flushed() {
    let mut world = World::new(6);
    world.limits.windows_max = 3;
    world.open().expect("opens");
    let one = NamespaceOptions { shard_count: 1, ..options() };
    world.database().add_namespace("one", one).expect("made");
    let write = |block: i64| world.write("one", &[(1, START - block * 2 * HOUR, 1.0)]);
    for block in 0..4 {
        write(block).expect("the limit is looked at before a request");
    }
    let error = write(5).expect_err("more wait than may");
    assert!(matches!(error, TsdbError::WindowLimit { limit: 3 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("limits.windows_max"), "{error}");
    world.write("default", &[(1, START, 1.0)]).expect("another namespace");
    world.database().flush_all().expect("flushed");
    write(5).expect("none waits any more");
    let want: Vec<_> = [0, 1, 2, 3, 5].map(|b| (1, START - b * 2 * HOUR, 1.0)).into();
    assert_eq!(world.read("one"), samples(&want));
}

/// Log that no file holds has a most; writes go on once a snapshot holds it.
#[test]
fn the_log_grows_no_further_than_files_can_follow() {
    let mut world = World::new(7);
    world.limits.log_uncovered_bytes_max = 2000;
    world.open().expect("opens");
    let mut all = Vec::new();
    let refused = loop {
        let sample = (1, START + all.len() as i64, 1.0);
        match world.write("default", &[sample]) {
            Ok(()) => all.push(sample),
            Err(error) => break error,
        }
    };
    assert!(refused.to_string().contains("limits.log_uncovered_bytes_max"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let held = world.database().status().log_uncovered_bytes;
    assert!((1900..=2000).contains(&held), "{held}");
    assert_eq!(world.read("default"), samples(&all), "reads go on");
    world.restart();
    world.write("default", &[(1, START - 1, 1.0)]).expect_err("a start changes nothing of it");
    world.database().snapshot().expect("a snapshot");
    assert_eq!(world.database().status().log_uncovered_bytes, 0);
    world.write("default", &[(1, START - 1, 1.0)]).expect("there is room");
    all.push((1, START - 1, 1.0));
    assert_eq!(world.read("default"), samples(&all));
}

/// A flush takes as long as the rate says, and another rate holds for one that is under way.
#[test]
fn a_flush_is_written_at_the_persist_rate() {
    let flush = |rate: u64, rate_meanwhile: Option<u64>| {
        let world = World::new(8);
        for block in 0..20 {
            let t = START - block * 2 * HOUR;
            let request: Vec<_> = (0..50).map(|s| (s, t + i64::from(s), f64::from(s))).collect();
            world.write("default", &request).expect("written");
        }
        world.database().set_persist_rate(rate);
        assert_eq!(world.database().status().persist_bytes_per_second_max, rate);
        let (began, done) = (world.now(), AtomicBool::new(false));
        let took = std::thread::scope(|scope| {
            let flushing = scope.spawn(|| {
                let flushed = world.database().flush_all();
                let took = world.now() - began;
                done.store(true, Ordering::Release);
                flushed.map(|_| took)
            });
            while !done.load(Ordering::Acquire) {
                if rate > 0 {
                    world.pass(NS_PER_S / 100);
                }
                if let Some(other) = rate_meanwhile.filter(|_| world.now() > began + NS_PER_S) {
                    world.database().set_persist_rate(other);
                }
                std::thread::yield_now();
            }
            flushing.join().expect("no panic").expect("flushed")
        });
        let len = |path: &std::path::PathBuf| Fs::file_len(&world.fs, path).expect("there");
        let written: Vec<u64> = world.files("data").iter().map(len).collect();
        assert!(written.len() >= 20, "{written:?}");
        // The last write is paid for by whoever comes next.
        let paid = written.iter().sum::<u64>() - written.iter().max().expect("some");
        (took, paid)
    };
    let (took, paid) = flush(1000, None);
    let least = i64::try_from(paid * NS_PER_S.unsigned_abs() / 1000).expect("small");
    assert!(took >= least, "{paid} bytes at 1,000 a second took {took} ns");
    let (took, _) = flush(0, None);
    assert_eq!(took, 0, "without a rate nobody waits for the clock");
    // At this rate it would take a year.
    let (took, _) = flush(1, Some(0));
    assert!(took < 1000 * 3600 * NS_PER_S, "a new rate holds at once: {took} ns");
}
