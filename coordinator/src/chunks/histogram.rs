//! The two encodings of native histograms: integer counts by differences of differences, float
//! counts by XOR.
//!
//! PARITY(prometheus): `tsdb/chunkenc`, `HistogramChunk` and `FloatHistogramChunk`. Prometheus
//! widens the buckets of a chunk when a histogram has new ones; here a new chunk begins, which its
//! readers cannot tell from one that began for its length.

use std::sync::Arc;

use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, SCHEMA_CUSTOM, Span,
};

use super::CHUNK_SAMPLES_MAX;
use super::bits::{BitWriter, Xor};

/// A chunk of at least [`CHUNK_SAMPLES_LEAST`] histograms ends when it has this size.
const CHUNK_BYTES: usize = 1024;

/// So many histograms a chunk has whatever its size.
const CHUNK_SAMPLES_LEAST: usize = 10;

/// What a chunk's header says of a reset before its first histogram.
const UNKNOWN: u8 = 0;
const NO_RESET: u8 = 0b0100_0000;
const RESET: u8 = 0b1000_0000;
const GAUGE: u8 = 0b1100_0000;

/// Appends a chunk of the first of these histograms; returns how many it has, at least one unless
/// there is none.
#[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
pub(super) fn encode(
    ts: &[i64],
    hs: &[Arc<Histogram>],
    before: Option<&Histogram>,
    out: &mut Vec<u8>,
) -> usize {
    let mut samples = ts.iter().copied().zip(hs.iter().map(|h| &**h));
    let Some((t, first)) = samples.next() else { return 0 };
    let start = out.len();
    out.extend_from_slice(&[0, 0, header(before, first)]);
    let mut bits = BitWriter::new(out);
    let mut state = State::begin(t, first, &mut bits);
    let (mut last, mut len) = (first, 1u16);
    for (t, next) in samples.take(CHUNK_SAMPLES_MAX - 1) {
        let is_full = bits.len() - start >= CHUNK_BYTES && usize::from(len) >= CHUNK_SAMPLES_LEAST;
        if is_full || !joins(last, next) {
            break;
        }
        state.push(t, next, &mut bits);
        (last, len) = (next, len + 1);
    }
    bits.finish();
    out[start..start + 2].copy_from_slice(&len.to_be_bytes());
    usize::from(len)
}

fn header(before: Option<&Histogram>, first: &Histogram) -> u8 {
    match (first.reset_hint, before) {
        (ResetHint::Gauge, _) => GAUGE,
        (ResetHint::Reset, _) => RESET,
        (_, Some(before)) if can_be_compared(before, first) => match is_reset(before, first) {
            true => RESET,
            false => NO_RESET,
        },
        _ => UNKNOWN,
    }
}

/// Whether `next` may follow `last` in a chunk. Readers take it that there was no reset between.
fn joins(last: &Histogram, next: &Histogram) -> bool {
    let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    if last.is_float() != next.is_float() || next.reset_hint == ResetHint::Reset {
        return false;
    }
    if next.is_stale() {
        // It has no buckets, and the marker itself knows of no gauges.
        return true;
    }
    is_gauge(last) == is_gauge(next)
        && can_be_compared(last, next)
        && (is_gauge(next) || !is_reset(last, next))
}

/// Whether both have the same buckets, so that a reset can be told.
fn can_be_compared(last: &Histogram, next: &Histogram) -> bool {
    let has_same_layout = || Arc::ptr_eq(&last.layout, &next.layout) || last.layout == next.layout;
    !last.is_stale() && !next.is_stale() && last.is_float() == next.is_float() && has_same_layout()
}

/// Whether a count fell, of two histograms with the same buckets.
fn is_reset(last: &Histogram, next: &Histogram) -> bool {
    match (&last.counts, &next.counts) {
        (Counts::Integer(last), Counts::Integer(next)) => has_fallen(last, next),
        (Counts::Float(last), Counts::Float(next)) => has_fallen(last, next),
        _ => true,
    }
}

fn has_fallen<T: PartialOrd>(last: &BucketCounts<T>, next: &BucketCounts<T>) -> bool {
    let fell = |(last, next): (&T, &T)| next < last;
    next.count < last.count
        || next.zero < last.zero
        || last.positive.iter().zip(&next.positive).any(fell)
        || last.negative.iter().zip(&next.negative).any(fell)
}

/// What the next histogram is told against.
struct State {
    t: i64,
    step: i64,
    sum: Xor,
    counts: CountState,
}

enum CountState {
    /// Count, zero bucket, and then all buckets, each as the difference to the one before it.
    Integer(Vec<Change>),
    /// Count, zero bucket, and then all buckets.
    Float(Vec<Xor>),
}

/// A number that changes.
#[derive(Clone, Copy)]
struct Change {
    value: i64,
    step: i64,
}

