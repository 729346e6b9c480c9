//! What scrubs find in files of every kind, on disks that rot and on disks with bad sectors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use m3rs_core::clock::Clock;
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::{Database, DatabaseOptions, Progress};

use crate::faults::files_below;
use crate::{START, World};

/// A world with files of every kind but a side file, all of them sound and served.
fn with_files() -> World {
    let mut world = World::new(31);
    let samples = |by: i64| -> Vec<_> {
        (0..10).map(|s| (s, START + by + i64::from(s), f64::from(s))).collect()
    };
    world.write(&samples(0)).expect("written");
    world.database().flush_all().expect("flushed");
    world.write(&samples(100)).expect("written");
    world.database().snapshot().expect("taken");
    world.write(&samples(200)).expect("written");
    // The log goes on in another segment.
    world.reopen();
    let report = world.database().scrub().expect("the disk is fine");
    assert_eq!(report.damaged_files, 0, "{:?}", world.database().status().quarantined);
    world
}

/// A file of each kind, with what a scrub calls it.
fn one_of_each(world: &World) -> Vec<(&'static str, PathBuf)> {
    let first = |dir: &str, ending: &str| {
        let mut files = files_below(world, Path::new(dir)).into_iter();
        files.find(|path| path.to_string_lossy().ends_with(ending)).expect("there is one")
    };
    vec![
        ("volume", first("/data/data", ".fileset")),
        ("snapshot", first("/data/snapshots", ".snapshot")),
        ("index", first("/data/index", "")),
        ("catalog", PathBuf::from("/data/namespaces/catalog")),
        ("catalog", PathBuf::from("/data/namespaces/catalog.copy")),
        ("log", first("/data/commitlog", ".log")),
    ]
}

fn check_told(world: &World, kind: &str, path: &Path) {
    let report = world.database().scrub().expect("damage is no error");
    assert_eq!(report.damaged_files, 1, "{}", path.display());
    let status = world.database().status();
    let [told] = &status.quarantined[..] else { panic!("{:?}", status.quarantined) };
    assert_eq!((told.kind, told.path.as_path()), (kind, path));
    assert!(status.scrubbed_files >= report.files && report.files > 6, "{report:?}");
    let (served, warnings) = world.read_damaged(0..=i64::MAX / 2);
    assert!(served.len() >= 9, "{kind}: the rest is served: {}", served.len());
    let is_warned = warnings.iter().any(|w| w.contains(&*path.to_string_lossy()));
    match kind {
        "index" => assert!(is_warned && warnings[0].contains("next start"), "{warnings:?}"),
        "catalog" | "log" => assert_eq!(warnings, Vec::<String>::new()),
        _ => {}
    }
}

/// Only filesets and index segments were looked at, and an index that rotted warned nobody.
#[test]
fn a_scrub_finds_a_flipped_byte_in_a_file_of_any_kind() {
    for (kind, path) in one_of_each(&with_files()) {
        let mut world = with_files();
        world
            .fs
            .damage(&path, |bytes| {
                let at = bytes.len() / 2;
                bytes[at] ^= 0x10;
            })
            .expect("damaged");
        check_told(&world, kind, &path);
        if kind == "index" {
            world.reopen();
            world.check(0..=i64::MAX / 2);
            let report = world.database().scrub().expect("the disk is fine");
            assert_eq!(report.damaged_files, 0, "the start made it anew");
        }
    }
}

/// The file was mapped, and a sector that the disk did not read back ended the process. The
/// simulated disk lets no such file be mapped, so this proves that reads do without, too.
#[test]
fn a_bad_sector_is_damage_and_the_rest_is_served() {
    for (kind, path) in one_of_each(&with_files()) {
        let world = with_files();
        // Behind the header, and in the blocks of a fileset.
        world.fs.make_unreadable(&path, 20..21).expect("there");
        let report = world.database().scrub().expect("damage is no error");
        assert_eq!(report.damaged_files, 1, "{}", path.display());
        let status = world.database().status();
        assert_eq!(status.quarantined[0].kind, kind);
        assert!(status.quarantined[0].first.contains("bad sector"), "{:?}", status.quarantined);
        let (served, warnings) = world.read_damaged(0..=i64::MAX / 2);
        assert_eq!(served.len(), 10, "{kind}: other files have these series: {warnings:?}");
        let is_warned = warnings.iter().any(|w| w.contains(&*path.to_string_lossy()));
        assert_eq!(is_warned, !matches!(kind, "catalog" | "log"), "{kind}: {warnings:?}");
    }
}

/// A clock on which 100 ms pass whenever it is looked at.
#[derive(Debug, Default)]
struct BusyClock(AtomicU64);

impl Clock for BusyClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(START)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(100, Ordering::Relaxed))
    }
}

/// A file was paid for as a whole by the one after it, and read as fast as the disk is.
#[test]
fn a_scrub_keeps_its_rate_within_a_file() {
    let (fs, clock) = (SimFs::new(33), Arc::new(BusyClock::default()));
    let dir = PathBuf::from("/data");
    let shared = Arc::new(fs.clone());
    let mut options = DatabaseOptions::new(shared, clock.clone(), dir, [7; 192]);
    options.background = false;
    options.limits.scrub_bytes_per_second_max = 1 << 20;
    let database = Database::open(options, Arc::new(Progress::new())).expect("opens");
    // The last file of all that are read, so nobody after it waits for it.
    let path = Path::new("/data/namespaces/catalog.copy");
    fs.damage(path, |bytes| bytes.resize(5 << 20, 0)).expect("damaged");
    let before = clock.0.load(Ordering::Relaxed);
    let report = database.scrub().expect("damage is no error");
    let took_ms = clock.0.load(Ordering::Relaxed) - before;
    assert_eq!((report.damaged_files, report.bytes >> 20), (1, 5));
    assert!((4000..8000).contains(&took_ms), "{took_ms} ms for 5 MiB at 1 MiB/s");
}
