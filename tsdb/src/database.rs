//! The database: all namespaces of a data directory over one commit log.

mod backup;
mod log_need;
mod losses;
mod namespaces;
mod older;
mod options;
mod reshard;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::FsLock;
use m3rs_core::spawn::Thread;
use parking_lot::{Mutex, MutexGuard, RwLock};

pub(crate) use log_need::LogNeed;
pub(crate) use older::OlderBlock;
pub use options::DatabaseOptions;
pub use status::{NamespaceStatus, Status};

pub use self::backup::InMemory;
use self::older::Older;
use crate::bootstrap::{self, Opener};
use crate::checkpoint::{Merge, Written};
use crate::commitlog::CommitLog;
use crate::error::{Damage, TsdbError};
use crate::limits::{PersistRate, Throttle};
use crate::mediator::{self, FirstError, JobKind, Jobs, Stop};
use crate::namespace::{Catalog, Counter, Counters, Namespace};
use crate::progress::{Progress, Stage};
use crate::scrub::{Scrub, ScrubReport};

/// New series of a namespace at which its index is sealed before its samples are due.
const SEAL_SERIES: u64 = 1 << 16;

/// How long deletions over closed blocks wait for a checkpoint that comes by itself.
const DELETIONS_WAIT: Duration = Duration::from_secs(300);

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

/// An open database. Dropping it closes its log; [`Database::close`] does it in order.
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
    namespaces: RwLock<BTreeMap<String, Arc<Namespace>>>,
    catalog: Mutex<Catalog>,
    /// Namespaces that were removed or replaced and may still be read.
    retired: Mutex<Vec<Arc<Namespace>>>,
    /// Namespaces whose change failed so that nobody knows which catalog is on the disk.
    unsettled: Mutex<Vec<Arc<Namespace>>>,
    /// What retired namespaces counted.
    gone: Counters,
    pub(crate) opener: Opener,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) background_failures: Counter,
    pub(crate) jobs: Jobs,
    clock: SharedClock,
    persist_rate: PersistRate,
    pub(crate) scrub: Scrub,
    /// Since when deletions over closed blocks have been in memory alone, by monotonic time.
    deletions_since: Mutex<Option<Duration>>,
    /// Held by whoever compacts; taken before `maintenance`.
    compaction: Mutex<()>,
    /// Held by whoever freezes, merges or removes; see [`Core::maintain`].
    maintenance: Mutex<()>,
    /// What the start left for later.
    older: Older,
}

/// How much of memory goes into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// What the namespaces' options say.
    ByOptions,
    /// All, as the log does not hold it.
    Everything,
}

