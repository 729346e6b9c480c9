//! Errors of the storage engine's files, and damage as a value.

mod database;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::BadSectors;
use m3rs_core::{Corrupt, ErrorKind};

pub use database::TsdbError;

/// A place in a file where bytes are not what was written, and what that costs.
///
/// Damage is reported, never silently skipped and never fatal for what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The damaged file.
    pub path: PathBuf,
    /// Byte offset in the file of what is damaged.
    pub offset: u64,
    /// Bytes that cannot be used because of it; 0 if a second copy stands in.
    pub lost_bytes: u64,
    /// The damaged thing, such as `fileset index page`.
    pub what: &'static str,
    /// What should have stood there.
    pub expected: String,
    /// What stood there.
    pub got: String,
}

impl Damage {
    /// Places a decoder's complaint in a file: `base` is the offset of the decoder's first byte.
    #[must_use]
    pub fn of_corrupt(path: &Path, base: u64, lost_bytes: u64, corrupt: Corrupt) -> Self {
        Self {
            path: path.to_owned(),
            offset: base.saturating_add(corrupt.at),
            lost_bytes,
            what: corrupt.what,
            expected: corrupt.expected,
            got: corrupt.got,
        }
    }

    /// What the disk does not give of a file.
    #[must_use]
    pub fn of_sectors(path: &Path, bad: BadSectors) -> Self {
        Self {
            path: path.to_owned(),
            offset: bad.offset,
            lost_bytes: bad.bytes,
            what: "part of a file",
            expected: "bytes that can be read".to_owned(),
            got: bad.error,
        }
    }
}

impl From<m3rs_index::Damage> for Damage {
    /// The whole file counts as damaged; its series are found again in other files.
    fn from(found: m3rs_index::Damage) -> Self {
        Self::of_corrupt(&found.path, 0, 0, found.corrupt)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: damaged {} at byte {}: expected {}, got {}; {} bytes lost",
            self.path.display(),
            self.what,
            self.offset,
            self.expected,
            self.got,
            self.lost_bytes
        )
    }
}

/// Why the commit log did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CommitLogError {
    /// The file system refused.
    #[error("commit log {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk does not keep up.
    #[error(
        "commit log: {pending} bytes wait to be written, the most is {max} \
         (limits.log_pending_bytes_max)"
    )]
    Busy {
        /// Bytes that wait.
        pending: u64,
        /// `CommitLogOptions::pending_bytes_max`.
        max: u64,
    },
    /// The log holds as many bytes as it may that no other file holds yet.
    #[error(
        "{bytes} bytes of the commit log are in no other file yet, the limit is {max} \
         (limits.log_uncovered_bytes_max)"
    )]
    Uncovered {
        /// Bytes that no other file holds.
        bytes: u64,
        /// The most there may be.
        max: u64,
    },
    /// A write or a sync failed; nothing is taken until the log resumes on a new segment.
    #[error("commit log takes no writes after a failure: {why}")]
    Failed {
        /// The failure.
        why: Arc<str>,
    },
    /// The log was closed.
    #[error("commit log is closed")]
    Closed,
    /// More bytes than one chunk holds.
    #[error("commit log: {bytes} bytes in one append, the most is {max}")]
    TooLarge {
        /// Bytes given.
        bytes: u64,
        /// The most that is taken.
        max: u64,
    },
    /// An option or an argument that cannot be.
    #[error("commit log: {0}")]
    Invalid(String),
    /// A segment of a version that this program does not know.
    #[error("commit log segment {}: {source}", path.display())]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// What its header says.
        source: Corrupt,
    },
}

impl CommitLogError {
    /// What a caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy { .. }
            | Self::Uncovered { .. }
            | Self::Failed { .. }
            | Self::Closed
            | Self::Io { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::Limit,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Version { .. } => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Why a fileset was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesetError {
    /// The file system refused.
    #[error("fileset {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Bytes of the file are not what was written.
    #[error("{0}")]
    Damaged(Damage),
    /// A fileset of a version that this program does not know.
    #[error("fileset {}: {source}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What its footer says.
        source: Corrupt,
    },
    /// More bytes than the format holds.
    #[error("fileset: {what} has {bytes} bytes, the most is {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its bytes.
        bytes: u64,
        /// The most that is taken.
        max: u64,
    },
    /// An argument that cannot be.
    #[error("fileset: {0}")]
    Invalid(String),
}

impl FilesetError {
    /// What a caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Damaged(_) | Self::Version { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. } => ErrorKind::Limit,
            Self::Invalid(_) => ErrorKind::Internal,
        }
    }

    /// The damage, if that is what it is. A file of a newer version is not damaged.
    #[must_use]
    pub fn into_damage(self) -> Option<Damage> {
        match self {
            Self::Damaged(damage) => Some(damage),
            _ => None,
        }
    }
}
