//! The database: all namespaces of a data directory over one commit log.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::{FsLock, SharedFs};
use m3rs_core::spawn::Thread;
use parking_lot::Mutex;

use crate::bootstrap;
use crate::checkpoint::{Merge, Written};
use crate::commitlog::{CommitLog, SyncMode};
use crate::error::{Damage, TsdbError};
use crate::limits::Limits;
use crate::mediator::{self, Stop};
use crate::namespace::{Counter, Namespace, NamespaceOptions};
use crate::progress::{Progress, Stage};

/// What a database is opened with.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// Where files are.
    pub fs: SharedFs,
    /// What time it is.
    pub clock: SharedClock,
    /// The data directory; it is made if it is not there.
    pub dir: PathBuf,
    /// How namespaces keep samples; shard count and block size of old ones stay as they were.
    pub namespace: NamespaceOptions,
    /// When the commit log is synced.
    pub sync: SyncMode,
    /// Bytes of log after which buffers are put into snapshots, so that start-up stays short.
    pub snapshot_log_bytes: u64,
    /// Limits.
    pub limits: Limits,
    /// Random bytes for hashing what comes from outside; new ones in each process.
    pub secret: [u8; 192],
    /// Whether flushes, snapshots and retention happen by themselves.
    pub background: bool,
}

impl DatabaseOptions {
    /// Defaults for a data directory.
    #[must_use]
    pub fn new(fs: SharedFs, clock: SharedClock, dir: PathBuf, secret: [u8; 192]) -> Self {
        Self {
            fs,
            clock,
            dir,
            namespace: NamespaceOptions::default(),
            sync: SyncMode::Group,
            snapshot_log_bytes: 128 << 20,
            limits: Limits::default(),
            secret,
            background: true,
        }
    }
}

impl fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseOptions")
            .field("dir", &self.dir)
            .field("namespace", &self.namespace)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}

/// What a flush of everything came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Volumes written.
    pub volumes: u64,
    /// Series blocks in them.
    pub series_blocks: u64,
    /// Segments of the commit log removed.
    pub segments_removed: u64,
}

/// Numbers about the database, for metrics and `/ready`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Series of all namespaces.
    pub series: u64,
    /// Samples written since start.
    pub samples_written: u64,
    /// Block windows with samples that are not frozen yet.
    pub windows_open: u64,
    /// Volumes that are served.
    pub volumes: u64,
    /// Snapshot files that are served.
    pub snapshots: u64,
    /// Bytes in the commit log since its last cut.
    pub log_bytes: u64,
    /// Why the log takes no writes, if it does not.
    pub log_failure: Option<String>,
    /// Blocks that reads had to leave out since start.
    pub damaged_reads: u64,
    /// Blocks that compaction wrote since start.
    pub compactions: u64,
    /// Bytes that compaction read since start.
    pub compaction_read_bytes: u64,
    /// Bytes that compaction wrote since start.
    pub compaction_written_bytes: u64,
    /// Background jobs that failed since start.
    pub background_failures: u64,
    /// Damage found at start.
    pub damage_at_start: u64,
}

/// An open database. Dropping it closes it.
#[derive(Debug)]
pub struct Database {
    core: Arc<Core>,
    progress: Arc<Progress>,
    damage: Vec<Damage>,
    stop: Arc<Stop>,
    background: Mutex<Vec<Thread>>,
    // Released last, after everything that writes.
    _lock: Box<dyn FsLock>,
}

/// What background work and callers share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) namespaces: BTreeMap<String, Arc<Namespace>>,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) background_failures: Counter,
    /// Held by whoever compacts; taken before `maintenance`.
    compaction: Mutex<()>,
    /// Held by whoever freezes, merges or removes.
    maintenance: Mutex<()>,
}

impl Core {
    /// Cuts the log and makes everything before the cut durable in files.
    fn checkpoint(&self, merge: Merge) -> Result<(Written, u64), TsdbError> {
        let segment = self.log.rotate()?;
        let written = self.persist(segment, merge)?;
        let removed = self.log.remove_before(segment)?;
        Ok((written, removed as u64))
    }

