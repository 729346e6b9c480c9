//! The whole database against a map, over random writes, flushes, snapshots, crashes and reads.

#[path = "database_model/faults.rs"]
mod faults;
#[path = "database_model/full_disk.rs"]
mod full_disk;
#[path = "database_model/kill_points.rs"]
mod kill_points;
#[path = "database_model/samples.rs"]
mod samples;
#[path = "database_model/scrubs.rs"]
mod scrubs;
#[path = "database_model/side.rs"]
mod side;
#[path = "database_model/stories.rs"]
mod stories;
#[path = "database_model/sweeps.rs"]
mod sweeps;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::clock::Clock;
use m3rs_core::fs::Fs;
use m3rs_core::model::{Histogram, Labels, Matcher};
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::clock::SimClock;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{
    Columns, DEFAULT_NAMESPACE, Database, DatabaseOptions, Progress, RichSample, SampleValue,
    TsdbError, WriteRefusal,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::faults::files_below;
use crate::samples::{random_request, samples_of};

const HOUR: i64 = 3600 * NS_PER_S;
const START: i64 = 1_700_000_000 * NS_PER_S;

type Model = BTreeMap<u32, BTreeMap<i64, RichSample>>;

/// Series, time and what was sampled.
type Row = (u32, i64, RichSample);

struct World {
    fs: SimFs,
    clock: Arc<SimClock>,
    database: Option<Database>,
    model: Model,
    /// The request under way: written perhaps, acknowledged not yet.
    open_request: Vec<Row>,
    retention_ns: i64,
    shard_count: u16,
    runtime: tokio::runtime::Runtime,
}

/// Tells on which of many cases a test failed.
struct SayIfPanics<'a>(&'a str);

impl Drop for SayIfPanics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("case: {}", self.0);
        }
    }
}

fn labels(series: u32) -> Labels {
    let pairs = [("__name__", "m".to_owned()), ("series", series.to_string())];
    Labels::from_pairs(pairs).expect("valid labels")
}

