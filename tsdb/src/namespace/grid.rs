//! Where blocks begin.

use m3rs_core::time::NS_PER_S;

/// Seconds from 0001-01-01 to 1970-01-01.
const YEAR_ONE_TO_1970_S: i128 = 62_135_596_800;

/// Starts of blocks of one size: multiples of the size counted from 0001-01-01T00:00Z.
///
/// PARITY(m3): as Go's `time.Truncate`. For a size that divides a day this is the same as
/// counting from 1970; blocks of seven days begin on Mondays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockGrid {
    size_ns: i64,
    /// Nanoseconds from the last block start before 1970 to 1970.
    phase_ns: i64,
}

impl BlockGrid {
    /// Blocks of `size_ns`, which is positive and at most half of what an `i64` holds.
    pub(crate) const fn new(size_ns: i64) -> Self {
        assert!(size_ns > 0 && size_ns <= i64::MAX / 2, "BUG: checked with the options");
        let phase = (YEAR_ONE_TO_1970_S * NS_PER_S as i128) % size_ns as i128;
        Self { size_ns, phase_ns: phase as i64 }
    }

    /// Length of a block in nanoseconds.
    pub(crate) const fn size_ns(self) -> i64 {
        self.size_ns
    }

    /// The start of the block that holds `t`.
    #[inline]
    pub(crate) const fn start_of(self, t: i64) -> i64 {
        let into = (t.rem_euclid(self.size_ns) + self.phase_ns) % self.size_ns;
        t.saturating_sub(into)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600 * NS_PER_S;

    #[test]
    fn blocks_that_do_not_divide_a_day_count_from_year_one() {
        // 2026-11-21T00:00:00Z, a Saturday.
        let t = 1_795_219_200 * NS_PER_S;
        let monday = 1_794_787_200 * NS_PER_S;
        assert_eq!(BlockGrid::new(7 * 24 * HOUR).start_of(t), monday);
        assert_eq!(BlockGrid::new(7 * 24 * HOUR).start_of(monday), monday);
        assert_eq!(BlockGrid::new(7 * 24 * HOUR).start_of(monday - 1), monday - 7 * 24 * HOUR);
        // Names of filesets that a running M3 wrote with blocks of 7 h.
        let (first, second) = (1_795_165_200 * NS_PER_S, 1_795_190_400 * NS_PER_S);
        let grid = BlockGrid::new(7 * HOUR);
        assert_eq!((grid.start_of(second), grid.start_of(second - 1)), (second, first));
        assert_eq!(grid.start_of(second + 7 * HOUR - 1), second);
    }

    /// Go's rule, by way of numbers that hold every time.
    fn go_truncate(t: i64, size: i64) -> i64 {
        let since_year_one = i128::from(t) + YEAR_ONE_TO_1970_S * i128::from(NS_PER_S);
        i64::try_from(i128::from(t) - since_year_one.rem_euclid(i128::from(size))).expect("small")
    }

    #[test]
    fn sizes_that_divide_a_day_count_from_1970_too() {
        for size in [1, 2, 3, 4, 6, 8, 12, 24, 48].map(|h| h * HOUR) {
            for t in [0, 1, size - 1, size, 1_700_000_000 * NS_PER_S] {
                assert_eq!(BlockGrid::new(size).start_of(t), t - t.rem_euclid(size));
            }
        }
    }

    proptest! {
        #[test]
        fn starts_are_those_of_go(t in 0..i64::MAX / 2, size in 1..i64::MAX / 4) {
            let grid = BlockGrid::new(size);
            let start = grid.start_of(t);
            prop_assert_eq!(start, go_truncate(t, size));
            prop_assert_eq!(grid.start_of(start), start);
            prop_assert!(start <= t && t - start < size);
        }
    }
}
