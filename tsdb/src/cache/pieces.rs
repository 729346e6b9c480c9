//! Decoded pieces of long series blocks.
//!
//! A block of 32 days has to be decoded as a whole, though a query of its last hour wants a
//! thousandth of it. So what was decoded around the times that were asked for is kept: pieces of
//! about a thousand samples, as the same times are asked for again and again. A query that wants
//! most of a block decodes it and keeps nothing, so that large queries drive nothing out.

use std::ops::RangeInclusive;
use std::sync::Arc;

use m3rs_core::model::SampleKind;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::buffer::Columns;
use crate::fileset::FilesetEntry;
use crate::namespace::Counter;

/// Samples in a piece, on average over its block.
const PIECE_SAMPLES: u32 = 1024;

/// Blocks of fewer pieces are decoded as fast as pieces of them are found.
const PIECES_MIN: u32 = 4;

/// Weight of an entry's key and place in the cache, in bytes.
const ENTRY_BYTES: u64 = 128;

/// Bytes of a typical entry.
const ENTRY_BYTES_TYPICAL: u64 = 16 * PIECE_SAMPLES as u64 + ENTRY_BYTES;

/// A file, the offset of a block in it, and the number of the piece. No other file of the process
/// gets the number of a file, so an entry needs no removal when its file goes.
type Key = (u64, u64, u32);

/// The samples of a block between two times.
type Piece = (Box<[i64]>, Box<[f64]>);

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Arc<Piece>> for ByBytes {
    fn weight(&self, _: &Key, piece: &Arc<Piece>) -> u64 {
        ENTRY_BYTES + 16 * piece.0.len() as u64
    }
}

/// Keeps pieces up to a number of bytes, the most useful ones longest.
#[derive(Debug)]
pub(crate) struct Pieces {
    cache: Cache<Key, Arc<Piece>, ByBytes>,
    bytes_max: u64,
    /// Blocks of which a read found all it wanted.
    pub(crate) hits: Counter,
    /// Blocks that a read had to decode for a part of them.
    pub(crate) misses: Counter,
}

/// How a block is divided, and which pieces of it are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Division {
    first_ns: i64,
    span_ns: i64,
    wanted: RangeInclusive<u32>,
}

impl Division {
    /// `None` for a block that is short, of another kind, or wanted for the most part.
    fn of(entry: &FilesetEntry, (from, to): (i64, i64)) -> Option<Self> {
        let pieces = entry.count / PIECE_SAMPLES;
        if entry.kind != SampleKind::Float || pieces < PIECES_MIN {
            return None;
        }
        let first_ns = entry.first_ns;
        let length = entry.last_ns.checked_sub(first_ns).filter(|length| *length >= 0)?;
        let span_ns = length / i64::from(pieces) + 1;
        let number = |t: i64| {
            let into = t.clamp(first_ns, entry.last_ns).saturating_sub(first_ns);
            u32::try_from(into / span_ns).unwrap_or(u32::MAX)
        };
        let wanted = number(from)..=number(to);
        let count = wanted.end().saturating_sub(*wanted.start()).saturating_add(1);
        (count <= pieces / 2).then_some(Self { first_ns, span_ns, wanted })
    }

    /// The first time of a piece.
    fn start(&self, piece: u32) -> i64 {
        self.first_ns.saturating_add(i64::from(piece).saturating_mul(self.span_ns))
    }
}

impl Pieces {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries = usize::try_from(bytes_max / ENTRY_BYTES_TYPICAL).unwrap_or(usize::MAX);
        let cache = Cache::with_weighter(entries.max(1), bytes_max, ByBytes);
        Self { cache, bytes_max, hits: Counter::default(), misses: Counter::default() }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Which pieces of a block a range needs, if it is worth while to keep them.
    pub(crate) fn divide(&self, entry: &FilesetEntry, range: (i64, i64)) -> Option<Division> {
        Division::of(entry, range).filter(|_| self.bytes_max > 0)
    }

