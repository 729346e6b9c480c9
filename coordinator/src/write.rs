//! The seam to where samples are written: the local database, and fakes in tests.
//!
//! A request opens a [`WriteSession`], resolves each series, pushes its samples and commits. What
//! was pushed becomes visible at the commit and durable when [`Committed::durable`] says so; a
//! session that is dropped instead has written nothing.

mod local;

use std::fmt;
use std::future::Future;

use m3rs_core::ErrorKind;
use m3rs_core::model::{Histogram, HistogramError, Labels, Metadata};
use m3rs_core::time::{TimestampMs, TimestampNs};

use crate::ingest::{DeltaRefusal, LabelRefusal};

pub use local::{LocalSession, LocalStore, LocalTarget};

/// Why a sample, or all samples of a series, were not taken. Sending them again will not help.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteRefusal {
    /// The label set is not acceptable.
    #[error(transparent)]
    Labels(#[from] LabelRefusal),
    /// The sample is older than what is kept.
    #[error("timestamp {} ms is before {} ms, the oldest time that is kept", t.0, oldest.0)]
    TooOld {
        /// The sample's time.
        t: TimestampMs,
        /// The oldest time that is taken.
        oldest: TimestampMs,
    },
    /// The sample is too far in the future.
    #[error("timestamp {} ms is after {} ms, the latest time that is taken now", t.0, newest.0)]
    TooNew {
        /// The sample's time.
        t: TimestampMs,
        /// The latest time that is taken now.
        newest: TimestampMs,
    },
    /// There are more new series in a second than allowed.
    #[error("more than {limit} new series in a second ({setting})")]
    SeriesRate {
        /// The limit.
        limit: u64,
        /// The setting that raises it.
        setting: &'static str,
    },
    /// There are as many series as allowed.
    #[error("the limit of {limit} active series is reached ({setting})")]
    SeriesLimit {
        /// The limit.
        limit: u64,
        /// The setting that raises it.
        setting: &'static str,
    },
    /// A histogram that breaks a rule.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// References to symbols that are not there, or an odd number of them.
    #[error("{0}")]
    Symbols(String),
    /// An exemplar whose labels are too long.
    #[error("labels of an exemplar take {bytes} bytes, which is too long")]
    Exemplar {
        /// Their length.
        bytes: usize,
    },
    /// A part of a request that cannot be read, while the rest can.
    #[error("{0}")]
    Malformed(String),
    /// A change that cannot be added to the total of its series.
    #[error(transparent)]
    Delta(#[from] DeltaRefusal),
    /// A series without samples and histograms.
    #[error("a series needs at least one sample or histogram")]
    NoSamples,
}

impl WriteRefusal {
    /// The same refusal with the time as it was sent, which may be beyond what storage can say.
    #[must_use]
    pub fn of_time(self, t: TimestampMs) -> Self {
        match self {
            Self::TooOld { oldest, .. } => Self::TooOld { t, oldest },
            Self::TooNew { newest, .. } => Self::TooNew { t, newest },
            other => other,
        }
    }

    /// The reason as a label value of a metric.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        match self {
            Self::Labels(LabelRefusal::Dropped) => RefusalReason::Dropped,
            Self::Labels(_) => RefusalReason::Labels,
            Self::Malformed(_) => RefusalReason::Malformed,
            Self::TooOld { .. } => RefusalReason::TooOld,
            Self::TooNew { .. } => RefusalReason::TooNew,
            Self::SeriesRate { .. } => RefusalReason::SeriesRate,
            Self::SeriesLimit { .. } => RefusalReason::SeriesLimit,
            Self::Histogram(_) => RefusalReason::Histogram,
            Self::Symbols(_) => RefusalReason::Symbols,
            // Exemplars that are not kept are not told.
            Self::Exemplar { .. } => RefusalReason::Labels,
            Self::NoSamples => RefusalReason::NoSamples,
            Self::Delta(_) => RefusalReason::Delta,
        }
    }
}

/// Reasons for a refusal, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalReason {
    /// See [`WriteRefusal::Labels`].
    Labels,
    /// See [`WriteRefusal::TooOld`].
    TooOld,
    /// See [`WriteRefusal::TooNew`].
    TooNew,
    /// See [`WriteRefusal::SeriesRate`].
    SeriesRate,
    /// See [`WriteRefusal::SeriesLimit`].
    SeriesLimit,
    /// See [`WriteRefusal::Histogram`].
    Histogram,
    /// See [`WriteRefusal::Symbols`].
    Symbols,
    /// See [`WriteRefusal::NoSamples`].
    NoSamples,
    /// See [`WriteRefusal::Malformed`].
    Malformed,
    /// See [`LabelRefusal::Dropped`].
    Dropped,
    /// See [`WriteRefusal::Delta`].
    Delta,
}

impl RefusalReason {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::Labels,
        Self::TooOld,
        Self::TooNew,
        Self::SeriesRate,
        Self::SeriesLimit,
        Self::Histogram,
        Self::Symbols,
        Self::NoSamples,
        Self::Malformed,
        Self::Dropped,
        Self::Delta,
    ];

    /// The word for metrics and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::SeriesRate => "series_rate",
            Self::SeriesLimit => "series_limit",
            Self::Histogram => "histogram",
            Self::Symbols => "symbols",
            Self::NoSamples => "no_samples",
            Self::Malformed => "malformed",
            Self::Dropped => "dropped",
            Self::Delta => "delta",
        }
    }
}

