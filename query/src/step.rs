//! The grid of times that a query is evaluated on.

/// Evenly spaced evaluation times, in milliseconds. An instant query has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepGrid {
    /// The first evaluation time.
    pub start_ms: i64,
    /// The distance of two evaluation times; 0 if there is but one, at which the range also ends.
    pub step_ms: i64,
    /// How many evaluation times there are; at least 1.
    pub count: usize,
}

impl StepGrid {
    /// The grid of an instant query.
    #[must_use]
    pub fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 0, count: 1 }
    }

    /// The grid of a range query: every `step_ms` from `start_ms` while not after `end_ms`.
    ///
    /// The caller has checked `start_ms <= end_ms`, `step_ms >= 1` and the limit on steps.
    #[must_use]
    pub fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        if start_ms == end_ms {
            return Self::instant(start_ms);
        }
        let count = end_ms.saturating_sub(start_ms) / step_ms + 1;
        Self { start_ms, step_ms, count: usize::try_from(count).unwrap_or(1) }
    }

    /// Whether it is a single time and not a range, be it shorter than a step.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        self.step_ms == 0
    }

    /// Evaluation time number `index`.
    #[must_use]
    pub fn time_ms(&self, index: usize) -> i64 {
        self.start_ms + self.step_ms * index as i64
    }

    /// The last evaluation time.
    #[must_use]
    pub fn end_ms(&self) -> i64 {
        self.time_ms(self.count.saturating_sub(1))
    }

    /// All evaluation times in order.
    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.count).map(|i| self.time_ms(i))
    }
}
