//! Reads the chunks of Prometheus, as `tsdb/chunkenc` does: plainly, and with panics at what is
//! wrong.

use std::sync::Arc;

use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, SCHEMA_CUSTOM, Span, is_stale,
};

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> u64 {
        let byte = self.bytes[self.at / 8];
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        u64::from(bit)
    }

    fn bits(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |n, _| n << 1 | self.bit())
    }

    fn double(&mut self) -> f64 {
        f64::from_bits(self.bits(64))
    }

    /// A varint of bytes, at any bit.
    fn uvarint(&mut self) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let byte = self.bits(8);
            n |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return n;
            }
        }
    }

    fn varint(&mut self) -> i64 {
        let n = self.uvarint();
        (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
    }

    /// Ones up to a zero, or as many as there may be.
    fn ones(&mut self, most: usize) -> usize {
        (0..most).take_while(|_| self.bit() == 1).count()
    }

    /// A number of two's complement whose least value stands for the one above its largest.
    fn signed(&mut self, count: u32) -> i64 {
        let bits = self.bits(count);
        if count == 64 {
            return bits.cast_signed();
        }
        if bits > 1 << (count - 1) { bits.cast_signed() - (1 << count) } else { bits.cast_signed() }
    }

    const CLASSES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

    fn varbit_int(&mut self) -> i64 {
        match Self::CLASSES[self.ones(8)] {
            0 => 0,
            count => self.signed(count),
        }
    }

    fn varbit_uint(&mut self) -> u64 {
        let count = Self::CLASSES[self.ones(8)];
        self.bits(count)
    }
}

#[derive(Clone, Copy, Default)]
struct XorReader {
    value: u64,
    leading: u32,
    trailing: u32,
}

impl XorReader {
    fn new(first: f64) -> Self {
        Self { value: first.to_bits(), ..Self::default() }
    }

    fn next(&mut self, bits: &mut Bits<'_>) -> f64 {
        if bits.bit() == 1 {
            if bits.bit() == 1 {
                self.leading = u32::try_from(bits.bits(5)).expect("small");
                let count = match u32::try_from(bits.bits(6)).expect("small") {
                    0 => 64,
                    count => count,
                };
                self.trailing = 64 - self.leading - count;
            }
            let count = 64 - self.leading - self.trailing;
            self.value ^= bits.bits(count) << self.trailing;
        }
        f64::from_bits(self.value)
    }
}

#[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
fn samples(chunk: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([chunk[0], chunk[1]]))
}

/// The samples of an XOR chunk.
pub(crate) fn floats(chunk: &[u8]) -> Vec<(i64, f64)> {
    let bits = &mut Bits { bytes: &chunk[2..], at: 0 };
    let (mut t, mut step) = (0i64, 0i64);
    let mut values = XorReader::default();
    let mut found = Vec::new();
    for i in 0..samples(chunk) {
        let v = match i {
            0 => {
                t = bits.varint();
                values = XorReader::new(bits.double());
                f64::from_bits(values.value)
            }
            1 => {
                step = bits.uvarint().cast_signed();
                t = t.wrapping_add(step);
                values.next(bits)
            }
            _ => {
                let change = match bits.ones(4) {
                    0 => 0,
                    1 => bits.signed(14),
                    2 => bits.signed(17),
                    3 => bits.signed(20),
                    _ => bits.signed(64),
                };
                step = step.wrapping_add(change);
                t = t.wrapping_add(step);
                values.next(bits)
            }
        };
        found.push((t, v));
    }
    found
}

fn layout(bits: &mut Bits<'_>) -> HistogramLayout {
    let zero_threshold = match bits.bits(8) {
        0 => 0.0,
        255 => bits.double(),
        n => 0.5 * f64::powi(2.0, i32::try_from(n).expect("small") - 243),
    };
    let schema = i32::try_from(bits.varbit_int()).expect("a schema");
    let mut spans = || -> Vec<Span> {
        let count = bits.varbit_uint();
        let span = |bits: &mut Bits<'_>| {
            let length = u32::try_from(bits.varbit_uint()).expect("a length");
            Span { length, offset: i32::try_from(bits.varbit_int()).expect("an offset") }
        };
        (0..count).map(|_| span(bits)).collect()
    };
    let (positive_spans, negative_spans) = (spans(), spans());
    let mut custom_bounds = Vec::new();
    if schema == SCHEMA_CUSTOM {
        for _ in 0..bits.varbit_uint() {
            custom_bounds.push(match bits.varbit_uint() {
                0 => bits.double(),
                n => (n - 1) as f64 / 1000.0,
            });
        }
    }
    HistogramLayout { schema, zero_threshold, positive_spans, negative_spans, custom_bounds }
}