impl World {
    fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let clock = Arc::new(SimClock::at(START));
        let fs = SimFs::new(seed);
        let mut world = Self {
            fs,
            clock,
            database: None,
            model: Model::new(),
            open_request: Vec::new(),
            retention_ns: 0,
            shard_count: 4,
            runtime,
        };
        world.open().expect("an empty disk opens");
        world
    }

    fn open(&mut self) -> Result<(), TsdbError> {
        let mut options = DatabaseOptions::new(
            Arc::new(self.fs.clone()),
            self.clock.clone(),
            PathBuf::from("/data"),
            [7; 192],
        );
        options.background = false;
        // The test clock stands still, so nobody may wait for it.
        options.limits.scrub_bytes_per_second_max = 0;
        // A full disk is to be met by the one who writes.
        options.limits.disk_floor_bytes_max = 0;
        options.namespace.retention_ns = self.retention_ns;
        options.namespace.shard_count = self.shard_count;
        self.database = Some(Database::open(options, Arc::new(Progress::new()))?);
        Ok(())
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("the database is open")
    }

    /// Writes floats in one request; the model takes them only if they were acknowledged.
    fn write(&mut self, samples: &[(u32, i64, f64)]) -> Result<(), TsdbError> {
        let rows: Vec<Row> =
            samples.iter().map(|&(s, t, v)| (s, t, RichSample::float(v))).collect();
        self.write_any(&rows)
    }

    /// Writes samples of any kind, each by the call that is made for it.
    fn write_any(&mut self, rows: &[Row]) -> Result<(), TsdbError> {
        // Floats come before all others of a request.
        let (floats, others): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(|row| {
            matches!(row.2.value, SampleValue::Float(_)) && row.2.annotation.is_none()
        });
        self.open_request = floats.into_iter().chain(others).collect();
        let namespace = self.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
        let mut session = namespace.writer();
        for (series, t, sample) in rows {
            let handle = session.resolve_labels(&labels(*series))?;
            let (t, start) = (TimestampNs(*t), TimestampNs(sample.start_ns));
            let pushed = match (&sample.value, &sample.annotation) {
                (SampleValue::Float(v), None) if start.0 == 0 => session.push(handle, t, *v),
                (SampleValue::Float(v), None) => session.push_started(handle, t, *v, start),
                (SampleValue::Histogram(h), None) => {
                    session.push_histogram(handle, t, Histogram::clone(h), start)
                }
                (_, Some(_)) => session.push_rich(handle, t, sample.clone()),
            };
            pushed.expect("inside retention");
        }
        let commit = session.commit()?;
        self.runtime.block_on(commit.durable())?;
        for (series, t, sample) in self.open_request.drain(..) {
            self.model.entry(series).or_default().insert(t, sample);
        }
        Ok(())
    }

    /// Deletes samples of some series; the model forgets them if that was acknowledged.
    fn delete(&mut self, series: &[u32], range: RangeInclusive<i64>) -> Result<(), TsdbError> {
        let namespace = self.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
        let sets: Vec<Vec<Matcher>> =
            series.iter().map(|s| vec![Matcher::equal("series", s.to_string())]).collect();
        let (from, to) = (TimestampNs(*range.start()), TimestampNs(*range.end()));
        let deleted = namespace.delete(&sets, from, to)?;
        self.runtime.block_on(deleted.commit.durable())?;
        for series in series {
            self.model.entry(*series).or_default().retain(|t, _| !range.contains(t));
        }
        Ok(())
    }

    /// Writes a sample to another namespace, of which the model knows nothing.
    fn write_elsewhere(&self, name: &str, t: i64) {
        let namespace = self.database().namespace(name).expect("it exists");
        let mut session = namespace.writer();
        let handle = session.resolve_labels(&labels(1)).expect("a series");
        session.push(handle, TimestampNs(t), 1.0).expect("inside retention");
        let commit = session.commit().expect("taken");
        self.runtime.block_on(commit.durable()).expect("durable");
    }

    /// Closes the database as at the end of its process, and opens it again.
    fn reopen(&mut self) {
        drop(self.database.take());
        self.open().expect("opens again");
    }

    /// Takes an empty disk, for options that cannot change.
    fn start_over(&mut self) {
        drop(self.database.take());
        self.fs = SimFs::new(0);
        self.open().expect("an empty disk opens");
    }

    /// The same once more on a disk of its own, as a kill would leave it, and not open.
    fn copied(&self) -> Self {
        let fs = self.fs.copied(1);
        fs.crash(Unsynced::Kept);
        Self {
            fs,
            clock: Arc::new(SimClock::at(self.clock.now().0)),
            database: None,
            model: self.model.clone(),
            open_request: self.open_request.clone(),
            retention_ns: self.retention_ns,
            shard_count: self.shard_count,
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        }
    }

    /// A power cut: everything unsynced is gone, and the database is opened again.
    fn crash(&mut self, unsynced: Unsynced) {
        self.fs.crash(unsynced);
        drop(self.database.take());
        self.open().expect("opens after a crash");
    }

    fn read(&self, range: RangeInclusive<i64>) -> Model {
        let (model, damage) = self.read_damaged(range);
        assert_eq!(damage, Vec::<String>::new());
        model
    }

    /// What can be read, and what the reader is told of the rest.
    fn read_damaged(&self, range: RangeInclusive<i64>) -> (Model, Vec<String>) {
        let namespace = self.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
        let matchers = [Matcher::equal("__name__", "m")];
        let (from, to) = (TimestampNs(*range.start()), TimestampNs(*range.end()));
        let selection = namespace.select(&matchers, from, to, 1000).expect("few series");
        let mut out = Model::new();
        let mut columns = Columns::default();
        for (number, labels) in selection.labels().iter().enumerate() {
            selection.read(number, &mut columns);
            let series = labels.get("series").and_then(|s| s.parse().ok()).expect("our label");
            assert!(out.insert(series, samples_of(&columns)).is_none(), "series {series} twice");
        }
        out.retain(|_, samples| !samples.is_empty());
        (out, selection.damage())
    }

    /// Samples before this are outside retention.
    fn horizon(&self) -> i64 {
        match self.retention_ns {
            0 => 0,
            retention_ns => self.clock.now().0 - retention_ns,
        }
    }

    fn check(&self, range: RangeInclusive<i64>) {
        let range = self.horizon().max(*range.start())..=*range.end();
        if range.is_empty() {
            return;
        }
        let mut want = Model::new();
        for (&series, samples) in &self.model {
            let inside: BTreeMap<i64, RichSample> =
                samples.range(range.clone()).map(|(&t, v)| (t, v.clone())).collect();
            if !inside.is_empty() {
                want.insert(series, inside);
            }
        }
        let got = self.read(range);
        let flat = |model: &Model| -> BTreeMap<(u32, i64), RichSample> {
            let each = |(&s, samples): (&u32, &BTreeMap<i64, RichSample>)| {
                samples.iter().map(|(&t, v)| ((s, t), v.clone())).collect::<Vec<_>>()
            };
            model.iter().flat_map(each).collect()
        };
        let (got, want) = (flat(&got), flat(&want));
        let wrong: Vec<_> = want.iter().filter(|(at, v)| got.get(at) != Some(v)).take(5).collect();
        let found: Vec<_> = wrong.iter().map(|(at, _)| got.get(at)).collect();
        assert!(wrong.is_empty(), "want {wrong:?}, found {found:?}");
        let extra: Vec<_> = got.iter().filter(|(at, _)| !want.contains_key(at)).take(5).collect();
        assert!(extra.is_empty(), "samples that were deleted or never written: {extra:?}");
    }
}

