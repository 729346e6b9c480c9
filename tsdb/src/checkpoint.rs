//! From buffers to files: freeze windows, write snapshots, merge layers into volumes.
//!
//! All jobs here run one at a time, under the database's maintenance lock. So the layers of a block
//! only grow at their end while a job runs, and a job may take away the prefix that it merged.
//!
//! # Why nothing is lost
//! A checkpoint cuts the log first and freezes the windows after that: a sample that stands in a
//! segment before the cut was in its window before the freeze, as both happen under the shard's
//! lock. Segments before the cut are removed, oldest first, only when every frozen window is in a
//! durable file. Replaying a suffix of them again is harmless, as it ends with the latest write of
//! each time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::blocks::{BlockFiles, BlockId, Layer};
use crate::error::TsdbError;
use crate::fileset::{self, FilesetInfo, FilesetKind};
use crate::mediator::FirstError;
use crate::merge::Output;
use crate::names::{compacted_dir, snapshot_name};
use crate::namespace::Namespace;
use crate::removal::{Durable, Fate};
use crate::shard::Shard;

/// Snapshots of a block from which on some of them are merged: more would slow reads.
const SNAPSHOTS_MAX: usize = 8;

/// How long a block that is past its time must be left alone before it is flushed.
const IDLE: Duration = Duration::from_secs(60);

/// What a checkpoint or a flush wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) volumes: u64,
    pub(crate) snapshots: u64,
    pub(crate) series_blocks: u64,
    /// Pieces of damage that merges met.
    pub(crate) damaged: u64,
}

impl Written {
    /// Whether all of the sources could be read.
    pub(crate) fn is_sound(&self) -> bool {
        self.damaged == 0
    }
}

/// Which blocks become volumes; the others become snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Every block with layers.
    All,
    /// Those that are past their time and idle.
    Due,
    /// None: the namespace is not flushed.
    Never,
}

impl Namespace {
    /// Freezes every window. `segment` is the log's cut: what was logged before it is in the
    /// frozen windows or in files.
    pub(crate) fn freeze_all(&self) {
        let now = self.clock.monotonic();
        for shard in &self.shards {
            shard.freeze(now, |_| true);
        }
    }

    /// Puts every frozen window into a durable file. A block that cannot be written does not hold
    /// up the others.
    pub(crate) fn persist_frozen(
        &self,
        segment: u64,
        merge: Merge,
        due: &[(u16, BlockId)],
    ) -> Result<Written, TsdbError> {
        let mut written = Written::default();
        let mut first = FirstError::default();
        for shard in &self.shards {
            let blocks = shard.lock().blocks();
            for (id, _) in blocks.iter().filter(|(_, f)| !f.layers.is_empty()) {
                let is_due = match merge {
                    Merge::All => true,
                    Merge::Due => due.contains(&(shard.id, id)),
                    Merge::Never => false,
                };
                first.note(if is_due {
                    self.flush_block(shard, id, segment, &mut written)
                } else {
                    self.snapshot_block(shard, id, segment, &mut written)
                });
            }
        }
        first.into_result().map(|()| written)
    }

    /// Blocks that are past their time and were not written to for a while, by shard. Those that
    /// have deletions alone over their volume are left to compaction, if these go to snapshots.
    pub(crate) fn due_blocks(&self) -> Vec<(u16, BlockId)> {
        let now = self.clock.monotonic();
        let options = self.options();
        let closed_before = self.clock.now().0.saturating_sub(options.buffer_past_ns);
        let mut due = Vec::new();
        for shard in &self.shards {
            let state = shard.lock();
            let window = |start| BlockId::new(start, self.block_size_ns());
            let busy: Vec<BlockId> = state
                .buffer
                .windows()
                .filter(|(_, touched)| now.saturating_sub(*touched) < IDLE)
                .map(|(start, _)| window(start))
                .collect();
            let open = state.buffer.windows().map(|(start, _)| window(start));
            let blocks = state.blocks();
            let waits = |f: &BlockFiles| options.snapshot_enabled && f.has_all_samples_in_volume();
            let layered = blocks.iter().filter(|(_, f)| !f.layers.is_empty() && !waits(f));
            let layered = layered.map(|(id, _)| id);
            let is_due = |id: &BlockId| id.end() <= closed_before && !busy.contains(id);
            let mut ids: Vec<BlockId> = open.chain(layered).filter(is_due).collect();
            ids.sort_unstable();
            ids.dedup();
            due.extend(ids.into_iter().map(|id| (shard.id, id)));
        }
        due
    }

