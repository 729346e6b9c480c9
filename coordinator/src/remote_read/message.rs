//! Fields of the messages that answer remote read.

use m3rs_core::model::{BucketCounts, Counts, Histogram, Labels, ResetHint, Span};
use m3rs_core::wire::{put_length_prefixed, put_varint, put_zigzag};

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

/// Fields of `TimeSeries` and `ChunkedSeries`.
const SERIES_LABEL: u32 = 1;
const SERIES_SAMPLE: u32 = 2;
const SERIES_HISTOGRAM: u32 = 4;

/// Appends the tag of a field with bytes, and these.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field << 3 | BYTES));
    put_length_prefixed(out, bytes);
}

/// Appends a number; none if it is 0, which is what an absent one means.
pub(super) fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        put_varint(out, u64::from(field << 3 | VARINT));
        put_varint(out, number);
    }
}

/// Appends a float, whatever its value: Prometheus leaves out -0, too, and loses its sign.
pub(super) fn put_double(out: &mut Vec<u8>, field: u32, v: f64) {
    if v.to_bits() != 0 {
        put_varint(out, u64::from(field << 3 | FIXED64));
        out.extend_from_slice(&v.to_bits().to_le_bytes());
    }
}

/// Appends the labels of a series.
pub(super) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    let mut rest = labels.iter();
    let mut label = Vec::with_capacity(64);
    while let Some((name, value)) = rest.next_bytes() {
        label.clear();
        put_bytes(&mut label, 1, name);
        put_bytes(&mut label, 2, value);
        put_bytes(out, SERIES_LABEL, &label);
    }
}

/// Appends a float sample.
pub(super) fn put_sample(out: &mut Vec<u8>, t_ms: i64, v: f64) {
    // Two bytes before it, one for each field, 8 for a value and 10 for a time at most.
    let start = out.len() + 2;
    put_varint(out, u64::from(SERIES_SAMPLE << 3 | BYTES));
    out.push(0);
    put_double(out, 1, v);
    put_number(out, 2, t_ms.cast_unsigned());
    let len = out.len() - start;
    out[start - 1] = u8::try_from(len).expect("BUG: a sample has 20 bytes at most");
}

/// Appends a native histogram.
pub(super) fn put_histogram(out: &mut Vec<u8>, t_ms: i64, h: &Histogram) {
    let mut message = Vec::with_capacity(128 + 2 * h.bucket_count());
    let layout = &h.layout;
    let spans = |out: &mut Vec<u8>, field, spans: &[Span]| {
        for span in spans {
            let mut message = Vec::with_capacity(12);
            put_signed(&mut message, 1, span.offset.into());
            put_number(&mut message, 2, span.length.into());
            put_bytes(out, field, &message);
        }
    };
    // PARITY(prometheus): of the kinds of counts those that are 0 are written, as they tell which.
    let head = |out: &mut Vec<u8>, integer: Option<u64>, (field, float): (u32, f64)| match integer {
        Some(n) => {
            put_varint(out, u64::from((field - 1) << 3 | VARINT));
            put_varint(out, n);
        }
        None => {
            put_varint(out, u64::from(field << 3 | FIXED64));
            out.extend_from_slice(&float.to_bits().to_le_bytes());
        }
    };
    let (integers, floats) = match &h.counts {
        Counts::Integer(counts) => (Some(counts), &BucketCounts::default()),
        Counts::Float(counts) => (None, counts),
    };
    head(&mut message, integers.map(|c| c.count), (2, floats.count));
    put_double(&mut message, 3, h.sum);
    put_signed(&mut message, 4, layout.schema.into());
    put_double(&mut message, 5, layout.zero_threshold);
    head(&mut message, integers.map(|c| c.zero), (7, floats.zero));
    spans(&mut message, 8, &layout.negative_spans);
    put_deltas(&mut message, 9, integers.map_or(&[], |c| c.negative.as_slice()));
    put_doubles(&mut message, 10, &floats.negative);
    spans(&mut message, 11, &layout.positive_spans);
    put_deltas(&mut message, 12, integers.map_or(&[], |c| c.positive.as_slice()));
    put_doubles(&mut message, 13, &floats.positive);
    put_number(&mut message, 14, u64::from(known_hint(h.reset_hint) as u8));
    put_number(&mut message, 15, t_ms.cast_unsigned());
    put_doubles(&mut message, 16, &layout.custom_bounds);
    put_bytes(out, SERIES_HISTOGRAM, &message);
}

/// That there was no reset since the sample before is true of what the writer sent, which need not
/// be what is read here.
fn known_hint(hint: ResetHint) -> ResetHint {
    match hint {
        ResetHint::NoReset => ResetHint::Unknown,
        known => known,
    }
}

fn put_signed(out: &mut Vec<u8>, field: u32, n: i64) {
    if n != 0 {
        put_varint(out, u64::from(field << 3 | VARINT));
        put_zigzag(out, n);
    }
}

fn put_deltas(out: &mut Vec<u8>, field: u32, counts: &[u64]) {
    let mut packed = Vec::with_capacity(2 * counts.len());
    let mut before = 0;
    for n in counts.iter().map(|n| n.cast_signed()) {
        put_zigzag(&mut packed, n.wrapping_sub(before));
        before = n;
    }
    if !packed.is_empty() {
        put_bytes(out, field, &packed);
    }
}

fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if !values.is_empty() {
        let packed: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        put_bytes(out, field, &packed);
    }
}
