//! Volumes and snapshots: each is opened once, on every core, those of the newest blocks first.
//!
//! They are opened before the index and the log, as both must know of everything that files name:
//! refs of series, and segments of the log. Of blocks that are left for later the last bytes of
//! each file are read, which tell both.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::Fs;
use parking_lot::Mutex;

use super::{in_parallel, remove_temporary};
use crate::blocks::{BlockFiles, BlockId, Blocks, Layer};
use crate::cache::{ReadCache, ServedFile};
use crate::error::{Damage, FilesetError, TsdbError};
use crate::fileset::{self, FilesetInfo, FilesetReader, FilesetTotals};
use crate::names::{Layout, damaged_name, parse_compacted_dir, parse_snapshot};
use crate::namespace::{Namespace, NamespaceMeta};
use crate::progress::{Progress, Stage};

/// The open files of a namespace.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The blocks of each shard.
    pub(super) shards: Vec<Blocks>,
    /// The newest segment of the log that a file or its name tells of; 0 for none.
    pub(super) newest_segment: u64,
    /// Blocks that are left for later, the newest first.
    pub(super) pending: Vec<Pending>,
}

/// A block of which no file is opened yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) shard: u16,
    pub(crate) id: BlockId,
    names: Names,
    /// Of each file that tells them.
    totals: Vec<FilesetTotals>,
}

/// The names of one block's files.
#[derive(Debug, Default)]
struct Names {
    /// Volume numbers.
    volumes: Vec<(u32, PathBuf)>,
    /// Log segments.
    snapshots: Vec<(u64, PathBuf)>,
    /// Files that were removed or set aside, should another try be needed.
    gone: Mutex<Vec<PathBuf>>,
}

/// What was read of a block.
enum Read {
    Opened(BlockFiles, Vec<Damage>),
    Heads(Vec<(FilesetInfo, FilesetTotals)>),
}

/// Namespace, shard and span of a block.
type Key = (usize, u16, BlockId);

/// Opens the files of all namespaces; what is damaged is reported and set aside.
///
/// Blocks that end by `first_after` are left for later, but for those that overlap a block which
/// is not.
pub(super) fn open(
    cache: &Arc<ReadCache>,
    layout: &Layout,
    metas: &[NamespaceMeta],
    first_after: i64,
    progress: &Progress,
    damage: &mut Vec<Damage>,
) -> Result<Vec<Files>, TsdbError> {
    let mut blocks = list(cache.fs().as_ref(), layout, metas)?;
    blocks.sort_by_key(|((_, _, id), _)| Reverse(id.end()));
    let total = blocks.iter().map(|(_, names)| names.len()).sum();
    progress.enter(Stage::Files, total);
    let mut first_after = vec![first_after; metas.len()];
    for ((namespace, _, id), _) in &blocks {
        let after = &mut first_after[*namespace];
        // The newest come first, so that one which overlaps a block behind it lowers the bound.
        if id.end() > *after {
            *after = id.start().min(*after);
        }
    }
    let read = in_parallel("start-files", blocks.len(), |at| {
        let ((namespace, _, id), names) = &blocks[at];
        let read = if id.end() > first_after[*namespace] {
            let mut damage = Vec::new();
            let files = names.open(cache, &mut damage, |path| set_aside(cache, path));
            files.map(|files| Read::Opened(files, damage))
        } else {
            names.heads(cache.fs().as_ref()).map(Read::Heads)
        };
        progress.advance(Stage::Files, names.len());
        read
    });
    let mut all: Vec<Files> = metas
        .iter()
        .map(|meta| Files {
            shards: vec![Blocks::default(); usize::from(meta.options.shard_count)],
            ..Files::default()
        })
        .collect();
    for (((namespace, shard, id), names), read) in blocks.into_iter().zip(read) {
        let of_namespace = &mut all[namespace];
        let of_names = names.snapshots.iter().map(|(segment, _)| *segment).max();
        let of_files = match read? {
            Read::Opened(files, mut found) => {
                damage.append(&mut found);
                let newest = files.files().map(|file| file.info().log_segment).max();
                of_namespace.put(shard, id, files);
                newest
            }
            Read::Heads(heads) => {
                let newest = heads.iter().map(|(info, _)| info.log_segment).max();
                let totals = heads.into_iter().map(|(_, totals)| totals).collect();
                let files = BlockFiles { is_pending: true, ..BlockFiles::default() };
                of_namespace.put(shard, id, files);
                of_namespace.pending.push(Pending { shard, id, names, totals });
                newest
            }
        };
        let newest = of_files.max(of_names).unwrap_or(0);
        of_namespace.newest_segment = of_namespace.newest_segment.max(newest);
    }
    Ok(all)
}

