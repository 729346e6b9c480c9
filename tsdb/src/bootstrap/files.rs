//! Volumes and snapshots: each is opened once, on every core, those of the newest blocks first.
//!
//! They are opened before the index and the log, as both must know of everything that files name:
//! refs of series, and segments of the log.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::Fs;

use super::{in_parallel, remove_temporary};
use crate::blocks::{BlockFiles, BlockId, Blocks, Layer};
use crate::cache::{ReadCache, ServedFile};
use crate::error::{Damage, FilesetError, TsdbError};
use crate::fileset;
use crate::names::{Layout, damaged_name, parse_compacted_dir, parse_snapshot};
use crate::namespace::NamespaceMeta;
use crate::progress::{Progress, Stage};

/// The open files of a namespace.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The blocks of each shard.
    pub(super) shards: Vec<Blocks>,
    /// The newest segment of the log that a file or its name tells of; 0 for none.
    pub(super) newest_segment: u64,
}

/// The names of one block's files.
#[derive(Debug, Default)]
struct Names {
    /// Volume numbers.
    volumes: Vec<(u32, PathBuf)>,
    /// Log segments.
    snapshots: Vec<(u64, PathBuf)>,
}

/// Namespace, shard and span of a block.
type Key = (usize, u16, BlockId);

/// Opens the files of all namespaces; what is damaged is reported and set aside.
pub(super) fn open(
    cache: &Arc<ReadCache>,
    layout: &Layout,
    metas: &[NamespaceMeta],
    progress: &Progress,
    damage: &mut Vec<Damage>,
) -> Result<Vec<Files>, TsdbError> {
    let mut blocks = list(cache.fs().as_ref(), layout, metas)?;
    blocks.sort_by_key(|((_, _, id), _)| Reverse(id.end()));
    let total = blocks.iter().map(|(_, names)| names.len()).sum();
    progress.enter(Stage::Files, total);
    let opened = in_parallel("start-files", blocks.len(), |at| {
        let (_, names) = &blocks[at];
        let opened = open_block(cache, names);
        progress.advance(Stage::Files, names.len());
        opened
    });
    let mut all: Vec<Files> = metas
        .iter()
        .map(|meta| Files {
            shards: vec![Blocks::default(); usize::from(meta.options.shard_count)],
            newest_segment: 0,
        })
        .collect();
    for (((namespace, shard, id), names), opened) in blocks.iter().zip(opened) {
        let (files, mut found) = opened?;
        damage.append(&mut found);
        let of_namespace = &mut all[*namespace];
        let of_files = files.files().map(|file| file.info().log_segment);
        let of_names = names.snapshots.iter().map(|(segment, _)| *segment);
        let newest = of_files.chain(of_names).max().unwrap_or(0);
        of_namespace.newest_segment = of_namespace.newest_segment.max(newest);
        if !files.is_empty() {
            *of_namespace.shards[usize::from(*shard)].entry(*id) = files;
        }
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
}

/// Opens the newest sound volume of a block, and the snapshots over it.
fn open_block(
    cache: &Arc<ReadCache>,
    names: &Names,
) -> Result<(BlockFiles, Vec<Damage>), TsdbError> {
    let fs = cache.fs();
    let (mut files, mut damage) = (BlockFiles::default(), Vec::new());
    let remove = |path: &Path| fs.remove_file(path).map_err(|e| TsdbError::io("remove", path, e));
    let mut volumes: Vec<_> = names.volumes.iter().collect();
    volumes.sort_by_key(|(volume, _)| Reverse(*volume));
    // Newest first: the first that opens is served, older ones are leftovers of a flush.
    for (_, path) in volumes {
        if files.volume.is_some() {
            remove(path)?;
        } else {
            files.volume = open_or_set_aside(cache, path, &mut damage)?;
        }
    }
    let covered = files.volume.as_ref().map(|volume| volume.info().log_segment);
    let mut snapshots: Vec<_> = names.snapshots.iter().collect();
    snapshots.sort_by_key(|(segment, _)| *segment);
    for (segment, path) in snapshots {
        if covered.is_some_and(|covered| covered >= *segment) {
            // The volume was merged from it; a crash kept it from being removed.
            remove(path)?;
        } else {
            files.layers.extend(open_or_set_aside(cache, path, &mut damage)?.map(Layer::File));
        }
    }
    Ok((files, damage))
}

/// Opens a file; a damaged one is reported and renamed, so that its name is free and its bytes
/// stay for a closer look.
fn open_or_set_aside(
    cache: &Arc<ReadCache>,
    path: &Path,
    damage: &mut Vec<Damage>,
) -> Result<Option<Arc<ServedFile>>, TsdbError> {
    match cache.serve(path) {
        Ok(file) => Ok(Some(file)),
        Err(FilesetError::Damaged(found)) => {
            damage.push(found);
            let fs = cache.fs();
            fs.rename(path, &damaged_name(fs.as_ref(), path))
                .map_err(|e| TsdbError::io("rename", path, e))?;
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

impl Files {
    /// Every file.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ServedFile>> {
        let blocks = self.shards.iter().flat_map(|blocks| blocks.iter());
        blocks.flat_map(|(_, files)| files.files())
    }

    /// The largest ref that a file names.
    pub(super) fn last_ref(&self) -> Option<u32> {
        let filled = self.all().filter(|file| file.totals().series > 0);
        filled.map(|file| file.totals().series_max).max()
    }

    /// Whether a file names a series in the range. One whose index cannot be read counts as if it
    /// did not.
    pub(super) fn names_any(&self, range: &RangeInclusive<u32>) -> bool {
        let mut overlapping = self.all().filter(|file| {
            let totals = file.totals();
            totals.series_min <= *range.end() && totals.series_max >= *range.start()
        });
        overlapping.any(|file| {
            let set = file.reader().and_then(|reader| reader.series_set());
            set.is_ok_and(|set| set.range_cardinality(range.clone()) > 0)
        })
    }
}