impl State {
    /// Writes the layout and the first histogram in full.
    fn begin(t: i64, h: &Histogram, to: &mut BitWriter<'_>) -> Self {
        let nothing = HistogramLayout::default();
        put_layout(if h.is_stale() { &nothing } else { &h.layout }, to);
        to.push_int(t);
        let counts = match &h.counts {
            Counts::Integer(counts) => {
                let all = integers(counts, h.is_stale());
                let (heads, buckets) = all.split_at(2);
                heads.iter().for_each(|n| to.push_uint(n.cast_unsigned()));
                to.push(h.sum.to_bits(), 64);
                buckets.iter().for_each(|n| to.push_int(*n));
                CountState::Integer(all.iter().map(|&value| Change { value, step: 0 }).collect())
            }
            Counts::Float(counts) => {
                let all = floats(counts, h.is_stale());
                let (heads, buckets) = all.split_at(2);
                heads.iter().for_each(|v| to.push(v.to_bits(), 64));
                to.push(h.sum.to_bits(), 64);
                buckets.iter().for_each(|v| to.push(v.to_bits(), 64));
                CountState::Float(all.iter().map(|&v| Xor::new(v)).collect())
            }
        };
        Self { t, step: 0, sum: Xor::new(h.sum), counts }
    }

    /// Writes the next histogram, which [`joins`] allowed.
    fn push(&mut self, t: i64, h: &Histogram, to: &mut BitWriter<'_>) {
        let step = t.wrapping_sub(self.t);
        to.push_int(step.wrapping_sub(self.step));
        (self.t, self.step) = (t, step);
        let is_stale = h.is_stale();
        match (&mut self.counts, &h.counts) {
            (CountState::Integer(state), Counts::Integer(counts)) => {
                let all = integers(counts, is_stale);
                let mut changes = state.iter_mut().zip(all);
                for (state, n) in changes.by_ref().take(2) {
                    // Nobody reads the counts of a staleness marker.
                    let change = state.change_to(n);
                    to.push_int(if is_stale { 0 } else { change });
                }
                self.sum.push(h.sum, to);
                changes.for_each(|(state, n)| to.push_int(state.change_to(n)));
            }
            (CountState::Float(state), Counts::Float(counts)) => {
                let all = floats(counts, is_stale);
                let mut changes = state.iter_mut().zip(all);
                changes.by_ref().take(2).for_each(|(state, v)| state.push(v, to));
                self.sum.push(h.sum, to);
                changes.for_each(|(state, v)| state.push(v, to));
            }
            _ => unreachable!("BUG: `joins` looks at the kind of counts"),
        }
    }
}

impl Change {
    /// The change of the step to the next value.
    fn change_to(&mut self, value: i64) -> i64 {
        let step = value.wrapping_sub(self.value);
        let change = step.wrapping_sub(self.step);
        *self = Self { value, step };
        change
    }
}

/// Count, zero bucket and the differences between buckets; of a staleness marker zeros alone.
fn integers(counts: &BucketCounts<u64>, is_stale: bool) -> Vec<i64> {
    if is_stale {
        return vec![0, 0];
    }
    let mut all = Vec::with_capacity(2 + counts.positive.len() + counts.negative.len());
    all.extend([counts.count.cast_signed(), counts.zero.cast_signed()]);
    for side in [&counts.positive, &counts.negative] {
        let mut before = 0;
        for n in side.iter().map(|n| n.cast_signed()) {
            all.push(n.wrapping_sub(before));
            before = n;
        }
    }
    all
}

/// Count, zero bucket and buckets; of a staleness marker zeros alone.
fn floats(counts: &BucketCounts<f64>, is_stale: bool) -> Vec<f64> {
    if is_stale {
        return vec![0.0, 0.0];
    }
    let heads = [counts.count, counts.zero];
    heads.iter().chain(&counts.positive).chain(&counts.negative).copied().collect()
}

fn put_layout(layout: &HistogramLayout, to: &mut BitWriter<'_>) {
    put_zero_threshold(layout.zero_threshold, to);
    to.push_int(i64::from(layout.schema));
    put_spans(&layout.positive_spans, to);
    put_spans(&layout.negative_spans, to);
    if layout.schema == SCHEMA_CUSTOM {
        to.push_uint(layout.custom_bounds.len() as u64);
        layout.custom_bounds.iter().for_each(|bound| put_bound(*bound, to));
    }
}

fn put_spans(spans: &[Span], to: &mut BitWriter<'_>) {
    to.push_uint(spans.len() as u64);
    for span in spans {
        to.push_uint(u64::from(span.length));
        to.push_int(i64::from(span.offset));
    }
}

/// A byte for 0 and for powers of two from 2^-243 to 2^10, nine for others.
fn put_zero_threshold(threshold: f64, to: &mut BitWriter<'_>) {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = threshold.to_bits();
    if bits == 0 {
        return to.push(0, 8);
    }
    // The biased exponent of 2^-243 is 780; the sign would be above it.
    let exponent = bits >> 52;
    if bits & MANTISSA == 0 && (780..=1033).contains(&exponent) {
        return to.push(exponent - 779, 8);
    }
    to.push(255, 8);
    to.push(bits, 64);
}

/// The highest bound, in thousandths, that is written as a number of them.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;

/// Thousandths as a number above 0; other bounds in full after a 0.
fn put_bound(bound: f64, to: &mut BitWriter<'_>) {
    let thousandths = (bound * 1000.0).round();
    let is_whole = bound.is_sign_positive()
        && bound * 1000.0 <= THOUSANDTHS_MAX
        && (thousandths / 1000.0).to_bits() == bound.to_bits();
    if is_whole {
        return to.push_uint(thousandths as u64 + 1);
    }
    to.push(0, 1);
    to.push(bound.to_bits(), 64);
}
