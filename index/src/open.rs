//! Finds the segments that a directory holds.
//!
//! A merge writes one file over the ids of several, then removes these. A crash in between leaves
//! both. The rule: **the file with the wider range of ids counts, if it is whole; files whose range
//! lies inside it are removed.** A damaged file is reported and left where it is, and the files
//! inside its range count as if it were absent. Two ranges that only overlap cannot come from a
//! merge: the later one is reported and not used.
//!
//! An index that is made anew is one file too. It is written under a name of its own; once it is
//! durable there, all others are set aside, and it gets its name as the last step. A start that
//! finds such a file takes these steps again, so that a crash leaves the old files or the new one.

use std::path::{Path, PathBuf};

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, SharedFs, TEMP_SUFFIX};
use m3rs_core::model::Labels;
use roaring::RoaringBitmap;

use crate::error::IndexError;
use crate::index::Index;
use crate::limits::Limits;
use crate::names::{damaged_path, replaces, replacing_path, segment_path, segment_range};
use crate::search::PostingsCache;
use crate::segment::{Doc, Identity, MemorySegment, SealedSegment, Segment, write};

/// Series that a new index takes at a time.
const BATCH: usize = 4096;

/// A segment file that is not used because it is damaged.
///
/// The index does not know the series of its ids, and takes none under these ids: whoever opened it
/// makes a new index from what other files tell. Its ids are not given out anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The first id, by the file's name.
    pub first: u32,
    /// The last id, by the file's name.
    pub last: u32,
    /// What is wrong with it.
    pub corrupt: Corrupt,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of their ids.
    pub(crate) segments: Vec<SealedSegment>,
    pub(crate) damages: Vec<Damage>,
    /// The largest id in any file's name.
    pub(crate) last: Option<u32>,
}

impl Index {
    /// Bytes of the segment files that [`Index::open`] would read.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    pub fn file_bytes(fs: &dyn Fs, dir: &Path) -> Result<u64, IndexError> {
        let mut bytes = 0;
        for path in fs.list(dir).map_err(IndexError::io(dir))? {
            if segment_range(&path).is_some() {
                bytes += fs.file_len(&path).map_err(IndexError::io(&path))?;
            }
        }
        Ok(bytes)
    }

    /// Replaces all that `dir` holds by one segment with these series, whose ids ascend. The old
    /// files are set aside. After a crash the directory holds the old files or the new one.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn replace(
        fs: &SharedFs,
        dir: &Path,
        (limits, cache): (Limits, &PostingsCache),
        all: &[(u32, Labels)],
    ) -> Result<Self, IndexError> {
        let segment = MemorySegment::new(0);
        let mut scratch = Vec::new();
        for batch in all.chunks(BATCH) {
            let docs = batch.iter().map(|(id, labels)| {
                let labels = labels.as_bytes();
                Doc { id: *id, labels, identity: Identity::of(labels, &mut scratch) }
            });
            segment.insert(&docs.collect::<Vec<_>>());
        }
        match segment.id_range() {
            Some((first, last)) => {
                fs.create_dir_all(dir).map_err(IndexError::io(dir))?;
                let path = replacing_path(&segment_path(dir, first, last));
                write(fs.as_ref(), &path, &[&segment], &RoaringBitmap::new())?;
                finish_replacing(fs.as_ref(), dir)?;
            }
            // There is nothing to lose half of.
            None => set_aside(fs.as_ref(), dir)?,
        }
        let (index, damages) = Self::open_with(fs, dir, (limits, cache), |_| {})?;
        match damages.into_iter().next() {
            Some(damage) => Err(damage.corrupt.into()),
            None => Ok(index),
        }
    }
}

/// Puts the segment in place that is to replace all others, if there is one.
fn finish_replacing(fs: &dyn Fs, dir: &Path) -> Result<(), IndexError> {
    let listed = fs.list(dir).map_err(IndexError::io(dir))?;
    let Some((path, becomes)) = listed.iter().find_map(|p| Some((p, replaces(p)?))) else {
        return Ok(());
    };
    // Its name may not be durable yet, and nothing else has its series then.
    fs.sync_dir(dir).map_err(IndexError::io(dir))?;
    set_aside(fs, dir)?;
    fs.rename(path, &becomes).map_err(IndexError::io(path))?;
    fs.sync_dir(dir).map_err(IndexError::io(dir))
}

/// Renames all segments, so that their bytes stay for a closer look; durable when it returns.
fn set_aside(fs: &dyn Fs, dir: &Path) -> Result<(), IndexError> {
    for path in fs.list(dir).map_err(IndexError::io(dir))? {
        if segment_range(&path).is_some() {
            fs.rename(&path, &damaged_path(&path)).map_err(IndexError::io(&path))?;
        }
    }
    fs.sync_dir(dir).map_err(IndexError::io(dir))
}

/// Opens all segment files, and removes what a crash left behind.
///
/// `is_read` is told how many bytes each file has.
pub(crate) fn find(
    fs: &dyn Fs,
    dir: &Path,
    automaton_bytes_max: usize,
    mut next_uid: impl FnMut() -> u64,
    mut is_read: impl FnMut(u64),
) -> Result<Found, IndexError> {
    finish_replacing(fs, dir)?;
    let mut files = Vec::new();
    let mut removed = false;
    for path in fs.list(dir).map_err(IndexError::io(dir))? {
        if path.to_str().is_some_and(|p| p.ends_with(TEMP_SUFFIX)) {
            fs.remove_file(&path).map_err(IndexError::io(&path))?;
            removed = true;
        } else if let Some((first, last)) = segment_range(&path) {
            files.push((first, last, path));
        }
    }
    files.sort_by_key(|(first, last, _)| (*first, u32::MAX - last));
    let mut found = Found { last: files.iter().map(|f| f.1).max(), ..Found::default() };
    let mut covered: Option<u32> = None;
    for (first, last, path) in files {
        if covered.is_some_and(|end| last <= end) {
            fs.remove_file(&path).map_err(IndexError::io(&path))?;
            removed = true;
            continue;
        }
        if let Some(end) = covered.filter(|&end| first <= end) {
            let expected = format!("a first id above {end}");
            let corrupt = Corrupt::new("index directory", 0, expected, first.to_string());
            found.damages.push(Damage { path, first, last, corrupt });
            continue;
        }
        let bytes = fs.file_len(&path).map_err(IndexError::io(&path))?;
        let opened = SealedSegment::open(fs, &path, next_uid(), automaton_bytes_max);
        is_read(bytes);
        match opened {
            Ok(segment) if segment.id_range() == Some((first, last)) => {
                covered = Some(last);
                found.segments.push(segment);
            }
            Ok(segment) => {
                let expected = format!("ids from {first} to {last}, as its name says");
                let got = format!("{:?}", segment.id_range());
                let corrupt = Corrupt::new("index segment", 0, expected, got);
                found.damages.push(Damage { path, first, last, corrupt });
            }
            Err(IndexError::Corrupt(corrupt)) => {
                found.damages.push(Damage { path, first, last, corrupt });
            }
            Err(other) => return Err(other),
        }
    }
    if removed {
        fs.sync_dir(dir).map_err(IndexError::io(dir))?;
    }
    Ok(found)
}