impl Core {
    /// The right to freeze, merge or remove. Nobody has it as long as a block is not open that the
    /// start left for later: what is not known of it could be hidden, removed or written over.
    fn maintain(&self) -> Result<MutexGuard<'_, ()>, TsdbError> {
        let maintenance = self.maintenance.lock();
        self.check_opened()?;
        Ok(maintenance)
    }

    /// Cuts the log and makes everything before the cut durable in files, as far as namespaces
    /// are put into files; the log is kept for the others.
    fn checkpoint(&self, merge: Merge) -> Result<(Written, u64), TsdbError> {
        self.checkpoint_of(merge, Extent::ByOptions)
    }

    fn checkpoint_of(&self, merge: Merge, extent: Extent) -> Result<(Written, u64), TsdbError> {
        let segment = self.log.rotate()?;
        let written = self.persist(segment, merge, extent)?;
        self.record_losses()?;
        // A start that finds a file which should be gone needs the log of what came after.
        self.settle_removals()?;
        let needed = self.all().iter().filter_map(|n| n.log_need.lock().oldest()).min();
        let removed = self.log.remove_before(needed.unwrap_or(segment).min(segment))?;
        Ok((written, removed as u64))
    }

    /// Makes series and samples in memory durable in files. A namespace that fails does not hold
    /// up the others.
    fn persist(&self, segment: u64, merge: Merge, extent: Extent) -> Result<Written, TsdbError> {
        let mut written = Written::default();
        self.for_each(|namespace| {
            let more = persist_one(namespace, segment, merge, extent)?;
            written.volumes += more.volumes;
            written.snapshots += more.snapshots;
            written.series_blocks += more.series_blocks;
            Ok(())
        })?;
        Ok(written)
    }

    /// Lets the files go that earlier jobs could not remove.
    fn settle_removals(&self) -> Result<(), TsdbError> {
        self.for_each(Namespace::settle_removals)
    }

    /// Does `work` for each namespace, whatever becomes of the others. Of several errors the first
    /// is returned and the others are logged.
    fn for_each(
        &self,
        mut work: impl FnMut(&Namespace) -> Result<(), TsdbError>,
    ) -> Result<(), TsdbError> {
        let mut first = FirstError::default();
        for namespace in self.all() {
            first.note(work(&namespace));
        }
        first.into_result()
    }

    /// Puts the buffers into snapshots and drops the log before them.
    pub(crate) fn snapshot(&self) -> Result<(), TsdbError> {
        let _one = self.maintain()?;
        let (written, removed) =
            self.jobs.run(JobKind::Snapshot, || self.checkpoint(Merge::Due))?;
        tracing::debug!(?written, segments_removed = removed, "snapshot");
        Ok(())
    }

    /// Seals indexes to which many series came: after a crash, a sealed series is an entry of an
    /// array, another one is read from the log, hashed and indexed anew.
    pub(crate) fn seal_new_series(&self) -> Result<(), TsdbError> {
        let is_due = |namespace: &Namespace| namespace.index.unsealed_len() >= SEAL_SERIES;
        if !self.all().iter().any(|namespace| is_due(namespace)) {
            return Ok(());
        }
        let _one = self.maintain()?;
        self.jobs.run(JobKind::Seal, || {
            self.for_each(|namespace| match is_due(namespace) {
                true => namespace.seal_index(),
                false => Ok(()),
            })
        })
    }

    /// Flushes the blocks that are past their time.
    pub(crate) fn flush_due(&self) -> Result<(), TsdbError> {
        let _one = self.maintain()?;
        self.jobs.run(JobKind::Flush, || {
            self.for_each(|namespace| {
                let written = namespace.flush_due()?;
                if written.volumes > 0 {
                    let name = namespace.name();
                    tracing::info!(namespace = name, volumes = written.volumes, "flushed");
                }
                Ok(())
            })
        })
    }

    /// Makes one longer block of closed ones; says whether there was anything to do.
    pub(crate) fn compact_one(&self, stop: &Stop) -> Result<bool, TsdbError> {
        let _one = self.compaction.lock();
        self.check_opened()?;
        for namespace in self.all() {
            let options = namespace.options();
            if !options.flush_enabled || !namespace.has_compaction() {
                continue;
            }
            return self.jobs.run(JobKind::Compact, || self.compact_in(&namespace, stop));
        }
        Ok(false)
    }

    fn compact_in(&self, namespace: &Namespace, stop: &Stop) -> Result<bool, TsdbError> {
        let Some(compacted) = namespace.compact_next(stop)? else { return Ok(false) };
        let _one = self.maintain()?;
        namespace.publish(compacted)
    }

    /// Removes what is older than retention, and what removed namespaces left.
    pub(crate) fn expire(&self) -> Result<(), TsdbError> {
        let maintenance = self.maintain()?;
        let expired = self.jobs.run(JobKind::Expire, || {
            self.for_each(|namespace| {
                let removed = namespace.expire()?;
                if removed > 0 {
                    tracing::info!(namespace = namespace.name(), files = removed, "expired");
                }
                Ok(())
            })
        });
        let mut first = FirstError::default();
        first.note(expired);
        first.note(self.settle_catalog());
        first.note(self.jobs.run(JobKind::Purge, || self.purge(&maintenance)));
        first.note(self.refresh_losses());
        first.into_result()
    }

    /// Takes out series that have no samples any more.
    pub(crate) fn retire_series(&self) -> Result<(), TsdbError> {
        let _one = self.maintain()?;
        self.jobs.run(JobKind::Retire, || {
            self.for_each(|namespace| {
                let retired = namespace.retire_series()?;
                if retired > 0 {
                    tracing::info!(namespace = namespace.name(), series = retired, "retired");
                }
                Ok(())
            })
        })
    }

    /// Makes durable in files what the log does not hold, whatever options say of snapshots.
    pub(crate) fn save_unlogged(&self) -> Result<(), TsdbError> {
        let _one = self.maintain()?;
        self.for_each(|namespace| {
            if !namespace.holds_unlogged() {
                return Ok(());
            }
            let segment = self.log.rotate()?;
            self.jobs.run(JobKind::Snapshot, || {
                persist_one(namespace, segment, Merge::Due, Extent::Everything)?;
                namespace.settle_removals()
            })
        })
    }

    /// Makes a checkpoint if deletions over closed blocks have been in memory for a while: only
    /// from files can compaction take them, and little may be written that would bring one.
    pub(crate) fn save_deletions(&self) -> Result<(), TsdbError> {
        let now = self.clock.monotonic();
        let is_due = {
            let mut since = self.deletions_since.lock();
            let holds = self.all().iter().any(|namespace| namespace.holds_deletions());
            *since = holds.then(|| since.unwrap_or(now));
            since.is_some_and(|since| now.saturating_sub(since) >= DELETIONS_WAIT)
        };
        if is_due { self.snapshot() } else { Ok(()) }
    }

    /// Recovers the log if it failed.
    pub(crate) fn recover_failed_log(&self) -> Result<(), TsdbError> {
        let Some(why) = self.log.failure() else { return Ok(()) };
        self.jobs.run(JobKind::Recover, || self.recover_log())?;
        tracing::warn!(%why, "commit log takes writes again, on a new segment");
        Ok(())
    }

    /// After a failure of the log: proves that the disk takes writes, makes durable what the
    /// failed segment may have lost, and takes writes again.
    fn recover_log(&self) -> Result<(), TsdbError> {
        let _one = self.maintain()?;
        let segment = self.log.probe()?;
        self.persist(segment, Merge::Due, Extent::Everything)?;
        self.log.resume()?;
        self.record_losses()?;
        self.settle_removals()?;
        self.log.remove_before(segment)?;
        Ok(())
    }
}

