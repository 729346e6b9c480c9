//! Sets of series that are kept in memory, up to a number of bytes over all namespaces.

use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use roaring::{MultiOps, RoaringBitmap};

use crate::cache::ServedFile;
use crate::fileset::{FilesetReader, FilesetTotals};

/// Bytes of an entry beside its set.
const ENTRY_BYTES: u64 = 160;

/// What a set is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A file, by its number.
    File(u64),
    /// All files of a span of time: namespace, start, length.
    Span(u32, i64, i64),
}

/// A set, and which readers it was made of.
#[derive(Clone, Debug)]
struct Kept {
    sources: Box<[u64]>,
    refs: Arc<RoaringBitmap>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        ENTRY_BYTES + kept.sources.len() as u64 * 8 + kept.refs.serialized_size() as u64
    }
}

/// The sets of files and of spans.
pub(crate) struct ActiveSets(Cache<Key, Kept, ByBytes>);

impl fmt::Debug for ActiveSets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveSets").field("bytes", &self.0.weight()).finish_non_exhaustive()
    }
}

impl ActiveSets {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries = usize::try_from(bytes_max / (16 * ENTRY_BYTES)).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(entries.max(1), bytes_max, ByBytes))
    }

    /// The series of a file; all between its first and last while it cannot be mapped.
    pub(super) fn of_file(&self, file: &ServedFile) -> Arc<RoaringBitmap> {
        self.known(file).unwrap_or_else(|| Arc::new(span_of(file.totals())))
    }

    fn known(&self, file: &ServedFile) -> Option<Arc<RoaringBitmap>> {
        let key = Key::File(file.uid());
        if let Some(kept) = self.0.get(&key) {
            return Some(kept.refs);
        }
        let reader = file.reader().ok()?;
        let refs = Arc::new(series_of(&reader));
        self.0.insert(key, Kept { sources: Box::default(), refs: Arc::clone(&refs) });
        Some(refs)
    }

    /// The series of all files of a span.
    pub(super) fn of_files(&self, key: Key, files: &[Arc<ServedFile>]) -> Arc<RoaringBitmap> {
        let sources: Box<[u64]> = files.iter().map(|file| file.uid()).collect();
        if let Some(kept) = self.0.get(&key).filter(|kept| kept.sources == sources) {
            return kept.refs;
        }
        let known: Option<Vec<_>> = files.iter().map(|file| self.known(file)).collect();
        let Some(sets) = known else {
            let sets: Vec<_> = files.iter().map(|file| self.of_file(file)).collect();
            return Arc::new(union(&sets));
        };
        let refs = Arc::new(union(&sets));
        self.0.insert(key, Kept { sources, refs: Arc::clone(&refs) });
        refs
    }
}

/// The members of any of the sets.
pub(super) fn union(sets: &[Arc<RoaringBitmap>]) -> RoaringBitmap {
    sets.iter().map(|set| &**set).union()
}

/// The series of a file. One that cannot say which has all between its first and last, so that
/// readers of these meet the damage.
fn series_of(file: &FilesetReader) -> RoaringBitmap {
    file.series_set().unwrap_or_else(|error| {
        tracing::warn!(%error, "the series of a file are not known");
        span_of(file.totals())
    })
}

/// All refs between the first and the last of a file.
fn span_of(totals: FilesetTotals) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    if totals.series > 0 {
        all.insert_range(totals.series_min..=totals.series_max);
    }
    all
}
