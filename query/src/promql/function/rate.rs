//! `rate`, `increase`, `delta`, `irate` and `idelta`.
//!
//! The first three extrapolate from the first and last sample of a window to its bounds. Counter
//! resets are found once per series; a window then adds the few that fall into it, in order.
//! Budget: 3.5 ns per sample at any window length, for series that seldom reset.

use m3rs_core::model::STALE_NAN;

use super::start;
use super::window::{Piece, Window, map_windows, walk_pieces};
use super::{RangeInput, seconds_of_ms};
use crate::step::StepGrid;

/// How far, in average sample distances, a bound may be away from the nearest sample for the
/// series to count as reaching to it.
const REACH: f64 = 1.1;

/// `rate`: increase per second.
pub(super) fn rate(input: &RangeInput<'_>, out: &mut [f64]) {
    counter(input, out, seconds_of_ms(input.range_ms));
}

/// `increase`: how much a counter rose.
pub(super) fn increase(input: &RangeInput<'_>, out: &mut [f64]) {
    counter(input, out, 1.0);
}

/// `delta`: how much a gauge changed.
pub(super) fn delta(input: &RangeInput<'_>, out: &mut [f64]) {
    let vs = input.vs;
    extrapolate(input, out, 1.0, |extent, w| (vs[w.hi - 1] - vs[w.lo]) * extent.whole);
}

/// A counter's rise, divided by `per`.
fn counter(input: &RangeInput<'_>, out: &mut [f64], per: f64) {
    let vs = input.vs;
    if input.starts.is_empty() {
        let mut resets = Resets { vs, at: falls(vs), next: 0 };
        let rise = |extent: &Extent, w: Window| extent.counted(resets.rise(w), vs[w.lo]);
        return extrapolate(input, out, per, rise);
    }
    let is_reset = |i: &usize| vs[*i] < vs[*i - 1] || start::is_reset_at(input, *i);
    let mut resets = Resets { vs, at: (1..vs.len()).filter(is_reset).collect(), next: 0 };
    map_windows(input, out, |_, _, w| {
        if let Some(extent) = Extent::since_start(input, w, per) {
            return (resets.rise(w) + vs[w.lo]) * extent.whole;
        }
        match Extent::of(input, w, per) {
            Some(extent) => extent.counted(resets.rise(w), vs[w.lo]),
            None => STALE_NAN,
        }
    });
}

/// The samples that are smaller than the one before them.
fn falls(vs: &[f64]) -> Vec<usize> {
    const CHUNK: usize = 64;
    let mut at = Vec::new();
    for start in (1..vs.len()).step_by(CHUNK) {
        let end = vs.len().min(start + CHUNK);
        let pairs = vs[start - 1..end - 1].iter().zip(&vs[start..end]);
        // Without a way out, many are compared at once; few chunks have any.
        if pairs.clone().fold(false, |any, (before, v)| any | (v < before)) {
            let falls = pairs.enumerate().filter(|(_, (before, v))| v < before);
            at.extend(falls.map(|(i, _)| start + i));
        }
    }
    at
}

/// The samples before which a counter was reset.
struct Resets<'a> {
    vs: &'a [f64],
    at: Vec<usize>,
    next: usize,
}

impl Resets<'_> {
    /// The rise from the first to the last sample of a window. Windows come in order.
    #[inline]
    fn rise(&mut self, w: Window) -> f64 {
        while self.next < self.at.len() && self.at[self.next] <= w.lo {
            self.next += 1;
        }
        let mut rise = self.vs[w.hi - 1] - self.vs[w.lo];
        for reset in self.at[self.next..].iter().take_while(|r| **r < w.hi) {
            rise += self.vs[*reset - 1];
        }
        rise
    }
}

