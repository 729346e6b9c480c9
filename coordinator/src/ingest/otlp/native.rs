//! Native histograms from those of OpenTelemetry.
//!
//! PARITY(prometheus): `histograms.go` of the translator, down to where spans begin.

use std::sync::Arc;

use m3rs_core::model::{
    BucketCounts, Counts, HISTOGRAM_BUCKETS_MAX, Histogram, HistogramError, HistogramLayout,
    ResetHint, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span,
};

use crate::ingest::otlp::points::{ExponentialPoint, HistogramPoint, Side};

/// Half the width of the zero bucket; OpenTelemetry's own is not taken over.
const ZERO_THRESHOLD: f64 = 1e-128;

/// As many empty buckets are written out before a new span begins.
const GAP_MAX: i64 = 2;

/// The histogram of an exponential data point; `is_delta` marks one whose counts are not running
/// totals.
///
/// # Errors
/// A scale or a number of buckets that cannot be, or a rule of histograms.
pub(super) fn of_exponential(
    point: &ExponentialPoint<'_>,
    is_delta: bool,
) -> Result<Histogram, HistogramError> {
    if point.common.is_stale {
        return Ok(Histogram::stale());
    }
    let buckets = point.bucket_count();
    if buckets > HISTOGRAM_BUCKETS_MAX as u64 {
        return Err(HistogramError::TooManyBuckets { buckets });
    }
    if point.scale < SCHEMA_MIN {
        return Err(HistogramError::Schema { schema: point.scale });
    }
    let steps = point.scale.saturating_sub(SCHEMA_MAX).max(0);
    let mut positive = Layout::default();
    positive.add_exponential(&point.positive, steps)?;
    let mut negative = Layout::default();
    negative.add_exponential(&point.negative, steps)?;
    let layout = HistogramLayout {
        schema: point.scale - steps,
        zero_threshold: ZERO_THRESHOLD,
        positive_spans: positive.spans,
        negative_spans: negative.spans,
        custom_bounds: Vec::new(),
    };
    finish(
        layout,
        is_delta,
        point.sum,
        BucketCounts {
            count: point.count,
            zero: point.zero_count,
            positive: positive.counts,
            negative: negative.counts,
        },
    )
}

/// The histogram with custom buckets of a data point with bounds.
///
/// # Errors
/// A number of buckets that cannot be, or a rule of histograms.
pub(super) fn of_explicit(
    point: &HistogramPoint<'_>,
    is_delta: bool,
) -> Result<Histogram, HistogramError> {
    if point.common.is_stale {
        return Ok(Histogram::stale());
    }
    let buckets = point.list_len();
    if buckets > HISTOGRAM_BUCKETS_MAX as u64 {
        return Err(HistogramError::TooManyBuckets { buckets });
    }
    let all = &point.buckets.kept;
    let first = all.iter().position(|count| *count != 0).unwrap_or(all.len());
    let mut positive = Layout::default();
    // At most the limit above.
    positive.add(&all[first..], first as i64, first as i64, 0)?;
    let layout = HistogramLayout {
        schema: SCHEMA_CUSTOM,
        positive_spans: positive.spans,
        custom_bounds: point.bounds.kept.clone(),
        ..HistogramLayout::default()
    };
    let counts =
        BucketCounts { count: point.count, positive: positive.counts, ..BucketCounts::default() };
    finish(layout, is_delta, point.sum, counts)
}

fn finish(
    layout: HistogramLayout,
    is_delta: bool,
    sum: Option<f64>,
    counts: BucketCounts<u64>,
) -> Result<Histogram, HistogramError> {
    // What is known of a reset is found by comparing; deltas are no counter at all.
    let reset_hint = if is_delta { ResetHint::Gauge } else { ResetHint::Unknown };
    let h = Histogram {
        layout: Arc::new(layout),
        reset_hint,
        sum: sum.unwrap_or(0.0),
        counts: Counts::Integer(counts),
    };
    h.validate()?;
    Ok(h)
}

/// Spans and counts of one side.
#[derive(Default)]
struct Layout {
    spans: Vec<Span>,
    counts: Vec<u64>,
}

impl Layout {
    fn add_exponential(&mut self, side: &Side, steps: i32) -> Result<(), HistogramError> {
        let offset = i64::from(side.offset);
        // Bucket 0 is (1, base] there and (1/base, 1] here.
        self.add(&side.counts.kept, offset, (offset >> steps.min(63)) + 1, steps)
    }

    /// Adds dense counts, the first of them with index `offset`, as buckets that `steps` halvings
    /// of the resolution leave. The first span begins at `first`.
    fn add(
        &mut self,
        dense: &[u64],
        offset: i64,
        first: i64,
        steps: i32,
    ) -> Result<(), HistogramError> {
        if dense.is_empty() {
            return Ok(());
        }
        let merged = |i: usize| ((i as i64 + offset) >> steps.min(63)) + 1;
        self.begin(first)?;
        let mut index = merged(0);
        let mut count = 0u64;
        for (i, &next) in dense.iter().enumerate() {
            let next_index = merged(i);
            if index == next_index {
                count = count.saturating_add(next);
            } else if count == 0 {
                // The gap is made when there is something to put behind it.
                count = next;
            } else {
                self.put(next_index - index - 1, count)?;
                count = next;
                index = next_index;
            }
        }
        self.put(merged(dense.len() - 1) - index, count)
    }

