//! The search for a short decimal: is this float an integer divided by 10^0 … 10^6?

/// The largest power of ten by which a value is scaled.
pub(super) const SCALE_MAX: u8 = 6;

/// 10^0 to 10^6, and 10^7 so that any three bits are an index.
pub(super) const POWERS: [f64; 8] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

/// 2^63: integers from here on are not scaled ones.
pub(super) const INT_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// The bits of -0.0.
const NEGATIVE_ZERO: u64 = 1 << 63;

/// Scaled values from here on are left as floats.
pub(super) const SCALED_LIMIT: f64 = 1e13;

/// 2^52: adding it to a smaller positive float rounds that to an integer, ties to even.
const ROUNDER: f64 = 4_503_599_627_370_496.0;

/// How many floats a value scaled by 10^6 may lie from an integer if one of its coarser forms
/// touches one: the touch is 2^-52 of the value, two roundings are 2^-53 each, and a float is at
/// least 2^-53 of the value from the next. That is 4, and one to spare.
const NEAR_ULPS: u64 = 5;

/// A value as `value / 10^scale`; `value` is an integer of the sign of the original.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decimal {
    pub(super) value: f64,
    pub(super) scale: u8,
}

/// The first decimal with a scale of at least `scale` that is `v` or a neighbour of it after
/// scaling; `None` if there is none, or if it is too large.
///
/// This is M3's rule to the bit. Its result may be another number than `v`: the caller that
/// needs exactness divides and compares.
#[inline(always)]
pub(super) fn decimal_of(v: f64, scale: u8) -> Option<Decimal> {
    let scaled = v.abs() * POWERS[usize::from(scale & 7)];
    if scaled < SCALED_LIMIT {
        let integer = round(scaled);
        if ulps_between(scaled, integer) <= 1 {
            return Some(Decimal { value: integer.copysign(v), scale });
        }
        return finer_decimal_of(v, scale);
    }
    large_integer_of(v, scale)
}

/// Writes `vs`, times the power of ten of `scale`, to `out`, if all of them are integers that
/// [`decimal_of`] finds at once and that lose nothing.
///
/// The loop has no branch and no value that the next step waits for, so that several samples are
/// worked on at a time. `out` is at least as long as `vs`; after `false` it holds nothing of use.
#[inline]
pub(super) fn integers_of(vs: &[f64], scale: u8, out: &mut [i64]) -> bool {
    let power = POWERS[usize::from(scale & 7)];
    let mut all = true;
    for (&v, out) in vs.iter().zip(out) {
        let scaled = v.abs() * power;
        let raised = scaled + ROUNDER;
        let integer = raised - ROUNDER;
        let magnitude = raised.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed();
        let is_near = ulps_between(scaled, integer) <= 1;
        let comes_back = integer / power == v.abs();
        // A negative zero has no integer. NaN and what is too large fail the first comparison.
        let is_zero = v.to_bits() == NEGATIVE_ZERO;
        all &= (scaled < SCALED_LIMIT) & is_near & comes_back & !is_zero;
        let sign = v.to_bits().cast_signed() >> 63;
        *out = (magnitude ^ sign).wrapping_sub(sign);
    }
    all
}

/// A search over the scales after `scale`, with which `v` was no integer.
#[inline]
fn finer_decimal_of(v: f64, scale: u8) -> Option<Decimal> {
    let finest = v.abs() * POWERS[usize::from(SCALE_MAX)];
    if finest < SCALED_LIMIT && ulps_between(finest, round(finest)) > NEAR_ULPS {
        return None;
    }
    for scale in scale + 1..=SCALE_MAX {
        let scaled = v.abs() * POWERS[usize::from(scale)];
        if scaled >= SCALED_LIMIT {
            return None;
        }
        let integer = round(scaled);
        if ulps_between(scaled, integer) <= 1 {
            return Some(Decimal { value: integer.copysign(v), scale });
        }
    }
    None
}

/// A value whose scaled form is too large is an integer only if it has no fraction, nothing was
/// scaled yet, and it is less than 2^63; there is no lower bound.
#[inline]
fn large_integer_of(v: f64, scale: u8) -> Option<Decimal> {
    let magnitude = v.abs();
    let is_integer = magnitude >= ROUNDER || round(magnitude) == magnitude;
    let is_taken = scale == 0 && v < INT_LIMIT && v.is_finite() && is_integer;
    is_taken.then_some(Decimal { value: v, scale: 0 })
}

/// The integer nearest to `magnitude`, which is in `0..2^52`.
#[inline(always)]
fn round(magnitude: f64) -> f64 {
    (magnitude + ROUNDER) - ROUNDER
}

/// How many floats lie between two that are not negative.
#[inline(always)]
fn ulps_between(a: f64, b: f64) -> u64 {
    a.to_bits().abs_diff(b.to_bits())
}
