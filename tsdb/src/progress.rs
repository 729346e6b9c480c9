//! How far start-up is, for `/ready` and metrics.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the database is doing. Start-up goes through the stages in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Nothing was read yet but the catalog.
    Starting = 0,
    /// Filesets and snapshots are opened.
    Files = 1,
    /// Index segments are read.
    Index = 2,
    /// The table of series is filled.
    Series = 3,
    /// The commit log is replayed.
    CommitLog = 4,
    /// Namespaces get the number of shards that configuration asks for.
    Reshard = 5,
    /// Reads and writes are served.
    Ready = 6,
    /// The database was closed.
    Closed = 7,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Files,
        Self::Index,
        Self::Series,
        Self::CommitLog,
        Self::Reshard,
        Self::Ready,
        Self::Closed,
    ];

    /// The stage as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Files => "files",
            Self::Index => "index",
            Self::Series => "series",
            Self::CommitLog => "commitlog",
            Self::Reshard => "reshard",
            Self::Ready => "ready",
            Self::Closed => "closed",
        }
    }
}

/// Start-up's stage and its share of work done; shared between the opener and observers.
#[derive(Debug, Default)]
pub struct Progress {
    stage: AtomicU8,
    // By stage, so that none that is read late gets the numbers of the next.
    units: [Units; Stage::ALL.len()],
}

/// Files, bytes or series.
#[derive(Debug, Default)]
struct Units {
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
        Stage::ALL[usize::from(self.stage.load(Ordering::Acquire))]
    }

    /// The current stage, and which part of its work is done, from 0 to 1. Within a stage that
    /// never falls.
    #[must_use]
    pub fn stage_and_ratio(&self) -> (Stage, f64) {
        let stage = self.stage();
        let units = &self.units[stage as usize];
        let done = units.done.load(Ordering::Relaxed);
        let ratio = match units.total.load(Ordering::Relaxed) {
            _ if stage == Stage::Ready => 1.0,
            0 => 0.0,
            total => (done as f64 / total as f64).min(1.0),
        };
        (stage, ratio)
    }

    /// Begins a stage whose work is `total` files, bytes or series.
    pub(crate) fn enter(&self, stage: Stage, total: u64) {
        self.units[stage as usize].total.store(total, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// Some of the stage's work is done.
    pub(crate) fn advance(&self, stage: Stage, units: u64) {
        self.units[stage as usize].done.fetch_add(units, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_numbered_in_order() {
        for (number, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, number);
        }
    }

    #[test]
    fn a_stage_has_a_share_of_its_own() {
        let progress = Progress::new();
        assert_eq!(progress.stage_and_ratio(), (Stage::Starting, 0.0));
        progress.enter(Stage::Files, 4);
        progress.advance(Stage::Files, 1);
        assert_eq!(progress.stage_and_ratio(), (Stage::Files, 0.25));
        progress.advance(Stage::Files, 9);
        assert_eq!(progress.stage_and_ratio(), (Stage::Files, 1.0));
        progress.enter(Stage::Index, 0);
        assert_eq!(progress.stage_and_ratio(), (Stage::Index, 0.0));
        progress.enter(Stage::Ready, 0);
        assert_eq!(progress.stage_and_ratio(), (Stage::Ready, 1.0));
    }
}
