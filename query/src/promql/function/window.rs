//! Walks the windows of a range function over one series.
//!
//! Two indexes move forward together, so that a walk costs samples + steps. Functions that read
//! every sample of a window in a serial chain of additions are bound by the latency of that chain;
//! [`fold_windows`] runs several windows side by side, each with its own chain, so that the order
//! of additions within a window, and with it every bit of the result, stays as it is.

use std::ops::{ControlFlow, Range};

use super::RangeInput;
use crate::promql::ast::RangeEdges;
use crate::step::StepGrid;

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

/// Windows of as many samples each that move by as many at each step: those of a series that was
/// scraped at one interval, of which the step is a multiple.
#[derive(Clone, Debug)]
pub(super) struct Regular {
    /// The steps whose windows are whole.
    pub(super) steps: Range<usize>,
    /// Where the first of these windows starts.
    pub(super) lo: usize,
    /// By how many samples a window is behind the one before.
    pub(super) stride: usize,
    /// Samples in a window.
    pub(super) len: usize,
}

impl Regular {
    /// `None` if samples or steps are not regular, or too few for that to be worth a look.
    pub(super) fn of(input: &RangeInput<'_>) -> Option<Self> {
        let (ts, ends) = (input.ts, input.ends);
        let (&[first, second, .., last], true) = (ts, ends.count >= REGULAR_STEPS_MIN) else {
            return None;
        };
        let interval = second.checked_sub(first).filter(|interval| *interval > 0)?;
        let count = i64::try_from(ts.len()).ok()?;
        let is_even = last.checked_sub(first)? == interval.checked_mul(count - 1)?;
        if !is_even || ends.step_ms <= 0 || ends.step_ms % interval != 0 {
            return None;
        }
        // Signed, as windows may start before the first sample.
        let samples_until = |t: i64| t.checked_sub(first)?.div_euclid(interval).checked_add(1);
        let (_, end) = input.bounds_ms(0);
        let (lo, hi) = (samples_until(end.checked_sub(input.range_ms)?)?, samples_until(end)?);
        let stride = ends.step_ms / interval;
        let from = if lo < 0 { (-lo - 1) / stride + 1 } else { 0 };
        let to = count.checked_sub(hi).filter(|rest| *rest >= 0)? / stride + 1;
        let steps = usize::try_from(from).ok()?..usize::try_from(to).ok()?.min(ends.count);
        if lo >= hi || steps.len() < REGULAR_STEPS_MIN || !is_progression(ts, interval) {
            return None;
        }
        Some(Self {
            steps,
            lo: usize::try_from(lo + from * stride).ok()?,
            stride: usize::try_from(stride).ok()?,
            len: usize::try_from(hi - lo).ok()?,
        })
    }

    /// How many windows there are.
    pub(super) fn count(&self) -> usize {
        self.steps.len()
    }

    /// Window number `index`.
    #[inline]
    pub(super) fn window(&self, index: usize) -> Window {
        let lo = self.lo + index * self.stride;
        Window { step: self.steps.start + index, lo, hi: lo + self.len }
    }

    /// The windows, in order.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = Window> {
        (0..self.count()).map(|index| self.window(index))
    }

    /// The same windows in parts of about so many samples.
    fn parts(self, samples: usize) -> impl Iterator<Item = Self> {
        let part = (samples / self.len.max(1)).max(1);
        (0..self.count()).step_by(part).map(move |index| {
            let first = self.window(index);
            let steps = first.step..self.steps.end.min(first.step + part);
            Self { steps, lo: first.lo, ..self }
        })
    }
}

/// Fewer steps are not worth a look at all samples.
const REGULAR_STEPS_MIN: usize = 4;

/// Whether each of `ts` is `interval` after the one before.
fn is_progression(ts: &[i64], interval: i64) -> bool {
    const CHUNK: usize = 64;
    let mut at = ts[0];
    ts.chunks(CHUNK).all(|chunk| {
        let mut differs = 0;
        for t in chunk {
            differs |= t ^ at;
            at = at.wrapping_add(interval);
        }
        differs == 0
    })
}

/// Visits every window that holds a sample, in order, unless the work is to stop.
#[inline]
pub(super) fn walk(input: &RangeInput<'_>, mut visit: impl FnMut(Window)) {
    walk_pieces(input, |piece| match piece {
        Piece::One(w) => visit(w),
        Piece::Even(windows) => windows.iter().for_each(&mut visit),
    });
}

/// What a walk comes by.
pub(super) enum Piece {
    One(Window),
    Even(Regular),
}

