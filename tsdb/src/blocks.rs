//! The blocks of a shard: which files and layers hold which span of time.
//!
//! A shard has blocks of several lengths. Samples are flushed into blocks of the namespace's block
//! size; compaction moves closed ones into longer blocks. A shorter block may still lie within the
//! span of a longer one: then it is newer, and its samples lie over those of the longer one.
//!
//! So the order of [`Blocks`] is the order of age: the longest blocks first, then by time.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::Frozen;
use crate::cache::{MappedFile, ServedFile};
use crate::delete::Deletion;
use crate::error::FilesetError;

/// The span of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockId {
    length: Reverse<i64>,
    start: i64,
}

impl BlockId {
    /// The block of `length` nanoseconds that begins at `start`.
    pub(crate) fn new(start: i64, length: i64) -> Self {
        Self { length: Reverse(length), start }
    }

    pub(crate) fn start(self) -> i64 {
        self.start
    }

    pub(crate) fn length(self) -> i64 {
        self.length.0
    }

    /// The first time after the block.
    pub(crate) fn end(self) -> i64 {
        self.start.saturating_add(self.length.0)
    }

    /// Whether the block has times in `from..=to`.
    pub(crate) fn overlaps(self, from: i64, to: i64) -> bool {
        self.start <= to && self.end() > from
    }
}

/// What lies over a block's volume, until a flush merges it in.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// A window that was frozen and is not in a file yet.
    Memory(Arc<Frozen>),
    /// A snapshot file.
    File(Arc<ServedFile>),
    /// A deletion that is not in a file yet.
    Deletion(Arc<Deletion>),
}

/// Everything of one block that is outside the buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockFiles {
    /// The newest volume.
    pub(crate) volume: Option<Arc<ServedFile>>,
    /// Layers over the volume, oldest first.
    pub(crate) layers: Vec<Layer>,
    /// Whether a start left its files for later: then neither the volume nor what lies directly
    /// over it is known, and `layers` has what came since. Only writes and deletions may touch it.
    pub(crate) is_pending: bool,
}

impl BlockFiles {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_pending && self.volume.is_none() && self.layers.is_empty()
    }

    /// Puts the files of a pending block below what came meanwhile.
    pub(crate) fn put_below(&mut self, opened: Self) {
        assert!(self.is_pending && self.volume.is_none(), "BUG: files are opened once");
        self.volume = opened.volume;
        self.layers.splice(0..0, opened.layers);
        self.is_pending = false;
    }

    /// The files among volume and layers, oldest first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<ServedFile>> {
        let layers = self.layers.iter().filter_map(|layer| match layer {
            Layer::File(file) => Some(file),
            Layer::Memory(_) | Layer::Deletion(_) => None,
        });
        self.volume.iter().chain(layers)
    }

    /// Paths of those files. They are removed in this order, so that what is left after a crash
    /// is never older than what is gone.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files().map(|file| file.path().to_owned()).collect()
    }
}

/// A block whose files are mapped.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    pub(crate) id: BlockId,
    /// Whether it is longer than the blocks that flushes make.
    pub(crate) is_longer: bool,
    pub(crate) files: OpenFiles,
}

/// [`BlockFiles`] whose files are mapped; those that cannot be are left out.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    pub(crate) volume: Option<Arc<MappedFile>>,
    pub(crate) layers: Vec<OpenLayer>,
}

/// A [`Layer`] whose file is mapped.
#[derive(Debug)]
pub(crate) enum OpenLayer {
    Memory(Arc<Frozen>),
    File(Arc<MappedFile>),
    Deletion(Arc<Deletion>),
}

impl BlockFiles {
    /// Maps the files. One that cannot be mapped is told to `failed`, whose error ends the work.
    pub(crate) fn open<E>(
        &self,
        mut failed: impl FnMut(FilesetError) -> Result<(), E>,
    ) -> Result<OpenFiles, E> {
        let mut open = |file: &ServedFile| match file.reader() {
            Ok(reader) => Ok(Some(reader)),
            Err(error) => failed(error).map(|()| None),
        };
        let volume = match &self.volume {
            Some(volume) => open(volume)?,
            None => None,
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            layers.extend(match layer {
                Layer::Memory(frozen) => Some(OpenLayer::Memory(Arc::clone(frozen))),
                Layer::Deletion(deletion) => Some(OpenLayer::Deletion(Arc::clone(deletion))),
                Layer::File(file) => open(file)?.map(OpenLayer::File),
            });
        }
        Ok(OpenFiles { volume, layers })
    }
}

