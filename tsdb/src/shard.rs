//! One shard of a namespace: a buffer, and the files under it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::blocks::{BlockFiles, BlockId, Blocks, Layer};
use crate::buffer::{BlockCopy, Buffer, Columns, Slot};
use crate::error::TsdbError;
use crate::fileset::FilesetReader;
use crate::namespace::BlockGrid;
use crate::removal::Removals;
use crate::series_block::{BlockDecoder, EncodedBlock};

/// A shard. Everything that must agree with each other is under one lock.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: u16,
    block_size_ns: i64,
    state: Mutex<ShardState>,
    /// Files that are to go; background jobs alone take this lock.
    pub(crate) removals: Mutex<Removals>,
}

/// What a shard's lock guards.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) buffer: Buffer,
    blocks: Arc<Blocks>,
}

impl ShardState {
    /// The blocks as they stand; readers keep the returned value.
    pub(crate) fn blocks(&self) -> Arc<Blocks> {
        Arc::clone(&self.blocks)
    }

    /// See [`Shard::freeze`].
    pub(crate) fn freeze(&mut self, now: Duration, wanted: impl FnMut(i64) -> bool) {
        let length = self.buffer.block_size_ns();
        let frozen = self.buffer.freeze(now, wanted);
        self.edit_blocks(|blocks| {
            for (start, window) in frozen {
                let block = blocks.entry(BlockId::new(start, length));
                block.layers.push(Layer::Memory(Arc::new(window)));
            }
        });
    }

    /// Changes the blocks for all later readers.
    pub(crate) fn edit_blocks(&mut self, edit: impl FnOnce(&mut Blocks)) {
        edit(Arc::make_mut(&mut self.blocks));
    }
}

/// Working memory of a reader, reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct ReadScratch {
    copies: Vec<BlockCopy>,
    decoder: BlockDecoder,
}

impl Shard {
    pub(crate) fn new(id: u16, block_size_ns: i64) -> Self {
        let state = ShardState { buffer: Buffer::new(block_size_ns), blocks: Arc::default() };
        Self { id, block_size_ns, state: Mutex::new(state), removals: Mutex::default() }
    }

    /// Takes the lock: for as long as a batch of samples, or a copy of one series, takes.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ShardState> {
        self.state.lock()
    }

    /// The start of the block of `length` that holds `t`.
    pub(crate) fn align(&self, t: i64, length: i64) -> i64 {
        BlockGrid::new(length).start_of(t)
    }

    /// Moves the windows that `wanted` names by their start from the buffer to the layers.
    pub(crate) fn freeze(&self, now: Duration, wanted: impl FnMut(i64) -> bool) {
        self.lock().freeze(now, wanted);
    }

    /// Reads one series, by ref and slot, in `from..=to` into `out`, merged over all layers.
    ///
    /// A block that is damaged is left out and told to `damaged`; the others are read.
    pub(crate) fn read(
        &self,
        (series, slot): (u32, Slot),
        (from, to): (i64, i64),
        scratch: &mut ReadScratch,
        out: &mut Columns,
        mut damaged: impl FnMut(TsdbError),
    ) {
        out.clear();
        scratch.copies.clear();
        let blocks = {
            let state = self.lock();
            if !state.buffer.is_slot_of(slot, series) {
                // It was retired since it was found: it has no samples.
                return;
            }
            state.buffer.copy_series(slot, from, to, &mut scratch.copies);
            state.blocks()
        };
        let mut block = Columns { values_only: out.values_only, ..Columns::default() };
        for length in blocks.lengths().filter(|&l| l != self.block_size_ns) {
            for (_, files) in blocks.overlapping(length, from, to) {
                let decoder = &mut scratch.decoder;
                files.overlay_on(slot, series, (from, to), decoder, &mut block, out, &mut damaged);
            }
        }
        let mut copies = scratch.copies.iter().peekable();
        for (id, files) in blocks.overlapping(self.block_size_ns, from, to) {
            let decoder = &mut scratch.decoder;
            while let Some(copy) = copies.next_if(|c| c.block_start < id.start()) {
                overlay_copy(copy, (from, to), decoder.columns(), out, &mut damaged);
            }
            files.overlay_on(slot, series, (from, to), decoder, &mut block, out, &mut damaged);
        }
        for copy in copies {
            overlay_copy(copy, (from, to), scratch.decoder.columns(), out, &mut damaged);
        }
    }
}

fn overlay_copy(
    copy: &BlockCopy,
    (from, to): (i64, i64),
    scratch: &mut Columns,
    out: &mut Columns,
    damaged: &mut impl FnMut(TsdbError),
) {
    if let Err(corrupt) = copy.overlay_on(from, to, scratch, out) {
        damaged(TsdbError::Buffer(corrupt));
    }
}

impl BlockFiles {
    /// Lays the samples of one series over `out`, which has those of older blocks. `block` is
    /// working memory.
    #[expect(clippy::too_many_arguments, reason = "one caller, and all of it is borrowed there")]
    fn overlay_on(
        &self,
        slot: Slot,
        series: u32,
        range: (i64, i64),
        decoder: &mut BlockDecoder,
        block: &mut Columns,
        out: &mut Columns,
        damaged: impl FnMut(TsdbError),
    ) {
        if self.layers.is_empty() {
            self.read(slot, series, range, decoder, out, damaged);
            return;
        }
        block.clear();
        self.read(slot, series, range, decoder, block, damaged);
        // They are done; a longer block below has its own.
        block.rich.deleted.clear();
        out.overlay(block);
    }

    /// Lays all samples of one series in this block over `out`, oldest layer first.
    pub(crate) fn read(
        &self,
        slot: Slot,
        series: u32,
        (from, to): (i64, i64),
        decoder: &mut BlockDecoder,
        out: &mut Columns,
        mut damaged: impl FnMut(TsdbError),
    ) {
        if let Some(volume) = &self.volume
            && let Err(e) = overlay_file(volume, series, (from, to), decoder, out)
        {
            damaged(e);
        }
        for layer in &self.layers {
            let result = match layer {
                Layer::Memory(frozen) => frozen
                    .overlay_on(slot, (from, to), decoder.columns(), out)
                    .map_err(TsdbError::Buffer),
                Layer::Deletion(deletion) => {
                    deletion.apply(slot, out);
                    Ok(())
                }
                Layer::File(file) => overlay_file(file, series, (from, to), decoder, out),
            };
            if let Err(e) = result {
                damaged(e);
            }
        }
    }
}

/// Lays the block of `series` in `file` over `out`; nothing if the file does not have it.
fn overlay_file(
    file: &FilesetReader,
    series: u32,
    (from, to): (i64, i64),
    decoder: &mut BlockDecoder,
    out: &mut Columns,
) -> Result<(), TsdbError> {
    let Some(entry) = file.find(series)? else { return Ok(()) };
    if entry.first_ns > to || entry.last_ns < from {
        return Ok(());
    }
    let (times, bytes) = (file.times(&entry)?, file.block(&entry)?);
    let block = EncodedBlock {
        codec: entry.codec,
        kind: entry.kind,
        count: entry.count,
        first_ns: entry.first_ns,
        last_ns: entry.last_ns,
        times,
        bytes,
    };
    // A checksum guards the block, so one that does not decode is a bug of its writer; still only
    // this block is lost.
    decoder.overlay(&block, (from, to), out).map_err(|corrupt| TsdbError::Block {
        path: file.path().to_owned(),
        series,
        corrupt,
    })
}
