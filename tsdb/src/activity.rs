//! Which series have samples when: a set of refs for each file and each window.
//!
//! The dictionary of labels knows no time; the truth is what holds the samples. A file knows its
//! series, and a window notes each series that enters it. So a series is active in a block from its
//! first sample on, however late that comes, and as long as anything of the block is there. A range
//! of time selects whole blocks. Series whose samples a deletion hides count until a merge.
//!
//! Sets of files do not change, so they are kept, up to a number of bytes; so are the unions of all
//! files of one block of the index. A union of sets of a million series is some 0.01 ms for each.

mod retire;
mod sets;

use std::collections::BTreeMap;
use std::sync::Arc;

use m3rs_index::{Cardinality, Found, IndexError};
use roaring::RoaringBitmap;

use crate::blocks::{BlockFiles, BlockId, Blocks, Layer};
use crate::buffer::Frozen;
use crate::cache::ServedFile;
use crate::error::TsdbError;
use crate::namespace::{BlockGrid, Namespace};

pub(crate) use retire::Retiring;
pub(crate) use sets::ActiveSets;
use sets::Key;

/// Look-ups of one series in one block up to which candidates are tried one by one: more cost as
/// much as the union of some sets.
const TRIES_MAX: u64 = 4096;

/// The series of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSeries {
    /// Its first time.
    pub start_ns: i64,
    /// The first time after it.
    pub end_ns: i64,
    /// Series with samples in it.
    pub series: u64,
}

/// Numbers about the series of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesStats {
    /// Series.
    pub series: u64,
    /// Series with samples that no file has, each counted in every block.
    pub buffered: u64,
    /// First and last time of the blocks with such samples.
    pub buffered_ns: Option<(i64, i64)>,
    /// Names, values and pairs.
    pub cardinality: Cardinality,
    /// Series by block: over time, where blocks do not overlap. A block that compaction made and
    /// the late samples over it are two.
    pub blocks: Vec<BlockSeries>,
}

/// What a shard held at a moment.
#[derive(Debug)]
struct ShardView {
    /// Starts and sets of the windows in the range.
    windows: Vec<(i64, Arc<RoaringBitmap>)>,
    blocks: Arc<Blocks>,
}

/// What of a namespace has samples in a range of time, at a moment.
#[derive(Debug)]
pub(crate) struct Activity<'a> {
    namespace: &'a Namespace,
    range: (i64, i64),
    shards: Vec<ShardView>,
    /// Whether all windows and blocks have times in the range, or one in it is not open yet, so
    /// that any series may be active.
    is_everything: bool,
}

impl<'a> Activity<'a> {
    /// Takes each shard's lock for an instant.
    pub(crate) fn of(namespace: &'a Namespace, (from, to): (i64, i64)) -> Self {
        let mut is_everything = from <= to;
        let mut is_unknown = false;
        let mut shards = Vec::with_capacity(namespace.shards.len());
        for shard in &namespace.shards {
            let state = shard.lock();
            let windows: Vec<_> = state
                .buffer
                .active(from, to)
                .map(|(start, refs)| (start, Arc::clone(refs)))
                .collect();
            is_everything &= windows.len() == state.buffer.window_count();
            let blocks = state.blocks();
            drop(state);
            is_everything &= blocks.iter().all(|(id, _)| id.overlaps(from, to));
            is_unknown |= blocks.iter().any(|(id, f)| f.is_pending && id.overlaps(from, to));
            shards.push(ShardView { windows, blocks });
        }
        is_everything |= is_unknown;
        Self { namespace, range: (from, to), shards, is_everything }
    }

    /// The found series that are active, ascending.
    ///
    /// # Errors
    /// [`TsdbError::Index`] if they are more than `limit`.
    pub(crate) fn among(&self, found: &Found, limit: usize) -> Result<Vec<u32>, TsdbError> {
        if self.is_everything {
            return Ok(found.ids(None, limit)?);
        }
        let places =
            self.shards.iter().map(|s| s.windows.len() + s.overlapping(self.range).count()).max();
        if found.len().saturating_mul(places.unwrap_or(0) as u64) > TRIES_MAX {
            return Ok(found.ids(Some(&self.union()), limit)?);
        }
        let mut ids = found.ids(None, usize::MAX)?;
        let mut sets: Vec<Option<Vec<Arc<RoaringBitmap>>>> = vec![None; self.shards.len()];
        let tables = self.namespace.registry.read();
        // A series without a place has no samples yet.
        ids.retain(|&id| {
            tables.place(id).is_some_and(|p| {
                let shard = usize::from(p.shard);
                let of_shard = sets[shard].get_or_insert_with(|| self.sets_of(shard));
                of_shard.iter().any(|set| set.contains(id))
            })
        });
        drop(tables);
        let matched = ids.len() as u64;
        if matched > limit as u64 {
            return Err(IndexError::TooMany { matched, limit }.into());
        }
        Ok(ids)
    }

