//! Counter resets between histograms.

use std::sync::Arc;

use m3rs_core::model::ResetHint;

use super::bound::upper_bound;
use super::resolution::coarser_index;
use super::{Buckets, FloatHistogram};

impl FloatHistogram {
    /// Whether the counter that this histogram is a value of was reset since `previous`: it is
    /// known to, or anything in it fell, or its layout changed as only a reset changes it.
    #[must_use]
    pub fn is_reset_since(&self, previous: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NoReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.is_custom() {
            if !previous.is_custom() {
                return true;
            }
            if self.bounds != previous.bounds {
                return self.fell_at_common_bound(previous);
            }
        } else if previous.is_custom() {
            return true;
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero, threshold, _) = previous.widened_zero(self.zero_threshold, None);
        if threshold != self.zero_threshold || self.zero_count < zero {
            return true;
        }
        let threshold = if self.is_custom() { 0.0 } else { self.zero_threshold };
        let schemas = (previous.schema, self.schema);
        [(&self.positive, &previous.positive), (&self.negative, &previous.negative)]
            .into_iter()
            .any(|(now, before)| {
                let now = outside_zero(now, (self.schema, self.schema), threshold);
                fell(now, outside_zero(before, schemas, threshold))
            })
    }

    /// Whether fewer observations than before lie between any two bounds that both have.
    fn fell_at_common_bound(&self, previous: &Self) -> bool {
        let now = self.between(&previous.bounds);
        let before = previous.between(&self.bounds);
        now.iter().zip(&before).any(|(now, before)| now < before)
    }

    /// Observations between neighbouring bounds that `others` has, too.
    fn between(&self, others: &[f64]) -> Vec<f64> {
        let common = super::resolution::common_bounds(&self.bounds, others);
        let mut sums = super::resolution::CommonBuckets::new(&common);
        sums.add(&self.positive, &self.bounds, None, 1.0);
        sums.into_sums()
    }

    /// Whether a time series database keeps the histogram in one chunk with the one before it,
    /// which it does only for a counter that was not reset and has the same resolution.
    fn continues(&self, previous: &Self) -> bool {
        self.hint == ResetHint::Unknown
            && self.schema == previous.schema
            && self.zero_threshold == previous.zero_threshold
            && self.bounds == previous.bounds
            && !self.is_reset_since(previous)
    }
}

/// Buckets in the second of two schemas, without those that end within the zero bucket.
fn outside_zero(
    side: &Buckets,
    (from, to): (i32, i32),
    threshold: f64,
) -> impl Iterator<Item = (i32, f64)> + '_ {
    let mut rest = side.iter().peekable();
    let merged = std::iter::from_fn(move || {
        let (index, mut sum) = rest.next()?;
        if from == to {
            return Some((index, sum));
        }
        let index = coarser_index(index, from, to);
        while let Some((_, count)) = rest.next_if(|(i, _)| coarser_index(*i, from, to) == index) {
            sum += count;
        }
        Some((index, sum))
    });
    let is_covered =
        move |(index, _): &(i32, f64)| threshold != 0.0 && upper_bound(*index, to) <= threshold;
    merged.skip_while(is_covered)
}

/// Whether any bucket holds less than before, or is gone.
fn fell(now: impl Iterator<Item = (i32, f64)>, before: impl Iterator<Item = (i32, f64)>) -> bool {
    let mut now = now.peekable();
    for (index, count) in before {
        while now.next_if(|(i, _)| *i < index).is_some() {}
        let has_fallen = match now.peek() {
            Some((i, found)) if *i == index => *found < count,
            _ => count != 0.0,
        };
        if has_fallen {
            return true;
        }
    }
    false
}

/// Notes with each histogram of a series, ascending by time, what the one before it tells: there
/// was no reset between them. Where there was one, or nothing is known, the hint is unknown.
///
/// PARITY(prometheus): its storage forgets the hints of counters and gives these, so that
/// functions need not compare the same two histograms in each window. Where `before` is not known,
/// the first histogram keeps the hint it has.
pub fn settle_hints(before: Option<&FloatHistogram>, histograms: &mut [Arc<FloatHistogram>]) {
    match (before, histograms.first_mut()) {
        (Some(before), Some(first)) => settle_hint(before, first),
        (None, Some(first)) if first.hint == ResetHint::Reset => {
            Arc::make_mut(first).hint = ResetHint::Unknown;
        }
        _ => {}
    }
    for at in 1..histograms.len() {
        let (before, rest) = histograms.split_at_mut(at);
        settle_hint(&before[at - 1], &mut rest[0]);
    }
}

fn settle_hint(previous: &FloatHistogram, h: &mut Arc<FloatHistogram>) {
    if h.hint == ResetHint::Gauge {
        return;
    }
    let is_known_reset = h.hint == ResetHint::Reset;
    if h.hint != ResetHint::Unknown {
        Arc::make_mut(h).hint = ResetHint::Unknown;
    }
    let follows = previous.hint != ResetHint::Gauge && !previous.is_stale() && !h.is_stale();
    if follows && !is_known_reset && h.continues(previous) {
        Arc::make_mut(h).hint = ResetHint::NoReset;
    }
}

