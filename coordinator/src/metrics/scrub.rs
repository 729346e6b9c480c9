//! Metrics of scrubs, of the files in which they found damage, and of what is known to be lost.

use std::sync::atomic::Ordering;

use m3rs_tsdb::{KnownLoss, Quarantined, Status};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, put};

/// Where damage lies. An index has no shard and no block, the log no namespace either; the labels
/// for these are empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlaceLabels {
    namespace: String,
    kind: &'static str,
    shard: String,
    block_start_seconds: String,
}

/// Handles of those metrics.
#[derive(Debug)]
pub(super) struct ScrubMetrics {
    files: Counter,
    bytes: Counter,
    damage: Family<PlaceLabels, Gauge>,
    lost_bytes: Family<PlaceLabels, Gauge>,
    known_losses: Family<PlaceLabels, Gauge>,
}

impl ScrubMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            files: put(r, "m3rs_storage_scrubbed_files", "Files that scrubs read since start"),
            bytes: put(r, "m3rs_storage_scrubbed_bytes", "Bytes that scrubs read since start"),
            damage: put(
                r,
                "m3rs_storage_quarantined_damage",
                "Pieces of damage that the last scrub found",
            ),
            lost_bytes: put(
                r,
                "m3rs_storage_quarantined_lost_bytes",
                "Bytes that cannot be used because of damage that the last scrub found",
            ),
            known_losses: put(
                r,
                "m3rs_storage_known_losses",
                "Files that were set aside, and notes of lost log, of which queries warn",
            ),
        }
    }

    pub(super) fn set(&self, status: &Status) {
        self.files.inner().store(status.scrubbed_files, Ordering::Relaxed);
        self.bytes.inner().store(status.scrubbed_bytes, Ordering::Relaxed);
        self.damage.clear();
        self.lost_bytes.clear();
        for found in &status.quarantined {
            let labels = place_of(found);
            self.damage.get_or_create(&labels).inc_by(gauge(found.pieces));
            self.lost_bytes.get_or_create(&labels).inc_by(gauge(found.lost_bytes));
        }
        self.known_losses.clear();
        for loss in &status.known_losses {
            self.known_losses.get_or_create(&place_of_loss(loss)).inc();
        }
    }
}

fn place_of(found: &Quarantined) -> PlaceLabels {
    let Quarantined { shard, block_start_ns, .. } = *found;
    PlaceLabels::new(&found.namespace, found.kind, shard, block_start_ns)
}

fn place_of_loss(loss: &KnownLoss) -> PlaceLabels {
    let namespace = loss.namespace.as_deref().unwrap_or_default();
    PlaceLabels::new(namespace, loss.kind, loss.shard, loss.block_start_ns)
}

impl PlaceLabels {
    fn new(
        namespace: &str,
        kind: &'static str,
        shard: Option<u16>,
        block_start_ns: Option<i64>,
    ) -> Self {
        let seconds = |ns: i64| ns.div_euclid(1_000_000_000).to_string();
        Self {
            namespace: namespace.to_owned(),
            kind,
            shard: shard.map(|s| s.to_string()).unwrap_or_default(),
            block_start_seconds: block_start_ns.map(seconds).unwrap_or_default(),
        }
    }
}
