//! Series blocks: one series' samples in one block, as tagged bytes.
//!
//! **What it is:** the one place that turns [`Columns`] into a codec tag, a kind tag, times and
//! bytes, and back. Merges write through [`BlockEncoder`], reads come through [`BlockDecoder`].
//!
//! **What it is not:** storage. A fileset holds the bytes, shares equal times, and guards both with
//! checksums.

use std::ops::Range;

mod kept;
mod parts;

use m3rs_core::Corrupt;
use m3rs_core::model::SampleKind;

use crate::buffer::{Columns, overlay_stream};
use crate::codec::times::TimeEncoder;
use crate::codec::values::{COUNT_MAX, ValueCodec, ValueDecoder, ValueEncoder};
use crate::fileset::BlockCodec;
use kept::{BlockTimes, Kept, Millis, times_of};

pub use crate::codec::values::Effort;

/// An encoded series block; borrows the memory of its encoder, or of a file.
#[derive(Clone, Copy, Debug)]
pub struct EncodedBlock<'a> {
    /// How `bytes` is encoded.
    pub codec: BlockCodec,
    /// What the samples are.
    pub kind: SampleKind,
    /// Samples in the block; 0 only in a block of parts, which may hold deletions alone.
    pub count: u32,
    /// Time of the first sample.
    pub first_ns: i64,
    /// Time of the last sample.
    pub last_ns: i64,
    /// The times, which blocks may share; empty if they stand at the start of `bytes`.
    pub times: &'a [u8],
    /// The samples.
    pub bytes: &'a [u8],
}

/// What is known of floats that were encoded.
#[derive(Clone, Copy)]
struct Floats {
    codec: ValueCodec,
    count: u32,
    first_ns: i64,
    last_ns: i64,
}

/// Encodes series blocks one after the other, in memory that it keeps.
#[derive(Debug, Default)]
pub struct BlockEncoder {
    time_encoder: TimeEncoder,
    value_encoder: ValueEncoder,
    times: Vec<u8>,
    bytes: Vec<u8>,
    parts: Vec<u8>,
}

impl BlockEncoder {
    /// Encodes the samples of one series in one block; `None` if there are none.
    ///
    /// # Errors
    /// [`Corrupt`] for more samples than a block may have.
    pub fn encode(
        &mut self,
        columns: &Columns,
        effort: Effort,
    ) -> Result<Option<EncodedBlock<'_>>, Corrupt> {
        if !columns.rich.is_empty() {
            return self.encode_parts(columns, effort);
        }
        let Some(floats) = self.encode_floats(columns, effort)? else { return Ok(None) };
        Ok(Some(EncodedBlock {
            codec: BlockCodec::Sealed(floats.codec),
            kind: SampleKind::Float,
            count: floats.count,
            first_ns: floats.first_ns,
            last_ns: floats.last_ns,
            times: &self.times,
            bytes: &self.bytes,
        }))
    }

    /// Leaves the times and values of the floats in `times` and `bytes`; `None` if there are none.
    fn encode_floats(
        &mut self,
        columns: &Columns,
        effort: Effort,
    ) -> Result<Option<Floats>, Corrupt> {
        let Columns { ts, vs, .. } = columns;
        let (Some(&first_ns), Some(&last_ns)) = (ts.first(), ts.last()) else { return Ok(None) };
        let count = u32::try_from(ts.len()).ok().filter(|_| ts.len() <= COUNT_MAX);
        let count = count.ok_or_else(|| {
            let want = format!("at most {COUNT_MAX} samples");
            Corrupt::new("series block", 0, want, ts.len().to_string())
        })?;
        self.times.clear();
        self.bytes.clear();
        self.time_encoder.encode(ts, &mut self.times);
        let codec = self.value_encoder.encode(vs, effort, &mut self.bytes);
        Ok(Some(Floats { codec, count, first_ns, last_ns }))
    }
}

