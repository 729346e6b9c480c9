//! Sums, differences, multiples and means of histograms.
//!
//! Before two histograms are added they are brought to one layout: the wider zero bucket, the
//! coarser schema, the custom bounds that both have.

use std::sync::Arc;

use m3rs_core::model::ResetHint;

use super::resolution::{CommonBuckets, coarsened, common_bounds, covered_by_zero};
use super::{Buckets, FloatHistogram};
use crate::promql::function::aggregate::CompensatedSum;

/// Two histograms of which one has exponential and the other custom buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incompatible;

/// What the user should know of a sum or difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One histogram was known to follow a counter reset, the other not to.
    pub is_collision: bool,
    /// Custom bounds differed: only those that both have were kept.
    pub is_reconciled: bool,
}

/// Adds to a sum and to what rounding lost of it.
pub(super) fn add_to(sum: &mut f64, lost: &mut f64, v: f64) {
    let mut total = CompensatedSum { sum: *sum, lost: *lost };
    total.add(v);
    (*sum, *lost) = (total.sum, total.lost);
}

/// What rounding lost of each part of a sum of histograms.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    count: f64,
    sum: f64,
    pub(super) zero: f64,
    pub(super) positive: Vec<f64>,
    pub(super) negative: Vec<f64>,
}

impl Lost {
    fn of(h: &FloatHistogram) -> Self {
        let positive = vec![0.0; h.positive.len()];
        let negative = vec![0.0; h.negative.len()];
        Self { count: 0.0, sum: 0.0, zero: 0.0, positive, negative }
    }

    fn each(&mut self, mut f: impl FnMut(&mut f64)) {
        for v in [&mut self.count, &mut self.sum, &mut self.zero] {
            f(v);
        }
        self.positive.iter_mut().chain(&mut self.negative).for_each(f);
    }
}

impl FloatHistogram {
    /// Multiplies all but the bounds. A negative factor makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.each(|v| *v *= factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Divides all but the bounds. Division by zero leaves no bucket; a negative divisor makes a
    /// gauge.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            (self.positive, self.negative) = (Buckets::default(), Buckets::default());
        }
        self.each(|v| *v /= divisor);
        if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    fn each(&mut self, mut f: impl FnMut(&mut f64)) {
        for v in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            f(v);
        }
        self.positive.each_count(&mut f);
        self.negative.each_count(&mut f);
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// [`Incompatible`] buckets; this histogram is as before then.
    pub fn add(&mut self, other: &Self) -> Result<Combined, Incompatible> {
        self.combine(other, None, 1.0)
    }

    /// Subtracts a histogram.
    ///
    /// # Errors
    /// As [`FloatHistogram::add`].
    pub fn subtract(&mut self, other: &Self) -> Result<Combined, Incompatible> {
        self.combine(other, None, -1.0)
    }

    fn combine(
        &mut self,
        other: &Self,
        mut lost: Option<&mut Lost>,
        sign: f64,
    ) -> Result<Combined, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let is_collision = self.adjust_hint(other);
        if !self.is_custom() {
            let (zero, zero_lost) = self.reconcile_zero(other, lost.as_deref_mut());
            match lost.as_deref_mut() {
                Some(lost) => {
                    add_to(&mut self.zero_count, &mut lost.zero, zero);
                    add_to(&mut self.zero_count, &mut lost.zero, zero_lost);
                }
                None => self.zero_count += sign * zero,
            }
        }
        match lost.as_deref_mut() {
            Some(lost) => {
                add_to(&mut self.count, &mut lost.count, other.count);
                add_to(&mut self.sum, &mut lost.sum, other.sum);
            }
            None => {
                self.count += sign * other.count;
                self.sum += sign * other.sum;
            }
        }
        let is_reconciled = self.is_custom() && self.bounds != other.bounds;
        if is_reconciled {
            self.combine_common(other, lost, sign);
        } else {
            self.combine_sides(other, lost, sign);
        }
        Ok(Combined { is_collision, is_reconciled })
    }

    /// Adds custom buckets of other bounds.
    fn combine_common(&mut self, other: &Self, lost: Option<&mut Lost>, sign: f64) {
        let bounds = common_bounds(&self.bounds, &other.bounds);
        let mut common = CommonBuckets::new(&bounds);
        let own_lost = lost.as_ref().map(|lost| lost.positive.as_slice());
        common.add(&self.positive, &self.bounds, own_lost, 1.0);
        common.add(&other.positive, &other.bounds, None, sign);
        let (positive, positive_lost) = common.into_buckets();
        self.positive = positive;
        if let Some(lost) = lost {
            lost.positive = positive_lost;
        }
        self.bounds = bounds;
    }

    /// Adds buckets after schemas were made equal.
    fn combine_sides(&mut self, other: &Self, mut lost: Option<&mut Lost>, sign: f64) {
        if other.schema < self.schema {
            self.coarsen(lost.as_deref_mut(), other.schema);
        }
        let threshold = if self.is_custom() { 0.0 } else { self.zero_threshold };
        let schemas = (other.schema, self.schema);
        let (positive_lost, negative_lost) = match lost {
            Some(lost) => (Some(&mut lost.positive), Some(&mut lost.negative)),
            None => (None, None),
        };
        let merge = |side: &mut Buckets, other: &Buckets, lost: Option<&mut Vec<f64>>| {
            let mut other_lost = vec![0.0; if lost.is_some() { other.len() } else { 0 }];
            let coarse;
            let other = if schemas.0 > schemas.1 {
                let other_lost = lost.is_some().then_some(&mut other_lost);
                coarse = coarsened(other, other_lost, schemas);
                &coarse
            } else {
                other
            };
            let skipped = covered_by_zero(other, schemas.1, threshold);
            let lost = lost.map(|lost| (lost, other_lost.as_slice()));
            merge_buckets(side, other, skipped, lost, sign);
        };
        merge(&mut self.positive, &other.positive, positive_lost);
        merge(&mut self.negative, &other.negative, negative_lost);
    }

    /// What is known of a reset before the sum; whether both knew the opposite.
    fn adjust_hint(&mut self, other: &Self) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.hint, other.hint) {
            (a, b) if a == b => false,
            (Gauge | Unknown, Unknown) | (Gauge, _) => false,
            (_, Gauge) => {
                self.hint = Gauge;
                false
            }
            (Unknown, _) => false,
            (_, Unknown) => {
                self.hint = Unknown;
                false
            }
            _ => {
                self.hint = Unknown;
                true
            }
        }
    }
}

