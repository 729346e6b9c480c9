//! What can go wrong with the state of a cluster.

use std::io;
use std::path::PathBuf;

use m3rs_core::error::{Corrupt, ErrorKind};

use crate::json::JsonError;
use crate::placement::PlacementError;

/// An error of this room. The texts of the first variants are M3's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key has a value, and should have none.
    #[error("key already has a value")]
    AlreadyExists,
    /// The key changed since it was read.
    #[error("key is not at the specified version")]
    VersionMismatch,
    /// The key has no value.
    #[error("key not found")]
    NotFound,
    /// The store does not hold keys of this zone.
    #[error("no etcd cluster found for zone: {0}")]
    UnknownZone(String),
    /// The body of a request is not what it should be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A placement cannot become what is asked for.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The request is wrong in itself.
    #[error("{0}")]
    Invalid(String),
    /// What the request names does not exist.
    #[error("{0}")]
    Missing(String),
    /// What the request would make exists already.
    #[error("{0}")]
    Conflict(String),
    /// The request cannot be done in the present state.
    #[error("{0}")]
    Refused(String),
    /// An error with words before it.
    #[error("{context}: {source}")]
    Within {
        /// The words.
        context: String,
        /// The error.
        source: Box<Error>,
    },
    /// A named limit was reached.
    #[error("{what} is {value}, over the limit of {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How much of it there would be.
        value: u64,
        /// How much there may be.
        limit: u64,
    },
    /// A stored value cannot be read.
    #[error("the value of {key} is damaged: {why}")]
    DamagedValue {
        /// Whose value.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file of a store is damaged.
    #[error("{path}: {source}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What, and where.
        source: Corrupt,
    },
    /// The file of a store cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Work stopped before it was done, which is a bug.
    #[error("the work panicked, which is a bug; see the log")]
    Panicked,
}

impl Error {
    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyExists
            | Self::VersionMismatch
            | Self::UnknownZone(_)
            | Self::Json(_)
            | Self::Invalid(_)
            | Self::Conflict(_)
            | Self::Refused(_)
            | Self::Placement(_) => ErrorKind::Invalid,
            Self::NotFound | Self::Missing(_) => ErrorKind::NotFound,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::DamagedValue { .. } | Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Panicked => ErrorKind::Internal,
            Self::Within { source, .. } => source.kind(),
        }
    }

    /// The same error with words before it.
    #[must_use]
    pub fn within(self, context: impl Into<String>) -> Self {
        Self::Within { context: context.into(), source: Box::new(self) }
    }
}

/// Refuses `value` of `what` if it is over `limit`.
pub(crate) fn check_limit(what: &'static str, value: usize, limit: usize) -> Result<(), Error> {
    match value > limit {
        true => Err(Error::Limit { what, value: value as u64, limit: limit as u64 }),
        false => Ok(()),
    }
}
