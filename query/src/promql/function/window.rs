//! Walks the windows of a range function over one series.
//!
//! Two indexes move forward together, so that a walk costs samples + steps. Functions that read
//! every sample of a window in a serial chain of additions are bound by the latency of that chain;
//! [`fold_windows`] runs several windows side by side, each with its own chain, so that the order
//! of additions within a window, and with it every bit of the result, stays as it is.

use super::RangeInput;
use crate::promql::ast::RangeEdges;

/// The samples `lo..hi` of the series fall into the window of step `step`; at least one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Number of the step.
    pub(super) step: usize,
    /// Index of the first sample.
    pub(super) lo: usize,
    /// Index after the last sample.
    pub(super) hi: usize,
}

impl Window {
    /// How many samples there are.
    pub(super) fn len(&self) -> usize {
        self.hi - self.lo
    }
}

/// Samples in the visited windows between two looks at whether to stop: some milliseconds.
const SAMPLES_PER_LOOK: usize = 1 << 20;

/// Visits every window that holds a sample, in order, unless the work is to stop.
#[inline]
pub(super) fn walk(input: &RangeInput<'_>, mut visit: impl FnMut(Window)) {
    let ts = input.ts;
    let first = input.ends.time_ms(0);
    let mut lo = ts.partition_point(|t| *t <= first.saturating_sub(input.range_ms));
    let mut hi = lo;
    let mut seen = 0;
    for step in 0..input.ends.count {
        let end = input.ends.time_ms(step);
        let start = end.saturating_sub(input.range_ms);
        while hi < ts.len() && ts[hi] <= end {
            hi += 1;
        }
        while lo < hi && ts[lo] <= start {
            lo += 1;
        }
        if lo < hi {
            seen += hi - lo;
            if seen > SAMPLES_PER_LOOK {
                seen = 0;
                if input.stop.is_wanted() {
                    return;
                }
            }
            visit(Window { step, lo, hi });
        } else if hi == ts.len() {
            return;
        }
    }
}

/// Visits every window that holds a sample, each with the last sample before it where there is one
/// at most a lookback away.
pub(super) fn walk_anchored(input: &RangeInput<'_>, mut visit: impl FnMut(Window)) {
    let mut after = 0;
    walk(&input.widened(RangeEdges::Anchored), |w| {
        let (start, _) = input.bounds_ms(w.step);
        after = w.lo.max(after);
        while after < w.hi && input.ts[after] <= start {
            after += 1;
        }
        if after < w.hi {
            visit(Window { lo: after.saturating_sub(1).max(w.lo), ..w });
        }
    });
}

/// Maps the samples of each window to its result.
#[inline]
pub(super) fn map_windows(
    input: &RangeInput<'_>,
    out: &mut [f64],
    mut map: impl FnMut(&[i64], &[f64], Window) -> f64,
) {
    let (ts, vs) = (input.ts, input.vs);
    walk(input, |w| out[w.step] = map(&ts[w.lo..w.hi], &vs[w.lo..w.hi], w));
}

/// A state that takes the samples of one window in order.
pub(super) trait Fold: Copy {
    /// Takes the next sample.
    fn push(&mut self, t: i64, v: f64);
}

/// How many windows are folded side by side.
const LANES: usize = 4;

/// Folds the samples of each window, several windows at a time.
///
/// `start` makes the state of a window, `finish` its result.
#[inline]
pub(super) fn fold_windows<F: Fold>(
    input: &RangeInput<'_>,
    out: &mut [f64],
    start: impl Fn(Window) -> F,
    finish: impl Fn(F, Window) -> f64,
) {
    let mut group = [Window::default(); LANES];
    let mut filled = 0;
    walk(input, |w| {
        group[filled] = w;
        filled += 1;
        if filled == LANES {
            filled = 0;
            let states = fold_group(input, &group, group.map(&start));
            for (state, w) in states.into_iter().zip(group) {
                out[w.step] = finish(state, w);
            }
        }
    });
    for w in &group[..filled] {
        let mut state = start(*w);
        fold_slice(input, w.lo, w.hi, &mut state);
        out[w.step] = finish(state, *w);
    }
}