/// Decodes series blocks, in memory that it keeps.
#[derive(Debug, Default)]
pub struct BlockDecoder {
    columns: Columns,
    parts: Columns,
    spare: Columns,
    values: ValueDecoder,
    kept: Kept,
    own: Vec<i64>,
    millis: Millis,
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
                self.millis.stop();
                overlay_stream(block.bytes, from, to, &mut self.columns, out)
            }
            (SampleKind::Mixed, BlockCodec::Parts) => {
                self.millis.stop();
                self.overlay_parts(block, (from, to), out)
            }
            (SampleKind::Mixed, BlockCodec::TimedParts) => {
                self.overlay_timed_parts(block, (from, to), out)
            }
            (SampleKind::Float, BlockCodec::Sealed(codec)) => {
                self.overlay_sealed(block, codec, (from, to), out)
            }
            (kind, codec) => {
                let got = format!("{kind:?} in {codec:?}");
                Err(Corrupt::new("series block", 0, "a kind that the codec holds", got))
            }
        }
    }

    fn overlay_sealed(
        &mut self,
        block: &EncodedBlock<'_>,
        codec: ValueCodec,
        (from, to): (i64, i64),
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        let (times, bytes) = times_of(block, &mut self.kept, &mut self.own)?;
        let values = Values { codec, bytes, decoder: &mut self.values };
        let memory = (&mut self.columns, &mut self.millis);
        overlay_values(times, values, (from, to), memory, out)
    }

    /// Empty columns, whose memory is to be given back.
    pub(crate) fn take_spare(&mut self) -> Columns {
        std::mem::take(&mut self.spare)
    }

    /// Takes columns back.
    pub(crate) fn give_spare(&mut self, mut spare: Columns) {
        spare.clear();
        self.spare = spare;
    }

    /// Follows the times of empty columns in milliseconds, as blocks are laid over them.
    pub(crate) fn start_millis(&mut self) {
        self.millis.start();
    }

    /// Lets them be: other things than blocks are laid over the columns too.
    pub(crate) fn stop_millis(&mut self) {
        self.millis.stop();
    }

    /// Leaves the times of `columns` in milliseconds there, if all of them are known and differ.
    pub(crate) fn give_millis(&mut self, columns: &mut Columns) {
        self.millis.give(columns);
    }

    /// Columns for a caller's own use between blocks.
    pub(crate) fn columns(&mut self) -> &mut Columns {
        &mut self.columns
    }
}

/// Encoded values, and what decodes them.
struct Values<'a> {
    codec: ValueCodec,
    bytes: &'a [u8],
    decoder: &'a mut ValueDecoder,
}

/// Lays values at `times`, as far as these are in the range, over `out`.
fn overlay_values(
    BlockTimes { times, millis: in_millis }: BlockTimes<'_>,
    values: Values<'_>,
    (from, to): (i64, i64),
    (scratch, millis): (&mut Columns, &mut Millis),
    out: &mut Columns,
) -> Result<(), Corrupt> {
    let Values { codec, bytes, decoder } = values;
    let wanted = times.partition_point(|t| *t < from)..times.partition_point(|t| *t <= to);
    if wanted.is_empty() {
        return Ok(());
    }
    let is_after = out.bounds().is_none_or(|(_, last)| last < times[wanted.start]);
    if is_after {
        let begin = out.vs.len();
        let decoded = decoder.decode(codec, bytes, times.len(), &mut out.vs);
        if decoded.is_err() {
            out.vs.truncate(begin);
            return decoded;
        }
        keep_range(&mut out.vs, begin, wanted.clone());
        millis.extend(out.ts.len(), in_millis.map(|all| &all[wanted.clone()]));
        out.ts.extend_from_slice(&times[wanted]);
        return Ok(());
    }
    millis.stop();
    scratch.clear();
    decoder.decode(codec, bytes, times.len(), &mut scratch.vs)?;
    keep_range(&mut scratch.vs, 0, wanted.clone());
    scratch.ts.extend_from_slice(&times[wanted]);
    out.overlay(scratch);
    Ok(())
}