    /// Makes all series and samples in memory durable in files.
    fn persist(&self, segment: u64, merge: Merge) -> Result<Written, TsdbError> {
        let mut written = Written::default();
        for namespace in self.namespaces.values() {
            let due = namespace.due_blocks();
            namespace.settle_series();
            namespace.freeze_all();
            namespace.seal_index()?;
            let more = namespace.persist_frozen(segment, merge, &due)?;
            written.volumes += more.volumes;
            written.snapshots += more.snapshots;
            written.series_blocks += more.series_blocks;
        }
        Ok(written)
    }

    /// Puts the buffers into snapshots and drops the log before them.
    pub(crate) fn snapshot(&self) -> Result<(), TsdbError> {
        let _one = self.maintenance.lock();
        let (written, removed) = self.checkpoint(Merge::Due)?;
        tracing::debug!(?written, segments_removed = removed, "snapshot");
        Ok(())
    }

    /// Flushes the blocks that are past their time.
    pub(crate) fn flush_due(&self) -> Result<(), TsdbError> {
        let _one = self.maintenance.lock();
        for namespace in self.namespaces.values() {
            let written = namespace.flush_due()?;
            if written.volumes > 0 {
                tracing::info!(namespace = namespace.name(), volumes = written.volumes, "flushed");
            }
        }
        Ok(())
    }

    /// Makes one longer block of closed ones; says whether there was anything to do.
    pub(crate) fn compact_one(&self, stop: &Stop) -> Result<bool, TsdbError> {
        let _one = self.compaction.lock();
        for namespace in self.namespaces.values() {
            let Some(compacted) = namespace.compact_next(stop)? else { continue };
            let _one = self.maintenance.lock();
            let Some(report) = namespace.publish(compacted)? else { return Ok(false) };
            let counters = &namespace.counters;
            counters.compactions.add(1);
            counters.compaction_read_bytes.add(report.bytes_read);
            counters.compaction_written_bytes.add(report.bytes_written);
            tracing::info!(namespace = namespace.name(), ?report, "compacted");
            return Ok(true);
        }
        Ok(false)
    }

    /// Removes what is older than retention.
    pub(crate) fn expire(&self) -> Result<(), TsdbError> {
        let _one = self.maintenance.lock();
        for namespace in self.namespaces.values() {
            let removed = namespace.expire()?;
            if removed > 0 {
                tracing::info!(namespace = namespace.name(), files = removed, "expired");
            }
        }
        Ok(())
    }

    /// After a failure of the log: proves that the disk takes writes, makes durable what the
    /// failed segment may have lost, and takes writes again.
    pub(crate) fn recover_log(&self) -> Result<(), TsdbError> {
        let _one = self.maintenance.lock();
        let segment = self.log.probe()?;
        self.persist(segment, Merge::Due)?;
        self.log.resume()?;
        self.log.remove_before(segment)?;
        Ok(())
    }
}

impl Database {
    /// Opens the data directory: locks it, loads index, filesets and snapshots, replays the log.
    ///
    /// `progress` tells others how far this is; the call blocks until all is loaded.
    ///
    /// # Errors
    /// [`TsdbError::Locked`] if another process has it; errors of the file system. Damage is not
    /// an error: see [`Database::damage_at_start`].
    pub fn open(options: DatabaseOptions, progress: Arc<Progress>) -> Result<Self, TsdbError> {
        let background = options.background;
        let clock = options.clock.clone();
        let snapshot_log_bytes = options.snapshot_log_bytes;
        let loaded = bootstrap::load(options, &progress)?;
        let core = Arc::new(Core {
            namespaces: loaded.namespaces,
            log: loaded.log,
            snapshot_log_bytes,
            background_failures: Counter::default(),
            compaction: Mutex::new(()),
            maintenance: Mutex::new(()),
        });
        if loaded.replayed_bytes >= snapshot_log_bytes {
            core.snapshot()?;
        }
        let stop = Arc::new(Stop::default());
        let mut threads = Vec::new();
        if background {
            let mut start = |name, job: fn(&Arc<Core>, &Stop, &SharedClock)| {
                let (core, stop, clock) = (Arc::clone(&core), Arc::clone(&stop), clock.clone());
                let thread = Thread::start(name, move || job(&core, &stop, &clock))
                    .map_err(|e| TsdbError::io("start a background thread of", &loaded.dir, e))?;
                threads.push(thread);
                Ok::<(), TsdbError>(())
            };
            start("mediator", mediator::run)?;
            start("compactor", mediator::run_compaction)?;
        }
        progress.enter(Stage::Ready, 0);
        Ok(Self {
            core,
            progress,
            damage: loaded.damage,
            stop,
            background: Mutex::new(threads),
            _lock: loaded.lock,
        })
    }

