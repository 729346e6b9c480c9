//! `quantile_over_time` and `mad_over_time`.
//!
//! Short windows are copied and partially ordered by selection. Long windows that move by few
//! samples are kept sorted: a step then removes and inserts what moved.

use super::RangeInput;
use super::aggregate::{quantile, quantile_of_sorted};
use super::window::{Window, map_windows, walk};

/// Windows of fewer samples, on average, are selected from anew at each step.
const SORTED_FROM: usize = 100;

/// A sorted window pays off while a step moves at most this share of it…
const MOVED_SHARE_MAX: usize = 8;

/// …and at most this many samples on average, as each moves what stands behind it.
const MOVED_MAX: usize = 64;

/// `quantile_over_time`
pub(super) fn quantile_over_time(input: &RangeInput<'_>, out: &mut [f64]) {
    let Some(q) = input.params.first() else { return };
    let (mut steps, mut samples, mut moved, mut hi) = (0, 0, 0, 0);
    walk(input, |w| {
        moved += if steps == 0 { 0 } else { w.hi - hi };
        steps += 1;
        samples += w.len();
        hi = w.hi;
    });
    let is_long = samples >= steps * SORTED_FROM;
    if is_long && moved * MOVED_SHARE_MAX <= samples && moved <= steps * MOVED_MAX {
        let mut sorted = SortedWindow::default();
        walk(input, |w| out[w.step] = sorted.move_to(input.vs, w).quantile(q[w.step]));
    } else {
        let mut scratch = Vec::new();
        map_windows(input, out, |_, vs, w| {
            scratch.clear();
            scratch.extend_from_slice(vs);
            quantile(q[w.step], &mut scratch)
        });
    }
}

/// `mad_over_time`: the median of the distances to the median.
pub(super) fn mad_over_time(input: &RangeInput<'_>, out: &mut [f64]) {
    let mut scratch = Vec::new();
    map_windows(input, out, |_, vs, _| {
        if vs.iter().any(|v| v.is_nan()) {
            return f64::NAN;
        }
        scratch.clear();
        scratch.extend_from_slice(vs);
        let median = quantile(0.5, &mut scratch);
        scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
        quantile(0.5, &mut scratch)
    });
}

/// The values of a window in order, as integer keys: these compare fast, and any NaN is smallest.
#[derive(Default)]
struct SortedWindow {
    keys: Vec<u64>,
    lo: usize,
    hi: usize,
}

impl SortedWindow {
    /// Drops the samples that `w` no longer holds and takes those that it newly holds.
    fn move_to(&mut self, vs: &[f64], w: Window) -> &Self {
        if w.lo >= self.hi {
            self.keys.clear();
            (self.lo, self.hi) = (w.lo, w.lo);
        }
        for v in &vs[self.lo..w.lo] {
            let key = sort_key(*v);
            let at = self.keys.partition_point(|k| *k < key);
            self.keys.remove(at);
        }
        if self.keys.is_empty() {
            self.keys.extend(vs[self.hi..w.hi].iter().map(|v| sort_key(*v)));
            self.keys.sort_unstable();
        } else {
            for v in &vs[self.hi..w.hi] {
                let key = sort_key(*v);
                let at = self.keys.partition_point(|k| *k < key);
                self.keys.insert(at, key);
            }
        }
        (self.lo, self.hi) = (w.lo, w.hi);
        self
    }

    fn quantile(&self, q: f64) -> f64 {
        quantile_of_sorted(q, self.keys.len(), |i| value_of_key(self.keys[i]))
    }
}

/// Bits whose unsigned order is the order of values, NaN first.
fn sort_key(v: f64) -> u64 {
    if v.is_nan() {
        return 0;
    }
    let bits = v.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The inverse of [`sort_key`].
fn value_of_key(key: u64) -> f64 {
    match key {
        0 => f64::NAN,
        k if k >> 63 == 1 => f64::from_bits(k & !(1 << 63)),
        k => f64::from_bits(!k),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;
    use crate::step::StepGrid;

    #[test]
    fn keys_keep_order_and_value() {
        let values = [f64::NEG_INFINITY, -3.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY];
        for pair in values.windows(2) {
            assert!(sort_key(pair[0]) < sort_key(pair[1]));
        }
        for v in values {
            assert_eq!(value_of_key(sort_key(v)).to_bits(), v.to_bits());
        }
        assert!(sort_key(f64::NAN) < sort_key(f64::NEG_INFINITY));
        assert!(value_of_key(sort_key(f64::NAN)).is_nan());
    }

    #[test]
    fn sorted_windows_equal_selection() {
        let samples: Vec<(i64, f64)> = (0..2000)
            .map(|i| (i, if i % 97 == 0 { f64::NAN } else { ((i * 7919) % 1009) as f64 }))
            .collect();
        let ends = StepGrid { start_ms: 50, step_ms: 5, count: 380 };
        for q in [0.0, 0.1, 0.5, 0.99, 1.0] {
            let got = run("quantile_over_time", &samples, ends, 300, &[q]);
            for (i, end) in ends.times().enumerate() {
                let mut window: Vec<f64> =
                    samples.iter().filter(|s| s.0 > end - 300 && s.0 <= end).map(|s| s.1).collect();
                let expected = quantile(q, &mut window);
                let got = got[i].expect("samples");
                assert!(got == expected || (got.is_nan() && expected.is_nan()), "{q} {end}");
            }
        }
    }

    #[test]
    fn deviation_from_the_median() {
        let samples = [(0, 4.0), (1, 6.0), (2, 2.0), (3, 1.0), (4, 999.0), (5, 1.0), (6, 2.0)];
        let out = run("mad_over_time", &samples, StepGrid::instant(6), 10, &[]);
        assert_eq!(out, [Some(1.0)]);
    }
}
