//! Bytes of a layout: schema, zero threshold, spans, bounds.

use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::model::{HISTOGRAM_BUCKETS_MAX, HistogramLayout, Span};
use m3rs_core::wire::{Cursor, put_varint, put_zigzag, unzigzag, zigzag};

const WHAT: &str = "histogram layout";

const THRESHOLD_ZERO: u8 = 0;
const THRESHOLD_USUAL: u8 = 1;
const THRESHOLD_BITS: u8 = 2;

/// The zero threshold of Prometheus's client libraries: 2^-128.
const USUAL_THRESHOLD: u64 = (1023 - 128) << 52;

/// Bounds are often short decimals: so many of them make a whole number.
const BOUND_SCALE: f64 = 1000.0;

/// A larger whole number would take more bytes than the bound's bits.
const SCALED_BOUND_MAX: f64 = 1e12;

pub(super) fn put(out: &mut Vec<u8>, layout: &HistogramLayout) {
    put_zigzag(out, i64::from(layout.schema));
    match layout.zero_threshold.to_bits() {
        0 => out.push(THRESHOLD_ZERO),
        USUAL_THRESHOLD => out.push(THRESHOLD_USUAL),
        bits => {
            out.push(THRESHOLD_BITS);
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }
    put_spans(out, &layout.positive_spans);
    put_spans(out, &layout.negative_spans);
    put_varint(out, layout.custom_bounds.len() as u64);
    for &bound in &layout.custom_bounds {
        match scaled(bound) {
            Some(scaled) => put_varint(out, zigzag(scaled) << 1),
            None => {
                out.push(1);
                out.extend_from_slice(&bound.to_bits().to_le_bytes());
            }
        }
    }
}

/// Reads a layout, and checks it.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Arc<HistogramLayout>, Corrupt> {
    let at = cursor.position();
    let schema = cursor.zigzag()?;
    let schema = i32::try_from(schema)
        .map_err(|_| Corrupt::new(WHAT, at, "a schema of 32 bits", schema.to_string()))?;
    let threshold_at = cursor.position();
    let zero_threshold = match cursor.u8()? {
        THRESHOLD_ZERO => 0.0,
        THRESHOLD_USUAL => f64::from_bits(USUAL_THRESHOLD),
        THRESHOLD_BITS => f64::from_bits(cursor.u64()?),
        tag => {
            let got = tag.to_string();
            return Err(Corrupt::new(WHAT, threshold_at, "a form of threshold", got));
        }
    };
    let positive_spans = read_spans(cursor)?;
    let negative_spans = read_spans(cursor)?;
    let mut custom_bounds = Vec::with_capacity(read_count(cursor, 1)?);
    for _ in 0..custom_bounds.capacity() {
        custom_bounds.push(read_bound(cursor)?);
    }
    let layout =
        HistogramLayout { schema, zero_threshold, positive_spans, negative_spans, custom_bounds };
    let valid = layout.validate();
    valid.map_err(|e| Corrupt::new(WHAT, at, "a valid layout", e.to_string()))?;
    Ok(Arc::new(layout))
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_varint(out, spans.len() as u64);
    for span in spans {
        put_zigzag(out, i64::from(span.offset));
        put_varint(out, u64::from(span.length));
    }
}

fn read_spans(cursor: &mut Cursor<'_>) -> Result<Vec<Span>, Corrupt> {
    let count = read_count(cursor, 2)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cursor.position();
        let (offset, length) = (cursor.zigzag()?, cursor.varint()?);
        let (Ok(offset), Ok(length)) = (i32::try_from(offset), u32::try_from(length)) else {
            let got = format!("offset {offset}, length {length}");
            return Err(Corrupt::new(WHAT, at, "a span of 32 bits", got));
        };
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn read_bound(cursor: &mut Cursor<'_>) -> Result<f64, Corrupt> {
    let form = cursor.varint()?;
    if form & 1 == 0 {
        return Ok(unzigzag(form >> 1) as f64 / BOUND_SCALE);
    }
    Ok(f64::from_bits(cursor.u64()?))
}

/// The whole number that the bound is a thousandth of, if it comes back from it by bits.
fn scaled(bound: f64) -> Option<i64> {
    let scaled = (bound * BOUND_SCALE).round();
    let fits = scaled.abs() < SCALED_BOUND_MAX
        && (scaled as i64 as f64 / BOUND_SCALE).to_bits() == bound.to_bits();
    fits.then_some(scaled as i64)
}

/// A number of items of at least `item_len` bytes each, so that it cannot ask for much memory.
fn read_count(cursor: &mut Cursor<'_>, item_len: usize) -> Result<usize, Corrupt> {
    let at = cursor.position();
    let count = cursor.varint()?;
    let most = HISTOGRAM_BUCKETS_MAX.min(cursor.remaining() / item_len);
    usize::try_from(count)
        .ok()
        .filter(|&n| n <= most)
        .ok_or_else(|| Corrupt::new(WHAT, at, format!("at most {most} items"), count.to_string()))
}
