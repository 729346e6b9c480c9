//! What an aggregation remembers of the values of one group at one step.
//!
//! PARITY(prometheus): up to one run of series (`exchange`), each state gives Prometheus's bits;
//! merged runs differ by rounding alone.

use m3rs_core::model::STALE_NAN;

use crate::promql::exec::is_absent;
use crate::promql::function::aggregate::CompensatedSum;

/// What is remembered of values.
pub(super) trait State: Copy + Send {
    /// Before the first value.
    const EMPTY: Self;

    /// Takes a value.
    fn add(&mut self, v: f64);

    /// Takes a value that may be absent for each step.
    #[inline]
    fn add_row(states: &mut [Self], row: &[f64]) {
        add_each(states, row);
    }

    /// The result for a group whose only value is `v`.
    #[inline]
    fn alone(v: f64) -> f64 {
        let mut state = Self::EMPTY;
        state.add(v);
        state.value()
    }

    /// Takes all values that `other` took.
    fn merge(&mut self, other: Self);

    /// The result; the staleness marker without values.
    fn value(&self) -> f64;
}

#[inline]
fn add_each<S: State>(states: &mut [S], row: &[f64]) {
    for (state, v) in states.iter_mut().zip(row) {
        if !is_absent(*v) {
            state.add(*v);
        }
    }
}

/// Steps at which values are added side by side.
const LANES: usize = 8;

/// Adds a value at each of some steps to sums as [`CompensatedSum::add`] does, without its choice
/// between two orders; `None` if a number is not finite, where that differs.
#[inline]
fn add_finite(sums: [CompensatedSum; LANES], vs: &[f64; LANES]) -> Option<[CompensatedSum; LANES]> {
    let mut is_finite = true;
    let mut next = sums;
    for ((next, sum), v) in next.iter_mut().zip(&sums).zip(vs) {
        let total = sum.sum + v;
        let added = total - sum.sum;
        let lost = sum.lost + ((sum.sum - (total - added)) + (v - added));
        // As long as both are.
        is_finite &= (total + lost).is_finite();
        *next = CompensatedSum { sum: total, lost };
    }
    is_finite.then_some(next)
}

/// `sum`
#[derive(Clone, Copy)]
pub(super) struct SumState(CompensatedSum);

impl State for SumState {
    const EMPTY: Self = Self(CompensatedSum { sum: STALE_NAN, lost: 0.0 });

    #[inline]
    fn add(&mut self, v: f64) {
        if is_absent(self.0.sum) {
            self.0.sum = v;
        } else {
            self.0.add(v);
        }
    }

    #[inline]
    fn add_row(states: &mut [Self], row: &[f64]) {
        let (groups, rest) = states.as_chunks_mut::<LANES>();
        let (chunks, last) = row.as_chunks::<LANES>();
        for (states, vs) in groups.iter_mut().zip(chunks) {
            // A sum without values is not finite.
            match add_finite(states.map(|state| state.0), vs) {
                Some(sums) => *states = sums.map(Self),
                None => add_each(states, vs),
            }
        }
        add_each(rest, last);
    }

    fn merge(&mut self, other: Self) {
        if is_absent(other.0.sum) {
            return;
        }
        if is_absent(self.0.sum) {
            *self = other;
        } else {
            self.0.add(other.0.sum);
            if self.0.sum.is_finite() {
                self.0.lost += other.0.lost;
            }
        }
    }

    fn value(&self) -> f64 {
        if is_absent(self.0.sum) { STALE_NAN } else { self.0.value() }
    }
}

/// `avg`: a sum while it is finite, then a running mean.
#[derive(Clone, Copy)]
pub(super) struct AverageState {
    total: CompensatedSum,
    count: f64,
    is_running: bool,
}

impl AverageState {
    fn to_running(mut self) -> Self {
        if !self.is_running {
            self.total.sum /= self.count;
            self.total.lost /= self.count;
            self.is_running = true;
        }
        self
    }
}

impl State for AverageState {
    const EMPTY: Self =
        Self { total: CompensatedSum { sum: 0.0, lost: 0.0 }, count: 0.0, is_running: false };

    #[inline]
    fn add(&mut self, v: f64) {
        if self.count == 0.0 {
            self.total.sum = v;
            self.count = 1.0;
            return;
        }
        if !self.is_running {
            let mut next = self.total;
            next.add(v);
            if !next.sum.is_infinite() {
                self.total = next;
                self.count += 1.0;
                return;
            }
            *self = self.to_running();
        }
        self.count += 1.0;
        let share = (self.count - 1.0) / self.count;
        self.total = CompensatedSum { sum: share * self.total.sum, lost: share * self.total.lost };
        self.total.add(v / self.count);
    }

