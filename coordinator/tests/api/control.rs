//! A fake of what operators and probes ask of storage.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use m3rs_coordinator::http::{StorageControl, StorageStatus};
use m3rs_coordinator::ingest::DurableFuture;
use m3rs_coordinator::write::StoreError;
use m3rs_core::ErrorKind;
use m3rs_core::model::Matcher;
use m3rs_tsdb::{BlockSeries, Cardinality, Count, InMemory, SeriesStats, Status};
use parking_lot::Mutex;

/// Ready unless told otherwise.
#[derive(Debug)]
pub(crate) struct FakeControl {
    pub(crate) ready: AtomicBool,
    pub(crate) fail_flush: AtomicBool,
    /// Matcher sets, first and last millisecond of each deletion.
    pub(crate) deleted: Mutex<Vec<(Vec<String>, i64, i64)>>,
    pub(crate) cleaned: AtomicUsize,
    pub(crate) backups: Mutex<Vec<(String, InMemory)>>,
}

impl Default for FakeControl {
    fn default() -> Self {
        Self {
            ready: AtomicBool::new(true),
            fail_flush: AtomicBool::new(false),
            deleted: Mutex::default(),
            cleaned: AtomicUsize::new(0),
            backups: Mutex::default(),
        }
    }
}

impl StorageControl for FakeControl {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn status(&self) -> StorageStatus {
        let ready = self.is_ready();
        StorageStatus {
            ready,
            stage: if ready { "ready" } else { "commitlog" }.to_owned(),
            progress: if ready { 1.0 } else { 0.25 },
            numbers: Status { series: 42, windows_open: 3, ..Status::default() },
        }
    }

    fn flush(&self) -> Result<serde_json::Value, StoreError> {
        if self.fail_flush.load(Ordering::Relaxed) {
            return Err(StoreError { kind: ErrorKind::Internal, message: "disk is gone".into() });
        }
        Ok(serde_json::json!({ "volumes": 2 }))
    }

    fn delete(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<DurableFuture, StoreError> {
        let texts = matcher_sets.iter().map(|set| format!("{set:?}")).collect();
        self.deleted.lock().push((texts, start_ms, end_ms));
        Ok(Box::pin(async { Ok(()) }))
    }

    fn clean_tombstones(&self) -> Result<(), StoreError> {
        self.cleaned.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn backup(&self, name: &str, in_memory: InMemory) -> Result<(), StoreError> {
        self.backups.lock().push((name.to_owned(), in_memory));
        Ok(())
    }

    fn series_stats(&self, top: usize) -> Result<SeriesStats, StoreError> {
        let count = |name: &str, count| Count { name: name.to_owned(), count };
        let cardinality = Cardinality {
            label_pairs: 5,
            series_by_metric: vec![count("up", 2), count("down", 1)]
                .into_iter()
                .take(top)
                .collect(),
            values_by_label: vec![count("job", 3)],
            bytes_by_label: vec![count("job", 30)],
            series_by_pair: vec![count("job=a", 2)],
            ..Cardinality::default()
        };
        let blocks = vec![BlockSeries { start_ns: 0, end_ns: 7_200_000_000_000, series: 3 }];
        let buffered_ns = Some((0, 7_199_999_999_999));
        Ok(SeriesStats { series: 3, buffered: 4, buffered_ns, cardinality, blocks })
    }
}
