//! A write request from its compressed body to a commit.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use m3rs_core::Corrupt;

use crate::ingest::{Refusals, WalkCounts, WalkError, walk_write_request, walk_write_request_2};
use crate::limits::WriteLimits;
use crate::write::{StoreError, WriteSession, WriteStore, WriteTarget};

/// How much decompressed memory a thread keeps between requests. Larger bodies give theirs back.
const SCRATCH_KEPT_BYTES_MAX: usize = 4 << 20;

thread_local! {
    /// The decompressed body. Fresh memory for each request would cost more in page faults than
    /// the decompression itself.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Completes when a request's samples are durable.
pub type DurableFuture = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteProtocol {
    /// `prometheus.WriteRequest`, Remote Write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, Remote Write 2.0.
    V2,
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
    /// The body is no snappy block.
    #[error("cannot decompress the body: {0}")]
    Snappy(#[from] snap::Error),
    /// The body is no write request.
    #[error("cannot decode the write request: {0}")]
    Malformed(#[from] Corrupt),
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WalkError> for WriteFailure {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Malformed(corrupt) => Self::Malformed(corrupt),
            WalkError::Store(error) => Self::Store(error),
        }
    }
}

/// Takes compressed write requests. One virtual call per request.
pub trait WriteReceiver: Send + Sync {
    /// Decompresses, walks and commits `body`. Does not wait for disks.
    ///
    /// # Errors
    /// Why nothing was written.
    fn receive(&self, body: &[u8], protocol: WriteProtocol) -> Result<WriteOutcome, WriteFailure>;
}

/// Remote Write into a store.
#[derive(Debug)]
pub struct RemoteWriteReceiver<S> {
    store: S,
    limits: WriteLimits,
}

impl<S: WriteStore> RemoteWriteReceiver<S> {
    /// Writes to `store`.
    pub fn new(store: S, limits: WriteLimits) -> Self {
        Self { store, limits }
    }

    fn write(&self, body: &[u8], protocol: WriteProtocol) -> Result<WriteOutcome, WriteFailure> {
        let mut refusals = Refusals::new(self.limits.refusals_told_max);
        let target = self.store.target();
        let mut session = target.session();
        let labels = &self.limits.labels;
        let counts = match protocol {
            WriteProtocol::V1 => walk_write_request(body, &mut session, labels, &mut refusals)?,
            WriteProtocol::V2 => walk_write_request_2(body, &mut session, labels, &mut refusals)?,
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

impl<S: WriteStore> WriteReceiver for RemoteWriteReceiver<S> {
    fn receive(&self, body: &[u8], protocol: WriteProtocol) -> Result<WriteOutcome, WriteFailure> {
        let len = snap::raw::decompress_len(body)?;
        if len > self.limits.decoded_bytes_max {
            return Err(WriteFailure::TooLarge { len, limit: self.limits.decoded_bytes_max });
        }
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.len() < len {
                scratch.resize(len, 0);
            }
            let len = snap::raw::Decoder::new().decompress(body, scratch)?;
            let outcome = self.write(&scratch[..len], protocol);
            if scratch.len() > SCRATCH_KEPT_BYTES_MAX {
                *scratch = Vec::new();
            }
            outcome
        })
    }
}
