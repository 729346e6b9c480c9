//! Native histograms as Remote Write sends them; 1.0 and 2.0 have the same fields, but for the
//! start timestamp.

use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::model::{
    BucketCounts, Counts, HISTOGRAM_BUCKETS_MAX, Histogram, HistogramError, HistogramLayout,
    ResetHint, SCHEMA_MAX, Span,
};
use m3rs_core::wire::proto::{Field, Fields, Value};
use m3rs_core::wire::{Cursor, unzigzag};

const WHAT: &str = "Histogram";

/// The finest schema that may come; those finer than [`SCHEMA_MAX`] are merged down to it.
const SCHEMA_RESERVED_MAX: i32 = 52;

/// Which version a message is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.0, without start timestamps.
    One,
    /// 2.0.
    Two,
}

/// One histogram of a request.
#[derive(Debug)]
pub(super) struct WireHistogram {
    /// Milliseconds since 1970.
    pub(super) t: i64,
    /// Since when it has been counted, in milliseconds; 0 is not told.
    pub(super) start: i64,
    /// The valid histogram, or which rule it breaks.
    pub(super) histogram: Result<Histogram, HistogramError>,
}

/// The message's fields; of several of a kind the last one counts, lists are gathered.
#[derive(Default)]
struct Message {
    count_int: u64,
    count_float: Option<f64>,
    zero_int: u64,
    zero_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    positive: Side,
    negative: Side,
    hint: ResetHint,
    t: i64,
    start: i64,
    custom_bounds: Vec<f64>,
    /// Items of lists, as far as they go beyond the most that is kept.
    beyond: u64,
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Reads a `Histogram` message.
///
/// # Errors
/// [`Corrupt`] if it is none. A rule of histograms that does not hold is a value instead.
pub(super) fn parse_histogram(bytes: &[u8], version: Version) -> Result<WireHistogram, Corrupt> {
    let mut message = Message::default();
    let mut fields = Fields::new(WHAT, bytes);
    while let Some(field) = fields.next_field()? {
        message.take(&field, version)?;
    }
    let (t, start) = (message.t, message.start);
    Ok(WireHistogram { t, start, histogram: message.finish() })
}

impl Message {
    fn take(&mut self, field: &Field<'_>, version: Version) -> Result<(), Corrupt> {
        match field.number {
            1 => (self.count_int, self.count_float) = (field.varint(WHAT)?, None),
            2 => (self.count_int, self.count_float) = (0, Some(field.double(WHAT)?)),
            3 => self.sum = field.double(WHAT)?,
            // Protobuf keeps the low 32 bits of a varint of that type.
            4 => self.schema = unzigzag(u64::from(field.varint(WHAT)? as u32)) as i32,
            5 => self.zero_threshold = field.double(WHAT)?,
            6 => (self.zero_int, self.zero_float) = (field.varint(WHAT)?, 0.0),
            7 => (self.zero_int, self.zero_float) = (0, field.double(WHAT)?),
            8 => take_span(field, &mut self.negative.spans, &mut self.beyond)?,
            9 => take_deltas(field, &mut self.negative.deltas, &mut self.beyond)?,
            10 => take_doubles(field, &mut self.negative.counts, &mut self.beyond)?,
            11 => take_span(field, &mut self.positive.spans, &mut self.beyond)?,
            12 => take_deltas(field, &mut self.positive.deltas, &mut self.beyond)?,
            13 => take_doubles(field, &mut self.positive.counts, &mut self.beyond)?,
            14 => {
                let tag = u8::try_from(field.varint(WHAT)? as u32).ok();
                self.hint = tag.and_then(ResetHint::from_tag).unwrap_or_default();
            }
            15 => self.t = field.varint(WHAT)? as i64,
            16 => take_doubles(field, &mut self.custom_bounds, &mut self.beyond)?,
            17 if version == Version::Two => self.start = field.varint(WHAT)? as i64,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Histogram, HistogramError> {
        if self.beyond > 0 {
            let buckets = HISTOGRAM_BUCKETS_MAX as u64 + self.beyond;
            return Err(HistogramError::TooManyBuckets { buckets });
        }
        let (positive, negative) = (self.positive, self.negative);
        let counts = match self.count_float {
            Some(count) => Counts::Float(BucketCounts {
                count,
                zero: self.zero_float,
                positive: positive.counts,
                negative: negative.counts,
            }),
            None => Counts::Integer(BucketCounts {
                count: self.count_int,
                zero: self.zero_int,
                positive: absolute(&positive.deltas)?,
                negative: absolute(&negative.deltas)?,
            }),
        };
        let mut layout = HistogramLayout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: positive.spans,
            negative_spans: negative.spans,
            custom_bounds: self.custom_bounds,
        };
        let too_fine = (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&layout.schema);
        let counts = if too_fine { coarsen(&mut layout, counts)? } else { counts };
        let layout = Arc::new(layout);
        let h = Histogram { layout, reset_hint: self.hint, sum: self.sum, counts };
        h.validate()?;
        Ok(h)
    }
}

/// Adds one item to a list, or counts it if there are too many.
fn keep<T>(list: &mut Vec<T>, item: T, beyond: &mut u64) {
    if list.len() < HISTOGRAM_BUCKETS_MAX {
        list.push(item);
    } else {
        *beyond += 1;
    }
}

fn take_span(field: &Field<'_>, list: &mut Vec<Span>, beyond: &mut u64) -> Result<(), Corrupt> {
    const WHAT: &str = "BucketSpan";
    let mut span = Span { offset: 0, length: 0 };
    let mut fields = Fields::new(WHAT, field.bytes(WHAT)?);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => span.offset = unzigzag(u64::from(field.varint(WHAT)? as u32)) as i32,
            2 => span.length = field.varint(WHAT)? as u32,
            _ => {}
        }
    }
    keep(list, span, beyond);
    Ok(())
}

