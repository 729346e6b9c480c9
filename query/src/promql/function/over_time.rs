//! `sum_over_time` and its like: one number from all samples of a window.
//!
//! Sums and variances are serial chains per window, run side by side. Minimum and maximum do not
//! depend on order, so they run in lanes within a window, or over a monotonic queue where windows
//! are long. Budgets per sample at a step of four samples and a window of 20: sum 4 ns, max 3 ns.

use std::collections::VecDeque;

use fearless_simd::{Level, dispatch};

use super::RangeInput;
use super::aggregate::{CompensatedSum, CompensatedVariance, FiniteSum, Mean, Summation};
use super::lanes::{self, Groups, WholeSums};
use super::window::{Fold, Window, fold_windows, map_windows, walk};

impl Fold for CompensatedVariance<FiniteSum> {
    #[inline]
    fn push(&mut self, _t: i64, v: f64) {
        self.add(v);
    }
}

/// `sum_over_time`
pub(super) fn sum(input: &RangeInput<'_>, out: &mut [f64]) {
    sums(input, |fast, w| {
        out[w.step] = if fast.is_finite() {
            fast.total()
        } else {
            let mut sum = CompensatedSum::default();
            input.vs[w.lo..w.hi].iter().for_each(|v| sum.add(*v));
            sum.value()
        };
    });
}

/// `avg_over_time`
pub(super) fn avg(input: &RangeInput<'_>, out: &mut [f64]) {
    sums(input, |fast, w| {
        out[w.step] = if fast.is_finite() {
            fast.compensated().mean(w.len() as f64)
        } else {
            let mut mean = Mean::default();
            input.vs[w.lo..w.hi].iter().for_each(|v| mean.add(*v));
            mean.value()
        };
    });
}

/// Gives `finish` the sum of each window.
#[inline]
fn sums(input: &RangeInput<'_>, mut finish: impl FnMut(FiniteSum, Window)) {
    if let Some(whole) = WholeSums::of(input) {
        return walk(input, |w| finish(whole.of_window(w), w));
    }
    let level = Level::new();
    let of = |group| dispatch!(level, simd => lanes::sums(simd, input.vs, group));
    let mut groups = Groups::default();
    walk(input, |w| {
        if let Some(group) = groups.push(w) {
            of(group).into_iter().zip(group).for_each(|(sum, w)| finish(sum, w));
        }
    });
    if let Some((group, count)) = groups.rest() {
        of(group).into_iter().zip(group).take(count).for_each(|(sum, w)| finish(sum, w));
    }
}

/// `stddev_over_time`
pub(super) fn stddev(input: &RangeInput<'_>, out: &mut [f64]) {
    variance(input, out, f64::sqrt);
}

/// `stdvar_over_time`
pub(super) fn stdvar(input: &RangeInput<'_>, out: &mut [f64]) {
    variance(input, out, |variance| variance);
}

#[inline]
fn variance(input: &RangeInput<'_>, out: &mut [f64], finish: impl Fn(f64) -> f64) {
    fold_windows(
        input,
        out,
        |_| CompensatedVariance::<FiniteSum>::default(),
        |fast, w| {
            let variance = fast.variance();
            if variance.is_finite() {
                return finish(variance);
            }
            let mut state = CompensatedVariance::<CompensatedSum>::default();
            input.vs[w.lo..w.hi].iter().for_each(|v| state.add(*v));
            finish(state.variance())
        },
    );
}

/// `count_over_time`
pub(super) fn count(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, |w| out[w.step] = w.len() as f64);
}

/// `present_over_time`
pub(super) fn present(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, |w| out[w.step] = 1.0);
}

/// `first_over_time`
pub(super) fn first(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, |w| out[w.step] = input.vs[w.lo]);
}

/// `last_over_time`
pub(super) fn last(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, |w| out[w.step] = input.vs[w.hi - 1]);
}

/// `ts_of_first_over_time`
pub(super) fn ts_of_first(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, |w| out[w.step] = input.ts[w.lo] as f64 / 1000.0);
}

/// `ts_of_last_over_time`
pub(super) fn ts_of_last(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, |w| out[w.step] = input.ts[w.hi - 1] as f64 / 1000.0);
}

