//! Quantiles and fractions of classic histograms, which are series with the label `le`.

/// Neighbouring counts that differ by less than this share are taken for equal: such differences
/// come from rounding when counts are added in another order.
const ROUNDING_TOLERANCE: f64 = 1e-12;

/// One cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The value of `le`.
    pub upper_bound: f64,
    /// How many observations are not above it.
    pub count: f64,
}

/// The quantile of a histogram, and what had to be mended to find it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileResult {
    /// The quantile.
    pub value: f64,
    /// Counts that fell from bucket to bucket, which the user should know of.
    pub forced_monotonic: Option<Forced>,
    /// Whether differences were taken for rounding.
    pub fixed_precision: bool,
}

/// Where counts fell, and by how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forced {
    /// The smallest upper bound of a bucket that was raised.
    pub bucket_min: f64,
    /// The largest upper bound of a bucket that was raised.
    pub bucket_max: f64,
    /// By how much a count was raised, at most.
    pub difference_max: f64,
}

/// The upper bound that a value of the label `le` stands for; `None` if it is no number.
#[must_use]
pub fn parse_upper_bound(text: &str) -> Option<f64> {
    // Go reads these and more; exposition formats write only decimal numbers and `+Inf`.
    text.parse().ok()
}

/// The `q`-quantile of the observations in `buckets`, which are sorted and mended in place.
///
/// Observations count as evenly spread within their bucket, and as positive if the lowest upper
/// bound is. NaN without observations, without a bucket for +∞ or with that one alone.
#[must_use]
pub fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> QuantileResult {
    let plain = |value| QuantileResult { value, forced_monotonic: None, fixed_precision: false };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if !arrange(buckets) {
        return plain(f64::NAN);
    }
    let (forced_monotonic, fixed_precision) = mend(buckets);
    let value = if buckets.len() < 2 { f64::NAN } else { interpolate(q, buckets) };
    QuantileResult { value, forced_monotonic, fixed_precision }
}

/// The quantile in at least two sorted buckets whose counts do not fall.
fn interpolate(q: f64, buckets: &[Bucket]) -> f64 {
    let highest = buckets.len() - 1;
    let observations = buckets[highest].count;
    if observations == 0.0 {
        return f64::NAN;
    }
    let rank = q * observations;
    let found = buckets[..highest].partition_point(|b| !at_least(b.count, rank));
    if found == highest {
        return buckets[highest - 1].upper_bound;
    }
    if found == 0 && buckets[0].upper_bound <= 0.0 {
        return buckets[0].upper_bound;
    }
    let end = buckets[found].upper_bound;
    let below =
        if found == 0 { Bucket { upper_bound: 0.0, count: 0.0 } } else { buckets[found - 1] };
    let start = below.upper_bound;
    start + (end - start) * ((rank - below.count) / (buckets[found].count - below.count))
}

/// Whether `count` is not below `rank`; false for NaN.
fn at_least(count: f64, rank: f64) -> bool {
    count >= rank
}

/// The share of the observations in `buckets` that lies between `lower` and `upper`.
///
/// NaN without observations, without a bucket for +∞ and for bounds that are NaN. The buckets are
/// sorted in place.
#[must_use]
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !arrange(buckets) {
        return f64::NAN;
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |bound| rank_of(bound, buckets, observations);
    (rank(upper) - rank(lower)) / observations
}

/// How many observations are below `bound`.
fn rank_of(bound: f64, buckets: &[Bucket], observations: f64) -> f64 {
    let mut start = if buckets[0].upper_bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        let end = bucket.upper_bound;
        let found = if start >= bound {
            Some(rank)
        } else if end > bound {
            // A bucket without a lower end cannot be divided.
            let is_open = start == f64::NEG_INFINITY;
            let part = (bucket.count - rank) * (bound - start) / (end - start);
            Some(if is_open { bucket.count } else { rank + part })
        } else {
            None
        };
        if let Some(found) = found {
            return if found > observations { observations } else { found };
        }
        (start, rank) = (end, bucket.count);
    }
    observations
}

/// Sorts the buckets and adds those of equal bound; whether the highest goes to +∞.
fn arrange(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| {
        a.upper_bound.partial_cmp(&b.upper_bound).unwrap_or(std::cmp::Ordering::Equal)
    });
    if buckets.last().is_none_or(|b| b.upper_bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let is_same = next.upper_bound == kept.upper_bound;
        if is_same {
            kept.count += next.count;
        }
        is_same
    });
    true
}

