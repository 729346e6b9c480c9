//! Metrics of storage, which are numbers of its status at the time of a scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use m3rs_core::telemetry::invariant;
use m3rs_tsdb::Stage;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::jobs::JobMetrics;
use super::reads::ReadMetrics;
use super::scrub::ScrubMetrics;
use super::{gauge, put};
use crate::http::StorageStatus;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// Handles of the metrics of a [`StorageStatus`].
#[derive(Debug)]
pub(super) struct StorageMetrics {
    ready: Gauge,
    stage: Family<StageLabels, Gauge>,
    progress: Gauge<f64, AtomicU64>,
    series: Gauge,
    samples_written: Counter,
    windows_open: Gauge,
    volumes: Gauge,
    snapshots: Gauge,
    log_bytes: Gauge,
    log_uncovered_bytes: Gauge,
    log_failed: Gauge,
    damage_at_start: Gauge,
    damaged_reads: Counter,
    compactions: Counter,
    compaction_read_bytes: Counter,
    compaction_written_bytes: Counter,
    compactions_skipped: Counter,
    expiry_held: Gauge,
    blocks_opening: Gauge,
    background_failures: Counter,
    invariant_violations: Counter,
    jobs: JobMetrics,
    reads: ReadMetrics,
    scrub: ScrubMetrics,
}

impl StorageMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            jobs: JobMetrics::new(r),
            reads: ReadMetrics::new(r),
            scrub: ScrubMetrics::new(r),
            ready: put(r, "m3rs_storage_ready", "1 if storage serves reads and writes"),
            stage: put(r, "m3rs_storage_start_stage", "1 for the present stage of start-up"),
            progress: put(
                r,
                "m3rs_storage_start_progress_ratio",
                "How far the present stage of start-up is",
            ),
            series: put(r, "m3rs_storage_series", "Series that are known"),
            samples_written: put(
                r,
                "m3rs_storage_samples_written",
                "Samples that storage took since start",
            ),
            windows_open: put(r, "m3rs_storage_windows_open", "Block windows open for writes"),
            volumes: put(r, "m3rs_storage_volumes", "Fileset volumes that are served"),
            snapshots: put(r, "m3rs_storage_snapshots", "Snapshot files that are served"),
            log_bytes: put(r, "m3rs_commitlog_bytes", "Bytes in the log since its last cut"),
            log_uncovered_bytes: put(
                r,
                "m3rs_commitlog_uncovered_bytes",
                "Bytes in the log that no other file holds yet",
            ),
            log_failed: put(r, "m3rs_commitlog_failed", "1 if the log takes no writes"),
            damaged_reads: put(
                r,
                "m3rs_storage_damaged_reads",
                "Blocks that reads had to leave out since start",
            ),
            compactions: put(
                r,
                "m3rs_storage_compactions",
                "Blocks that compaction wrote since start",
            ),
            compaction_read_bytes: put(
                r,
                "m3rs_storage_compaction_read_bytes",
                "Bytes of the files that compaction read since start",
            ),
            compaction_written_bytes: put(
                r,
                "m3rs_storage_compaction_written_bytes",
                "Bytes of the files that compaction wrote since start",
            ),
            compactions_skipped: compactions_skipped(r),
            expiry_held: expiry_held(r),
            blocks_opening: blocks_opening(r),
            background_failures: put(
                r,
                "m3rs_storage_background_failures",
                "Background jobs that failed since start",
            ),
            invariant_violations: put(
                r,
                "m3rs_invariant_violations",
                "Things that cannot happen and did: please report the log line",
            ),
            damage_at_start: put(
                r,
                "m3rs_storage_damage_at_start",
                "Pieces of damage found at start",
            ),
        }
    }

    pub(super) fn set(&self, status: &StorageStatus) {
        let numbers = &status.numbers;
        self.jobs.set(numbers);
        self.reads.set(numbers);
        self.scrub.set(numbers);
        self.ready.set(i64::from(status.ready));
        for stage in Stage::ALL.map(Stage::as_str) {
            let is_present = i64::from(status.stage == stage);
            self.stage.get_or_create(&StageLabels { stage }).set(is_present);
        }
        self.progress.set(status.progress);
        self.expiry_held.set(i64::from(numbers.expiry_held));
        self.blocks_opening.set(i64::try_from(numbers.blocks_opening).unwrap_or(i64::MAX));
        self.log_failed.set(i64::from(numbers.log_failure.is_some()));
        for (metric, number) in [
            (&self.series, numbers.series),
            (&self.windows_open, numbers.windows_open),
            (&self.volumes, numbers.volumes),
            (&self.snapshots, numbers.snapshots),
            (&self.log_bytes, numbers.log_bytes),
            (&self.log_uncovered_bytes, numbers.log_uncovered_bytes),
            (&self.damage_at_start, numbers.damage_at_start),
        ] {
            metric.set(gauge(number));
        }
        for (metric, number) in [
            (&self.samples_written, numbers.samples_written),
            (&self.damaged_reads, numbers.damaged_reads),
            (&self.compactions, numbers.compactions),
            (&self.compaction_read_bytes, numbers.compaction_read_bytes),
            (&self.compaction_written_bytes, numbers.compaction_written_bytes),
            (&self.compactions_skipped, numbers.compactions_skipped),
            (&self.background_failures, numbers.background_failures),
            (&self.invariant_violations, invariant::count()),
        ] {
            // The count is kept elsewhere, and only grows.
            metric.inner().store(number, Ordering::Relaxed);
        }
    }
}

fn compactions_skipped(r: &mut Registry) -> Counter {
    let help = "Compactions that were due since start and not begun, as a limit forbids them";
    put(r, "m3rs_storage_compactions_skipped", help)
}

fn blocks_opening(r: &mut Registry) -> Gauge {
    let help = "Blocks that the start left for later and that are not open yet";
    put(r, "m3rs_storage_blocks_opening", help)
}

fn expiry_held(r: &mut Registry) -> Gauge {
    put(r, "m3rs_storage_expiry_held", "1 while expiry waits for a clock to be trusted")
}
