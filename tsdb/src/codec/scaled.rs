//! Floats that are short decimals, as integers over a power of ten.
//!
//! A value `v` is taken if `m as f64 / 10^e` has its bits, for one exponent `e` of the block. What
//! is not (a staleness marker, a negative zero, a full float) stands beside the run with its bits;
//! with too many of those the block is not scaled. Drawn in `docs/formats/codecs.md`.
//!
//! Budgets: decode 2 ns, encode 15 ns a sample (`benches/benches/sealed.rs`).

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_varint};

use super::integers;

const WHAT: &str = "scaled values";

/// Powers of ten that a float holds exactly, as far as they are used.
const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// The largest exponent that an encoder tries. Beyond it an integer of 53 bits is a full float.
const EXPONENT_MAX: usize = 12;

/// In the head: values stand beside the run.
const BESIDE: u8 = 0x80;

/// Of so many values one may stand beside the run.
const BESIDE_SHARE: usize = 24;

/// Magnitudes from which on integers are left alone, so that differences of differences fit.
const INTEGER_MAX: i64 = 1 << 61;

/// From here on all floats are whole numbers.
const WHOLE_FROM: f64 = (1u64 << 52) as f64;

/// Working memory, reused from block to block.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    scaled: Vec<i64>,
    beside: Vec<(usize, u64)>,
    integers: integers::Scratch,
}

/// Appends the values; `false`, and nothing appended, if too many of them are no short decimals.
pub(crate) fn encode(values: &[f64], scratch: &mut Scratch, out: &mut Vec<u8>) -> bool {
    let Some(exponent) = (0..=EXPONENT_MAX).find(|&e| scale(values, e, scratch)) else {
        return false;
    };
    out.push(exponent as u8 | if scratch.beside.is_empty() { 0 } else { BESIDE });
    if !scratch.beside.is_empty() {
        put_varint(out, scratch.beside.len() as u64);
        let mut last = 0;
        for &(at, bits) in &scratch.beside {
            put_varint(out, (at - last) as u64);
            out.extend_from_slice(&bits.to_le_bytes());
            last = at;
        }
    }
    integers::encode(&scratch.scaled, &mut scratch.integers, out);
    true
}

/// Scales all values by `10^exponent`; stops with `false` when too many are not exact.
fn scale(values: &[f64], exponent: usize, scratch: &mut Scratch) -> bool {
    let Scratch { scaled, beside, .. } = scratch;
    let (power, beside_max) = (POWERS[exponent], values.len() / BESIDE_SHARE + 1);
    scaled.clear();
    scaled.resize(values.len(), 0);
    beside.clear();
    let mut last = 0;
    for (at, (slot, &value)) in scaled.iter_mut().zip(values).enumerate() {
        let product = value * power;
        // Larger ones are whole, and would be rounded when half is added.
        let half = if product.abs() < WHOLE_FROM { 0.5f64 } else { 0.0 };
        let integer = (product + half.copysign(product)) as i64;
        let is_exact = unscale(integer, power).to_bits() == value.to_bits();
        if is_exact && integer.unsigned_abs() < INTEGER_MAX.unsigned_abs() {
            last = integer;
        } else if beside.len() < beside_max {
            beside.push((at, value.to_bits()));
        } else {
            return false;
        }
        *slot = last;
    }
    // Places before the first integer have none to repeat.
    let lead = beside.iter().enumerate().take_while(|(i, (at, _))| i == at).count();
    if let Some(&first) = scaled.get(lead) {
        scaled[..lead].fill(first);
    }
    beside.len() * 2 < values.len().max(2)
}

#[inline(always)]
fn unscale(integer: i64, power: f64) -> f64 {
    integer as f64 / power
}

/// Appends integers over `power`, if there is one.
///
/// Those of 52 bits are done two at once, for which processors have no conversion before AVX-512:
/// such an integer in the lower bits of a float from 2^52 on is that float but for a constant.
fn extend_unscaled(integers: &[i64], power: Option<f64>, out: &mut Vec<f64>) {
    const HALF: i64 = 1 << 51;
    const FLOAT: f64 = (1u64 << 52) as f64;
    let shifted = |integer: &i64| integer.wrapping_add(HALF).cast_unsigned();
    let is_short = integers.iter().fold(0, |all, integer| all | shifted(integer)) >> 52 == 0;
    let short =
        |integer: &i64| f64::from_bits(shifted(integer) | FLOAT.to_bits()) - (FLOAT + HALF as f64);
    match (power, is_short) {
        (None, true) => out.extend(integers.iter().map(short)),
        (None, false) => out.extend(integers.iter().map(|integer| *integer as f64)),
        (Some(power), true) => out.extend(integers.iter().map(|integer| short(integer) / power)),
        (Some(power), false) => {
            out.extend(integers.iter().map(|&integer| unscale(integer, power)));
        }
    }
}

