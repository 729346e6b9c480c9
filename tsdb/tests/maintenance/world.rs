//! A database on a simulated disk, beside a map of what it must hold.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::clock::Clock;
use m3rs_core::fs::{Fs, SharedFs};
use m3rs_core::model::{Labels, Matcher};
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::clock::SimClock;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{
    Columns, DEFAULT_NAMESPACE, Database, DatabaseOptions, Namespace, Progress, TsdbError,
};

pub(crate) const HOUR: i64 = 3600 * NS_PER_S;
pub(crate) const DAY: i64 = 24 * HOUR;
/// A midnight, so that the first block of a day begins there.
pub(crate) const START: i64 = 1_700_006_400 * NS_PER_S;

pub(crate) type Samples = BTreeMap<(u32, i64), f64>;

pub(crate) struct World {
    pub(crate) fs: SimFs,
    pub(crate) clock: Arc<SimClock>,
    database: Option<Database>,
    /// What was acknowledged last.
    pub(crate) model: Samples,
    pub(crate) retention_ns: i64,
    runtime: tokio::runtime::Runtime,
}

impl World {
    pub(crate) fn new(seed: u64, retention_ns: i64) -> Self {
        let mut world = Self {
            fs: SimFs::new(seed),
            clock: Arc::new(SimClock::at(START)),
            database: None,
            model: Samples::new(),
            retention_ns,
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        };
        world.open();
        world
    }

    pub(crate) fn open(&mut self) {
        drop(self.database.take());
        self.database = Some(self.try_open().expect("opens"));
    }

    fn try_open(&self) -> Result<Database, TsdbError> {
        self.open_at(&self.fs, "/data")
    }

    /// Opens another directory, or another disk.
    pub(crate) fn open_at(&self, fs: &SimFs, dir: &str) -> Result<Database, TsdbError> {
        let fs: SharedFs = Arc::new(fs.clone());
        let dir = PathBuf::from(dir);
        let mut options = DatabaseOptions::new(fs, self.clock.clone(), dir, [7; 192]);
        options.background = false;
        options.limits.scrub_bytes_per_second_max = 0;
        options.namespace.retention_ns = self.retention_ns;
        options.namespace.shard_count = 1;
        Database::open(options, Arc::new(Progress::new()))
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("it is open")
    }

    pub(crate) fn namespace(&self) -> Arc<Namespace> {
        self.database().namespace(DEFAULT_NAMESPACE).expect("it is there")
    }

    /// The machine dies and comes back.
    pub(crate) fn crash(&mut self, unsynced: Unsynced) {
        self.fs.crash(unsynced);
        self.open();
    }

    /// Time passes.
    pub(crate) fn pass(&self, ns: i64) {
        self.clock.pass(ns);
    }

    /// The wall clock is set, and no time passes.
    pub(crate) fn step(&self, ns: i64) {
        self.clock.step(ns);
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    /// Writes in one request; the model has it once it is acknowledged.
    pub(crate) fn write(&mut self, samples: &[(u32, i64, f64)]) -> Result<(), TsdbError> {
        assert_eq!(self.try_write(samples)?, 0, "inside retention");
        self.model.extend(samples.iter().map(|&(series, t, v)| ((series, t), v)));
        Ok(())
    }

    /// Writes what the clock allows; returns how many samples were refused.
    pub(crate) fn try_write(&mut self, samples: &[(u32, i64, f64)]) -> Result<u64, TsdbError> {
        let mut refused = 0;
        let namespace = self.namespace();
        let mut session = namespace.writer();
        for &(series, t, v) in samples {
            let pairs = [("__name__", "m".to_owned()), ("series", series.to_string())];
            let labels = Labels::from_pairs(pairs).expect("valid labels");
            let handle = session.resolve_labels(&labels)?;
            refused += u64::from(session.push(handle, TimestampNs(t), v).is_err());
        }
        self.runtime.block_on(session.commit()?.durable())?;
        Ok(refused)
    }

    pub(crate) fn delete(
        &mut self,
        series: u32,
        range: RangeInclusive<i64>,
    ) -> Result<(), TsdbError> {
        let sets = [vec![Matcher::equal("series", series.to_string())]];
        let (from, to) = (TimestampNs(*range.start()), TimestampNs(*range.end()));
        let deleted = self.namespace().delete(&sets, from, to)?;
        self.runtime.block_on(deleted.commit.durable())?;
        self.model.retain(|(s, t), _| *s != series || !range.contains(t));
        Ok(())
    }

    pub(crate) fn read(&self) -> Samples {
        Self::read_of(self.database())
    }

    pub(crate) fn read_of(database: &Database) -> Samples {
        let matchers = [Matcher::equal("__name__", "m")];
        let (from, to) = (TimestampNs(0), TimestampNs(i64::MAX / 2));
        let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it is there");
        let selection = namespace.select(&matchers, from, to, 1000).expect("few series");
        let mut out = Samples::new();
        let mut columns = Columns::default();
        for (number, labels) in selection.labels().iter().enumerate() {
            selection.read(number, &mut columns);
            let series = labels.get("series").and_then(|s| s.parse().ok()).expect("our label");
            let samples = columns.ts.iter().zip(&columns.vs);
            out.extend(samples.map(|(&t, &v)| ((series, t), v)));
        }
        out
    }

    #[track_caller]
    pub(crate) fn check(&self, place: &str) {
        let got = self.read();
        let lost: Vec<_> =
            self.model.iter().filter(|(at, v)| got.get(*at) != Some(*v)).take(4).collect();
        assert!(lost.is_empty(), "{place}: lost or old: {lost:?}");
        let extra: Vec<_> =
            got.iter().filter(|(at, _)| !self.model.contains_key(*at)).take(4).collect();
        assert!(extra.is_empty(), "{place}: deleted or never written: {extra:?}");
    }

    /// A value that no codec makes small.
    pub(crate) fn noise(i: i64) -> f64 {
        (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as f64 / 3.0
    }

    /// Files below a directory of the data directory.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut dirs = vec![Path::new("/data").join(below)];
        let mut files = Vec::new();
        while let Some(dir) = dirs.pop() {
            for path in self.fs.list(&dir).expect("listed") {
                match self.fs.file_len(&path) {
                    Ok(_) => files.push(path),
                    Err(_) => dirs.push(path),
                }
            }
        }
        files.sort();
        files
    }

    /// Samples each half an hour from `from` on, flushed, for so many hours.
    pub(crate) fn fill(&mut self, series: u32, from: i64, hours: i64) {
        for t in (from..from + hours * HOUR).step_by(HOUR as usize / 2) {
            self.write(&[(series, t, t as f64)]).expect("written");
        }
        self.database().flush_all().expect("flushed");
    }
}