    /// Puts the samples of a block in `range` into the empty `out`. The block is named by its file
    /// and offset; `decode` puts those in another range into empty columns.
    pub(crate) fn read<E>(
        &self,
        block: (u64, u64),
        division: &Division,
        range: (i64, i64),
        out: &mut Columns,
        decode: impl FnOnce((i64, i64), &mut Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.take(block, division, range, out) {
            self.hits.add(1);
            return Ok(());
        }
        self.misses.add(1);
        out.clear();
        let (first, last) = (*division.wanted.start(), *division.wanted.end());
        let behind = |piece: u32| division.start(piece.saturating_add(1));
        decode((division.start(first), behind(last) - 1), out)?;
        for piece in division.wanted.clone() {
            let begin = out.ts.partition_point(|t| *t < division.start(piece));
            let end = out.ts.partition_point(|t| *t < behind(piece));
            let samples = (out.ts[begin..end].into(), out.vs[begin..end].into());
            self.cache.insert((block.0, block.1, piece), Arc::new(samples));
        }
        let wanted = bounds(&out.ts, range);
        out.ts.truncate(wanted.1);
        out.vs.truncate(wanted.1);
        out.ts.drain(..wanted.0);
        out.vs.drain(..wanted.0);
        Ok(())
    }

    /// Puts what is wanted into `out`; says whether all of it was there.
    fn take(
        &self,
        block: (u64, u64),
        division: &Division,
        range: (i64, i64),
        out: &mut Columns,
    ) -> bool {
        division.wanted.clone().all(|piece| {
            let Some(found) = self.cache.get(&(block.0, block.1, piece)) else { return false };
            let (begin, end) = bounds(&found.0, range);
            out.ts.extend_from_slice(&found.0[begin..end]);
            out.vs.extend_from_slice(&found.1[begin..end]);
            true
        })
    }
}

/// Where the times in `from..=to` begin and end.
fn bounds(ts: &[i64], (from, to): (i64, i64)) -> (usize, usize) {
    let begin = ts.partition_point(|t| *t < from);
    (begin, ts.partition_point(|t| *t <= to).max(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fileset::BlockCodec;

    const COUNT: u32 = 10_000;

    fn entry(offset: u64) -> FilesetEntry {
        FilesetEntry {
            series: 0,
            position: 0,
            codec: BlockCodec::M3tsz,
            kind: SampleKind::Float,
            count: COUNT,
            first_ns: 500,
            last_ns: 500 + (i64::from(COUNT) - 1) * 10,
            time_column: None,
            offset,
            len: 0,
        }
    }

    fn block(range: (i64, i64)) -> (Vec<i64>, Vec<f64>) {
        let ts = (0..i64::from(COUNT)).map(|i| 500 + i * 10);
        let ts: Vec<i64> = ts.filter(|t| (range.0..=range.1).contains(t)).collect();
        let vs = ts.iter().map(|t| *t as f64).collect();
        (ts, vs)
    }

    /// Reads a range; says whether the cache had a part in it and whether it decoded.
    fn read(pieces: &Pieces, offset: u64, range: (i64, i64)) -> (bool, bool) {
        let Some(division) = pieces.divide(&entry(offset), range) else { return (false, false) };
        let (mut out, mut decoded) = (Columns::default(), false);
        let read = pieces.read((1, offset), &division, range, &mut out, |range, out| {
            decoded = true;
            (out.ts, out.vs) = block(range);
            Ok::<(), ()>(())
        });
        read.expect("sound");
        assert_eq!((out.ts, out.vs), block(range), "{range:?}");
        (true, decoded)
    }

    #[test]
    fn what_was_asked_for_is_not_decoded_again() {
        let pieces = Pieces::new(1 << 20);
        assert_eq!(read(&pieces, 0, (50_000, 50_300)), (true, true));
        assert_eq!(read(&pieces, 0, (50_000, 50_300)), (true, false));
        assert_eq!(read(&pieces, 0, (50_005, 50_100)), (true, false), "of the same piece");
        assert_eq!(read(&pieces, 0, (80_000, 80_300)), (true, true), "another piece");
        assert_eq!(read(&pieces, 1, (50_000, 50_300)), (true, true), "another block");
        assert_eq!(read(&pieces, 0, (0, 600)), (true, true), "before the first sample");
        assert_eq!(read(&pieces, 0, (0, 700)), (true, false));
        assert_eq!(read(&pieces, 0, (100_000, i64::MAX)), (true, true));
        assert_eq!((pieces.hits.get(), pieces.misses.get()), (3, 5));
        // The whole, or most of it, is decoded as ever.
        assert_eq!(read(&pieces, 0, (i64::MIN, i64::MAX)), (false, false));
        assert_eq!(read(&pieces, 0, (500, 70_000)), (false, false));
        assert_eq!(read(&Pieces::new(0), 0, (50_000, 50_300)), (false, false));
    }

    #[test]
    fn any_range_is_right() {
        let pieces = Pieces::new(1 << 20);
        for from in (0..110_000).step_by(3_333) {
            for length in [0, 9, 10, 11, 5_000, 30_000] {
                let _ = read(&pieces, 0, (from, from + length));
            }
        }
        assert!(pieces.hits.get() > 20, "{}", pieces.hits.get());
    }

    #[test]
    fn its_bytes_hold() {
        let pieces = Pieces::new(200_000);
        for offset in 0..200 {
            assert_eq!(read(&pieces, offset, (50_000, 50_300)), (true, true));
            assert!(pieces.bytes() <= 200_000, "{} bytes", pieces.bytes());
        }
        assert!(pieces.bytes() > 100_000, "{} bytes", pieces.bytes());
    }
}