    /// Freezes and merges the blocks that are due, without a cut of the log.
    pub(crate) fn flush_due(&self) -> Result<Written, TsdbError> {
        let mut written = Written::default();
        if !self.options().flush_enabled {
            return Ok(written);
        }
        let due = self.due_blocks();
        if due.is_empty() {
            return Ok(written);
        }
        let now = self.clock.monotonic();
        self.settle_series();
        for &(shard, id) in due.iter().filter(|(_, id)| id.length() == self.block_size_ns()) {
            self.shards[usize::from(shard)].freeze(now, |start| start == id.start());
        }
        self.seal_index()?;
        let mut first = FirstError::default();
        for (shard, id) in due {
            // Segment 0 claims nothing about the log: it is replayed over the volume, harmlessly.
            first.note(self.flush_block(&self.shards[usize::from(shard)], id, 0, &mut written));
        }
        first.into_result().map(|()| written)
    }

    /// Makes every series durable in the index. Comes before a file with samples: a series that
    /// only a damaged log names would lose its ref to another one.
    pub(crate) fn seal_index(&self) -> Result<(), TsdbError> {
        let dir = self.index_dir();
        self.index.seal(self.fs.as_ref(), &dir)?;
        self.index.compact(self.fs.as_ref(), &dir)?;
        Ok(())
    }

    /// Writes the layers of a block that are in memory into one snapshot file, together with older
    /// snapshots if there are many.
    fn snapshot_block(
        &self,
        shard: &Shard,
        id: BlockId,
        segment: u64,
        written: &mut Written,
    ) -> Result<(), TsdbError> {
        let Some(files) = shard.lock().blocks().get(id).cloned() else { return Ok(()) };
        let on_disk = files.layers.iter().take_while(|l| matches!(l, Layer::File(_))).count();
        if on_disk == files.layers.len() {
            return Ok(());
        }
        let first = on_disk - merged_snapshots(&files.layers[..on_disk]);
        let merged = BlockFiles { layers: files.layers[first..].to_vec(), ..BlockFiles::default() };
        self.settle_block(shard, id)?;
        let dir = self.block_dir(self.layout.snapshots(&self.dir, shard.id), id);
        self.fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
        let path = dir.join(snapshot_name(id.start(), segment));
        let info = self.info(shard, id, FilesetKind::Snapshot, 0, segment);
        let damaged_before = written.damaged;
        let output = Output { fs: self.fs.as_ref(), path, info };
        let Some(reader) = self.write_block(shard, &merged, &output, written, || Ok(()))? else {
            return Ok(());
        };
        written.snapshots += 1;
        shard.lock().edit_blocks(|blocks| {
            if let Some(block) = blocks.get_mut(id) {
                let range = first..first + merged.layers.len();
                block.layers.splice(range, [Layer::File(reader)]);
            }
        });
        let is_sound = written.damaged == damaged_before;
        let fate = if is_sound { Fate::Remove } else { Fate::SetAside };
        // One that came back could outlive the new one, which has deletions for it.
        self.forget(shard, id, merged.paths(), (fate, Durable::InTheEnd));
        self.settle_block(shard, id)
    }

    /// Merges a block's volume and layers into the next volume.
    fn flush_block(
        &self,
        shard: &Shard,
        id: BlockId,
        segment: u64,
        written: &mut Written,
    ) -> Result<(), TsdbError> {
        let Some(files) = shard.lock().blocks().get(id).cloned() else { return Ok(()) };
        if files.layers.is_empty() {
            return Ok(());
        }
        self.settle_block(shard, id)?;
        let volume = files.volume.as_ref().map_or(0, |v| v.info().volume + 1);
        let covered = files.files().map(|file| file.info().log_segment).chain([segment]).max();
        let path = self.volume_path(shard, id, volume)?;
        let damaged_before = written.damaged;
        let info = self.info(shard, id, FilesetKind::Volume, volume, covered.unwrap_or(0));
        let output = Output { fs: self.fs.as_ref(), path, info };
        let reader = self.write_block(shard, &files, &output, written, || Ok(()))?;
        // What could not be taken over stays for a closer look.
        let is_sound = written.damaged == damaged_before;
        let fate = if is_sound { Fate::Remove } else { Fate::SetAside };
        // If no sample is left, only the files themselves hide what is below them: the deletions
        // go last.
        let durable = if reader.is_some() { Durable::Whenever } else { Durable::OneByOne };
        written.volumes += u64::from(reader.is_some());
        shard.lock().edit_blocks(|blocks| {
            if let Some(block) = blocks.get_mut(id) {
                block.volume = reader;
                block.layers.drain(..files.layers.len());
                if block.is_empty() {
                    let _empty = blocks.remove(id);
                }
            }
        });
        self.forget(shard, id, files.paths(), (fate, durable));
        self.settle_block(shard, id)
    }