/// `ts_of_max_over_time`: the latest of equal maxima.
pub(super) fn ts_of_max(input: &RangeInput<'_>, out: &mut [f64]) {
    ts_of_extreme(input, out, |v, best| v >= best);
}

/// `ts_of_min_over_time`: the latest of equal minima.
pub(super) fn ts_of_min(input: &RangeInput<'_>, out: &mut [f64]) {
    ts_of_extreme(input, out, |v, best| v <= best);
}

#[inline]
fn ts_of_extreme(input: &RangeInput<'_>, out: &mut [f64], beats: impl Fn(f64, f64) -> bool) {
    map_windows(input, out, |ts, vs, _| {
        let (mut best, mut at) = (vs[0], ts[0]);
        for (t, v) in ts.iter().zip(vs) {
            if beats(*v, best) || best.is_nan() {
                (best, at) = (*v, *t);
            }
        }
        at as f64 / 1000.0
    });
}

/// `max_over_time`
pub(super) fn max(input: &RangeInput<'_>, out: &mut [f64]) {
    extreme(input, out, f64::NEG_INFINITY, |a, b| a > b);
}

/// `min_over_time`
pub(super) fn min(input: &RangeInput<'_>, out: &mut [f64]) {
    extreme(input, out, f64::INFINITY, |a, b| a < b);
}

/// Windows of more samples than this, on average, go through a queue.
const QUEUE_FROM: usize = 512;

/// The value that no other of the window `beats`; NaN loses against every number.
///
/// `loser` is beaten by every number but itself.
#[inline]
fn extreme(
    input: &RangeInput<'_>,
    out: &mut [f64],
    loser: f64,
    beats: impl Fn(f64, f64) -> bool + Copy,
) {
    let span = input.ts.last().map_or(0, |last| last.saturating_sub(input.ts[0])).max(1);
    let share = (input.range_ms as f64 / span as f64).min(1.0);
    if (input.vs.len() as f64 * share) as usize > QUEUE_FROM {
        extreme_by_queue(input, out, beats);
    } else {
        map_windows(input, out, |_, vs, _| extreme_of(vs, loser, beats));
    }
}

/// How many candidates run side by side through one window.
const LANES: usize = 8;

#[inline]
fn extreme_of(vs: &[f64], loser: f64, beats: impl Fn(f64, f64) -> bool) -> f64 {
    let mut lanes = [loser; LANES];
    let (chunks, rest) = vs.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = if beats(*v, *lane) { *v } else { *lane };
        }
    }
    let mut best = loser;
    for v in rest.iter().chain(&lanes) {
        best = if beats(*v, best) { *v } else { best };
    }
    // Zeros of both signs are equal, and the first one is the answer; a window without numbers
    // looks like one whose best is the loser.
    if best == 0.0 || best == loser { first_best(vs, best) } else { best }
}

#[cold]
fn first_best(vs: &[f64], best: f64) -> f64 {
    vs.iter().copied().find(|v| *v == best).unwrap_or(vs[vs.len() - 1])
}

