//! Floats as XORs with the one before, in frames.
//!
//! The XORs of a frame lose the zeros that all of them have at the top and at the bottom. No value
//! is refused. Drawn in `docs/formats/codecs.md`.
//!
//! Budgets: decode 2 ns, encode 6 ns a sample (`benches/benches/sealed.rs`).

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

use super::packed::{FRAME, Frame, pack, unpack, width_of};

const WHAT: &str = "xor values";

/// Appends the values.
pub(crate) fn encode(values: &[f64], out: &mut Vec<u8>) {
    let mut last = 0;
    let mut xors: Frame = [0; FRAME];
    for frame in values.chunks(FRAME) {
        let mut all = 0;
        for (slot, value) in xors.iter_mut().zip(frame) {
            *slot = value.to_bits() ^ last;
            last = value.to_bits();
            all |= *slot;
        }
        let shift = if all == 0 { 0 } else { all.trailing_zeros() };
        let width = width_of(all >> shift);
        out.push(width as u8);
        if width > 0 {
            out.push(shift as u8);
        }
        xors[..frame.len()].iter_mut().for_each(|xor| *xor >>= shift);
        pack(&xors[..frame.len()], width, out);
    }
}

/// Appends `count` values.
///
/// # Errors
/// [`Corrupt`] for bytes that [`encode`] does not write.
pub(crate) fn decode(
    cursor: &mut Cursor<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    let mut xors: Frame = [0; FRAME];
    let (mut last, mut left) = (0u64, count);
    while left > 0 {
        let held = left.min(FRAME);
        let at = cursor.position();
        let width = u32::from(cursor.u8()?);
        let shift = if width > 0 { u32::from(cursor.u8()?) } else { 0 };
        if width + shift > 64 {
            let got = format!("{width} bits from bit {shift}");
            return Err(Corrupt::new(WHAT, at, "at most 64 bits", got));
        }
        unpack(cursor, held, width, &mut xors)?;
        out.extend(xors[..held].iter().map(|xor| {
            // INVARIANT: the shift is below 64 where the width is not 0.
            last ^= xor << (shift & 63);
            f64::from_bits(last)
        }));
        left -= held;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bits_come_back(
            values in prop::collection::vec(prop_oneof![
                any::<u64>().prop_map(f64::from_bits),
                (0.0f64..1.0),
                Just(1.5),
            ], 0..300),
        ) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let (mut out, mut cursor) = (Vec::new(), Cursor::new("t", &bytes));
            decode(&mut cursor, values.len(), &mut out).expect("sound");
            prop_assert!(cursor.is_empty());
            prop_assert!(out.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
            for cut in 0..bytes.len() {
                let mut cursor = Cursor::new("t", &bytes[..cut]);
                prop_assert!(decode(&mut cursor, values.len(), &mut Vec::new()).is_err());
            }
        }

        #[test]
        fn any_bytes_are_borne(
            bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..1000,
        ) {
            let mut out = Vec::new();
            let read = decode(&mut Cursor::new("t", &bytes), count, &mut out);
            prop_assert!(read.is_err() || out.len() == count);
        }
    }
}
