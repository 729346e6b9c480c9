//! Chunks as Prometheus stores them and as remote read streams them: XOR for floats, and two
//! encodings for native histograms.
//!
//! **What it is:** pure functions from columns to the bytes of `tsdb/chunkenc`, whose golden files
//! they are held against.
//!
//! **What it is not:** how m3rs stores samples; chunks are made for answers only.
//!
//! Budget: floats <= 10 ns/sample.

mod bits;
mod float;
mod histogram;

use std::sync::Arc;

use m3rs_core::model::Histogram;

/// The most samples of one chunk, as in a head of Prometheus. Its readers know no sample's place in
/// a chunk, so shorter chunks are found faster and longer ones are smaller.
pub(crate) const CHUNK_SAMPLES_MAX: usize = 120;

/// How samples of a chunk are encoded; the numbers are those of `prometheus.Chunk.Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkEncoding {
    /// Floats.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
}

/// A chunk without its bytes, which stand in the buffer that it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// How it is encoded.
    pub(crate) encoding: ChunkEncoding,
    /// Its samples.
    pub(crate) len: usize,
    /// The time of its first sample, in milliseconds.
    pub(crate) min_ms: i64,
    /// The time of its last sample.
    pub(crate) max_ms: i64,
}

/// Appends a chunk of the first of these floats to `out`; none if there are none.
pub(crate) fn put_floats(ts: &[i64], vs: &[f64], out: &mut Vec<u8>) -> Option<Chunk> {
    let len = ts.len().min(vs.len()).min(CHUNK_SAMPLES_MAX);
    let (&min_ms, &max_ms) = (ts.first()?, ts.get(len.checked_sub(1)?)?);
    float::encode(&ts[..len], &vs[..len], out);
    Some(Chunk { encoding: ChunkEncoding::Xor, len, min_ms, max_ms })
}

/// Appends a chunk of the first of these histograms to `out`, as many as have the same buckets, the
/// same kind of counts and no reset between them; none if there are none. `before` is the histogram
/// before the first, if it is known.
pub(crate) fn put_histograms(
    ts: &[i64],
    hs: &[Arc<Histogram>],
    before: Option<&Histogram>,
    out: &mut Vec<u8>,
) -> Option<Chunk> {
    let (&min_ms, first) = (ts.first()?, hs.first()?);
    let len = histogram::encode(ts, hs, before, out);
    let max_ms = *ts.get(len.checked_sub(1)?)?;
    let encoding = match first.is_float() {
        true => ChunkEncoding::FloatHistogram,
        false => ChunkEncoding::Histogram,
    };
    Some(Chunk { encoding, len, min_ms, max_ms })
}

#[cfg(test)]
#[allow(dead_code, reason = "tests of the API read more of them")]
#[path = "../tests/api/chunk_reader.rs"]
mod chunk_reader;

#[cfg(test)]
mod tests;
