//! One shard of a namespace: a buffer, and the files under it.

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::model::SampleKind;
use parking_lot::{Mutex, MutexGuard};

use crate::blocks::{BlockId, Blocks, Layer, OpenBlock, OpenFiles, OpenLayer};
use crate::buffer::{Buffer, Columns, Copies, Frozen, Slot};
use crate::cache::{self, LastSamples, MappedFile};
use crate::delete::Deletion;
use crate::error::TsdbError;
use crate::fileset::{FilesetEntry, FilesetReader, Finder};
use crate::namespace::BlockGrid;
use crate::read::Wanted;
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

/// Looks at the list of blocks for one read, when files of it went before they were mapped. Each
/// look after the first needs a merge that ended in between.
const LOOKS_MAX: usize = 8;

/// What one look told of a series.
#[derive(Clone, Copy, Debug)]
struct Found {
    slot: Slot,
    series: u32,
    /// Whether the slot is its own still. If it was retired since it was found, it has no samples,
    /// and another series may have the slot.
    is_there: bool,
    /// The last sample, if it is wanted alone and the buffer told it.
    last: Option<(i64, f64)>,
}

/// Working memory of a reader, reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct ReadScratch {
    copies: Copies,
    found: Vec<Found>,
    decoder: BlockDecoder,
    block: Columns,
    pub(crate) out: Columns,
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

    /// Reads several series, by ref and slot, in `range`, merged over all layers, and gives each to
    /// `take` by its number in `all`. All of them are seen as of one moment.
    ///
    /// A block that is damaged is left out and told to `damaged`; the others are read.
    pub(crate) fn read(
        &self,
        all: &[(u32, Slot)],
        (range, wanted): ((i64, i64), Wanted),
        scratch: &mut ReadScratch,
        mut take: impl FnMut(usize, &mut Columns),
        mut damaged: impl FnMut(TsdbError),
    ) {
        if range.0 > range.1 {
            scratch.out.clear();
            return (0..all.len()).for_each(|number| take(number, &mut scratch.out));
        }
        let blocks = self.look(all, range, wanted, scratch, &mut damaged);
        let mut blocks: Vec<BlockReader<'_>> = blocks.iter().map(BlockReader::new).collect();
        scratch.block.values_only = scratch.out.values_only;
        for number in 0..all.len() {
            scratch.out.clear();
            read_series(&mut blocks, number, (range, wanted), scratch, &mut damaged);
            take(number, &mut scratch.out);
        }
    }

    /// Copies what the buffer has of the series, and maps the files of the blocks as they stand at
    /// that moment.
    fn look(
        &self,
        all: &[(u32, Slot)],
        (from, to): (i64, i64),
        wanted: Wanted,
        scratch: &mut ReadScratch,
        damaged: &mut impl FnMut(TsdbError),
    ) -> Vec<OpenBlock> {
        let mut looks = 0;
        loop {
            looks += 1;
            let ReadScratch { copies, found, .. } = &mut *scratch;
            copies.clear();
            found.clear();
            let blocks = {
                let state = self.lock();
                for &(series, slot) in all {
                    let is_there = state.buffer.is_slot_of(slot, series);
                    let last = match wanted {
                        Wanted::Last if is_there => state.buffer.last_of_all(slot, from, to),
                        Wanted::All | Wanted::Last => None,
                    };
                    let is_copied = is_there && last.is_none();
                    let copied_from = if is_copied { from } else { i64::MAX };
                    state.buffer.copy_series(slot, copied_from, to, copies);
                    found.push(Found { slot, series, is_there, last });
                }
                state.blocks()
            };
            let opened = blocks.open(self.block_size_ns, (from, to), |error| {
                if looks < LOOKS_MAX && cache::is_gone(&error) {
                    return Err(error);
                }
                damaged(error.into());
                Ok(())
            });
            if let Ok(opened) = opened {
                return opened;
            }
        }
    }
}

