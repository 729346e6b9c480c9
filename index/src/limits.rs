//! Named limits of an index.

/// Bytes that the labels of a series may have whatever the limit says: what an open segment keeps
/// of 1,024 series is addressed by 32 bits.
pub const LABELS_LEN_CEILING: usize = 2 << 20;

/// Bounds on what an index keeps and does; the default suits a node with some gigabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of postings kept for regular expressions, if the index has a cache of its own.
    pub postings_cache_bytes: u64,
    /// Sealed segments that [`crate::Index::compact`] leaves at most, beside full ones.
    pub segments_max: usize,
    /// Series that a merge makes one segment of at most. One of more than half of that is full and
    /// merged no more, so that old ones, of which much is gone, are not written again for new ones.
    pub segment_series_max: u64,
    /// Candidates up to which labels are read and compared instead of intersecting postings.
    pub verify_max: usize,
    /// Literals that a regular expression may stand for to be looked up one by one.
    pub literals_max: usize,
    /// Conditions, and knots that join them, in one [`crate::Query`]; it is no deeper then either.
    pub query_nodes_max: usize,
    /// Bytes of one dense automaton for a search in a term dictionary; larger ones are not built.
    pub automaton_bytes_max: usize,
    /// Bytes of the canonical labels of one series; never more than [`LABELS_LEN_CEILING`].
    pub labels_len_max: usize,
    /// Series in one open segment; more are refused until it is sealed.
    pub open_series_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            postings_cache_bytes: 64 << 20,
            segments_max: 8,
            segment_series_max: 4 << 20,
            verify_max: 1_000,
            literals_max: 4_096,
            query_nodes_max: 1_024,
            automaton_bytes_max: 2 << 20,
            labels_len_max: 1 << 20,
            open_series_max: 1 << 30,
        }
    }
}
