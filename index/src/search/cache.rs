//! Results of regular expressions, per segment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::postings::Postings;

/// Weight of an entry's key and place in the cache, in bytes.
const ENTRY_BYTES: u64 = 128;

/// Bytes that one entry is thought to take when the cache is laid out.
const ENTRY_BYTES_TYPICAL: u64 = 4 << 10;

/// What passed a regular expression's test.
#[derive(Clone, Debug)]
pub(crate) enum Selected {
    /// In a sealed segment: the documents, for good.
    Docs(Postings),
    /// In a growing segment: the values among the first `scanned`.
    Values { scanned: u32, values: Arc<[u32]> },
}

/// A segment, a field and a pattern. A segment's number is never given to another, so an entry
/// needs no removal when a segment goes: nobody asks for it, and it is evicted.
type Key = (u64, u32, Box<str>);

/// Keeps results of regular expressions up to a number of bytes, the most useful ones longest.
/// Indexes may share it; cloning is cheap, and clones are one cache.
#[derive(Clone, Debug)]
pub struct PostingsCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    results: Cache<Key, Selected, ByBytes>,
    next_segment: AtomicU64,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Selected> for ByBytes {
    fn weight(&self, key: &Key, selected: &Selected) -> u64 {
        let held = match selected {
            Selected::Docs(postings) => postings.heap_bytes(),
            Selected::Values { values, .. } => values.len() as u64 * 4,
        };
        ENTRY_BYTES + key.2.len() as u64 + held
    }
}

impl PostingsCache {
    /// Keeps as many bytes; 0 keeps nothing.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let entries = usize::try_from(bytes_max / ENTRY_BYTES_TYPICAL).unwrap_or(usize::MAX);
        let results = Cache::with_weighter(entries.max(1), bytes_max, ByBytes);
        Self(Arc::new(Shared { results, next_segment: AtomicU64::new(0) }))
    }

    /// A number that no other segment has whose results are kept here.
    pub(crate) fn next_segment(&self) -> u64 {
        self.0.next_segment.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, segment: u64, field: u32, pattern: &str) -> Option<Selected> {
        self.0.results.get(&(segment, field, pattern.into()))
    }

    pub(crate) fn put(&self, segment: u64, field: u32, pattern: &str, selected: Selected) {
        self.0.results.insert((segment, field, pattern.into()), selected);
    }

    /// Bytes in use.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.results.weight()
    }
}
