//! `changes` and `resets`: how often neighbouring samples of a window differ, or fall.
//!
//! Two running counts, one up to each end of the window, make a step cost what it moved over.

use super::RangeInput;
use super::start;
use super::window::{Window, walk, walk_anchored};

/// `changes`: neighbours that differ; two NaNs do not.
pub(super) fn changes(input: &RangeInput<'_>, out: &mut [f64]) {
    walk(input, counting(out, pairs(input.vs, is_change)));
}

/// `changes` from the sample before the range on.
pub(super) fn anchored_changes(input: &RangeInput<'_>, out: &mut [f64]) {
    walk_anchored(input, counting(out, pairs(input.vs, is_change)));
}

/// `resets`: neighbours of which the later is smaller, or started to count after the earlier.
pub(super) fn resets(input: &RangeInput<'_>, out: &mut [f64]) {
    if input.starts.is_empty() {
        walk(input, counting(out, pairs(input.vs, is_fall)));
    } else {
        walk(input, counting(out, started_resets(input)));
    }
}

/// `resets` from the sample before the range on.
pub(super) fn anchored_resets(input: &RangeInput<'_>, out: &mut [f64]) {
    if input.starts.is_empty() {
        walk_anchored(input, counting(out, pairs(input.vs, is_fall)));
    } else {
        walk_anchored(input, counting(out, started_resets(input)));
    }
}

fn is_change(a: f64, b: f64) -> bool {
    a != b && !(a.is_nan() && b.is_nan())
}

fn is_fall(a: f64, b: f64) -> bool {
    b < a
}

/// Counts the neighbours in a run of samples that `counts` holds for.
#[inline]
fn pairs(vs: &[f64], counts: impl Fn(f64, f64) -> bool) -> impl Fn(usize, usize) -> u64 {
    move |lo, hi| vs[lo..hi].windows(2).map(|pair| u64::from(counts(pair[0], pair[1]))).sum()
}

/// Counts the resets in a run of samples with start timestamps.
fn started_resets<'a>(input: &'a RangeInput<'_>) -> impl Fn(usize, usize) -> u64 + 'a {
    let is_reset =
        |i: &usize| is_fall(input.vs[*i - 1], input.vs[*i]) || start::is_reset_at(input, *i);
    move |lo, hi| (lo + 1..hi).filter(is_reset).count() as u64
}

/// Puts what `pairs` counts in each window into its step. Windows come in order.
#[inline]
fn counting(out: &mut [f64], pairs: impl Fn(usize, usize) -> u64) -> impl FnMut(Window) {
    // `before` counts the pairs up to sample `lo`, `within` those up to sample `last`.
    let (mut before, mut lo) = (0, 0);
    let (mut within, mut last) = (0, 0);
    move |w| {
        before += pairs(lo, w.lo + 1);
        lo = w.lo;
        within += pairs(last, w.hi);
        last = w.hi - 1;
        out[w.step] = (within - before) as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use crate::step::StepGrid;

    #[test]
    fn counts_equal_a_scan_of_each_window() {
        let nan = f64::NAN;
        let values = [1.0, 1.0, 2.0, nan, nan, 1.0, 0.0, -0.0, 5.0, 4.0, 3.0, 3.0, 9.0];
        let samples: Vec<_> = (0..).map(|i| i * 10).zip(values).collect();
        for (step_ms, range_ms) in [(10, 40), (7, 25), (30, 20), (10, 500)] {
            let ends = StepGrid { start_ms: -20, step_ms, count: 30 };
            let changes = run("changes", &samples, ends, range_ms, &[]);
            let resets = run("resets", &samples, ends, range_ms, &[]);
            for (i, end) in ends.times().enumerate() {
                let window: Vec<f64> = samples
                    .iter()
                    .filter(|s| s.0 > end - range_ms && s.0 <= end)
                    .map(|s| s.1)
                    .collect();
                let count = |f: fn(f64, f64) -> bool| {
                    let pairs = window.windows(2).filter(|p| f(p[0], p[1])).count();
                    if window.is_empty() { None } else { Some(pairs as f64) }
                };
                assert_eq!(
                    changes[i],
                    count(|a, b| a != b && !(a.is_nan() && b.is_nan())),
                    "changes at {end}"
                );
                assert_eq!(resets[i], count(|a, b| a > b), "resets at {end}");
            }
        }
    }
}