    #[inline]
    fn add_row(states: &mut [Self], row: &[f64]) {
        let (groups, rest) = states.as_chunks_mut::<LANES>();
        let (chunks, last) = row.as_chunks::<LANES>();
        for (states, vs) in groups.iter_mut().zip(chunks) {
            let are_sums = states.iter().fold(true, |all, s| all & !s.is_running & (s.count > 0.0));
            match add_finite(states.map(|state| state.total), vs).filter(|_| are_sums) {
                Some(sums) => {
                    for (state, total) in states.iter_mut().zip(sums) {
                        (state.total, state.count) = (total, state.count + 1.0);
                    }
                }
                None => add_each(states, vs),
            }
        }
        add_each(rest, last);
    }

    fn merge(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        if !self.is_running && !other.is_running {
            let mut total = self.total;
            total.add(other.total.sum);
            total.lost += other.total.lost;
            if !total.sum.is_infinite() {
                *self = Self { total, count, is_running: false };
                return;
            }
        }
        let (a, b) = (self.to_running(), other.to_running());
        let (share_a, share_b) = (a.count / count, b.count / count);
        let mut total = CompensatedSum { sum: share_a * a.total.sum, lost: share_a * a.total.lost };
        total.add(share_b * b.total.sum);
        total.lost += share_b * b.total.lost;
        *self = Self { total, count, is_running: true };
    }

    fn value(&self) -> f64 {
        if self.count == 0.0 {
            STALE_NAN
        } else if self.is_running {
            self.total.sum + self.total.lost
        } else {
            self.total.mean(self.count)
        }
    }
}

/// `count`
#[derive(Clone, Copy)]
pub(super) struct CountState(f64);

impl State for CountState {
    const EMPTY: Self = Self(0.0);

    #[inline]
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }

    fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }

    fn value(&self) -> f64 {
        if self.0 == 0.0 { STALE_NAN } else { self.0 }
    }
}

/// `group`
#[derive(Clone, Copy)]
pub(super) struct GroupState(f64);

impl State for GroupState {
    const EMPTY: Self = Self(STALE_NAN);

    #[inline]
    fn add(&mut self, _: f64) {
        self.0 = 1.0;
    }

    fn merge(&mut self, other: Self) {
        if is_absent(self.0) {
            *self = other;
        }
    }

    fn value(&self) -> f64 {
        self.0
    }
}

/// `min`: any number wins over NaN.
#[derive(Clone, Copy)]
pub(super) struct MinState(f64);

impl State for MinState {
    const EMPTY: Self = Self(STALE_NAN);

    #[inline]
    fn add(&mut self, v: f64) {
        if self.0 > v || self.0.is_nan() {
            self.0 = v;
        }
    }

    fn merge(&mut self, other: Self) {
        if !is_absent(other.0) {
            self.add(other.0);
        }
    }

    fn value(&self) -> f64 {
        self.0
    }
}

/// `max`: any number wins over NaN.
#[derive(Clone, Copy)]
pub(super) struct MaxState(f64);

impl State for MaxState {
    const EMPTY: Self = Self(STALE_NAN);

    #[inline]
    fn add(&mut self, v: f64) {
        if self.0 < v || self.0.is_nan() {
            self.0 = v;
        }
    }

    fn merge(&mut self, other: Self) {
        if !is_absent(other.0) {
            self.add(other.0);
        }
    }

    fn value(&self) -> f64 {
        self.0
    }
}

/// `stdvar`: Welford's method; merged by Chan's.
#[derive(Clone, Copy)]
pub(super) struct VarianceState {
    count: f64,
    mean: f64,
    squares: f64,
}

impl State for VarianceState {
    const EMPTY: Self = Self { count: 0.0, mean: 0.0, squares: 0.0 };

    #[inline]
    fn add(&mut self, v: f64) {
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

    fn merge(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.mean += delta * (other.count / count);
        self.count = count;
    }

    fn value(&self) -> f64 {
        if self.count == 0.0 { STALE_NAN } else { self.squares / self.count }
    }
}

/// `stddev`
#[derive(Clone, Copy)]
pub(super) struct DeviationState(VarianceState);

impl State for DeviationState {
    const EMPTY: Self = Self(VarianceState::EMPTY);

