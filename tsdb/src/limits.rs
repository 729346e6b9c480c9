//! Named limits of the storage engine, and what holds work to a rate.

mod disk;
mod rate;
mod runtime;
mod throttle;

pub(crate) use disk::DiskFloor;
pub(crate) use rate::RateLimit;
pub(crate) use runtime::RuntimeLimits;
pub(crate) use throttle::{PersistRate, Throttle};

use crate::metadata::MetadataLimits;

/// The most exemplars of one series (`EXEMPLARS_PER_SERIES_MAX`); the ones that came first go.
pub const EXEMPLARS_PER_SERIES_MAX: usize = 64;

/// The most exemplars of a namespace, as in Prometheus by default.
pub const EXEMPLARS_MAX: usize = 100_000;

/// The longest label set of one exemplar, in bytes of canonical labels.
pub const EXEMPLAR_LABEL_BYTES_MAX: usize = 1024;

/// The longest annotation of one sample, in bytes. What M3 writes is a few bytes long.
pub const ANNOTATION_BYTES_MAX: usize = 4096;

/// The most samples of one series in a block that compaction makes (`COMPACTED_SAMPLES_MAX`), as a
/// merge holds one series in memory. Above it the shorter blocks stay.
pub(crate) const COMPACTED_SAMPLES_MAX: u64 = 1 << 20;

/// What the engine refuses to go beyond. Every refusal names the limit and its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most namespaces (`limits.namespaces_max`).
    pub namespaces_max: usize,
    /// Most series that one namespace has at a time (`limits.series_max`).
    pub series_max: u32,
    /// Most series that one namespace makes in a second, after a second's worth at once
    /// (`limits.new_series_per_second_max`); 0 is no limit. May change while running.
    pub new_series_per_second_max: u32,
    /// Most windows with unflushed samples in one shard (`limits.windows_max`). Each costs memory
    /// and becomes a file; a sender of random times must not make millions. May change while
    /// running.
    pub windows_max: usize,
    /// Most bytes of log entries that wait to be written (`limits.log_pending_bytes_max`).
    pub log_pending_bytes_max: usize,
    /// Most bytes of the commit log that no other file holds yet
    /// (`limits.log_uncovered_bytes_max`); 0 is no limit. Bounds memory, too, when files are
    /// written more slowly than samples come.
    pub log_uncovered_bytes_max: u64,
    /// Free bytes of the volume below which writes are refused, unless 1 % of the volume is less
    /// (`limits.disk_floor_bytes_max`); 0 is no floor.
    pub disk_floor_bytes_max: u64,
    /// Bytes a second that flushes and snapshots together, and compaction by itself, write at most
    /// (`limits.persist_bytes_per_second_max`); 0 is no limit. May change while running.
    pub persist_bytes_per_second_max: u64,
    /// Bytes a second that scrubs read at most (`limits.scrub_bytes_per_second_max`); 0 switches
    /// scrubs off.
    pub scrub_bytes_per_second_max: u64,
    /// Most encodings of label sets remembered per series on average
    /// (`limits.encodings_per_series_max`); above it the memory of encodings starts anew.
    pub encodings_per_series_max: usize,
    /// Most filesets that are mapped while nobody reads them (`limits.open_filesets_max`).
    pub open_filesets_max: usize,
    /// Bytes of decoded pieces of long blocks that are kept (`limits.cache_decoded_bytes`); 0
    /// keeps none.
    pub cache_decoded_bytes: u64,
    /// Bytes of series that regular expressions found, which are kept over all namespaces
    /// (`limits.cache_postings_bytes`); 0 keeps none.
    pub cache_postings_bytes: u64,
    /// Bytes of labels of series that selections found, which are kept over all namespaces
    /// (`limits.cache_labels_bytes`); 0 keeps none.
    pub cache_labels_bytes: u64,
    /// Bytes of the sets of series by file and block of the index that are kept in memory, over
    /// all namespaces (`limits.active_sets_bytes`).
    pub active_sets_bytes: u64,
    /// What is kept of metric metadata.
    pub metadata: MetadataLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            namespaces_max: 1000,
            series_max: 100_000_000,
            new_series_per_second_max: 0,
            windows_max: 10_000,
            log_pending_bytes_max: 256 << 20,
            log_uncovered_bytes_max: 4 << 30,
            disk_floor_bytes_max: 256 << 20,
            persist_bytes_per_second_max: 0,
            scrub_bytes_per_second_max: 16 << 20,
            encodings_per_series_max: 4,
            open_filesets_max: 16_384,
            cache_decoded_bytes: 64 << 20,
            cache_postings_bytes: 64 << 20,
            cache_labels_bytes: 64 << 20,
            active_sets_bytes: 64 << 20,
            metadata: MetadataLimits::default(),
        }
    }
}
