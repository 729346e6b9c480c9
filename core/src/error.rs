//! Kinds of error, and what each means to a caller; corruption as a value.

use std::fmt;

/// What a caller should do about an error; every error type of m3rs maps to one of these.
///
/// The statuses below are what a kind means by itself. The edge answers with Prometheus's status
/// where that is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// What was asked for does not exist.
    NotFound,
    /// A named limit was reached; a smaller request, or a higher setting, helps.
    Limit,
    /// The service cannot do it now; the same request may succeed later.
    Unavailable,
    /// The work took longer than it was allowed to.
    Timeout,
    /// The caller went away or asked to stop.
    Cancelled,
    /// Stored bytes are damaged.
    Corrupt,
    /// A bug of ours.
    Internal,
}

impl ErrorKind {
    /// The HTTP status for this kind.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::Limit => 422,
            Self::Unavailable | Self::Timeout | Self::Cancelled => 503,
            Self::Corrupt | Self::Internal => 500,
        }
    }

    /// Whether sending the same request again may succeed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout)
    }
}

/// Damaged or impossible bytes: what was read, where, and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The thing that was being read, such as `fileset info`.
    pub what: &'static str,
    /// Byte offset from the start of the input given to the decoder.
    pub at: u64,
    /// What should have stood there.
    pub expected: String,
    /// What stood there.
    pub got: String,
}

impl Corrupt {
    /// Builds the value; `expected` and `got` are free text for people.
    pub fn new(
        what: &'static str,
        at: usize,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self { what, at: at as u64, expected: expected.into(), got: got.into() }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "corrupt {} at byte {}: expected {}, got {}",
            self.what, self.at, self.expected, self.got
        )
    }
}

impl std::error::Error for Corrupt {}