/// Why a store could not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// [`ErrorKind::Unavailable`] if a later attempt may succeed.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub message: String,
}

impl StoreError {
    /// The store cannot take writes now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unavailable, message: message.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

/// Why [`WriteSession::resolve`] or [`WriteSession::push`] did not do it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// This series or sample is refused; the others of the request are not affected.
    #[error(transparent)]
    Refused(#[from] WriteRefusal),
    /// Nothing can be written; the request ends here.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LabelRefusal> for WriteError {
    fn from(refusal: LabelRefusal) -> Self {
        Self::Refused(WriteRefusal::Labels(refusal))
    }
}

/// A known series at the start of given bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predicted<S> {
    /// How many bytes its label fields take.
    pub label_len: usize,
    /// The series.
    pub series: S,
}

/// A keyed hash of a text.
pub type Fingerprint = [u64; 2];

/// One write request at work.
///
/// Calls block only briefly and never wait for a disk.
pub trait WriteSession {
    /// A resolved series; valid within the session.
    type Series: Copy;
    /// Completes when what was committed is durable.
    type Durable: Future<Output = Result<(), StoreError>> + Send + 'static;

    /// Guesses which series `message`, a whole `TimeSeries` message, begins with.
    ///
    /// An implementation must have verified that the first `label_len` bytes equal label bytes
    /// that it resolved before; then no label needs to be walked. `None` is always right.
    #[inline]
    fn predict(&mut self, message: &[u8]) -> Option<Predicted<Self::Series>> {
        let _ = message;
        None
    }

    /// What stands for `text` in label bytes that are made of fingerprints: other texts have
    /// others, but for one in 2^128 that nobody outside can look for.
    fn fingerprint(&self, text: &[u8]) -> Fingerprint;

    /// The series of the label bytes `raw`, if it is the one that is expected next.
    ///
    /// As for [`WriteSession::predict`], `None` is always right.
    #[inline]
    fn resolve_expected(&mut self, raw: &[u8]) -> Option<Self::Series> {
        let _ = raw;
        None
    }

    /// Finds the series of the label bytes `raw`, or makes it.
    ///
    /// Equal bytes must mean equal labels: `raw` holds the label fields of a 1.0 `TimeSeries`
    /// message, tags and lengths included, or something that no such fields are. `parse` is
    /// called on a miss only.
    ///
    /// # Errors
    /// What `parse` said, a limit, or a store that cannot write.
    fn resolve(
        &mut self,
        raw: &[u8],
        parse: impl FnOnce() -> Result<Labels, LabelRefusal>,
    ) -> Result<Self::Series, WriteError>;

    /// Takes one sample.
    ///
    /// # Errors
    /// A time outside of what is kept, or a store that cannot write.
    fn push(&mut self, series: Self::Series, t: TimestampNs, v: f64) -> Result<(), WriteError>;

    /// Takes one sample with the time since when its value has been counted; 0 is not told.
    ///
    /// # Errors
    /// As [`WriteSession::push`].
    fn push_started(
        &mut self,
        series: Self::Series,
        t: TimestampNs,
        v: f64,
        start: TimestampNs,
    ) -> Result<(), WriteError>;

    /// Takes one histogram, with the time since when it has been counted; 0 is not told.
    ///
    /// # Errors
    /// As [`WriteSession::push`], and [`WriteRefusal::Histogram`].
    fn push_histogram(
        &mut self,
        series: Self::Series,
        t: TimestampNs,
        h: Histogram,
        start: TimestampNs,
    ) -> Result<(), WriteError>;

    /// Takes an exemplar of a series.
    ///
    /// # Errors
    /// A refusal if it is not kept, which is no matter of the sender's; a store that cannot write.
    fn push_exemplar(
        &mut self,
        series: Self::Series,
        t: TimestampNs,
        value: f64,
        labels: Labels,
    ) -> Result<(), WriteError>;

    /// Takes what a metric family means.
    ///
    /// # Errors
    /// A store that cannot write.
    fn push_metadata(&mut self, family: &str, metadata: Metadata) -> Result<(), StoreError>;

    /// Makes all that was pushed visible and hands it to the log.
    ///
    /// # Errors
    /// Why nothing was written.
    fn commit(self) -> Result<Committed<Self::Durable>, StoreError>;
}

/// What [`WriteSession::commit`] has done.
#[derive(Debug)]
pub struct Committed<D> {
    /// How many samples of all kinds were written.
    pub samples: u64,
    /// Completes when they are durable.
    pub durable: D,
}

/// Where samples are written.
pub trait WriteStore: Send + Sync + 'static {
    /// What a request holds on to.
    type Target: WriteTarget;

    /// What requests that begin now write to.
    fn target(&self) -> Self::Target;
}

/// What one request writes to, whatever becomes of it elsewhere meanwhile.
pub trait WriteTarget {
    /// One request's work; it may borrow scratch memory from the target.
    type Session<'a>: WriteSession
    where
        Self: 'a;

    /// Starts the request.
    fn session(&self) -> Self::Session<'_>;
}
