//! Whole streams into columns: tight loops for the common forms of a sample.
//!
//! A loop handles one mode (integers or floats) with everything in registers, and leaves what it
//! does not know to [`State::step`], which then reads that one sample from the same place.

use std::hint::select_unpredictable;

use m3rs_core::Corrupt;

use super::super::marker;
use super::super::timestamp::WIDEST_BUCKET;
use super::{Decoder, DecoderOptions, Place, State, Step};
use crate::codec::bits::{BitReader, WINDOW_BITS};

/// Samples that are decoded before the caller's columns grow.
const CHUNK: usize = 64;

/// Bits of the widest time that the loops read: opcode and value of the 12-bit bucket.
const TIME_BITS: u32 = 16;

/// The widest difference that shares a window with its time and control bits.
const WIDTH_SHARED: u32 = WINDOW_BITS - TIME_BITS - 2;

/// The widest difference that fits a window with its control bits.
const WIDTH_ALONE: u32 = WINDOW_BITS - 2;

/// The sign of a float.
const SIGN: u64 = 1 << 63;

/// Appends all samples of a stream: nanoseconds to `ts`, values to `vs`.
///
/// # Errors
/// [`Corrupt`] for bytes that no encoder writes, or that end before the end-of-stream marker.
/// What was decoded before that stays appended.
///
/// # Cost
/// 3 to 5 ns a sample on regular scrapes and with a few milliseconds of jitter, 8 to 9 with tens of
/// milliseconds or full floats, 13 with both; and what the columns need to grow.
pub fn decode_into(
    bytes: &[u8],
    int_optimized: bool,
    ts: &mut Vec<i64>,
    vs: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    decode_chunks(bytes, int_optimized, |chunk_ts, chunk_vs| {
        ts.extend_from_slice(chunk_ts);
        vs.extend_from_slice(chunk_vs);
        true
    })
}

/// Appends the samples from `from_ns` to `to_ns`, both included.
///
/// Decoding stops at the first sample after `to_ns`, so times must ascend, and damage behind
/// that sample goes unnoticed.
///
/// # Errors
/// As [`decode_into`].
pub fn decode_range_into(
    bytes: &[u8],
    int_optimized: bool,
    from_ns: i64,
    to_ns: i64,
    ts: &mut Vec<i64>,
    vs: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    decode_chunks(bytes, int_optimized, |chunk_ts, chunk_vs| {
        let end = chunk_ts.iter().position(|&t| t > to_ns).unwrap_or(chunk_ts.len());
        let (in_ts, in_vs) = (&chunk_ts[..end], &chunk_vs[..end]);
        let begin = in_ts.iter().position(|&t| t >= from_ns).unwrap_or(end);
        ts.extend_from_slice(&in_ts[begin..]);
        vs.extend_from_slice(&in_vs[begin..]);
        end == chunk_ts.len()
    })
}

/// Hands over columns of up to [`CHUNK`] samples until the end or until `take` says stop.
#[inline(always)]
fn decode_chunks(
    bytes: &[u8],
    int_optimized: bool,
    mut take: impl FnMut(&[i64], &[f64]) -> bool,
) -> Result<(), Corrupt> {
    let mut decoder = Decoder::new(bytes, DecoderOptions { int_optimized });
    let mut chunk = Chunk { ts: [0; CHUNK], vs: [0.0; CHUNK], len: 0 };
    loop {
        let result = if int_optimized {
            decoder.fill::<true>(&mut chunk)
        } else {
            decoder.fill::<false>(&mut chunk)
        };
        if !take(&chunk.ts[..chunk.len], &chunk.vs[..chunk.len]) {
            return Ok(());
        }
        if let Step::End = result? {
            return Ok(());
        }
        chunk.len = 0;
    }
}

/// A part of both columns.
struct Chunk {
    ts: [i64; CHUNK],
    vs: [f64; CHUNK],
    len: usize,
}

impl Decoder<'_> {
    /// Fills the chunk, or says that the stream is over.
    fn fill<const INT: bool>(&mut self, chunk: &mut Chunk) -> Result<Step, Corrupt> {
        while chunk.len < CHUNK {
            if let Place::Samples(reader) = &mut self.place {
                if INT && !self.state.is_float {
                    self.state.run_integers(reader, chunk);
                } else {
                    self.state.run_floats::<INT>(reader, chunk);
                }
                if chunk.len == CHUNK {
                    break;
                }
            }
            if let Step::End = self.step(None)? {
                return Ok(Step::End);
            }
            chunk.ts[chunk.len] = self.state.time;
            chunk.vs[chunk.len] = self.state.value::<INT>();
            chunk.len += 1;
        }
        Ok(Step::Sample)
    }
}