/// Levels differences that are rounding, and raises counts that fall.
fn mend(buckets: &mut [Bucket]) -> (Option<Forced>, bool) {
    let mut forced: Option<Forced> = None;
    let mut is_fixed = false;
    let Some((first, rest)) = buckets.split_first_mut() else { return (None, false) };
    let mut previous = first.count;
    for bucket in rest {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if is_almost_equal(previous, count, ROUNDING_TOLERANCE) {
            bucket.count = previous;
            is_fixed = true;
        } else if count < previous {
            bucket.count = previous;
            let bound = bucket.upper_bound;
            let seen = forced.get_or_insert(Forced {
                bucket_min: f64::INFINITY,
                bucket_max: f64::NEG_INFINITY,
                difference_max: 0.0,
            });
            seen.bucket_min = seen.bucket_min.min(bound);
            seen.bucket_max = seen.bucket_max.max(bound);
            seen.difference_max = seen.difference_max.max(previous - count);
        } else {
            previous = count;
        }
    }
    (forced, is_fixed)
}

/// Whether two numbers differ by less than `tolerance` times the sum of their sizes.
///
/// Any two ordinary NaNs are equal; a staleness marker equals only staleness markers.
#[must_use]
pub fn is_almost_equal(a: f64, b: f64, tolerance: f64) -> bool {
    use m3rs_core::model::is_stale;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let size = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < tolerance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs
            .iter()
            .map(|(upper_bound, count)| Bucket { upper_bound: *upper_bound, count: *count })
            .collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_are_interpolated() {
        let of = |q, pairs: &[(f64, f64)]| bucket_quantile(q, &mut buckets(pairs)).value;
        let usual = [(INF, 10.0), (1.0, 2.0), (2.0, 6.0), (4.0, 8.0)];
        assert_eq!(of(0.1, &usual), 0.5);
        assert_eq!(of(0.4, &usual), 1.5);
        assert_eq!(of(0.7, &usual), 3.0);
        assert_eq!(of(0.95, &usual), 4.0);
        assert_eq!(of(0.1, &[(-1.0, 5.0), (INF, 6.0)]), -1.0);
        assert_eq!(of(-1.0, &usual), -INF);
        assert_eq!(of(2.0, &usual), INF);
        assert!(of(f64::NAN, &usual).is_nan());
        assert!(of(0.5, &usual[1..]).is_nan());
        assert!(of(0.5, &[(INF, 3.0)]).is_nan());
        assert!(of(0.5, &[(1.0, 0.0), (INF, 0.0)]).is_nan());
        assert!(of(0.5, &[]).is_nan());
    }

    #[test]
    fn equal_bounds_add_up() {
        let mut all = buckets(&[(1.0, 1.0), (1.0, 3.0), (INF, 4.0), (INF, 4.0)]);
        assert_eq!(bucket_quantile(0.5, &mut all).value, 1.0);
        assert_eq!(all, buckets(&[(1.0, 4.0), (INF, 8.0)]));
    }

    #[test]
    fn falling_counts_are_raised_and_reported() {
        let mut all = buckets(&[(1.0, 5.0), (2.0, 3.0), (3.0, 9.0), (4.0, 8.0), (INF, 10.0)]);
        let result = bucket_quantile(0.5, &mut all);
        assert_eq!(
            result.forced_monotonic,
            Some(Forced { bucket_min: 2.0, bucket_max: 4.0, difference_max: 2.0 })
        );
        assert!(!result.fixed_precision);
    }

    #[test]
    fn rounding_is_levelled_in_silence() {
        let mut all = buckets(&[(1.0, 5.0), (2.0, 5.000_000_000_000_1), (INF, 6.0)]);
        let result = bucket_quantile(0.5, &mut all);
        assert_eq!((result.forced_monotonic, result.fixed_precision), (None, true));
        assert_eq!(all[1].count, 5.0);
    }

    #[test]
    fn fractions_invert_quantiles() {
        let usual = [(1.0, 2.0), (2.0, 6.0), (4.0, 8.0), (INF, 10.0)];
        let of = |lower, upper| bucket_fraction(lower, upper, &mut buckets(&usual));
        assert_eq!(of(-INF, 1.5), 0.4);
        assert_eq!(of(1.5, 3.0), 0.3);
        assert_eq!(of(-INF, INF), 1.0);
        assert_eq!(of(3.0, 2.0), 0.0);
        assert!(of(f64::NAN, 1.0).is_nan());
        assert!(bucket_fraction(0.0, 1.0, &mut buckets(&usual[..3])).is_nan());
        assert!(bucket_fraction(0.0, 1.0, &mut Vec::new()).is_nan());
    }

    #[test]
    fn closeness() {
        assert!(is_almost_equal(1.0, 1.0 + 1e-13, 1e-12));
        assert!(!is_almost_equal(1.0, 1.0 + 1e-11, 1e-12));
        assert!(is_almost_equal(f64::NAN, f64::NAN, 0.0));
        assert!(!is_almost_equal(0.0, 1e-300, 1e-6));
        assert!(!is_almost_equal(m3rs_core::model::STALE_NAN, f64::NAN, 1.0));
    }
}
