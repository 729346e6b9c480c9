//! How far start-up is, for `/ready` and metrics.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the database is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Nothing was read yet.
    Starting = 0,
    /// Index segments are opened and the table of series is filled.
    Index = 1,
    /// Filesets and snapshots are opened.
    Files = 2,
    /// The commit log is replayed.
    CommitLog = 3,
    /// Reads and writes are served.
    Ready = 4,
    /// The database was closed.
    Closed = 5,
}

impl Stage {
    /// The stage as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Index => "index",
            Self::Files => "files",
            Self::CommitLog => "commitlog",
            Self::Ready => "ready",
            Self::Closed => "closed",
        }
    }
}

/// Start-up's stage and its share of work done; shared between the opener and observers.
#[derive(Debug, Default)]
pub struct Progress {
    stage: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Nothing done yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The current stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Index,
            2 => Stage::Files,
            3 => Stage::CommitLog,
            4 => Stage::Ready,
            _ => Stage::Closed,
        }
    }

    /// Units done and units in all of the current stage: series, files or log bytes.
    #[must_use]
    pub fn units(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self, stage: Stage, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Release);
    }

    pub(crate) fn advance(&self, units: u64) {
        self.done.fetch_add(units, Ordering::Relaxed);
    }
}