    fn begin(&mut self, offset: i64) -> Result<(), HistogramError> {
        let offset =
            i32::try_from(offset).map_err(|_| HistogramError::IndexOutOfRange { index: offset })?;
        self.spans.push(Span { offset, length: 0 });
        Ok(())
    }

    /// Puts a bucket behind `gap` empty ones.
    fn put(&mut self, gap: i64, count: u64) -> Result<(), HistogramError> {
        if gap > GAP_MAX {
            self.begin(gap)?;
        } else {
            for _ in 0..gap {
                self.push(0);
            }
        }
        self.push(count);
        Ok(())
    }

    fn push(&mut self, count: u64) {
        if let Some(span) = self.spans.last_mut() {
            span.length += 1;
            self.counts.push(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::otlp::points::Numbers;

    fn numbers<T>(kept: Vec<T>) -> Numbers<T> {
        Numbers { kept, beyond: 0 }
    }

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans.iter().map(|&(offset, length)| Span { offset, length }).collect()
    }

    fn laid_out(dense: &[u64], offset: i32, steps: i32) -> (Vec<Span>, Vec<u64>) {
        let mut layout = Layout::default();
        let side = Side { offset, counts: numbers(dense.to_vec()) };
        layout.add_exponential(&side, steps).expect("in range");
        (layout.spans, layout.counts)
    }

    /// Cases of `TestConvertBucketsLayout`, deltas turned into counts.
    #[test]
    fn buckets_are_laid_out_as_in_prometheus() {
        assert_eq!(laid_out(&[4, 3, 2, 1], 1, 0), (spans(&[(2, 4)]), vec![4, 3, 2, 1]));
        assert_eq!(laid_out(&[4, 3, 2, 1], 1, 1), (spans(&[(1, 3)]), vec![4, 5, 1]));
        assert_eq!(laid_out(&[4, 3, 2, 1], 1, 2), (spans(&[(1, 2)]), vec![9, 1]));
        let zeros = [0, 0, 0, 0, 0, 0, 4, 3, 2, 1];
        assert_eq!(laid_out(&zeros, -5, 0), (spans(&[(-4, 0), (6, 4)]), vec![4, 3, 2, 1]));
        let gap = [4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(laid_out(&gap, 1, 0), (spans(&[(2, 4), (15, 1)]), vec![4, 3, 2, 1, 1]));
        let small = [1, 0, 0, 1];
        assert_eq!(laid_out(&small, 0, 0), (spans(&[(1, 4)]), vec![1, 0, 0, 1]));
        assert_eq!(laid_out(&[], 5, 0), (vec![], vec![]));
        assert_eq!(laid_out(&[5], -7, 3), (spans(&[(0, 1)]), vec![5]));
    }

    #[test]
    fn scales_are_brought_into_range() {
        let mut point = ExponentialPoint {
            count: 15,
            sum: Some(2.5),
            scale: 20,
            zero_count: 5,
            positive: Side { offset: i32::MAX - 3, counts: numbers(vec![1, 2, 3]) },
            negative: Side { offset: i32::MIN, counts: numbers(vec![4]) },
            ..ExponentialPoint::default()
        };
        let h = of_exponential(&point, false).expect("valid");
        assert_eq!((h.layout.schema, h.reset_hint), (8, ResetHint::Unknown));
        assert_eq!(h.layout.positive_spans, spans(&[((i32::MAX >> 12) + 1, 1)]));
        assert_eq!(of_exponential(&point, true).expect("valid").reset_hint, ResetHint::Gauge);
        point.scale = i32::MAX;
        assert!(of_exponential(&point, false).is_ok());
        point.scale = 8;
        assert!(matches!(
            of_exponential(&point, false),
            Err(HistogramError::IndexOutOfRange { .. })
        ));
        point.scale = -5;
        assert_eq!(of_exponential(&point, false), Err(HistogramError::Schema { schema: -5 }));
        point.common.is_stale = true;
        assert!(of_exponential(&point, false).expect("stale").is_stale());
    }

    #[test]
    fn bounds_become_custom_buckets() {
        let mut point = HistogramPoint {
            count: 6,
            sum: Some(1.5),
            buckets: numbers(vec![0, 0, 4, 0, 2]),
            bounds: numbers(vec![1.0, 2.0, 3.0, 4.0]),
            ..HistogramPoint::default()
        };
        let h = of_explicit(&point, false).expect("valid");
        assert_eq!(h.layout.positive_spans, spans(&[(2, 3)]));
        assert_eq!(h.layout.custom_bounds, [1.0, 2.0, 3.0, 4.0]);
        let Counts::Integer(counts) = &h.counts else { panic!("whole numbers") };
        assert_eq!(counts.positive, [4, 0, 2]);
        point.buckets = numbers(vec![0, 0]);
        point.count = 0;
        assert!(of_explicit(&point, false).expect("empty").layout.positive_spans.is_empty());
        point.bounds = numbers(vec![2.0, 1.0]);
        assert!(of_explicit(&point, false).is_err());
    }
}
