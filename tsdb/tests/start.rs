//! Starts of a database over what crashes, lost files and damage left.

#[path = "namespaces/world.rs"]
#[expect(dead_code, reason = "other stories use the rest of it")]
mod world;

#[path = "start/hooked.rs"]
mod hooked;
#[path = "start/older.rs"]
mod older;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use m3rs_core::fs::Fs;
use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database, Progress, Stage};

use crate::hooked::Hooked;
use crate::world::{HOUR, START, Samples, World, samples};

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
        let (mut got, warnings) = world.read_warned(DEFAULT_NAMESPACE);
        let is_told = warnings.iter().any(|w| w.contains("names are lost"));
        assert_eq!(is_told, lost == 1, "{warnings:?}");
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

/// Everything that a start sets right at once: damaged volumes, snapshots, index and catalog, what
/// was never finished, and what a flush left behind.
fn with_all_to_recover() -> World {
    let mut world = World::new(33);
    let mut all = Vec::new();
    for hour in 0..3 {
        let rows: Vec<_> = (0..8).map(|s| (s, START - hour * 5 * HOUR, f64::from(s))).collect();
        write(&world, &mut all, &rows);
        world.database().flush_all().expect("flushed");
    }
    write(&world, &mut all, &[(1, START + 1, 1.5), (2, START + 1, 2.5)]);
    world.database().snapshot().expect("a snapshot");
    write(&world, &mut all, &[(9, START + 2, 3.5), (2, START + 3, 4.5)]);
    world.stop();
    let volumes = world.files("data");
    let put = |path: &Path, bytes: &[u8]| {
        let mut file = world.fs.create(path).expect("made");
        file.write_all(bytes).and_then(|()| file.sync()).expect("written");
        world.fs.sync_dir(path.parent().expect("below a directory")).expect("synced");
    };
    // The newer volume stays as it is, and the older one is a leftover.
    let text = volumes[0].to_string_lossy().into_owned();
    let bytes = world.fs.read(&volumes[0]).expect("read");
    put(Path::new(&text.replace("-0.fileset", "-1.fileset")), &bytes);
    put(Path::new(&format!("{text}.tmp")), b"cut off");
    let cut = |path: &PathBuf| world.fs.damage(path, |bytes| bytes.truncate(40)).expect("cut");
    cut(&volumes[1]);
    cut(&world.files("snapshots")[0]);
    cut(&world.files("index")[0]);
    cut(&PathBuf::from("/data/namespaces/catalog"));
    world
}

#[test]
fn a_power_cut_at_any_operation_of_a_recovery_changes_nothing_of_its_outcome() {
    let mut world = with_all_to_recover();
    let first = world.fs.ops();
    world.open().expect("opens");
    assert_eq!(world.database().damage_at_start().len(), 4);
    let last = world.fs.ops();
    let (want, warnings) = world.read_warned(DEFAULT_NAMESPACE);
    assert_eq!(warnings.len(), 2, "of the volume and the snapshot: {warnings:?}");
    assert!(want.len() == 9 && last > first + 20, "{want:?}, {first} to {last}");
    for op in first + 1..=last {
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
            let mut world = with_all_to_recover();
            world.fs.crash_at_op(op);
            let cut_off = world.open().is_err();
            world.crash(unsynced);
            let want = (want.clone(), warnings.clone());
            let case = format!("operation {op} of {last}, {unsynced:?}, {cut_off}");
            assert_eq!(world.read_warned(DEFAULT_NAMESPACE), want, "{case}");
            world.crash(Unsynced::Lost);
            assert_eq!(world.read_warned(DEFAULT_NAMESPACE), want, "after {case}");
        }
    }
}

/// The stages of a real start, with two index segments, several log segments and more shards.
#[test]
fn progress_moves_through_every_stage_and_never_goes_back() {
    let (mut world, _) = with_two_segments();
    for round in 0..6 {
        world.write(DEFAULT_NAMESPACE, &[(1, START + round, 1.0)]).expect("written");
        world.open().expect("opens");
    }
    world.stop();
    let mut options = world.options();
    let of_default = m3rs_tsdb::ConfiguredNamespace {
        shard_count: Some(3),
        ..m3rs_tsdb::ConfiguredNamespace::default()
    };
    options.namespaces.insert(DEFAULT_NAMESPACE.to_owned(), of_default);
    let progress = Arc::new(Progress::new());
    let seen: Arc<Mutex<Vec<(Stage, f64)>>> = Arc::default();
    let (watched, noted) = (Arc::clone(&progress), Arc::clone(&seen));
    options.fs = Hooked::over(&world.fs, move || {
        noted.lock().expect("not poisoned").push(watched.stage_and_ratio());
    });
    let database = Database::open(options, Arc::clone(&progress)).expect("opens");
    assert_eq!(progress.stage_and_ratio(), (Stage::Ready, 1.0));
    drop(database);
    let seen = seen.lock().expect("not poisoned").clone();
    for pair in seen.windows(2) {
        let ((before, was), (stage, is)) = (pair[0], pair[1]);
        assert!(stage > before || (stage == before && is >= was), "{pair:?}");
    }
    for stage in Stage::ALL {
        let mut ratios: Vec<f64> =
            seen.iter().filter(|(s, _)| *s == stage).map(|(_, ratio)| *ratio).collect();
        ratios.dedup();
        let least = match stage {
            Stage::Files | Stage::Index | Stage::CommitLog => 3,
            Stage::Starting | Stage::Series | Stage::Reshard => 1,
            Stage::Ready | Stage::Closed => 0,
        };
        assert!(ratios.len() >= least, "{stage:?}: {ratios:?}");
    }
}
