//! Metrics of what storage keeps between reads.

use std::sync::atomic::Ordering;

use m3rs_tsdb::Status;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, put};

/// Handles of those metrics.
#[derive(Debug)]
pub(super) struct ReadMetrics {
    mapped: Gauge,
    hits: Counter,
    misses: Counter,
    decoded_bytes: Gauge,
    decoded_hits: Counter,
    decoded_misses: Counter,
    postings_bytes: Gauge,
    labels_bytes: Gauge,
}

impl ReadMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            mapped: put(
                r,
                "m3rs_storage_filesets_mapped",
                "Filesets that are mapped while nobody reads them",
            ),
            hits: put(
                r,
                "m3rs_storage_fileset_map_hits",
                "Times that a read found a fileset mapped since start",
            ),
            misses: put(
                r,
                "m3rs_storage_fileset_map_misses",
                "Times that a read had to map a fileset since start",
            ),
            decoded_bytes: put(
                r,
                "m3rs_storage_decoded_cache_bytes",
                "Bytes of decoded samples of long blocks that are kept",
            ),
            decoded_hits: put(
                r,
                "m3rs_storage_decoded_cache_hits",
                "Blocks of which a read found kept samples since start",
            ),
            decoded_misses: put(
                r,
                "m3rs_storage_decoded_cache_misses",
                "Blocks that a read had to decode for a part of them since start",
            ),
            postings_bytes: put(
                r,
                "m3rs_storage_postings_cache_bytes",
                "Bytes of series that regular expressions found, which are kept",
            ),
            labels_bytes: put(
                r,
                "m3rs_storage_labels_cache_bytes",
                "Bytes of labels of series that queries found lately, which are kept",
            ),
        }
    }

    pub(super) fn set(&self, status: &Status) {
        self.mapped.set(gauge(status.filesets_mapped));
        self.hits.inner().store(status.fileset_map_hits, Ordering::Relaxed);
        self.misses.inner().store(status.fileset_map_misses, Ordering::Relaxed);
        self.decoded_bytes.set(gauge(status.decoded_cache_bytes));
        self.decoded_hits.inner().store(status.decoded_cache_hits, Ordering::Relaxed);
        self.decoded_misses.inner().store(status.decoded_cache_misses, Ordering::Relaxed);
        self.postings_bytes.set(gauge(status.postings_cache_bytes));
        self.labels_bytes.set(gauge(status.labels_cache_bytes));
    }
}