    /// The sets of all that holds samples of a shard in the range.
    fn sets_of(&self, shard: usize) -> Vec<Arc<RoaringBitmap>> {
        let shard = &self.shards[shard];
        let mut sets: Vec<_> = shard.windows.iter().map(|(_, refs)| Arc::clone(refs)).collect();
        for files in shard.overlapping(self.range) {
            sets.extend(files.frozen().map(|frozen| Arc::clone(frozen.refs())));
            sets.extend(files.files().map(|file| self.namespace.active.of_file(file)));
        }
        sets
    }

    /// All series that are active; `None` for all that there are.
    pub(crate) fn refs(&self) -> Option<RoaringBitmap> {
        (!self.is_everything).then(|| self.union())
    }

    /// All files, whatever the range.
    fn files(&self) -> Vec<u64> {
        let blocks = self.shards.iter().flat_map(|shard| shard.blocks.iter());
        blocks.flat_map(|(_, files)| files.files()).map(|file| file.uid()).collect()
    }

    /// How many series are active in each block, from old to new, the longest first.
    pub(crate) fn by_block(&self) -> Vec<BlockSeries> {
        let mut counts: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        let length = self.namespace.block_size_ns();
        for shard in &self.shards {
            let mut sets: BTreeMap<BlockId, Vec<Arc<RoaringBitmap>>> = BTreeMap::new();
            for (start, refs) in &shard.windows {
                sets.entry(BlockId::new(*start, length)).or_default().push(Arc::clone(refs));
            }
            for (id, files) in shard.blocks.iter() {
                let of_block = sets.entry(id).or_default();
                of_block.extend(files.files().map(|f| self.namespace.active.of_file(f)));
                of_block.extend(files.frozen().map(|f| Arc::clone(f.refs())));
            }
            for (id, sets) in sets {
                *counts.entry((id.start(), id.end())).or_default() += sets::union(&sets).len();
            }
        }
        let block = |((start_ns, end_ns), series)| BlockSeries { start_ns, end_ns, series };
        counts.into_iter().map(block).collect()
    }

    fn union(&self) -> RoaringBitmap {
        let (from, to) = self.range;
        let mut sets: Vec<Arc<RoaringBitmap>> = Vec::new();
        let mut spans: BTreeMap<BlockId, Span> = BTreeMap::new();
        let index_block = self.namespace.index_block_ns();
        for shard in &self.shards {
            sets.extend(shard.windows.iter().map(|(_, refs)| Arc::clone(refs)));
            for (id, files) in shard.blocks.iter() {
                let is_inside = id.overlaps(from, to);
                let length = index_block.max(id.length());
                let span = BlockId::new(BlockGrid::new(length).start_of(id.start()), length);
                let span = spans.entry(span).or_default();
                span.is_whole &= is_inside;
                if is_inside {
                    span.files.extend(files.files().cloned());
                    sets.extend(files.frozen().map(|f| Arc::clone(f.refs())));
                }
            }
        }
        let active = &self.namespace.active;
        for (id, span) in spans {
            if span.is_whole && span.files.len() > 1 {
                let key = Key::Span(self.namespace.id, id.start(), id.length());
                sets.push(active.of_files(key, &span.files));
            } else {
                sets.extend(span.files.iter().map(|file| active.of_file(file)));
            }
        }
        sets::union(&sets)
    }
}

/// Files of one block of the index.
#[derive(Debug)]
struct Span {
    files: Vec<Arc<ServedFile>>,
    /// Whether the range has all of its blocks.
    is_whole: bool,
}

impl Default for Span {
    fn default() -> Self {
        Self { files: Vec::new(), is_whole: true }
    }
}

impl ShardView {
    fn overlapping(&self, (from, to): (i64, i64)) -> impl Iterator<Item = &BlockFiles> {
        let reached = move |(id, _): &(BlockId, &BlockFiles)| id.overlaps(from, to);
        self.blocks.iter().filter(reached).map(|(_, files)| files)
    }
}

impl BlockFiles {
    /// Windows among the layers.
    fn frozen(&self) -> impl Iterator<Item = &Frozen> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Memory(frozen) => Some(&**frozen),
            Layer::File(_) | Layer::Deletion(_) => None,
        })
    }
}

impl Namespace {
    /// Counts series by name, label, pair and block; each list of names has at most `top` entries.
    ///
    /// # Errors
    /// [`TsdbError::Index`], [`TsdbError::StillOpening`].
    pub fn series_stats(&self, top: usize) -> Result<SeriesStats, TsdbError> {
        self.check_opened((i64::MIN, i64::MAX))?;
        let all = Activity::of(self, (i64::MIN, i64::MAX));
        let windows = || all.shards.iter().flat_map(|shard| &shard.windows);
        let starts = || windows().map(|(start, _)| *start);
        let last = starts().max().map(|start| start.saturating_add(self.block_size_ns() - 1));
        Ok(SeriesStats {
            series: self.series_count(),
            buffered: windows().map(|(_, refs)| refs.len()).sum(),
            buffered_ns: starts().min().zip(last),
            cardinality: self.index.cardinality(top)?,
            blocks: all.by_block(),
        })
    }

    /// Length of a block of the index.
    fn index_block_ns(&self) -> i64 {
        match self.options().index.block_size_ns {
            0 => self.block_size_ns(),
            own => own,
        }
    }
}