    /// The namespace of that name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.core.namespaces.get(name).cloned()
    }

    /// Makes every window durable in a volume, merges all layers and drops the log before.
    /// Blocks for as long as that takes; reads and writes go on.
    ///
    /// # Errors
    /// Errors of the file system and the log; what is not flushed stays in memory and in the log.
    pub fn flush_all(&self) -> Result<FlushReport, TsdbError> {
        // A compaction that runs would keep blocks from being merged.
        let _no_compaction = self.core.compaction.lock();
        let _one = self.core.maintenance.lock();
        let (written, segments_removed) = self.core.checkpoint(Merge::All)?;
        Ok(FlushReport {
            volumes: written.volumes,
            series_blocks: written.series_blocks,
            segments_removed,
        })
    }

    /// Puts the buffers into snapshot files and drops the log before them.
    ///
    /// # Errors
    /// As [`Database::flush_all`].
    pub fn snapshot(&self) -> Result<(), TsdbError> {
        self.core.snapshot()
    }

    /// Flushes blocks that are past their time, and removes those outside retention.
    ///
    /// # Errors
    /// As [`Database::flush_all`].
    pub fn tick(&self) -> Result<(), TsdbError> {
        self.core.flush_due()?;
        self.core.expire()
    }

    /// Makes longer blocks of closed ones until there is nothing left to do; returns how many.
    ///
    /// # Errors
    /// As [`Database::flush_all`]; what was compacted before stays.
    pub fn compact(&self) -> Result<u64, TsdbError> {
        let mut blocks = 0;
        while self.core.compact_one(&self.stop)? {
            blocks += 1;
        }
        Ok(blocks)
    }

    /// What was found damaged when the directory was opened.
    #[must_use]
    pub fn damage_at_start(&self) -> &[Damage] {
        &self.damage
    }

    /// Numbers about the database as it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = Status {
            log_bytes: self.core.log.bytes_since_rotation(),
            log_failure: self.core.log.failure().map(|why| why.to_string()),
            background_failures: self.core.background_failures.get(),
            damage_at_start: self.damage.len() as u64,
            ..Status::default()
        };
        for namespace in self.core.namespaces.values() {
            status.series += namespace.series_count();
            status.samples_written += namespace.counters.samples.get();
            let counters = &namespace.counters;
            status.compactions += counters.compactions.get();
            status.compaction_read_bytes += counters.compaction_read_bytes.get();
            status.compaction_written_bytes += counters.compaction_written_bytes.get();
            status.damaged_reads += namespace.counters.damaged_reads.get();
            for shard in &namespace.shards {
                let (windows, blocks) = {
                    let state = shard.lock();
                    (state.buffer.window_count() as u64, state.blocks())
                };
                status.windows_open += windows;
                for (_, files) in blocks.iter() {
                    let volumes = u64::from(files.volume.is_some());
                    status.volumes += volumes;
                    status.snapshots += files.readers().count() as u64 - volumes;
                }
            }
        }
        status
    }

    /// Stops background work, writes and syncs what the log holds, and closes it. Buffers are not
    /// flushed: the log has them.
    ///
    /// # Errors
    /// Errors of the commit log.
    pub fn close(&self) -> Result<(), TsdbError> {
        self.stop.stop();
        for thread in self.background.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("BUG: a background thread panicked");
            }
        }
        self.progress.enter(Stage::Closed, 0);
        Ok(self.core.log.close()?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the database");
        }
    }
}
