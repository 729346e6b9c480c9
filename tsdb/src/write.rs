//! The write path: resolve series, collect samples by shard, log and buffer them, wait for the log.

use std::fmt;
use std::time::Duration;

use m3rs_core::ErrorKind;
use m3rs_core::model::Labels;
use m3rs_core::time::TimestampNs;
use parking_lot::RwLockReadGuard;

use crate::buffer::Slot;
use crate::commitlog::{self, Ticket};
use crate::error::{CommitLogError, TsdbError};
use crate::namespace::{Namespace, Place, Tables};

/// A series as the write path knows it. Valid for the namespace that gave it, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesHandle {
    series: u32,
    place: Place,
}

/// Why a sample was not taken. The rest of the request is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteRefusal {
    /// The sample is older than the namespace keeps samples.
    #[error(
        "timestamp {} ms is outside retention: the oldest kept is {} ms",
        .t.to_ms().0, .oldest.to_ms().0
    )]
    OutsideRetention {
        /// The sample's time.
        t: TimestampNs,
        /// The oldest time that is kept.
        oldest: TimestampNs,
    },
    /// The sample's time is too far ahead of this server's clock.
    #[error(
        "timestamp {} ms is too far in the future: the latest taken is {} ms",
        .t.to_ms().0, .latest.to_ms().0
    )]
    TooFarInFuture {
        /// The sample's time.
        t: TimestampNs,
        /// The latest time that is taken.
        latest: TimestampNs,
    },
}

/// Why a series could not be resolved.
#[derive(Debug)]
pub enum ResolveError<E> {
    /// The caller's parser refused the labels.
    Labels(E),
    /// Storage refused or failed.
    Storage(TsdbError),
}

impl<E> From<TsdbError> for ResolveError<E> {
    fn from(error: TsdbError) -> Self {
        Self::Storage(error)
    }
}

/// The samples of one shard in one request.
#[derive(Debug, Default)]
struct ShardBatch {
    slots: Vec<Slot>,
    refs: Vec<u32>,
    ts: Vec<i64>,
    vs: Vec<f64>,
}

/// Memory of a [`WriteSession`], reused by later sessions.
#[derive(Debug, Default)]
pub(crate) struct WriteScratch {
    batches: Vec<ShardBatch>,
    entries: Vec<u8>,
}

/// Most scratches that a namespace keeps between requests.
const SCRATCHES_MAX: usize = 64;

/// One request's writes. Nothing is visible or durable before [`WriteSession::commit`], but series
/// that it made stay known.
pub struct WriteSession<'a> {
    namespace: &'a Namespace,
    tables: Option<RwLockReadGuard<'a, Tables>>,
    scratch: WriteScratch,
    oldest: TimestampNs,
    latest: TimestampNs,
    samples: u64,
}

