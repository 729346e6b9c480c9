//! One value for all samples: its bytes from the highest on, without the zero bytes at the end.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

/// Appends the value: 0 to 8 bytes.
#[expect(clippy::big_endian_bytes, reason = "the high bytes come first, the zeros are cut off")]
pub(crate) fn encode(value: f64, out: &mut Vec<u8>) {
    let bits = value.to_bits();
    let zeros = if bits == 0 { 8 } else { bits.trailing_zeros() as usize / 8 };
    out.extend_from_slice(&bits.to_be_bytes()[..8 - zeros]);
}

/// Appends `count` times the value that the rest of `cursor` is.
///
/// # Errors
/// [`Corrupt`] for more than 8 bytes.
#[expect(clippy::big_endian_bytes, reason = "the high bytes come first, the zeros are cut off")]
pub(crate) fn decode(
    cursor: &mut Cursor<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    let (at, len) = (cursor.position(), cursor.remaining());
    let mut bytes = [0; 8];
    let Some(held) = bytes.get_mut(..len) else {
        return Err(Corrupt::new("constant value", at, "at most 8 bytes", len.to_string()));
    };
    held.copy_from_slice(cursor.take(len)?);
    out.extend(std::iter::repeat_n(f64::from_bits(u64::from_be_bytes(bytes)), count));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_comes_back_in_its_bytes() {
        for (value, len) in
            [(0.0, 0), (-0.0, 1), (1.0, 2), (f64::from_bits(1), 8), (0.1, 8), (f64::NAN, 2)]
        {
            let mut bytes = Vec::new();
            encode(value, &mut bytes);
            assert_eq!(bytes.len(), len, "{value}");
            let mut out = vec![3.0];
            decode(&mut Cursor::new("t", &bytes), 2, &mut out).expect("sound");
            assert!(out[1..].iter().all(|v| v.to_bits() == value.to_bits()) && out.len() == 3);
        }
        assert!(decode(&mut Cursor::new("t", &[0; 9]), 1, &mut Vec::new()).is_err());
    }
}
