//! How many samples each evaluation time looks at.
//!
//! PARITY(prometheus): `totalQueryableSamplesPerStep`. A selector counts one for each series that
//! has a value, a range function the samples of each window; a sample counts as often as it is
//! looked at. Samples that only a subquery looks at count where the subquery's results do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::step::StepGrid;

/// Counts by evaluation time of the query.
#[derive(Debug)]
pub(crate) struct StepCounts {
    counts: Vec<AtomicU64>,
    /// How many subqueries the operators that open now are in.
    depth: AtomicUsize,
}

/// Where an operator counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountAt {
    /// Its steps are those of the query.
    Steps,
    /// What it finds once counts at each step.
    All,
}

impl StepCounts {
    pub(crate) fn new(steps: usize) -> Self {
        Self { counts: (0..steps).map(|_| AtomicU64::new(0)).collect(), depth: AtomicUsize::new(0) }
    }

    /// Where an operator that opens now for the steps of `grid` counts; `None` within a subquery.
    pub(crate) fn place(&self, grid: StepGrid) -> Option<CountAt> {
        if self.depth.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(if grid.count == self.counts.len() { CountAt::Steps } else { CountAt::All })
    }

    /// The operators that open from now on are in a subquery.
    pub(crate) fn enter_subquery(&self) {
        self.depth.fetch_add(1, Ordering::Relaxed);
    }

    /// They are not any more.
    pub(crate) fn leave_subquery(&self) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds samples at a step of the operator.
    pub(crate) fn add(&self, place: CountAt, step: usize, samples: u64) {
        let add = |count: &AtomicU64| {
            count.fetch_add(samples, Ordering::Relaxed);
        };
        match place {
            CountAt::Steps => self.counts.get(step).into_iter().for_each(add),
            CountAt::All => self.counts.iter().for_each(add),
        }
    }

    /// The counts in order.
    pub(crate) fn into_counts(self) -> Vec<u64> {
        self.counts.into_iter().map(AtomicU64::into_inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_once_counts_at_each_step() {
        let counts = StepCounts::new(3);
        let grid = StepGrid { start_ms: 0, step_ms: 1, count: 3 };
        let steps = counts.place(grid).expect("outside of subqueries");
        counts.add(steps, 1, 5);
        let all = counts.place(StepGrid::instant(0)).expect("outside of subqueries");
        counts.add(all, 0, 2);
        counts.enter_subquery();
        assert_eq!(counts.place(grid), None);
        counts.leave_subquery();
        assert_eq!(counts.into_counts(), [2, 7, 2]);
    }
}