/// Maps each window of at least two samples to its result, with how far it is extrapolated.
#[inline]
fn extrapolate(
    input: &RangeInput<'_>,
    out: &mut [f64],
    per: f64,
    mut result: impl FnMut(&Extent, Window) -> f64,
) {
    if let Some(memo) = input.memo
        && input.ends.count <= MEMO_STEPS_MAX
    {
        for (w, extent) in memo.borrow_mut().extents(input, per) {
            out[w.step] = result(extent, *w);
        }
        return;
    }
    visit_extents(input, per, |extent, w| out[w.step] = result(extent, w));
}

/// Visits each window of at least two samples with how far it is extrapolated: that is the same
/// for all windows of a regular series.
#[inline]
fn visit_extents(input: &RangeInput<'_>, per: f64, mut visit: impl FnMut(&Extent, Window)) {
    walk_pieces(input, |piece| match piece {
        Piece::One(w) => {
            if let Some(extent) = Extent::of(input, w, per) {
                visit(&extent, w);
            }
        }
        Piece::Even(windows) => {
            let Some(extent) = Extent::of(input, windows.window(0), per) else { return };
            windows.iter().for_each(|w| visit(&extent, w));
        }
    });
}

/// Windows of more steps than this are not kept: half a megabyte.
const MEMO_STEPS_MAX: usize = 8192;

/// The windows of the series before, and how far each is extrapolated. Series of one scrape have
/// the same times, and stand side by side more often than not.
#[derive(Debug, Default)]
pub struct Memo {
    ts: Vec<i64>,
    key: Option<(StepGrid, i64, u64)>,
    extents: Vec<(Window, Extent)>,
}

impl Memo {
    fn extents(&mut self, input: &RangeInput<'_>, per: f64) -> &[(Window, Extent)] {
        let key = Some((input.ends, input.range_ms, per.to_bits()));
        if self.key != key || self.ts != input.ts {
            self.extents.clear();
            visit_extents(input, per, |extent, w| self.extents.push((w, *extent)));
            self.ts.clear();
            self.ts.extend_from_slice(input.ts);
            self.key = key;
        }
        &self.extents
    }
}

/// Over how many seconds a window is sampled, and how far a series reaches beyond its samples.
#[derive(Clone, Copy, Debug)]
struct Extent {
    sampled: f64,
    to_start: f64,
    to_end: f64,
    per: f64,
    /// The factor up to both bounds.
    whole: f64,
}

impl Extent {
    /// `None` if the window has fewer than two samples.
    #[inline]
    fn of(input: &RangeInput<'_>, w: Window, per: f64) -> Option<Self> {
        let &[first_t, .., last_t] = &input.ts[w.lo..w.hi] else { return None };
        let (start, end) = input.bounds_ms(w.step);
        let sampled = (last_t - first_t) as f64 / 1000.0;
        let average = sampled / (w.len() - 1) as f64;
        let to_start = reach((first_t - start) as f64 / 1000.0, average);
        let to_end = reach((end - last_t) as f64 / 1000.0, average);
        Some(Self::new(sampled, (to_start, to_end), per))
    }

    /// From the time at which the counter began to count; `None` unless that is known and within
    /// the window.
    #[inline]
    fn since_start(input: &RangeInput<'_>, w: Window, per: f64) -> Option<Self> {
        let (first_t, last_t) = (input.ts[w.lo], input.ts[w.hi - 1]);
        let start_ms = *input.starts.get(w.lo)?;
        let (from, end) = input.bounds_ms(w.step);
        if start_ms == 0 || start_ms <= from || start_ms >= first_t {
            return None;
        }
        let average = match w.len() {
            1 => 0.0,
            len => (last_t - first_t) as f64 / 1000.0 / (len - 1) as f64,
        };
        let sampled = (last_t - start_ms) as f64 / 1000.0;
        let to_end = reach((end - last_t) as f64 / 1000.0, average);
        Some(Self::new(sampled, (0.0, to_end), per))
    }