/// Keeps the samples that may still become the answer, the best first.
fn extreme_by_queue(input: &RangeInput<'_>, out: &mut [f64], beats: impl Fn(f64, f64) -> bool) {
    let vs = input.vs;
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut taken = 0;
    walk(input, |w| {
        for (i, v) in vs.iter().enumerate().take(w.hi).skip(taken.max(w.lo)) {
            if v.is_nan() {
                continue;
            }
            while queue.back().is_some_and(|back| beats(*v, vs[*back])) {
                queue.pop_back();
            }
            queue.push_back(i);
        }
        taken = w.hi;
        while queue.front().is_some_and(|front| *front < w.lo) {
            queue.pop_front();
        }
        out[w.step] = queue.front().map_or(vs[w.hi - 1], |front| vs[*front]);
    });
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use crate::step::StepGrid;

    fn bits(values: &[Option<f64>]) -> Vec<Option<u64>> {
        values.iter().map(|v| v.map(f64::to_bits)).collect()
    }

    /// Values with NaNs, infinities and zeros of both signs among them.
    fn wild(count: i64) -> Vec<(i64, f64)> {
        let mut state = 88_172_645_463_325_252_u64;
        (0..count)
            .map(|i| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let v = match state % 23 {
                    0 => f64::NAN,
                    1 => 0.0,
                    2 => -0.0,
                    3 => f64::INFINITY,
                    4 => f64::NEG_INFINITY,
                    5 => 1e300,
                    n => (state >> 40) as f64 / 7.0 - n as f64 * 1e5,
                };
                (i * 1000, v)
            })
            .collect()
    }

    /// Applies `f` to the values of each window, one after the other.
    fn scan(
        samples: &[(i64, f64)],
        ends: StepGrid,
        range: i64,
        f: fn(&[f64]) -> f64,
    ) -> Vec<Option<f64>> {
        ends.times()
            .map(|end| {
                let vs: Vec<f64> = samples
                    .iter()
                    .filter(|s| s.0 > end - range && s.0 <= end)
                    .map(|s| s.1)
                    .collect();
                if vs.is_empty() { None } else { Some(f(&vs)) }
            })
            .collect()
    }

    fn scan_max(vs: &[f64]) -> f64 {
        vs.iter().fold(vs[0], |best, v| if *v > best || best.is_nan() { *v } else { best })
    }

    fn scan_min(vs: &[f64]) -> f64 {
        vs.iter().fold(vs[0], |best, v| if *v < best || best.is_nan() { *v } else { best })
    }

    fn scan_sum(vs: &[f64]) -> f64 {
        let (mut sum, mut lost) = (0.0_f64, 0.0);
        for v in vs {
            let total = sum + v;
            if total.is_infinite() {
                lost = 0.0;
            } else if sum.abs() >= v.abs() {
                lost += (sum - total) + v;
            } else {
                lost += (v - total) + sum;
            }
            sum = total;
        }
        if sum.is_infinite() { sum } else { sum + lost }
    }

    #[test]
    fn windows_side_by_side_equal_a_scan_bit_for_bit() {
        let samples = wild(3000);
        for (step_ms, range_ms) in [(4000, 20_000), (1500, 3000), (20_000, 700_000)] {
            let ends = StepGrid { start_ms: -5000, step_ms, count: 300 };
            let canonical = |v: f64| if v.is_nan() { f64::NAN } else { v };
            for (name, f) in [
                ("max_over_time", scan_max as fn(&[f64]) -> f64),
                ("min_over_time", scan_min),
                ("sum_over_time", scan_sum),
            ] {
                let got: Vec<_> = run(name, &samples, ends, range_ms, &[])
                    .iter()
                    .map(|v| v.map(canonical))
                    .collect();
                let expected: Vec<_> =
                    scan(&samples, ends, range_ms, f).iter().map(|v| v.map(canonical)).collect();
                assert_eq!(bits(&got), bits(&expected), "{name} {step_ms} {range_ms}");
            }
        }
    }

    #[test]
    fn average_keeps_to_the_finite_when_sums_overflow() {
        let samples = [(0, f64::MAX), (1, f64::MAX), (2, f64::MAX)];
        let out = run("avg_over_time", &samples, StepGrid::instant(2), 10, &[]);
        assert_eq!(out, [Some(f64::MAX.next_down())]);
    }

    #[test]
    fn simple_functions() {
        let samples = [(1000, 4.0), (2000, 9.0), (3000, 9.0), (4000, 2.0)];
        let one = |name: &str| run(name, &samples, StepGrid::instant(4000), 3500, &[])[0];
        assert_eq!(one("count_over_time"), Some(4.0));
        assert_eq!(one("present_over_time"), Some(1.0));
        assert_eq!(one("first_over_time"), Some(4.0));
        assert_eq!(one("last_over_time"), Some(2.0));
        assert_eq!(one("avg_over_time"), Some(6.0));
        assert_eq!(one("stdvar_over_time"), Some(9.5));
        assert_eq!(one("ts_of_max_over_time"), Some(3.0));
        assert_eq!(one("ts_of_min_over_time"), Some(4.0));
        assert_eq!(one("ts_of_first_over_time"), Some(1.0));
        assert_eq!(one("ts_of_last_over_time"), Some(4.0));
    }
}
