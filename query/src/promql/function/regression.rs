//! `deriv`, `predict_linear` and `double_exponential_smoothing`.

use fearless_simd::{Level, Simd, SimdBase, SimdFrom, dispatch, f64x4};
use m3rs_core::model::STALE_NAN;

use super::RangeInput;
use super::aggregate::{CompensatedSum, FiniteSum, Summation};
use super::lanes::{self, Groups, LANES, LaneSums, WholeSums};
use super::window::{Fold, Piece, Window, fold_window, map_windows, walk_pieces};

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
            return flat_line(self.first);
        }
        let (x, xx) = (self.x.total(), self.xx.total());
        least_squares(self.count, (x, xx), (self.y.total(), self.xy.total()))
    }
}

impl<S: Summation> Fold for Line<S> {
    #[inline]
    fn push(&mut self, t: i64, v: f64) {
        // The first sample is not compared with itself: a NaN there would differ.
        self.is_constant &= self.count == 0.0 || v == self.first;
        self.count += 1.0;
        let x = seconds_since(t, self.origin_ms);
        self.x.add(x);
        self.y.add(v);
        self.xy.add(x * v);
        self.xx.add(x * x);
    }
}

/// Slope and value at the origin for each window of at least two samples; `origin` is a time that
/// is always as far from the end of a window.
#[inline]
fn lines(
    input: &RangeInput<'_>,
    out: &mut [f64],
    origin: impl Fn(Window) -> i64,
    finish: impl Fn(f64, f64, Window) -> f64,
) {
    let mut flats = Flats::default();
    let mut solved = |line: (f64, f64), w: Window| {
        let (mut slope, mut intercept) = flats.flat(input.vs, w).unwrap_or(line);
        if w.len() < 2 {
            return;
        }
        if !slope.is_finite() || !intercept.is_finite() {
            let line = Line::<CompensatedSum>::new(origin(w), input.vs[w.lo]);
            (slope, intercept) = fold_window(input, w, line).solve();
        }
        out[w.step] = finish(slope, intercept, w);
    };
    let level = Level::new();
    let kernel = Kernel {
        level,
        ts: input.ts,
        offsets: Offsets::new(input.ts),
        vs: input.vs,
        whole: WholeSums::of(input),
    };
    let lines_of = |group: [Window; LANES]| kernel.lines(group, group.map(&origin));
    let mut groups = Groups::default();
    walk_pieces(input, |piece| match piece {
        Piece::One(w) => {
            if let Some(group) = groups.push(w) {
                lines_of(group).into_iter().zip(group).for_each(|(line, w)| solved(line, w));
            }
        }
        Piece::Even(windows) => {
            if let Some((group, count)) = groups.rest() {
                let found = lines_of(group).into_iter().zip(group);
                found.take(count).for_each(|(line, w)| solved(line, w));
            }
            let first = windows.window(0);
            let times = Times::new(&input.ts[first.lo..first.hi], origin(first));
            let mut groups = Groups::default();
            let solve = |group| dispatch!(level, simd => times.solve(simd, input.vs, group));
            for w in windows.iter() {
                if let Some(group) = groups.push(w) {
                    solve(group).into_iter().zip(group).for_each(|(line, w)| solved(line, w));
                }
            }
            if let Some((group, count)) = groups.rest() {
                let found = solve(group).into_iter().zip(group);
                found.take(count).for_each(|(line, w)| solved(line, w));
            }
        }
    });
    if let Some((group, count)) = groups.rest() {
        let found = lines_of(group).into_iter().zip(group);
        found.take(count).for_each(|(line, w)| solved(line, w));
    }
}

/// Times as floats, counted from the first, so that vectors compute with them.
struct Offsets {
    first_ms: i64,
    /// NaN where a time is too far from the first to be exact.
    ms: Vec<f64>,
}

impl Offsets {
    fn new(ts: &[i64]) -> Self {
        let mut offsets = Self { first_ms: ts.first().copied().unwrap_or(0), ms: Vec::new() };
        offsets.ms = ts.iter().map(|t| offsets.of(*t)).collect();
        offsets
    }

