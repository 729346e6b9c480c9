//! `quantile_over_time` and `mad_over_time`.
//!
//! Short windows are copied and partially ordered by selection. Where long windows move by few
//! samples, all samples are ranked once: a window is then a set of ranks, of which a step removes
//! and adds what moved.

use super::RangeInput;
use super::aggregate::{quantile, quantile_of_sorted};
use super::window::{Window, map_windows, walk};

/// Windows of fewer samples, on average, are selected from anew at each step.
const RANKED_FROM: usize = 32;

/// Ranks pay off while a step moves at most this share of a window.
const MOVED_SHARE_MAX: usize = 8;

/// `quantile_over_time`
pub(super) fn quantile_over_time(input: &RangeInput<'_>, out: &mut [f64]) {
    let Some(q) = input.params.first() else { return };
    let (mut steps, mut samples, mut moved, mut first, mut hi) = (0, 0, 0, 0, 0);
    walk(input, |w| {
        if steps == 0 {
            (first, hi) = (w.lo, w.hi);
        }
        moved += w.hi - hi;
        steps += 1;
        samples += w.len();
        hi = w.hi;
    });
    let is_long = samples >= steps * RANKED_FROM;
    if is_long && steps > 1 && moved * MOVED_SHARE_MAX <= samples {
        let mut ranked = RankedWindow::new(&input.vs[first..], first);
        walk(input, |w| out[w.step] = ranked.move_to(w).quantile(q[w.step]));
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

/// The values of a window as a set of ranks among all samples.
struct RankedWindow {
    /// The sample that rank 0 to n of samples counts from.
    first: usize,
    /// By sample.
    ranks: Vec<u32>,
    /// By rank, as integer keys: these compare fast, and any NaN is smallest.
    keys: Vec<u64>,
    /// A bit for each rank, and how many are set in each word.
    words: Vec<u64>,
    counts: Vec<u8>,
    /// A word, and how many bits are set before it. Windows that overlap have quantiles that are
    /// near each other.
    at: usize,
    before: usize,
    lo: usize,
    hi: usize,
}

impl RankedWindow {
    /// An empty window over samples of which the first is number `first`.
    fn new(vs: &[f64], first: usize) -> Self {
        // Key and number in one integer, which compare without a branch.
        let mut sorted: Vec<u128> =
            vs.iter().zip(0..).map(|(v, index)| u128::from(sort_key(*v)) << 32 | index).collect();
        sorted.sort_unstable();
        let mut ranks = vec![0; vs.len()];
        for (one, rank) in sorted.iter().zip(0..) {
            ranks[*one as u32 as usize] = rank;
        }
        let len = vs.len().div_ceil(64);
        Self {
            first,
            ranks,
            keys: sorted.into_iter().map(|one| (one >> 32) as u64).collect(),
            words: vec![0; len],
            counts: vec![0; len],
            at: 0,
            before: 0,
            lo: first,
            hi: first,
        }
    }

    /// Drops the samples that `w` no longer holds and takes those that it newly holds. Windows
    /// come in order.
    fn move_to(&mut self, w: Window) -> &mut Self {
        for index in self.lo..w.lo.min(self.hi) {
            let (word, bit) = self.place(index);
            self.words[word] ^= bit;
            self.counts[word] -= 1;
            self.before -= usize::from(word < self.at);
        }
        for index in self.hi.max(w.lo)..w.hi {
            let (word, bit) = self.place(index);
            self.words[word] ^= bit;
            self.counts[word] += 1;
            self.before += usize::from(word < self.at);
        }
        (self.lo, self.hi) = (w.lo, w.hi);
        self
    }

    /// The word and the bit of a sample.
    #[inline]
    fn place(&self, index: usize) -> (usize, u64) {
        let rank = self.ranks[index - self.first] as usize;
        (rank / 64, 1 << (rank % 64))
    }

    fn quantile(&mut self, q: f64) -> f64 {
        quantile_of_sorted(q, self.hi - self.lo, |n| value_of_key(self.key(n)))
    }

    /// The key that `n` others of the window are before.
    fn key(&mut self, n: usize) -> u64 {
        while self.before > n {
            self.at -= 1;
            self.before -= usize::from(self.counts[self.at]);
        }
        while self.before + usize::from(self.counts[self.at]) <= n {
            self.before += usize::from(self.counts[self.at]);
            self.at += 1;
        }
        let mut word = self.words[self.at];
        for _ in self.before..n {
            word &= word - 1;
        }
        self.keys[self.at * 64 + word.trailing_zeros() as usize]
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
    fn ranked_windows_equal_selection() {
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
