//! Values for the writer: scaled integers while they last, XOR of float bits otherwise.

use super::decimal::{Decimal, INT_LIMIT, POWERS, SCALED_LIMIT, decimal_of, integers_of};
use crate::codec::bits::BitSink;

/// A fall of this many bits is looked at before the width of differences shrinks.
const SIGNIFICANT_FALL: u8 = 3;

/// So many falls in a row shrink the width.
const FALLS_TO_SHRINK: u8 = 5;

/// Widest difference whose control bits fit one put with it.
const DIFFERENCE_BITS_SHORT: u32 = 54;

/// Bits of the widest XOR whose header fits one put with it.
const XOR_BITS_SHORT: u32 = 40;

/// Where a stream stands in its values, for the writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueWriter {
    integer: f64,
    bits: u64,
    xor: u64,
    scale: u8,
    is_float: bool,
    width: Width,
}

/// How many bits a difference gets, with the history that lets it shrink.
#[derive(Clone, Copy, Debug)]
struct Width {
    bits: u8,
    highest_fall: u8,
    falls: u8,
}

impl Width {
    /// The width for a difference of `needed` bits.
    #[inline(always)]
    fn track(&mut self, needed: u8) -> u8 {
        if needed > self.bits {
            return needed;
        }
        if self.bits - needed < SIGNIFICANT_FALL {
            self.falls = 0;
            return self.bits;
        }
        if self.falls == 0 || needed > self.highest_fall {
            self.highest_fall = needed;
        }
        self.falls += 1;
        if self.falls == FALLS_TO_SHRINK {
            self.falls = 0;
            return self.highest_fall;
        }
        self.bits
    }
}

impl ValueWriter {
    pub(super) fn new() -> Self {
        Self {
            integer: 0.0,
            bits: 0,
            xor: 0,
            scale: 0,
            is_float: false,
            width: Width { bits: 0, highest_fall: 0, falls: 0 },
        }
    }

    /// The value that a decoder has after what was added so far.
    pub(super) fn last(&self, int_optimized: bool) -> f64 {
        if self.is_float || !int_optimized {
            f64::from_bits(self.bits)
        } else {
            self.integer / POWERS[usize::from(self.scale & 7)]
        }
    }

    /// Adds the first value of a stream.
    pub(super) fn put_first<const N: usize, const INT: bool, const EXACT: bool>(
        &mut self,
        sink: &mut BitSink<N>,
        v: f64,
    ) {
        if !INT {
            self.put_full(sink, v.to_bits());
            return;
        }
        let decimal = decimal_of(v, 0).filter(|decimal| {
            // The decoder adds to zero, so it can only return +0.
            let decoded = (0.0 + decimal.value) / POWERS[usize::from(decimal.scale & 7)];
            let fits = decimal.value.abs() <= INT_LIMIT;
            !EXACT || fits && decoded.to_bits() == v.to_bits()
        });
        let Some(Decimal { value, scale }) = decimal else {
            sink.put(1, 1);
            self.put_full(sink, v.to_bits());
            self.is_float = true;
            return;
        };
        sink.put(0, 1);
        self.integer = value;
        let magnitude = wrapping_magnitude(value);
        self.put_header(sink, bit_len(magnitude), scale, false);
        // The sign is that of zero minus the value: 1 means add.
        self.put_difference(sink, u64::from(value >= 0.0), 1, magnitude);
    }

    /// Adds a value after the first.
    #[inline(always)]
    pub(super) fn put_next<const N: usize, const INT: bool, const EXACT: bool>(
        &mut self,
        sink: &mut BitSink<N>,
        v: f64,
    ) {
        if !INT {
            self.put_xor(sink, v.to_bits(), 0, 0);
            return;
        }
        let Some(decimal) = decimal_of(v, self.scale) else {
            self.put_float(sink, v.to_bits(), 0);
            return;
        };
        let difference = self.integer - decimal.value;
        let is_too_large = difference >= INT_LIMIT || difference <= -INT_LIMIT;
        if EXACT {
            let power = POWERS[usize::from(decimal.scale & 7)];
            let decoded = (self.integer - difference) / power;
            if is_too_large || decoded.to_bits() != v.to_bits() {
                self.put_float(sink, v.to_bits(), 0);
                return;
            }
        } else if is_too_large {
            // PARITY(m3): what M3 writes here is the scaled value, not `v`.
            self.put_float(sink, decimal.value.to_bits(), decimal.scale);
            return;
        }
        let magnitude = (difference as i64).unsigned_abs();
        self.put_integer(sink, decimal.scale, difference < 0.0, magnitude);
        self.integer = decimal.value;
    }

    /// The next values of a stream as integers of its scale, if all of them are such and lose
    /// nothing; then [`ValueWriter::put_run`] adds them. After a float it does not look: floats
    /// come in rows.
    #[inline]
    pub(super) fn run_of(&self, vs: &[f64], out: &mut [i64]) -> bool {
        !self.is_float && self.integer.abs() < SCALED_LIMIT && integers_of(vs, self.scale, out)
    }

    /// Adds an integer that [`ValueWriter::run_of`] has found; `last` is the one before it, at
    /// first [`ValueWriter::integer`]. After the run comes [`ValueWriter::end_run`].
    #[inline(always)]
    pub(super) fn put_run<const N: usize>(&mut self, sink: &mut BitSink<N>, last: i64, next: i64) {
        let difference = last - next;
        self.put_integer(sink, self.scale, difference < 0, difference.unsigned_abs());
    }

