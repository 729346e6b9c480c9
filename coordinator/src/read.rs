//! The seam to queries: what the HTTP API asks of an engine, and in which words it is answered.

mod engine;
mod exemplars;
mod fetch;
mod local;

pub use engine::EngineService;
pub use exemplars::{ExemplarPoint, ExemplarRequest, ExemplarSource, FoundExemplars};
pub use fetch::FetchLimits;
pub(crate) use fetch::NOT_EXHAUSTIVE;
pub use local::{LocalSource, LocalSources};

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use m3rs_core::ErrorKind;
use m3rs_core::model::Matcher;
use m3rs_query::promql::ast::Expr;
use m3rs_query::render::StatsDetail;
use m3rs_query::result_cache::ResultCacheCounts;
use m3rs_query::source::{Cancel, SeriesSource, SourceError};

/// When to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryTime {
    /// Once.
    Instant {
        /// The evaluation time.
        time_ms: i64,
    },
    /// Every `step_ms` from `start_ms` while not after `end_ms`.
    Range {
        /// The first evaluation time.
        start_ms: i64,
        /// No evaluation time is after this one.
        end_ms: i64,
        /// Distance of evaluation times; at least 1.
        step_ms: i64,
    },
}

impl QueryTime {
    /// First and last evaluation time, and their distance; 0 if there is one.
    pub(crate) fn grid_ms(self) -> (i64, i64, i64) {
        match self {
            Self::Instant { time_ms } => (time_ms, time_ms, 0),
            Self::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        }
    }
}

/// One query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRequest {
    /// The PromQL text.
    pub text: String,
    /// When to evaluate.
    pub time: QueryTime,
    /// How far a selector looks back for a sample; `None` takes the engine's default.
    pub lookback_ms: Option<i64>,
    /// The most series to answer with; 0 is no limit. What is cut off is told in a warning.
    pub limit: usize,
    /// Which statistics of the query are part of the answer.
    pub stats: StatsDetail,
    /// The step of a range query to the nanosecond.
    pub step_ns: Option<i64>,
    /// Whether the answer tells what each operator did.
    pub explains: bool,
    /// How long the query may run.
    pub timeout: Duration,
    /// How long it waited for its turn.
    pub queued: Duration,
    /// What storage may fetch for it.
    pub fetch: FetchLimits,
    /// Warnings about the request itself, for the answer.
    pub warnings: Vec<String>,
}

/// The warning of an answer that was cut at its limit.
pub const TRUNCATED: &str = "results truncated due to limit";

/// The answer to a [`QueryRequest`].
#[derive(Default)]
pub struct QueryAnswer {
    /// The JSON body of a successful answer, in pieces.
    pub body: Vec<Bytes>,
    /// What follows these pieces, if the answer is a large one.
    pub rest: Option<Box<dyn AnswerRest>>,
    /// Samples that were looked at.
    pub samples: u64,
    /// Series that selectors matched.
    pub series: u64,
    /// Whether storage left something out, as [`QueryRequest::fetch`] said.
    pub is_cut: bool,
}

impl fmt::Debug for QueryAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryAnswer")
            .field("pieces", &self.body.len())
            .field("has_rest", &self.rest.is_some())
            .field("samples", &self.samples)
            .finish()
    }
}

/// The part of a large answer that is written while what comes before it is sent.
pub trait AnswerRest: Send {
    /// The next pieces; none at the end. Blocks its thread while it writes them.
    ///
    /// # Errors
    /// Why there can be no more. The client's connection is cut off, so that nobody takes a part
    /// for the whole.
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>>;
}

/// The class of a failed request, in Prometheus's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The request is wrong.
    BadData,
    /// The query failed.
    Execution,
    /// The client left.
    Canceled,
    /// It took too long.
    Timeout,
    /// The fault is on this side.
    Internal,
    /// It cannot be done now.
    Unavailable,
    /// There is no such thing.
    NotFound,
}

impl ErrorType {
    /// The word for `errorType`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
        }
    }
}

impl ErrorType {
    /// The class that is called so.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::BadData,
            Self::Execution,
            Self::Canceled,
            Self::Timeout,
            Self::Internal,
            Self::Unavailable,
            Self::NotFound,
        ];
        all.into_iter().find(|t| t.as_str() == word)
    }
}

impl From<ErrorKind> for ErrorType {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::BadData,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Limit => Self::Execution,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Cancelled => Self::Canceled,
            ErrorKind::Corrupt | ErrorKind::Internal => Self::Internal,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryFailure {
    /// The class.
    pub error_type: ErrorType,
    /// What happened, for people.
    pub message: String,
}

impl QueryFailure {
    /// A failure of the class `error_type`.
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into() }
    }
}

impl From<SourceError> for QueryFailure {
    fn from(error: SourceError) -> Self {
        let error_type = match &error {
            SourceError::TooManySeries { .. } => ErrorType::Execution,
            SourceError::Invalid(_) | SourceError::FetchLimit(_) => ErrorType::BadData,
            SourceError::Cancelled => ErrorType::Canceled,
            SourceError::Storage { kind, .. } => (*kind).into(),
        };
        Self::new(error_type, error.to_string())
    }
}

/// What one selector of a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorRead {
    /// Its conditions.
    pub matchers: Vec<Matcher>,
    /// How much earlier than the query's times it reads; negative for later.
    pub offset_ms: i64,
    /// The length of its range; 0 for an instant selector.
    pub range_ms: i64,
}

/// Evaluates queries. Calls block their thread and are made on query threads.
pub trait QueryService: Send + Sync {
    /// Evaluates `request`; looks at `cancel` now and then.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no query, and what evaluation says.
    fn execute(&self, request: &QueryRequest, cancel: &Cancel)
    -> Result<QueryAnswer, QueryFailure>;

    /// The query, printed in the canonical way.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no query.
    fn format(&self, text: &str) -> Result<String, QueryFailure>;

    /// The syntax tree of the query.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no query.
    fn parse(&self, text: &str) -> Result<Expr, QueryFailure>;

    /// The syntax tree of the query, as JSON.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no query.
    fn tree(&self, text: &str) -> Result<Bytes, QueryFailure>;

    /// The matchers of each selector in the query.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no query.
    fn selectors(&self, text: &str) -> Result<Vec<Vec<Matcher>>, QueryFailure>;

    /// What the selectors of the query would read if it were evaluated from one time to another.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no query.
    fn reads(&self, text: &str) -> Result<Vec<SelectorRead>, QueryFailure>;

    /// The matchers of a series selector, at least one of which refuses the empty value.
    ///
    /// # Errors
    /// [`ErrorType::BadData`] for a text that is no such selector.
    fn selector(&self, text: &str) -> Result<Vec<Matcher>, QueryFailure>;

    /// What became of the results that are kept; zeros if none are.
    fn result_cache(&self) -> ResultCacheCounts {
        ResultCacheCounts::default()
    }
}

/// A source for one query, which knows afterwards what the query's user should know.
pub trait QuerySource: SeriesSource {
    /// What could not be read so far: damaged blocks and the like.
    fn notes(&self) -> Vec<String>;

    /// Whether something was left out, as the query's own limits said.
    fn is_cut(&self) -> bool;
}

/// Gives each query its own source.
pub trait QuerySources: Send + Sync {
    /// A source for one query, which fetches no more than `fetch` allows.
    fn open(&self, fetch: &FetchLimits) -> Box<dyn QuerySource>;
}
