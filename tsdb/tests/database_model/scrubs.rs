//! What scrubs find in files of every kind, on disks that rot and on disks with bad sectors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use m3rs_core::clock::Clock;
use m3rs_core::fs::Fs;
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{Database, DatabaseOptions, NamespaceOptions, Progress, TsdbError};

use crate::faults::files_below;
use crate::side::{check_side, write_side};
use crate::{START, World};

const SIDE: &str = "/data/side/default/metadata-exemplars.side";

/// A world with files of every kind, all of them sound and served.
fn with_files() -> World {
    let mut world = World::new(31);
    let samples = |by: i64| -> Vec<_> {
        (0..10).map(|s| (s, START + by + i64::from(s), f64::from(s))).collect()
    };
    world.write(&samples(0)).expect("written");
    write_side(&mut world, 0);
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
        ("side", PathBuf::from(SIDE)),
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
        "side" | "catalog" | "log" => assert_eq!(warnings, Vec::<String>::new()),
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
        assert_eq!(is_warned, !matches!(kind, "side" | "catalog" | "log"), "{kind}: {warnings:?}");
    }
}

/// A start maps files, and one bad sector ended it, each time it was tried.
#[test]
fn a_start_goes_on_past_a_bad_sector() {
    // Of filesets a start maps the end alone; in the simulation no part of such a file.
    let is_read_whole = |kind: &str| !matches!(kind, "volume" | "snapshot");
    for (kind, path) in one_of_each(&with_files()) {
        if !is_read_whole(kind) {
            continue;
        }
        let mut world = with_files();
        world.crash(Unsynced::Lost);
        world.fs.make_unreadable(&path, 20..21).expect("there");
        world.reopen();
        let told = world.database().damage_at_start();
        let is_told = told.iter().any(|damage| damage.path == path);
        assert!(is_told, "{kind}: {told:?}");
        let (served, _) = world.read_damaged(0..=i64::MAX / 2);
        assert_eq!(served.len(), 10, "{kind}: other files have these series");
    }
}

/// A header of 16 bytes and a payload of two.
const SEAL_LEN: usize = 18;

type Harm = fn(&SimFs) -> std::io::Result<()>;

type Job = fn(&Database) -> Result<(), TsdbError>;

/// Memory has all that is in the file, so damage of it costs nothing.
#[test]
fn a_damaged_side_file_is_written_again_from_memory() {
    let harms: [Harm; 3] = [
        |fs| fs.damage(Path::new(SIDE), |bytes| bytes[20] ^= 0x10),
        |fs| fs.damage(Path::new(SIDE), Vec::clear),
        |fs| fs.make_unreadable(Path::new(SIDE), 20..21),
    ];
    let jobs: [Job; 2] = [Database::snapshot, |database| database.flush_all().map(drop)];
    for (harm, job) in harms.into_iter().flat_map(|harm| jobs.map(|job| (harm, job))) {
        let mut world = with_files();
        // The file lacks nothing, and nothing else would have it written.
        job(world.database()).expect("the disk is fine");
        harm(&world.fs).expect("damaged");
        check_told(&world, "side", Path::new(SIDE));
        check_side(&world, 1);
        job(world.database()).expect("the disk is fine");
        let report = world.database().scrub().expect("the disk is fine");
        assert_eq!(report.damaged_files, 0);
        assert_eq!(world.database().status().quarantined, []);
        world.crash(Unsynced::Lost);
        assert_eq!(world.database().damage_at_start(), []);
        check_side(&world, 1);
        world.check(0..=i64::MAX / 2);
    }
}

/// A segment that lost its end looks like one whose writer died; only its successor, closed or
/// written to, knows that it was sealed.
#[test]
fn a_scrub_finds_a_segment_of_the_log_that_lost_its_seal() {
    let mut world = with_files();
    // Without snapshots the log stays for the open blocks.
    let old = world.database().namespace("default").expect("it exists").options();
    let new = NamespaceOptions { snapshot_enabled: false, ..old.as_ref().clone() };
    world.database().update_namespace("default", new).expect("changed");
    for by in [300, 400] {
        world.write(&[(1, START + by, 1.0)]).expect("written");
        world.database().snapshot().expect("the log goes on in another segment");
    }
    // The log's thread makes a segment in its turn, and before it writes there.
    world.write(&[(1, START + 500, 1.0)]).expect("written");
    let segments = files_below(&world, Path::new("/data/commitlog"));
    let [.., first, second, _written_to] = &segments[..] else { panic!("{segments:?}") };
    for path in [first, second] {
        let sound = world.fs.read(path).expect("read");
        for lost in [1, SEAL_LEN] {
            let keep = sound.len() - lost;
            world.fs.damage(path, |bytes| bytes.truncate(keep)).expect("damaged");
            check_told(&world, "log", path);
            let told = world.database().status().quarantined.remove(0);
            assert!(told.first.contains("a seal"), "{told:?}");
        }
        world.fs.damage(path, |bytes| *bytes = sound).expect("mended");
        assert_eq!(world.database().scrub().expect("the disk is fine").damaged_files, 0);
        assert_eq!(world.database().status().quarantined, []);
    }
    // The writer dies, and so does not seal.
    world.crash(Unsynced::Lost);
    assert_eq!(world.database().scrub().expect("the disk is fine").damaged_files, 0);
    world.check(0..=i64::MAX / 2);
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
