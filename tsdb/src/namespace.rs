//! A namespace: one set of series with one retention, sharded.

mod catalog;
mod find;
mod grid;
mod opening;
mod options;
mod registry;
mod rows;
mod validate;
mod window;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use hashbrown::HashTable;
use m3rs_core::clock::SharedClock;
use m3rs_core::fs::SharedFs;
use m3rs_core::model::{Labels, Matcher, shard_of_hash};
use m3rs_core::time::TimestampNs;
use m3rs_index::{Doc, Identity, Index};
use parking_lot::{Mutex, RwLock};

pub(crate) use catalog::{Catalog, NamespaceMeta, check_catalog};
pub(crate) use grid::BlockGrid;
pub(crate) use opening::Opening;
pub use options::{
    Aggregation, CachingOptions, ConfiguredNamespace, Downsample, ExtendedOptions, IndexOptions,
    NamespaceOptions, RuntimeOptions, StagingState, TruncateTime, WriteTransforms,
};
pub(crate) use registry::{MemoPosition, NewEncoding, Place, Registry, Secret, Tables};
pub(crate) use validate::check_name;
pub use validate::{NAME_BYTES_MAX, OptionsError};
pub(crate) use window::WriteWindow;

use crate::activity::{ActiveSets, Retiring};
use crate::cache::ReadCache;
use crate::changes::Changes;
use crate::commitlog::{self, CommitLog};
use crate::compact::Rests;
use crate::database::LogNeed;
use crate::error::TsdbError;
use crate::exemplar::Exemplar;
use crate::expire::StepWatch;
use crate::limits::{DiskFloor, Limits, RateLimit, RuntimeLimits};
use crate::losses::Losses;
use crate::metadata::MetadataStore;
use crate::names::Layout;
use crate::shard::Shard;
use crate::side::Side;
use crate::write::{WriteScratch, WriteSession};

/// The namespace that a server has without any configuration.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A namespace that is open. All methods may be called from any thread.
#[derive(Debug)]
pub struct Namespace {
    /// Its number in the commit log.
    pub(crate) id: u32,
    name: String,
    /// The name of its directories.
    pub(crate) dir: String,
    options: RwLock<Arc<NamespaceOptions>>,
    pub(crate) grid: BlockGrid,
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<RuntimeLimits>,
    pub(crate) disk: Arc<DiskFloor>,
    pub(crate) cache: Arc<ReadCache>,
    /// Held to the persist rate.
    pub(crate) fs: SharedFs,
    /// Held to the same rate, by itself.
    pub(crate) compaction_fs: SharedFs,
    /// Which compactions wait before they are tried again.
    pub(crate) compaction_rests: Mutex<Rests>,
    pub(crate) layout: Layout,
    pub(crate) clock: SharedClock,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) index: Index,
    pub(crate) registry: Registry,
    pub(crate) active: Arc<ActiveSets>,
    pub(crate) retiring: Mutex<Retiring>,
    /// How many series were retired.
    retirements: AtomicU64,
    /// Metadata and exemplars.
    pub(crate) side: Side,
    pub(crate) shards: Vec<Shard>,
    /// Blocks that the start left for later.
    pub(crate) opening: Opening,
    /// What is known to be lost of it.
    pub(crate) losses: Losses,
    /// What is known to be lost of the commit log.
    pub(crate) log_losses: Arc<Losses>,
    /// Held while a series is made, so that refs are given one by one.
    create: Mutex<CreateScratch>,
    series_rate: Mutex<RateLimit>,
    pub(crate) scratch: Mutex<Vec<WriteScratch>>,
    pub(crate) counters: Counters,
    /// Which times changed.
    pub(crate) changes: Changes,
    /// Which segments of the log its memory needs.
    pub(crate) log_need: Mutex<LogNeed>,
    /// Whether memory holds samples or deletions that were not logged.
    pub(crate) holds_unlogged: AtomicBool,
    /// Whether the wall clock may decide what is removed.
    pub(crate) step_watch: StepWatch,
    /// Whether nothing expires, as the clock is not trusted.
    pub(crate) expiry_held: AtomicBool,
    /// The block up to which files that were set aside have expired.
    pub(crate) set_aside_expired_to: AtomicI64,
    /// Set when it is removed or replaced: it takes no writes any more, reads go on.
    retired: AtomicBool,
}

/// What happened in a namespace since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Blocks that a read had to leave out.
    pub(crate) damaged_reads: Counter,
    /// Samples written.
    pub(crate) samples: Counter,
    /// Blocks that compaction wrote.
    pub(crate) compactions: Counter,
    /// Bytes of the blocks that it read.
    pub(crate) compaction_read_bytes: Counter,
    /// Bytes of the blocks that it wrote.
    pub(crate) compaction_written_bytes: Counter,
    /// Compactions that were due and not begun, as a limit forbids them.
    pub(crate) compactions_skipped: Counter,
    /// New series that the limit on their rate refused.
    pub(crate) series_rate_refusals: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Refs that a namespace gives in its life; the last one stands for none.