    /// A time; NaN if it is too far from the first to be exact.
    #[inline]
    fn of(&self, t_ms: i64) -> f64 {
        const EXACT: u64 = 1 << 52;
        let offset = t_ms.wrapping_sub(self.first_ms);
        if offset.unsigned_abs() < EXACT { offset as f64 } else { f64::NAN }
    }
}

/// Windows that differ in times and values, each with its own chains of additions.
struct Kernel<'a> {
    level: Level,
    ts: &'a [i64],
    offsets: Offsets,
    vs: &'a [f64],
    whole: Option<WholeSums>,
}

impl Kernel<'_> {
    /// The lines of windows, whose times count from `origins_ms`; one that is not finite is to be
    /// found by other means.
    fn lines(&self, group: [Window; LANES], origins_ms: [i64; LANES]) -> [(f64, f64); LANES] {
        let mut ends = group.iter().zip(&origins_ms);
        let is_before = ends.all(|(w, origin)| w.len() > 0 && self.ts[w.hi - 1] <= *origin);
        let of = (group, origins_ms.map(|origin| self.offsets.of(origin)));
        dispatch!(self.level, simd => match (self.whole.is_some(), is_before) {
            (true, true) => self.side_by_side::<_, true, true>(simd, of),
            (true, false) => self.side_by_side::<_, true, false>(simd, of),
            (false, true) => self.side_by_side::<_, false, true>(simd, of),
            (false, false) => self.side_by_side::<_, false, false>(simd, of),
        })
    }

    /// `IS_WHOLE` if sums of values are in `whole`, `IS_BEFORE` if no sample is later than the
    /// origin of its window: then its distance from there is no larger than the sum of those before
    /// it.
    #[inline(always)]
    fn side_by_side<S: Simd, const IS_WHOLE: bool, const IS_BEFORE: bool>(
        &self,
        simd: S,
        (group, origins): ([Window; LANES], [f64; LANES]),
    ) -> [(f64, f64); LANES] {
        let ms = &*self.offsets.ms;
        let (times, count) = lanes::side_by_side(ms, &group);
        let (values, _) = lanes::side_by_side(self.vs, &group);
        let origin = f64x4::simd_from(simd, origins);
        let (mut x, mut xx) = (LaneSums::new(simd), LaneSums::new(simd));
        let (mut y, mut xy) = (LaneSums::new(simd), LaneSums::new(simd));
        for (at, v) in times.zip(values) {
            let at = lanes::seconds(simd, f64x4::simd_from(simd, at) - origin);
            let v = f64x4::simd_from(simd, v);
            if IS_BEFORE {
                x.add_smaller(at);
                xx.add_smaller(at * at);
            } else {
                x.add(at);
                xx.add(at * at);
            }
            if !IS_WHOLE {
                y.add(v);
            }
            xy.add(at * v);
        }
        let (x, xx, y, xy) = (x.each(), xx.each(), y.each(), xy.each());
        std::array::from_fn(|n| {
            let w = group[n];
            let (mut x, mut xx, mut y, mut xy) = (x[n], xx[n], y[n], xy[n]);
            let rest = w.lo + count..w.hi;
            for (at, v) in ms[rest.clone()].iter().zip(&self.vs[rest]) {
                let at = (at - origins[n]) / 1e3;
                x.add(at);
                y.add(*v);
                xy.add(at * v);
                xx.add(at * at);
            }
            if let Some(whole) = &self.whole {
                y = whole.of_window(w);
            }
            least_squares(w.len() as f64, (x.total(), xx.total()), (y.total(), xy.total()))
        })
    }
}

/// What the times of samples contribute to the lines of windows that differ in values alone.
struct Times {
    xs: Vec<f64>,
    x: FiniteSum,
    xx: FiniteSum,
}

impl Times {
    fn new(ts: &[i64], origin_ms: i64) -> Self {
        let xs: Vec<f64> = ts.iter().map(|t| seconds_since(*t, origin_ms)).collect();
        let (mut x, mut xx) = (FiniteSum::default(), FiniteSum::default());
        for at in &xs {
            x.add(*at);
            xx.add(at * at);
        }
        Self { xs, x, xx }
    }

