//! The sum of exponential histograms, in buckets that all of them have in common.
//!
//! PARITY(prometheus): the sum has the coarser scale of two, and one so coarse that a side has at
//! most 160 buckets.

use crate::ingest::otlp::points::{ExponentialPoint, Numbers, Side};

/// The most buckets of one side of a sum.
const BUCKETS_MAX: usize = 160;

/// A sum of histograms.
#[derive(Debug)]
pub(super) struct ExponentialTotal {
    scale: i32,
    count: u64,
    sum: Option<f64>,
    zero_count: u64,
    positive: Side,
    negative: Side,
}

impl ExponentialTotal {
    /// The sum of one.
    pub(super) fn of(point: &ExponentialPoint<'_>) -> Self {
        Self {
            scale: point.scale,
            count: point.count,
            sum: point.sum,
            zero_count: point.zero_count,
            positive: point.positive.clone(),
            negative: point.negative.clone(),
        }
    }

    /// The most memory that its buckets will take.
    pub(super) fn heap_bytes_max(&self) -> u64 {
        let of = |side: &Side| 8 * side.counts.kept.len().max(BUCKETS_MAX) as u64;
        of(&self.positive) + of(&self.negative)
    }

    /// Adds a histogram.
    pub(super) fn add(&mut self, point: &ExponentialPoint<'_>) {
        let scale = self.scale.min(point.scale);
        let own = steps(self.scale, scale);
        let other = steps(point.scale, scale);
        let sides = [(&self.positive, &point.positive), (&self.negative, &point.negative)];
        let further = sides.map(|(a, b)| coarsening(a, own, b, other)).into_iter().max();
        let further = further.unwrap_or(0);
        let [positive, negative] = sides
            .map(|(a, b)| merged(a, own.saturating_add(further), b, other.saturating_add(further)));
        (self.positive, self.negative) = (positive, negative);
        self.scale = scale.saturating_sub(i32::try_from(further).unwrap_or(i32::MAX));
        self.count = self.count.saturating_add(point.count);
        self.zero_count = self.zero_count.saturating_add(point.zero_count);
        self.sum = self.sum.zip(point.sum).map(|(total, change)| total + change);
    }

    /// Makes `point` this sum.
    pub(super) fn put_into(&self, point: &mut ExponentialPoint<'_>) {
        point.scale = self.scale;
        point.count = self.count;
        point.sum = self.sum;
        point.zero_count = self.zero_count;
        point.positive.clone_from(&self.positive);
        point.negative.clone_from(&self.negative);
    }
}

/// How many times the resolution is halved from one scale to a coarser one.
fn steps(from: i32, to: i32) -> u32 {
    from.abs_diff(to)
}

/// The index of a bucket after `steps` halvings of the resolution.
fn coarse(index: i64, steps: u32) -> i64 {
    index >> steps.min(63)
}

/// The first and last bucket that is not empty, by index.
fn extent(side: &Side) -> Option<(i64, i64)> {
    let counts = &side.counts.kept;
    let first = counts.iter().position(|count| *count != 0)?;
    let last = counts.iter().rposition(|count| *count != 0)?;
    // Lists are bounded, so that indexes are near 32 bits.
    let offset = i64::from(side.offset);
    Some((offset + first as i64, offset + last as i64))
}

/// The extent of two sides together, with their resolution halved as often as said.
fn joint(a: &Side, a_steps: u32, b: &Side, b_steps: u32) -> Option<(i64, i64)> {
    let of = |side, steps| extent(side).map(|(lo, hi)| (coarse(lo, steps), coarse(hi, steps)));
    match (of(a, a_steps), of(b, b_steps)) {
        (Some((a_lo, a_hi)), Some((b_lo, b_hi))) => Some((a_lo.min(b_lo), a_hi.max(b_hi))),
        (one, None) => one,
        (None, other) => other,
    }
}

