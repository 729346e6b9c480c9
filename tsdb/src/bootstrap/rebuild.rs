//! A damaged index, made anew from every file that names series.
//!
//! Filesets and snapshots carry the labels of their series, and the log those of new ones. What
//! the damaged index still tells is taken too. Cost: all label sets of the namespace are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use m3rs_core::fs::{Fs, SharedFs};
use m3rs_core::model::Labels;
use m3rs_index::Index;

use crate::commitlog::{self, Entry, EntryDecoder};
use crate::error::TsdbError;
use crate::fileset::{self, FilesetReader};
use crate::names::{Layout, parse_compacted_dir, parse_snapshot};
use crate::namespace::NamespaceMeta;

/// Series that the new index takes at a time.
const BATCH: usize = 4096;

/// The largest ref that a fileset or snapshot of the namespace names.
pub(super) fn last_named(
    fs: &dyn Fs,
    layout: &Layout,
    meta: &NamespaceMeta,
) -> Result<Option<u32>, TsdbError> {
    let mut last = None;
    for path in files_with_names(fs, layout, meta)? {
        // A file that does not open is reported when the files are loaded.
        let Ok(file) = FilesetReader::open(fs, &path) else { continue };
        last = last.max((!file.is_empty()).then_some(file.totals().series_max));
    }
    Ok(last)
}

/// Replaces the namespace's index directory by one made from all names that are left.
pub(super) fn rebuild_index(
    fs: &SharedFs,
    layout: &Layout,
    meta: &NamespaceMeta,
    old: &Index,
) -> Result<Index, TsdbError> {
    let mut all: BTreeMap<u32, Labels> = BTreeMap::new();
    let mut known = Vec::new();
    old.for_each_identity(|series, _| known.push(series))?;
    for (series, labels) in known.iter().zip(old.labels_of(&known)?) {
        all.extend(labels.map(|labels| (*series, labels)));
    }
    let from_index = all.len();
    for path in files_with_names(fs.as_ref(), layout, meta)? {
        names_of_file(fs.as_ref(), &path, &mut all);
    }
    names_of_log(fs.as_ref(), &layout.commitlog(), meta.id, &mut all)?;
    let dir = layout.index(&meta.dir);
    set_aside(fs.as_ref(), &dir)?;
    let (index, _) = Index::open(fs, &dir, Default::default())?;
    let all: Vec<(u32, Labels)> = all.into_iter().collect();
    for batch in all.chunks(BATCH) {
        index.insert(batch)?;
    }
    index.seal(fs.as_ref(), &dir)?;
    tracing::warn!(
        namespace = meta.name,
        series = all.len(),
        from_other_files = all.len() - from_index,
        "the index was damaged and is made anew"
    );
    Ok(index)
}

fn files_with_names(
    fs: &dyn Fs,
    layout: &Layout,
    meta: &NamespaceMeta,
) -> Result<Vec<PathBuf>, TsdbError> {
    let mut files = Vec::new();
    for shard in 0..meta.options.shard_count {
        for dir in [layout.data(&meta.dir, shard), layout.snapshots(&meta.dir, shard)] {
            let mut found = fs.list(&dir).map_err(|e| TsdbError::io("list", &dir, e))?;
            for path in found.clone().iter().filter(|p| parse_compacted_dir(p).is_some()) {
                found.extend(fs.list(path).map_err(|e| TsdbError::io("list", path, e))?);
            }
            files.extend(found.into_iter().filter(|path| {
                fileset::parse_file_name(path).is_some() || parse_snapshot(path).is_some()
            }));
        }
    }
    Ok(files)
}

fn names_of_file(fs: &dyn Fs, path: &Path, all: &mut BTreeMap<u32, Labels>) {
    // A file that does not open is reported and set aside when the files are loaded.
    let Ok(file) = FilesetReader::open(fs, path) else { return };
    for found in file.identities() {
        let named = found.and_then(|(position, labels)| Ok((file.entry(position)?, labels)));
        match named {
            Ok((Some(entry), labels)) => {
                all.entry(entry.series).or_insert(labels);
            }
            Ok((None, _)) => {}
            Err(error) => tracing::warn!(%error, "names that are lost in one more file"),
        }
    }
}

fn names_of_log(
    fs: &dyn Fs,
    dir: &Path,
    namespace_id: u32,
    all: &mut BTreeMap<u32, Labels>,
) -> Result<(), TsdbError> {
    let mut decoder = EntryDecoder::new();
    // Damage of the log is reported when it is replayed for its samples.
    commitlog::replay::<TsdbError>(fs, dir, 0, &mut decoder, |entry| {
        if let Entry::Series { namespace, series_ref, labels, .. } = entry
            && namespace == namespace_id
            && let Ok(labels) = Labels::from_canonical(labels)
        {
            all.entry(series_ref).or_insert(labels);
        }
        Ok(())
    })?;
    Ok(())
}

/// Renames the directory's files, so that their bytes stay for a closer look.
fn set_aside(fs: &dyn Fs, dir: &Path) -> Result<(), TsdbError> {
    for path in fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))? {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".damaged");
        fs.rename(&path, Path::new(&aside)).map_err(|e| TsdbError::io("rename", &path, e))?;
    }
    Ok(())
}