    /// The lines of windows, each with its own chains of additions.
    #[inline(always)]
    fn solve<S: Simd>(&self, simd: S, vs: &[f64], group: [Window; LANES]) -> [(f64, f64); LANES] {
        let count = self.xs.len();
        let values = group.map(|w| &vs[w.lo..w.lo + count]);
        let (mut y, mut xy) = (LaneSums::new(simd), LaneSums::new(simd));
        for (i, x) in self.xs.iter().enumerate() {
            let v = f64x4::simd_from(simd, values.map(|values| values[i]));
            y.add(v);
            xy.add(f64x4::splat(simd, *x) * v);
        }
        let (x, xx, y, xy) = (self.x.total(), self.xx.total(), y.each(), xy.each());
        std::array::from_fn(|n| least_squares(count as f64, (x, xx), (y[n].total(), xy[n].total())))
    }
}

/// Finds windows of one value among windows that come in order.
#[derive(Default)]
struct Flats {
    /// Samples that were looked at.
    seen: usize,
    /// The last of them that differs from the one before.
    changed: usize,
}

impl Flats {
    /// The line of a window, if that holds but one value.
    #[inline]
    fn flat(&mut self, vs: &[f64], w: Window) -> Option<(f64, f64)> {
        for i in self.seen.max(w.lo + 1)..w.hi {
            if vs[i] != vs[i - 1] {
                self.changed = i;
            }
        }
        self.seen = w.hi;
        (self.changed <= w.lo).then(|| flat_line(vs[w.lo]))
    }
}

/// Slope and value at the origin where all values are `v`.
fn flat_line(v: f64) -> (f64, f64) {
    if v.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, v) }
}

/// Slope per second and value at the origin by the sums of `n` samples.
#[inline]
fn least_squares(n: f64, (x, xx): (f64, f64), (y, xy): (f64, f64)) -> (f64, f64) {
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

#[inline]
fn seconds_since(t_ms: i64, origin_ms: i64) -> f64 {
    t_ms.wrapping_sub(origin_ms) as f64 / 1e3
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

    /// Lines of windows that are known to be regular have the bits that they have one by one.
    #[test]
    fn regular_windows_equal_windows_alone() {
        let value = |i: i64| match i % 50 {
            7 if i > 200 => f64::INFINITY,
            9 if i > 300 => f64::NAN,
            20.. => 2.5,
            n => (n * n) as f64 * 0.37 - i as f64,
        };
        let samples: Vec<_> = (0..400).map(|i| (i * 15_000, value(i))).collect();
        for (step_ms, range_ms) in [(15_000, 45_000), (60_000, 200_000), (30_000, 15_000)] {
            let ends = StepGrid { start_ms: -40_000, step_ms, count: 450 };
            for name in ["deriv", "predict_linear"] {
                let all = run(name, &samples, ends, range_ms, &[60.0]);
                for (step, end) in ends.times().enumerate() {
                    let alone = run(name, &samples, StepGrid::instant(end), range_ms, &[60.0]);
                    let bits = |v: Option<f64>| v.map(|v| if v.is_nan() { 0 } else { v.to_bits() });
                    assert_eq!(bits(all[step]), bits(alone[0]), "{name} {step_ms} {end}");
                }
            }
        }
    }

    /// Series of whole numbers, whose sums need no additions, have the lines that the same series
    /// have beside one number that is none.
    #[test]
    fn whole_numbers_have_the_lines_of_others() {
        let value = |i: i64| ((i * 7919) % 1000 * 4096) as f64;
        let mut samples: Vec<_> = (0..300).map(|i| (i * 15_000 + i % 7, value(i))).collect();
        let ends = StepGrid { start_ms: 0, step_ms: 60_000, count: 70 };
        let all = ["deriv", "predict_linear", "sum_over_time", "avg_over_time"];
        let of =
            |samples: &[(i64, f64)]| all.map(|name| run(name, samples, ends, 600_000, &[60.0]));
        let whole = of(&samples);
        samples.push((100_000_000, 0.5));
        assert_eq!(whole, of(&samples));
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