/// Kills the machine at every operation of a story with writes, snapshot and flushes.
#[test]
fn a_power_cut_at_any_operation_loses_no_acknowledged_sample() {
    let rehearse = |crash_at: Option<u64>| {
        let mut world = World::new(5);
        if let Some(op) = crash_at {
            world.fs.crash_at_op(op);
        }
        let mut rng = StdRng::seed_from_u64(9);
        let outcome = (|| -> Result<(), TsdbError> {
            for round in 0..4 {
                for _ in 0..3 {
                    let request = random_request(&mut rng, START + round * 100 * NS_PER_S);
                    world.write_any(&request)?;
                }
                match round % 2 {
                    0 => world.database().snapshot()?,
                    _ => drop(world.database().flush_all()?),
                }
            }
            Ok(())
        })();
        (world, outcome)
    };
    let (world, outcome) = rehearse(None);
    outcome.expect("without a fault all goes well");
    let (first, last) = (World::new(5).fs.ops(), world.fs.ops());
    assert!(last > first + 20, "the story does something: {first} to {last}");
    let mut met = 0;
    for op in first..last {
        let unsynced = if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn };
        let (mut world, outcome) = rehearse(Some(op));
        met += u64::from(outcome.is_err() || world.fs.is_down());
        world.crash(unsynced);
        let got = world.read(0..=i64::MAX / 2);
        for (series, samples) in &world.model {
            for (t, v) in samples {
                let found = got.get(series).and_then(|s| s.get(t));
                // A later write of the same time may be there though it was never acknowledged.
                let unacked = |found: &RichSample| {
                    let mut open = world.open_request.iter();
                    open.any(|(s, at, v)| s == series && at == t && v == found)
                };
                let is_right = found.is_some_and(|found| found == v || unacked(found));
                assert!(is_right, "op {op}: series {series} at {t}: {found:?}, not {v:?}");
            }
        }
    }
    // How appends fall into groups varies, and with it the number of operations, a little.
    assert!(met * 10 >= (last - first) * 9, "{met} of {} power cuts happened", last - first);
}

impl World {
    /// Names of the files of all shards, without the directories above the shard's.
    fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        for shard in 0..4 {
            let root = PathBuf::from(format!("/data/data/default/{shard}"));
            let mut dirs = vec![root.clone()];
            while let Some(dir) = dirs.pop() {
                for path in self.fs.list(&dir).expect("listed") {
                    match path.extension() {
                        Some(_) => {
                            let name = path.strip_prefix(&root).expect("below it");
                            names.push(name.to_string_lossy().into_owned());
                        }
                        None => dirs.push(path),
                    }
                }
            }
        }
        names.sort();
        names
    }
}

/// Days of samples each half an hour, flushed block by block.
fn days(world: &mut World, days: std::ops::Range<i64>) -> Result<(), TsdbError> {
    let day = 24 * HOUR;
    let first = START - START % day;
    for t in (first + days.start * day..first + days.end * day).step_by((HOUR / 2) as usize) {
        world.clock.pass_to(t);
        world.write(&[(1, t, t as f64), (2, t, 0.1)])?;
    }
    world.clock.pass(4 * HOUR);
    world.database().flush_all()?;
    Ok(())
}