/// Folds as many samples as all windows have side by side, then the rest of each.
#[inline]
fn fold_group<F: Fold>(
    input: &RangeInput<'_>,
    group: &[Window; LANES],
    mut states: [F; LANES],
) -> [F; LANES] {
    let shared = group.iter().map(Window::len).min().unwrap_or(0);
    let ts = group.map(|w| &input.ts[w.lo..w.lo + shared]);
    let vs = group.map(|w| &input.vs[w.lo..w.lo + shared]);
    for i in 0..shared {
        for lane in 0..LANES {
            states[lane].push(ts[lane][i], vs[lane][i]);
        }
    }
    for (state, w) in states.iter_mut().zip(group) {
        fold_slice(input, w.lo + shared, w.hi, state);
    }
    states
}

#[inline]
fn fold_slice<F: Fold>(input: &RangeInput<'_>, lo: usize, hi: usize, state: &mut F) {
    for (t, v) in input.ts[lo..hi].iter().zip(&input.vs[lo..hi]) {
        state.push(*t, *v);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stop;
    use super::*;
    use crate::step::StepGrid;

    fn windows(ts: &[i64], ends: StepGrid, range_ms: i64) -> Vec<(usize, usize, usize)> {
        let vs = vec![0.0; ts.len()];
        let input = RangeInput::of(ts, &vs, ends, range_ms);
        let mut seen = Vec::new();
        walk(&input, |w| seen.push((w.step, w.lo, w.hi)));
        seen
    }

    #[test]
    fn windows_are_open_at_the_left_and_closed_at_the_right() {
        let ends = StepGrid { start_ms: 10, step_ms: 5, count: 3 };
        assert_eq!(windows(&[0, 5, 10, 15, 20], ends, 10), [(0, 1, 3), (1, 2, 4), (2, 3, 5)]);
    }

    #[test]
    fn gaps_leave_steps_out() {
        let ends = StepGrid { start_ms: 0, step_ms: 10, count: 6 };
        assert_eq!(windows(&[1, 2, 46], ends, 5), [(5, 2, 3)]);
        assert_eq!(windows(&[10, 41], ends, 5), [(1, 0, 1)]);
        assert_eq!(windows(&[-100, 100], ends, 5), []);
    }

    #[test]
    fn anchors_are_the_last_samples_before_windows() {
        let ends = StepGrid { start_ms: 10, step_ms: 10, count: 5 };
        let (ts, vs) = ([1, 3, 12, 45], [0.0; 4]);
        let input = RangeInput { lookback_ms: 15, ..RangeInput::of(&ts, &vs, ends, 10) };
        let mut seen = Vec::new();
        walk_anchored(&input, |w| seen.push((w.step, w.lo, w.hi)));
        assert_eq!(seen, [(0, 0, 2), (1, 1, 3), (4, 3, 4)]);
    }

    #[test]
    fn long_walks_ask_whether_to_stop() {
        let ts: Vec<i64> = (0..1000).collect();
        let vs = vec![1.0; ts.len()];
        let ends = StepGrid { start_ms: 999, step_ms: 0, count: 5000 };
        let asked = std::cell::Cell::new(0);
        let second = || {
            asked.set(asked.get() + 1);
            asked.get() == 2
        };
        let stop = Stop::when(&second);
        let input = RangeInput { stop, ..RangeInput::of(&ts, &vs, ends, 1000) };
        let mut visited = 0;
        walk(&input, |_| visited += 1);
        assert_eq!((asked.get(), visited), (2, 2 * (SAMPLES_PER_LOOK / 1000 + 1) - 1));
    }

    #[test]
    fn walk_equals_a_search_per_step() {
        let ts: Vec<i64> = (0..200).map(|i| i * 7 + (i * i) % 5).collect();
        for (step_ms, range_ms) in [(1, 3), (10, 40), (33, 5), (100, 900)] {
            let ends = StepGrid { start_ms: -50, step_ms, count: 150 };
            let mut expected = Vec::new();
            for step in 0..ends.count {
                let end = ends.time_ms(step);
                let lo = ts.partition_point(|t| *t <= end - range_ms);
                let hi = ts.partition_point(|t| *t <= end);
                if lo < hi {
                    expected.push((step, lo, hi));
                }
            }
            assert_eq!(windows(&ts, ends, range_ms), expected);
        }
    }
}
