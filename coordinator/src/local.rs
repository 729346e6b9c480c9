//! The database of this process, as the edge sees it: there from the start, open a little later.
//!
//! The server listens before the database is open, so that probes can watch start-up. Until then
//! reads and writes are told to come again.

use std::sync::{Arc, OnceLock};

use m3rs_core::ErrorKind;
use m3rs_core::model::{Matcher, Metadata};
use m3rs_core::time::{NS_PER_MS, TimestampMs, TimestampNs};
use m3rs_tsdb::{Database, InMemory, Namespace, Progress, SeriesStats, Stage, TsdbError};

use crate::http::{StorageControl, StorageStatus};
use crate::ingest::{DurableFuture, MetadataSource};
use crate::write::StoreError;

/// One namespace of a database that may still be opening. It is looked up for each request, as it
/// may be removed or replaced.
#[derive(Debug)]
pub struct LocalStorage {
    progress: Arc<Progress>,
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    database: Arc<Database>,
    namespace: String,
}

/// Why [`LocalStorage::open`] did not take a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no such namespace.
    #[error("the database has no namespace {0:?}")]
    NoNamespace(String),
    /// It has one already.
    #[error("BUG: the database was given twice")]
    Twice,
}

impl LocalStorage {
    /// Storage whose database is being opened; `progress` is the opener's.
    #[must_use]
    pub fn new(progress: Arc<Progress>) -> Self {
        Self { progress, opened: OnceLock::new() }
    }

    /// Serves the namespace `name` of `database` from now on.
    ///
    /// # Errors
    /// Every kind of [`OpenError`].
    pub fn open(&self, database: Arc<Database>, name: &str) -> Result<(), OpenError> {
        if database.namespace(name).is_none() {
            return Err(OpenError::NoNamespace(name.to_owned()));
        }
        let namespace = name.to_owned();
        self.opened.set(Opened { database, namespace }).map_err(|_| OpenError::Twice)
    }

    /// The database, once it is open.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] before that.
    pub fn database(&self) -> Result<Arc<Database>, StoreError> {
        let opened = self.opened.get().ok_or_else(|| self.not_open())?;
        Ok(Arc::clone(&opened.database))
    }

    /// The namespace as it is now, once the database is open.
    pub(crate) fn namespace(&self) -> Result<Arc<Namespace>, StoreError> {
        let opened = self.opened.get().ok_or_else(|| self.not_open())?;
        opened.database.namespace(&opened.namespace).ok_or_else(|| {
            let message = format!("the namespace {:?} was removed", opened.namespace);
            StoreError { kind: ErrorKind::NotFound, message }
        })
    }

    fn not_open(&self) -> StoreError {
        let stage = self.progress.stage().as_str();
        StoreError::unavailable(format!("the database is not open yet: {stage}"))
    }
}

impl MetadataSource for LocalStorage {
    /// Nothing before the database is open.
    fn list(
        &self,
        family: Option<&str>,
        families_max: usize,
        entries_max: usize,
    ) -> Vec<(String, Vec<Metadata>)> {
        let namespace = self.namespace();
        namespace.map_or_else(
            |_| Vec::new(),
            |namespace| namespace.metadata().list(family, families_max, entries_max),
        )
    }

    fn families(&self) -> usize {
        self.namespace().map_or(0, |namespace| namespace.metadata().families())
    }
}

impl StorageControl for LocalStorage {
    fn is_ready(&self) -> bool {
        self.progress.stage() == Stage::Ready && self.opened.get().is_some()
    }

    fn status(&self) -> StorageStatus {
        let ready = self.is_ready();
        let (stage, progress) = self.progress.stage_and_ratio();
        let stage = stage.as_str().to_owned();
        let start = StorageStatus { ready, stage, progress, ..StorageStatus::default() };
        let Some(opened) = self.opened.get() else { return start };
        StorageStatus { numbers: opened.database.status(), ..start }
    }

    fn flush(&self) -> Result<serde_json::Value, StoreError> {
        let opened = self.opened.get().ok_or_else(|| self.not_open())?;
        let report = opened.database.flush_all()?;
        Ok(serde_json::json!({
            "volumes": report.volumes,
            "seriesBlocks": report.series_blocks,
            "segmentsRemoved": report.segments_removed,
        }))
    }

    fn delete(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<DurableFuture, StoreError> {
        let (start, end) = (TimestampMs(start_ms).to_ns(), TimestampMs(end_ms).to_ns());
        // A millisecond has more than its first nanosecond.
        let end = TimestampNs(end.0.saturating_add(NS_PER_MS - 1));
        let deleted = self.namespace()?.delete(matcher_sets, start, end)?;
        tracing::info!(series = deleted.series, start_ms, end_ms, "samples deleted");
        Ok(Box::pin(async move { Ok(deleted.commit.durable().await?) }))
    }

    fn clean_tombstones(&self) -> Result<(), StoreError> {
        let opened = self.opened.get().ok_or_else(|| self.not_open())?;
        opened.database.flush_all()?;
        opened.database.compact()?;
        Ok(())
    }

    fn backup(&self, name: &str, in_memory: InMemory) -> Result<(), StoreError> {
        let opened = self.opened.get().ok_or_else(|| self.not_open())?;
        let path = opened.database.backup(name, in_memory)?;
        tracing::info!(path = %path.display(), "backup made");
        Ok(())
    }

    fn series_stats(&self, top: usize) -> Result<SeriesStats, StoreError> {
        Ok(self.namespace()?.series_stats(top)?)
    }
}

impl From<TsdbError> for StoreError {
    /// A full disk or an open log that fails may be mended; damage will not mend itself.
    fn from(error: TsdbError) -> Self {
        let kind = match error.kind() {
            // A limit of the database is a matter of its load, which passes, or of its settings.
            ErrorKind::Limit => ErrorKind::Unavailable,
            kind => kind,
        };
        Self { kind, message: error.to_string() }
    }
}