/// A list of numbers: packed, or a field for each.
fn take_deltas(field: &Field<'_>, list: &mut Vec<i64>, beyond: &mut u64) -> Result<(), Corrupt> {
    if let Value::Varint(v) = field.value {
        keep(list, unzigzag(v), beyond);
        return Ok(());
    }
    let mut packed = Cursor::new(WHAT, field.bytes(WHAT)?);
    while !packed.is_empty() {
        keep(list, packed.zigzag()?, beyond);
    }
    Ok(())
}

fn take_doubles(field: &Field<'_>, list: &mut Vec<f64>, beyond: &mut u64) -> Result<(), Corrupt> {
    if let Value::Fixed64(bits) = field.value {
        keep(list, f64::from_bits(bits), beyond);
        return Ok(());
    }
    let mut packed = Cursor::new(WHAT, field.bytes(WHAT)?);
    while !packed.is_empty() {
        keep(list, f64::from_bits(packed.u64()?), beyond);
    }
    Ok(())
}

/// Counts from the differences of neighbours.
fn absolute(deltas: &[i64]) -> Result<Vec<u64>, HistogramError> {
    let mut count = 0i64;
    let next = |delta: &i64| {
        count = count.checked_add(*delta).ok_or(HistogramError::NegativeBucket)?;
        u64::try_from(count).map_err(|_| HistogramError::NegativeBucket)
    };
    deltas.iter().map(next).collect()
}