    /// The directory of blocks of this length; `shard_dir` is that of the shard.
    fn block_dir(&self, shard_dir: PathBuf, id: BlockId) -> PathBuf {
        if id.length() == self.block_size_ns() {
            return shard_dir;
        }
        compacted_dir(&shard_dir, id.length())
    }

    /// Makes durable which files of these blocks were removed so far.
    pub(crate) fn sync_block_dirs(
        &self,
        shard: &Shard,
        blocks: impl Iterator<Item = BlockId>,
    ) -> Result<(), TsdbError> {
        let roots =
            [self.layout.snapshots(&self.dir, shard.id), self.layout.data(&self.dir, shard.id)];
        let dirs = |id| roots.clone().map(|root| self.block_dir(root, id));
        let dirs: BTreeSet<PathBuf> = blocks.flat_map(dirs).collect();
        for dir in dirs.iter().filter(|dir| self.fs.exists(dir)) {
            self.fs.sync_dir(dir).map_err(|e| TsdbError::io("sync", dir, e))?;
        }
        Ok(())
    }

    /// Where a volume is to be written; its directory is there.
    pub(crate) fn volume_path(
        &self,
        shard: &Shard,
        id: BlockId,
        volume: u32,
    ) -> Result<PathBuf, TsdbError> {
        let dir = self.block_dir(self.layout.data(&self.dir, shard.id), id);
        self.fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
        Ok(dir.join(fileset::file_name(id.start(), volume)))
    }

    /// As [`Namespace::volume_path`], for volume 0 of a shard below another namespace directory.
    pub(crate) fn new_volume_path(
        &self,
        namespace_dir: &str,
        shard: u16,
        id: BlockId,
    ) -> Result<PathBuf, TsdbError> {
        let dir = self.block_dir(self.layout.data(namespace_dir, shard), id);
        self.fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
        Ok(dir.join(fileset::file_name(id.start(), 0)))
    }

    pub(crate) fn info(
        &self,
        shard: &Shard,
        id: BlockId,
        kind: FilesetKind,
        volume: u32,
        log_segment: u64,
    ) -> FilesetInfo {
        FilesetInfo {
            kind,
            namespace: self.name().to_owned(),
            shard: shard.id,
            shard_count: self.shard_count(),
            id_scheme: 1,
            block_start_ns: id.start(),
            block_size_ns: id.length(),
            volume,
            log_segment,
            created_ns: self.clock.now().0,
        }
    }
}

/// How many of the newest snapshots are merged with what is in memory: the longest run of which no
/// file has more than two thirds of what comes out.
///
/// So whatever is written again ends up in a file half as large again, at least, and a byte is
/// written a logarithmic number of times in the life of its block. A run that cannot be merged at
/// all triples in size with each file, so it is short.
fn merged_snapshots(layers: &[Layer]) -> usize {
    let lens: Vec<u64> = layers
        .iter()
        .filter_map(|layer| match layer {
            Layer::File(file) => Some(file.file_len()),
            Layer::Memory(_) | Layer::Deletion(_) => None,
        })
        .collect();
    run_to_merge(&lens)
}

fn run_to_merge(lens: &[u64]) -> usize {
    if lens.len() < SNAPSHOTS_MAX {
        return 0;
    }
    // What is in memory has no length yet; it is not smaller than the smallest.
    let mut total = lens.iter().copied().min().unwrap_or(0);
    let (mut largest, mut run) = (0, 0);
    for (i, len) in lens.iter().rev().enumerate() {
        total += len;
        largest = largest.max(*len);
        if largest.saturating_mul(3) <= total.saturating_mul(2) {
            run = i + 1;
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_merged_a_logarithmic_number_of_times() {
        for sizes in [[1000, 1000, 1000], [10, 1000, 70], [1, 500, 5000]] {
            let (mut lens, mut written, mut total, mut most) = (Vec::new(), 0u64, 0u64, 0);
            for i in 0..2000 {
                let new: u64 = sizes[i % 3];
                total += new;
                let kept = lens.len() - run_to_merge(&lens);
                let merged: u64 = lens.drain(kept..).sum();
                lens.push(merged + new);
                written += merged + new;
                most = most.max(lens.len());
            }
            assert!(most <= SNAPSHOTS_MAX + 4, "{most} snapshots at a time");
            assert!(written <= total * 8, "{written} bytes written for {total}");
        }
    }
}
