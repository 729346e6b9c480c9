//! Buckets with their bounds.

use super::FloatHistogram;
use super::bound::upper_bound;
use crate::promql::function::logarithm::log2;

/// A bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The smaller bound.
    pub lower: f64,
    /// The larger bound.
    pub upper: f64,
    /// Whether the smaller bound belongs to the bucket.
    pub is_lower_inside: bool,
    /// Whether the larger bound belongs to the bucket.
    pub is_upper_inside: bool,
    /// Observations.
    pub count: f64,
}

impl Bucket {
    /// The share of the bucket below `v`, on a line or on a logarithmic scale.
    pub(super) fn fraction_below(&self, v: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let [lower, upper, at] = [self.lower, self.upper, v].map(|v| log2(v.abs()));
        if v > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

impl FloatHistogram {
    /// The upper bound of a positive bucket.
    fn bound(&self, index: i32) -> f64 {
        if !self.is_custom() {
            return upper_bound(index, self.schema);
        }
        match usize::try_from(index) {
            Ok(index) => self.bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }

    fn positive_bucket(&self, (index, count): (i32, f64)) -> Bucket {
        let (lower, upper) = (self.bound(index.wrapping_sub(1)), self.bound(index));
        let is_custom = self.is_custom();
        let is_lower_inside = if is_custom { index == 0 } else { lower < 0.0 };
        let is_upper_inside = is_custom || upper > 0.0;
        Bucket { lower, upper, is_lower_inside, is_upper_inside, count }
    }

    fn negative_bucket(&self, (index, count): (i32, f64)) -> Bucket {
        let (lower, upper) = (-self.bound(index), -self.bound(index.wrapping_sub(1)));
        let (is_lower_inside, is_upper_inside) = (lower < 0.0, upper > 0.0);
        Bucket { lower, upper, is_lower_inside, is_upper_inside, count }
    }

    /// The positive buckets, ascending.
    pub(super) fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive.iter().map(|bucket| self.positive_bucket(bucket))
    }

    /// The negative buckets, from zero away.
    pub(super) fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative.iter().map(|bucket| self.negative_bucket(bucket))
    }

    /// The bucket around zero.
    pub(super) fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            is_lower_inside: true,
            is_upper_inside: true,
            count: self.zero_count,
        }
    }

    /// All buckets, ascending. Those that reach into the zero bucket are cut off there.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let cut = |mut bucket: Bucket| {
            let zero = self.zero_threshold;
            if bucket.upper < 0.0 && bucket.upper > -zero {
                bucket.upper = -zero;
            } else if bucket.lower > 0.0 && bucket.lower < zero {
                bucket.lower = zero;
            }
            bucket
        };
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let negative = self.negative_buckets().rev().map(cut);
        negative.chain(zero).chain(self.positive_buckets().map(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential, side};
    use super::*;

    #[test]
    fn buckets_ascend_from_negative_to_positive() {
        let h = FloatHistogram {
            zero_threshold: 0.75,
            zero_count: 2.0,
            negative: side(0, &[3.0, 4.0]),
            ..exponential(0, &[1.0, 5.0])
        };
        let found: Vec<_> = h.buckets().map(|b| (b.lower, b.upper, b.count)).collect();
        let expected = [
            (-2.0, -1.0, 4.0),
            (-1.0, -0.75, 3.0),
            (-0.75, 0.75, 2.0),
            (0.75, 1.0, 1.0),
            (1.0, 2.0, 5.0),
        ];
        assert_eq!(found, expected);
        assert!(
            h.buckets().rev().map(|b| (b.lower, b.upper, b.count)).eq(expected.into_iter().rev())
        );
    }

    #[test]
    fn custom_buckets_are_open_at_the_ends() {
        let h = custom(&[1.0, 5.0], &[1.0, 2.0, 3.0]);
        let found: Vec<_> = h.buckets().map(|b| (b.lower, b.upper, b.is_lower_inside)).collect();
        let inf = f64::INFINITY;
        assert_eq!(found, [(-inf, 1.0, true), (1.0, 5.0, false), (5.0, inf, false)]);
    }
}
