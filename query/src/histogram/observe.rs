//! What a histogram tells of its observations: quantiles, shares, variance.

use super::{Bucket, FloatHistogram};
use crate::promql::function::aggregate::CompensatedSum;
use crate::promql::function::logarithm::{exp2, log2};

/// A number that a histogram tells, and how observations that are NaN spoil it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// The number.
    pub value: f64,
    /// What NaN did to it.
    pub skew: Option<Skew>,
}

/// What observations that are NaN do to a result. They are counted and in no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// The quantile is among them.
    QuantileIsNan,
    /// They count as larger than all others.
    QuantileIsHigher,
    /// They are in no share.
    NotInShares,
}

impl Observed {
    fn plain(value: f64) -> Self {
        Self { value, skew: None }
    }
}

impl FloatHistogram {
    /// The `q`-quantile: on a line within custom and zero buckets, on a logarithmic scale within
    /// exponential ones.
    ///
    /// −∞ for `q` below 0, +∞ above 1; NaN for NaN and without observations. Cost: the buckets.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Observed {
        if q < 0.0 {
            return Observed::plain(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return Observed::plain(f64::INFINITY);
        }
        if self.count == 0.0 || q.is_nan() {
            return Observed::plain(f64::NAN);
        }
        // The nearer end is less far, and NaN counts as the largest of all.
        let from_below = self.sum.is_nan() || q < 0.5;
        let mut rank = if from_below { q * self.count } else { (1.0 - q) * self.count };
        let mut ascending = self.buckets();
        let next = |ascending: &mut dyn DoubleEndedIterator<Item = Bucket>| match from_below {
            true => ascending.next(),
            false => ascending.next_back(),
        };
        let none = Bucket {
            lower: 0.0,
            upper: 0.0,
            is_lower_inside: false,
            is_upper_inside: false,
            count: 0.0,
        };
        let (mut bucket, mut count) = (none, 0.0);
        while let Some(found) = next(&mut ascending) {
            bucket = found;
            count += bucket.count;
            if bucket.count != 0.0 && count >= rank {
                break;
            }
        }
        if let Some(value) = self.cut_outer(&mut bucket) {
            return Observed::plain(value);
        }
        count = count.min(self.count);
        if count < rank {
            if self.sum.is_nan() {
                return Observed { value: f64::NAN, skew: Some(Skew::QuantileIsNan) };
            }
            return Observed::plain(bucket.upper);
        }
        rank = if from_below { rank - (count - bucket.count) } else { count - rank };
        let mut skew = None;
        if self.sum.is_nan() {
            let all = ascending.fold(count, |count, bucket| count + bucket.count);
            skew = (all < self.count).then_some(Skew::QuantileIsHigher);
        }
        Observed { value: self.within(&bucket, rank / bucket.count), skew }
    }

    /// Cuts a bucket that reaches over zero where there is nothing on one side; the quantile if it
    /// lies in an endless custom bucket.
    fn cut_outer(&self, bucket: &mut Bucket) -> Option<f64> {
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return Some(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return Some(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.cut_zero(bucket);
        }
        None
    }

    fn cut_zero(&self, bucket: &mut Bucket) {
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// The value at a share of a bucket.
    fn within(&self, bucket: &Bucket, share: f64) -> f64 {
        let Bucket { lower, upper, .. } = *bucket;
        if self.is_custom() || (lower <= 0.0 && upper >= 0.0) {
            return lower + (upper - lower) * share;
        }
        let (log_lower, log_upper) = (log2(lower.abs()), log2(upper.abs()));
        if lower > 0.0 {
            exp2(log_lower + (log_upper - log_lower) * share)
        } else {
            -exp2(log_upper + (log_lower - log_upper) * (1.0 - share))
        }
    }

    /// The share of observations between `lower` and `upper`.
    ///
    /// NaN without observations and for a bound that is NaN. Cost: the buckets.
    #[must_use]
    pub fn fraction(&self, lower: f64, upper: f64) -> Observed {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return Observed::plain(f64::NAN);
        }
        if lower >= upper {
            return Observed::plain(0.0);
        }
        let (mut count, mut rank) = (0.0, 0.0);
        let mut ranks: [Option<f64>; 2] = [None, None];
        let mut buckets = self.buckets();
        for mut bucket in buckets.by_ref() {
            count += bucket.count;
            let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if is_zero {
                self.cut_zero(&mut bucket);
            }
            let is_linear = self.is_custom() || is_zero;
            for (found, bound) in ranks.iter_mut().zip([lower, upper]) {
                if found.is_none() {
                    *found = rank_in(&bucket, bound, rank, is_linear);
                }
            }
            if ranks.iter().all(Option::is_some) {
                break;
            }
            rank += bucket.count;
        }
        let mut skew = None;
        if self.sum.is_nan() {
            count = buckets.fold(count, |count, bucket| count + bucket.count);
            skew = (count < self.count).then_some(Skew::NotInShares);
        } else {
            count = self.count;
        }
        let [lower, upper] = ranks.map(|rank| match rank {
            Some(rank) if rank > count => count,
            Some(rank) => rank,
            None => count,
        });
        Observed { value: (upper - lower) / self.count, skew }
    }

    /// The population variance, each observation taken for the middle of its bucket.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut squares = CompensatedSum::default();
        for bucket in self.buckets().filter(|bucket| bucket.count != 0.0) {
            let middle = if self.is_custom() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
            };
            let delta = middle - mean;
            squares.add(bucket.count * delta * delta);
        }
        (squares.sum + squares.lost) / self.count
    }
}

