//! The only door from queries to storage.

mod batch;
pub(crate) mod condition;
pub(crate) mod timed;
pub mod vector;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use m3rs_core::ErrorKind;
use m3rs_core::model::{Histogram, Labels, Matcher};

pub use batch::SampleBatch;

/// Times from `start_ms` to `end_ms`, both included, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first millisecond.
    pub start_ms: i64,
    /// The last millisecond.
    pub end_ms: i64,
}

/// What a selection will be used for. A source may use it to read less; it may also ignore it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectHints {
    /// Distance of evaluation times; 0 for an instant query.
    pub step_ms: i64,
    /// Length of the range of a matrix selector; 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation right above the selector, if there is one.
    pub function: Option<String>,
    /// Names of the labels that count; `None` for all. If there are some, a source may leave the
    /// others out, and several series may have the same labels.
    pub labels: Option<Vec<String>>,
    /// Whether start timestamps matter. If not, a source may leave them out.
    pub start_times: bool,
    /// Whether only the last sample of each series counts, be it a staleness marker. If so, a
    /// source may leave the others out.
    pub last_only: bool,
}

/// What changes in a source, for results that are kept.
pub trait Changes {
    /// A number that no other set of series has.
    fn set(&self) -> u64;

    /// A mark: what is selected after this call has all changes that were acknowledged before it.
    fn mark(&self) -> u64;

    /// The earliest time, in milliseconds, of a sample that came, went or became another since
    /// `mark`; `None` if none did.
    fn earliest_since(&self, mark: u64) -> Option<i64>;

    /// The earliest time, in milliseconds, from which on all samples are kept as of now.
    fn oldest(&self) -> i64;

    /// Whether all that was selected and read so far is whole.
    fn is_whole(&self) -> bool;
}

/// One request for series.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// Conditions, all of which hold for each series of the answer.
    pub matchers: Vec<Matcher>,
    /// The samples that are needed.
    pub range: TimeRange,
    /// What they are needed for.
    pub hints: SelectHints,
    /// The most series that may be returned; the next one is [`SourceError::TooManySeries`].
    pub series_max: usize,
}

/// Why a source could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// More series match than the request allows.
    #[error("{matched} series match, the limit is {limit}")]
    TooManySeries {
        /// How many match, at least.
        matched: usize,
        /// The limit of the request.
        limit: usize,
    },
    /// More would have to be fetched than the query's own limits allow.
    #[error("query exceeded limit: {0}")]
    FetchLimit(String),
    /// A matcher is wrong, such as a regular expression that does not parse.
    #[error("{0}")]
    Invalid(String),
    /// The query was cancelled.
    #[error("query was cancelled")]
    Cancelled,
    /// Storage failed.
    #[error("{message}")]
    Storage {
        /// Whether a later attempt may succeed, or data are damaged.
        kind: ErrorKind,
        /// What happened, for people.
        message: String,
    },
}

/// Samples of one series in columns of equal length, ascending by time, each time once.
///
/// Staleness markers are included: the operators give them their meaning. A time is among the
/// floats or among the histograms, never in both.
#[derive(Clone, Debug, Default)]
pub struct SampleColumns {
    /// Times of the floats in milliseconds.
    pub ts: Vec<i64>,
    /// Values of the floats.
    pub vs: Vec<f64>,
    /// Start timestamps of the floats in milliseconds, 0 for one that has none. Empty if no float
    /// has one.
    pub starts: Vec<i64>,
    /// Native histograms. Empty for most series, and costs nothing then.
    pub histograms: HistogramColumns,
}

/// Native histograms of one series in columns of equal length, ascending by time.
#[derive(Clone, Debug, Default)]
pub struct HistogramColumns {
    /// Times in milliseconds.
    pub ts: Vec<i64>,
    /// Histograms.
    pub hs: Vec<Arc<Histogram>>,
    /// Start timestamps in milliseconds, 0 for one that has none. Empty if none has one.
    pub starts: Vec<i64>,
    /// The sample before the range, if the source knows it and it is a histogram: it tells whether
    /// there was a reset between it and the first one here.
    pub before: Option<Arc<Histogram>>,
}