/// How many more halvings it takes until both sides fit into one.
fn coarsening(a: &Side, a_steps: u32, b: &Side, b_steps: u32) -> u32 {
    let Some((lo, hi)) = joint(a, a_steps, b, b_steps) else { return 0 };
    let fits = |steps: &u32| coarse(hi, *steps) - coarse(lo, *steps) < BUCKETS_MAX as i64;
    (0..63).find(fits).unwrap_or(63)
}

fn merged(a: &Side, a_steps: u32, b: &Side, b_steps: u32) -> Side {
    let Some((lo, hi)) = joint(a, a_steps, b, b_steps) else { return Side::default() };
    let len = usize::try_from(hi - lo + 1).unwrap_or(0).min(BUCKETS_MAX);
    let mut kept = vec![0u64; len];
    for (side, steps) in [(a, a_steps), (b, b_steps)] {
        for (i, &count) in side.counts.kept.iter().enumerate() {
            let index = coarse(i64::from(side.offset) + i as i64, steps) - lo;
            let bucket = usize::try_from(index).ok().and_then(|at| kept.get_mut(at));
            // Only empty buckets lie outside.
            if let Some(bucket) = bucket {
                *bucket = bucket.saturating_add(count);
            }
        }
    }
    let offset = i32::try_from(lo).unwrap_or(if lo < 0 { i32::MIN } else { i32::MAX });
    Side { offset, counts: Numbers { kept, beyond: 0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(offset: i32, counts: &[u64]) -> Side {
        Side { offset, counts: Numbers { kept: counts.to_vec(), beyond: 0 } }
    }

    fn point(scale: i32, positive: Side) -> ExponentialPoint<'static> {
        let count = positive.counts.kept.iter().sum();
        ExponentialPoint { scale, count, sum: Some(1.0), positive, ..ExponentialPoint::default() }
    }

    fn sum(points: &[ExponentialPoint<'_>]) -> (i32, Side) {
        let mut total = ExponentialTotal::of(&points[0]);
        points[1..].iter().for_each(|point| total.add(point));
        let mut out = ExponentialPoint::default();
        total.put_into(&mut out);
        assert_eq!(out.count, points.iter().map(|point| point.count).sum::<u64>());
        assert_eq!(out.positive.counts.kept.iter().sum::<u64>(), out.count);
        (out.scale, out.positive)
    }

    /// Cases of `expo_test.go` and `merge_test.go`.
    #[test]
    fn buckets_meet_at_their_indexes() {
        let a = point(0, side(-2, &[1, 2]));
        let b = point(0, side(-5, &[1, 2, 3]));
        assert_eq!(sum(&[a, b]), (0, side(-5, &[1, 2, 3, 1, 2])));
        let gap = sum(&[point(0, side(1, &[1])), point(0, side(4, &[1]))]);
        assert_eq!(gap, (0, side(1, &[1, 0, 0, 1])));
        let padded = sum(&[point(0, side(0, &[0, 1, 0])), point(0, side(9, &[0, 0]))]);
        assert_eq!(padded, (0, side(1, &[1])));
    }

    #[test]
    fn scales_become_the_coarser_one() {
        let mixed = sum(&[point(1, side(-3, &[1, 1, 1, 1])), point(0, side(0, &[2]))]);
        assert_eq!(mixed, (0, side(-2, &[1, 2, 3])));
        let wide = sum(&[point(3, side(0, &[1])), point(3, side(1000, &[1]))]);
        assert_eq!((wide.0, wide.1.offset, wide.1.counts.kept.len()), (0, 0, 126));
        let far = [point(20, side(i32::MIN, &[1])), point(20, side(i32::MAX, &[1]))];
        let far = sum(&far);
        assert!(far.1.counts.kept.len() <= BUCKETS_MAX, "{far:?}");
        let apart = sum(&[point(i32::MAX, side(7, &[1])), point(i32::MIN, side(0, &[1]))]);
        assert_eq!(apart.0, i32::MIN);
    }
}