/// Merges buckets until the schema is the finest that is stored.
///
/// PARITY(prometheus): `storage/remote/write_handler.go` does so for reserved schemas.
fn coarsen(layout: &mut HistogramLayout, counts: Counts) -> Result<Counts, HistogramError> {
    let steps = layout.schema - SCHEMA_MAX;
    layout.schema = SCHEMA_MAX;
    // Spans and counts must agree before they are merged.
    layout.validate()?;
    let (positive, negative) = (&mut layout.positive_spans, &mut layout.negative_spans);
    Ok(match counts {
        Counts::Integer(c) => Counts::Integer(BucketCounts {
            positive: merge(positive, &c.positive, steps, u64::saturating_add)?,
            negative: merge(negative, &c.negative, steps, u64::saturating_add)?,
            ..c
        }),
        Counts::Float(c) => Counts::Float(BucketCounts {
            positive: merge(positive, &c.positive, steps, |a, b| a + b)?,
            negative: merge(negative, &c.negative, steps, |a, b| a + b)?,
            ..c
        }),
    })
}

/// Adds up the buckets whose indexes become one when the schema is lowered by `steps`.
fn merge<T: Copy>(
    spans: &mut Vec<Span>,
    counts: &[T],
    steps: i32,
    add: impl Fn(T, T) -> T,
) -> Result<Vec<T>, HistogramError> {
    let buckets: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if buckets != counts.len() as u64 {
        let (spans, buckets) = (buckets, counts.len() as u64);
        return Err(HistogramError::BucketsOfSpans { spans, buckets });
    }
    let mut counts = counts.iter();
    let mut merged: Vec<(i64, T)> = Vec::new();
    let mut index = 0i64;
    for span in spans.iter() {
        index += i64::from(span.offset);
        for &count in counts.by_ref().take(span.length as usize) {
            let coarse = ((index - 1) >> steps.min(63)) + 1;
            match merged.last_mut() {
                Some((last, sum)) if *last == coarse => *sum = add(*sum, count),
                _ => merged.push((coarse, count)),
            }
            index += 1;
        }
    }
    spans.clear();
    let mut end = 0;
    for &(index, _) in &merged {
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            // Coarse indexes are nearer to 0 than the fine ones, which have 32 bits.
            _ => spans.push(Span { offset: (index - end) as i32, length: 1 }),
        }
        end = index + 1;
    }
    Ok(merged.into_iter().map(|(_, count)| count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_schemas_are_merged_down() {
        let mut layout = HistogramLayout {
            schema: 9,
            positive_spans: vec![Span { offset: -1, length: 4 }, Span { offset: 5, length: 1 }],
            ..HistogramLayout::default()
        };
        // Indexes -1, 0, 1, 2, 8 become 0, 0, 1, 1, 4.
        let counts =
            BucketCounts { count: 15, zero: 0, positive: vec![1, 2, 3, 4, 5], negative: vec![] };
        let merged = coarsen(&mut layout, Counts::Integer(counts)).expect("they agree");
        let Counts::Integer(merged) = merged else { panic!("they stay integers") };
        assert_eq!(merged.positive, [3, 7, 5]);
        let spans = [Span { offset: 0, length: 2 }, Span { offset: 2, length: 1 }];
        assert_eq!((layout.schema, &layout.positive_spans[..]), (8, &spans[..]));
        let counts = BucketCounts { positive: vec![1], ..BucketCounts::default() };
        assert!(coarsen(&mut layout, Counts::Integer(counts)).is_err());
    }

    #[test]
    fn lists_beyond_the_limit_take_no_memory() {
        let packed = vec![2; 2 * HISTOGRAM_BUCKETS_MAX];
        let mut message = vec![0x62];
        m3rs_core::wire::put_length_prefixed(&mut message, &packed);
        let parsed = parse_histogram(&message, Version::Two).expect("well formed");
        let buckets = packed.len() as u64;
        assert_eq!(parsed.histogram, Err(HistogramError::TooManyBuckets { buckets }));
    }

    #[test]
    fn negative_buckets_are_refused() {
        for deltas in [&[1, -2][..], &[i64::MAX, 1]] {
            assert_eq!(absolute(deltas), Err(HistogramError::NegativeBucket));
        }
        assert_eq!(absolute(&[3, -1, 0]), Ok(vec![3, 2, 2]));
    }
}
