//! Frames of up to 64 unsigned integers, each in the same number of bits.
//!
//! Integer `i` of a frame of width `w` takes bits `i * w` to `i * w + w - 1`, counted from the
//! lowest bit of the first byte. So a full frame is `w` little-endian words of 64 bits, and one
//! unpack loop for each width has nothing but constants in it: about 0.5 ns an integer.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

/// Integers in a full frame.
pub(crate) const FRAME: usize = 64;

/// A frame's integers.
pub(crate) type Frame = [u64; FRAME];

/// Bits of the widest integer in `value`: 0 for 0.
#[inline(always)]
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// The low `width` bits set; `width` is 0 to 64.
#[inline(always)]
pub(crate) fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

/// Bytes of `count` integers of `width` bits.
#[inline(always)]
pub(crate) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends the low `width` bits of each value.
pub(crate) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    debug_assert!(width <= 64, "BUG: {width} bits");
    if width == 0 {
        return;
    }
    let end = out.len() + packed_len(values.len(), width);
    out.reserve(packed_len(values.len(), width) + 8);
    let (mut word, mut used) = (0u64, 0u32);
    for &value in values {
        let value = value & mask(width);
        word |= value << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            word = if used == 0 { 0 } else { value >> (width - used) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Reads `count` (at most [`FRAME`]) integers of `width` bits; those behind them are not defined.
///
/// # Errors
/// [`Corrupt`] for a width above 64, or if bytes are missing.
#[inline]
pub(crate) fn unpack(
    cursor: &mut Cursor<'_>,
    count: usize,
    width: u32,
    out: &mut Frame,
) -> Result<(), Corrupt> {
    debug_assert!(count <= FRAME, "BUG: a frame of {count}");
    if width > 64 {
        let got = format!("{width} bits");
        return Err(Corrupt::new("packed frame", cursor.position(), "at most 64 bits", got));
    }
    let bytes = cursor.take(packed_len(count, width))?;
    if count == FRAME {
        unpack_words(bytes.as_chunks().0, width, out);
        return Ok(());
    }
    let mut whole = [0u8; 8 * FRAME];
    whole[..bytes.len()].copy_from_slice(bytes);
    unpack_words(whole.as_chunks().0, width, out);
    Ok(())
}

macro_rules! eight {
    ($step:ident, $at:expr) => {
        $step!($at);
        $step!($at + 1);
        $step!($at + 2);
        $step!($at + 3);
        $step!($at + 4);
        $step!($at + 5);
        $step!($at + 6);
        $step!($at + 7);
    };
}

/// Unpacks a frame whose width is known when this is compiled: no branch is left in it.
#[inline(always)]
fn unpack_width<const W: usize>(words: &[[u8; 8]], out: &mut Frame) {
    // INVARIANT: a full frame has W words.
    let Some(words) = words.first_chunk::<W>() else { return };
    let words = words.map(u64::from_le_bytes);
    let mask = u64::MAX >> (64 - W);
    macro_rules! step {
        ($at:expr) => {
            let bit = $at * W;
            let (word, shift) = (bit / 64, bit % 64);
            let mut value = words[word] >> shift;
            if shift + W > 64 {
                value |= words[(word + 1) % W] << ((64 - shift) % 64);
            }
            out[$at] = value & mask;
        };
    }
    eight!(step, 0);
    eight!(step, 8);
    eight!(step, 16);
    eight!(step, 24);
    eight!(step, 32);
    eight!(step, 40);
    eight!(step, 48);
    eight!(step, 56);
}

macro_rules! by_width {
    ($width:expr, $words:expr, $out:expr, $($w:literal)*) => {
        match $width {
            $($w => unpack_width::<$w>($words, $out),)*
            _ => $out.fill(0),
        }
    };
}

#[inline(never)]
fn unpack_words(words: &[[u8; 8]], width: u32, out: &mut Frame) {
    by_width!(width, words, out,
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63 64);
}

/// Integer `at` of a packed run, without the others; 0 where there are no bytes.
#[inline]
pub(crate) fn packed_at(bytes: &[u8], width: u32, at: usize) -> u64 {
    let bit = at * width as usize;
    let mut window = [0; 16];
    let from = bytes.get(bit / 8..).unwrap_or_default();
    let len = from.len().min(16);
    window[..len].copy_from_slice(&from[..len]);
    (u128::from_le_bytes(window) >> (bit % 8)) as u64 & mask(width)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            raw in prop::collection::vec(any::<u64>(), 0..=FRAME), width in 0u32..=64,
        ) {
            let values: Vec<u64> = raw.iter().map(|v| v & mask(width)).collect();
            let mut bytes = vec![9];
            pack(&values, width, &mut bytes);
            prop_assert_eq!(bytes.len(), 1 + packed_len(values.len(), width));
            let mut cursor = Cursor::new("t", &bytes[1..]);
            let mut out = [7; FRAME];
            unpack(&mut cursor, values.len(), width, &mut out).expect("whole");
            prop_assert!(cursor.is_empty());
            prop_assert_eq!(&out[..values.len()], &values[..]);
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(packed_at(&bytes[1..], width, at), *value);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut out = [0; FRAME];
        assert!(unpack(&mut Cursor::new("t", &[0; 8]), 3, 22, &mut out).is_err());
        assert!(unpack(&mut Cursor::new("t", &[0; 600]), 3, 65, &mut out).is_err());
        assert_eq!(packed_at(&[], 64, 9), 0);
    }
}
