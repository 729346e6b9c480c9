//! Starts of a database over what crashes, lost files and damage left.

#[path = "namespaces/world.rs"]
#[expect(dead_code, reason = "other stories use the rest of it")]
mod world;

use std::path::Path;

use m3rs_core::fs::Fs;
use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::DEFAULT_NAMESPACE;

use crate::world::{START, Samples, World, samples};

/// Writes the rows as one request.
fn write(world: &World, all: &mut Vec<(u32, i64, f64)>, rows: &[(u32, i64, f64)]) {
    world.write(DEFAULT_NAMESPACE, rows).expect("written");
    all.extend(rows);
}

fn read(world: &World) -> Samples {
    world.read(DEFAULT_NAMESPACE)
}

/// The commit log numbered its segments from 1 again when its directory was lost. Snapshots named
/// after them sorted below those that were there, or were taken for leftovers that a volume holds
/// already: `open_snapshots` removed them, and with them samples that were acknowledged.
#[test]
fn snapshots_after_a_lost_log_lie_over_what_was_there() {
    for ends_in_a_volume in [false, true] {
        let mut world = World::new(31);
        let mut all = Vec::new();
        for round in 0..6 {
            write(&world, &mut all, &[(1, START, f64::from(round)), (2, START, 0.5)]);
            world.database().snapshot().expect("a snapshot");
        }
        if ends_in_a_volume {
            world.database().flush_all().expect("flushed");
        }
        world.stop();
        world.fs.remove_dir_all(Path::new("/data/commitlog")).expect("lost");
        world.open().expect("opens without a log");
        write(&world, &mut all, &[(1, START, 77.0), (3, START + NS_PER_S, 78.0)]);
        world.database().snapshot().expect("a snapshot");
        world.crash(Unsynced::Lost);
        assert_eq!(read(&world), samples(&all), "in a volume: {ends_in_a_volume}");
    }
}

/// Two index segments: series 0 to 9, and 10 to 12. Of 12 no file has samples, so that only the
/// second segment names it.
fn with_two_segments() -> (World, Samples) {
    let world = World::new(32);
    let mut all = Vec::new();
    let first: Vec<_> = (0..10).map(|s| (s, START, f64::from(s))).collect();
    write(&world, &mut all, &first);
    world.database().flush_all().expect("flushed");
    let second: Vec<_> = (10..13).map(|s| (s, START, f64::from(s))).collect();
    write(&world, &mut all, &second);
    world.delete(DEFAULT_NAMESPACE, 12, START, START).expect("deleted");
    world.database().flush_all().expect("flushed");
    all.retain(|row| row.0 != 12);
    write(&world, &mut all, &[(12, START + NS_PER_S, 1.0), (3, START + NS_PER_S, 2.0)]);
    assert_eq!(segments(&world), 2);
    (world, samples(&all))
}

fn segments(world: &World) -> usize {
    world.files("index").iter().filter(|f| f.to_string_lossy().ends_with(".idx")).count()
}

/// An index that is made anew was put in place file by file. A power cut after the damaged segment
/// was set aside, and before the newer sound one was, left an index that knew its newest series
/// and so was taken for whole: the series of the damaged segment were gone unnoticed, and merges
/// dropped their samples.
#[test]
fn a_power_cut_while_an_index_is_made_anew_forgets_no_series() {
    let damaged = |seed: u8| {
        let (mut world, all) = with_two_segments();
        world.stop();
        let path = &world.files("index")[0];
        world.fs.damage(path, |bytes| bytes[100] ^= seed).expect("damaged");
        (world, all)
    };
    let (mut world, all) = damaged(1);
    let first = world.fs.ops();
    world.open().expect("opens");
    assert_eq!(world.database().damage_at_start().len(), 1);
    let last = world.fs.ops();
    assert_eq!(read(&world), all);
    assert!(last > first + 8, "it is several operations: {first} to {last}");
    for op in first + 1..=last {
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
            let (mut world, all) = damaged(1);
            world.fs.crash_at_op(op);
            let cut_off = world.open().is_err();
            world.crash(unsynced);
            assert_eq!(read(&world), all, "operation {op} of {last}, {unsynced:?}, {cut_off}");
            world.database().flush_all().expect("flushed");
            world.crash(Unsynced::Lost);
            assert_eq!(read(&world), all, "merged after operation {op}, {unsynced:?}");
            let name = world.files("index").into_iter().find(|f| {
                let name = f.to_string_lossy().into_owned();
                !name.ends_with(".idx") && !name.ends_with(".damaged")
            });
            assert_eq!(name, None, "operation {op}, {unsynced:?}: a leftover");
        }
    }
}

/// Only the largest ref of all files was compared with the index, so that a segment in the middle
/// could vanish without a word.
#[test]
fn an_index_segment_that_vanished_is_told_and_made_anew() {
    for lost in 0..2 {
        let (mut world, all) = with_two_segments();
        world.stop();
        world.fs.remove_file(&world.files("index")[lost]).expect("lost");
        world.open().expect("opens");
        let told = world.database().damage_at_start();
        assert_eq!(told.iter().filter(|d| d.what.contains("index")).count(), 1, "{told:?}");
        let mut got = read(&world);
        if lost == 1 {
            // Nothing else names it.
            assert_eq!(got.insert(12, all[&12].clone()), None);
        }
        assert_eq!(got, all, "segment {lost}");
        if lost == 0 {
            world.crash(Unsynced::Lost);
            assert_eq!(world.database().damage_at_start(), [], "it is whole again");
            assert_eq!(read(&world), all, "segment {lost}");
        }
    }
}