/// Adds all but the first `skipped` buckets of `other`, times `sign`. `lost` is what rounding lost
/// of `side` and of `other`.
fn merge_buckets(
    side: &mut Buckets,
    other: &Buckets,
    skipped: usize,
    lost: Option<(&mut Vec<f64>, &[f64])>,
    sign: f64,
) {
    let is_same = Arc::ptr_eq(&side.indexes, &other.indexes) || side.indexes == other.indexes;
    if skipped == 0 && is_same {
        return add_counts(&mut side.counts, &other.counts, lost, sign);
    }
    let (own_lost, other_lost) = match &lost {
        Some((own, other)) => (own.as_slice(), *other),
        None => (&[][..], &[][..]),
    };
    let loss = |losses: &[f64], at: usize| losses.get(at).copied().unwrap_or(0.0);
    let (mut a, mut b) = (0, skipped);
    let room = side.len() + other.len();
    let (mut indexes, mut counts) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let mut losses = Vec::new();
    while a < side.len() || b < other.len() {
        let own = side.indexes.get(a).copied();
        let theirs = other.indexes.get(b).copied();
        let (mut count, mut count_lost);
        let index = match (own, theirs) {
            (Some(own), theirs) if theirs.is_none_or(|theirs| own <= theirs) => {
                (count, count_lost) = (side.counts[a], loss(own_lost, a));
                a += 1;
                if theirs == Some(own) {
                    if lost.is_some() {
                        add_to(&mut count, &mut count_lost, sign * other.counts[b]);
                        let other_loss = loss(other_lost, b);
                        if other_loss != 0.0 {
                            add_to(&mut count, &mut count_lost, sign * other_loss);
                        }
                    } else {
                        count += sign * other.counts[b];
                    }
                    b += 1;
                }
                own
            }
            (_, Some(theirs)) => {
                (count, count_lost) = (sign * other.counts[b], sign * loss(other_lost, b));
                b += 1;
                theirs
            }
            (_, None) => break,
        };
        indexes.push(index);
        counts.push(count);
        losses.push(count_lost);
    }
    if let Some((lost, _)) = lost {
        *lost = losses;
    }
    *side = Buckets::new(indexes.into(), counts);
}

