//! Takes the body of a write, whatever its format: permits, limits, durability, metrics.

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use m3rs_core::ErrorKind;
use tokio::sync::SemaphorePermit;

use crate::http::App;
use crate::http::body::{BodyError, BodyLimit, collect};
use crate::ingest::{Encoding, Format, WriteFailure, WriteOutcome};
use crate::write::StoreError;

/// Why nothing of a body was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// As many requests as allowed are at work.
    #[error("{0} write requests are at work, which is the limit (ingest.in_flight_max)")]
    Busy(usize),
    /// The database is opening.
    #[error("storage is not ready")]
    NotReady,
    /// The body did not come, or is too large.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// What the body is wrapped in is wrong.
    #[error("{0}")]
    Frame(String),
    /// It could not be read or stored.
    #[error(transparent)]
    Failure(WriteFailure),
}

impl TakeError {
    /// The status that tells a sender whether to come again, and why not.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Busy(_) | Self::NotReady | Self::Body(BodyError::Full(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Body(BodyError::Timeout(_)) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::TooLarge { .. })
            | Self::Failure(WriteFailure::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Failure(WriteFailure::Store(error)) => status_of(error),
            Self::Body(BodyError::Broken(_)) | Self::Frame(_) | Self::Failure(_) => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

fn status_of(error: &StoreError) -> StatusCode {
    match error.kind {
        ErrorKind::Limit => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Internal | ErrorKind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<StoreError> for TakeError {
    fn from(error: StoreError) -> Self {
        if status_of(&error) == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %error.message, "write not stored");
        } else {
            // The log told once that it takes no writes; a busy sender would tell it each time.
            tracing::debug!(error = %error.message, "write not stored");
        }
        Self::Failure(error.into())
    }
}

impl From<WriteFailure> for TakeError {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Store(error) => error.into(),
            failure => Self::Failure(failure),
        }
    }
}

/// Lets a write begin, if storage is ready and not too many are at work.
///
/// # Errors
/// [`TakeError::Busy`] and [`TakeError::NotReady`].
pub(crate) fn admit(app: &App) -> Result<SemaphorePermit<'_>, TakeError> {
    let permit = app.write_permits.try_acquire().map_err(|_| busy(app))?;
    match app.state.storage.is_ready() {
        true => Ok(permit),
        false => Err(TakeError::NotReady),
    }
}

/// Counts and tells that too many writes are at work.
pub(crate) fn busy(app: &App) -> TakeError {
    // 503, not 429: Prometheus drops what was answered 429 unless told otherwise.
    app.state.metrics.write_overloads.inc();
    TakeError::Busy(app.state.limits.write.in_flight_max)
}

/// Takes `body` and waits until what was taken is durable. `unwrap` finds the message in the body,
/// and how it is compressed.
///
/// # Errors
/// Every kind of [`TakeError`].
pub(crate) async fn take(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    format: &mut Format,
    unwrap: impl FnOnce(&[u8]) -> Result<(&[u8], Encoding), String>,
) -> Result<WriteOutcome, TakeError> {
    // Overload is told before anything is read; but who sends slowly holds no permit.
    drop(admit(app)?);
    let limits = &app.state.limits.write;
    let limit = BodyLimit {
        bytes_max: limits.body_bytes_max,
        setting: "ingest.body_bytes_max",
        timeout: limits.body_timeout,
    };
    let (mut outcome, _permit) = {
        let body = collect(headers, body, limit, &app.bodies).await?;
        let permit = admit(app)?;
        app.state.metrics.write_body_bytes.inc_by(body.as_slice().len() as u64);
        let (message, encoding) = unwrap(body.as_slice()).map_err(TakeError::Frame)?;
        (app.state.writes.receive(message, encoding, format)?, permit)
    };
    if let Some(durable) = outcome.durable.take() {
        durable.await?;
    }
    let samples = outcome.samples_written;
    app.state.metrics.observe_write(samples, &outcome.counts, &outcome.refusals);
    Ok(outcome)
}
