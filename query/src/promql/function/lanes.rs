//! Compensated sums of several windows side by side, on the vectors that the machine has.
//!
//! A sum is a chain in which each addition waits for the one before. Four of them in the lanes of
//! vectors cost as much as one, and each has the additions that it has alone, in the same order: no
//! bit of a result depends on the machine.

use fearless_simd::{Level, Simd, SimdBase, SimdFloat, SimdFrom, f64x4};

use super::RangeInput;
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

    /// As [`Self::add`], for values that are no larger than the sum, signs aside, or the first
    /// (Dekker, "A floating-point technique for extending the available precision", 1971).
    #[inline(always)]
    pub(super) fn add_smaller(&mut self, v: f64x4<S>) {
        let total = self.sum + v;
        self.lost += v - (total - self.sum);
        self.sum = total;
    }

    #[inline(always)]
    pub(super) fn each(self) -> [FiniteSum; LANES] {
        let (sum, lost): ([f64; LANES], [f64; LANES]) = (self.sum.into(), self.lost.into());
        std::array::from_fn(|n| FiniteSum::of(sum[n], lost[n]))
    }
}

/// Milliseconds as seconds, rounded as a division rounds them; a division costs as much as all else
/// that a sample takes. Where products and sums are fused, a quotient from the inverse of 1000 and
/// one correction of it by its exact remainder have all the bits (Markstein, "Computation of
/// elementary functions on the IBM RISC System/6000 processor", 1990, theorem 8).
#[inline(always)]
pub(super) fn seconds<S: Simd>(simd: S, ms: f64x4<S>) -> f64x4<S> {
    let second = f64x4::splat(simd, 1e3);
    if !is_fused(simd.level()) {
        return ms / second;
    }
    let inverse = f64x4::splat(simd, 1e-3);
    let quotient = ms * inverse;
    let remainder = (-quotient).mul_add(second, ms);
    remainder.mul_add(inverse, quotient)
}

/// Whether `mul_add` rounds once.
#[inline(always)]
fn is_fused(level: Level) -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(level, Level::Avx2(_) | Level::Avx512(_));
    #[cfg(target_arch = "aarch64")]
    return matches!(level, Level::Neon(_));
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// The samples of all windows of a group, one of each at a time, and how many these are: as many as
/// the shortest window has.
#[inline(always)]
pub(super) fn side_by_side<'a>(
    of: &'a [f64],
    group: &[Window; LANES],
) -> (impl Iterator<Item = [f64; LANES]> + 'a, usize) {
    let count = group.iter().map(Window::len).min().unwrap_or(0);
    // Iterators that are known to be as long as each other cost no checks.
    let [a, b, c, d] = group.map(|w| of[w.lo..w.lo + count].iter());
    (a.zip(b).zip(c.zip(d)).map(|((a, b), (c, d))| [*a, *b, *c, *d]), count)
}

/// The sum of each window.
#[inline(always)]
pub(super) fn sums<S: Simd>(simd: S, all: &[f64], group: [Window; LANES]) -> [FiniteSum; LANES] {
    let (values, count) = side_by_side(all, &group);
    let mut sums = LaneSums::new(simd);
    for v in values {
        sums.add(f64x4::simd_from(simd, v));
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

/// In how many windows a value must be for its sum with all before it to pay for itself.
const WINDOWS_PER_VALUE_MIN: i64 = 4;

/// Sums of whole numbers that stay exact: those of any window at the price of two of them.
pub(super) struct WholeSums {
    /// The sum of all values before each, and that of all.
    before: Vec<f64>,
}

impl WholeSums {
    /// `None` if a value is no whole number, if a sum could need rounding, or if windows overlap
    /// too little to pay for it. Most series that are not of whole numbers show it by their first
    /// value.
    pub(super) fn of(input: &RangeInput<'_>) -> Option<Self> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let windows_per_value = input.range_ms.checked_div(input.ends.step_ms).unwrap_or(0);
        if windows_per_value < WINDOWS_PER_VALUE_MIN {
            return None;
        }
        let vs = input.vs;
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

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;
    use proptest::prelude::*;

    use super::*;

    fn seconds_of(ms: [f64; LANES]) -> Vec<f64> {
        dispatch!(Level::new(), simd => {
            seconds(simd, f64x4::simd_from(simd, ms)).as_slice().to_vec()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn seconds_have_the_bits_of_a_division(
            near in prop::array::uniform2(-100_000_000_i64..100_000_000),
            far in prop::array::uniform2(-(1_i64 << 53)..1 << 53),
        ) {
            let ms: [f64; LANES] = std::array::from_fn(|n| match n {
                0..2 => near[n] as f64,
                _ => far[n - 2] as f64,
            });
            let divided = ms.map(|ms| ms / 1e3);
            let bits = |all: &[f64]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&seconds_of(ms)), bits(&divided));
        }
    }

    #[test]
    fn no_time_gives_no_seconds() {
        assert!(seconds_of([f64::NAN; LANES]).iter().all(|s| s.is_nan()));
    }
}