/// Adds the counts of the same buckets, times `sign`.
fn add_counts(
    counts: &mut [f64],
    others: &[f64],
    lost: Option<(&mut Vec<f64>, &[f64])>,
    sign: f64,
) {
    let pairs = counts.iter_mut().zip(others);
    let Some((lost, other_lost)) = lost else {
        return pairs.for_each(|(a, b)| *a += sign * b);
    };
    for ((a, b), (a_lost, b_lost)) in pairs.zip(lost.iter_mut().zip(other_lost)) {
        add_to(a, a_lost, sign * b);
        if *b_lost != 0.0 {
            add_to(a, a_lost, sign * b_lost);
        }
    }
}

/// A sum of histograms that keeps what rounding loses.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    total: FloatHistogram,
    lost: Option<Lost>,
}

impl HistogramSum {
    /// A sum that starts with one histogram.
    #[must_use]
    pub fn starting_with(first: FloatHistogram) -> Self {
        Self { total: first, lost: None }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// As [`FloatHistogram::add`].
    pub fn add(&mut self, h: &FloatHistogram) -> Result<Combined, Incompatible> {
        let lost = self.lost.get_or_insert_with(|| Lost::of(&self.total));
        self.total.combine(h, Some(lost), 1.0)
    }

    fn multiply(&mut self, factor: f64) {
        self.total.multiply(factor);
        if let Some(lost) = &mut self.lost {
            lost.each(|v| *v *= factor);
        }
    }

    fn divide(&mut self, divisor: f64) {
        self.total.divide(divisor);
        if let Some(lost) = &mut self.lost {
            lost.each(|v| *v /= divisor);
        }
    }

    /// The sum, with what rounding lost put back.
    #[must_use]
    pub fn value(self) -> FloatHistogram {
        let Self { total: mut h, lost } = self;
        if let Some(lost) = lost {
            h.count += lost.count;
            h.sum += lost.sum;
            h.zero_count += lost.zero;
            let sides = [(&mut h.positive, lost.positive), (&mut h.negative, lost.negative)];
            for (side, lost) in sides {
                side.counts.iter_mut().zip(lost).for_each(|(count, lost)| *count += lost);
            }
        }
        h
    }
}

/// A mean of histograms that cannot overflow: a sum while it is finite, then a running mean.
#[derive(Clone, Debug)]
pub struct HistogramMean {
    sum: HistogramSum,
    count: f64,
    is_running: bool,
}

impl HistogramMean {
    /// A mean that starts with one histogram.
    #[must_use]
    pub fn starting_with(first: FloatHistogram) -> Self {
        Self { sum: HistogramSum::starting_with(first), count: 1.0, is_running: false }
    }

