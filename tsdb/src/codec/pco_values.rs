//! Full floats by pco, in its wrapped format: a header, one chunk of one page.
//!
//! Slower than the other codecs, and smaller where values have no short decimals. What pco writes
//! may change with its version, so golden files test that it is read.
//!
//! Cost: decode 3 to 11 ns, encode 30 to 80 ns a sample, and a few allocations for each block.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;
use pco::errors::PcoError;
use pco::metadata::{ChunkMeta, DeltaEncoding, Mode};
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, DeltaSpec, ModeSpec, PagingSpec};

const WHAT: &str = "pco values";

/// No encoding of a run is so small that a byte of it holds more values.
const VALUES_PER_BYTE_MAX: usize = 4096;

/// The most values of a pco chunk.
const COUNT_MAX: usize = 1 << 24;

/// Appends the values at `level` (0 to 12); `false`, and nothing appended, if pco refuses.
pub(crate) fn encode(values: &[f64], level: usize, out: &mut Vec<u8>) -> bool {
    if values.len() > COUNT_MAX {
        return false;
    }
    let begin = out.len();
    let config = ChunkConfig::default()
        .with_compression_level(level)
        .with_mode_spec(ModeSpec::Auto)
        .with_delta_spec(DeltaSpec::Auto)
        .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let written = (|| {
        let file = FileCompressor::default();
        file.write_header(&mut *out)?;
        let mut chunk = file.chunk_compressor(values, &config)?;
        chunk.write_meta(&mut *out)?;
        chunk.write_page(0, &mut *out)?;
        Ok::<bool, PcoError>(is_simple(chunk.meta()))
    })();
    // What is too small for its count would be refused by a reader.
    let fits = values.len() <= (out.len() - begin).saturating_mul(VALUES_PER_BYTE_MAX);
    let is_taken = fits && written.is_ok_and(|simple| simple);
    if !is_taken {
        out.truncate(begin);
    }
    is_taken
}

/// Reads values, in memory that it keeps.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    scratch: DecompressorScratch,
}

impl Reader {
    /// Appends `count` values.
    ///
    /// # Errors
    /// [`Corrupt`] for bytes that are no such file, or that do not hold `count` values. A count
    /// that the bytes cannot have is refused before memory is taken for it.
    pub(crate) fn decode(
        &mut self,
        cursor: &mut Cursor<'_>,
        count: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), Corrupt> {
        let at = cursor.position();
        let bytes = cursor.take(cursor.remaining())?;
        if count > COUNT_MAX || count > bytes.len().saturating_mul(VALUES_PER_BYTE_MAX) {
            let got = format!("{count} values in {} bytes", bytes.len());
            return Err(Corrupt::new(WHAT, at, "no more values than bytes can hold", got));
        }
        let begin = out.len();
        let read = self.read(bytes, count, out);
        read.map_err(|got| {
            out.truncate(begin);
            Corrupt::new(WHAT, at, "values that pco reads", got)
        })
    }

    fn read(&mut self, bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), String> {
        let text = |e: PcoError| e.to_string();
        let (file, rest) = FileDecompressor::new(bytes).map_err(text)?;
        let (chunk, rest) = file.chunk_decompressor::<f64, _>(rest).map_err(text)?;
        if !is_simple(chunk.meta()) {
            return Err(format!("{:?} of {:?}", chunk.meta().delta_encoding, chunk.meta().mode));
        }
        let begin = out.len();
        out.resize(begin + count, 0.0);
        let mut page =
            chunk.page_decompressor_with_scratch(rest, count, &mut self.scratch).map_err(text)?;
        let progress = page.read(&mut out[begin..]).map_err(text)?;
        if progress.n_processed != count || !progress.finished {
            return Err(format!("{} of {count} values", progress.n_processed));
        }
        match page.into_src() {
            [] => Ok(()),
            more => Err(format!("{} more bytes", more.len())),
        }
    }
}

/// Encodings that take memory only for what they hold.
fn is_simple(meta: &ChunkMeta) -> bool {
    let delta =
        matches!(meta.delta_encoding, DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. });
    delta && !matches!(meta.mode, Mode::Dict(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[f64]) -> Option<usize> {
        let mut bytes = Vec::new();
        if !encode(values, 4, &mut bytes) {
            assert!(bytes.is_empty());
            return None;
        }
        let mut out = vec![1.0];
        let mut reader = Reader::default();
        reader.decode(&mut Cursor::new("t", &bytes), values.len(), &mut out).expect("sound");
        assert!(out[1..].iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
        for cut in 0..bytes.len() {
            let read = reader.decode(&mut Cursor::new("t", &bytes[..cut]), values.len(), &mut out);
            assert!(read.is_err() && out.len() == values.len() + 1, "cut at {cut}");
        }
        Some(bytes.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn any_bits_come_back(
            values in prop::collection::vec(prop_oneof![
                any::<u64>().prop_map(f64::from_bits), 0.0f64..1.0, Just(f64::NAN)], 1..300),
        ) {
            check(&values);
        }

        #[test]
        fn any_bytes_are_borne(
            noise in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..1000,
            values in prop::collection::vec(0.0f64..1.0, 1..300),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut reader = Reader::default();
            let _ = reader.decode(&mut Cursor::new("t", &noise), count, &mut Vec::new());
            let mut bytes = Vec::new();
            prop_assert!(encode(&values, 4, &mut bytes));
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = reader.decode(&mut Cursor::new("t", &bytes), values.len(), &mut Vec::new());
        }
    }

    #[test]
    fn full_floats_are_smaller_than_they_are() {
        let walk: Vec<f64> = (0..480).map(|i| 1000.0 + f64::from(i).sin()).collect();
        assert!(check(&walk).expect("taken") < 480 * 7);
        let mut reader = Reader::default();
        let refused = reader.decode(&mut Cursor::new("t", &[4]), 1 << 20, &mut Vec::new());
        assert!(refused.is_err());
    }
}