/// Reads the series that was copied after `number` others into the empty `scratch.out`.
fn read_series(
    blocks: &mut [BlockReader<'_>],
    number: usize,
    ((mut from, to), wanted): ((i64, i64), Wanted),
    scratch: &mut ReadScratch,
    damaged: &mut impl FnMut(TsdbError),
) {
    let ReadScratch { copies, found, decoder, block, out } = scratch;
    let Found { slot, series, is_there, last } = found[number];
    if !is_there {
        return;
    }
    if let Some((t, _)) = last {
        // Whatever is older cannot be the last one.
        from = t.saturating_add(1);
    }
    let mut in_buffer = copies.of_series(number).iter().peekable();
    decoder.start_millis();
    for BlockReader { block: open, files } in blocks {
        if from > to || !open.id.overlaps(from, to) {
            continue;
        }
        if !open.is_longer {
            while let Some(copy) = in_buffer.next_if(|copy| copy.block_start < open.id.start()) {
                decoder.stop_millis();
                let laid = copies.overlay_on(copy, (from, to), decoder.columns(), out);
                laid.unwrap_or_else(|corrupt| damaged(TsdbError::Buffer(corrupt)));
            }
        }
        let what = ((from, to), wanted);
        files.overlay_on((slot, series), what, decoder, block, out, &mut *damaged);
    }
    for copy in in_buffer {
        decoder.stop_millis();
        let laid = copies.overlay_on(copy, (from, to), decoder.columns(), out);
        laid.unwrap_or_else(|corrupt| damaged(TsdbError::Buffer(corrupt)));
    }
    if let (true, Some((t, v))) = (out.ts.is_empty(), last) {
        decoder.stop_millis();
        out.push(t, v);
    }
    decoder.give_millis(out);
}

/// A block that series are read from, one after the other.
struct BlockReader<'a> {
    block: &'a OpenBlock,
    files: FilesReader<'a>,
}

impl<'a> BlockReader<'a> {
    fn new(block: &'a OpenBlock) -> Self {
        Self { block, files: FilesReader::new(&block.files) }
    }
}

/// The files and layers of a block that series are read from, one after the other.
#[derive(Debug)]
pub(crate) struct FilesReader<'a> {
    volume: Option<FileReader<'a>>,
    layers: Vec<LayerReader<'a>>,
}

#[derive(Debug)]
enum LayerReader<'a> {
    Memory(&'a Frozen),
    File(Box<FileReader<'a>>),
    Deletion(&'a Deletion),
}

#[derive(Debug)]
struct FileReader<'a> {
    file: &'a MappedFile,
    finder: Finder<'a>,
    /// Those around the slot whose sample was wanted last.
    lasts: Option<LastSamples>,
}

impl<'a> FileReader<'a> {
    fn new(file: &'a MappedFile) -> Self {
        Self { file, finder: Finder::new(file), lasts: None }
    }
}

impl<'a> FilesReader<'a> {
    pub(crate) fn new(files: &'a OpenFiles) -> Self {
        let layer = |layer: &'a OpenLayer| match layer {
            OpenLayer::Memory(frozen) => LayerReader::Memory(frozen),
            OpenLayer::File(file) => LayerReader::File(Box::new(FileReader::new(file))),
            OpenLayer::Deletion(deletion) => LayerReader::Deletion(deletion),
        };
        Self {
            volume: files.volume.as_deref().map(FileReader::new),
            layers: files.layers.iter().map(layer).collect(),
        }
    }

    /// Lays the samples of one series over `out`, which has those of older blocks. `block` is
    /// working memory.
    fn overlay_on(
        &mut self,
        (slot, series): (Slot, u32),
        (range, wanted): ((i64, i64), Wanted),
        decoder: &mut BlockDecoder,
        block: &mut Columns,
        out: &mut Columns,
        damaged: impl FnMut(TsdbError),
    ) {
        if self.layers.is_empty() {
            if let (Wanted::Last, Some(volume)) = (wanted, &mut self.volume) {
                let laid = volume.overlay_last((slot, series), range, decoder, out);
                return laid.unwrap_or_else(damaged);
            }
            self.read((slot, series), range, decoder, out, damaged);
            return;
        }
        decoder.stop_millis();
        block.clear();
        self.read((slot, series), range, decoder, block, damaged);
        // They are done; a longer block below has its own.
        block.rich.deleted.clear();
        if out.is_empty() {
            std::mem::swap(block, out);
        } else {
            out.overlay(block);
        }
    }

    /// Lays all samples of one series in this block over `out`, oldest layer first.
    pub(crate) fn read(
        &mut self,
        (slot, series): (Slot, u32),
        (from, to): (i64, i64),
        decoder: &mut BlockDecoder,
        out: &mut Columns,
        mut damaged: impl FnMut(TsdbError),
    ) {
        if let Some(volume) = &mut self.volume
            && let Err(e) = overlay_file(volume, series, (from, to), decoder, out)
        {
            damaged(e);
        }
        for layer in &mut self.layers {
            let result = match layer {
                LayerReader::Memory(frozen) => frozen
                    .overlay_on(slot, (from, to), decoder.columns(), out)
                    .map_err(TsdbError::Buffer),
                LayerReader::Deletion(deletion) => {
                    deletion.apply(slot, out);
                    Ok(())
                }
                LayerReader::File(file) => overlay_file(file, series, (from, to), decoder, out),
            };
            if let Err(e) = result {
                damaged(e);
            }
        }
    }
}