/// How many observations are below `bound` if it is before the end of the bucket; `rank` are
/// before the bucket.
fn rank_in(bucket: &Bucket, bound: f64, rank: f64, is_linear: bool) -> Option<f64> {
    if bucket.lower >= bound {
        return Some(rank);
    }
    if bucket.upper <= bound || !(bucket.lower < bound && bucket.upper > bound) {
        return None;
    }
    if is_linear && bucket.lower == f64::NEG_INFINITY {
        return Some(bucket.count);
    }
    Some(rank + bucket.count * bucket.fraction_below(bound, is_linear))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential, side};
    use super::*;

    #[test]
    fn quantiles_interpolate_on_the_scale_of_their_bucket() {
        let h = exponential(0, &[0.0, 4.0, 4.0]);
        assert_eq!(h.quantile(0.5).value, 2.0);
        assert!((h.quantile(0.25).value - 2.0f64.sqrt()).abs() < 1e-15);
        assert_eq!(h.quantile(1.0).value, 4.0);
        let zero = FloatHistogram { zero_threshold: 1.0, zero_count: 8.0, count: 8.0, ..h };
        let both = FloatHistogram { positive: side(0, &[]), ..zero };
        assert_eq!(both.quantile(0.5).value, 0.0);
        let h = custom(&[10.0, 20.0], &[5.0, 5.0, 0.0]);
        assert_eq!(h.quantile(0.25).value, 5.0);
        assert_eq!(h.quantile(0.75).value, 15.0);
        assert_eq!(custom(&[10.0], &[0.0, 3.0]).quantile(0.5).value, 10.0);
        assert_eq!(custom(&[-1.0], &[3.0, 0.0]).quantile(0.5).value, -1.0);
    }

    #[test]
    fn impossible_quantiles() {
        let h = exponential(0, &[1.0]);
        assert_eq!(h.quantile(-0.1).value, f64::NEG_INFINITY);
        assert_eq!(h.quantile(1.1).value, f64::INFINITY);
        assert!(h.quantile(f64::NAN).value.is_nan());
        assert!(exponential(0, &[]).quantile(0.5).value.is_nan());
    }

    #[test]
    fn nan_is_the_largest_observation() {
        let h = FloatHistogram { count: 10.0, sum: f64::NAN, ..exponential(0, &[4.0, 4.0]) };
        assert_eq!(h.quantile(0.4).skew, Some(Skew::QuantileIsHigher));
        let top = h.quantile(0.9);
        assert!(top.value.is_nan());
        assert_eq!(top.skew, Some(Skew::QuantileIsNan));
        let share = h.fraction(0.5, 2.0);
        assert_eq!((share.value, share.skew), (0.8, Some(Skew::NotInShares)));
    }

    #[test]
    fn shares_add_up() {
        let h = FloatHistogram {
            count: 11.0,
            negative: side(1, &[3.0]),
            ..exponential(0, &[4.0, 4.0])
        };
        let share = |lower, upper| h.fraction(lower, upper).value;
        let (low, inf) = (f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(share(low, inf), 1.0);
        assert!((share(low, 0.7) + share(0.7, inf) - 1.0).abs() < 1e-15);
        assert_eq!(share(low, 0.0), 3.0 / 11.0);
        assert_eq!(share(2.0, 1.0), 0.0);
        assert!(share(f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn variance_is_that_of_the_middles() {
        let h = FloatHistogram { sum: 12.0, ..custom(&[0.0, 4.0, 8.0], &[0.0, 2.0, 1.0]) };
        // Middles 2, 2 and 6 around a mean of 4.
        assert_eq!(h.variance(), 4.0);
    }
}
