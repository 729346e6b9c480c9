//! `</` and `>/`: a histogram without what was observed on one side of a value.
//!
//! A bucket that the value lies in is divided as a quantile would divide it, and the sum is put
//! together from the middles of what is left.

use super::{Bucket, FloatHistogram};

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those below the value.
    Below,
    /// Those above it.
    Above,
}

/// The scale of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Positive,
    Negative,
}

impl FloatHistogram {
    /// Keeps the observations on one side of `at`.
    #[must_use]
    pub(crate) fn trimmed(mut self, at: f64, kept: Kept) -> Self {
        let positive_scale = if self.is_custom() { Scale::Linear } else { Scale::Positive };
        let positive: Vec<Bucket> = self.positive_buckets().collect();
        let negative: Vec<Bucket> = self.negative_buckets().collect();
        let mut total = Trimmed::default();
        for (bucket, count) in positive.iter().zip(&mut self.positive.counts) {
            total.take(bucket, count, rest_of(bucket, at, kept, positive_scale));
        }
        let has_positive = total.has_bucket;
        total.has_bucket = false;
        for (bucket, count) in negative.iter().zip(&mut self.negative.counts) {
            total.take(bucket, count, rest_of(bucket, at, kept, Scale::Negative));
        }
        if self.zero_count > 0.0 {
            let mut bucket = self.zero_bucket();
            match (total.has_bucket, has_positive) {
                (true, false) => bucket.upper = 0.0,
                (false, true) => bucket.lower = 0.0,
                _ => {}
            }
            let rest = rest_of_zero(&bucket, at, kept);
            total.take(&bucket, &mut self.zero_count, rest);
        }
        if total.is_changed {
            self.count = total.count;
            self.sum = total.sum;
            self.compact();
        }
        self
    }
}

/// What is left so far.
#[derive(Debug, Default)]
struct Trimmed {
    count: f64,
    sum: f64,
    is_changed: bool,
    has_bucket: bool,
}

impl Trimmed {
    /// Takes what is left of a bucket: its observations and their middle.
    fn take(&mut self, bucket: &Bucket, count: &mut f64, (left, middle): (f64, f64)) {
        if bucket.count == 0.0 {
            return;
        }
        self.has_bucket = true;
        if left != *count {
            *count = left;
            self.is_changed = true;
        }
        self.count += left;
        self.sum += middle * left;
    }
}

/// The observations of a bucket that stay, and their middle.
fn rest_of(bucket: &Bucket, at: f64, kept: Kept, scale: Scale) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *bucket;
    let (is_whole, is_cut) = match kept {
        Kept::Below => (upper <= at, lower < at),
        Kept::Above => (lower >= at, upper > at),
    };
    if is_whole {
        return (count, middle(lower, upper, scale));
    }
    if !is_cut {
        return (0.0, 0.0);
    }
    if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
        return rest_of_endless(bucket, at, kept);
    }
    let is_linear = scale == Scale::Linear;
    let below = if at <= lower {
        0.0
    } else if at >= upper {
        count
    } else {
        count * bucket.fraction_below(at, is_linear)
    };
    match kept {
        Kept::Below => (below, middle(lower, at, scale)),
        Kept::Above => (count - below, middle(at, upper, scale)),
    }
}

/// The same of a bucket without an end, which a value cuts.
fn rest_of_endless(bucket: &Bucket, at: f64, kept: Kept) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *bucket;
    let finite = |v: f64| if v.is_infinite() { 0.0 } else { v };
    if lower == f64::NEG_INFINITY {
        let is_dividable = upper > 0.0 && upper != f64::INFINITY;
        return match kept {
            Kept::Below if at >= upper => (count, 0.0),
            Kept::Below if at > 0.0 && is_dividable => (count * at / upper, at / 2.0),
            Kept::Below if upper <= 0.0 => (count, at),
            Kept::Above if at <= lower => (count, 0.0),
            Kept::Above if at >= 0.0 && upper > at && upper != f64::INFINITY => {
                (count * (1.0 - at / upper), (at + upper) / 2.0)
            }
            _ => (0.0, finite(upper)),
        };
    }
    match kept {
        Kept::Above if at >= lower => (count, at),
        _ => (0.0, finite(lower)),
    }
}

fn rest_of_zero(bucket: &Bucket, at: f64, kept: Kept) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *bucket;
    let whole = (count, (lower + upper) / 2.0);
    match kept {
        Kept::Below if at <= lower => (0.0, 0.0),
        Kept::Below if at >= upper => whole,
        Kept::Below => (count * ((at - lower) / (upper - lower)), (lower + at) / 2.0),
        Kept::Above if at <= lower => whole,
        Kept::Above if at >= upper => (0.0, 0.0),
        Kept::Above => (count * ((upper - at) / (upper - lower)), (at + upper) / 2.0),
    }
}

/// The middle of an interval on its scale.
fn middle(lower: f64, upper: f64, scale: Scale) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => return 0.0,
        (true, false) => return if upper > 0.0 { upper / 2.0 } else { upper },
        (false, true) => return lower,
        (false, false) => {}
    }
    let geometric = (lower * upper).abs().sqrt();
    match scale {
        Scale::Linear => (lower + upper) / 2.0,
        Scale::Positive => geometric,
        Scale::Negative => -geometric,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential, side};
    use super::*;

    fn counts(h: &FloatHistogram) -> Vec<(i32, f64)> {
        h.positive.iter().collect()
    }

    #[test]
    fn whole_buckets_stay_or_go() {
        let h = exponential(0, &[1.0, 2.0, 4.0]);
        let below = h.clone().trimmed(2.0, Kept::Below);
        assert_eq!((counts(&below), below.count), (vec![(0, 1.0), (1, 2.0)], 3.0));
        let above = h.clone().trimmed(2.0, Kept::Above);
        assert_eq!((counts(&above), above.count), (vec![(2, 4.0)], 4.0));
        assert!((above.sum - 4.0 * 8.0f64.sqrt()).abs() < 1e-12);
        let all = h.clone().trimmed(4.0, Kept::Below);
        assert_eq!(all.sum.to_bits(), h.sum.to_bits(), "nothing was taken");
    }

    #[test]
    fn a_bucket_is_divided_on_its_scale() {
        let h = exponential(0, &[0.0, 0.0, 4.0]).trimmed(8.0f64.sqrt(), Kept::Below);
        assert!((h.count - 2.0).abs() < 1e-12, "{}", h.count);
        let h = custom(&[10.0, 20.0], &[0.0, 4.0, 3.0]).trimmed(15.0, Kept::Above);
        assert_eq!(counts(&h), [(1, 2.0), (2, 3.0)]);
        assert_eq!(h.sum, 2.0 * 17.5 + 3.0 * 20.0);
        let h = custom(&[10.0], &[4.0, 3.0]).trimmed(5.0, Kept::Below);
        assert_eq!((counts(&h), h.sum), (vec![(0, 2.0)], 5.0));
    }

    #[test]
    fn the_zero_bucket_lies_where_the_others_do() {
        let zero = |negative: &[f64], positive: &[f64]| {
            let h = FloatHistogram {
                zero_threshold: 0.5,
                zero_count: 8.0,
                negative: side(0, negative),
                ..exponential(0, positive)
            };
            h.trimmed(0.25, Kept::Below).zero_count
        };
        assert_eq!(zero(&[], &[1.0]), 4.0);
        assert_eq!(zero(&[], &[]), 6.0);
        assert_eq!(zero(&[1.0], &[]), 8.0);
    }
}