    /// The integer that the next difference is from.
    #[inline(always)]
    pub(super) fn integer(&self) -> i64 {
        self.integer as i64
    }

    /// Ends a run whose last integer was `last`.
    #[inline(always)]
    pub(super) fn end_run(&mut self, last: i64) {
        self.integer = last as f64;
    }

    /// Adds an integer that is `magnitude` away from the last, upwards if it `adds`.
    #[inline(always)]
    fn put_integer<const N: usize>(
        &mut self,
        sink: &mut BitSink<N>,
        scale: u8,
        adds: bool,
        magnitude: u64,
    ) {
        if magnitude == 0 && !self.is_float && scale == self.scale {
            sink.put(0b01, 2);
            return;
        }
        let add = u64::from(adds);
        let width = self.width.track(bit_len(magnitude));
        if scale > self.scale || width != self.width.bits || self.is_float {
            sink.put(0b000, 3);
            self.put_header(sink, width, scale, self.is_float);
            self.is_float = false;
            self.put_difference(sink, add, 1, magnitude);
        } else {
            self.put_difference(sink, 0b10 | add, 2, magnitude);
        }
    }

    /// Adds a value in float mode. `scale` is what later integers start from.
    #[inline]
    fn put_float<const N: usize>(&mut self, sink: &mut BitSink<N>, bits: u64, scale: u8) {
        if !self.is_float {
            sink.put(0b001, 3);
            self.put_full(sink, bits);
            self.is_float = true;
            self.scale = scale;
        } else if bits == self.bits {
            sink.put(0b01, 2);
        } else {
            self.put_xor(sink, bits, 1, 1);
        }
    }

    fn put_full<const N: usize>(&mut self, sink: &mut BitSink<N>, bits: u64) {
        sink.put_long(bits, 64);
        self.bits = bits;
        // The window of the next XOR comes from the value itself.
        self.xor = bits;
    }

    /// Adds the XOR with the last float, after `prefix_bits` bits of `prefix`.
    #[inline(always)]
    fn put_xor<const N: usize>(
        &mut self,
        sink: &mut BitSink<N>,
        bits: u64,
        prefix: u64,
        prefix_bits: u32,
    ) {
        let xor = bits ^ self.bits;
        let (last_leading, last_trailing) = (self.xor.leading_zeros(), trailing_zeros(self.xor));
        self.bits = bits;
        self.xor = xor;
        if xor == 0 {
            sink.put(prefix << 1, prefix_bits + 1);
            return;
        }
        let (leading, trailing) = (xor.leading_zeros(), xor.trailing_zeros());
        let (head, head_bits, meaningful, n) =
            if leading >= last_leading && trailing >= last_trailing {
                let n = 64 - last_leading - last_trailing;
                (0b10, 2, xor >> last_trailing, n)
            } else {
                let n = 64 - leading - trailing;
                let head = 0b11 << 12 | u64::from(leading) << 6 | u64::from(n - 1);
                (head, 14, xor >> trailing, n)
            };
        let head = prefix << head_bits | head;
        let head_bits = prefix_bits + head_bits;
        if n <= XOR_BITS_SHORT {
            sink.put(head << n | meaningful, head_bits + n);
        } else {
            sink.put(head, head_bits);
            sink.put_long(meaningful, n);
        }
    }

    /// Adds the width and scale of integers from here on, where they changed.
    fn put_header<const N: usize>(
        &mut self,
        sink: &mut BitSink<N>,
        width: u8,
        scale: u8,
        was_float: bool,
    ) {
        if width == self.width.bits {
            sink.put(0, 1);
        } else if width == 0 {
            sink.put(0b10, 2);
        } else {
            sink.put(0b11 << 6 | u64::from(width - 1), 8);
        }
        self.width.bits = width;
        if scale > self.scale || scale == self.scale && was_float {
            sink.put(1 << 3 | u64::from(scale), 4);
            self.scale = scale;
        } else {
            sink.put(0, 1);
        }
    }

    /// Adds `head_bits` control bits, then a magnitude in the current width.
    #[inline(always)]
    fn put_difference<const N: usize>(
        &mut self,
        sink: &mut BitSink<N>,
        head: u64,
        head_bits: u32,
        magnitude: u64,
    ) {
        let n = u32::from(self.width.bits);
        if n <= DIFFERENCE_BITS_SHORT {
            sink.put(head << n | magnitude, head_bits + n);
        } else {
            sink.put(head, head_bits);
            sink.put_long(magnitude, n);
        }
    }
}

/// Zeros below the lowest one; 0 for 0, as the format has it.
#[inline(always)]
fn trailing_zeros(bits: u64) -> u32 {
    if bits == 0 { 0 } else { bits.trailing_zeros() }
}

/// Bits up to the highest one.
#[inline(always)]
fn bit_len(magnitude: u64) -> u8 {
    (64 - magnitude.leading_zeros()) as u8
}

/// `|value|` as M3 on amd64 casts it: 2^63 when it does not fit.
fn wrapping_magnitude(value: f64) -> u64 {
    if value.abs() >= INT_LIMIT { 1 << 63 } else { (value as i64).unsigned_abs() }
}
