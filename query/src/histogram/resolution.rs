//! Coarser resolutions, wider zero buckets and common custom bounds: what two histograms need to
//! have in common before they can be added.

use std::sync::Arc;

use super::arithmetic::{Lost, add_to};
use super::bound::upper_bound;
use super::{Buckets, FloatHistogram};

/// The index of the bucket of a coarser schema that a bucket lies in.
pub(super) fn coarser_index(index: i32, from: i32, to: i32) -> i32 {
    (index.wrapping_sub(1) >> (from - to)).wrapping_add(1)
}

/// Buckets of a coarser schema. With `lost`, sums keep what rounding loses.
pub(super) fn coarsened(
    side: &Buckets,
    lost: Option<&mut Vec<f64>>,
    (from, to): (i32, i32),
) -> Buckets {
    let mut indexes: Vec<i32> = Vec::new();
    let mut counts: Vec<f64> = Vec::new();
    let mut losses: Vec<f64> = Vec::new();
    let given = lost.as_ref().map(|lost| lost.as_slice());
    for (at, (index, count)) in side.iter().enumerate() {
        let index = coarser_index(index, from, to);
        let loss = given.map_or(0.0, |given| given[at]);
        if indexes.last() != Some(&index) {
            indexes.push(index);
            counts.push(count);
            losses.push(loss);
        } else if let (Some(sum), Some(sum_lost)) = (counts.last_mut(), losses.last_mut()) {
            match given {
                Some(_) => {
                    add_to(sum, sum_lost, count);
                    add_to(sum, sum_lost, loss);
                }
                None => *sum += count,
            }
        }
    }
    if let Some(lost) = lost {
        *lost = losses;
    }
    Buckets::new(indexes.into(), counts)
}

impl FloatHistogram {
    /// The same in a coarser schema.
    #[must_use]
    pub fn coarsened(mut self, schema: i32) -> Self {
        if schema < self.schema && !self.is_custom() {
            self.coarsen(None, schema);
        }
        self
    }

    pub(super) fn coarsen(&mut self, lost: Option<&mut Lost>, schema: i32) {
        let (positive, negative) = match lost {
            Some(lost) => (Some(&mut lost.positive), Some(&mut lost.negative)),
            None => (None, None),
        };
        self.positive = coarsened(&self.positive, positive, (self.schema, schema));
        self.negative = coarsened(&self.negative, negative, (self.schema, schema));
        self.schema = schema;
    }

    /// What the zero bucket would hold if it reached to `threshold` at least: observations, how far
    /// it must reach so that it cuts no filled bucket, and what rounding lost of the sum.
    pub(super) fn widened_zero(&self, mut threshold: f64, lost: Option<&Lost>) -> (f64, f64, f64) {
        let mut zero_lost = lost.map_or(0.0, |lost| lost.zero);
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold, zero_lost);
        }
        'wider: loop {
            let mut zero = self.zero_count;
            for (at, bucket) in self.positive_buckets().enumerate() {
                if bucket.lower >= threshold {
                    break;
                }
                add_to(&mut zero, &mut zero_lost, bucket.count);
                if let Some(lost) = lost {
                    add_to(&mut zero, &mut zero_lost, lost.positive[at]);
                }
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for (at, bucket) in self.negative_buckets().enumerate() {
                if bucket.upper <= -threshold {
                    break;
                }
                add_to(&mut zero, &mut zero_lost, bucket.count);
                if let Some(lost) = lost {
                    add_to(&mut zero, &mut zero_lost, lost.negative[at]);
                }
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        threshold = -bucket.lower;
                        continue 'wider;
                    }
                    break;
                }
            }
            return (zero, threshold, zero_lost);
        }
    }

    /// Makes zero buckets equally wide; what the other one holds then, and what rounding lost.
    pub(super) fn reconcile_zero(
        &mut self,
        other: &Self,
        mut lost: Option<&mut Lost>,
    ) -> (f64, f64) {
        let (mut other_zero, mut other_threshold) = (other.zero_count, other.zero_threshold);
        let mut other_lost = 0.0;
        while other_threshold != self.zero_threshold {
            if self.zero_threshold > other_threshold {
                (other_zero, other_threshold, other_lost) =
                    other.widened_zero(self.zero_threshold, None);
            }
            if other_threshold > self.zero_threshold {
                let (zero, threshold, zero_lost) =
                    self.widened_zero(other_threshold, lost.as_deref());
                (self.zero_count, self.zero_threshold) = (zero, threshold);
                if let Some(lost) = lost.as_deref_mut() {
                    lost.zero = zero_lost;
                }
                self.empty_below_zero(lost.as_deref_mut());
            }
            if other_threshold.is_nan() || self.zero_threshold.is_nan() {
                break;
            }
        }
        (other_zero, other_lost)
    }

    /// Takes out the buckets that the zero bucket covers, and other empty ones.
    fn empty_below_zero(&mut self, lost: Option<&mut Lost>) {
        let threshold = self.zero_threshold;
        let positive = self.positive_buckets().take_while(|b| b.lower < threshold).count();
        let negative = self.negative_buckets().take_while(|b| b.upper > -threshold).count();
        let (lost_positive, lost_negative) = match lost {
            Some(lost) => (Some(&mut lost.positive), Some(&mut lost.negative)),
            None => (None, None),
        };
        clear_first(&mut self.positive, lost_positive, positive);
        clear_first(&mut self.negative, lost_negative, negative);
    }
}