const REFS_MAX: u32 = u32::MAX - 1;

/// Bytes of log entries of new series that are appended together, at least.
const LOG_APPEND_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
struct CreateScratch {
    series_id: Vec<u8>,
    entries: Vec<u8>,
    /// New series of one request, by half the hash of their labels.
    in_batch: HashTable<usize>,
}

/// A series that a request names and that was not known when it looked.
#[derive(Debug)]
pub(crate) struct PendingSeries {
    pub(crate) labels: Labels,
    /// XXH3-128 of the canonical labels.
    pub(crate) labels_hash: u128,
    /// Keyed hash and length of its label bytes in the request, if it came as such.
    pub(crate) encoding: Option<(u128, usize)>,
    /// Its ref, once [`Namespace::make_series`] has put it here.
    pub(crate) series: u32,
}

/// What a namespace is opened with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) meta: NamespaceMeta,
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<RuntimeLimits>,
    pub(crate) disk: Arc<DiskFloor>,
    pub(crate) cache: Arc<ReadCache>,
    /// Held to the persist rate.
    pub(crate) fs: SharedFs,
    /// Held to the same rate, by itself.
    pub(crate) compaction_fs: SharedFs,
    pub(crate) layout: Layout,
    pub(crate) clock: SharedClock,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) log_losses: Arc<Losses>,
    pub(crate) index: Index,
    pub(crate) active: Arc<ActiveSets>,
    pub(crate) secret: Secret,
}

impl Namespace {
    pub(crate) fn new(parts: Parts) -> Self {
        let options = parts.meta.options;
        let grid = BlockGrid::new(options.block_size_ns);
        let shards = (0..options.shard_count).map(|id| Shard::new(id, grid.size_ns()));
        Self {
            id: parts.meta.id,
            name: parts.meta.name,
            dir: parts.meta.dir,
            shards: shards.collect(),
            opening: Opening::default(),
            losses: Losses::default(),
            log_losses: parts.log_losses,
            options: RwLock::new(Arc::new(options)),
            grid,
            limits: parts.limits,
            runtime: parts.runtime,
            disk: parts.disk,
            cache: parts.cache,
            fs: parts.fs,
            compaction_fs: parts.compaction_fs,
            compaction_rests: Mutex::default(),
            layout: parts.layout,
            step_watch: StepWatch::new(Arc::clone(&parts.clock)),
            expiry_held: AtomicBool::new(true),
            set_aside_expired_to: AtomicI64::new(i64::MIN),
            clock: parts.clock,
            log: parts.log,
            index: parts.index,
            active: parts.active,
            retiring: Mutex::default(),
            retirements: AtomicU64::new(0),
            side: Side::new(parts.limits.metadata),
            registry: Registry::new(parts.secret),
            create: Mutex::default(),
            series_rate: Mutex::default(),
            scratch: Mutex::default(),
            counters: Counters::default(),
            changes: Changes::default(),
            log_need: Mutex::default(),
            holds_unlogged: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it keeps samples, as of now.
    #[must_use]
    pub fn options(&self) -> Arc<NamespaceOptions> {
        Arc::clone(&self.options.read())
    }

    /// Length of a block in nanoseconds.
    #[must_use]
    pub fn block_size_ns(&self) -> i64 {
        self.grid.size_ns()
    }

    /// Number of shards.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        u16::try_from(self.shards.len()).expect("BUG: made of a u16")
    }

    /// Takes other options; they were checked, and block size and shards are as ever.
    pub(crate) fn set_options(&self, options: NamespaceOptions) {
        *self.options.write() = Arc::new(options);
    }

    /// Whether a crash would lose what was written before.
    pub(crate) fn holds_unlogged(&self) -> bool {
        self.holds_unlogged.load(Ordering::Relaxed)
    }

    /// Refuses writes from now on. When this returns, no write is under way any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        drop(self.create.lock());
        self.side.settle();
        for shard in &self.shards {
            drop(shard.lock());
        }
    }

    /// Takes writes again.
    pub(crate) fn reinstate(&self) {
        self.retired.store(false, Ordering::Release);
    }

    /// Call under the lock of the shard that is written to, of `create`, or of what is kept beside
    /// samples.
    ///
    /// # Errors
    /// [`TsdbError::NamespaceRetired`] if it was removed or replaced.
    #[inline]
    pub(crate) fn check_serving(&self) -> Result<(), TsdbError> {
        if self.retired.load(Ordering::Acquire) {
            return Err(TsdbError::NamespaceRetired { name: self.name.clone() });
        }
        Ok(())
    }

