//! An answer as one `ReadResponse`, compressed as one snappy block.
//!
//! A block is a length and then elements, which may copy from what was written before them. Pieces
//! that copy from themselves alone can be made one by one and laid end to end; so the message is
//! held compressed, and only a piece of it as it is.

use bytes::Bytes;
use m3rs_core::model::Labels;
use m3rs_core::wire::put_varint;
use m3rs_query::source::SampleColumns;

use super::message::{put_bytes, put_histogram, put_labels, put_sample};
use super::{PIECE_BYTES, ReadError, Reading};

/// The field of `ReadResponse` and of `QueryResult`.
const RESULT: u32 = 1;
const RESULT_SERIES: u32 = 1;

/// The most bytes that snappy's length can tell.
const BLOCK_BYTES_MAX: u64 = u32::MAX as u64;

/// Reads everything. The answer is in pieces.
///
/// # Errors
/// As [`Reading::read_some`], and [`ReadError::TooManySamples`].
pub(crate) fn samples_answer(reading: Reading) -> Result<Vec<Bytes>, ReadError> {
    let mut reading = reading.with_empty_series();
    let limit = reading.limits().samples_max;
    let mut results = Vec::with_capacity(reading.queries().len());
    let mut result = Elements::default();
    let mut samples = 0u64;
    let mut memory = (Vec::new(), Vec::new());
    loop {
        let read = reading.read_some(|_, labels, columns| {
            samples += columns.len() as u64;
            if samples > limit {
                return Err(ReadError::TooManySamples { limit });
            }
            put_series(labels, columns, &mut memory);
            result.push(&memory.0)
        })?;
        match read {
            None => return block(results),
            Some((_, true)) => {}
            Some((_, false)) => {
                samples = 0;
                result.finish_piece()?;
                results.push(std::mem::take(&mut result));
            }
        }
    }
}

/// Writes a field with a series; the memory is used again.
fn put_series(labels: &Labels, columns: &SampleColumns, to: &mut (Vec<u8>, Vec<u8>)) {
    let (field, series) = to;
    series.clear();
    put_labels(series, labels);
    for (t, v) in columns.ts.iter().zip(&columns.vs) {
        put_sample(series, *t, *v);
    }
    let histograms = &columns.histograms;
    for (t, h) in histograms.ts.iter().zip(&histograms.hs) {
        put_histogram(series, *t, h);
    }
    field.clear();
    put_bytes(field, RESULT_SERIES, series);
}

/// Lays results behind their heads, and all behind the length of the block.
fn block(results: Vec<Elements>) -> Result<Vec<Bytes>, ReadError> {
    let mut pieces = vec![Bytes::new()];
    let mut len = 0u64;
    for result in results {
        let mut head = Elements::default();
        put_varint(&mut head.plain, u64::from(RESULT << 3 | 2));
        put_varint(&mut head.plain, result.len);
        head.len = head.plain.len() as u64;
        head.finish_piece()?;
        len = len.saturating_add(head.len).saturating_add(result.len);
        pieces.extend(head.pieces);
        pieces.extend(result.pieces);
    }
    if len > BLOCK_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    let mut length = Vec::new();
    put_varint(&mut length, len);
    pieces[0] = Bytes::from(length);
    Ok(pieces)
}

/// Elements of a snappy block.
#[derive(Default)]
struct Elements {
    /// What is not compressed yet.
    plain: Vec<u8>,
    pieces: Vec<Bytes>,
    /// Bytes before compression.
    len: u64,
}

impl Elements {
    fn push(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        self.len = self.len.saturating_add(bytes.len() as u64);
        if self.len > BLOCK_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        self.plain.extend_from_slice(bytes);
        if self.plain.len() >= PIECE_BYTES {
            self.finish_piece()?;
        }
        Ok(())
    }

    fn finish_piece(&mut self) -> Result<(), ReadError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let block = snap::raw::Encoder::new().compress_vec(&self.plain);
        // The only error is that of the length, which a piece cannot have.
        let mut block = Bytes::from(block.map_err(|_| ReadError::TooLarge)?);
        // Without the length that stands in front of a block.
        let length = block.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        self.pieces.push(block.split_off(length.min(block.len())));
        self.plain.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_block() {
        let mut results = Vec::new();
        let mut wanted = Vec::new();
        for result in 0..3u8 {
            let mut elements = Elements::default();
            let mut plain = Vec::new();
            for i in 0..200_000u32 * u32::from(result) {
                let bytes = [result, 7, i.to_le_bytes()[2], 7];
                elements.push(&bytes).expect("short");
                plain.extend_from_slice(&bytes);
            }
            elements.finish_piece().expect("short");
            put_bytes(&mut wanted, RESULT, &plain);
            results.push(elements);
        }
        assert!(results[2].pieces.len() > 1);
        let block = block(results).expect("short").concat();
        let plain = snap::raw::Decoder::new().decompress_vec(&block).expect("a block");
        assert!(plain == wanted);
        assert!(block.len() < plain.len() / 2, "{} of {}", block.len(), plain.len());
    }
}