impl FileReader<'_> {
    /// Lays the last sample of the block of a series over `out`, if it is in the range; else all
    /// that are.
    fn overlay_last(
        &mut self,
        (slot, series): (Slot, u32),
        (from, to): (i64, i64),
        decoder: &mut BlockDecoder,
        out: &mut Columns,
    ) -> Result<(), TsdbError> {
        let file = self.file;
        let lasts = match self.lasts.take().filter(|lasts| lasts.has(slot)) {
            Some(lasts) => self.lasts.insert(lasts),
            None => self.lasts.insert(file.last_samples(slot)),
        };
        let after = out.bounds().map(|(_, last)| last);
        let is_wanted = |t: i64| (from..=to).contains(&t) && after.is_none_or(|after| after < t);
        let known = lasts.get(slot);
        if let Some((t, v)) = known.filter(|(t, _)| is_wanted(*t)) {
            out.push(t, v);
            return Ok(());
        }
        let Some(entry) = self.finder.find(series)? else { return Ok(()) };
        let t = entry.last_ns;
        if known.is_some() || entry.kind != SampleKind::Float || !is_wanted(t) {
            return overlay_entry(file, &entry, (from, to), decoder, out);
        }
        overlay_block(file, &entry, (t, t), decoder, out)?;
        if let (Some(&found), Some(&v)) = (out.ts.last(), out.vs.last())
            && found == t
        {
            lasts.set(slot, (t, v));
        }
        Ok(())
    }
}

/// Lays the block of `series` in `file` over `out`; nothing if the file does not have it.
fn overlay_file(
    FileReader { file, finder, .. }: &mut FileReader<'_>,
    series: u32,
    range: (i64, i64),
    decoder: &mut BlockDecoder,
    out: &mut Columns,
) -> Result<(), TsdbError> {
    match finder.find(series)? {
        Some(entry) => overlay_entry(file, &entry, range, decoder, out),
        None => Ok(()),
    }
}

/// Lays the samples of a block of a file over `out`, by way of decoded pieces if that is cheaper.
fn overlay_entry(
    file: &MappedFile,
    entry: &FilesetEntry,
    (from, to): (i64, i64),
    decoder: &mut BlockDecoder,
    out: &mut Columns,
) -> Result<(), TsdbError> {
    if entry.first_ns > to || entry.last_ns < from {
        return Ok(());
    }
    let Some(division) = file.divide(entry, (from, to)) else {
        return overlay_block(file, entry, (from, to), decoder, out);
    };
    decoder.stop_millis();
    let mut part = decoder.take_spare();
    let read = file.read_pieces(entry, &division, (from, to), &mut part, |range, part| {
        overlay_block(file, entry, range, decoder, part)
    });
    if read.is_ok() {
        out.overlay(&part);
    }
    decoder.give_spare(part);
    read
}

/// Lays the samples of a block of a file over `out`.
pub(crate) fn overlay_block(
    file: &FilesetReader,
    entry: &FilesetEntry,
    range: (i64, i64),
    decoder: &mut BlockDecoder,
    out: &mut Columns,
) -> Result<(), TsdbError> {
    let (times, bytes) = (file.times(entry)?, file.block(entry)?);
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
    decoder.overlay(&block, range, out).map_err(|corrupt| TsdbError::Block {
        path: file.path().to_owned(),
        series: entry.series,
        corrupt,
    })
}
