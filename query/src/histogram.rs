//! Native histograms as queries compute with them: float counts, buckets by index.
//!
//! Meaning and rounding are those of Prometheus 3.14 (`model/histogram`, `FloatHistogram`). Runs
//! of samples share the indexes of their buckets, so that adding two histograms of one layout is a
//! loop over two slices.

mod arithmetic;
mod bound;
mod bucket;
mod observe;
mod reset;
mod resolution;
mod text;
mod trim;

use std::sync::Arc;

use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, SCHEMA_CUSTOM,
    Span as HistogramSpan, is_stale,
};

pub use arithmetic::{Combined, HistogramMean, HistogramSum, Incompatible};
pub use bucket::Bucket;
pub use observe::{Observed, Skew};
pub use reset::{settle_hints, strip_buckets};
pub use text::write_json;
pub(crate) use trim::Kept;

/// Buckets of one side of a histogram, ascending by index. A bucket may be there and empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Which buckets there are.
    indexes: Arc<[i32]>,
    /// Their observations.
    counts: Vec<f64>,
}

/// A native histogram with float counts.
#[derive(Clone, Debug, Default)]
pub struct FloatHistogram {
    /// What is known of a counter reset between the histogram before and this one.
    pub hint: ResetHint,
    /// Resolution; [`SCHEMA_CUSTOM`] for custom buckets.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of the observed values.
    pub sum: f64,
    /// Buckets of positive observations; of all observations for custom buckets.
    pub positive: Buckets,
    /// Buckets of negative observations.
    pub negative: Buckets,
    /// Upper bounds of custom buckets; empty for other schemas.
    pub bounds: Arc<[f64]>,
}

impl Buckets {
    /// Buckets by index, ascending, with their observations.
    #[must_use]
    pub fn new(indexes: Arc<[i32]>, counts: Vec<f64>) -> Self {
        debug_assert_eq!(indexes.len(), counts.len(), "BUG: a count for each bucket");
        Self { indexes, counts }
    }

    /// Indexes and observations, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> + ExactSizeIterator + '_ {
        self.indexes.iter().copied().zip(self.counts.iter().copied())
    }

    /// How many buckets there are, empty ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is no bucket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Keeps the buckets that `keeps` says of by position.
    fn retain(&mut self, keeps: impl Fn(usize) -> bool) {
        if (0..self.len()).all(&keeps) {
            return;
        }
        let indexes = self.indexes.iter().enumerate().filter(|(i, _)| keeps(*i));
        self.indexes = indexes.map(|(_, index)| *index).collect();
        let mut at = 0;
        self.counts.retain(|_| {
            at += 1;
            keeps(at - 1)
        });
    }

    fn each_count(&mut self, f: impl FnMut(&mut f64)) {
        self.counts.iter_mut().for_each(f);
    }
}

impl FloatHistogram {
    /// Whether bucket bounds are given one by one.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.schema == SCHEMA_CUSTOM
    }

    /// Whether it says that the series ended here.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Takes out empty buckets.
    pub fn compact(&mut self) {
        for side in [&mut self.positive, &mut self.negative] {
            if side.counts.contains(&0.0) {
                let counts = side.counts.clone();
                side.retain(|i| counts[i] != 0.0);
            }
        }
    }

    /// The same without empty buckets.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.compact();
        self
    }

    /// The same without buckets, for functions that look at count and sum alone.
    #[must_use]
    pub fn without_buckets(&self) -> Self {
        let (hint, schema, count, sum) = (self.hint, self.schema, self.count, self.sum);
        Self { hint, schema, count, sum, ..Self::default() }
    }

    /// Whether anything in it is infinite.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        let sides = self.positive.counts.iter().chain(&self.negative.counts);
        [self.zero_count, self.count, self.sum].iter().chain(sides).any(|v| v.is_infinite())
            || self.bounds.iter().any(|v| v.is_infinite())
    }

    /// How many samples it counts for: PARITY(prometheus), one for each 16 bytes.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let spans = |side: &Buckets| {
            let breaks = side.indexes.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
            breaks + usize::from(!side.is_empty())
        };
        let spans = spans(&self.positive) + spans(&self.negative);
        let buckets = self.positive.len() + self.negative.len() + self.bounds.len();
        (168 + 8 * (spans + buckets) + 8) as u64 / 16
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.positive.len() + self.negative.len())
    }
}

/// Equality by bits of what is observed; the hint does not count, nor do empty buckets.
///
/// PARITY(prometheus): `FloatHistogram.Equals`, of which both sides are expected to be compacted.
impl PartialEq for FloatHistogram {
    fn eq(&self, other: &Self) -> bool {
        let bits = |h: &Self| [h.count, h.sum, h.zero_count].map(f64::to_bits);
        let filled = |side: &Buckets| {
            let present = side.iter().filter(|(_, count)| *count != 0.0);
            present.map(|(index, count)| (index, count.to_bits())).collect::<Vec<_>>()
        };
        self.schema == other.schema
            && bits(self) == bits(other)
            && self.bounds == other.bounds
            && self.zero_threshold == other.zero_threshold
            && filled(&self.positive) == filled(&other.positive)
            && filled(&self.negative) == filled(&other.negative)
    }
}

