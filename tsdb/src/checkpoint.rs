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
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::blocks::{BlockFiles, BlockId, Layer};
use crate::error::TsdbError;
use crate::fileset::{self, FilesetInfo, FilesetKind};
use crate::names::{compacted_dir, damaged_name, snapshot_name};
use crate::namespace::Namespace;
use crate::shard::Shard;

/// Layers over a block at which it is merged though it is still open: more would slow reads.
const LAYERS_MAX: usize = 8;

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
    /// Those that are past their time and idle, and those with many layers.
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

    /// Puts every frozen window into a durable file.
    pub(crate) fn persist_frozen(
        &self,
        segment: u64,
        merge: Merge,
        due: &[(u16, BlockId)],
    ) -> Result<Written, TsdbError> {
        let mut written = Written::default();
        for shard in &self.shards {
            let blocks = shard.lock().blocks();
            for (id, files) in blocks.iter().filter(|(_, f)| !f.layers.is_empty()) {
                let is_due = match merge {
                    Merge::All => true,
                    Merge::Due => due.contains(&(shard.id, id)) || files.layers.len() > LAYERS_MAX,
                    Merge::Never => false,
                };
                if is_due {
                    self.flush_block(shard, id, segment, &mut written)?;
                } else {
                    self.snapshot_block(shard, id, segment, &mut written)?;
                }
            }
        }
        Ok(written)
    }

    /// Blocks that are past their time and were not written to for a while, by shard.
    pub(crate) fn due_blocks(&self) -> Vec<(u16, BlockId)> {
        let now = self.clock.monotonic();
        let closed_before = self.clock.now().0.saturating_sub(self.options().buffer_past_ns);
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
            let layered = blocks.iter().filter(|(_, f)| !f.layers.is_empty()).map(|(id, _)| id);
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
        for (shard, id) in due {
            // Segment 0 claims nothing about the log: it is replayed over the volume, harmlessly.
            self.flush_block(&self.shards[usize::from(shard)], id, 0, &mut written)?;
        }
        Ok(written)
    }

    /// Makes every series durable in the index. Comes before a file with samples: a series that
    /// only a damaged log names would lose its ref to another one.
    pub(crate) fn seal_index(&self) -> Result<(), TsdbError> {
        let dir = self.index_dir();
        self.index.seal(self.fs.as_ref(), &dir)?;
        self.index.compact(self.fs.as_ref(), &dir)?;
        Ok(())
    }

    /// Removes blocks that are older than retention.
    pub(crate) fn expire(&self) -> Result<u64, TsdbError> {
        let options = self.options();
        if options.retention_ns == 0 || !options.cleanup_enabled {
            return Ok(0);
        }
        let horizon = self.horizon().0;
        let now = self.clock.monotonic();
        let mut removed = 0;
        for shard in &self.shards {
            let mut gone = Vec::new();
            {
                let mut state = shard.lock();
                state.buffer.expire(horizon, now);
                state.edit_blocks(|blocks| {
                    blocks.retain(|id, files| {
                        let expired = id.end() <= horizon;
                        if expired {
                            gone.push(std::mem::take(files));
                        }
                        !expired
                    });
                });
            }
            for files in gone {
                for path in files.paths() {
                    self.remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Writes the layers of a block that are in memory into one snapshot file.
    fn snapshot_block(
        &self,
        shard: &Shard,
        id: BlockId,
        segment: u64,
        written: &mut Written,
    ) -> Result<(), TsdbError> {
        let Some(files) = shard.lock().blocks().get(id).cloned() else { return Ok(()) };
        let on_disk = files.layers.iter().take_while(|l| matches!(l, Layer::File(_))).count();
        let memory = BlockFiles { volume: None, layers: files.layers[on_disk..].to_vec() };
        if memory.layers.is_empty() {
            return Ok(());
        }
        let dir = self.block_dir(self.layout.snapshots(&self.dir, shard.id), id);
        self.fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
        let path = dir.join(snapshot_name(id.start(), segment));
        let info = self.info(shard, id, FilesetKind::Snapshot, 0, segment);
        let Some(reader) = self.write_block(shard, &memory, &path, info, written, || Ok(()))?
        else {
            return Ok(());
        };
        written.snapshots += 1;
        shard.lock().edit_blocks(|blocks| {
            if let Some(block) = blocks.get_mut(id) {
                let merged = on_disk..on_disk + memory.layers.len();
                block.layers.splice(merged, [Layer::File(reader)]);
            }
        });
        Ok(())
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
        let volume = files.volume.as_ref().map_or(0, |v| v.info().volume + 1);
        let covered = files.readers().map(|r| r.info().log_segment).chain([segment]).max();
        let path = self.volume_path(shard, id, volume)?;
        let damaged_before = written.damaged;
        let info = self.info(shard, id, FilesetKind::Volume, volume, covered.unwrap_or(0));
        let Some(reader) = self.write_block(shard, &files, &path, info, written, || Ok(()))? else {
            return self.drop_block(shard, id, &files);
        };
        written.volumes += 1;
        shard.lock().edit_blocks(|blocks| {
            if let Some(block) = blocks.get_mut(id) {
                block.volume = Some(reader);
                block.layers.drain(..files.layers.len());
            }
        });
        for old in files.paths() {
            if written.damaged == damaged_before {
                self.remove_file(&old)?;
            } else {
                // It has bytes that the merge could not take over; they stay for a closer look.
                self.set_aside(&old)?;
            }
        }
        Ok(())
    }

    /// Forgets what a block had when nothing is left of it: all of it was deleted.
    fn drop_block(&self, shard: &Shard, id: BlockId, files: &BlockFiles) -> Result<(), TsdbError> {
        shard.lock().edit_blocks(|blocks| {
            if let Some(block) = blocks.get_mut(id) {
                block.volume = None;
                block.layers.drain(..files.layers.len());
                if block.is_empty() {
                    let _empty = blocks.remove(id);
                }
            }
        });
        for path in files.paths() {
            self.remove_file(&path)?;
            // Each removal is durable before the next: the deletion goes last, as nothing else
            // would hide the samples below it.
            self.sync_block_dirs(shard, std::iter::once(id))?;
        }
        Ok(())
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

    /// Renames a damaged file, so that its name is free and its bytes stay for a closer look.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<(), TsdbError> {
        self.fs.rename(path, &damaged_name(path)).map_err(|e| TsdbError::io("rename", path, e))
    }

    pub(crate) fn remove_file(&self, path: &Path) -> Result<(), TsdbError> {
        self.fs.remove_file(path).map_err(|e| TsdbError::io("remove", path, e))
    }
}
