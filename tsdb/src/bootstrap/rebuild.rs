//! A damaged index, made anew from every file that names series.
//!
//! Filesets and snapshots carry the labels of their series, and the log those of new ones. What
//! the damaged index still tells is taken too. Cost: all label sets of the namespace are read.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use m3rs_core::fs::Fs;
use m3rs_core::model::Labels;
use m3rs_index::Index;

use super::files::Files;
use crate::cache::{ReadCache, ServedFile};
use crate::commitlog::{self, Entry, EntryDecoder};
use crate::error::{Damage, TsdbError};
use crate::names::Layout;
use crate::namespace::NamespaceMeta;

/// Ranges of refs that no index segment covers, sound or `damaged`, though files name series in
/// them.
///
/// The index is durable before any file with samples, so a file knows no more than it.
pub(super) fn unknown_series(
    index: &Index,
    damaged: &[m3rs_index::Damage],
    files: &Files,
) -> Vec<RangeInclusive<u32>> {
    let Some(last) = files.last_ref() else { return Vec::new() };
    let sealed = index.sealed_segments().into_iter().map(|s| (s.first, s.last));
    let mut covered: Vec<_> = sealed.chain(damaged.iter().map(|d| (d.first, d.last))).collect();
    covered.sort_unstable();
    let mut unknown = Vec::new();
    let mut next = 0;
    for (first, last) in covered {
        if next < first {
            unknown.push(next..=first - 1);
        }
        next = next.max(last.saturating_add(1));
    }
    if next <= last {
        unknown.push(next..=last);
    }
    unknown.retain(|range| files.names_any(range));
    unknown
}

/// The damage that such a range is.
pub(super) fn damage_of(dir: &Path, range: &RangeInclusive<u32>) -> Damage {
    Damage {
        path: dir.to_owned(),
        offset: 0,
        lost_bytes: 0,
        what: "index directory",
        expected: "the series that filesets name".to_owned(),
        got: format!("no segment with series {} to {}", range.start(), range.end()),
    }
}

/// Replaces the namespace's index by one made from all names that are left.
pub(super) fn rebuild_index(
    cache: &ReadCache,
    layout: &Layout,
    meta: &NamespaceMeta,
    files: &Files,
    old: &Index,
) -> Result<Index, TsdbError> {
    let fs = cache.fs();
    let mut all: BTreeMap<u32, Labels> = BTreeMap::new();
    let mut known = Vec::new();
    old.for_each_identity(|series, _| known.push(series))?;
    for (series, labels) in known.iter().zip(old.labels_of(&known)?) {
        all.extend(labels.map(|labels| (*series, labels)));
    }
    let from_index = all.len();
    for file in files.all() {
        names_of_file(file, &mut all);
    }
    names_of_log(fs.as_ref(), &layout.commitlog(), meta.id, &mut all)?;
    let all: Vec<(u32, Labels)> = all.into_iter().collect();
    let index =
        Index::replace(fs, &layout.index(&meta.dir), (Default::default(), &cache.postings), &all)?;
    tracing::warn!(
        namespace = meta.name,
        series = all.len(),
        from_other_files = all.len() - from_index,
        "the index was damaged and is made anew"
    );
    Ok(index)
}

fn names_of_file(file: &ServedFile, all: &mut BTreeMap<u32, Labels>) {
    let file = match file.reader() {
        Ok(file) => file,
        Err(error) => return tracing::warn!(%error, "names of a whole file are lost"),
    };
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
