//! Metrics of background work, of limits on storage, and of each namespace.

use std::sync::atomic::{AtomicU64, Ordering};

use m3rs_tsdb::{JobStatus, NamespaceStatus, Status};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, put};

const MS_PER_S: f64 = 1000.0;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    job: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    namespace: String,
}

/// A gauge or counter of fractions.
type GaugeF64 = Gauge<f64, AtomicU64>;
type CounterF64 = Counter<f64, AtomicU64>;

/// Handles of those metrics.
#[derive(Debug)]
pub(super) struct JobMetrics {
    running: Family<JobLabels, GaugeF64>,
    runs: Family<JobLabels, Counter>,
    failures: Family<JobLabels, Counter>,
    seconds: Family<JobLabels, CounterF64>,
    last_seconds: Family<JobLabels, GaugeF64>,
    last_failed: Family<JobLabels, Gauge>,
    series_rate_refusals: Counter,
    disk_floor_refusals: Counter,
    disk_free: Gauge,
    disk_floor: Gauge,
    persist_rate: Gauge,
    namespace_series: Family<NamespaceLabels, Gauge>,
    namespace_samples: Family<NamespaceLabels, Counter>,
}

impl JobMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            running: put(
                r,
                "m3rs_storage_job_running_seconds",
                "For how long the job has been running; 0 if it is not",
            ),
            runs: put(r, "m3rs_storage_job_runs", "How often the job ended since start"),
            failures: put(r, "m3rs_storage_job_failures", "How often it ended in an error"),
            seconds: put(r, "m3rs_storage_job_seconds", "Time that the job took since start"),
            last_seconds: put(
                r,
                "m3rs_storage_job_last_seconds",
                "Time that the job took when it last ended",
            ),
            last_failed: put(
                r,
                "m3rs_storage_job_last_failed",
                "1 if the job ended in an error when it last ended",
            ),
            series_rate_refusals: put(
                r,
                "m3rs_storage_series_rate_refusals",
                "New series that the limit on their rate refused since start",
            ),
            disk_floor_refusals: put(
                r,
                "m3rs_storage_disk_floor_refusals",
                "Writes that the disk floor refused since start",
            ),
            disk_free: put(
                r,
                "m3rs_storage_disk_free_bytes",
                "Free bytes of the volume when a write last asked",
            ),
            disk_floor: put(
                r,
                "m3rs_storage_disk_floor_bytes",
                "Bytes of the volume that writes leave free",
            ),
            persist_rate: put(
                r,
                "m3rs_storage_persist_bytes_per_second_max",
                "Bytes a second that background work writes at most; 0 is no limit",
            ),
            namespace_series: put(
                r,
                "m3rs_storage_namespace_series",
                "Series that are known, by namespace",
            ),
            namespace_samples: put(
                r,
                "m3rs_storage_namespace_samples_written",
                "Samples that a namespace took since it was opened",
            ),
        }
    }

    pub(super) fn set(&self, status: &Status) {
        status.jobs.iter().for_each(|job| self.set_job(job));
        for (metric, number) in [
            (&self.series_rate_refusals, status.series_rate_refusals),
            (&self.disk_floor_refusals, status.disk_floor_refusals),
        ] {
            // The count is kept elsewhere, and only grows.
            metric.inner().store(number, Ordering::Relaxed);
        }
        self.disk_free.set(gauge(status.disk_free_bytes.unwrap_or(0)));
        self.disk_floor.set(gauge(status.disk_floor_bytes));
        self.persist_rate.set(gauge(status.persist_bytes_per_second_max));
        // Those of removed namespaces go.
        self.namespace_series.clear();
        self.namespace_samples.clear();
        status.namespaces.iter().for_each(|namespace| self.set_namespace(namespace));
    }

    fn set_job(&self, job: &JobStatus) {
        let labels = JobLabels { job: job.job };
        let seconds = |ms: u64| ms as f64 / MS_PER_S;
        let running = seconds(job.running_for_ms.unwrap_or(0));
        self.running.get_or_create(&labels).set(running);
        self.runs.get_or_create(&labels).inner().store(job.runs, Ordering::Relaxed);
        self.failures.get_or_create(&labels).inner().store(job.failures, Ordering::Relaxed);
        let total = seconds(job.total_duration_ms).to_bits();
        self.seconds.get_or_create(&labels).inner().store(total, Ordering::Relaxed);
        let last = seconds(job.last_duration_ms.unwrap_or(0));
        self.last_seconds.get_or_create(&labels).set(last);
        self.last_failed.get_or_create(&labels).set(i64::from(job.last_error.is_some()));
    }

    fn set_namespace(&self, namespace: &NamespaceStatus) {
        let labels = NamespaceLabels { namespace: namespace.name.clone() };
        self.namespace_series.get_or_create(&labels).set(gauge(namespace.series));
        let samples = self.namespace_samples.get_or_create(&labels);
        samples.inner().store(namespace.samples_written, Ordering::Relaxed);
    }
}