/// Makes histograms of storage into those of queries. Keeps the layout of the last one, which the
/// next one mostly shares.
#[derive(Debug, Default)]
pub struct Converter {
    layout: Option<Arc<HistogramLayout>>,
    positive: Arc<[i32]>,
    negative: Arc<[i32]>,
    bounds: Arc<[f64]>,
}

impl Converter {
    /// The same histogram. Costs a copy of the counts while layouts are shared.
    pub fn convert(&mut self, h: &Histogram) -> FloatHistogram {
        if !self.layout.as_ref().is_some_and(|known| Arc::ptr_eq(known, &h.layout)) {
            self.positive = indexes(&h.layout.positive_spans);
            self.negative = indexes(&h.layout.negative_spans);
            self.bounds = h.layout.custom_bounds.as_slice().into();
            self.layout = Some(Arc::clone(&h.layout));
        }
        let counts = match &h.counts {
            Counts::Integer(counts) => to_floats(counts),
            Counts::Float(counts) => counts.clone(),
        };
        FloatHistogram {
            hint: h.reset_hint,
            schema: h.layout.schema,
            zero_threshold: h.layout.zero_threshold,
            zero_count: counts.zero,
            count: counts.count,
            sum: h.sum,
            positive: Buckets::new(Arc::clone(&self.positive), counts.positive),
            negative: Buckets::new(Arc::clone(&self.negative), counts.negative),
            bounds: Arc::clone(&self.bounds),
        }
    }
}

fn to_floats(counts: &BucketCounts<u64>) -> BucketCounts<f64> {
    let side = |side: &[u64]| side.iter().map(|count| *count as f64).collect();
    BucketCounts {
        count: counts.count as f64,
        zero: counts.zero as f64,
        positive: side(&counts.positive),
        negative: side(&counts.negative),
    }
}

fn indexes(spans: &[HistogramSpan]) -> Arc<[i32]> {
    let mut indexes = Vec::new();
    let mut next = 0i32;
    for span in spans {
        next = next.wrapping_add(span.offset);
        for _ in 0..span.length {
            indexes.push(next);
            next = next.wrapping_add(1);
        }
    }
    indexes.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Buckets that follow each other from `first` on.
    pub(crate) fn side(first: i32, counts: &[f64]) -> Buckets {
        Buckets::new((first..).take(counts.len()).collect(), counts.to_vec())
    }

    /// An exponential histogram with positive buckets from index 0 on.
    pub(crate) fn exponential(schema: i32, counts: &[f64]) -> FloatHistogram {
        let count = counts.iter().sum();
        let positive = side(0, counts);
        FloatHistogram { schema, count, sum: count, positive, ..FloatHistogram::default() }
    }

    /// A histogram with custom buckets.
    pub(crate) fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
        FloatHistogram { bounds: bounds.into(), ..exponential(SCHEMA_CUSTOM, counts) }
    }

    #[test]
    fn spans_become_indexes() {
        let span = |offset, length| HistogramSpan { offset, length };
        assert_eq!(*indexes(&[span(-2, 2), span(0, 1), span(3, 2)]), [-2, -1, 0, 4, 5]);
        assert_eq!(*indexes(&[span(7, 0), span(1, 1)]), [8]);
    }

    #[test]
    fn conversion_keeps_counts_and_shares_layouts() {
        let layout = Arc::new(HistogramLayout {
            schema: 3,
            positive_spans: vec![HistogramSpan { offset: 1, length: 2 }],
            ..HistogramLayout::default()
        });
        let counts = BucketCounts { count: 6, zero: 1, positive: vec![2, 3], negative: vec![] };
        let h = Histogram {
            layout,
            reset_hint: ResetHint::Gauge,
            sum: 2.5,
            counts: Counts::Integer(counts),
        };
        let mut converter = Converter::default();
        let (a, b) = (converter.convert(&h), converter.convert(&h.clone()));
        assert!(Arc::ptr_eq(&a.positive.indexes, &b.positive.indexes));
        assert_eq!(a.positive.iter().collect::<Vec<_>>(), [(1, 2.0), (2, 3.0)]);
        assert_eq!((a.hint, a.count, a.zero_count, a.sum), (ResetHint::Gauge, 6.0, 1.0, 2.5));
    }

    #[test]
    fn equality_ignores_empty_buckets_and_hints() {
        let full = exponential(0, &[1.0, 0.0, 2.0]);
        let mut compact = full.clone().compacted();
        compact.hint = ResetHint::Gauge;
        assert_eq!(compact.positive.len(), 2);
        assert_eq!(full, compact);
        assert_ne!(full, exponential(1, &[1.0, 0.0, 2.0]));
        assert_ne!(full, exponential(0, &[1.0, 2.0]));
    }
}
