//! The XOR encoding of floats.

use m3rs_core::wire::{put_varint, put_zigzag};

use super::bits::{BitWriter, Xor, fits};

/// Appends a chunk of samples, 1 to 65,535 of them, ascending by time.
///
/// PARITY(prometheus): `tsdb/chunkenc`, `XORChunk`, bit for bit.
#[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
pub(super) fn encode(ts: &[i64], vs: &[f64], out: &mut Vec<u8>) {
    let len = u16::try_from(ts.len()).expect("BUG: chunks are shorter");
    out.extend_from_slice(&len.to_be_bytes());
    let mut samples = ts.iter().copied().zip(vs.iter().copied());
    let Some((mut t, v)) = samples.next() else { return };
    put_zigzag(out, t);
    out.extend_from_slice(&v.to_bits().to_be_bytes());
    let mut values = Xor::new(v);
    let Some((second, v)) = samples.next() else { return };
    let mut step = second.wrapping_sub(t);
    t = second;
    put_varint(out, step.cast_unsigned());
    let mut bits = BitWriter::new(out);
    values.push(v, &mut bits);
    for (next, v) in samples {
        let next_step = next.wrapping_sub(t);
        push_change(next_step.wrapping_sub(step), &mut bits);
        (t, step) = (next, next_step);
        values.push(v, &mut bits);
    }
    bits.finish();
}

/// The change of the step between times.
#[inline]
fn push_change(change: i64, to: &mut BitWriter<'_>) {
    if change == 0 {
        return to.push(0, 1);
    }
    let bits = change.cast_unsigned();
    if fits(change, 14) {
        to.push(0b10 << 14 | bits & 0x3fff, 16);
    } else if fits(change, 17) {
        to.push(0b110 << 17 | bits & 0x1_ffff, 20);
    } else if fits(change, 20) {
        to.push(0b1110 << 20 | bits & 0xf_ffff, 24);
    } else {
        to.push(0b1111, 4);
        to.push(bits, 64);
    }
}
