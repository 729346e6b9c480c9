//! The error of the database as a whole.

use std::io;
use std::path::{Path, PathBuf};

use m3rs_core::{Corrupt, ErrorKind};
use m3rs_index::IndexError;

use super::{CommitLogError, FilesetError};
use crate::namespace::OptionsError;

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
    /// The catalog of namespaces is damaged, in both copies.
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
    /// A background job panicked, which is a bug; it is tried again.
    #[error("BUG: the {thread} panicked")]
    Panicked {
        /// Its thread.
        thread: &'static str,
    },
    /// Buffered bytes do not decode, which is a bug.
    #[error("BUG: buffered samples do not decode: {0}")]
    Buffer(Corrupt),
    /// A series has more samples in one block than a block holds.
    #[error("samples cannot be encoded: {0}")]
    Encode(Corrupt),
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
    /// The namespace makes new series faster than it may. Known ones are written.
    #[error(
        "the namespace makes more than {limit} new series in a second \
         (limits.new_series_per_second_max)"
    )]
    NewSeriesRate {
        /// The limit.
        limit: u32,
    },
    /// The volume is nearly full; reads go on.
    #[error(
        "the disk floor is reached: {free} bytes are free, {floor} are kept \
         (limits.disk_floor_bytes_max)"
    )]
    DiskFloor {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        floor: u64,
    },
    /// There is no such namespace.
    #[error("there is no namespace {name:?}")]
    NoNamespace {
        /// The name.
        name: String,
    },
    /// There is a namespace of that name.
    #[error("there is a namespace {name:?} already")]
    NamespaceExists {
        /// The name.
        name: String,
    },
    /// There are as many namespaces as may be.
    #[error("there are {limit} namespaces, the most there may be (limits.namespaces_max)")]
    NamespaceLimit {
        /// The limit.
        limit: usize,
    },
    /// A series had no samples and was taken out while the request was under way.
    #[error("a series without samples was taken out meanwhile; send the request again")]
    SeriesRetired,
    /// The namespace was removed, emptied or rebuilt since it was looked up.
    #[error("namespace {name:?} is being removed or replaced")]
    NamespaceRetired {
        /// The name.
        name: String,
    },
    /// The namespace has no index, and the matchers are not all labels of one series.
    #[error(
        "namespace {name:?} has no index: a series is found by equalities with all of its labels \
         (index)"
    )]
    NotIndexed {
        /// The name.
        name: String,
    },
    /// Options of a namespace that do not fit together, or cannot change.
    #[error("namespace {name:?}: {error}")]
    Options {
        /// The name.
        name: String,
        /// Which, and why.
        error: OptionsError,
    },
    /// There is data but nothing says how it is laid out.
    #[error(
        "{} is missing, and there is data beside it: put it back from a backup",
        .path.display()
    )]
    CatalogMissing {
        /// The file.
        path: PathBuf,
    },
    /// Samples of too many different blocks wait to be flushed.
    #[error("{limit} block windows wait to be flushed, the most there may be (limits.windows_max)")]
    WindowLimit {
        /// The limit.
        limit: usize,
    },
    /// A start left the files of older blocks for later, and they are not all open yet.
    #[error(
        "blocks before {before_s} (seconds since 1970) are still being opened after the start: \
         {opened} of {total} are; ask again later, or for later times"
    )]
    StillOpening {
        /// The end of the newest block that is not open.
        before_s: i64,
        /// Blocks that were left for later and are open by now.
        opened: u64,
        /// All that were left for later.
        total: u64,
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
            Self::Io { .. }
            | Self::WindowLimit { .. }
            | Self::Locked { .. }
            | Self::Closing
            | Self::StillOpening { .. }
            | Self::DiskFloor { .. }
            | Self::NamespaceRetired { .. }
            | Self::SeriesRetired => ErrorKind::Unavailable,
            Self::Meta { .. } | Self::Block { .. } | Self::CatalogMissing { .. } => {
                ErrorKind::Corrupt
            }
            Self::NamespaceExists { .. } | Self::NotIndexed { .. } | Self::Options { .. } => {
                ErrorKind::Invalid
            }
            Self::NoNamespace { .. } => ErrorKind::NotFound,
            Self::Buffer(_) | Self::Panicked { .. } => ErrorKind::Internal,
            Self::Encode(_) => ErrorKind::Limit,
            Self::CommitLog(e) => e.kind(),
            Self::Fileset(e) => e.kind(),
            Self::Index(e) => e.kind(),
            Self::SeriesLimit { .. } | Self::NewSeriesRate { .. } | Self::NamespaceLimit { .. } => {
                ErrorKind::Limit
            }
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
