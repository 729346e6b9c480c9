//! Which sealed segments to merge.
//!
//! Segments are merged with their neighbours only, so ids stay in order. Sizes fall from old to
//! new like a number's digits: a segment is taken into a merge of all newer ones once it is no
//! larger than twice their sum. So each series is written about log2(series / sealed at a time)
//! times, and about as many segments remain; a limit bounds their number whatever their sizes.

use std::ops::Range;

/// How much larger than all newer ones together a segment may be to be merged with them.
const GROWTH_MAX: u64 = 2;

/// The segments to merge next, two or more, of no more than `series_max` together; `None` if
/// nothing needs to be done.
pub(crate) fn plan(sizes: &[u64], segments_max: usize, series_max: u64) -> Option<Range<usize>> {
    let mut range = wanted(sizes, segments_max)?;
    while sizes[range.clone()].iter().sum::<u64>() > series_max {
        range.start += 1;
    }
    (range.len() >= 2).then_some(range)
}

/// As [`plan`], whatever the sum.
fn wanted(sizes: &[u64], segments_max: usize) -> Option<Range<usize>> {
    let mut newer = *sizes.last()?;
    let mut start = sizes.len() - 1;
    while start > 0 && sizes[start - 1] <= newer.saturating_mul(GROWTH_MAX) {
        start -= 1;
        newer = newer.saturating_add(sizes[start]);
    }
    if sizes.len() - start >= 2 {
        return Some(start..sizes.len());
    }
    if sizes.len() <= segments_max.max(1) {
        return None;
    }
    let width = sizes.len() - segments_max.max(1) + 1;
    let cost = |start: &usize| sizes[*start..start + width].iter().sum::<u64>();
    let start = (0..=sizes.len() - width).min_by_key(cost)?;
    Some(start..start + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_like_size_are_merged() {
        assert_eq!(plan(&[], 8, u64::MAX), None);
        assert_eq!(plan(&[5], 8, u64::MAX), None);
        assert_eq!(plan(&[100, 5], 8, u64::MAX), None);
        assert_eq!(plan(&[10, 5], 8, u64::MAX), Some(0..2));
        assert_eq!(plan(&[100, 10, 4, 1], 8, u64::MAX), None);
        assert_eq!(plan(&[100, 20, 4, 2], 8, u64::MAX), Some(2..4));
        // A merge may make its older neighbour due too: 10 is no more than twice 4 + 2.
        assert_eq!(plan(&[100, 10, 4, 2], 8, u64::MAX), Some(1..4));
        assert_eq!(plan(&[100, 10, 4, 2, 2], 8, u64::MAX), Some(1..5));
    }

    #[test]
    fn the_number_of_segments_is_bounded() {
        let sizes: Vec<u64> = (0..12).rev().map(|i| 4u64.pow(i)).collect();
        assert_eq!(plan(&sizes, 12, u64::MAX), None);
        assert_eq!(plan(&sizes, 8, u64::MAX), Some(7..12));
    }

    #[test]
    fn steady_seals_cost_a_logarithm() {
        let (mut sizes, mut written) = (Vec::new(), 0);
        for _ in 0..1_000 {
            sizes.push(1u64);
            while let Some(range) = plan(&sizes, 8, u64::MAX) {
                let merged = sizes[range.clone()].iter().sum();
                written += merged;
                sizes.splice(range, [merged]);
            }
            assert!(sizes.len() <= 8, "{sizes:?}");
        }
        assert!(written <= 12_000, "each of 1000 series was written {} times", written / 1_000);
    }

    #[test]
    fn a_merge_is_never_larger_than_the_limit() {
        assert_eq!(plan(&[10, 10, 5], 8, 25), Some(0..3));
        assert_eq!(plan(&[10, 10, 5], 8, 24), Some(1..3));
        assert_eq!(plan(&[10, 10, 5], 8, 14), None);
        assert_eq!(plan(&[10, 10, 10, 10], 2, 20), Some(2..4));
    }
}