/// All blocks of a shard, from the oldest to the newest in the sense above.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    by_id: BTreeMap<BlockId, BlockFiles>,
}

impl Blocks {
    pub(crate) fn get(&self, id: BlockId) -> Option<&BlockFiles> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: BlockId) -> Option<&mut BlockFiles> {
        self.by_id.get_mut(&id)
    }

    /// The block, made empty if it is not there.
    pub(crate) fn entry(&mut self, id: BlockId) -> &mut BlockFiles {
        self.by_id.entry(id).or_default()
    }

    /// Every block, the longest first, then by time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BlockId, &BlockFiles)> {
        self.by_id.iter().map(|(&id, files)| (id, files))
    }

    /// As [`Blocks::iter`].
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (BlockId, &mut BlockFiles)> {
        self.by_id.iter_mut().map(|(&id, files)| (id, files))
    }

    /// The lengths of blocks, the longest first.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = i64> {
        let mut next = self.by_id.keys().next().copied();
        std::iter::from_fn(move || {
            let length = next?.length();
            let behind = BlockId::new(i64::MAX, length)..;
            next = self.by_id.range(behind).map(|(&id, _)| id).find(|id| id.length() != length);
            Some(length)
        })
    }

    /// The blocks of one length with times in `from..=to`, by time.
    pub(crate) fn overlapping(
        &self,
        length: i64,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (BlockId, &BlockFiles)> {
        // The start that a block must be behind to end after `from`.
        let first = from.saturating_sub(length).saturating_add(1);
        let range = BlockId::new(first, length)..=BlockId::new(to.max(first), length);
        let found = self.by_id.range(range).map(|(&id, files)| (id, files));
        found.filter(move |(id, _)| id.overlaps(from, to))
    }

    /// Maps the files of all blocks with times in `from..=to`, in the order of age; `own_length` is
    /// that of the blocks that flushes make. As [`BlockFiles::open`].
    pub(crate) fn open<E>(
        &self,
        own_length: i64,
        (from, to): (i64, i64),
        mut failed: impl FnMut(FilesetError) -> Result<(), E>,
    ) -> Result<Vec<OpenBlock>, E> {
        let mut open = Vec::new();
        let longer = self.lengths().filter(|&length| length != own_length);
        for length in longer.chain([own_length]) {
            for (id, files) in self.overlapping(length, from, to) {
                let files = files.open(&mut failed)?;
                open.push(OpenBlock { id, is_longer: length != own_length, files });
            }
        }
        Ok(open)
    }

    pub(crate) fn remove(&mut self, id: BlockId) -> Option<BlockFiles> {
        self.by_id.remove(&id)
    }

    /// Keeps the blocks for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(BlockId, &mut BlockFiles) -> bool) {
        self.by_id.retain(|&id, files| keep(id, files));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_in_order_of_age() {
        let mut blocks = Blocks::default();
        for (start, length) in [(40, 10), (0, 10), (0, 40), (10, 10), (40, 40), (0, 80)] {
            let _ = blocks.entry(BlockId::new(start, length));
        }
        let ids: Vec<_> = blocks.iter().map(|(id, _)| (id.length(), id.start())).collect();
        assert_eq!(ids, [(80, 0), (40, 0), (40, 40), (10, 0), (10, 10), (10, 40)]);
        assert_eq!(blocks.lengths().collect::<Vec<_>>(), [80, 40, 10]);
        let starts = |length, from, to| -> Vec<i64> {
            blocks.overlapping(length, from, to).map(|(id, _)| id.start()).collect()
        };
        assert_eq!(starts(40, 39, 39), [0]);
        assert_eq!(starts(40, 39, 40), [0, 40]);
        assert_eq!(starts(10, 9, 10), [0, 10]);
        assert_eq!(starts(10, 20, 39), [0i64; 0]);
        assert_eq!(starts(10, i64::MIN, i64::MAX), [0, 10, 40]);
        assert_eq!(starts(80, 80, 90), [0i64; 0]);
    }
}
