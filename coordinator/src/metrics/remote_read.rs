//! Metrics of remote read.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::put;

/// Handles of those metrics.
#[derive(Debug)]
pub(crate) struct RemoteReadMetrics {
    in_flight: Gauge,
    series: Counter,
    samples: Counter,
}

/// Counts a request as in flight until it is dropped.
pub(crate) struct RemoteReadInFlight(Gauge);

impl Drop for RemoteReadInFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl RemoteReadMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            in_flight: put(r, "m3rs_remote_reads_in_flight", "Remote reads that are at work"),
            series: put(r, "m3rs_remote_read_series", "Series that remote reads were answered"),
            samples: put(r, "m3rs_remote_read_samples", "Samples that remote reads were answered"),
        }
    }

    pub(crate) fn in_flight(&self) -> RemoteReadInFlight {
        self.in_flight.inc();
        RemoteReadInFlight(self.in_flight.clone())
    }

    pub(crate) fn add(&self, series: u64, samples: u64) {
        self.series.inc_by(series);
        self.samples.inc_by(samples);
    }
}