/// Takes the buckets out of the histograms of a series, ascending by time, and notes with each one
/// what they tell of a reset before it.
///
/// PARITY(prometheus): `HistogramStatsIterator`.
pub fn strip_buckets(histograms: &mut [Arc<FloatHistogram>]) {
    let mut last: Option<Arc<FloatHistogram>> = None;
    for h in histograms {
        let mut bare = h.without_buckets();
        if h.is_stale() {
            *h = Arc::new(bare);
            continue;
        }
        if let (ResetHint::Unknown, Some(last)) = (h.hint, &last) {
            let is_reset = h.is_reset_since(last);
            bare.hint = if is_reset { ResetHint::Reset } else { ResetHint::NoReset };
        }
        last = Some(std::mem::replace(h, Arc::new(bare)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential, side};
    use super::*;

    #[test]
    fn falls_are_resets() {
        let before = exponential(1, &[1.0, 2.0, 3.0]);
        let is_reset = |now: &FloatHistogram| now.is_reset_since(&before);
        assert!(!is_reset(&before));
        assert!(!is_reset(&exponential(1, &[1.0, 2.0, 3.0, 1.0])));
        assert!(is_reset(&exponential(1, &[1.0, 1.0, 9.0])));
        assert!(is_reset(&exponential(1, &[6.0, 0.0, 3.0])));
        assert!(is_reset(&exponential(1, &[1.0, 2.0])), "fewer observations");
        assert!(is_reset(&exponential(2, &[9.0; 9])), "a finer schema");
        assert!(!is_reset(&exponential(0, &[1.0, 5.0])), "a coarser schema");
        assert!(is_reset(&exponential(0, &[2.0, 4.0])));
        assert!(is_reset(&custom(&[1.0], &[99.0])));
        let hinted = |hint, h: FloatHistogram| FloatHistogram { hint, ..h };
        assert!(is_reset(&hinted(ResetHint::Reset, before.clone())));
        assert!(!is_reset(&hinted(ResetHint::NoReset, exponential(1, &[0.0]))));
    }

    #[test]
    fn zero_buckets_may_grow_and_not_shrink() {
        let wide = |threshold, zero_count, counts: &[f64]| {
            let h = exponential(0, counts);
            FloatHistogram { zero_threshold: threshold, zero_count, count: 99.0, ..h }
        };
        let before = wide(0.5, 1.0, &[2.0, 3.0]);
        assert!(wide(0.25, 1.0, &[2.0, 3.0]).is_reset_since(&before));
        assert!(wide(0.5, 0.0, &[2.0, 3.0]).is_reset_since(&before));
        assert!(!wide(1.0, 3.0, &[0.0, 3.0]).is_reset_since(&before));
        assert!(wide(1.0, 2.0, &[0.0, 3.0]).is_reset_since(&before));
        assert!(wide(1.5, 9.0, &[0.0, 3.0]).is_reset_since(&before), "cuts a filled bucket");
        let negative = FloatHistogram { negative: side(0, &[4.0]), ..before.clone() };
        assert!(before.is_reset_since(&negative));
    }

    #[test]
    fn custom_bounds_are_compared_where_both_have_them() {
        let before = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!(!custom(&[2.0, 5.0], &[3.0, 7.0, 0.0]).is_reset_since(&before));
        assert!(custom(&[2.0, 5.0], &[2.0, 9.0, 9.0]).is_reset_since(&before));
    }

    #[test]
    fn hints_say_what_neighbours_show() {
        use ResetHint::{Gauge, NoReset, Reset, Unknown};
        let h = |hint, counts: &[f64]| Arc::new(FloatHistogram { hint, ..exponential(0, counts) });
        let mut run = [
            h(Reset, &[1.0]),
            h(Unknown, &[2.0]),
            h(NoReset, &[1.0]),
            h(Reset, &[3.0]),
            h(Gauge, &[4.0]),
            h(Unknown, &[5.0]),
        ];
        settle_hints(None, &mut run);
        // A reset that does not show is not known any more.
        assert_eq!(run.map(|h| h.hint), [Unknown, NoReset, Unknown, Unknown, Gauge, Unknown]);
    }

    #[test]
    fn buckets_leave_word_of_resets() {
        use ResetHint::{NoReset, Reset, Unknown};
        let stale = FloatHistogram { sum: m3rs_core::model::STALE_NAN, ..exponential(0, &[]) };
        let mut run = [
            exponential(0, &[1.0, 2.0]),
            exponential(0, &[2.0, 2.0]),
            stale,
            exponential(0, &[1.0, 9.0]),
        ]
        .map(Arc::new);
        strip_buckets(&mut run);
        assert!(run.iter().all(|h| h.positive.is_empty()));
        assert_eq!(run.map(|h| h.hint), [Unknown, NoReset, Unknown, Reset]);
    }
}
