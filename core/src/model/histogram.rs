//! Native histograms: exponential and custom buckets, integer and float counts.
//!
//! A [`Histogram`] shares its [`HistogramLayout`] with others of the same buckets, so that a run
//! of samples holds its spans and bounds once.

use std::sync::Arc;

use crate::model::is_stale;

/// The coarsest exponential schema: a bucket's bounds differ by a factor of 65,536.
pub const SCHEMA_MIN: i32 = -4;

/// The finest exponential schema: a bucket's bounds differ by a factor of 2^(1/256).
pub const SCHEMA_MAX: i32 = 8;

/// The schema of histograms whose bucket bounds are given one by one.
pub const SCHEMA_CUSTOM: i32 = -53;

/// The most buckets of one histogram, both sides together; also of spans and custom bounds.
pub const HISTOGRAM_BUCKETS_MAX: usize = 8192;

/// A run of buckets that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Buckets between the end of the run before and this one; for the first run its index.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// What is known of a counter reset between the histogram before and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResetHint {
    /// Nothing; it must be found by comparing.
    #[default]
    Unknown = 0,
    /// There was a reset.
    Reset = 1,
    /// There was none.
    NoReset = 2,
    /// The histogram is a gauge, which cannot be reset.
    Gauge = 3,
}

impl ResetHint {
    /// Reads the number that wire and file formats use; `None` for an unknown one.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Unknown),
            1 => Some(Self::Reset),
            2 => Some(Self::NoReset),
            3 => Some(Self::Gauge),
            _ => None,
        }
    }
}

/// Which buckets a histogram has. Equality is by bits.
#[derive(Clone, Debug, Default)]
pub struct HistogramLayout {
    /// Resolution: [`SCHEMA_MIN`] to [`SCHEMA_MAX`], or [`SCHEMA_CUSTOM`].
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Where the buckets of positive observations lie; of all observations for custom buckets.
    pub positive_spans: Vec<Span>,
    /// Where the buckets of negative observations lie.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets, ascending, without infinity; empty for other schemas.
    pub custom_bounds: Vec<f64>,
}

impl HistogramLayout {
    /// The number of positive buckets, as the spans say.
    #[must_use]
    pub fn positive_len(&self) -> u64 {
        span_buckets(&self.positive_spans)
    }

    /// The number of negative buckets, as the spans say.
    #[must_use]
    pub fn negative_len(&self) -> u64 {
        span_buckets(&self.negative_spans)
    }

    /// Checks all that does not need the counts.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let sizes = [
            self.positive_len().saturating_add(self.negative_len()),
            self.positive_spans.len() as u64,
            self.negative_spans.len() as u64,
            self.custom_bounds.len() as u64,
        ];
        for buckets in sizes {
            if buckets > HISTOGRAM_BUCKETS_MAX as u64 {
                return Err(HistogramError::TooManyBuckets { buckets });
            }
        }
        match self.schema {
            SCHEMA_CUSTOM => self.validate_custom(),
            SCHEMA_MIN..=SCHEMA_MAX if !self.custom_bounds.is_empty() => {
                Err(HistogramError::BoundsWithExponentialSchema)
            }
            SCHEMA_MIN..=SCHEMA_MAX => {
                check_spans(&self.positive_spans, false)?;
                check_spans(&self.negative_spans, false).map(drop)
            }
            schema => Err(HistogramError::Schema { schema }),
        }
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        if self.custom_bounds.iter().any(|b| b.is_nan()) {
            return Err(HistogramError::BoundIsNan);
        }
        if let Some(pair) = self.custom_bounds.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(HistogramError::BoundsOutOfOrder { before: pair[0], bound: pair[1] });
        }
        if self.custom_bounds.last() == Some(&f64::INFINITY) {
            return Err(HistogramError::BoundIsInfinite);
        }
        let reach = check_spans(&self.positive_spans, true)?;
        let bounds = self.custom_bounds.len() as u64;
        if bounds + 1 < reach {
            return Err(HistogramError::TooFewBounds { bounds, reach });
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::ZeroThresholdWithCustomBuckets);
        }
        if !self.negative_spans.is_empty() {
            return Err(HistogramError::NegativeWithCustomBuckets);
        }
        Ok(())
    }
}

/// Equality by bits: a NaN equals itself, and −0 differs from 0.
impl PartialEq for HistogramLayout {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && same_bits(&self.custom_bounds, &other.custom_bounds)
    }
}

impl Eq for HistogramLayout {}

fn span_buckets(spans: &[Span]) -> u64 {
    spans.iter().map(|s| u64::from(s.length)).sum()
}

