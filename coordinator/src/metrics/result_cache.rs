//! Metrics of the results of queries that are kept.

use std::sync::atomic::Ordering;

use m3rs_query::result_cache::ResultCacheCounts;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, put};

/// Handles of those metrics.
#[derive(Debug)]
pub(super) struct ResultCacheMetrics {
    bytes: Gauge,
    hits: Counter,
    misses: Counter,
    bypasses: Counter,
    steps: Counter,
}

impl ResultCacheMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            bytes: put(r, "m3rs_query_result_cache_bytes", "Bytes of results that are kept"),
            hits: put(
                r,
                "m3rs_query_result_cache_hits",
                "Range queries that took steps from a result before",
            ),
            misses: put(
                r,
                "m3rs_query_result_cache_misses",
                "Range queries without a result before that still held",
            ),
            bypasses: put(
                r,
                "m3rs_query_result_cache_bypasses",
                "Range queries whose results are not kept",
            ),
            steps: put(
                r,
                "m3rs_query_result_cache_steps",
                "Steps that were taken from results before",
            ),
        }
    }

    pub(super) fn set(&self, counts: &ResultCacheCounts) {
        self.bytes.set(gauge(counts.bytes));
        self.hits.inner().store(counts.hits, Ordering::Relaxed);
        self.misses.inner().store(counts.misses, Ordering::Relaxed);
        self.bypasses.inner().store(counts.bypasses, Ordering::Relaxed);
        self.steps.inner().store(counts.steps_reused, Ordering::Relaxed);
    }
}
