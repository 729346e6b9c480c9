//! A namespace: one set of series with one retention, sharded.

mod meta;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use m3rs_core::clock::SharedClock;
use m3rs_core::fs::SharedFs;
use m3rs_core::model::{Labels, Matcher, shard_of_hash};
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_index::{Doc, Identity, Index, Limited};
use parking_lot::Mutex;

pub(crate) use meta::NamespaceMeta;
pub(crate) use registry::{MemoPosition, NewEncoding, Place, Registry, Secret, Tables};

use crate::blocks::BlockId;
use crate::commitlog::{self, CommitLog};
use crate::error::TsdbError;
use crate::limits::Limits;
use crate::names::Layout;
use crate::read::Selection;
use crate::shard::Shard;
use crate::write::{WriteScratch, WriteSession};

/// The namespace that a server has without any configuration.
pub const DEFAULT_NAMESPACE: &str = "default";

/// How a namespace keeps its samples. Shard count and block size are fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceOptions {
    /// How long samples are kept, in nanoseconds; 0 keeps them for ever.
    pub retention_ns: i64,
    /// Length of a block, in nanoseconds.
    pub block_size_ns: i64,
    /// How long after its end a block waits for late samples before it is flushed.
    pub buffer_past_ns: i64,
    /// How far in the future a sample may be.
    pub buffer_future_ns: i64,
    /// Number of shards.
    pub shard_count: u16,
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self {
            retention_ns: 30 * 24 * 3600 * NS_PER_S,
            block_size_ns: 2 * 3600 * NS_PER_S,
            buffer_past_ns: 600 * NS_PER_S,
            buffer_future_ns: 600 * NS_PER_S,
            shard_count: 4,
        }
    }
}

/// A namespace that is open. All methods may be called from any thread.
#[derive(Debug)]
pub struct Namespace {
    /// Its number in the commit log.
    pub(crate) id: u32,
    name: String,
    pub(crate) options: NamespaceOptions,
    pub(crate) limits: Limits,
    pub(crate) fs: SharedFs,
    pub(crate) layout: Layout,
    pub(crate) clock: SharedClock,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) index: Index,
    pub(crate) registry: Registry,
    pub(crate) shards: Vec<Shard>,
    /// Held while a series is made, so that refs are given one by one.
    create: Mutex<CreateScratch>,
    pub(crate) scratch: Mutex<Vec<WriteScratch>>,
    pub(crate) counters: Counters,
    /// Shard and span of the compaction that runs; flushes pass over it.
    pub(crate) compacting: Mutex<Option<(usize, BlockId)>>,
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
    pub(crate) options: NamespaceOptions,
    pub(crate) limits: Limits,
    pub(crate) fs: SharedFs,
    pub(crate) layout: Layout,
    pub(crate) clock: SharedClock,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) index: Index,
    pub(crate) secret: Secret,
}

impl Namespace {
    pub(crate) fn new(parts: Parts) -> Self {
        let options = NamespaceOptions {
            block_size_ns: parts.meta.block_size_ns,
            shard_count: parts.meta.shard_count,
            ..parts.options
        };
        let shards = (0..options.shard_count).map(|id| Shard::new(id, options.block_size_ns));
        Self {
            id: parts.meta.id,
            name: parts.meta.name,
            shards: shards.collect(),
            options,
            limits: parts.limits,
            fs: parts.fs,
            layout: parts.layout,
            clock: parts.clock,
            log: parts.log,
            index: parts.index,
            registry: Registry::new(parts.secret),
            create: Mutex::default(),
            scratch: Mutex::default(),
            counters: Counters::default(),
            compacting: Mutex::default(),
        }
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it keeps samples.
    #[must_use]
    pub fn options(&self) -> &NamespaceOptions {
        &self.options
    }

    /// The number of series ever seen and not dropped.
    #[must_use]
    pub fn series_count(&self) -> u64 {
        self.registry.series_count()
    }

    /// Starts a write. Keep it on one thread, then [`WriteSession::commit`] it.
    #[must_use]
    pub fn writer(&self) -> WriteSession<'_> {
        WriteSession::new(self)
    }

    /// Finds the series for which all matchers hold; their samples are read afterwards.
    ///
    /// # Errors
    /// [`TsdbError::Index`] for a bad regular expression or more than `series_max` series.
    pub fn select(
        self: &Arc<Self>,
        matchers: &[Matcher],
        start: TimestampNs,
        end: TimestampNs,
        series_max: usize,
    ) -> Result<Selection, TsdbError> {
        Selection::new(
            Arc::clone(self),
            matchers,
            (start.0.max(self.horizon().0), end.0),
            series_max,
        )
    }

