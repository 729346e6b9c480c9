//! Why a query has no answer.

use m3rs_core::ErrorKind;

use crate::source::SourceError;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not PromQL, or its types do not fit, or the request is out of order.
    #[error("{0}")]
    Parse(String),
    /// A named limit was reached.
    #[error("{}; the limit {name} is {value}, set by {setting}", limit_text(name, *value))]
    Limit {
        /// The limit's name.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The setting that changes it.
        setting: &'static str,
    },
    /// The query took longer than it may.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The client left.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// Storage could not answer.
    #[error("expanding series: {0}")]
    Source(SourceError),
    /// The data do not allow the operation, such as many-to-many matching.
    #[error("{0}")]
    Execution(String),
    /// A bug of ours.
    #[error("BUG: {0}")]
    Internal(String),
}

impl QueryError {
    /// The error of the limit `name`.
    pub(crate) fn limit(name: &'static str, value: u64) -> Self {
        let setting = match name {
            "steps" => "query.steps_max",
            "subquery_steps" => "query.subquery_steps_max",
            "series" => "query.series_max",
            "samples" => "query.samples_max",
            "memory" => "query.memory_max",
            _ => "query.depth_max",
        };
        Self::Limit { name, value, setting }
    }

    /// Two series of a result would carry the same labels.
    pub(crate) fn same_labelset() -> Self {
        Self::Execution("vector cannot contain metrics with the same labelset".to_owned())
    }

    /// What a caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) => ErrorKind::Invalid,
            Self::Limit { name: "steps" | "depth", .. } => ErrorKind::Invalid,
            Self::Limit { .. } | Self::Execution(_) => ErrorKind::Limit,
            Self::Timeout => ErrorKind::Timeout,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Source(SourceError::Storage { kind, .. }) => *kind,
            Self::Source(SourceError::TooManySeries { .. } | SourceError::FetchLimit(_)) => {
                ErrorKind::Limit
            }
            Self::Source(SourceError::Invalid(_)) => ErrorKind::Invalid,
            Self::Source(SourceError::Cancelled) => ErrorKind::Cancelled,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// The word in the field `errorType` of Prometheus's API.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::Source(SourceError::FetchLimit(_)) => "bad_data",
            Self::Limit { name: "steps" | "depth", .. } => "bad_data",
            Self::Limit { .. } | Self::Execution(_) => "execution",
            Self::Timeout => "timeout",
            Self::Cancelled | Self::Source(SourceError::Cancelled) => "canceled",
            Self::Source(SourceError::Storage { .. }) | Self::Internal(_) => "internal",
            Self::Source(SourceError::TooManySeries { .. } | SourceError::Invalid(_)) => {
                "execution"
            }
        }
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Cancelled => Self::Cancelled,
            SourceError::TooManySeries { limit, .. } => Self::limit("series", limit as u64),
            other => Self::Source(other),
        }
    }
}

/// What the limit means, in Prometheus's words where it has the same limit.
fn limit_text(name: &str, value: u64) -> String {
    match name {
        "steps" => format!(
            "exceeded maximum resolution of {} points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
            thousands(value)
        ),
        "subquery_steps" => "a subquery has too many steps".to_owned(),
        "samples" => {
            "query processing would load too many samples into memory in query execution".to_owned()
        }
        "memory" => "query processing would take too much memory".to_owned(),
        "series" => "a selector of the query matches too many series".to_owned(),
        _ => "the query is nested too deeply".to_owned(),
    }
}

/// A number with commas between thousands.
fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_itself_and_its_setting() {
        let error = QueryError::limit("steps", 11_000);
        assert_eq!(
            error.to_string(),
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX); the limit steps is 11000, set by query.steps_max"
        );
        assert_eq!(error.error_type(), "bad_data");
        let error = QueryError::limit("samples", 50);
        assert!(error.to_string().starts_with(
            "query processing would load too many samples into memory in query execution"
        ));
        assert_eq!(error.error_type(), "execution");
        assert_eq!(error.kind().http_status(), 422);
    }

    #[test]
    fn storage_errors_keep_their_kind() {
        let error = QueryError::from(SourceError::Storage {
            kind: ErrorKind::Unavailable,
            message: "2 of 3 replicas are down".to_owned(),
        });
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.error_type(), "internal");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