/// Makes the series of a namespace durable, and its samples as its options say.
fn persist_one(
    namespace: &Namespace,
    segment: u64,
    merge: Merge,
    extent: Extent,
) -> Result<Written, TsdbError> {
    namespace.persist_side()?;
    let options = namespace.options();
    let is_flushed_whole = options.flush_enabled && merge == Merge::All;
    if extent == Extent::ByOptions && !options.snapshot_enabled && !is_flushed_whole {
        let written = namespace.flush_due()?;
        namespace.settle_series();
        namespace.seal_index()?;
        let in_memory = namespace.blocks_in_memory();
        namespace.log_need.lock().meet(segment, in_memory.into_iter());
        return Ok(written);
    }
    let merge = if options.flush_enabled { merge } else { Merge::Never };
    // What comes after this is frozen by the next one.
    let held_unlogged = namespace.holds_unlogged.swap(false, Ordering::Relaxed);
    let persisted = persist_all(namespace, segment, merge);
    if held_unlogged && persisted.is_err() {
        namespace.holds_unlogged.store(true, Ordering::Relaxed);
    }
    persisted
}

/// Makes all of a namespace durable in files.
fn persist_all(namespace: &Namespace, segment: u64, merge: Merge) -> Result<Written, TsdbError> {
    let due = namespace.due_blocks();
    namespace.settle_series();
    namespace.freeze_all();
    namespace.seal_index()?;
    let written = namespace.persist_frozen(segment, merge, &due)?;
    namespace.log_need.lock().none_before(segment);
    Ok(written)
}

