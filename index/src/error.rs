//! What can go wrong in an index.

use std::io;
use std::path::{Path, PathBuf};

use m3rs_core::regexp::RegexpError;
use m3rs_core::{Corrupt, ErrorKind};

/// An error of the index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A matcher's regular expression was refused.
    #[error(transparent)]
    Regexp(#[from] RegexpError),
    /// A search matched more series than the caller allows.
    #[error("matchers select {matched} series: the limit is {limit}")]
    TooMany {
        /// Series that matched.
        matched: u64,
        /// The caller's limit.
        limit: usize,
    },
    /// A query has more conditions than the limit.
    #[error("index query has more than {max} conditions and knots: limit query_nodes_max")]
    QueryTooLarge {
        /// The limit.
        max: usize,
    },
    /// An insert did not continue the ids seen so far; nothing of its batch was taken.
    #[error("series {id} does not follow the last one, {last}")]
    OutOfOrder {
        /// The id that came.
        id: u32,
        /// The largest id before it.
        last: u32,
    },
    /// A series' labels are longer than the limit; nothing of its batch was taken.
    #[error("labels of series {id} have {len} bytes: the limit is {max}")]
    LabelsTooLong {
        /// The series.
        id: u32,
        /// Bytes of its canonical labels.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The open segment is full; sealing it makes room. Nothing of the batch was taken.
    #[error("open index segment holds {held} series: the limit is {max}")]
    Full {
        /// Series in the segment.
        held: u32,
        /// The limit.
        max: u32,
    },
    /// A file could not be read or written.
    #[error("index file {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file is of a version that only a newer program knows; it is not damaged.
    #[error("index file {path}: {source}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Which version it has.
        source: Corrupt,
    },
    /// Stored bytes are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

impl IndexError {
    /// The kind that decides HTTP status and retry.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Regexp(e) => e.kind(),
            Self::TooMany { .. } | Self::LabelsTooLong { .. } | Self::QueryTooLarge { .. } => {
                ErrorKind::Limit
            }
            Self::OutOfOrder { .. } => ErrorKind::Internal,
            Self::Full { .. } | Self::Io { .. } => ErrorKind::Unavailable,
            Self::Version { .. } | Self::Corrupt(_) => ErrorKind::Corrupt,
        }
    }

    /// Names the file of an operating system's error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}
