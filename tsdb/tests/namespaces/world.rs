//! A database with several namespaces on a simulated disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::clock::Clock;
use m3rs_core::fs::Fs;
use m3rs_core::model::{Labels, Matcher};
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::clock::SimClock;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{
    Columns, Database, DatabaseOptions, Limits, Namespace, NamespaceOptions, Progress, Selection,
    TsdbError, WriteSession,
};

pub(crate) const HOUR: i64 = 3600 * NS_PER_S;
pub(crate) const START: i64 = 1_700_000_000 * NS_PER_S;
/// All times.
pub(crate) const EVER: (TimestampNs, TimestampNs) = (TimestampNs(0), TimestampNs(i64::MAX / 2));

/// Samples by series and time, with the bits of their values.
pub(crate) type Samples = BTreeMap<u32, BTreeMap<i64, u64>>;

pub(crate) struct World {
    pub(crate) fs: SimFs,
    clock: Arc<SimClock>,
    database: Option<Database>,
    pub(crate) limits: Limits,
    /// Options of `default` at each opening.
    pub(crate) of_default: NamespaceOptions,
    runtime: tokio::runtime::Runtime,
}

/// Options that keep everything, and flush at once what is past its time.
pub(crate) fn options() -> NamespaceOptions {
    NamespaceOptions { retention_ns: 0, shard_count: 2, ..NamespaceOptions::default() }
}

pub(crate) fn labels(series: u32) -> Labels {
    let pairs = [("__name__", "m".to_owned()), ("series", series.to_string())];
    Labels::from_pairs(pairs).expect("valid labels")
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            fs: SimFs::new(seed),
            clock: Arc::new(SimClock::at(START)),
            database: None,
            limits: Limits::default(),
            of_default: options(),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        };
        world.open().expect("an empty disk opens");
        world
    }

    pub(crate) fn options(&self) -> DatabaseOptions {
        let (fs, dir) = (Arc::new(self.fs.clone()), PathBuf::from("/data"));
        let mut options = DatabaseOptions::new(fs, self.clock.clone(), dir, [7; 192]);
        options.background = false;
        options.limits = self.limits;
        options.namespace = self.of_default.clone();
        options
    }

    pub(crate) fn open(&mut self) -> Result<(), TsdbError> {
        self.open_with(self.options())
    }

    pub(crate) fn open_with(&mut self, options: DatabaseOptions) -> Result<(), TsdbError> {
        drop(self.database.take());
        self.database = Some(Database::open(options, Arc::new(Progress::new()))?);
        Ok(())
    }

    /// Ends the process in order and starts it again.
    pub(crate) fn restart(&mut self) {
        self.database().close().expect("closes");
        self.open().expect("opens again");
    }

    /// The machine dies and comes back.
    pub(crate) fn crash(&mut self, unsynced: Unsynced) {
        self.fs.crash(unsynced);
        self.open().expect("opens after a crash");
    }

    /// Ends the process as a kill does.
    pub(crate) fn stop(&mut self) {
        drop(self.database.take());
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("the database is open")
    }

    pub(crate) fn namespace(&self, name: &str) -> Arc<Namespace> {
        self.database().namespace(name).expect("it is there")
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn pass(&self, ns: i64) {
        self.clock.pass(ns);
    }

    pub(crate) fn write(&self, name: &str, samples: &[(u32, i64, f64)]) -> Result<(), TsdbError> {
        self.write_to(&self.namespace(name), samples)
    }

    /// Writes samples in one request and waits until they are durable.
    pub(crate) fn write_to(
        &self,
        namespace: &Namespace,
        samples: &[(u32, i64, f64)],
    ) -> Result<(), TsdbError> {
        let mut session = namespace.writer();
        for &(series, t, v) in samples {
            let handle = session.resolve_labels(&labels(series))?;
            session.push(handle, TimestampNs(t), v).expect("inside the window");
        }
        self.commit(session)
    }

    /// Writes what was pushed, and waits until it is durable.
    pub(crate) fn commit(&self, session: WriteSession<'_>) -> Result<(), TsdbError> {
        let commit = session.commit()?;
        self.runtime.block_on(commit.durable())
    }

    /// Deletes the samples of a series in `from..=to`, and waits until that is durable.
    pub(crate) fn delete(
        &self,
        name: &str,
        series: u32,
        from: i64,
        to: i64,
    ) -> Result<(), TsdbError> {
        let of_series = [vec![Matcher::equal("series", series.to_string())]];
        let (from, to) = (TimestampNs(from), TimestampNs(to));
        let deleted = self.namespace(name).delete(&of_series, from, to)?;
        self.runtime.block_on(deleted.commit.durable())
    }

    pub(crate) fn read(&self, name: &str) -> Samples {
        let (samples, warnings) = self.read_warned(name);
        assert_eq!(warnings, Vec::<String>::new());
        samples
    }

    /// What is there, and what readers are told that may be missing.
    pub(crate) fn read_warned(&self, name: &str) -> (Samples, Vec<String>) {
        let matchers = [Matcher::equal("__name__", "m")];
        let found = self.namespace(name).select(&matchers, EVER.0, EVER.1, 1000);
        let found = found.expect("few series");
        (samples_of(&found), found.damage())
    }

    /// All files below a directory of the data directory.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![Path::new("/data").join(below)];
        while let Some(path) = open.pop() {
            match self.fs.list(&path) {
                Ok(inside) => open.extend(inside),
                Err(_) => found.push(path),
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn read_all(selection: &Selection) -> Samples {
    let all = samples_of(selection);
    assert_eq!(selection.damage(), Vec::<String>::new());
    all
}

fn samples_of(selection: &Selection) -> Samples {
    let (mut all, mut columns) = (Samples::new(), Columns::default());
    for (number, labels) in selection.labels().iter().enumerate() {
        selection.read(number, &mut columns);
        let series = labels.get("series").and_then(|s| s.parse().ok()).expect("our label");
        let samples: BTreeMap<i64, u64> = columns.iter().map(|s| (s.t.0, s.v.to_bits())).collect();
        if !samples.is_empty() {
            assert!(all.insert(series, samples).is_none(), "series {series} twice");
        }
    }
    all
}

pub(crate) fn samples(all: &[(u32, i64, f64)]) -> Samples {
    let mut samples = Samples::new();
    for &(series, t, v) in all {
        samples.entry(series).or_default().insert(t, v.to_bits());
    }
    samples
}