/// Finds all blocks by the names of their files.
fn list(
    fs: &dyn Fs,
    layout: &Layout,
    metas: &[NamespaceMeta],
) -> Result<Vec<(Key, Names)>, TsdbError> {
    let shards: Vec<(usize, u16)> = metas
        .iter()
        .enumerate()
        .flat_map(|(at, meta)| (0..meta.options.shard_count).map(move |shard| (at, shard)))
        .collect();
    let listed = in_parallel("start-list", shards.len(), |at| {
        let (namespace, shard) = shards[at];
        let meta = &metas[namespace];
        let length = meta.options.block_size_ns;
        let mut blocks = BTreeMap::<BlockId, Names>::new();
        for dir in [layout.data(&meta.dir, shard), layout.snapshots(&meta.dir, shard)] {
            let inside = list_dir(fs, &dir, length, &mut blocks)?;
            for compacted in inside {
                if let Some(length) = parse_compacted_dir(&compacted) {
                    list_dir(fs, &compacted, length, &mut blocks)?;
                }
            }
        }
        let keyed = blocks.into_iter().map(|(id, names)| ((namespace, shard, id), names));
        Ok::<_, TsdbError>(keyed.collect::<Vec<_>>())
    });
    let mut all = Vec::new();
    for found in listed {
        all.append(&mut found?);
    }
    Ok(all)
}

/// Adds the files of a directory to `blocks`; returns all paths that are in it.
fn list_dir(
    fs: &dyn Fs,
    dir: &Path,
    length: i64,
    blocks: &mut BTreeMap<BlockId, Names>,
) -> Result<Vec<PathBuf>, TsdbError> {
    let inside = remove_temporary(fs, dir)?;
    for path in &inside {
        if let Some((start, volume)) = fileset::parse_file_name(path) {
            let names = blocks.entry(BlockId::new(start, length)).or_default();
            names.volumes.push((volume, path.clone()));
        } else if let Some((start, segment)) = parse_snapshot(path) {
            let names = blocks.entry(BlockId::new(start, length)).or_default();
            names.snapshots.push((segment, path.clone()));
        }
    }
    Ok(inside)
}

impl Names {
    fn len(&self) -> u64 {
        (self.volumes.len() + self.snapshots.len()) as u64
    }

