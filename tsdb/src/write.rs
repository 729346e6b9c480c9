//! The write path: resolve series, collect samples by shard, log and buffer them, wait for the log.

mod batch;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use m3rs_core::ErrorKind;
use m3rs_core::model::{Histogram, HistogramError, Labels, Metadata};
use m3rs_core::time::TimestampNs;
use parking_lot::RwLockReadGuard;
use xxhash_rust::xxh3::xxh3_128;

use batch::ShardBatch;

use crate::buffer::{RichSample, SampleValue};
use crate::commitlog::Ticket;
use crate::error::{CommitLogError, TsdbError};
use crate::exemplar::Exemplar;
use crate::limits::{ANNOTATION_BYTES_MAX, EXEMPLAR_LABEL_BYTES_MAX};
use crate::namespace::{
    MemoPosition, Namespace, NewEncoding, PendingSeries, Place, Tables, WriteWindow,
};
use crate::side::SideBatch;

/// A series as a [`WriteSession`] knows it. Valid in the session that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesHandle {
    /// Its ref; of a series that the session is still to make, its number among these.
    series: u32,
    /// [`Place::GAP`] for such a series.
    place: Place,
}

/// Why a sample was not taken. The rest of the request is not affected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// The sample is older than the namespace takes samples without cold writes.
    #[error(
        "timestamp {} ms is before {} ms, the oldest that is taken without cold writes \
         (cold_writes, buffer_past)",
        .t.to_ms().0, .oldest.to_ms().0
    )]
    OutsideBuffer {
        /// The sample's time.
        t: TimestampNs,
        /// The oldest time that is taken.
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
    /// A histogram that breaks a rule.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// An exemplar whose labels are too long.
    #[error("labels of an exemplar take {bytes} bytes, the limit is {}", EXEMPLAR_LABEL_BYTES_MAX)]
    Exemplar {
        /// Their length.
        bytes: usize,
    },
    /// An annotation that is too long.
    #[error("annotation of {bytes} bytes, the limit is {}", ANNOTATION_BYTES_MAX)]
    Annotation {
        /// Its length.
        bytes: usize,
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

/// Memory of a [`WriteSession`], reused by later sessions.
#[derive(Debug, Default)]
pub(crate) struct WriteScratch {
    batches: Vec<ShardBatch>,
    side: SideBatch,
    entries: Vec<u8>,
    pending: Pending,
    /// New encodings of known series, and then those of the new ones.
    encodings: Vec<NewEncoding>,
}

/// Series that a request names and that were not known, and their samples.
#[derive(Debug, Default)]
struct Pending {
    series: Vec<PendingSeries>,
    /// Number of the series, time, value, start timestamp.
    floats: Vec<(u32, i64, f64, i64)>,
    rich: Vec<(u32, i64, RichSample)>,
    exemplars: Vec<(u32, Exemplar)>,
}

impl Pending {
    fn clear(&mut self) {
        self.series.clear();
        self.floats.clear();
        self.rich.clear();
        self.exemplars.clear();
    }
}

/// Bytes of disk that a sample takes before the disk is looked at again, roughly.
const SAMPLE_BYTES: u64 = 16;

/// The same of a request as such.
const REQUEST_BYTES: u64 = 128;

/// Most scratches that a namespace keeps between requests.
const SCRATCHES_MAX: usize = 64;

/// One request's writes. Nothing is made, visible or durable before [`WriteSession::commit`].
pub struct WriteSession<'a> {
    namespace: &'a Namespace,
    tables: Option<RwLockReadGuard<'a, Tables>>,
    scratch: WriteScratch,
    /// Where in the order of known encodings the request is.
    memo: Option<MemoPosition>,
    window: WriteWindow,
    logs: Logging,
    samples: u64,
    /// Series that were retired before it began.
    retirements: u64,
}

/// Whether what a request writes goes to the commit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logging {
    On,
    Off,
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
        let options = namespace.options();
        Self {
            namespace,
            tables: None,
            scratch,
            memo: None,
            window: namespace.write_window(&options),
            logs: if options.writes_to_commit_log { Logging::On } else { Logging::Off },
            samples: 0,
            retirements: namespace.retirements(),
        }
    }

    /// A hash of `text` that nobody outside can guess; label bytes may be made of such hashes.
    /// Its key is that by which label bytes are hashed.
    #[inline]
    pub fn fingerprint(&self, text: &[u8]) -> [u64; 2] {
        let hash = self.namespace.registry.hash_encoding(text);
        [hash as u64, (hash >> 64) as u64]
    }

    /// How many label bytes the next series has if the request goes on as earlier ones did; a
    /// guess for [`WriteSession::next_if`].
    #[inline]
    pub fn next_len(&self) -> Option<usize> {
        self.tables.as_ref()?.next_len(self.memo?)
    }

    /// The next series of the order in which requests had them before, if its label bytes are
    /// exactly `raw`. Cost: a hash.
    #[inline]
    pub fn next_if(&mut self, raw: &[u8]) -> Option<SeriesHandle> {
        let tables = self.tables.as_ref()?;
        let hash = self.namespace.registry.hash_encoding(raw);
        let (series, place, position) = tables.next_is(self.memo?, hash)?;
        self.memo = Some(position);
        Some(SeriesHandle { series, place })
    }

    /// The series whose labels stand in a request as the bytes `raw`.
    ///
    /// Known bytes cost a hash and a look-up. Else `parse` reads and checks them, and a series
    /// that is new is made at the commit, with all others of the request.
    ///
    /// # Errors
    /// What `parse` says, [`TsdbError::SeriesLimit`], or damage of the index.
    #[inline]
    pub fn resolve<E>(
        &mut self,
        raw: &[u8],
        parse: impl FnOnce() -> Result<Labels, E>,
    ) -> Result<SeriesHandle, ResolveError<E>> {
        let namespace = self.namespace;
        let hash = namespace.registry.hash_encoding(raw);
        let tables = self.tables.get_or_insert_with(|| namespace.registry.read());
        if let Some((series, place, position)) = tables.by_encoding(hash) {
            self.memo = Some(position);
            return Ok(SeriesHandle { series, place });
        }
        let labels = parse().map_err(ResolveError::Labels)?;
        Ok(self.resolve_new(Some((hash, raw.len())), labels)?)
    }

    /// The series with these labels; it is made at the commit if it is new.
    ///
    /// # Errors
    /// [`TsdbError::SeriesLimit`], or damage of the index.
    pub fn resolve_labels(&mut self, labels: &Labels) -> Result<SeriesHandle, TsdbError> {
        self.resolve_new(None, labels.clone())
    }

    fn resolve_new(
        &mut self,
        encoding: Option<(u128, usize)>,
        labels: Labels,
    ) -> Result<SeriesHandle, TsdbError> {
        let namespace = self.namespace;
        let tables = self.tables.get_or_insert_with(|| namespace.registry.read());
        let labels_hash = xxh3_128(labels.as_bytes());
        let WriteScratch { pending, encodings, .. } = &mut self.scratch;
        if let Some(series) = tables.find(&labels, labels_hash, &namespace.index)? {
            let place = tables.place(series).expect("BUG: a found series has a place");
            encodings.extend(encoding.map(|(hash, len)| NewEncoding { hash, len, series }));
            return Ok(SeriesHandle { series, place });
        }
        namespace.permit_series(tables, pending.series.len(), labels.as_bytes().len())?;
        let number = u32::try_from(pending.series.len()).expect("BUG: permitted series fit a u32");
        pending.series.push(PendingSeries { labels, labels_hash, encoding, series: 0 });
        Ok(SeriesHandle { series: number, place: Place::GAP })
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
        self.push_started(series, t, v, TimestampNs(0))
    }

    /// As [`WriteSession::push`], with the time since when the value has been counted; 0 is none.
    ///
    /// # Errors
    /// As [`WriteSession::push`].
    #[inline]
    pub fn push_started(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        v: f64,
        start: TimestampNs,
    ) -> Result<(), WriteRefusal> {
        self.window.check(t)?;
        let (t, v) = self.window.transform(t, v);
        self.samples += 1;
        if series.place == Place::GAP {
            self.scratch.pending.floats.push((series.series, t, v, start.0));
        } else {
            self.scratch.batches[usize::from(series.place.shard)].push(series, t, v, start.0);
        }
        Ok(())
    }

    /// Adds one histogram to the request, with the time since when it has been counted; 0 is
    /// none. Of a float and a histogram of one time in one request the histogram stays.
    ///
    /// # Errors
    /// As [`WriteSession::push`], and [`WriteRefusal::Histogram`].
    pub fn push_histogram(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        h: Histogram,
        start: TimestampNs,
    ) -> Result<(), WriteRefusal> {
        h.validate()?;
        let sample = RichSample { start_ns: start.0, ..RichSample::histogram(Arc::new(h)) };
        self.push_checked(series, t, sample)
    }

    /// Adds an exemplar of a series. It belongs to no sample, and is one of a bounded number.
    ///
    /// # Errors
    /// As [`WriteSession::push`], and [`WriteRefusal::Exemplar`].
    pub fn push_exemplar(
        &mut self,
        series: SeriesHandle,
        exemplar: Exemplar,
    ) -> Result<(), WriteRefusal> {
        self.window.check(TimestampNs(exemplar.t))?;
        let bytes = exemplar.labels.as_bytes().len();
        if bytes > EXEMPLAR_LABEL_BYTES_MAX {
            return Err(WriteRefusal::Exemplar { bytes });
        }
        if series.place == Place::GAP {
            self.scratch.pending.exemplars.push((series.series, exemplar));
        } else {
            self.scratch.side.push_exemplar(series.series, exemplar);
        }
        Ok(())
    }

    /// Adds what a metric family means. Costs a look-up if that is known.
    pub fn push_metadata(&mut self, family: &str, metadata: Metadata) {
        if !self.namespace.side.metadata.knows(family, &metadata) {
            self.scratch.side.metadata.push((family.to_owned(), metadata));
        }
    }

    /// Adds one sample of any kind to the request; otherwise as [`WriteSession::push_histogram`].
    /// An empty annotation is none.
    ///
    /// # Errors
    /// As [`WriteSession::push_histogram`], and [`WriteRefusal::Annotation`].
    pub fn push_rich(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        mut sample: RichSample,
    ) -> Result<(), WriteRefusal> {
        if let SampleValue::Histogram(h) = &sample.value {
            h.validate()?;
        }
        sample.annotation = sample.annotation.filter(|a| !a.is_empty());
        if let Some(a) = sample.annotation.as_ref().filter(|a| a.len() > ANNOTATION_BYTES_MAX) {
            return Err(WriteRefusal::Annotation { bytes: a.len() });
        }
        self.push_checked(series, t, sample)
    }

    fn push_checked(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        mut sample: RichSample,
    ) -> Result<(), WriteRefusal> {
        self.window.check(t)?;
        let t = match &mut sample.value {
            SampleValue::Float(v) => {
                let (t, forced) = self.window.transform(t, *v);
                *v = forced;
                t
            }
            SampleValue::Histogram(_) => self.window.transform_time(t),
        };
        self.samples += 1;
        if series.place == Place::GAP {
            self.scratch.pending.rich.push((series.series, t, sample));
        } else {
            self.scratch.batches[usize::from(series.place.shard)].push_rich(series, t, sample);
        }
        Ok(())
    }

    /// Hands all samples, exemplars and metadata to the commit log and the buffers; they are
    /// readable when this returns and durable when the returned [`Commit`] says so.
    ///
    /// # Errors
    /// Errors of the commit log, [`TsdbError::WindowLimit`], [`TsdbError::DiskFloor`],
    /// [`TsdbError::NamespaceRetired`], [`TsdbError::SeriesRetired`] if a series was taken out
    /// since it was resolved, and [`TsdbError::SeriesLimit`] if others made the last meanwhile.
    /// Samples of some shards may then have been written; sending all again is safe.
    pub fn commit(mut self) -> Result<Commit, TsdbError> {
        self.tables = None;
        let mut ticket = None;
        let now = self.namespace.clock.monotonic();
        self.namespace.disk.check(REQUEST_BYTES + self.samples * SAMPLE_BYTES, now)?;
        self.make_pending()?;
        for shard in 0..self.scratch.batches.len() {
            if let Some(newer) = self.commit_shard(shard, now)? {
                ticket = Some(newer);
            }
        }
        if !self.scratch.side.is_empty() {
            let namespace = self.namespace;
            let log = (self.logs == Logging::On).then_some(&*namespace.log);
            if log.is_none() {
                namespace.holds_unlogged.store(true, Ordering::Relaxed);
            }
            let batch = &mut self.scratch.side;
            let check = || namespace.check_serving();
            let logged = namespace.side.commit(log, namespace.id, batch, check)?;
            ticket = logged.or(ticket);
        }
        self.namespace.counters.samples.add(self.samples);
        let durable = ticket.map(|ticket| self.namespace.log.durable(ticket));
        Ok(Commit::new(durable, self.samples))
    }

    /// Makes the series that were not known, and remembers new encodings.
    ///
    /// INVARIANT: the tables did not change for this session until here, so all its samples of one
    /// series wait here or none does, in the order in which they came.
    fn make_pending(&mut self) -> Result<(), TsdbError> {
        let namespace = self.namespace;
        let WriteScratch { batches, side, pending, encodings, .. } = &mut self.scratch;
        let Pending { series, floats, rich, exemplars } = pending;
        if !series.is_empty() {
            namespace.make_series(series)?;
            let tables = namespace.registry.read();
            let made = |number: u32| {
                let series = series[number as usize].series;
                // One that was there before may have been retired since.
                let place = tables.place(series).ok_or(TsdbError::SeriesRetired)?;
                Ok::<_, TsdbError>(SeriesHandle { series, place })
            };
            for &(number, t, v, start) in floats.iter() {
                let handle = made(number)?;
                batches[usize::from(handle.place.shard)].push(handle, t, v, start);
            }
            for (number, t, sample) in rich.drain(..) {
                let handle = made(number)?;
                batches[usize::from(handle.place.shard)].push_rich(handle, t, sample);
            }
            for (number, exemplar) in exemplars.drain(..) {
                side.push_exemplar(made(number)?.series, exemplar);
            }
        }
        encodings.extend(series.iter().filter_map(|p| {
            let (hash, len) = p.encoding?;
            Some(NewEncoding { hash, len, series: p.series })
        }));
        if !encodings.is_empty() {
            let most = namespace.limits.encodings_per_series_max;
            namespace.registry.remember(encodings, most);
        }
        Ok(())
    }

    /// INVARIANT: the log entry and the buffer change under one hold of the shard's lock, so the
    /// log replays each series' samples in the order in which the buffer took them.
    fn commit_shard(&mut self, shard: usize, now: Duration) -> Result<Option<Ticket>, TsdbError> {
        let WriteScratch { batches, entries, .. } = &mut self.scratch;
        let batch = &mut batches[shard];
        if batch.is_empty() {
            return Ok(None);
        }
        let namespace = self.namespace;
        let shard = &namespace.shards[shard];
        entries.clear();
        if self.logs == Logging::On {
            batch.encode(entries, namespace.id, shard.id);
        }
        let mut state = shard.lock();
        namespace.check_serving()?;
        if self.retirements != namespace.retirements() && !batch.is_of(&state.buffer) {
            return Err(TsdbError::SeriesRetired);
        }
        let limit = namespace.runtime.windows_max();
        if state.buffer.window_count() > limit {
            return Err(TsdbError::WindowLimit { limit });
        }
        let ticket = match self.logs {
            Logging::On => Some(namespace.log.append(entries)?),
            Logging::Off => {
                namespace.holds_unlogged.store(true, Ordering::Relaxed);
                None
            }
        };
        batch.append(&mut state.buffer, now);
        namespace.changes.note(batch.earliest());
        Ok(ticket)
    }
}

impl Drop for WriteSession<'_> {
    fn drop(&mut self) {
        self.tables = None;
        self.scratch.batches.iter_mut().for_each(ShardBatch::clear);
        self.scratch.pending.clear();
        self.scratch.encodings.clear();
        self.scratch.side.clear();
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
