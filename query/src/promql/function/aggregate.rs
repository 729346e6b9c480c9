//! Sums, means, variances and quantiles with the rounding of Prometheus.
//!
//! The aggregation operators and the functions over time share these.

use std::cmp::Ordering;

/// A sum with Neumaier's compensation: the low-order parts that additions lose are kept apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompensatedSum {
    /// The sum of what was added, rounded at each step.
    pub sum: f64,
    /// What rounding lost.
    pub lost: f64,
}

impl CompensatedSum {
    /// A sum that starts with `first`.
    #[must_use]
    pub fn starting_with(first: f64) -> Self {
        Self { sum: first, lost: 0.0 }
    }

    /// Adds `v`.
    // The branches are selections, so that several sums can run side by side.
    #[inline]
    pub fn add(&mut self, v: f64) {
        let total = self.sum + v;
        let is_sum_larger = self.sum.abs() >= v.abs();
        let (large, small) = if is_sum_larger { (self.sum, v) } else { (v, self.sum) };
        let lost = self.lost + ((large - total) + small);
        self.lost = if total.is_infinite() { 0.0 } else { lost };
        self.sum = total;
    }

    /// The sum as an aggregation or `sum_over_time` gives it.
    #[inline]
    #[must_use]
    pub fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }

    /// The sum divided by `count`, each part on its own.
    #[inline]
    #[must_use]
    pub fn mean(&self, count: f64) -> f64 {
        self.sum / count + self.lost / count
    }
}

/// A sum that keeps what rounding loses.
pub(super) trait Summation: Copy + Default {
    /// Adds `v`.
    fn add(&mut self, v: f64);
    /// The sum with the lost part put back.
    fn total(&self) -> f64;
}

impl Summation for CompensatedSum {
    #[inline]
    fn add(&mut self, v: f64) {
        Self::add(self, v);
    }

    #[inline]
    fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

/// The sum that [`CompensatedSum`] gives, at half the cost, as long as all is finite.
///
/// Both find the exact rounding error of an addition. Without a choice between two orders, several
/// of these run side by side. Once [`FiniteSum::is_finite`] is false, the sum is to be done again
/// by the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FiniteSum {
    sum: f64,
    lost: f64,
}

impl FiniteSum {
    #[inline]
    pub(super) fn of(sum: f64, lost: f64) -> Self {
        Self { sum, lost }
    }

    /// Whether the parts are as [`CompensatedSum`] has them.
    #[inline]
    pub(super) fn is_finite(&self) -> bool {
        self.sum.is_finite() && self.lost.is_finite()
    }

    /// The parts.
    #[inline]
    pub(super) fn compensated(&self) -> CompensatedSum {
        CompensatedSum { sum: self.sum, lost: self.lost }
    }
}

impl Summation for FiniteSum {
    #[inline]
    fn add(&mut self, v: f64) {
        let total = self.sum + v;
        let added = total - self.sum;
        self.lost += (self.sum - (total - added)) + (v - added);
        self.sum = total;
    }

    #[inline]
    fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

/// An arithmetic mean that cannot overflow: a compensated sum as long as it stays finite, then a
/// running mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    total: CompensatedSum,
    count: f64,
    is_running: bool,
}

impl Mean {
    /// Takes `v`.
    #[inline]
    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.total = CompensatedSum::starting_with(v);
            return;
        }
        if !self.is_running {
            let mut next = self.total;
            next.add(v);
            if !next.sum.is_infinite() {
                self.total = next;
                return;
            }
            self.is_running = true;
            self.total.sum /= self.count - 1.0;
            self.total.lost /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        self.total = CompensatedSum { sum: share * self.total.sum, lost: share * self.total.lost };
        self.total.add(v / self.count);
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The mean; NaN without values.
    #[must_use]
    pub fn value(&self) -> f64 {
        if self.is_running { self.total.sum + self.total.lost } else { self.total.mean(self.count) }
    }
}

/// Welford's variance, uncompensated: the aggregations `stdvar` and `stddev`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Variance {
    /// Takes `v`.
    #[inline]
    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = v;
            self.squares = if v.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = v - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (v - self.mean);
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The population variance; NaN without values.
    #[must_use]
    pub fn variance(&self) -> f64 {
        self.squares / self.count
    }

    /// The population standard deviation; NaN without values.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.variance().sqrt()
    }
}

/// Welford's variance with compensated sums: `stdvar_over_time` and `stddev_over_time`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CompensatedVariance<S> {
    count: f64,
    mean: S,
    squares: S,
}

