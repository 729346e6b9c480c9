//! A write request from its compressed body to a commit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use m3rs_core::Corrupt;

use crate::ingest::encoding::Encoding;
use crate::ingest::labels::LabelPolicy;
use crate::ingest::lines::Lines;
use crate::ingest::relabel::Relabeler;
use crate::ingest::{
    DeltaUsage, Otlp, Refusals, WalkCounts, WalkError, json_to_protobuf, walk_m3_json, walk_otlp,
    walk_write_request, walk_write_request_2,
};
use crate::limits::WriteLimits;
use crate::write::{StoreError, WriteSession, WriteStore, WriteTarget};

/// Completes when a request's samples are durable.
pub type DurableFuture = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What a body holds. One that comes in pieces keeps here what a piece must know of those before.
#[derive(Debug)]
pub enum Format {
    /// `prometheus.WriteRequest`, Remote Write 1.0.
    RemoteWrite,
    /// `io.prometheus.write.v2.Request`, Remote Write 2.0.
    RemoteWrite2,
    /// A piece of a body of lines.
    Lines(Box<Lines>),
    /// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`.
    Otlp,
    /// The same as JSON.
    OtlpJson,
    /// One sample as M3's JSON.
    M3Json,
}

/// What became of a request that could be read.
pub struct WriteOutcome {
    /// Floats that were written.
    pub samples_written: u64,
    /// Native histograms that were written.
    pub histograms_written: u64,
    /// Exemplars that were written.
    pub exemplars_written: u64,
    /// What the request held.
    pub counts: WalkCounts,
    /// What was not written.
    pub refusals: Refusals,
    /// To be awaited before the answer; `None` if there was nothing to write.
    pub durable: Option<DurableFuture>,
}

impl fmt::Debug for WriteOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteOutcome")
            .field("samples_written", &self.samples_written)
            .field("histograms_written", &self.histograms_written)
            .field("exemplars_written", &self.exemplars_written)
            .field("counts", &self.counts)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

/// Why nothing of a request was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteFailure {
    /// The body would be too large after decompression.
    #[error(
        "the decompressed body has {len} bytes, the limit is {limit} (ingest.decoded_bytes_max)"
    )]
    TooLarge {
        /// Its length, as its header says.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The body does not have the encoding that it is said to have.
    #[error("cannot decompress the body: {0}")]
    Encoding(String),
    /// The body is no write request.
    #[error("cannot decode the write request: {0}")]
    Malformed(#[from] Corrupt),
    /// The body is JSON of something else, or no JSON.
    #[error("cannot decode the JSON of the write request: {0}")]
    Json(String),
    /// The same of M3's JSON, in M3's words.
    #[error("{0}")]
    M3Json(String),
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WalkError> for WriteFailure {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Malformed(corrupt) => Self::Malformed(corrupt),
            WalkError::Json(error) => Self::M3Json(error),
            WalkError::Store(error) => Self::Store(error),
        }
    }
}

/// Takes write requests of every format. One virtual call per request.
pub trait WriteReceiver: Send + Sync {
    /// Decompresses, walks and commits `body`. Does not wait for disks.
    ///
    /// # Errors
    /// Why nothing was written.
    fn receive(
        &self,
        body: &[u8],
        encoding: Encoding,
        format: &mut Format,
    ) -> Result<WriteOutcome, WriteFailure>;

    /// What is kept of delta series.
    fn delta_usage(&self) -> DeltaUsage;
}

/// Every format into one store.
#[derive(Debug)]
pub struct Receiver<S> {
    store: S,
    limits: WriteLimits,
    labels: LabelPolicy,
    otlp: Otlp,
}

impl<S: WriteStore> Receiver<S> {
    /// Writes what keeps `limits` to `store`, as `relabel` says.
    pub fn new(store: S, limits: WriteLimits, relabel: Relabeler) -> Self {
        let labels = LabelPolicy::new(limits.labels, relabel);
        Self { store, limits, labels, otlp: Otlp::default() }
    }

    /// Translates OTLP as `otlp` says.
    #[must_use]
    pub fn with_otlp(self, otlp: Otlp) -> Self {
        Self { otlp, ..self }
    }

    fn write(&self, body: &[u8], format: &mut Format) -> Result<WriteOutcome, WriteFailure> {
        let json;
        let body = match format {
            Format::OtlpJson => {
                json = json_to_protobuf(body, self.limits.decoded_bytes_max)?;
                &json[..]
            }
            _ => body,
        };
        let mut refusals = Refusals::new(self.limits.refusals_told_max);
        let target = self.store.target();
        let mut session = target.session();
        let into = (&mut session, &self.labels, &mut refusals);
        let counts = match format {
            Format::RemoteWrite => walk_write_request(body, into.0, into.1, into.2)?,
            Format::RemoteWrite2 => walk_write_request_2(body, into.0, into.1, into.2)?,
            Format::Lines(lines) => {
                lines.walk(body, self.limits.line_bytes_max, (into.0, into.1), into.2)?
            }
            Format::M3Json => walk_m3_json(body, into.0, into.1, into.2)?,
            Format::Otlp | Format::OtlpJson => walk_otlp(body, &self.otlp, into.0, into.1, into.2)?,
        };
        let (mut samples_written, mut durable) = (0, None);
        let holds = [counts.samples, counts.histograms, counts.exemplars, counts.metadata];
        if holds.iter().any(|held| *held > 0) {
            let committed = session.commit()?;
            samples_written = committed.samples.saturating_sub(counts.histograms_taken);
            durable = Some(Box::pin(committed.durable) as DurableFuture);
        }
        Ok(WriteOutcome {
            samples_written,
            histograms_written: counts.histograms_taken,
            exemplars_written: counts.exemplars_taken,
            counts,
            refusals,
            durable,
        })
    }
}

impl<S: WriteStore> WriteReceiver for Receiver<S> {
    fn receive(
        &self,
        body: &[u8],
        encoding: Encoding,
        format: &mut Format,
    ) -> Result<WriteOutcome, WriteFailure> {
        encoding.decode(body, self.limits.decoded_bytes_max, |body| self.write(body, format))?
    }

    fn delta_usage(&self) -> DeltaUsage {
        self.otlp.delta_usage()
    }
}
