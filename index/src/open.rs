//! Finds the segments that a directory holds.
//!
//! A merge writes one file over the ids of several, then removes these. A crash in between leaves
//! both. The rule: **the file with the wider range of ids counts, if it is whole; files whose range
//! lies inside it are removed.** A damaged file is reported and left where it is, and the files
//! inside its range count as if it were absent. Two ranges that only overlap cannot come from a
//! merge: the later one is reported and not used.

use std::path::{Path, PathBuf};

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, TEMP_SUFFIX};

use crate::error::IndexError;
use crate::names::segment_range;
use crate::segment::{SealedSegment, Segment};

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

/// Opens all segment files, and removes what a crash left behind.
pub(crate) fn find(
    fs: &dyn Fs,
    dir: &Path,
    automaton_bytes_max: usize,
    mut next_uid: impl FnMut() -> u64,
) -> Result<Found, IndexError> {
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
        match SealedSegment::open(fs, &path, next_uid(), automaton_bytes_max) {
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