/// What is known of a reset before a histogram, by the header of its chunk and its place there.
fn hint(header: u8, place: usize) -> ResetHint {
    match header >> 6 {
        3 => ResetHint::Gauge,
        _ if place > 0 => ResetHint::NoReset,
        _ => ResetHint::Unknown,
    }
}

/// A number and the change of its step.
#[derive(Clone, Copy, Default)]
struct IntReader {
    value: i64,
    step: i64,
}

impl IntReader {
    fn next(&mut self, bits: &mut Bits<'_>) -> i64 {
        self.step = self.step.wrapping_add(bits.varbit_int());
        self.value = self.value.wrapping_add(self.step);
        self.value
    }
}

fn sides<T: Clone>(all: &[T], layout: &HistogramLayout) -> (Vec<T>, Vec<T>) {
    let at = usize::try_from(layout.positive_len()).expect("a length");
    let (positive, negative) = all.split_at(at);
    (positive.to_vec(), negative.to_vec())
}

fn absolute(deltas: &[i64]) -> Vec<u64> {
    let add = |n: &mut i64, delta: &i64| {
        *n += delta;
        Some(u64::try_from(*n).expect("a count"))
    };
    deltas.iter().scan(0, add).collect()
}

/// The samples of a chunk of histograms with integer counts.
pub(crate) fn histograms(chunk: &[u8]) -> Vec<(i64, Histogram)> {
    let bits = &mut Bits { bytes: &chunk[3..], at: 0 };
    let layout = Arc::new(layout(bits));
    let buckets = usize::try_from(layout.positive_len() + layout.negative_len()).expect("few");
    let (mut t, mut sum) = (IntReader::default(), XorReader::default());
    let mut all = vec![IntReader::default(); 2 + buckets];
    let mut found = Vec::new();
    for i in 0..samples(chunk) {
        if i == 0 {
            t.value = bits.varbit_int();
            all[0].value = bits.varbit_uint().cast_signed();
            all[1].value = bits.varbit_uint().cast_signed();
            sum = XorReader::new(bits.double());
            all[2..].iter_mut().for_each(|n| n.value = bits.varbit_int());
        } else {
            t.next(bits);
            for n in &mut all[..2] {
                n.next(bits);
            }
            let sum = sum.next(bits);
            if !is_stale(sum) {
                for n in &mut all[2..] {
                    n.next(bits);
                }
            }
        }
        let sum = f64::from_bits(sum.value);
        if is_stale(sum) {
            found.push((t.value, Histogram { sum, ..Histogram::stale() }));
            continue;
        }
        let values: Vec<i64> = all.iter().map(|n| n.value).collect();
        let (positive, negative) = sides(&values[2..], &layout);
        let counts = BucketCounts {
            count: values[0].cast_unsigned(),
            zero: values[1].cast_unsigned(),
            positive: absolute(&positive),
            negative: absolute(&negative),
        };
        let (counts, reset_hint) = (Counts::Integer(counts), hint(chunk[2], i));
        found.push((t.value, Histogram { layout: Arc::clone(&layout), reset_hint, sum, counts }));
    }
    found
}

/// The samples of a chunk of histograms with float counts.
pub(crate) fn float_histograms(chunk: &[u8]) -> Vec<(i64, Histogram)> {
    let bits = &mut Bits { bytes: &chunk[3..], at: 0 };
    let layout = Arc::new(layout(bits));
    let buckets = usize::try_from(layout.positive_len() + layout.negative_len()).expect("few");
    let mut t = IntReader::default();
    // Count, zero bucket, sum, buckets.
    let mut all = vec![XorReader::default(); 3 + buckets];
    let mut found = Vec::new();
    for i in 0..samples(chunk) {
        if i == 0 {
            t.value = bits.varbit_int();
            all.iter_mut().for_each(|v| *v = XorReader::new(bits.double()));
        } else {
            t.next(bits);
            for v in &mut all[..3] {
                v.next(bits);
            }
            if !is_stale(f64::from_bits(all[2].value)) {
                for v in &mut all[3..] {
                    v.next(bits);
                }
            }
        }
        let values: Vec<f64> = all.iter().map(|v| f64::from_bits(v.value)).collect();
        let sum = values[2];
        let is_stale = is_stale(sum);
        let (positive, negative) = match is_stale {
            true => (Vec::new(), Vec::new()),
            false => sides(&values[3..], &layout),
        };
        let counts = BucketCounts { count: values[0], zero: values[1], positive, negative };
        let layout = if is_stale { Arc::default() } else { Arc::clone(&layout) };
        let (counts, reset_hint) = (Counts::Float(counts), hint(chunk[2], i));
        found.push((t.value, Histogram { layout, reset_hint, sum, counts }));
    }
    found
}