impl SampleColumns {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.vs.clear();
        self.starts.clear();
        self.histograms.clear();
    }

    /// The number of samples of every kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ts.len() + self.histograms.ts.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether columns that belong together have the same length.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let HistogramColumns { ts, hs, starts, .. } = &self.histograms;
        self.ts.len() == self.vs.len()
            && (self.starts.is_empty() || self.starts.len() == self.ts.len())
            && ts.len() == hs.len()
            && (starts.is_empty() || starts.len() == ts.len())
    }
}

impl HistogramColumns {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.hs.clear();
        self.starts.clear();
        self.before = None;
    }
}

/// The series of one selection; samples are decoded when they are asked for.
///
/// Reading is by series number, from any thread, in any order; workers take disjoint ranges.
pub trait SeriesReader: Send + Sync {
    /// Puts the samples of series `index` in the requested range into `out`, which is cleared
    /// first. A series without samples there gives empty columns.
    ///
    /// # Errors
    /// [`SourceError::Storage`] and [`SourceError::Cancelled`].
    fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError>;

    /// Reads the first of the series `indexes` into `out`: at least one unless there is none, and
    /// as many more as the source gives at once. A source that has several series in one place
    /// reads them together, and as of one moment.
    ///
    /// # Errors
    /// As [`SeriesReader::read`].
    fn read_batch(&self, indexes: Range<usize>, out: &mut SampleBatch) -> Result<(), SourceError> {
        out.reset(indexes.len().min(1));
        match out.rows_mut().first_mut() {
            Some(first) => self.read(indexes.start, first),
            None => Ok(()),
        }
    }
}

/// The answer to a [`SelectRequest`].
pub struct Selection {
    /// Labels by series number. Their order is the source's and stable between equal requests.
    pub series: Vec<Labels>,
    /// Reads the samples of those series.
    pub reader: Box<dyn SeriesReader>,
    /// What the user should know: blocks that could not be read, and the like.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection").field("series", &self.series.len()).finish_non_exhaustive()
    }
}

/// A request for label names, label values or series.
#[derive(Clone, Debug)]
pub struct LabelRequest {
    /// Sets of matchers; a series counts if all matchers of any one set hold. Empty: every series.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// Only series with samples in this range, as far as the source can tell cheaply.
    pub range: TimeRange,
    /// The most entries to return; the answer is cut there, with a warning. 0 is no limit.
    pub limit: usize,
}

/// A list that may have been cut at a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing<T> {
    /// The entries, sorted, each once.
    pub entries: Vec<T>,
    /// Whether the request's limit left entries out.
    pub truncated: bool,
}

/// Storage as queries see it: local shards, remote nodes, or vectors in a test.
///
/// Calls block their thread; the engine makes them on query threads, never on the IO runtime.
pub trait SeriesSource: Send + Sync {
    /// Finds series and prepares to read them. `cancel` is watched during long work.
    ///
    /// # Errors
    /// Every kind of [`SourceError`].
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError>;

    /// Names of labels.
    ///
    /// # Errors
    /// Every kind of [`SourceError`] but the limit, which cuts the listing.
    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError>;

    /// Values of the label `name`.
    ///
    /// # Errors
    /// As [`SeriesSource::label_names`].
    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError>;

    /// Label sets of series.
    ///
    /// # Errors
    /// As [`SeriesSource::label_names`].
    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError>;

    /// What changes; `None` if the source cannot tell, so that no result is kept.
    fn changes(&self) -> Option<&dyn Changes> {
        None
    }
}

/// A shared flag by which a query is told to stop: its client left, or its time is over.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the query to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the query should stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