    /// What the files say of themselves. One that is damaged says nothing, and is set aside when it
    /// is opened.
    fn heads(&self, fs: &dyn Fs) -> Result<Vec<(FilesetInfo, FilesetTotals)>, TsdbError> {
        let volumes = self.volumes.iter().map(|(_, path)| path);
        let mut heads = Vec::new();
        for path in volumes.chain(self.snapshots.iter().map(|(_, path)| path)) {
            match FilesetReader::head(fs, path) {
                Ok(head) => heads.push(head),
                Err(FilesetError::Damaged(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Ok(heads)
    }

    /// Opens the newest sound volume, and the snapshots over it. What is damaged is reported and
    /// given to `set_aside`. After an error it may be tried again.
    fn open(
        &self,
        cache: &Arc<ReadCache>,
        damage: &mut Vec<Damage>,
        set_aside: impl Fn(&Path) -> Result<(), TsdbError>,
    ) -> Result<BlockFiles, TsdbError> {
        let fs = cache.fs();
        let mut files = BlockFiles::default();
        let is_there = |path: &PathBuf| !self.gone.lock().contains(path);
        let remove = |path: &Path| {
            fs.remove_file(path).map_err(|e| TsdbError::io("remove", path, e))?;
            self.gone.lock().push(path.to_owned());
            Ok::<(), TsdbError>(())
        };
        let mut serve = |path: &Path| match cache.serve(path) {
            Ok(file) => Ok(Some(file)),
            Err(FilesetError::Damaged(found)) => {
                set_aside(path)?;
                self.gone.lock().push(path.to_owned());
                damage.push(found);
                Ok(None)
            }
            Err(other) => Err(TsdbError::from(other)),
        };
        let mut volumes: Vec<_> = self.volumes.iter().filter(|(_, p)| is_there(p)).collect();
        volumes.sort_by_key(|(volume, _)| Reverse(*volume));
        // Newest first: the first that opens is served, older ones are leftovers of a flush.
        for (_, path) in volumes {
            if files.volume.is_some() {
                remove(path)?;
            } else {
                files.volume = serve(path)?;
            }
        }
        let covered = files.volume.as_ref().map(|volume| volume.info().log_segment);
        let mut snapshots: Vec<_> = self.snapshots.iter().filter(|(_, p)| is_there(p)).collect();
        snapshots.sort_by_key(|(segment, _)| *segment);
        for (segment, path) in snapshots {
            if covered.is_some_and(|covered| covered >= *segment) {
                // The volume was merged from it; a crash kept it from being removed.
                remove(path)?;
            } else {
                files.layers.extend(serve(path)?.map(Layer::File));
            }
        }
        Ok(files)
    }
}

/// Renames a damaged file, so that its name is free and its bytes stay for a closer look.
fn set_aside(cache: &ReadCache, path: &Path) -> Result<(), TsdbError> {
    let fs = cache.fs();
    let aside = damaged_name(fs.as_ref(), path);
    fs.rename(path, &aside).map_err(|e| TsdbError::io("rename", path, e))
}

impl Pending {
    /// Opens the files for a namespace that serves. As when it is opened, but that the namespace
    /// keeps in mind what is set aside.
    pub(crate) fn open(
        &self,
        namespace: &Namespace,
        damage: &mut Vec<Damage>,
    ) -> Result<BlockFiles, TsdbError> {
        self.names.open(&namespace.cache, damage, |path| namespace.set_aside(path))
    }
}

impl Files {
    fn put(&mut self, shard: u16, id: BlockId, files: BlockFiles) {
        if !files.is_empty() {
            *self.shards[usize::from(shard)].entry(id) = files;
        }
    }

    /// Opens the blocks that were left for later.
    pub(super) fn open_pending(
        &mut self,
        cache: &Arc<ReadCache>,
        damage: &mut Vec<Damage>,
    ) -> Result<(), TsdbError> {
        let pending = std::mem::take(&mut self.pending);
        let opened = in_parallel("start-files", pending.len(), |at| {
            let mut damage = Vec::new();
            let files = pending[at].names.open(cache, &mut damage, |path| set_aside(cache, path));
            files.map(|files| (files, damage))
        });
        for (block, opened) in pending.iter().zip(opened) {
            let (files, mut found) = opened?;
            damage.append(&mut found);
            let _pending = self.shards[usize::from(block.shard)].remove(block.id);
            self.put(block.shard, block.id, files);
        }
        Ok(())
    }

    /// Every file that is open.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ServedFile>> {
        let blocks = self.shards.iter().flat_map(|blocks| blocks.iter());
        blocks.flat_map(|(_, files)| files.files())
    }

    /// The largest ref that a file names.
    pub(super) fn last_ref(&self) -> Option<u32> {
        let pending = self.pending.iter().flat_map(|block| block.totals.iter().copied());
        let all = self.all().map(|file| file.totals()).chain(pending);
        all.filter(|totals| totals.series > 0).map(|totals| totals.series_max).max()
    }

    /// Whether a file names a series in the range. One whose index cannot be read counts as if it
    /// did not, and one that is left for later as if it had every series between its first and
    /// its last.
    pub(super) fn names_any(&self, range: &RangeInclusive<u32>) -> bool {
        let overlaps = |totals: &FilesetTotals| {
            totals.series_min <= *range.end() && totals.series_max >= *range.start()
        };
        if self.pending.iter().flat_map(|block| &block.totals).any(overlaps) {
            return true;
        }
        let mut overlapping = self.all().filter(|file| overlaps(&file.totals()));
        overlapping.any(|file| {
            let set = file.reader().and_then(|reader| reader.series_set());
            set.is_ok_and(|set| set.range_cardinality(range.clone()) > 0)
        })
    }
}