/// Checks offsets and indexes; returns one above the highest index.
fn check_spans(spans: &[Span], is_custom: bool) -> Result<u64, HistogramError> {
    let mut end = 0i64;
    for (i, span) in spans.iter().enumerate() {
        if span.offset < 0 && (i > 0 || is_custom) {
            return Err(HistogramError::NegativeOffset { span: i + 1, offset: span.offset });
        }
        end += i64::from(span.offset) + i64::from(span.length);
        if i32::try_from(end).is_err() {
            return Err(HistogramError::IndexOutOfRange { index: end });
        }
    }
    Ok(u64::try_from(end).unwrap_or(0))
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Observations by bucket: all of them, those around zero, and those on either side.
///
/// Each bucket holds its own observations, not those of the buckets below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BucketCounts<T> {
    /// All observations.
    pub count: T,
    /// Observations in the zero bucket.
    pub zero: T,
    /// Observations in the positive buckets, in the order of the spans.
    pub positive: Vec<T>,
    /// Observations in the negative buckets, in the order of the spans.
    pub negative: Vec<T>,
}

/// Observations, as integers or as floats.
#[derive(Clone, Debug)]
pub enum Counts {
    /// Whole observations; each bucket has at most [`i64::MAX`].
    Integer(BucketCounts<u64>),
    /// Rates, averages and the like.
    Float(BucketCounts<f64>),
}

/// One native histogram. Equality is by bits.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Which buckets there are.
    pub layout: Arc<HistogramLayout>,
    /// What is known of a counter reset before it.
    pub reset_hint: ResetHint,
    /// Sum of the observed values. The staleness marker says that the series ended here.
    pub sum: f64,
    /// Observations.
    pub counts: Counts,
}

impl Histogram {
    /// The histogram that says that a series ended.
    #[must_use]
    pub fn stale() -> Self {
        Self {
            layout: Arc::default(),
            reset_hint: ResetHint::Unknown,
            sum: crate::model::STALE_NAN,
            counts: Counts::Integer(BucketCounts::default()),
        }
    }

    /// Whether it says that the series ended here.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether counts are floats.
    #[must_use]
    pub fn is_float(&self) -> bool {
        matches!(self.counts, Counts::Float(_))
    }

    /// The number of buckets, the zero bucket left out.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        match &self.counts {
            Counts::Integer(c) => c.positive.len() + c.negative.len(),
            Counts::Float(c) => c.positive.len() + c.negative.len(),
        }
    }

    /// Checks every rule that a stored histogram follows.
    ///
    /// PARITY(prometheus): `model/histogram`, `Histogram.Validate` and `FloatHistogram.Validate`.
    /// Further: at most [`HISTOGRAM_BUCKETS_MAX`] buckets, indexes of 32 bits.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(&self) -> Result<(), HistogramError> {
        self.layout.validate()?;
        self.validate_counts()
    }

    /// As [`Histogram::validate`], for a layout that is known to be valid.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate_counts(&self) -> Result<(), HistogramError> {
        match &self.counts {
            Counts::Integer(counts) => {
                self.check_lengths(counts)?;
                self.validate_integers(counts)
            }
            Counts::Float(counts) => {
                self.check_lengths(counts)?;
                self.validate_floats(counts)
            }
        }
    }

    fn check_lengths<T>(&self, counts: &BucketCounts<T>) -> Result<(), HistogramError> {
        let sides = [
            (self.layout.positive_len(), counts.positive.len() as u64),
            (self.layout.negative_len(), counts.negative.len() as u64),
        ];
        match sides.into_iter().find(|(spans, buckets)| spans != buckets) {
            Some((spans, buckets)) => Err(HistogramError::BucketsOfSpans { spans, buckets }),
            None => Ok(()),
        }
    }

    fn validate_integers(&self, counts: &BucketCounts<u64>) -> Result<(), HistogramError> {
        if self.layout.schema == SCHEMA_CUSTOM && counts.zero != 0 {
            return Err(HistogramError::ZeroCountWithCustomBuckets);
        }
        let mut sum = counts.zero;
        for &bucket in counts.positive.iter().chain(&counts.negative) {
            if i64::try_from(bucket).is_err() {
                return Err(HistogramError::NegativeBucket);
            }
            sum = sum.saturating_add(bucket);
        }
        let fits = if self.sum.is_nan() { sum <= counts.count } else { sum == counts.count };
        if fits {
            return Ok(());
        }
        Err(HistogramError::CountMismatch { buckets: sum, count: counts.count })
    }

    fn validate_floats(&self, counts: &BucketCounts<f64>) -> Result<(), HistogramError> {
        if self.layout.schema == SCHEMA_CUSTOM && counts.zero != 0.0 {
            return Err(HistogramError::ZeroCountWithCustomBuckets);
        }
        if counts.zero < 0.0 || counts.positive.iter().chain(&counts.negative).any(|&c| c < 0.0) {
            return Err(HistogramError::NegativeBucket);
        }
        if counts.count < 0.0 {
            return Err(HistogramError::NegativeCount { count: counts.count });
        }
        Ok(())
    }
}