impl Database {
    /// Opens the data directory: locks it, loads index, filesets and snapshots, replays the log.
    ///
    /// `progress` tells others how far this is; the call blocks until all is loaded, but for older
    /// blocks ([`DatabaseOptions::opened_first`]): these are opened afterwards, the newest first.
    /// Until then reads of their times, flushes, and what changes the layout of a namespace are
    /// refused as [`TsdbError::StillOpening`].
    ///
    /// # Errors
    /// [`TsdbError::Locked`] if another process has it; errors of the file system. Damage is not
    /// an error: see [`Database::damage_at_start`].
    pub fn open(options: DatabaseOptions, progress: Arc<Progress>) -> Result<Self, TsdbError> {
        let background = options.background;
        let clock = options.clock.clone();
        let snapshot_log_bytes = options.snapshot_log_bytes;
        let scrub_rate = options.limits.scrub_bytes_per_second_max;
        let configured = options.configured();
        let loaded = bootstrap::load(options, &progress)?;
        let core = Arc::new(Core {
            namespaces: RwLock::new(loaded.namespaces),
            catalog: Mutex::new(loaded.catalog),
            retired: Mutex::default(),
            unsettled: Mutex::default(),
            gone: Counters::default(),
            opener: loaded.opener,
            log: loaded.log,
            snapshot_log_bytes,
            background_failures: Counter::default(),
            jobs: Jobs::new(Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            persist_rate: loaded.persist_rate,
            scrub: Scrub::new(Throttle::new(Arc::clone(&clock), scrub_rate)),
            deletions_since: Mutex::default(),
            compaction: Mutex::new(()),
            maintenance: Mutex::new(()),
            older: Older::new(loaded.older),
        });
        core.try_purge();
        let mut damage = loaded.damage;
        damage.extend(core.settle_configured(&configured, &progress)?);
        // With background work the snapshot that these bytes are due does not hold up the start.
        core.log.count_replayed(loaded.replayed_bytes);
        let opens_older = core.check_opened().is_err();
        if !background && !opens_older && loaded.replayed_bytes >= snapshot_log_bytes {
            core.snapshot()?;
        }
        let stop = Arc::new(Stop::default());
        let mut threads = Vec::new();
        let mut start = |name, job: fn(&Arc<Core>, &Stop, &SharedClock)| {
            let (core, stop, clock) = (Arc::clone(&core), Arc::clone(&stop), clock.clone());
            let thread = Thread::start(name, move || job(&core, &stop, &clock))
                .map_err(|e| TsdbError::io("start a background thread of", &loaded.dir, e))?;
            threads.push(thread);
            Ok::<(), TsdbError>(())
        };
        if opens_older {
            start("older-blocks", mediator::run_opening)?;
        }
        if background {
            start("mediator", mediator::run)?;
            start("compactor", mediator::run_compaction)?;
            if scrub_rate > 0 {
                start("scrubber", mediator::run_scrub)?;
            }
        }
        progress.enter(Stage::Ready, 0);
        Ok(Self {
            core,
            progress,
            damage,
            stop,
            background: Mutex::new(threads),
            _lock: loaded.lock,
        })
    }

    /// Makes every window durable in a volume, merges all layers and drops the log before.
    /// Blocks for as long as that takes; reads and writes go on.
    ///
    /// # Errors
    /// Errors of the file system and the log; what is not flushed stays in memory and in the log.
    pub fn flush_all(&self) -> Result<FlushReport, TsdbError> {
        let _one = self.core.maintain()?;
        let (written, segments_removed) =
            self.core.jobs.run(JobKind::Flush, || self.core.checkpoint(Merge::All))?;
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

    /// Does what the mediator does by itself, without waiting for its time: removes blocks outside
    /// retention, lets a failed log take writes again, flushes blocks that are past their time.
    ///
    /// # Errors
    /// As [`Database::flush_all`]; the first one, after all of it was tried.
    pub fn tick(&self) -> Result<(), TsdbError> {
        let mut first = FirstError::default();
        // First, as it frees space for the others.
        first.note(self.core.expire());
        first.note(self.core.recover_failed_log());
        first.note(self.core.flush_due());
        first.note(self.core.save_deletions());
        first.note(self.core.retire_series());
        first.into_result()
    }

    /// Makes longer blocks of closed ones, and writes blocks anew without what was deleted, until
    /// there is nothing left to do; returns how many.
    ///
    /// # Errors
    /// As [`Database::flush_all`]; the first one, after the others were compacted. What failed
    /// rests for a minute.
    pub fn compact(&self) -> Result<u64, TsdbError> {
        self.core.check_opened()?;
        let mut blocks = 0;
        let mut first = FirstError::default();
        loop {
            match self.core.compact_one(&self.stop) {
                Ok(false) => break,
                Ok(true) => blocks += 1,
                Err(TsdbError::Closing) => return Err(TsdbError::Closing),
                // It rests, so that this ends.
                Err(error) => drop(first.note(Err::<(), _>(error))),
            }
        }
        first.into_result().map(|()| blocks)
    }

    /// Reads every file once and checks its checksums, at the rate of
    /// [`Limits::scrub_bytes_per_second_max`]. What is damaged is told in the status.
    ///
    /// # Errors
    /// Errors of the file system. Damage is none.
    pub fn scrub(&self) -> Result<ScrubReport, TsdbError> {
        self.core.scrub(&self.stop)
    }

    /// What was found damaged when the directory was opened, and in what was left for later.
    #[must_use]
    pub fn damage_at_start(&self) -> Vec<Damage> {
        let mut all = self.damage.clone();
        all.extend(self.core.older.damage());
        all
    }

    /// Lets flushes, snapshots and merges write so many bytes a second from now on, those under
    /// way too; 0 is no limit. It is not kept over a restart.
    pub fn set_persist_rate(&self, bytes_per_second: u64) {
        self.core.persist_rate.set(bytes_per_second);
        tracing::info!(bytes_per_second, "persist rate");
    }

    /// Lets a namespace that has no limit of its own make so many new series in a second from now
    /// on; 0 is no limit. It is not kept over a restart.
    pub fn set_new_series_rate(&self, per_second: u32) {
        self.core.opener.runtime.set_new_series_per_second_max(per_second);
        tracing::info!(per_second, "limit of new series");
    }

    /// Lets so many windows with unflushed samples wait in one shard from now on. It is not kept
    /// over a restart.
    pub fn set_windows_max(&self, windows: usize) {
        self.core.opener.runtime.set_windows_max(windows);
        tracing::info!(windows, "limit of windows that wait to be flushed");
    }

    /// Stops background work, writes and syncs what the log holds, and closes it. Buffers are not
    /// flushed, as the log has them; those of namespaces that are not logged become snapshots.
    ///
    /// # Errors
    /// Errors of the commit log, and of those snapshots.
    pub fn close(&self) -> Result<(), TsdbError> {
        let was_closed = self.stop_work();
        let saved = if was_closed { Ok(()) } else { self.core.save_last() };
        self.progress.enter(Stage::Closed, 0);
        self.core.log.close()?;
        saved
    }

    /// Ends the background threads; says whether that was done before.
    fn stop_work(&self) -> bool {
        let was_stopped = self.stop.stop();
        self.core.persist_rate.release();
        self.core.scrub.throttle.release();
        for thread in self.background.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("BUG: a background thread panicked");
            }
        }
        was_stopped
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // As a kill would do it: what is not logged is lost.
        self.stop_work();
        self.progress.enter(Stage::Closed, 0);
        if let Err(error) = self.core.log.close() {
            tracing::error!(%error, "closing the database");
        }
    }
}