    #[inline]
    fn new(sampled: f64, (to_start, to_end): (f64, f64), per: f64) -> Self {
        let mut extent = Self { sampled, to_start, to_end, per, whole: 0.0 };
        extent.whole = extent.factor(to_start);
        extent
    }

    /// By how much the change between the outer samples grows when it is extrapolated.
    #[inline]
    fn factor(&self, to_start: f64) -> f64 {
        (self.sampled + to_start + self.to_end) / self.sampled / self.per
    }

    /// What a counter counted that rose by `rise` from `first`.
    #[inline]
    fn counted(&self, rise: f64, first: f64) -> f64 {
        // A counter starts at zero: do not extrapolate to before the time it would have been. The
        // division is not needed where it rose by less than it had counted.
        let is_far = first >= rise && self.sampled >= self.to_start;
        if rise > 0.0 && first >= 0.0 && !is_far {
            let to_zero = self.sampled * (first / rise);
            if to_zero < self.to_start {
                return rise * self.factor(to_zero);
            }
        }
        rise * self.whole
    }
}

/// How far a series reaches towards a bound in its direction.
#[inline]
fn reach(to_bound: f64, average: f64) -> f64 {
    if to_bound >= average * REACH { average / 2.0 } else { to_bound }
}

/// `irate`: rise per second between the last two samples.
pub(super) fn irate(input: &RangeInput<'_>, out: &mut [f64]) {
    let has_starts = !input.starts.is_empty();
    map_windows(input, out, |ts, vs, w| {
        let (&[.., t0, t1], &[.., v0, v1]) = (ts, vs) else { return STALE_NAN };
        let is_reset = v1 < v0 || has_starts && start::is_reset_at(input, w.hi - 1);
        let rise = if is_reset { v1 } else { v1 - v0 };
        rise / ((t1 - t0) as f64 / 1000.0)
    });
}