impl<S: Summation> CompensatedVariance<S> {
    /// Takes `v`.
    #[inline]
    pub(super) fn add(&mut self, v: f64) {
        self.count += 1.0;
        let delta = v - self.mean.total();
        self.mean.add(delta / self.count);
        self.squares.add(delta * (v - self.mean.total()));
    }

    /// The population variance; NaN without values.
    #[inline]
    pub(super) fn variance(&self) -> f64 {
        self.squares.total() / self.count
    }
}

/// The order of values for quantiles: NaN is smaller than every number.
#[inline]
#[must_use]
pub fn nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The `q`-quantile of `values`, interpolated between neighbours; reorders them.
///
/// NaN without values or for `q` NaN, −∞ for `q` below 0, +∞ for `q` above 1. Linear on average.
#[must_use]
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    match rank(q, values.len()) {
        Rank::Answer(v) => v,
        Rank::Between { lower, weight } => {
            let (_, low, above) = values.select_nth_unstable_by(lower, nan_first);
            let low = *low;
            let high = above.iter().copied().min_by(nan_first).unwrap_or(low);
            low * (1.0 - weight) + high * weight
        }
    }
}

/// The `q`-quantile of values in the order of [`nan_first`], given by position.
pub(super) fn quantile_of_sorted(q: f64, count: usize, mut at: impl FnMut(usize) -> f64) -> f64 {
    match rank(q, count) {
        Rank::Answer(v) => v,
        Rank::Between { lower, weight } => {
            let upper = (lower + 1).min(count - 1);
            at(lower) * (1.0 - weight) + at(upper) * weight
        }
    }
}

/// Where a quantile lies among sorted values.
enum Rank {
    /// It does not depend on the values.
    Answer(f64),
    /// Between number `lower` and the next, `weight` of the way.
    Between { lower: usize, weight: f64 },
}

fn rank(q: f64, count: usize) -> Rank {
    if count == 0 || q.is_nan() {
        return Rank::Answer(f64::NAN);
    }
    if q < 0.0 {
        return Rank::Answer(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return Rank::Answer(f64::INFINITY);
    }
    let rank = q * (count - 1) as f64;
    let lower = (rank.floor() as usize).min(count - 1);
    Rank::Between { lower, weight: rank - rank.floor() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_parts_come_back() {
        let mut sum = CompensatedSum::default();
        for v in [1.0, 1e100, 1.0, -1e100] {
            sum.add(v);
        }
        assert_eq!(sum.value(), 2.0);
    }

    #[test]
    fn infinities_leave_no_nan_behind() {
        let mut sum = CompensatedSum::default();
        for v in [1.0, f64::INFINITY, 5.0] {
            sum.add(v);
        }
        assert_eq!(sum.value(), f64::INFINITY);
        sum.add(f64::NEG_INFINITY);
        assert!(sum.value().is_nan());
    }

    #[test]
    fn mean_survives_overflow() {
        let mut mean = Mean::default();
        for v in [f64::MAX, f64::MAX, f64::MAX] {
            mean.add(v);
        }
        assert_eq!(mean.value(), f64::MAX.next_down());
        let mut mean = Mean::default();
        for v in [1.0, 2.0, 6.0] {
            mean.add(v);
        }
        assert_eq!((mean.value(), mean.count()), (3.0, 3.0));
        assert!(Mean::default().value().is_nan());
    }

    #[test]
    fn variances_agree_on_easy_values() {
        let mut plain = Variance::default();
        let mut compensated = CompensatedVariance::<CompensatedSum>::default();
        for v in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            plain.add(v);
            compensated.add(v);
        }
        assert_eq!((plain.variance(), plain.deviation()), (4.0, 2.0));
        assert_eq!(compensated.variance(), 4.0);
        let mut one = Variance::default();
        one.add(f64::INFINITY);
        assert!(one.variance().is_nan());
    }

    #[test]
    fn quantiles_interpolate_and_put_nan_first() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.75, &mut [4.0, 1.0, 3.0, 2.0]), 3.25);
        assert_eq!(quantile(1.0, &mut [4.0, f64::NAN]), 4.0);
        assert!(quantile(0.0, &mut [4.0, f64::NAN]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [1.0]), f64::INFINITY);
    }

    #[test]
    fn selection_equals_sorting() {
        let values: Vec<f64> = (0..97).map(|i| f64::from((i * 37) % 101)).collect();
        let mut sorted = values.clone();
        sorted.sort_by(nan_first);
        for i in 0..=40 {
            let q = f64::from(i) / 40.0;
            let expected = quantile_of_sorted(q, sorted.len(), |i| sorted[i]);
            assert_eq!(quantile(q, &mut values.clone()).to_bits(), expected.to_bits());
        }
    }
}
