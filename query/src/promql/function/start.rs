//! Start timestamps: when the counter that a sample is of began to count.
//!
//! A start timestamp of 0 says nothing.

use super::RangeInput;
use super::window::walk;

/// Whether the counter began anew between a sample and the one before it.
///
/// PARITY(prometheus): a start at the time of the sample itself is unknown. One at the time of the
/// sample before is a reset if that sample knows its own start: the samples are deltas then.
#[inline]
pub(super) fn is_reset((start_before, t_before): (i64, i64), (start, t): (i64, i64)) -> bool {
    if start == 0 || start >= t || start < t_before {
        return false;
    }
    start > t_before || (start_before != 0 && start_before < t_before)
}

/// Whether a start lies before the sample before, which counts from another start.
pub(super) fn overlaps((start_before, t_before): (i64, i64), start: i64) -> bool {
    start != 0 && start < t_before && start != start_before
}

/// Whether the counter began anew between the samples `index - 1` and `index`.
#[inline]
pub(super) fn is_reset_at(input: &RangeInput<'_>, index: usize) -> bool {
    let sample = |i: usize| (input.starts[i], input.ts[i]);
    is_reset(sample(index - 1), sample(index))
}

/// How many windows hold two neighbours of which the later one starts too early.
#[must_use]
pub fn overlap_count(input: &RangeInput<'_>) -> u64 {
    let is_overlap = |&i: &usize| overlaps((input.starts[i - 1], input.ts[i - 1]), input.starts[i]);
    let found: Vec<usize> = (1..input.starts.len()).filter(is_overlap).collect();
    if found.is_empty() {
        return 0;
    }
    let mut count = 0;
    walk(input, |w| {
        let at = found.partition_point(|i| *i <= w.lo);
        count += u64::from(found.get(at).is_some_and(|i| *i < w.hi));
    });
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_after_the_sample_before_is_a_reset() {
        assert!(is_reset((0, 100), (150, 200)));
        assert!(!is_reset((0, 100), (0, 200)), "nothing is known");
        assert!(!is_reset((0, 100), (200, 200)), "unknown by OTel's word");
        assert!(!is_reset((0, 100), (201, 200)), "later than its sample");
        assert!(!is_reset((50, 100), (50, 200)), "the same start");
        assert!(is_reset((50, 100), (100, 200)), "deltas");
        assert!(!is_reset((0, 100), (100, 200)), "cumulative from an unknown start");
        assert!(!is_reset((100, 100), (100, 200)));
        assert!(!is_reset((101, 100), (100, 200)), "the start before is wrong");
    }

    #[test]
    fn starts_that_overlap_are_told_from_shared_ones() {
        assert!(overlaps((40, 100), 50));
        assert!(!overlaps((50, 100), 50));
        assert!(!overlaps((40, 100), 100));
        assert!(!overlaps((40, 100), 0));
    }
}