/// `idelta`: change between the last two samples.
pub(super) fn idelta(input: &RangeInput<'_>, out: &mut [f64]) {
    map_windows(input, out, |_, vs, _| match vs {
        [.., v0, v1] => v1 - v0,
        _ => STALE_NAN,
    });
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::tests::run;
    use super::*;

    const MINUTE: i64 = 60_000;

    fn at(name: &str, samples: &[(i64, f64)], end: i64, range: i64) -> Option<f64> {
        run(name, samples, StepGrid::instant(end), range, &[])[0]
    }

    #[test]
    fn one_sample_has_no_rate() {
        for name in ["rate", "increase", "delta", "irate", "idelta"] {
            assert_eq!(at(name, &[(0, 1.0)], 0, MINUTE), None, "{name}");
        }
    }

    #[test]
    fn steady_counter_reaches_both_bounds() {
        let samples: Vec<_> = (0..11).map(|i| (i * MINUTE, 60.0 * i as f64)).collect();
        assert_eq!(at("increase", &samples, 10 * MINUTE, 5 * MINUTE), Some(300.0));
        assert_eq!(at("rate", &samples, 10 * MINUTE, 5 * MINUTE), Some(1.0));
        assert_eq!(at("delta", &samples, 10 * MINUTE, 5 * MINUTE), Some(300.0));
    }

    #[test]
    fn far_bounds_get_half_a_distance() {
        // Samples every 10 s from 100 s to 140 s in a window of 300 s that ends at 300 s.
        let samples: Vec<_> = (0..5).map(|i| (100_000 + i * 10_000, 1000.0 + i as f64)).collect();
        let increase = at("increase", &samples, 300_000, 300_000).expect("two samples");
        assert_eq!(increase, 4.0 * ((40.0 + 5.0 + 5.0) / 40.0));
    }

    #[test]
    fn counters_do_not_extrapolate_below_zero() {
        // The counter was at zero 5 s before the first sample; the bound is 10 s before it.
        let samples = [(10_000, 5.0), (20_000, 15.0), (30_000, 25.0)];
        let increase = at("increase", &samples, 30_000, 30_000).expect("two samples");
        assert_eq!(increase, 20.0 * ((20.0 + 5.0) / 20.0));
        let delta = at("delta", &samples, 30_000, 30_000).expect("two samples");
        assert_eq!(delta, 20.0 * ((20.0 + 10.0) / 20.0));
    }

    /// The definition, one window at a time, resets found by scanning it.
    fn scan(samples: &[(i64, f64)], end: i64, range: i64) -> Option<f64> {
        let start = end - range;
        let window: Vec<_> = samples.iter().filter(|s| s.0 > start && s.0 <= end).collect();
        let (first, last) = (window.first()?, window.last()?);
        if window.len() < 2 {
            return None;
        }
        let mut rise = last.1 - first.1;
        for pair in window.windows(2).filter(|pair| pair[1].1 < pair[0].1) {
            rise += pair[0].1;
        }
        let sampled = (last.0 - first.0) as f64 / 1000.0;
        let average = sampled / (window.len() - 1) as f64;
        let mut to_start = (first.0 - start) as f64 / 1000.0;
        let mut to_end = (end - last.0) as f64 / 1000.0;
        if to_start >= average * 1.1 {
            to_start = average / 2.0;
        }
        if rise > 0.0 && first.1 >= 0.0 {
            to_start = to_start.min(sampled * (first.1 / rise));
        }
        if to_end >= average * 1.1 {
            to_end = average / 2.0;
        }
        Some(rise * ((sampled + to_start + to_end) / sampled))
    }

    #[test]
    fn a_list_of_resets_equals_scanning_each_window() {
        let samples: Vec<(i64, f64)> = (0..500)
            .map(|i| (i * 10_000 + (i * i * 31) % 4000, ((i * 37) % 113) as f64 * 0.1))
            .collect();
        for (step_ms, range_ms) in [(10_000, 21_000), (35_000, 300_000), (60_000, 30_000)] {
            let ends = StepGrid { start_ms: -30_000, step_ms, count: 120 };
            let rows = run("increase", &samples, ends, range_ms, &[]);
            for (row, end) in rows.iter().zip(ends.times()) {
                let expected = scan(&samples, end, range_ms).map(f64::to_bits);
                assert_eq!(row.map(f64::to_bits), expected, "{end} {range_ms}");
            }
        }
    }

    /// Series of equal and of other times, one after the other, with what the one before left.
    #[test]
    fn a_memo_changes_nothing() {
        let memo = RefCell::new(Memo::default());
        let ts: [Vec<i64>; 2] =
            [31, 17].map(|m| (0..300).map(|i| i * 15_000 + i * i % m).collect());
        let vs: Vec<f64> = (0..300).map(|i| ((i * 37) % 113) as f64 * 0.1).collect();
        for (which, range_ms) in [(0, 60_000), (0, 60_000), (1, 60_000), (1, 90_000), (0, 90_000)] {
            let ends = StepGrid { start_ms: -30_000, step_ms: 60_000, count: 90 };
            let input = RangeInput::of(&ts[which], &vs, ends, range_ms);
            let remembering = RangeInput { memo: Some(&memo), ..input };
            for kernel in [rate, increase, delta] {
                let (mut a, mut b) = (vec![STALE_NAN; 90], vec![STALE_NAN; 90]);
                kernel(&input, &mut a);
                kernel(&remembering, &mut b);
                assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }

    #[test]
    fn instant_rates_use_the_last_two_samples() {
        let samples = [(0, 5.0), (10_000, 1.0), (20_000, 4.0)];
        assert_eq!(at("irate", &samples, 20_000, MINUTE), Some(0.3));
        assert_eq!(at("idelta", &samples, 20_000, MINUTE), Some(3.0));
        assert_eq!(at("irate", &samples, 10_000, MINUTE), Some(0.1));
        assert_eq!(at("idelta", &samples, 10_000, MINUTE), Some(-4.0));
    }
}
