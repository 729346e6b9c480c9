//! The error of the database as a whole.

use std::io;
use std::path::{Path, PathBuf};

use m3rs_core::{Corrupt, ErrorKind};
use m3rs_index::IndexError;

use super::{CommitLogError, FilesetError};
use crate::codec::m3tsz::EncodeError;

/// Why the database did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TsdbError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has the data directory open.
    #[error(
        "{} is in use by another process; stop it, or choose another --data-dir",
        .path.display()
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// A namespace's file is damaged.
    #[error("{}: {corrupt}", .path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        corrupt: Corrupt,
    },
    /// A block in a file does not decode.
    #[error("{}, series {series}: {corrupt}", .path.display())]
    Block {
        /// The file.
        path: PathBuf,
        /// The series' ref.
        series: u32,
        /// What is wrong with it.
        corrupt: Corrupt,
    },
    /// Buffered bytes do not decode, which is a bug.
    #[error("BUG: buffered samples do not decode: {0}")]
    Buffer(Corrupt),
    /// Samples do not fit one stream.
    #[error("samples cannot be encoded: {0}")]
    Encode(EncodeError),
    /// The commit log refused or failed.
    #[error(transparent)]
    CommitLog(#[from] CommitLogError),
    /// A fileset or snapshot is damaged or cannot be read or written.
    #[error(transparent)]
    Fileset(#[from] FilesetError),
    /// The index refused or failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The namespace has as many series as it may have.
    #[error("the namespace has its most series, {limit} (limits.series_max)")]
    SeriesLimit {
        /// The limit.
        limit: u32,
    },
    /// Samples of too many different blocks wait to be flushed.
    #[error("{limit} block windows wait to be flushed, the most there may be (limits.windows_max)")]
    WindowLimit {
        /// The limit.
        limit: usize,
    },
    /// The database is being closed, and long work was given up. Nothing is lost by it.
    #[error("given up, as the database is being closed")]
    Closing,
}

impl TsdbError {
    /// What a caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::WindowLimit { .. } | Self::Locked { .. } | Self::Closing => {
                ErrorKind::Unavailable
            }
            Self::Meta { .. } | Self::Block { .. } => ErrorKind::Corrupt,
            Self::Buffer(_) => ErrorKind::Internal,
            Self::Encode(e) => e.kind(),
            Self::CommitLog(e) => e.kind(),
            Self::Fileset(e) => e.kind(),
            Self::Index(e) => e.kind(),
            Self::SeriesLimit { .. } => ErrorKind::Limit,
        }
    }

    /// How many series matched and how many may, if that is what went wrong.
    #[must_use]
    pub fn too_many_series(&self) -> Option<(usize, usize)> {
        match self {
            Self::Index(IndexError::TooMany { matched, limit }) => {
                Some((usize::try_from(*matched).unwrap_or(usize::MAX), *limit))
            }
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
