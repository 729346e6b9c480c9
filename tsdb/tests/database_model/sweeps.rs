//! Every byte of every kind of file is flipped, and every file is cut at every length: the
//! database starts, tells it where it should be told, and answers right from all the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use m3rs_core::clock::Clock;
use m3rs_core::fs::Fs;
use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::commitlog::SegmentReader;
use m3rs_tsdb::fileset::FilesetReader;
use m3rs_tsdb::{Damage, KnownLoss, NamespaceOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::side::write_side;
use crate::{HOUR, Model, RichSample, START, World, days, files_below};

/// Bits that are flipped in each byte.
const MASKS: [u8; 2] = [0x01, 0xfe];

/// What a file is to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Catalog,
    Side,
    Index,
    SealedLog,
    OpenLog,
    Volume,
    Compacted,
    Snapshot,
}

/// One small file of each kind, in a world that was killed.
fn small() -> (World, BTreeMap<Kind, Vec<PathBuf>>) {
    let mut world = World::new(24);
    world.shard_count = 1;
    world.start_over();
    // Its window stays in memory, and so the log before the snapshot stays, sealed.
    let unsnapped = NamespaceOptions { snapshot_enabled: false, ..NamespaceOptions::default() };
    let unsnapped = NamespaceOptions { shard_count: 1, ..unsnapped };
    world.database().add_namespace("unsnapped", unsnapped).expect("made");
    let day = START - START % (24 * HOUR);
    for hour in [1, 5] {
        world.write(&[(1, day + hour * HOUR, 0.5), (2, day + hour * HOUR, 0.25)]).expect("written");
    }
    world.clock.pass_to(day + 40 * HOUR);
    world.database().flush_all().expect("flushed");
    world.database().compact().expect("compacted");
    let now = world.clock.now().0;
    world.write(&[(1, now, 1.0), (2, now, 2.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    world.write(&[(2, now + NS_PER_S, 3.0), (3, now, 4.0)]).expect("written");
    world.delete(&[1], now..=now).expect("deleted");
    write_side(&mut world, 1);
    world.write_elsewhere("unsnapped", now);
    world.database().snapshot().expect("a snapshot");
    world.write(&[(2, now + 2 * NS_PER_S, 5.0)]).expect("written");
    world.write(&[(4, now, 6.0)]).expect("written");
    world.fs.crash(Unsynced::Kept);
    drop(world.database.take());
    let mut kinds: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
    for path in files_below(&world, Path::new("/data")) {
        if let Some(kind) = kind_of(&path) {
            kinds.entry(kind).or_default().push(path);
        }
    }
    let logs = kinds.get_mut(&Kind::SealedLog).expect("two segments");
    let newest = logs.pop().expect("two segments");
    assert!(!logs.is_empty(), "a sealed segment is left");
    kinds.insert(Kind::OpenLog, vec![newest]);
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    (world, kinds)
}

fn kind_of(path: &Path) -> Option<Kind> {
    let text = path.to_string_lossy();
    Some(match text.strip_prefix("/data/")?.split_once('/')? {
        ("namespaces", _) => Kind::Catalog,
        ("side", _) => Kind::Side,
        ("index", _) => Kind::Index,
        ("commitlog", _) => Kind::SealedLog,
        ("snapshots", _) => Kind::Snapshot,
        ("data", rest) if rest.contains("/1d/") => Kind::Compacted,
        ("data", _) => Kind::Volume,
        _ => return None,
    })
}

/// How the database took a damaged file.
struct Told {
    at_start: Vec<Damage>,
    losses: Vec<KnownLoss>,
    warnings: Vec<String>,
    scrubbed: BTreeSet<PathBuf>,
    lost: BTreeSet<(u32, i64)>,
    /// Samples that were deleted and are back.
    revived: usize,
}

impl Told {
    fn loss_of(&self, path: &Path) -> Option<&KnownLoss> {
        let name = path.to_string_lossy().into_owned();
        self.losses.iter().find(|l| l.path.to_string_lossy().starts_with(&name))
    }

    fn warns_of(&self, path: &Path) -> bool {
        self.warnings.iter().any(|w| w.contains(&*path.to_string_lossy()))
    }
}

/// Opens the world with a file changed, and sees what it says.
fn told(world: &World, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> (World, Told) {
    let mut world = world.copied();
    world.fs.damage(path, edit).expect("damaged");
    world.open().unwrap_or_else(|e| panic!("it does not open: {e}"));
    let told = look(&world);
    (world, told)
}

fn look(world: &World) -> Told {
    let (got, warnings) = world.read_damaged(0..=i64::MAX / 2);
    world.database().scrub().expect("the disk is fine");
    let status = world.database().status();
    let (lost, revived) = difference(&world.model, &got);
    Told {
        at_start: world.database().damage_at_start().to_vec(),
        losses: status.known_losses,
        warnings,
        scrubbed: status.quarantined.into_iter().map(|q| q.path).collect(),
        lost,
        revived,
    }
}

/// Samples that are not there; and how many are there that nobody wrote, none with a wrong value.
fn difference(want: &Model, got: &Model) -> (BTreeSet<(u32, i64)>, usize) {
    let flat = |model: &Model| -> BTreeMap<(u32, i64), RichSample> {
        let each = |(&s, samples): (&u32, &BTreeMap<i64, RichSample>)| {
            samples.iter().map(|(&t, v)| ((s, t), v.clone())).collect::<Vec<_>>()
        };
        model.iter().flat_map(each).collect()
    };
    let (want, got) = (flat(want), flat(got));
    for (at, v) in &want {
        assert!(got.get(at).is_none_or(|found| found == v), "{at:?} is {:?}", got.get(at));
    }
    let lost = want.keys().filter(|at| !got.contains_key(at)).copied().collect();
    (lost, got.keys().filter(|at| !want.contains_key(at)).count())
}

/// What must hold of a fileset with the byte `at` flipped.
fn check_fileset(path: &Path, blocks: &[Range<u64>], at: usize, told: &Told) {
    assert_eq!(told.at_start, [], "one flip never costs a file");
    assert_eq!(told.losses, []);
    assert_eq!(told.scrubbed, BTreeSet::from([path.to_owned()]), "a scrub tells");
    let hit: Vec<_> = blocks.iter().filter(|range| range.contains(&(at as u64))).collect();
    assert_eq!(told.warns_of(path), !hit.is_empty(), "{:?}", told.warnings);
    assert_eq!(told.warnings.len(), hit.len(), "{:?}", told.warnings);
    let series: BTreeSet<u32> = told.lost.iter().map(|(s, _)| *s).collect();
    assert!(series.len() + told.revived <= hit.len(), "one block of one series: {:?}", told.lost);
}

/// Where the series blocks of a fileset stand, checksums included.
fn blocks_of(world: &World, path: &Path) -> Vec<Range<u64>> {
    let reader = FilesetReader::open(&world.fs, path).expect("sound");
    let entries: Vec<_> = reader.entries().collect::<Result<_, _>>().expect("sound");
    entries.iter().map(|e| e.offset..e.offset + u64::from(e.len) + 4).collect()
}

/// Where the last chunk of a segment starts.
fn last_chunk(world: &World, path: &Path) -> usize {
    let mut reader = SegmentReader::open(&world.fs, path).expect("a segment");
    let mut last = 0;
    while let Some(chunk) = reader.next_chunk() {
        // A chunk's header has 16 bytes.
        last = chunk.offset as usize - 16;
    }
    last
}

/// What must hold of any damage of a log segment that is not the end of the newest one.
fn check_log(world: &mut World, path: &Path, told: &Told) {
    assert!(told.at_start.iter().any(|d| d.path == path), "{:?}", told.at_start);
    let stem = path.with_extension("");
    let loss = told.loss_of(&stem).expect("it is known");
    assert_eq!((loss.kind, loss.shard, loss.series), ("log", None, None));
    assert!(told.warns_of(&stem), "{:?}", told.warnings);
    // When the segment is gone, the note tells.
    world.database().flush_all().expect("flushed");
    world.reopen();
    let again = look(world);
    let is_told = again.loss_of(&stem).is_some() && again.warns_of(&stem);
    assert!(is_told, "after a restart: {:?}", again.losses);
}

fn sweep(kinds: &[Kind]) {
    let (world, files) = small();
    for (kind, path) in kinds.iter().flat_map(|k| files[k].iter().map(move |p| (*k, p))) {
        let len = world.fs.file_len(path).expect("there") as usize;
        assert!(len > 0 && len < 5000, "{}: {len} bytes are many", path.display());
        let is_fileset = matches!(kind, Kind::Volume | Kind::Compacted | Kind::Snapshot);
        let blocks = if is_fileset { blocks_of(&world, path) } else { Vec::new() };
        let tail = if kind == Kind::OpenLog { last_chunk(&world, path) } else { len };
        for (at, mask) in (0..len).flat_map(|at| MASKS.map(|mask| (at, mask))) {
            let place = format!("{} at {at} of {len}, mask {mask:#x}", path.display());
            let _place = crate::SayIfPanics(&place);
            let (mut changed, told) = told(&world, path, |bytes| bytes[at] ^= mask);
            match kind {
                Kind::Catalog => {
                    assert_eq!(told.at_start.len(), 1, "{:?}", told.at_start);
                    assert_eq!(&told.at_start[0].path, path);
                    assert_eq!((told.losses.len(), told.warnings.len()), (0, 0));
                    assert_eq!((told.lost.len(), told.revived), (0, 0));
                }
                Kind::Side | Kind::Index => check_set_aside(kind, path, &told),
                Kind::Volume | Kind::Compacted | Kind::Snapshot => {
                    check_fileset(path, &blocks, at, &told);
                }
                Kind::OpenLog if at >= tail => {
                    assert!(told.lost.len() <= 1, "the last write alone: {:?}", told.lost);
                }
                Kind::OpenLog | Kind::SealedLog => check_log(&mut changed, path, &told),
            }
        }
    }
}

/// What must hold of a side file or an index that is damaged anywhere.
fn check_set_aside(kind: Kind, path: &Path, told: &Told) {
    assert_eq!(told.at_start.len(), 1, "{:?}", told.at_start);
    assert_eq!(&told.at_start[0].path, path);
    let loss = told.loss_of(path).expect("it is known");
    assert_eq!(loss.kind, if kind == Kind::Side { "side" } else { "index" });
    // Other files have the names of all series.
    assert_eq!((told.lost.len(), told.revived), (0, 0));
    assert_eq!(told.warnings, Vec::<String>::new());
    assert_eq!(told.scrubbed, BTreeSet::new());
}

#[test]
fn a_flipped_byte_of_a_catalog_or_side_file_is_told() {
    sweep(&[Kind::Catalog, Kind::Side]);
}

#[test]
fn a_flipped_byte_of_an_index_is_told_and_costs_nothing() {
    sweep(&[Kind::Index]);
}

#[test]
fn a_flipped_byte_of_the_log_is_told_and_stays_known() {
    sweep(&[Kind::SealedLog, Kind::OpenLog]);
}

#[test]
fn a_flipped_byte_of_a_volume_is_told_and_costs_no_more_than_its_block() {
    sweep(&[Kind::Volume]);
}

#[test]
fn a_flipped_byte_of_a_compacted_volume_is_told_and_costs_no_more_than_its_block() {
    sweep(&[Kind::Compacted]);
}

#[test]
fn a_flipped_byte_of_a_snapshot_is_told_and_costs_no_more_than_its_block() {
    sweep(&[Kind::Snapshot]);
}

#[test]
fn a_file_that_is_cut_at_any_length_is_told_and_costs_no_more_than_itself() {
    let (world, files) = small();
    for (&kind, path) in files.iter().flat_map(|(k, all)| all.iter().map(move |p| (k, p))) {
        let len = world.fs.file_len(path).expect("there") as usize;
        for cut in 0..len {
            let place = format!("{} cut at {cut} of {len}", path.display());
            let _place = crate::SayIfPanics(&place);
            let (mut changed, told) = told(&world, path, |bytes| bytes.truncate(cut));
            match kind {
                Kind::Catalog => {
                    assert_eq!(told.at_start.len(), 1, "{:?}", told.at_start);
                    assert_eq!((told.lost.len(), told.warnings.len()), (0, 0));
                }
                Kind::Side | Kind::Index => check_set_aside(kind, path, &told),
                Kind::SealedLog => check_log(&mut changed, path, &told),
                // It cannot be told from one that was never finished.
                Kind::OpenLog => assert!(told.lost.len() <= 2, "{:?}", told.lost),
                Kind::Volume | Kind::Compacted | Kind::Snapshot => {
                    assert_eq!(told.at_start.len(), 1, "{:?}", told.at_start);
                    assert_eq!(&told.at_start[0].path, path);
                    let loss = told.loss_of(path).expect("it is known").clone();
                    assert_eq!((loss.shard, loss.series), (Some(0), None));
                    assert!(told.warns_of(path), "{:?}", told.warnings);
                    check_told_until_removed(&mut changed, &loss);
                }
            }
        }
    }
}

/// A loss is told over restarts, to the queries that it concerns, until its file is removed.
fn check_told_until_removed(world: &mut World, loss: &KnownLoss) {
    world.reopen();
    assert_eq!(world.database().damage_at_start(), []);
    let (start, length) = (loss.block_start_ns, loss.block_length_ns);
    let (start, end) = (start.expect("a block"), start.zip(length).map_or(0, |(s, l)| s + l));
    assert_eq!(world.read_damaged(start..=start).1.len(), 1);
    assert_eq!(world.read_damaged(end - 1..=i64::MAX / 2).1.len(), 1);
    assert_eq!(world.read_damaged(0..=start - 1).1.len(), 0);
    assert_eq!(world.read_damaged(end..=i64::MAX / 2).1.len(), 0);
    world.fs.remove_file(&loss.path).expect("removed");
    world.database().tick().expect("looks");
    assert_eq!(world.database().status().known_losses, []);
    assert_eq!(world.read_damaged(start..=end).1.len(), 0);
}

/// As the sweeps over small files, at random places of larger ones.
#[test]
fn a_flipped_byte_of_a_large_file_costs_no_more_than_its_block() {
    let mut world = World::new(25);
    days(&mut world, 0..2).expect("written");
    world.database().compact().expect("compacted");
    let now = world.clock.now().0;
    let rows = |from: u32, shift: i64| -> Vec<(u32, i64, f64)> {
        let times =
            |s: u32| (0..8).map(move |i| (s, now + shift + i * NS_PER_S, f64::from(s) / 3.0));
        (from..from + 400).flat_map(times).collect()
    };
    world.write(&rows(0, 0)).expect("written");
    world.database().flush_all().expect("flushed");
    world.write(&rows(200, 30 * NS_PER_S)).expect("written");
    world.database().snapshot().expect("a snapshot");
    world.fs.crash(Unsynced::Kept);
    drop(world.database.take());
    let mut rng = StdRng::seed_from_u64(25);
    let is_large = |path: &PathBuf| world.fs.file_len(path).expect("there") > 4000;
    let files: Vec<_> =
        files_below(&world, Path::new("/data")).into_iter().filter(is_large).collect();
    assert!(files.len() >= 4, "{files:?}");
    for path in &files {
        let len = world.fs.file_len(path).expect("there") as usize;
        for _ in 0..40 {
            let (at, mask) = (rng.random_range(0..len), rng.random_range(1..=255));
            let place = format!("{} at {at} of {len}, mask {mask:#x}", path.display());
            let _place = crate::SayIfPanics(&place);
            let (_, told) = told(&world, path, |bytes| bytes[at] ^= mask);
            let series: BTreeSet<u32> = told.lost.iter().map(|(s, _)| *s).collect();
            assert!(series.len() <= 1 && told.lost.len() <= 48, "{:?}", told.lost);
            assert!(told.lost.is_empty() || told.warns_of(path), "{:?}", told.warnings);
            let is_told = !told.at_start.is_empty() || told.scrubbed.contains(path);
            assert!(is_told && told.revived == 0, "nobody tells");
        }
    }
}

#[test]
fn a_note_of_lost_log_is_told_until_retention_passes() {
    let mut world = World::new(26);
    world.retention_ns = 20 * HOUR;
    world.reopen();
    for i in 0..3 {
        world.write(&[(1, START + i, i as f64)]).expect("written");
    }
    world.fs.crash(Unsynced::Kept);
    drop(world.database.take());
    let logs = files_below(&world, Path::new("/data/commitlog"));
    let newest = logs.last().expect("a segment");
    // Not the first chunk, which names the series.
    let second = last_chunk(&world, newest) - 10;
    world.fs.damage(newest, |bytes| bytes[second] ^= 1).expect("damaged");
    // The note cannot be written: it is told anyway, and the damage is found again.
    world.fs.set_space(Some(100));
    world.open().expect("opens");
    assert_eq!(look(&world).losses.len(), 1);
    world.fs.set_space(None);
    world.reopen();
    world.database().snapshot().expect("the log may go");
    world.reopen();
    let told = look(&world);
    assert_eq!((told.at_start.len(), told.losses.len(), told.warnings.len()), (0, 1, 1));
    assert_eq!(told.losses[0].kind, "log");
    assert!(world.fs.exists(&told.losses[0].path));
    // Nothing that was written afterwards can be missing.
    let behind = START
        + world.database().namespace("default").expect("it exists").options().buffer_future_ns;
    assert_eq!(world.read_damaged(behind + 1..=i64::MAX / 2).1, Vec::<String>::new());
    assert_eq!(world.read_damaged(behind..=i64::MAX / 2).1.len(), 1);
    world.clock.pass_to(behind + 21 * HOUR);
    world.database().tick().expect("looks");
    assert_eq!(look(&world).losses, []);
    assert!(!world.fs.exists(&told.losses[0].path));
}