#[test]
fn closed_blocks_become_days_and_days_become_weeks() {
    let mut world = World::new(10);
    days(&mut world, 0..2).expect("written");
    assert_eq!(world.files().len(), 2 * 2 * 12, "two series in two shards, 24 blocks");
    let bytes = world.database().status().compaction_read_bytes;
    assert_eq!(bytes, 0);
    assert!(world.database().compact().expect("compacts") >= 2);
    let day = START - START % (24 * HOUR);
    let next = day + 24 * HOUR;
    let kept = |name: &&String| name.starts_with("1d/");
    let compacted: Vec<String> = world.files().iter().filter(kept).cloned().collect();
    let (first, second) = (format!("1d/{day}-0.fileset"), format!("1d/{next}-0.fileset"));
    assert_eq!(compacted, [first.clone(), first, second.clone(), second]);
    assert_eq!(world.files().len(), 4, "the sources are gone");
    world.check(0..=i64::MAX / 2);
    world.check(day + 5 * HOUR..=next + HOUR);

    // A late sample is a short block over the long one, and wins.
    world.write(&[(1, day + HOUR, -1.0), (1, day + HOUR + 1, -2.0)]).expect("written");
    world.check(0..=i64::MAX / 2);
    world.database().flush_all().expect("flushed");
    assert_eq!(world.files().len(), 5);
    world.check(0..=i64::MAX / 2);
    world.reopen();
    world.check(0..=i64::MAX / 2);

    days(&mut world, 2..9).expect("written");
    world.clock.pass(9 * 24 * HOUR);
    world.database().compact().expect("compacts");
    let is_long = |name: &String| name.starts_with("8d/") || name.starts_with("32d/");
    assert!(world.files().iter().any(is_long), "{:?}", world.files());
    world.check(0..=i64::MAX / 2);
    world.check(day + HOUR..=day + HOUR);
    world.reopen();
    world.check(0..=i64::MAX / 2);
    assert_eq!(world.database().damage_at_start(), []);
}