    /// Names of labels of the series for which any of the matcher sets holds; 0 is no limit.
    ///
    /// # Errors
    /// [`TsdbError::Index`].
    pub fn label_names(
        &self,
        matcher_sets: &[Vec<Matcher>],
        limit: usize,
    ) -> Result<Limited<String>, TsdbError> {
        Ok(self.index.label_names(matcher_sets, count_max(limit))?)
    }

    /// Values of the label `name`, as [`Namespace::label_names`].
    ///
    /// # Errors
    /// [`TsdbError::Index`].
    pub fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        limit: usize,
    ) -> Result<Limited<String>, TsdbError> {
        Ok(self.index.label_values(name, matcher_sets, count_max(limit))?)
    }

    /// Label sets of series, as [`Namespace::label_names`].
    ///
    /// # Errors
    /// [`TsdbError::Index`].
    pub fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        limit: usize,
    ) -> Result<Limited<Labels>, TsdbError> {
        let found = self.index.series(matcher_sets, count_max(limit))?;
        let labels = self.index.labels_of(&found.items)?;
        let mut items: Vec<Labels> = labels.into_iter().flatten().collect();
        items.sort_unstable();
        Ok(Limited { items, truncated: found.truncated })
    }

    /// Samples before this time are outside retention.
    #[must_use]
    pub fn horizon(&self) -> TimestampNs {
        if self.options.retention_ns == 0 {
            return TimestampNs(0);
        }
        let now = self.clock.now().0;
        TimestampNs(now.saturating_sub(self.options.retention_ns).max(0))
    }

    /// Whether one more new series may be made, beside `pending` others that a request waits to
    /// make.
    ///
    /// # Errors
    /// [`TsdbError::SeriesLimit`].
    pub(crate) fn permit_series(&self, next_ref: u32, pending: usize) -> Result<(), TsdbError> {
        let limit = self.limits.series_max;
        if u64::from(next_ref) + pending as u64 >= u64::from(limit) {
            return Err(TsdbError::SeriesLimit { limit });
        }
        Ok(())
    }

    /// Finds or makes the series of each pending one, and puts its ref in its place. New ones are
    /// logged and indexed together; all are made or none.
    ///
    /// # Errors
    /// [`TsdbError::SeriesLimit`] if other requests made the last ones meanwhile; errors of the
    /// commit log and the index.
    pub(crate) fn make_series(&self, pending: &mut [PendingSeries]) -> Result<(), TsdbError> {
        let mut scratch = self.create.lock();
        let CreateScratch { series_id, entries, in_batch } = &mut *scratch;
        in_batch.clear();
        let mut docs: Vec<Doc<'_>> = Vec::with_capacity(pending.len());
        let first = {
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
                self.permit_series(first, docs.len())?;
                *series = first + docs.len() as u32;
                let identity = Identity::of_hashed(bytes, *labels_hash, series_id);
                in_batch.insert_unique(*labels_hash as u64, docs.len(), |&d: &usize| {
                    docs[d].identity.labels_hash as u64
                });
                docs.push(Doc { id: *series, labels: labels.as_bytes(), identity });
            }
            first
        };
        if docs.is_empty() {
            return Ok(());
        }
        let made = self.log_series(&docs, entries).and_then(|()| self.admit(&docs));
        if made.is_err() {
            // The log may name these refs now, so no other series may get them.
            self.registry.reserve(first + (docs.len() - 1) as u32);
        }
        made
    }

    /// The log entries come before all else: no sample of a series can stand before its entry.
    fn log_series(&self, docs: &[Doc<'_>], entries: &mut Vec<u8>) -> Result<(), TsdbError> {
        entries.clear();
        for doc in docs {
            let shard = self.shard_of(doc.identity);
            commitlog::encode_series(entries, self.id, doc.id, shard, doc.labels);
            if entries.len() >= LOG_APPEND_BYTES {
                self.log.append(entries)?;
                entries.clear();
            }
        }
        self.log.append(entries)?;
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
                let slot = state.add_series(series);
                placed.push((series, Place { shard, slot }, identity.labels_hash));
            }
        }
        self.registry.insert(&placed);
    }

    /// The shard of a series.
    pub(crate) fn shard_of(&self, identity: Identity) -> u16 {
        shard_of_hash(identity.shard_hash, self.options.shard_count)
    }

    /// Waits until every series with a ref that was given so far is in the index.
    pub(crate) fn settle_series(&self) {
        drop(self.create.lock());
    }

    pub(crate) fn index_dir(&self) -> PathBuf {
        self.layout.index(&self.name)
    }
}

/// A limit of 0 is none.
fn count_max(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}
