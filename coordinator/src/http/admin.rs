//! Routes for operators, and the seam to what they operate.

use axum::extract::State;
use axum::response::Response;
use m3rs_tsdb::{SeriesStats, Status};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::response::success_json;
use crate::read::ErrorType;
use crate::write::StoreError;

/// How storage is.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct StorageStatus {
    /// Whether reads and writes are served.
    pub ready: bool,
    /// What start-up is doing, or `ready`.
    pub stage: String,
    /// How far that stage is, from 0 to 1.
    pub progress: f64,
    /// Numbers about the database, once it is open.
    #[serde(flatten)]
    pub numbers: Status,
}

/// What operators and probes ask of storage.
pub trait StorageControl: Send + Sync {
    /// Whether reads and writes are served. Asked once per request: must be cheap.
    fn is_ready(&self) -> bool;

    /// How storage is. Does not block for long.
    fn status(&self) -> StorageStatus;

    /// Writes all buffered samples to files and returns a report when they are durable. Blocks.
    ///
    /// # Errors
    /// Why not all of them are.
    fn flush(&self) -> Result<serde_json::Value, StoreError>;

    /// Counts series; lists of names have at most `top` entries. Blocks.
    ///
    /// # Errors
    /// Why they cannot be counted.
    fn series_stats(&self, top: usize) -> Result<SeriesStats, StoreError>;
}

/// `POST /api/v1/admin/tsdb/flush`: answers when the flush is done.
pub(crate) async fn flush(State(app): State<SharedApp>) -> Result<Response, ApiError> {
    let worker = SharedApp::clone(&app);
    // Not cancelled when the client leaves: half a flush helps nobody.
    let task = tokio::task::spawn_blocking(move || worker.state.storage.flush());
    let report = task
        .await
        .map_err(|_| ApiError::new(ErrorType::Internal, "the flush panicked; see the log"))??;
    Ok(success_json(&report, &[]))
}
