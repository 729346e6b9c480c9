//! `deriv`, `predict_linear` and `double_exponential_smoothing`.

use m3rs_core::model::STALE_NAN;

use super::RangeInput;
use super::aggregate::{CompensatedSum, FiniteSum, Summation};
use super::window::{Fold, Window, fold_windows, map_windows};

/// Sums for a line of least squares; times count from `origin_ms`.
#[derive(Clone, Copy)]
struct Line<S> {
    origin_ms: i64,
    count: f64,
    x: S,
    y: S,
    xy: S,
    xx: S,
    first: f64,
    is_constant: bool,
}

impl<S: Summation> Line<S> {
    fn new(origin_ms: i64, first: f64) -> Self {
        let (x, y, xy, xx) = Default::default();
        Self { origin_ms, count: 0.0, x, y, xy, xx, first, is_constant: true }
    }

    /// Slope per second, and the value at the origin.
    fn solve(&self) -> (f64, f64) {
        if self.is_constant {
            let is_bound = self.first.is_infinite();
            return if is_bound { (f64::NAN, f64::NAN) } else { (0.0, self.first) };
        }
        let (x, y, n) = (self.x.total(), self.y.total(), self.count);
        let covariance = self.xy.total() - x * y / n;
        let variance = self.xx.total() - x * x / n;
        let slope = covariance / variance;
        (slope, y / n - slope * x / n)
    }
}

impl<S: Summation> Fold for Line<S> {
    #[inline]
    fn push(&mut self, t: i64, v: f64) {
        // The first sample is not compared with itself: a NaN there would differ.
        self.is_constant &= self.count == 0.0 || v == self.first;
        self.count += 1.0;
        let x = t.wrapping_sub(self.origin_ms) as f64 / 1e3;
        self.x.add(x);
        self.y.add(v);
        self.xy.add(x * v);
        self.xx.add(x * x);
    }
}

/// Slope and value at the origin for each window of at least two samples; `origin` is a time.
#[inline]
fn lines(
    input: &RangeInput<'_>,
    out: &mut [f64],
    origin: impl Fn(Window) -> i64,
    finish: impl Fn(f64, f64, Window) -> f64,
) {
    fold_windows(
        input,
        out,
        |w| Line::<FiniteSum>::new(origin(w), input.vs[w.lo]),
        |fast, w| {
            if w.len() < 2 {
                return STALE_NAN;
            }
            let (mut slope, mut intercept) = fast.solve();
            if !slope.is_finite() || !intercept.is_finite() {
                let mut line = Line::<CompensatedSum>::new(origin(w), input.vs[w.lo]);
                for at in w.lo..w.hi {
                    line.push(input.ts[at], input.vs[at]);
                }
                (slope, intercept) = line.solve();
            }
            finish(slope, intercept, w)
        },
    );
}

/// `deriv`: the slope of the line of least squares.
pub(super) fn deriv(input: &RangeInput<'_>, out: &mut [f64]) {
    // Times count from the first sample of the window, to keep them small.
    lines(input, out, |w| input.ts[w.lo], |slope, _, _| slope);
}

/// `predict_linear`: where the line of least squares is, some seconds from the evaluation time.
pub(super) fn predict_linear(input: &RangeInput<'_>, out: &mut [f64]) {
    let Some(ahead) = input.params.first() else { return };
    let origin = |w: Window| input.eval.time_ms(w.step);
    lines(input, out, origin, |slope, intercept, w| slope * ahead[w.step] + intercept);
}

/// `double_exponential_smoothing`: Holt's smoothing of level and trend.
///
/// Factors are between 0 and 1, both excluded; `check_params` answers for the query otherwise.
pub(super) fn double_exponential_smoothing(input: &RangeInput<'_>, out: &mut [f64]) {
    let &[level_factor, trend_factor, ..] = input.params else { return };
    map_windows(input, out, |_, vs, w| {
        let &[first, second, ..] = vs else { return STALE_NAN };
        let (sf, tf) = (level_factor[w.step], trend_factor[w.step]);
        let (mut previous, mut level, mut trend) = (0.0, first, second - first);
        for (i, v) in vs.iter().enumerate().skip(1) {
            let scaled = sf * v;
            if i > 1 {
                trend = tf * (level - previous) + (1.0 - tf) * trend;
            }
            let expected = (1.0 - sf) * (level + trend);
            (previous, level) = (level, scaled + expected);
        }
        level
    });
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use crate::step::StepGrid;

    fn at(name: &str, samples: &[(i64, f64)], params: &[f64]) -> Option<f64> {
        run(name, samples, StepGrid::instant(100_000), 100_000, params)[0]
    }

    #[test]
    fn a_straight_line_is_found() {
        let samples: Vec<_> = (1..=10).map(|i| (i * 10_000, 3.0 + 2.0 * i as f64)).collect();
        assert_eq!(at("deriv", &samples, &[]), Some(0.2));
        let predicted = at("predict_linear", &samples, &[50.0]).expect("ten samples");
        assert!((predicted - 33.0).abs() < 1e-12, "{predicted}");
    }

    #[test]
    fn constants_have_no_slope_and_infinities_no_line() {
        let flat = [(10_000, 7.0), (20_000, 7.0), (30_000, 7.0)];
        assert_eq!(at("deriv", &flat, &[]), Some(0.0));
        assert_eq!(at("predict_linear", &flat, &[1e9]), Some(7.0));
        let bound = [(10_000, f64::INFINITY), (20_000, f64::INFINITY)];
        assert!(at("deriv", &bound, &[]).expect("two samples").is_nan());
        assert_eq!(at("deriv", &flat[..1], &[]), None);
    }

    #[test]
    fn smoothing_follows_a_line() {
        let samples: Vec<_> = (1..=10).map(|i| (i * 10_000, i as f64)).collect();
        assert_eq!(at("double_exponential_smoothing", &samples, &[0.5, 0.5]), Some(10.0));
        assert_eq!(at("double_exponential_smoothing", &samples[..1], &[0.5, 0.5]), None);
    }
}