/// Takes out the first `cleared` buckets, and empty ones.
fn clear_first(side: &mut Buckets, lost: Option<&mut Vec<f64>>, cleared: usize) {
    let losses = lost.as_ref().map(|lost| lost.to_vec());
    let counts = side.counts.clone();
    let keeps = |at: usize| {
        at >= cleared
            && (counts[at] != 0.0 || losses.as_ref().is_some_and(|losses| losses[at] != 0.0))
    };
    side.retain(keeps);
    if let (Some(lost), Some(losses)) = (lost, &losses) {
        *lost = (0..losses.len()).filter(|at| keeps(*at)).map(|at| losses[at]).collect();
    }
}

/// The bounds that both lists have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Arc<[f64]> {
    let mut rest = b;
    let is_common = |bound: &&f64| {
        rest = &rest[rest.partition_point(|other| other < bound)..];
        rest.first() == Some(*bound)
    };
    a.iter().filter(is_common).copied().collect()
}

/// Sums of custom buckets whose bounds are some of their own.
pub(super) struct CommonBuckets<'a> {
    bounds: &'a [f64],
    counts: Vec<f64>,
    lost: Vec<f64>,
}

impl<'a> CommonBuckets<'a> {
    pub(super) fn new(bounds: &'a [f64]) -> Self {
        let buckets = bounds.len() + 1;
        Self { bounds, counts: vec![0.0; buckets], lost: vec![0.0; buckets] }
    }

    /// Adds the buckets of a histogram with bounds of its own, times `sign`.
    pub(super) fn add(&mut self, side: &Buckets, bounds: &[f64], lost: Option<&[f64]>, sign: f64) {
        let mut target = 0;
        for (at, (index, count)) in side.iter().enumerate() {
            let bound = usize::try_from(index).ok().and_then(|index| bounds.get(index));
            let place = match bound {
                Some(bound) => {
                    target += self.bounds[target..].partition_point(|common| common < bound);
                    target
                }
                None => self.bounds.len(),
            };
            add_to(&mut self.counts[place], &mut self.lost[place], sign * count);
            if let Some(lost) = lost {
                add_to(&mut self.counts[place], &mut self.lost[place], lost[at]);
            }
        }
    }

    /// All sums, empty ones included.
    pub(super) fn into_sums(self) -> Vec<f64> {
        self.counts
    }

    /// The buckets that hold something, and what rounding lost of them.
    pub(super) fn into_buckets(self) -> (Buckets, Vec<f64>) {
        let Self { counts, lost, .. } = self;
        let filled = |at: &usize| counts[*at] != 0.0 || lost[*at] != 0.0;
        let kept: Vec<usize> = (0..counts.len()).filter(filled).collect();
        let indexes = kept.iter().map(|at| i32::try_from(*at).unwrap_or(i32::MAX)).collect();
        let values = kept.iter().map(|at| counts[*at]).collect();
        (Buckets::new(indexes, values), kept.iter().map(|at| lost[*at]).collect())
    }
}

/// How many of the first buckets end within the zero bucket.
pub(super) fn covered_by_zero(side: &Buckets, schema: i32, threshold: f64) -> usize {
    if threshold == 0.0 {
        return 0;
    }
    side.iter().take_while(|(index, _)| upper_bound(*index, schema) <= threshold).count()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{exponential, side};
    use super::*;

    #[test]
    fn coarse_buckets_hold_what_fine_ones_do() {
        let fine = side(-3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let coarse = coarsened(&fine, None, (1, 0));
        // Bucket i of schema 0 holds the buckets 2i - 1 and 2i of schema 1.
        assert_eq!(coarse.iter().collect::<Vec<_>>(), [(-1, 3.0), (0, 7.0), (1, 11.0), (2, 7.0)]);
        let mut lost = vec![0.0; 7];
        assert_eq!(coarsened(&fine, Some(&mut lost), (1, 0)), coarse);
        assert_eq!(lost, [0.0; 4]);
        let much = exponential(8, &[1.0; 100]).coarsened(-4);
        assert_eq!(much.positive.iter().collect::<Vec<_>>(), [(0, 1.0), (1, 99.0)]);
    }

    #[test]
    fn a_wider_zero_bucket_swallows_whole_buckets() {
        let h = exponential(0, &[1.0, 2.0, 4.0]);
        assert_eq!(h.widened_zero(1.0, None), (1.0, 1.0, 0.0));
        assert_eq!(h.widened_zero(1.5, None), (3.0, 2.0, 0.0));
        let mut a = exponential(0, &[1.0, 2.0, 4.0]);
        let b = FloatHistogram { zero_threshold: 1.5, zero_count: 9.0, ..exponential(0, &[]) };
        assert_eq!(a.reconcile_zero(&b, None), (9.0, 0.0));
        assert_eq!((a.zero_threshold, a.zero_count), (2.0, 3.0));
        assert_eq!(a.positive.iter().collect::<Vec<_>>(), [(2, 4.0)]);
    }

    #[test]
    fn common_bounds_are_in_both() {
        assert_eq!(*common_bounds(&[1.0, 2.0, 5.0], &[0.5, 2.0, 5.0, 7.0]), [2.0, 5.0]);
        assert_eq!(*common_bounds(&[], &[1.0]), [0.0; 0]);
        let bounds = common_bounds(&[1.0, 2.0, 5.0], &[2.0]);
        let mut common = CommonBuckets::new(&bounds);
        common.add(&side(0, &[1.0, 2.0, 4.0, 8.0]), &[1.0, 2.0, 5.0], None, 1.0);
        common.add(&side(0, &[1.0, 1.0]), &[2.0], None, -1.0);
        let (buckets, _) = common.into_buckets();
        assert_eq!(buckets.iter().collect::<Vec<_>>(), [(0, 2.0), (1, 11.0)]);
    }
}