impl fmt::Debug for WriteSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteSession").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl<'a> WriteSession<'a> {
    pub(crate) fn new(namespace: &'a Namespace) -> Self {
        let mut scratch = namespace.scratch.lock().pop().unwrap_or_default();
        scratch.batches.resize_with(namespace.shards.len(), ShardBatch::default);
        let now = namespace.clock.now().0;
        Self {
            namespace,
            tables: None,
            scratch,
            oldest: namespace.horizon(),
            latest: TimestampNs(now.saturating_add(namespace.options.buffer_future_ns)),
            samples: 0,
        }
    }

    /// The series whose labels stand in a request as the bytes `raw`.
    ///
    /// Known bytes cost a hash and a look-up. Else `parse` reads and checks them, and a series
    /// that is new is logged and indexed.
    ///
    /// # Errors
    /// What `parse` says, or [`TsdbError::SeriesLimit`] and errors of the commit log.
    #[inline]
    pub fn resolve<E>(
        &mut self,
        raw: &[u8],
        parse: impl FnOnce() -> Result<Labels, E>,
    ) -> Result<SeriesHandle, ResolveError<E>> {
        let namespace = self.namespace;
        let hash = namespace.registry.hash_encoding(raw);
        let tables = self.tables.get_or_insert_with(|| namespace.registry.read());
        if let Some((series, place)) = tables.by_encoding(hash) {
            return Ok(SeriesHandle { series, place });
        }
        self.tables = None;
        let labels = parse().map_err(ResolveError::Labels)?;
        let handle = self.resolve_labels(&labels)?;
        let most = namespace.limits.encodings_per_series_max;
        namespace.registry.remember(hash, handle.series, most);
        Ok(handle)
    }

    /// The series with these labels; it is made if it is new.
    ///
    /// # Errors
    /// [`TsdbError::SeriesLimit`] and errors of the commit log.
    pub fn resolve_labels(&mut self, labels: &Labels) -> Result<SeriesHandle, TsdbError> {
        self.tables = None;
        let series = self.namespace.series_ref(labels)?;
        let place = self.namespace.registry.place(series).expect("BUG: a found series has a place");
        Ok(SeriesHandle { series, place })
    }

    /// Adds one sample to the request.
    ///
    /// # Errors
    /// [`WriteRefusal`] if its time is outside what the namespace takes.
    #[inline]
    pub fn push(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        v: f64,
    ) -> Result<(), WriteRefusal> {
        if t < self.oldest {
            return Err(WriteRefusal::OutsideRetention { t, oldest: self.oldest });
        }
        if t > self.latest {
            return Err(WriteRefusal::TooFarInFuture { t, latest: self.latest });
        }
        let batch = &mut self.scratch.batches[usize::from(series.place.shard)];
        batch.slots.push(series.place.slot);
        batch.refs.push(series.series);
        batch.ts.push(t.0);
        batch.vs.push(v);
        self.samples += 1;
        Ok(())
    }

    /// Hands all samples to the commit log and the buffers; they are readable when this returns
    /// and durable when the returned [`Commit`] says so.
    ///
    /// # Errors
    /// Errors of the commit log, and [`TsdbError::WindowLimit`]. Samples of some shards may then
    /// have been written; sending all again is safe.
    pub fn commit(mut self) -> Result<Commit, TsdbError> {
        self.tables = None;
        let mut ticket = None;
        let now = self.namespace.clock.monotonic();
        for shard in 0..self.scratch.batches.len() {
            if let Some(newer) = self.commit_shard(shard, now)? {
                ticket = Some(newer);
            }
        }
        self.namespace.counters.samples.add(self.samples);
        let durable = ticket.map(|ticket| self.namespace.log.durable(ticket));
        Ok(Commit::new(durable, self.samples))
    }

    /// INVARIANT: the log entry and the buffer change under one hold of the shard's lock, so the
    /// log replays each series' samples in the order in which the buffer took them.
    fn commit_shard(&mut self, shard: usize, now: Duration) -> Result<Option<Ticket>, TsdbError> {
        let WriteScratch { batches, entries } = &mut self.scratch;
        let batch = &batches[shard];
        if batch.refs.is_empty() {
            return Ok(None);
        }
        let namespace = self.namespace;
        let shard = &namespace.shards[shard];
        entries.clear();
        commitlog::encode_samples(
            entries,
            namespace.id,
            shard.id,
            &batch.refs,
            &batch.ts,
            &batch.vs,
        );
        let mut state = shard.lock();
        let limit = namespace.limits.windows_max;
        if state.buffer.window_count() > limit {
            return Err(TsdbError::WindowLimit { limit });
        }
        let ticket = namespace.log.append(entries)?;
        for ((&slot, &t), &v) in batch.slots.iter().zip(&batch.ts).zip(&batch.vs) {
            state.buffer.append(slot, t, v, now);
        }
        Ok(Some(ticket))
    }
}

impl Drop for WriteSession<'_> {
    fn drop(&mut self) {
        self.tables = None;
        for batch in &mut self.scratch.batches {
            batch.slots.clear();
            batch.refs.clear();
            batch.ts.clear();
            batch.vs.clear();
        }
        let mut kept = self.namespace.scratch.lock();
        if kept.len() < SCRATCHES_MAX {
            kept.push(std::mem::take(&mut self.scratch));
        }
    }
}

type DurableFuture = std::pin::Pin<Box<dyn Future<Output = Result<(), CommitLogError>> + Send>>;

/// Samples that were written and may not be durable yet.
#[must_use = "a write may be acknowledged only when it is durable"]
pub struct Commit {
    durable: Option<DurableFuture>,
    samples: u64,
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Commit {
    /// `durable` is what to wait for; nothing, if nothing was logged.
    pub(crate) fn new(
        durable: Option<impl Future<Output = Result<(), CommitLogError>> + Send + 'static>,
        samples: u64,
    ) -> Self {
        Self { durable: durable.map(|f| Box::pin(f) as _), samples }
    }

    /// The number of samples in it.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Waits until the samples are as durable as the log's sync mode promises.
    ///
    /// # Errors
    /// Errors of the commit log: the samples may be lost by a crash and must not be acknowledged.
    pub async fn durable(self) -> Result<(), TsdbError> {
        match self.durable {
            Some(future) => Ok(future.await?),
            None => Ok(()),
        }
    }
}

impl<E: fmt::Display> fmt::Display for ResolveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Labels(e) => e.fmt(f),
            Self::Storage(e) => e.fmt(f),
        }
    }
}

impl<E> ResolveError<E> {
    /// What to do about a storage error; a refusal of labels is invalid.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Labels(_) => ErrorKind::Invalid,
            Self::Storage(e) => e.kind(),
        }
    }
}