#[test]
fn a_power_cut_at_any_operation_of_a_compaction_loses_nothing() {
    let prepare = || {
        let mut world = World::new(11);
        days(&mut world, 0..1).expect("written");
        world.write(&[(1, START, 7.0)]).expect("written");
        world.clock.pass(4 * HOUR);
        world
    };
    let world = prepare();
    let first = world.fs.ops();
    assert!(world.database().compact().expect("compacts") > 0);
    let last = world.fs.ops();
    assert!(last > first + 20, "a compaction is some operations: {first} to {last}");
    for op in first..last {
        let mut world = prepare();
        world.fs.crash_at_op(op);
        let _cut_off = world.database().compact();
        world.crash(if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        assert_eq!(world.database().damage_at_start(), [], "op {op}");
        world.check(0..=i64::MAX / 2);
        world.database().flush_all().expect("flushes");
        world.database().compact().expect("compacts after the crash");
        world.check(0..=i64::MAX / 2);
    }
}

#[test]
fn a_failed_sync_refuses_writes_until_the_log_recovers() {
    let mut world = World::new(3);
    world.write(&[(1, START, 1.0)]).expect("the disk is fine");
    world.fs.fail_next_sync(1);
    assert!(world.write(&[(1, START + 1, 2.0)]).is_err(), "an ack without a sync");
    let refused = world.write(&[(1, START + 2, 3.0)]).expect_err("the log is closed");
    assert_eq!(refused.kind(), m3rs_core::ErrorKind::Unavailable);
    assert!(world.read(START..=START).contains_key(&1), "reads go on");
}

#[test]
fn logs_that_files_cover_are_not_missed() {
    let mut world = World::new(4);
    world.write(&[(1, START, 1.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    world.write(&[(1, START + 1, 2.0), (2, START, 3.0)]).expect("written");
    world.reopen();
    assert_eq!(world.database().damage_at_start(), []);
    world.check(0..=i64::MAX / 2);
}

#[test]
fn what_is_outside_retention_goes() {
    let mut world = World::new(6);
    world.retention_ns = 6 * HOUR;
    world.reopen();
    world.write(&[(1, START - 5 * HOUR, 1.0), (1, START, 2.0)]).expect("both are kept");
    world.database().flush_all().expect("flushed");
    let filesets = |world: &World| {
        let dir = |shard| PathBuf::from(format!("/data/data/default/{shard}"));
        let list = |shard| world.fs.list(&dir(shard)).unwrap_or_default().len();
        (0..4).map(list).sum::<usize>()
    };
    assert_eq!(filesets(&world), 2);
    world.clock.pass_to(START + 4 * HOUR);
    world.database().tick().expect("expires");
    assert_eq!(filesets(&world), 1, "the old block's file is removed");
    world.model.entry(1).or_default().remove(&(START - 5 * HOUR));
    world.check(0..=i64::MAX / 2);

    let namespace = world.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
    let mut session = namespace.writer();
    let handle = session.resolve_labels(&labels(1)).expect("a known series");
    let refused = session.push(handle, TimestampNs(START - 5 * HOUR), 1.0);
    assert!(matches!(refused, Err(WriteRefusal::OutsideRetention { .. })), "{refused:?}");
}

#[test]
fn a_damaged_index_is_made_anew_from_the_other_files() {
    let mut world = World::new(7);
    let requests: Vec<_> = (0..40).map(|s| (s, START + i64::from(s), f64::from(s))).collect();
    world.write(&requests[..20]).expect("written");
    world.database().flush_all().expect("flushed");
    world.write(&requests[20..30]).expect("written");
    world.database().snapshot().expect("a snapshot");
    world.write(&requests[30..]).expect("written");
    drop(world.database.take());
    let segments = world.fs.list(Path::new("/data/index/default")).expect("listed");
    assert!(!segments.is_empty(), "the index is sealed");
    for segment in &segments {
        let flip = |bytes: &mut Vec<u8>| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        };
        world.fs.damage(segment, flip).expect("damaged");
    }
    world.open().expect("opens in spite of damage");
    assert_eq!(world.database().damage_at_start().len(), segments.len());
    world.check(0..=i64::MAX / 2);
    world.reopen();
    assert_eq!(world.database().damage_at_start(), [], "the new index is sound");
    world.check(0..=i64::MAX / 2);
}

/// Flushes what is due as background work does, then loses the log that names the series.
#[test]
fn a_lost_log_never_gives_a_series_the_samples_of_another() {
    for index_survives in [true, false] {
        let mut world = World::new(8);
        world.write(&[(1, START - 6 * HOUR, 1.0)]).expect("written");
        world.clock.pass(120 * NS_PER_S);
        world.database().tick().expect("flushed");
        assert_eq!(world.database().status().volumes, 1);
        world.fs.crash(Unsynced::Kept);
        drop(world.database.take());
        let remove = |dir: &str| {
            for path in world.fs.list(Path::new(dir)).expect("listed") {
                world.fs.remove_file(&path).expect("removed");
            }
        };
        remove("/data/commitlog");
        if !index_survives {
            remove("/data/index/default");
        }
        world.open().expect("opens");
        world.check(0..=i64::MAX / 2);
        world.write(&[(2, START, 2.0)]).expect("a new series");
        world.check(0..=i64::MAX / 2);
    }
}

#[test]
fn what_a_merge_cannot_read_is_set_aside() {
    let mut world = World::new(9);
    let first: Vec<_> = (0..10).map(|s| (s, START + i64::from(s), f64::from(s))).collect();
    world.write(&first).expect("written");
    world.database().flush_all().expect("flushed");
    drop(world.database.take());
    let dirs: Vec<PathBuf> = (0..4).map(|s| format!("/data/data/default/{s}").into()).collect();
    let list = |fs: &SimFs| -> Vec<PathBuf> {
        dirs.iter().flat_map(|dir| fs.list(dir).unwrap_or_default()).collect()
    };
    let volumes = list(&world.fs);
    for path in &volumes {
        // The first series block begins behind the header.
        world.fs.damage(path, |bytes| bytes[10] ^= 0xff).expect("damaged");
    }
    world.open().expect("opens");
    let second: Vec<_> = first.iter().map(|&(s, t, v)| (s, t + NS_PER_S, v)).collect();
    world.write(&second).expect("written");
    world.database().flush_all().expect("a damaged block does not stop a flush");
    let aside = list(&world.fs).into_iter().filter(|p| p.to_string_lossy().ends_with(".damaged"));
    assert_eq!(aside.count(), volumes.len(), "no byte is thrown away");
    for _ in 0..2 {
        let (got, warnings) = world.read_damaged(0..=i64::MAX / 2);
        for (s, t, v) in &second {
            let found = got.get(s).and_then(|s| s.get(t));
            assert_eq!(found, Some(&RichSample::float(*v)), "series {s}");
        }
        assert_eq!(warnings.len(), volumes.len(), "{warnings:?}");
        let losses = world.database().status().known_losses;
        assert_eq!(losses.len(), volumes.len(), "{losses:?}");
        for (loss, volume) in losses.iter().zip(&volumes) {
            assert!(loss.path.starts_with(volume.parent().expect("a shard")), "{loss:?}");
            assert_eq!((loss.kind, loss.series), ("volume", Some(1)), "the first block of each");
        }
        world.reopen();
    }
}