    /// Takes a histogram.
    ///
    /// # Errors
    /// As [`FloatHistogram::add`].
    pub fn add(&mut self, h: &FloatHistogram) -> Result<Combined, Incompatible> {
        self.count += 1.0;
        let mut combined = Combined::default();
        if !self.is_running {
            let mut next = self.sum.clone();
            combined = next.add(h)?;
            if !next.total.has_overflow() {
                self.sum = next;
                return Ok(combined);
            }
            self.is_running = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.multiply((self.count - 1.0) / self.count);
        let mut share = h.clone();
        share.divide(self.count);
        let running = self.sum.add(&share)?;
        combined.is_collision |= running.is_collision;
        combined.is_reconciled |= running.is_reconciled;
        Ok(combined)
    }

    /// The mean.
    #[must_use]
    pub fn value(mut self) -> FloatHistogram {
        if !self.is_running {
            self.sum.divide(self.count);
        }
        self.sum.value()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential, side};
    use super::*;

    fn filled(h: &FloatHistogram) -> Vec<(i32, f64)> {
        h.positive.iter().filter(|(_, count)| *count != 0.0).collect()
    }

    #[test]
    fn sums_reconcile_schemas_and_zero_buckets() {
        let mut a = exponential(1, &[1.0, 2.0, 3.0]);
        let b = FloatHistogram {
            zero_threshold: 0.8,
            zero_count: 10.0,
            negative: side(2, &[7.0]),
            ..exponential(0, &[100.0, 200.0])
        };
        assert_eq!(a.add(&b), Ok(Combined::default()));
        // The zero bucket reaches to 1, which covers bucket 0 of both.
        assert_eq!((a.schema, a.zero_threshold, a.zero_count), (0, 1.0, 111.0));
        assert_eq!(filled(&a), [(1, 205.0)]);
        assert_eq!(a.negative.iter().collect::<Vec<_>>(), [(2, 7.0)]);
        assert_eq!(a.count, 306.0);
    }

    #[test]
    fn plain_and_compensated_sums_agree_on_whole_numbers() {
        let parts = [
            exponential(2, &[1.0, 0.0, 5.0]),
            exponential(0, &[4.0, 4.0]),
            FloatHistogram { zero_threshold: 1.5, ..exponential(3, &[1.0; 9]) },
        ];
        let mut plain = parts[0].clone();
        let mut sum = HistogramSum::starting_with(parts[0].clone());
        for part in &parts[1..] {
            plain.add(part).expect("exponential");
            sum.add(part).expect("exponential");
        }
        assert_eq!(sum.value(), plain);
    }

    #[test]
    fn rounding_is_not_lost() {
        let mut sum = HistogramSum::starting_with(exponential(0, &[1e100]));
        for v in [1.0, -1e100] {
            sum.add(&exponential(0, &[v])).expect("exponential");
        }
        assert_eq!(filled(&sum.value()), [(0, 1.0)]);
    }

    #[test]
    fn a_difference_of_equals_is_empty() {
        let mut a = exponential(0, &[1.0, 2.0]);
        a.subtract(&exponential(0, &[1.0, 2.0])).expect("exponential");
        assert_eq!(a.count, 0.0);
        assert!(a.compacted().positive.is_empty());
        let mut a = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
        let combined = a.subtract(&custom(&[2.0], &[1.0, 1.0]));
        assert_eq!(combined, Ok(Combined { is_reconciled: true, is_collision: false }));
        assert_eq!((&*a.bounds, filled(&a)), (&[2.0][..], vec![(0, 2.0), (1, 2.0)]));
    }

    #[test]
    fn kinds_do_not_mix() {
        let mut a = custom(&[1.0], &[1.0]);
        let before = a.clone();
        assert_eq!(a.add(&exponential(0, &[1.0])), Err(Incompatible));
        assert_eq!(a, before);
    }

    #[test]
    fn opposite_hints_collide() {
        use ResetHint::{Gauge, NoReset, Reset, Unknown};
        for (a, b, hint, is_collision) in [
            (Reset, NoReset, Unknown, true),
            (NoReset, Reset, Unknown, true),
            (NoReset, NoReset, NoReset, false),
            (NoReset, Unknown, Unknown, false),
            (Unknown, Reset, Unknown, false),
            (Gauge, Reset, Gauge, false),
            (NoReset, Gauge, Gauge, false),
            (Unknown, Gauge, Gauge, false),
            (Gauge, Unknown, Gauge, false),
        ] {
            let mut h = FloatHistogram { hint: a, ..FloatHistogram::default() };
            let other = FloatHistogram { hint: b, ..FloatHistogram::default() };
            let combined = h.add(&other).expect("compatible");
            assert_eq!((h.hint, combined.is_collision), (hint, is_collision), "{a:?} {b:?}");
        }
    }

    #[test]
    fn means_survive_overflow() {
        let mut mean = HistogramMean::starting_with(exponential(0, &[f64::MAX]));
        mean.add(&exponential(0, &[f64::MAX])).expect("exponential");
        let value = mean.value();
        assert!((value.count - f64::MAX).abs() <= f64::MAX * 1e-15, "{}", value.count);
        let mut mean = HistogramMean::starting_with(exponential(0, &[1.0, 2.0]));
        mean.add(&exponential(0, &[3.0, 2.0])).expect("exponential");
        assert_eq!(filled(&mean.value()), [(0, 2.0), (1, 2.0)]);
    }

    #[test]
    fn division_by_zero_leaves_no_bucket() {
        let mut h = exponential(0, &[1.0, 2.0]);
        h.divide(0.0);
        assert!(h.positive.is_empty());
        assert_eq!((h.count, h.sum), (f64::INFINITY, f64::INFINITY));
        assert!(h.zero_count.is_nan());
        h.multiply(-1.0);
        assert_eq!(h.hint, ResetHint::Gauge);
    }
}