impl State {
    /// Reads samples whose value is an integer's difference or a repetition.
    fn run_integers(&mut self, reader: &mut BitReader<'_>, chunk: &mut Chunk) {
        let Some(unit) = self.unit else { return };
        if self.width > WIDTH_ALONE {
            return;
        }
        let (unit_ns, width) = (unit.as_ns(), self.width);
        let (mut at, mut time, mut delta, mut integer) =
            (*reader, self.time, self.delta, self.integer);
        let begin = chunk.len;
        let mut len = begin;
        while len < CHUNK {
            let mut next = at;
            let window = next.window();
            let Some((dod, used)) = dod_of(window, unit_ns) else { break };
            next.skip(used);
            let value = if width <= WIDTH_SHARED { window << used } else { next.window() };
            let difference = if value >> 63 == 1 {
                next.skip(2 + width);
                let magnitude = ((value << 2) >> 1) >> (63 - width);
                let magnitude = magnitude.cast_signed() as f64;
                // The sign without a branch: it is a coin's toss in a gauge.
                f64::from_bits(magnitude.to_bits() ^ (!value << 1 & SIGN))
            } else if value >> 62 == 0b01 {
                next.skip(2);
                0.0
            } else {
                break;
            };
            if next.is_overrun() {
                break;
            }
            at = next;
            delta = delta.wrapping_add(dod);
            time = time.wrapping_add(delta);
            integer += difference;
            chunk.ts[len] = time;
            chunk.vs[len] = integer;
            len += 1;
        }
        chunk.len = len;
        (*reader, self.time, self.delta, self.integer) = (at, time, delta, integer);
        let power = self.power();
        if power != 1.0 {
            // Divisions apart from the loop, where they come in pairs.
            chunk.vs[begin..len].iter_mut().for_each(|v| *v /= power);
        }
    }

    /// Reads samples whose value is an XOR or a repetition.
    fn run_floats<const INT: bool>(&mut self, reader: &mut BitReader<'_>, chunk: &mut Chunk) {
        let Some(unit) = self.unit else { return };
        let unit_ns = unit.as_ns();
        let (mut at, mut time, mut delta) = (*reader, self.time, self.delta);
        let (mut bits, mut xor) = (self.bits, self.xor);
        let mut len = chunk.len;
        while len < CHUNK {
            let mut next = at;
            let window = next.window();
            let Some((dod, used)) = dod_of(window, unit_ns) else { break };
            next.skip(used);
            let value = window << used;
            let mut new_xor = xor;
            let mut new_bits = bits;
            if INT && value >> 62 == 0b01 {
                next.skip(2);
            } else if INT && value >> 63 == 0 {
                break;
            } else {
                let prefix = u32::from(INT);
                let Some((read, used)) = xor_of(next, value << prefix, prefix, xor) else { break };
                next.skip(used);
                new_xor = read;
                new_bits ^= read;
            }
            if next.is_overrun() {
                break;
            }
            at = next;
            delta = delta.wrapping_add(dod);
            time = time.wrapping_add(delta);
            (bits, xor) = (new_bits, new_xor);
            chunk.ts[len] = time;
            chunk.vs[len] = f64::from_bits(bits);
            len += 1;
        }
        chunk.len = len;
        (*reader, self.time, self.delta) = (at, time, delta);
        (self.bits, self.xor) = (bits, xor);
    }
}

/// A delta-of-delta in nanoseconds and its bits; `None` for the widest ones and for markers.
#[inline(always)]
fn dod_of(window: u64, unit_ns: i64) -> Option<(i64, u32)> {
    if window >> 63 == 0 {
        return Some((0, 1));
    }
    // The code of scrapes that jitter by a few milliseconds: a branch that is predicted right keeps
    // the bits of the next sample from waiting for this one's.
    let is_marker = window >> (64 - marker::OPCODE_BITS) == marker::OPCODE;
    if window >> 62 == 0b10 && !is_marker {
        let units = (window << 2).cast_signed() >> 57;
        return Some((units.wrapping_mul(unit_ns), 9));
    }
    let index = (window >> 60) as usize;
    if index == WIDEST_BUCKET || is_marker {
        return None;
    }
    let wide = u32::from(window >= 0xe << 60);
    let units = (window << (3 + wide)).cast_signed() >> (55 - 3 * wide);
    Some((units.wrapping_mul(unit_ns), 12 + 4 * wide))
}

/// An XOR and its bits, `prefix` ones included; `None` if it is broken.
#[inline(always)]
fn xor_of(reader: BitReader<'_>, window: u64, prefix: u32, last: u64) -> Option<(u64, u32)> {
    if window >> 63 == 0 {
        return Some((0, prefix + 1));
    }
    // Which form comes is hard to predict, so both are worked out.
    let is_contained = window >> 62 == 0b10;
    let last_leading = last.leading_zeros();
    let last_n = 64u32.wrapping_sub(last_leading).wrapping_sub(last.trailing_zeros());
    let own_leading = (window >> 56 & 0x3f) as u32;
    let own_n = (window >> 50 & 0x3f) as u32 + 1;
    let head = prefix + select_unpredictable(is_contained, 2, 14);
    let leading = select_unpredictable(is_contained, last_leading, own_leading);
    let n = select_unpredictable(is_contained, last_n, own_n);
    // A window of nothing has n = -64 or so.
    if leading.wrapping_add(n) > 64 || n > 64 {
        return None;
    }
    let mut body = reader;
    body.skip(head);
    Some((body.take(n) << (64 - leading - n), head + n))
}