/// Appends `count` values.
///
/// # Errors
/// [`Corrupt`] for bytes that [`encode`] does not write.
pub(crate) fn decode(
    cursor: &mut Cursor<'_>,
    count: usize,
    scratch: &mut Vec<i64>,
    out: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    let at = cursor.position();
    let head = cursor.u8()?;
    let exponent = usize::from(head & !BESIDE);
    let Some(&power) = POWERS.get(exponent) else {
        let want = format!("an exponent up to {}", POWERS.len() - 1);
        return Err(Corrupt::new(WHAT, at, want, exponent.to_string()));
    };
    let mut beside = cursor.clone();
    let mut beside_count = 0;
    if head & BESIDE != 0 {
        beside_count = beside.varint()?;
        *cursor = beside.clone();
        for _ in 0..beside_count {
            cursor.varint()?;
            cursor.take(8)?;
        }
    }
    scratch.clear();
    integers::decode(cursor, count, 0, scratch)?;
    let begin = out.len();
    extend_unscaled(scratch, (exponent > 0).then_some(power), out);
    let values = &mut out[begin..];
    let mut place = 0usize;
    for _ in 0..beside_count {
        let at = beside.position();
        place = place.saturating_add(usize::try_from(beside.varint()?).unwrap_or(usize::MAX));
        let bits = beside.u64()?;
        let Some(slot) = values.get_mut(place) else {
            let want = format!("a place below {count}");
            return Err(Corrupt::new(WHAT, at, want, place.to_string()));
        };
        *slot = f64::from_bits(bits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::STALE_NAN;
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64]) -> Option<usize> {
        let mut bytes = Vec::new();
        if !encode(values, &mut Scratch::default(), &mut bytes) {
            assert!(bytes.is_empty());
            return None;
        }
        let (mut out, mut cursor) = (Vec::new(), Cursor::new("t", &bytes));
        decode(&mut cursor, values.len(), &mut Vec::new(), &mut out).expect("sound");
        assert!(cursor.is_empty());
        assert!(out.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
        for cut in 0..bytes.len() {
            let mut cursor = Cursor::new("t", &bytes[..cut]);
            let read = decode(&mut cursor, values.len(), &mut Vec::new(), &mut Vec::new());
            assert!(read.is_err());
        }
        Some(bytes.len())
    }

    proptest! {
        #[test]
        fn what_is_taken_comes_back(
            values in prop::collection::vec(prop_oneof![
                20 => (-5_000_000i64..5_000_000).prop_map(|n| n as f64 / 1000.0),
                1 => any::<u64>().prop_map(f64::from_bits),
                1 => Just(-0.0), 1 => Just(STALE_NAN),
            ], 1..300),
        ) {
            round_trip(&values);
        }

        #[test]
        fn any_bits_are_taken_or_refused(
            values in prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..40),
        ) {
            round_trip(&values);
        }

        #[test]
        fn large_integers_come_back(
            values in prop::collection::vec(any::<i64>().prop_map(|n| n as f64), 1..100),
        ) {
            round_trip(&values);
        }

        #[test]
        fn any_bytes_are_borne(
            bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..1000,
        ) {
            let mut out = Vec::new();
            let read = decode(&mut Cursor::new("t", &bytes), count, &mut Vec::new(), &mut out);
            prop_assert!(read.is_err() || out.len() == count);
        }
    }

    #[test]
    fn integers_of_any_length_are_floats() {
        let edges = [0i64, 1, 7, 1 << 50, (1 << 51) - 1, 1 << 51, (1 << 51) + 1, 1 << 52, 1 << 61];
        for &edge in &edges {
            let all: Vec<i64> = edges.iter().copied().filter(|other| *other <= edge).collect();
            let all: Vec<i64> = all.iter().flat_map(|&i| [i, -i]).collect();
            for (exponent, &power) in POWERS.iter().enumerate() {
                let mut out = Vec::new();
                extend_unscaled(&all, (exponent > 0).then_some(power), &mut out);
                let want = all.iter().map(|&integer| unscale(integer, power).to_bits());
                assert!(out.iter().map(|v| v.to_bits()).eq(want), "up to {edge} over {power}");
            }
        }
    }

    #[test]
    fn a_marker_at_either_end_does_not_spoil_the_block() {
        let mut values: Vec<f64> = (0..200).map(|i| f64::from(i % 17) / 10.0).collect();
        let plain = round_trip(&values).expect("decimals");
        values.insert(0, STALE_NAN);
        values.push(STALE_NAN);
        assert!(round_trip(&values).expect("decimals") <= plain + 24);
        assert_eq!(round_trip(&[f64::NAN]), None);
        assert_eq!(round_trip(&[-0.0, -0.0, -0.0]), None);
        assert!(round_trip(&[f64::MAX; 9]).is_none());
    }
}
