//! Values that stay the same for a while: the lengths of the runs, then one value for each run.
//!
//! Drawn in `docs/formats/codecs.md`. Budget: decode 1 ns a sample.

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_varint};

use super::integers;

const WHAT: &str = "run-length values";

/// Splits values into runs of equal bits: the first value of each, and its length less 1.
pub(crate) fn split(values: &[f64], heads: &mut Vec<f64>, lengths: &mut Vec<i64>) {
    heads.clear();
    lengths.clear();
    for value in values {
        match (heads.last(), lengths.last_mut()) {
            (Some(head), Some(length)) if head.to_bits() == value.to_bits() => *length += 1,
            _ => {
                heads.push(*value);
                lengths.push(0);
            }
        }
    }
}

/// Appends the number of runs and their lengths; their values come behind that.
pub(crate) fn encode_lengths(lengths: &[i64], scratch: &mut integers::Scratch, out: &mut Vec<u8>) {
    put_varint(out, lengths.len() as u64);
    integers::encode(lengths, scratch, out);
}

/// Reads the lengths, less 1 each, of runs that make up `count` samples.
///
/// # Errors
/// [`Corrupt`] for bytes that [`encode_lengths`] does not write.
pub(crate) fn decode_lengths(
    cursor: &mut Cursor<'_>,
    count: usize,
    lengths: &mut Vec<i64>,
) -> Result<(), Corrupt> {
    let at = cursor.position();
    let runs = cursor.varint()?;
    let runs = usize::try_from(runs)
        .ok()
        .filter(|runs| *runs <= count)
        .ok_or_else(|| Corrupt::new(WHAT, at, format!("at most {count} runs"), runs.to_string()))?;
    lengths.clear();
    integers::decode(cursor, runs, 0, lengths)?;
    let mut left = count;
    for &length in &*lengths {
        let taken = usize::try_from(length).ok().and_then(|length| length.checked_add(1));
        left = taken.and_then(|taken| left.checked_sub(taken)).ok_or_else(|| {
            Corrupt::new(WHAT, at, format!("a run of at most {left}"), format!("{length} and 1"))
        })?;
    }
    if left > 0 {
        let want = format!("runs of {count} samples");
        return Err(Corrupt::new(WHAT, at, want, format!("{left} fewer")));
    }
    Ok(())
}

/// Appends each head as often as its run is long.
pub(crate) fn expand(heads: &[f64], lengths: &[i64], out: &mut Vec<f64>) {
    for (&head, &length) in heads.iter().zip(lengths) {
        let end = out.len() + 1 + usize::try_from(length).unwrap_or(0);
        out.resize(end, head);
    }
}