    #[inline]
    fn add(&mut self, v: f64) {
        self.0.add(v);
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn value(&self) -> f64 {
        let variance = self.0.value();
        if is_absent(variance) { STALE_NAN } else { variance.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded<S: State>(parts: &[&[f64]]) -> f64 {
        let mut whole = S::EMPTY;
        for part in parts {
            let mut state = S::EMPTY;
            part.iter().for_each(|v| state.add(*v));
            whole.merge(state);
        }
        whole.value()
    }

    #[test]
    fn empty_states_have_no_value() {
        assert!(is_absent(folded::<SumState>(&[&[], &[]])));
        assert!(is_absent(folded::<AverageState>(&[&[]])));
        assert!(is_absent(folded::<CountState>(&[&[]])));
        assert!(is_absent(folded::<GroupState>(&[&[]])));
        assert!(is_absent(folded::<MinState>(&[&[]])));
        assert!(is_absent(folded::<MaxState>(&[&[]])));
        assert!(is_absent(folded::<VarianceState>(&[&[]])));
        assert!(is_absent(folded::<DeviationState>(&[&[]])));
    }

    #[test]
    fn sums_compensate_across_parts() {
        assert_eq!(folded::<SumState>(&[&[1e100, 1.0], &[], &[-1e100]]), 1.0);
        assert_eq!(folded::<SumState>(&[&[f64::INFINITY], &[1.0]]), f64::INFINITY);
        assert!(folded::<SumState>(&[&[f64::INFINITY], &[f64::NEG_INFINITY]]).is_nan());
    }

    #[test]
    fn averages_do_not_overflow() {
        let max = f64::MAX;
        for parts in [&[&[max, max][..], &[max]][..], &[&[max], &[max]]] {
            let mean = folded::<AverageState>(parts);
            assert!((mean - max).abs() <= max * 1e-15, "{mean}");
        }
        assert_eq!(folded::<AverageState>(&[&[1.0, 2.0], &[6.0]]), 3.0);
        let balanced = folded::<AverageState>(&[&[max, max, -max], &[-max]]);
        assert!(balanced.abs() <= max * 1e-15, "{balanced}");
        assert_eq!(folded::<AverageState>(&[&[f64::INFINITY, 1.0], &[2.0]]), f64::INFINITY);
    }

    #[test]
    fn numbers_win_over_nan() {
        assert_eq!(folded::<MinState>(&[&[f64::NAN, 3.0], &[f64::NAN], &[2.0]]), 2.0);
        assert_eq!(folded::<MaxState>(&[&[f64::NAN], &[3.0, f64::NAN]]), 3.0);
        let nan = folded::<MaxState>(&[&[f64::NAN], &[f64::NAN]]);
        assert!(nan.is_nan() && !is_absent(nan));
    }

    /// Rows that are added side by side give the bits that values give one by one.
    #[test]
    fn rows_equal_values() {
        fn check<S: State>() {
            let value = |i: u32| match i % 31 {
                3 => STALE_NAN,
                5 if i > 300 => f64::INFINITY,
                7 if i > 400 => f64::NAN,
                11 if i > 500 => f64::MAX,
                13 => -0.0,
                n => f64::from(n) * 1e7f64.powi(n as i32 % 5 - 2) / 7.0,
            };
            let mut rows = vec![S::EMPTY; 21];
            let mut ones = vec![S::EMPTY; 21];
            for row in 0..30 {
                let values: Vec<f64> = (0..21).map(|i| value(row * 37 + i * 5)).collect();
                S::add_row(&mut rows, &values);
                add_each(&mut ones, &values);
                for (a, b) in rows.iter().zip(&ones) {
                    let (a, b) = (a.value(), b.value());
                    assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{a} {b}");
                }
            }
        }
        check::<SumState>();
        check::<AverageState>();
    }

    proptest::proptest! {
        #[test]
        fn parts_give_the_variance_of_the_whole(
            values in proptest::collection::vec(-1e6f64..1e6, 1..60),
            cut in 0usize..60,
        ) {
            let (a, b) = values.split_at(cut.min(values.len()));
            let whole = folded::<VarianceState>(&[&values]);
            let parts = folded::<VarianceState>(&[a, b]);
            proptest::prop_assert!((whole - parts).abs() <= 1e-9 * whole.max(1e-3));
            let whole = folded::<AverageState>(&[&values]);
            let parts = folded::<AverageState>(&[a, b]);
            proptest::prop_assert!((whole - parts).abs() <= 1e-12 * whole.abs().max(1.0));
        }
    }
}