/// Keeps `wanted` of the values from `begin` on.
fn keep_range(values: &mut Vec<f64>, begin: usize, wanted: Range<usize>) {
    values.truncate(begin + wanted.end);
    values.drain(begin..begin + wanted.start);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::kept::KEPT_COUNT_MAX;
    use super::*;

    #[test]
    fn a_block_comes_back_and_lies_over_what_is_there() {
        let columns = Columns::of_floats(vec![10, 20, 30], vec![1.0, -0.0, f64::NAN]);
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
        assert_eq!((block.count, block.first_ns, block.last_ns), (3, 10, 30));
        let mut out = Columns::of_floats(vec![5, 20], vec![7.0, 8.0]);
        BlockDecoder::default().overlay(&block, (0, 25), &mut out).expect("sound");
        assert_eq!(out.ts, [5, 10, 20]);
        assert_eq!(out.vs[2].to_bits(), (-0.0f64).to_bits());
        assert!(encoder.encode(&Columns::default(), Effort::Flush).expect("fits").is_none());
    }

    fn samples() -> impl Strategy<Value = BTreeMap<i64, u64>> {
        let time = prop_oneof![(0i64..60).prop_map(|i| i * 15_000), any::<i64>(), 0i64..900_000];
        let value = prop_oneof![(0u32..100).prop_map(|v| f64::from(v).to_bits()), any::<u64>(),];
        prop::collection::btree_map(time, value, 1..80)
    }

    proptest! {
        /// Blocks laid over each other are maps that extend each other, wherever the times stand
        /// and whatever range is asked for.
        #[test]
        fn blocks_are_maps(
            maps in prop::collection::vec(samples(), 1..4),
            range in prop_oneof![Just((i64::MIN, i64::MAX)), (0i64..500_000, 0i64..900_000)],
            inline in any::<bool>(),
            effort in prop_oneof![Just(Effort::Flush), Just(Effort::Compact)],
        ) {
            let (mut encoder, mut decoder) = (BlockEncoder::default(), BlockDecoder::default());
            let (mut out, mut model) = (Columns::default(), BTreeMap::new());
            for map in maps {
                let vs = map.values().map(|v| f64::from_bits(*v)).collect();
                let columns = Columns::of_floats(map.keys().copied().collect(), vs);
                let block = encoder.encode(&columns, effort).expect("fits").expect("some");
                let whole = [block.times, block.bytes].concat();
                let block = if inline {
                    EncodedBlock { times: &[], bytes: &whole, ..block }
                } else {
                    block
                };
                for _ in 0..2 {
                    decoder.overlay(&block, range, &mut out).expect("sound");
                }
                model.extend(map.into_iter().filter(|(t, _)| (range.0..=range.1).contains(t)));
            }
            let got: Vec<_> = out.iter().map(|s| (s.t.0, s.v.to_bits())).collect();
            prop_assert_eq!(got, model.into_iter().collect::<Vec<_>>());
        }
    }

    /// Columns of every length come and go, and what is kept stays within its bytes.
    #[test]
    fn kept_times_stay_within_their_bytes() {
        let (mut encoder, mut decoder) = (BlockEncoder::default(), BlockDecoder::default());
        for count in (1..40).map(|i| i * 9_973).chain([5_760, KEPT_COUNT_MAX, 5_760]) {
            let ts: Vec<i64> = (0..count as i64).map(|i| i * 15 + i % 7).collect();
            let columns = Columns::of_floats(ts, vec![1.0; count]);
            let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
            for _ in 0..2 {
                let mut out = Columns::default();
                decoder.overlay(&block, (i64::MIN, i64::MAX), &mut out).expect("sound");
                assert_eq!(out.ts, columns.ts);
            }
            assert_eq!(decoder.kept.has(&columns.ts), count <= KEPT_COUNT_MAX, "{count} times");
        }
    }

    #[test]
    fn kept_times_follow_the_block() {
        let (mut encoder, mut decoder) = (BlockEncoder::default(), BlockDecoder::default());
        for start in [0, 500, -70] {
            let ts: Vec<i64> = (0..100).map(|i| start + i * 15).collect();
            let columns = Columns::of_floats(ts, vec![1.0; 100]);
            let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
            let mut out = Columns::default();
            decoder.overlay(&block, (i64::MIN, i64::MAX), &mut out).expect("sound");
            assert_eq!(out.ts, columns.ts);
            let wrong = EncodedBlock { last_ns: block.last_ns + 1, ..block };
            assert!(decoder.overlay(&wrong, (0, 9), &mut out).is_err());
            let wrong = EncodedBlock { count: 99, ..block };
            assert!(decoder.overlay(&wrong, (0, 9), &mut out).is_err());
            // A block without samples was refused once, and was out of bounds when it came again.
            for _ in 0..2 {
                let wrong = EncodedBlock { count: 0, ..block };
                assert!(decoder.overlay(&wrong, (0, 9), &mut out).is_err());
            }
            let longer = [block.times, &[0]].concat();
            let wrong = EncodedBlock { times: &longer, ..block };
            assert!(decoder.overlay(&wrong, (0, 9), &mut out).is_err());
        }
    }
}