/// The same, regular windows together.
#[inline]
pub(super) fn walk_pieces(input: &RangeInput<'_>, mut visit: impl FnMut(Piece)) {
    let mut regular = Regular::of(input);
    let mut seen = 0;
    let mut rest = 0..input.ends.count;
    loop {
        let until = regular.as_ref().map_or(rest.end, |regular| regular.steps.start);
        let mut one = |w| visit(Piece::One(w));
        if walk_steps(input, rest.start..until, &mut seen, &mut one).is_break() {
            return;
        }
        let Some(regular) = regular.take() else { return };
        rest.start = regular.steps.end;
        for windows in regular.parts(SAMPLES_PER_LOOK) {
            if input.is_to_stop(windows.len * windows.count(), &mut seen) {
                return;
            }
            visit(Piece::Even(windows));
        }
    }
}

/// Visits each step with the last sample in `(end - range_ms, end]`, where there is one.
#[inline]
pub(crate) fn visit_last(
    ts: &[i64],
    ends: StepGrid,
    range_ms: i64,
    mut visit: impl FnMut(usize, usize),
) {
    let mut next = Edge::new(0);
    for step in 0..ends.count {
        let end = ends.time_ms(step);
        let next = next.pass(ts, end);
        if next > 0 && ts[next - 1] > end.saturating_sub(range_ms) {
            visit(step, next - 1);
        }
    }
}

/// Visits the windows of some steps that hold a sample; breaks if the work is to stop.
#[inline]
fn walk_steps(
    input: &RangeInput<'_>,
    steps: Range<usize>,
    seen: &mut usize,
    visit: &mut impl FnMut(Window),
) -> ControlFlow<()> {
    if steps.is_empty() {
        return ControlFlow::Continue(());
    }
    let ts = input.ts;
    let (first, _) = input.bounds_ms(steps.start);
    let mut lo = Edge::new(ts.partition_point(|t| *t <= first));
    let mut hi = Edge::new(lo.at);
    for step in steps {
        let (start, end) = input.bounds_ms(step);
        let (lo, hi) = (lo.pass(ts, start), hi.pass(ts, end));
        if lo < hi {
            if input.is_to_stop(hi - lo, seen) {
                return ControlFlow::Break(());
            }
            visit(Window { step, lo, hi });
        } else if hi == ts.len() {
            break;
        }
    }
    ControlFlow::Continue(())
}

/// How many samples are not after a time that moves forward.
struct Edge {
    at: usize,
    /// By how many it moved last: scrapes are nearly regular.
    moved: usize,
}

impl Edge {
    fn new(at: usize) -> Self {
        Self { at, moved: 0 }
    }

    #[inline]
    fn pass(&mut self, ts: &[i64], time: i64) -> usize {
        let from = self.at;
        let guess = from + self.moved;
        if guess > 0 && guess < ts.len() && ts[guess - 1] <= time && ts[guess] > time {
            self.at = guess;
        } else {
            while self.at < ts.len() && ts[self.at] <= time {
                self.at += 1;
            }
            self.moved = self.at - from;
        }
        self.at
    }
}

impl RangeInput<'_> {
    /// Whether the work is to stop before a window of `len` samples; `seen` counts those of the
    /// windows since it was last asked for.
    #[inline]
    fn is_to_stop(&self, len: usize, seen: &mut usize) -> bool {
        *seen += len;
        if *seen <= SAMPLES_PER_LOOK {
            return false;
        }
        *seen = 0;
        self.stop.is_wanted()
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
pub(super) const LANES: usize = 4;

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
        out[w.step] = finish(fold_window(input, *w, start(*w)), *w);
    }
}

/// Folds the samples of one window.
#[inline]
pub(super) fn fold_window<F: Fold>(input: &RangeInput<'_>, w: Window, mut state: F) -> F {
    fold_slice(input, w.lo, w.hi, &mut state);
    state
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
        let even: Vec<i64> = (0..200).map(|i| i * 7).collect();
        let gap: Vec<i64> = even.iter().copied().filter(|t| *t != 700).collect();
        let cases = [(1, 3), (10, 40), (33, 5), (100, 900), (7, 21), (14, 3), (28, 33), (70, 7)];
        for ((step_ms, range_ms), ts) in
            cases.iter().flat_map(|case| [&ts, &even, &gap].map(|ts| (*case, ts)))
        {
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
            assert_eq!(windows(ts, ends, range_ms), expected, "{step_ms} {range_ms}");
        }
    }
}
