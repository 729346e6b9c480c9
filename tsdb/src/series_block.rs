//! Series blocks: one series' samples in one block, as tagged bytes.
//!
//! **What it is:** the one place that turns [`Columns`] into a codec tag, a kind tag and bytes,
//! and back. Merges write through [`BlockEncoder`], reads come through [`BlockDecoder`].
//!
//! **What it is not:** storage. A fileset holds the bytes and guards them with a checksum.

mod parts;

use m3rs_core::Corrupt;
use m3rs_core::model::SampleKind;
use m3rs_core::time::TimestampNs;

use crate::buffer::{Columns, overlay_stream};
use crate::codec::m3tsz::{EncodeError, Encoder, EncoderOptions};
use crate::fileset::BlockCodec;

/// How much work goes into a small block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A block that was just closed: at most two encodings are tried.
    Flush,
    /// A block that is rewritten to stay: every encoding that may win is tried.
    Compact,
}

/// An encoded series block; borrows its encoder's memory.
#[derive(Clone, Copy, Debug)]
pub struct EncodedBlock<'a> {
    /// How `bytes` is encoded.
    pub codec: BlockCodec,
    /// What the samples are.
    pub kind: SampleKind,
    /// Samples in the block; at least 1.
    pub count: u32,
    /// Time of the first sample.
    pub first_ns: i64,
    /// Time of the last sample.
    pub last_ns: i64,
    /// The samples.
    pub bytes: &'a [u8],
}

/// Encodes series blocks one after the other, in memory that it keeps.
#[derive(Debug, Default)]
pub struct BlockEncoder {
    bytes: Vec<u8>,
    parts: Vec<u8>,
}

impl BlockEncoder {
    /// Encodes the samples of one series in the block that starts at `block_start_ns`; `None` if
    /// there are none.
    ///
    /// # Errors
    /// [`EncodeError`] for samples that no codec holds.
    pub fn encode(
        &mut self,
        columns: &Columns,
        block_start_ns: i64,
        effort: Effort,
    ) -> Result<Option<EncodedBlock<'_>>, EncodeError> {
        if !columns.rich.is_empty() {
            return self.encode_parts(columns, block_start_ns, effort);
        }
        let (Some(&first_ns), Some(&last_ns)) = (columns.ts.first(), columns.ts.last()) else {
            return Ok(None);
        };
        let mut encoder = Encoder::new(TimestampNs(block_start_ns), EncoderOptions::default());
        encoder.push_all(&columns.ts, &columns.vs)?;
        self.bytes = encoder.finish();
        Ok(Some(EncodedBlock {
            codec: BlockCodec::M3tsz,
            kind: SampleKind::Float,
            count: u32::try_from(columns.len()).unwrap_or(u32::MAX),
            first_ns,
            last_ns,
            bytes: &self.bytes,
        }))
    }
}

/// Decodes series blocks, in memory that it keeps.
#[derive(Debug, Default)]
pub struct BlockDecoder {
    columns: Columns,
    parts: Columns,
}

impl BlockDecoder {
    /// Lays the samples of a block in `from..=to` over `out`.
    ///
    /// # Errors
    /// [`Corrupt`] for bytes that no encoder writes; `out` is then as it was, or empty.
    pub fn overlay(
        &mut self,
        block: &EncodedBlock<'_>,
        (from, to): (i64, i64),
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        match (block.kind, block.codec) {
            (SampleKind::Float, BlockCodec::M3tsz) => {
                overlay_stream(block.bytes, from, to, &mut self.columns, out)
            }
            (SampleKind::Mixed, BlockCodec::Parts) => self.overlay_parts(block, (from, to), out),
            (kind, codec) => {
                let got = format!("{kind:?} in {codec:?}");
                Err(Corrupt::new("series block", 0, "a kind that the codec holds", got))
            }
        }
    }

    /// Columns for a caller's own use between blocks.
    pub(crate) fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_and_lies_over_what_is_there() {
        let columns = Columns::of_floats(vec![10, 20, 30], vec![1.0, -0.0, f64::NAN]);
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(&columns, 0, Effort::Flush).expect("fits").expect("some");
        assert_eq!((block.count, block.first_ns, block.last_ns), (3, 10, 30));
        let mut out = Columns::of_floats(vec![5, 20], vec![7.0, 8.0]);
        BlockDecoder::default().overlay(&block, (0, 25), &mut out).expect("sound");
        assert_eq!(out.ts, [5, 10, 20]);
        assert_eq!(out.vs[2].to_bits(), (-0.0f64).to_bits());
        assert!(encoder.encode(&Columns::default(), 0, Effort::Flush).expect("fits").is_none());
    }
}
