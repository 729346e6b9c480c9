//! `changes` and `resets`: how often neighbouring samples of a window differ, or fall.
//!
//! Two running counts, one up to each end of the window, make a step cost what it moved over.

use super::RangeInput;
use super::window::walk;

/// `changes`: neighbours that differ; two NaNs do not.
pub(super) fn changes(input: &RangeInput<'_>, out: &mut [f64]) {
    count_pairs(input, out, |a, b| a != b && !(a.is_nan() && b.is_nan()));
}

/// `resets`: neighbours of which the later is smaller.
pub(super) fn resets(input: &RangeInput<'_>, out: &mut [f64]) {
    count_pairs(input, out, |a, b| b < a);
}

/// Counts the neighbours in each window that `counts` holds for.
#[inline]
fn count_pairs(input: &RangeInput<'_>, out: &mut [f64], counts: impl Fn(f64, f64) -> bool) {
    let pairs = |lo: usize, hi: usize| -> u64 {
        input.vs[lo..hi].windows(2).map(|pair| u64::from(counts(pair[0], pair[1]))).sum()
    };
    // `before` counts the pairs up to sample `lo`, `within` those up to sample `last`.
    let (mut before, mut lo) = (0, 0);
    let (mut within, mut last) = (0, 0);
    walk(input, |w| {
        before += pairs(lo, w.lo + 1);
        lo = w.lo;
        within += pairs(last, w.hi);
        last = w.hi - 1;
        out[w.step] = (within - before) as f64;
    });
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
