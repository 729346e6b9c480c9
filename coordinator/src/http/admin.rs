//! Routes for operators, and the seam to what they operate.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use m3rs_core::model::Matcher;
use m3rs_core::rng::Random;
use m3rs_core::time::TimestampNs;
use m3rs_tsdb::{InMemory, SeriesStats, Status};

use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::prometheus::{check_ready, matcher_sets};
use crate::http::response::success_json;
use crate::http::{App, SharedApp};
use crate::ingest::DurableFuture;
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

    /// Deletes the samples from `start_ms` to `end_ms`, both included, of all series for which any
    /// of the matcher sets holds. Readers see it when this returns; it is durable when the future
    /// says so. Blocks.
    ///
    /// # Errors
    /// Why it was not done, or not for all of them.
    fn delete(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<DurableFuture, StoreError>;

    /// Gives back the space of what was deleted. Blocks.
    ///
    /// # Errors
    /// Why not all of it is back.
    fn clean_tombstones(&self) -> Result<(), StoreError>;

    /// Makes a backup of that name, with what is in memory or without. Blocks.
    ///
    /// # Errors
    /// Why there is none.
    fn backup(&self, name: &str, in_memory: InMemory) -> Result<(), StoreError>;

    /// Counts series; lists of names have at most `top` entries. Blocks.
    ///
    /// # Errors
    /// Why they cannot be counted.
    fn series_stats(&self, top: usize) -> Result<SeriesStats, StoreError>;
}

/// `POST /api/v1/admin/tsdb/flush`: answers when the flush is done.
pub(crate) async fn flush(State(app): State<SharedApp>) -> Result<Response, ApiError> {
    let report = operate(&app, |storage| storage.flush()).await?;
    Ok(success_json(&report, &[]))
}

/// `POST` or `PUT /api/v1/admin/tsdb/delete_series`: answers when the deletion is durable.
pub(crate) async fn delete_series(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    check_enabled(&app)?;
    let params = Params::read(&app, request).await?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (start_ms, end_ms) = (params.time_or("start", i64::MIN)?, params.time_or("end", i64::MAX)?);
    let sets = matcher_sets(&app, &params, |why| ApiError::bad_parameter("match[]", why))?;
    check_ready(&app)?;
    let deleted = operate(&app, move |storage| storage.delete(&sets, start_ms, end_ms)).await?;
    deleted.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST` or `PUT /api/v1/admin/tsdb/clean_tombstones`: answers when the space is back.
pub(crate) async fn clean_tombstones(State(app): State<SharedApp>) -> Result<Response, ApiError> {
    check_enabled(&app)?;
    check_ready(&app)?;
    operate(&app, |storage| storage.clean_tombstones()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST` or `PUT /api/v1/admin/tsdb/snapshot`: answers with the name of a backup that is durable.
pub(crate) async fn snapshot(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    check_enabled(&app)?;
    let params = Params::read(&app, request).await?;
    let in_memory = match params.get("skip_head") {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => InMemory::LeftOut,
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => InMemory::Flushed,
        Some(other) => {
            let why = format!("unable to parse boolean: {other:?}");
            return Err(ApiError::bad_parameter("skip_head", why));
        }
    };
    check_ready(&app)?;
    let name = backup_name(app.state.clock.now());
    let made = name.clone();
    operate(&app, move |storage| storage.backup(&made, in_memory)).await?;
    Ok(success_json(&serde_json::json!({ "name": name }), &[]))
}

/// PARITY(prometheus): the time in UTC and a random number.
fn backup_name(now: TimestampNs) -> String {
    let now = Timestamp::from_nanosecond(i128::from(now.0)).unwrap_or_default();
    let random = Random::from_machine().next_u64() >> 1;
    format!("{}-{random:016x}", now.strftime("%Y%m%dT%H%M%SZ"))
}

/// PARITY(prometheus): its text, whose class has the status of that class here.
fn check_enabled(app: &App) -> Result<(), ApiError> {
    match app.state.admin_api {
        true => Ok(()),
        false => Err(ApiError::new(
            ErrorType::Unavailable,
            "admin APIs disabled: start with --enable-admin-api, or listen on a loopback address",
        )),
    }
}

/// Does work that is not cancelled when the client leaves: half of it helps nobody.
async fn operate<T: Send + 'static>(
    app: &SharedApp,
    work: impl FnOnce(&dyn StorageControl) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let worker = SharedApp::clone(app);
    let task = tokio::task::spawn_blocking(move || work(&*worker.state.storage));
    let done = task.await.map_err(|_| {
        ApiError::new(ErrorType::Internal, "the work panicked, which is a bug; see the log")
    })?;
    Ok(done?)
}
