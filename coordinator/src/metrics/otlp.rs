//! Metrics of OTLP.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, put};
use crate::ingest::{DeltaUsage, WalkCounts};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

/// Handles of those metrics.
#[derive(Debug)]
pub(super) struct OtlpMetrics {
    points: Counter,
    points_refused: Counter,
    delta_series: Gauge,
    delta_bytes: Gauge,
    grpc_requests: Family<CodeLabels, Counter>,
}

impl OtlpMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            points: put(r, "m3rs_otlp_points", "Data points of OTLP received"),
            points_refused: put(
                r,
                "m3rs_otlp_points_refused",
                "Data points of OTLP of which something was refused",
            ),
            delta_series: put(r, "m3rs_otlp_delta_series", "Delta series whose totals are kept"),
            delta_bytes: put(r, "m3rs_otlp_delta_bytes", "Bytes of totals of delta series"),
            grpc_requests: put(r, "m3rs_otlp_grpc_requests", "Calls of OTLP over gRPC, by code"),
        }
    }

    pub(super) fn observe(&self, counts: &WalkCounts) {
        self.points.inc_by(counts.points);
        self.points_refused.inc_by(counts.points_refused);
    }

    pub(super) fn observe_grpc(&self, code: &'static str) {
        self.grpc_requests.get_or_create(&CodeLabels { code }).inc();
    }

    pub(super) fn set(&self, usage: DeltaUsage) {
        self.delta_series.set(gauge(usage.series));
        self.delta_bytes.set(gauge(usage.bytes));
    }
}