/// Equality by bits: a NaN equals itself, and −0 differs from 0.
impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        let same_counts = match (&self.counts, &other.counts) {
            (Counts::Integer(a), Counts::Integer(b)) => a == b,
            (Counts::Float(a), Counts::Float(b)) => {
                same_bits(&[a.count, a.zero], &[b.count, b.zero])
                    && same_bits(&a.positive, &b.positive)
                    && same_bits(&a.negative, &b.negative)
            }
            _ => false,
        };
        same_counts
            && self.reset_hint == other.reset_hint
            && self.sum.to_bits() == other.sum.to_bits()
            && (Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout)
    }
}

impl Eq for Histogram {}

/// Why a histogram is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// A schema that stands for no buckets.
    #[error("histogram schema {schema} is not one of -4 to 8, or -53 for custom buckets")]
    Schema {
        /// The schema.
        schema: i32,
    },
    /// More buckets, spans or bounds than allowed.
    #[error("histogram of {buckets} buckets, the limit is {HISTOGRAM_BUCKETS_MAX}")]
    TooManyBuckets {
        /// How many there are.
        buckets: u64,
    },
    /// A later span that begins before the end of the one before it.
    #[error("histogram span {span} has a negative offset, {offset}")]
    NegativeOffset {
        /// The span, from 1.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// A bucket index beyond 32 bits.
    #[error("histogram bucket index {index} is beyond 32 bits")]
    IndexOutOfRange {
        /// The index.
        index: i64,
    },
    /// Spans and buckets of one side disagree.
    #[error("histogram spans need {spans} buckets, there are {buckets}")]
    BucketsOfSpans {
        /// Buckets that the spans need.
        spans: u64,
        /// Buckets that there are.
        buckets: u64,
    },
    /// A bucket with fewer than no observations.
    #[error("histogram has a bucket with a negative count")]
    NegativeBucket,
    /// Fewer than no observations.
    #[error("histogram count {count} is negative")]
    NegativeCount {
        /// The count.
        count: f64,
    },
    /// The buckets do not add up to the count.
    #[error("histogram has {buckets} observations in buckets, but a count of {count}")]
    CountMismatch {
        /// Observations in buckets.
        buckets: u64,
        /// The count.
        count: u64,
    },
    /// Custom bounds without custom buckets.
    #[error("histogram with an exponential schema has custom bounds")]
    BoundsWithExponentialSchema,
    /// A bound that is not a number.
    #[error("histogram has a custom bound that is NaN")]
    BoundIsNan,
    /// The last bound is infinite, which it is without being told.
    #[error("histogram has an infinite custom bound, which is implied")]
    BoundIsInfinite,
    /// Bounds that do not ascend.
    #[error("histogram custom bound {bound} follows {before}")]
    BoundsOutOfOrder {
        /// The bound before.
        before: f64,
        /// The bound that is not above it.
        bound: f64,
    },
    /// Spans that reach beyond the bounds.
    #[error("histogram of {bounds} custom bounds has spans up to bucket {reach}")]
    TooFewBounds {
        /// How many bounds there are.
        bounds: u64,
        /// How many buckets the spans reach over.
        reach: u64,
    },
    /// Custom buckets have no zero bucket.
    #[error("histogram with custom buckets has a zero threshold")]
    ZeroThresholdWithCustomBuckets,
    /// Custom buckets have no zero bucket.
    #[error("histogram with custom buckets has observations in a zero bucket")]
    ZeroCountWithCustomBuckets,
    /// Custom buckets have no negative side.
    #[error("histogram with custom buckets has negative buckets")]
    NegativeWithCustomBuckets,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential() -> Histogram {
        let layout = HistogramLayout {
            schema: 3,
            zero_threshold: 1e-128,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            custom_bounds: Vec::new(),
        };
        let counts =
            BucketCounts { count: 11, zero: 1, positive: vec![1, 2, 3], negative: vec![4] };
        Histogram {
            layout: Arc::new(layout),
            reset_hint: ResetHint::Unknown,
            sum: 17.5,
            counts: Counts::Integer(counts),
        }
    }

    fn custom() -> Histogram {
        let layout = HistogramLayout {
            schema: SCHEMA_CUSTOM,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            custom_bounds: vec![0.5, 1.0],
            ..HistogramLayout::default()
        };
        let counts =
            BucketCounts { count: 6.5, zero: 0.0, positive: vec![1.5, 2.0, 3.0], negative: vec![] };
        Histogram {
            layout: Arc::new(layout),
            reset_hint: ResetHint::Gauge,
            sum: -3.0,
            counts: Counts::Float(counts),
        }
    }

    fn refusal(
        mut h: Histogram,
        edit: impl FnOnce(&mut HistogramLayout, &mut f64, &mut Counts),
    ) -> HistogramError {
        let mut layout = HistogramLayout::clone(&h.layout);
        edit(&mut layout, &mut h.sum, &mut h.counts);
        h.layout = Arc::new(layout);
        h.validate().expect_err("not valid")
    }

    #[test]
    fn sound_ones_pass() {
        for h in [exponential(), custom(), Histogram::stale()] {
            assert_eq!(h.validate(), Ok(()));
            assert_eq!(h, h.clone());
        }
        assert!(Histogram::stale().is_stale());
        let mut uncounted = exponential();
        uncounted.sum = f64::NAN;
        if let Counts::Integer(c) = &mut uncounted.counts {
            c.count = 12;
        }
        assert_eq!(uncounted.validate(), Ok(()), "NaN observations are in no bucket");
    }

    #[test]
    fn each_rule_of_layouts_is_held() {
        use HistogramError as E;
        let of = |edit: fn(&mut HistogramLayout)| refusal(exponential(), |l, _, _| edit(l));
        assert_eq!(of(|l| l.schema = 9), E::Schema { schema: 9 });
        assert_eq!(of(|l| l.schema = -5), E::Schema { schema: -5 });
        assert_eq!(of(|l| l.custom_bounds.push(1.0)), E::BoundsWithExponentialSchema);
        let offset = E::NegativeOffset { span: 2, offset: -1 };
        assert_eq!(of(|l| l.positive_spans[1].offset = -1), offset);
        let index = E::IndexOutOfRange { index: i64::from(i32::MAX) + 2 };
        assert_eq!(of(|l| l.positive_spans[0].offset = i32::MAX - 4), index);
        let most = E::TooManyBuckets { buckets: HISTOGRAM_BUCKETS_MAX as u64 + 2 };
        assert_eq!(of(|l| l.positive_spans[0].length = HISTOGRAM_BUCKETS_MAX as u32), most);

        let of = |edit: fn(&mut HistogramLayout)| refusal(custom(), |l, _, _| edit(l));
        assert_eq!(of(|l| l.custom_bounds[1] = f64::NAN), E::BoundIsNan);
        assert_eq!(of(|l| l.custom_bounds[1] = f64::INFINITY), E::BoundIsInfinite);
        assert_eq!(
            of(|l| l.custom_bounds[1] = 0.5),
            E::BoundsOutOfOrder { before: 0.5, bound: 0.5 }
        );
        assert_eq!(of(|l| l.positive_spans[0].offset = 1), E::TooFewBounds { bounds: 2, reach: 4 });
        assert_eq!(of(|l| l.zero_threshold = 0.1), E::ZeroThresholdWithCustomBuckets);
        let side = Span { offset: 0, length: 1 };
        let refused = refusal(custom(), |l, _, _| l.negative_spans.push(side));
        assert_eq!(refused, E::NegativeWithCustomBuckets);
    }

    #[test]
    fn each_rule_of_counts_is_held() {
        use HistogramError as E;
        let integers = |edit: fn(&mut BucketCounts<u64>)| {
            refusal(exponential(), |_, _, c| match c {
                Counts::Integer(c) => edit(c),
                Counts::Float(_) => unreachable!("they are integers"),
            })
        };
        assert_eq!(integers(|c| c.count = 10), E::CountMismatch { buckets: 11, count: 10 });
        assert_eq!(
            integers(|c| c.positive.truncate(2)),
            E::BucketsOfSpans { spans: 3, buckets: 2 }
        );
        assert_eq!(integers(|c| c.negative[0] = u64::MAX), E::NegativeBucket);
        let floats = |edit: fn(&mut BucketCounts<f64>)| {
            refusal(custom(), |_, _, c| match c {
                Counts::Float(c) => edit(c),
                Counts::Integer(_) => unreachable!("they are floats"),
            })
        };
        assert_eq!(floats(|c| c.count = -1.0), E::NegativeCount { count: -1.0 });
        assert_eq!(floats(|c| c.positive[1] = -0.5), E::NegativeBucket);
        assert_eq!(floats(|c| c.zero = 0.5), E::ZeroCountWithCustomBuckets);
    }

    #[test]
    fn equality_is_by_bits() {
        let mut a = custom();
        a.sum = f64::NAN;
        let mut b = a.clone();
        assert_eq!(a, b);
        b.sum = -f64::NAN;
        assert_ne!(a, b);
        let mut b = a.clone();
        if let Counts::Float(c) = &mut b.counts {
            c.zero = -0.0;
        }
        assert_ne!(a, b);
        assert_ne!(exponential(), custom());
    }
}