    /// The number of series; those without samples are taken out from time to time.
    #[must_use]
    pub fn series_count(&self) -> u64 {
        self.registry.series_count()
    }

    /// Metadata of the metric families that were written here. Writers push theirs through
    /// [`WriteSession::push_metadata`], which makes them durable.
    #[must_use]
    pub fn metadata(&self) -> &MetadataStore {
        &self.side.metadata
    }

    /// Exemplars in the range of the series for which all matchers hold, by series; those of a
    /// series ascend by time. Series without any are left out.
    ///
    /// # Errors
    /// As [`Namespace::select`].
    pub fn exemplars(
        &self,
        matchers: &[Matcher],
        start: TimestampNs,
        end: TimestampNs,
        series_max: usize,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, TsdbError> {
        let range = (start.0.max(self.horizon().0), end.0);
        self.check_opened(range)?;
        let mut found = Vec::new();
        // An exemplar may stand where its series has no sample.
        for series in self.find(matchers, (i64::MIN, i64::MAX), series_max)? {
            let exemplars = self.side.exemplars.of_series(series, range);
            if !exemplars.is_empty()
                && let Some(labels) = self.index.labels(series)?
            {
                found.push((labels, exemplars));
            }
        }
        Ok(found)
    }

    /// Puts metadata and exemplars into their file, if it lacks any.
    pub(crate) fn persist_side(&self) -> Result<(), TsdbError> {
        let path = self.layout.side(&self.dir);
        let oldest = self.removal_horizon().unwrap_or(i64::MIN);
        self.side.persist(self.fs.as_ref(), &path, self.id, oldest)
    }

    /// Starts a write. Keep it on one thread, then [`WriteSession::commit`] it.
    #[must_use]
    pub fn writer(&self) -> WriteSession<'_> {
        WriteSession::new(self)
    }

    /// A mark for [`Namespace::earliest_change_since`]: what is read after this call has all writes
    /// and deletions that were acknowledged before it.
    #[must_use]
    pub fn mark_changes(&self) -> u64 {
        self.changes.mark()
    }

    /// The earliest time that was written or deleted since a mark. What was computed then from
    /// earlier times, and from none outside retention, still holds. `None` if nothing changed.
    #[must_use]
    pub fn earliest_change_since(&self, mark: u64) -> Option<TimestampNs> {
        let earliest = self.changes.earliest_since(mark);
        (earliest != i64::MAX).then_some(TimestampNs(earliest))
    }

