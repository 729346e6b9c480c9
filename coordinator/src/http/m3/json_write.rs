//! `POST /api/v1/json/write`.

use axum::extract::{Request, State};
use http::StatusCode;

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::take::{TakeError, take};
use crate::ingest::{Encoding, Format};
use crate::read::ErrorType;

/// Writes one sample. 200 for success, as M3.
pub(crate) async fn write(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let (parts, body) = request.into_parts();
    let mut format = Format::M3Json;
    let outcome =
        take(&app, &parts.headers, body, &mut format, |body| Ok((body, Encoding::Identity)))
            .await?;
    if outcome.refusals.is_empty() {
        return Ok(StatusCode::OK);
    }
    let refused = ApiError::bad_data(outcome.refusals.line());
    Err(match outcome.refusals.may_pass_later() {
        true => refused.with_status(StatusCode::TOO_MANY_REQUESTS),
        false => refused,
    })
}

impl From<TakeError> for ApiError {
    fn from(error: TakeError) -> Self {
        let status = error.status();
        let error_type = match status {
            StatusCode::SERVICE_UNAVAILABLE => ErrorType::Unavailable,
            _ if status.is_server_error() => ErrorType::Internal,
            _ => ErrorType::BadData,
        };
        Self::new(error_type, error.to_string()).with_status(status)
    }
}
