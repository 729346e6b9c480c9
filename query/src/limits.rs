//! Named limits of queries, and the account of what a running query holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::QueryError;

/// What one query may use. Each limit has a name, by which errors and settings call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Evaluation times after the first of a range query; setting `query.steps_max`.
    pub steps_max: usize,
    /// Evaluation times of one subquery; setting `query.subquery_steps_max`.
    pub subquery_steps_max: usize,
    /// Series that one selector may match; setting `query.series_max`.
    pub series_max: usize,
    /// Points held in memory at once; setting `query.samples_max`.
    pub samples_max: u64,
    /// Bytes of points held in memory at once; setting `query.memory_max`.
    pub memory_bytes_max: u64,
    /// Time from start to end; setting `query.timeout`.
    pub time_max: Duration,
    /// Nesting of expressions; setting `query.depth_max`.
    pub depth_max: usize,
}

/// Prometheus's defaults where it has one.
impl Default for Limits {
    fn default() -> Self {
        Self {
            steps_max: 11_000,
            subquery_steps_max: 4_000_000,
            series_max: 1_000_000,
            samples_max: 50_000_000,
            memory_bytes_max: 2 << 30,
            time_max: Duration::from_secs(120),
            depth_max: 1200,
        }
    }
}

/// What a query holds and has read. Shared by its workers.
#[derive(Debug)]
pub(crate) struct Budget {
    samples_max: u64,
    bytes_max: u64,
    samples_held: AtomicU64,
    bytes_held: AtomicU64,
    samples_peak: AtomicU64,
    samples_read: AtomicU64,
    series_read: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            samples_max: limits.samples_max,
            bytes_max: limits.memory_bytes_max,
            samples_held: AtomicU64::new(0),
            bytes_held: AtomicU64::new(0),
            samples_peak: AtomicU64::new(0),
            samples_read: AtomicU64::new(0),
            series_read: AtomicU64::new(0),
        })
    }

    /// Takes `bytes` before they are allocated.
    ///
    /// # Errors
    /// The limit `memory`.
    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, QueryError> {
        let held = Held { budget: Arc::clone(self), bytes, samples: 0 };
        let before = self.bytes_held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.bytes_max {
            return Err(QueryError::limit("memory", self.bytes_max));
        }
        Ok(held)
    }

    /// Takes the columns of `rows` series of `steps` steps before they are allocated.
    ///
    /// # Errors
    /// As [`Budget::hold`].
    pub(crate) fn hold_rows(
        self: &Arc<Self>,
        rows: usize,
        steps: usize,
    ) -> Result<Held, QueryError> {
        let points = (rows as u64).saturating_mul(steps as u64);
        // A column must not overflow the address space whatever the limit says.
        if points > (isize::MAX as u64) / 16 {
            return Err(QueryError::limit("memory", self.bytes_max));
        }
        self.hold(points.saturating_mul(8))
    }

    pub(crate) fn add_read(&self, samples: usize) {
        self.samples_read.fetch_add(samples as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_series(&self, series: usize) {
        self.series_read.fetch_add(series as u64, Ordering::Relaxed);
    }

    pub(crate) fn samples_read(&self) -> u64 {
        self.samples_read.load(Ordering::Relaxed)
    }

    pub(crate) fn series_read(&self) -> u64 {
        self.series_read.load(Ordering::Relaxed)
    }

    pub(crate) fn samples_peak(&self) -> u64 {
        self.samples_peak.load(Ordering::Relaxed)
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: u64,
    samples: u64,
}

impl Held {
    /// Counts points that the held bytes turned out to contain.
    ///
    /// # Errors
    /// The limit `samples`.
    pub(crate) fn add_samples(&mut self, samples: usize) -> Result<(), QueryError> {
        let samples = samples as u64;
        self.samples += samples;
        let held = self.budget.samples_held.fetch_add(samples, Ordering::Relaxed) + samples;
        self.budget.samples_peak.fetch_max(held, Ordering::Relaxed);
        if held > self.budget.samples_max {
            return Err(QueryError::limit("samples", self.budget.samples_max));
        }
        Ok(())
    }
}

impl Held {
    /// Takes over another share.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
        self.samples += std::mem::take(&mut other.samples);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.bytes_held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.samples_held.fetch_sub(self.samples, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_at_n_and_fails_at_n_plus_1() {
        let limits = Limits { samples_max: 10, memory_bytes_max: 80, ..Limits::default() };
        let budget = Budget::new(&limits);
        let mut held = budget.hold_rows(2, 5).unwrap();
        held.add_samples(10).unwrap();
        assert!(matches!(budget.hold(1), Err(QueryError::Limit { name: "memory", value: 80, .. })));
        assert!(matches!(
            held.add_samples(1),
            Err(QueryError::Limit { name: "samples", value: 10, .. })
        ));
        drop(held);
        assert_eq!(budget.samples_peak(), 11);
        let mut whole = budget.hold(30).unwrap();
        whole.absorb(budget.hold(50).unwrap());
        assert!(budget.hold(1).is_err());
        drop(whole);
        drop(budget.hold(80).unwrap());
        assert!(budget.hold_rows(usize::MAX, usize::MAX).is_err());
        drop(budget.hold(80).unwrap());
    }
}