    /// A number that no other namespace of this database has or had, be it of the same name.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.id
    }

    /// Samples before this time are outside retention.
    #[must_use]
    pub fn horizon(&self) -> TimestampNs {
        let retention_ns = self.options.read().retention_ns;
        if retention_ns == 0 {
            return TimestampNs(0);
        }
        let now = self.clock.now().0;
        TimestampNs(now.saturating_sub(retention_ns).max(0))
    }

    /// Whether a request may make one more series, with so many bytes of labels, beside `pending`
    /// others that it waits to make.
    ///
    /// # Errors
    /// [`TsdbError::NamespaceRetired`], [`TsdbError::DiskFloor`], [`TsdbError::SeriesLimit`],
    /// [`TsdbError::NewSeriesRate`].
    pub(crate) fn permit_series(
        &self,
        tables: &Tables,
        pending: usize,
        labels_len: usize,
    ) -> Result<(), TsdbError> {
        self.check_serving()?;
        let now = self.clock.monotonic();
        self.disk.check(labels_len as u64, now)?;
        let options = self.options();
        self.check_series_limit(&options, tables, pending)?;
        let of_server = self.runtime.new_series_per_second_max();
        let limit = nonzero_or(options.new_series_per_second_max, of_server);
        if limit > 0 && !self.series_rate.lock().take(u64::from(limit), now) {
            self.counters.series_rate_refusals.add(1);
            return Err(TsdbError::NewSeriesRate { limit });
        }
        Ok(())
    }

    fn check_series_limit(
        &self,
        options: &NamespaceOptions,
        tables: &Tables,
        pending: usize,
    ) -> Result<(), TsdbError> {
        let limit = nonzero_or(options.series_max, self.limits.series_max);
        if tables.series_count() + pending as u64 >= u64::from(limit) {
            return Err(TsdbError::SeriesLimit { limit });
        }
        if u64::from(tables.next_ref()) + pending as u64 >= u64::from(REFS_MAX) {
            return Err(TsdbError::SeriesLimit { limit: REFS_MAX });
        }
        Ok(())
    }

    /// Finds or makes the series of each pending one, and puts its ref in its place. New ones are
    /// logged and indexed together; all are made or none.
    ///
    /// # Errors
    /// [`TsdbError::NamespaceRetired`]; [`TsdbError::SeriesLimit`] if other requests made the last
    /// ones meanwhile; errors of the commit log and the index.
    pub(crate) fn make_series(&self, pending: &mut [PendingSeries]) -> Result<(), TsdbError> {
        let mut scratch = self.create.lock();
        self.check_serving()?;
        let options = self.options();
        let CreateScratch { series_id, entries, in_batch } = &mut *scratch;
        in_batch.clear();
        let mut docs: Vec<Doc<'_>> = Vec::with_capacity(pending.len());
        {
            let tables = self.registry.read();
            let first = tables.next_ref();
            for PendingSeries { labels, labels_hash, series, .. } in pending.iter_mut() {
                // Another request may have made it since this one looked.
                if let Some(known) = tables.find(labels, *labels_hash, &self.index)? {
                    *series = known;
                    continue;
                }
                let bytes = labels.as_bytes();
                let twin = in_batch.find(*labels_hash as u64, |&d| docs[d].labels == bytes);
                if let Some(&twin) = twin {
                    *series = docs[twin].id;
                    continue;
                }
                self.check_series_limit(&options, &tables, docs.len())?;
                *series = first + docs.len() as u32;
                let identity = Identity::of_hashed(bytes, *labels_hash, series_id);
                in_batch.insert_unique(*labels_hash as u64, docs.len(), |&d: &usize| {
                    docs[d].identity.labels_hash as u64
                });
                docs.push(Doc { id: *series, labels: labels.as_bytes(), identity });
            }
        }
        if docs.is_empty() {
            return Ok(());
        }
        // INVARIANT: what the log names is made. Else the next request with these labels would get
        // other refs, and a start that reads the log would find both.
        self.index.check_docs(&docs)?;
        self.log_series(&docs, entries)?;
        self.admit(&docs)
    }

    /// The log entries come before all else: no sample of a series can stand before its entry. All
    /// are taken, or none.
    /// They are logged whatever the options say of samples, as a request may go by older options.
    fn log_series(&self, docs: &[Doc<'_>], entries: &mut Vec<u8>) -> Result<(), TsdbError> {
        entries.clear();
        let (mut appends, mut from) = (Vec::new(), 0);
        for doc in docs {
            let shard = self.shard_of(doc.identity);
            commitlog::encode_series(entries, self.id, doc.id, shard, doc.labels);
            if entries.len() - from >= LOG_APPEND_BYTES {
                appends.push(from..entries.len());
                from = entries.len();
            }
        }
        appends.push(from..entries.len());
        let appends: Vec<&[u8]> = appends.into_iter().map(|at| &entries[at]).collect();
        self.log.append_all(&appends)?;
        Ok(())
    }

    /// Makes series findable and writable. Refs arrive in ascending order; the caller holds the
    /// right to make series (`create`, or start-up).
    pub(crate) fn admit(&self, docs: &[Doc<'_>]) -> Result<(), TsdbError> {
        self.index.insert_docs(docs)?;
        self.place_series(docs.iter().map(|doc| (doc.id, doc.identity)));
        Ok(())
    }

    /// Gives indexed series their slots, and makes them known to writers and readers.
    pub(crate) fn place_series(&self, all: impl ExactSizeIterator<Item = (u32, Identity)>) {
        let mut placed = Vec::with_capacity(all.len());
        {
            // Held together, so that a batch takes each lock once. No one else holds two of them.
            let mut states: Vec<_> = self.shards.iter().map(|_| None).collect();
            for (series, identity) in all {
                let shard = self.shard_of(identity);
                let at = usize::from(shard);
                let state = states[at].get_or_insert_with(|| self.shards[at].lock());
                let slot = state.buffer.add_series(series);
                placed.push((series, Place { shard, slot }, identity.labels_hash));
            }
        }
        self.registry.insert(&placed);
    }

    /// The shard of a series.
    pub(crate) fn shard_of(&self, identity: Identity) -> u16 {
        shard_of_hash(identity.shard_hash, self.shard_count())
    }

    /// Keeps others from making series while the guard lives.
    pub(crate) fn hold_creation(&self) -> impl Drop + '_ {
        self.create.lock()
    }

    /// How many series were retired so far. It changes under the lock of the series' shard.
    pub(crate) fn retirements(&self) -> u64 {
        self.retirements.load(Ordering::Acquire)
    }

    pub(crate) fn count_retirement(&self) {
        self.retirements.fetch_add(1, Ordering::Release);
    }

    /// Waits until every series with a ref that was given so far is in the index.
    pub(crate) fn settle_series(&self) {
        drop(self.create.lock());
    }

    pub(crate) fn index_dir(&self) -> PathBuf {
        self.layout.index(&self.dir)
    }
}

/// A namespace's own limit, or else the server's.
fn nonzero_or(own: u32, server: u32) -> u32 {
    if own == 0 { server } else { own }
}
