//! Copies of what a buffer holds of some series, to be decoded without the shard's lock.

use std::ops::Range;

use m3rs_core::Corrupt;

use super::columns::Columns;
use super::overlay_stream;
use super::rich::RichCopy;
use crate::codec::m3tsz;

/// What a buffer holds of one series in one block, still encoded, as ranges of [`Copies`].
#[derive(Debug)]
pub(crate) struct BlockCopy {
    pub(crate) block_start: i64,
    pub(super) stream: Range<usize>,
    pub(super) page: Range<usize>,
    pub(super) late: Range<usize>,
    pub(super) rich: Option<Box<RichCopy>>,
}

impl BlockCopy {
    pub(super) fn is_empty(&self) -> bool {
        let is_plain = self.rich.is_none();
        is_plain && self.stream.is_empty() && self.page.is_empty() && self.late.is_empty()
    }
}

/// What a buffer holds of some series, still encoded, in memory that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    pub(super) blocks: Vec<BlockCopy>,
    /// Where the blocks of each series end.
    pub(super) series_ends: Vec<usize>,
    pub(super) streams: Vec<u8>,
    pub(super) samples: Vec<(i64, f64)>,
}

impl Copies {
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.series_ends.clear();
        self.streams.clear();
        self.samples.clear();
    }

    /// The blocks of the series that was copied after `number` others, by time.
    pub(crate) fn of_series(&self, number: usize) -> &[BlockCopy] {
        let begin = number.checked_sub(1).map_or(0, |before| self.series_ends[before]);
        &self.blocks[begin..self.series_ends[number]]
    }

    /// Lays the samples of a block in `from..=to` over `out`.
    pub(crate) fn overlay_on(
        &self,
        block: &BlockCopy,
        (from, to): (i64, i64),
        scratch: &mut Columns,
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        if let Some(rich) = &block.rich {
            return self.overlay_any_kind(block, rich, (from, to), scratch, out);
        }
        overlay_stream(&self.streams[block.stream.clone()], from, to, scratch, out)?;
        out.overlay_samples(&self.samples[block.page.clone()], scratch);
        if !block.late.is_empty() {
            scratch.set_from_arrivals(&self.samples[block.late.clone()], from, to);
            out.overlay(scratch);
        }
        Ok(())
    }

    /// The streams first, each time in one of them, then the late arrivals of all kinds.
    #[cold]
    fn overlay_any_kind(
        &self,
        block: &BlockCopy,
        rich: &RichCopy,
        (from, to): (i64, i64),
        scratch: &mut Columns,
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        scratch.clear();
        let stream = &self.streams[block.stream.clone()];
        if !stream.is_empty() {
            let (ts, vs) = (&mut scratch.ts, &mut scratch.vs);
            m3tsz::decode_range_into(stream, true, from, to, ts, vs)?;
        }
        scratch.overlay_samples(&self.samples[block.page.clone()], &mut Columns::default());
        rich.complete((from, to), !out.values_only, scratch)?;
        out.overlay(scratch);
        let late = &self.samples[block.late.clone()];
        scratch.set_from_mixed_arrivals(late, &rich.late, (from, to));
        out.overlay(scratch);
        Ok(())
    }
}
