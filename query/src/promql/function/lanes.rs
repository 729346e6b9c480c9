//! Compensated sums of several windows side by side, on the vectors that the machine has.
//!
//! A sum is a chain in which each addition waits for the one before. Four of them in the lanes of a
//! vector cost as much as one, and each has the additions that it has alone, in the same order: no
//! bit of a result depends on the machine.

use fearless_simd::{Simd, SimdBase, SimdFrom, f64x4};

use super::aggregate::{FiniteSum, Summation};
use super::window::Window;

/// Windows side by side.
pub(super) const LANES: usize = 4;

/// A [`FiniteSum`] in each lane.
#[derive(Clone, Copy)]
pub(super) struct LaneSums<S: Simd> {
    sum: f64x4<S>,
    lost: f64x4<S>,
}

impl<S: Simd> LaneSums<S> {
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        let zero = f64x4::splat(simd, 0.0);
        Self { sum: zero, lost: zero }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, v: f64x4<S>) {
        let total = self.sum + v;
        let added = total - self.sum;
        self.lost += (self.sum - (total - added)) + (v - added);
        self.sum = total;
    }

    #[inline(always)]
    pub(super) fn each(&self) -> [FiniteSum; LANES] {
        let (sum, lost) = (self.sum.as_slice(), self.lost.as_slice());
        std::array::from_fn(|n| FiniteSum::of(sum[n], lost[n]))
    }
}

/// The samples that all windows of a group have, by window, and how many these are.
#[inline(always)]
pub(super) fn shared<'a, T>(of: &'a [T], group: &[Window; LANES]) -> ([&'a [T]; LANES], usize) {
    let count = group.iter().map(Window::len).min().unwrap_or(0);
    (group.map(|w| &of[w.lo..w.lo + count]), count)
}

/// The sum of each window.
#[inline(always)]
pub(super) fn sums<S: Simd>(simd: S, all: &[f64], group: [Window; LANES]) -> [FiniteSum; LANES] {
    let ([a, b, c, d], count) = shared(all, &group);
    let mut sums = LaneSums::new(simd);
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        sums.add(f64x4::simd_from(simd, [*a, *b, *c, *d]));
    }
    let mut each = sums.each();
    for (sum, w) in each.iter_mut().zip(group) {
        all[w.lo + count..w.hi].iter().for_each(|v| sum.add(*v));
    }
    each
}

/// Collects windows to groups of [`LANES`].
#[derive(Default)]
pub(super) struct Groups {
    windows: [Window; LANES],
    filled: usize,
}

impl Groups {
    /// Takes a window; gives the group that it fills.
    #[inline]
    pub(super) fn push(&mut self, w: Window) -> Option<[Window; LANES]> {
        self.windows[self.filled] = w;
        self.filled = (self.filled + 1) % LANES;
        (self.filled == 0).then_some(self.windows)
    }

    /// The windows that fill no group, and how many they are; the others of the array are repeated.
    #[inline]
    pub(super) fn rest(&mut self) -> Option<([Window; LANES], usize)> {
        let filled = std::mem::take(&mut self.filled);
        let last = filled.checked_sub(1)?;
        Some((std::array::from_fn(|n| self.windows[n.min(last)]), filled))
    }
}

/// Sums of whole numbers that stay exact: those of any window at the price of two of them.
pub(super) struct WholeSums {
    /// The sum of all values before each, and that of all.
    before: Vec<f64>,
}

impl WholeSums {
    /// `None` if a value is no whole number, or if a sum could need rounding. Most series that are
    /// not of whole numbers show it by their first value.
    pub(super) fn of(vs: &[f64]) -> Option<Self> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let mut before = Vec::new();
        let (mut sum, mut size) = (0.0, 0.0);
        for v in vs {
            size += v.abs();
            // A number beyond the exact ones fails here, and so does NaN.
            if (*v as i64) as f64 != *v || size >= EXACT {
                return None;
            }
            if before.is_empty() {
                before.reserve_exact(vs.len() + 1);
                before.push(0.0);
            }
            sum += v;
            before.push(sum);
        }
        Some(Self { before })
    }

    /// The sum of a window, as compensated additions give it.
    #[inline]
    pub(super) fn of_window(&self, w: Window) -> FiniteSum {
        FiniteSum::of(self.before[w.hi] - self.before[w.lo], 0.0)
    }
}
