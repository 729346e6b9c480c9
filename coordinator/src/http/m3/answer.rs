//! Answers of the admin API.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use m3rs_cluster::Error;
use m3rs_cluster::json::{self, Defaults};
use m3rs_query::render::{Escaping, write_text};
use prost::{Message, Name};

use crate::http::error::ApiError;
use crate::http::middleware::FailureText;

/// An error in M3's form, `{"status":"error","error":...}`, or one of the server's own.
#[derive(Debug)]
pub(super) enum AdminError {
    M3 { status: StatusCode, text: String },
    Own(ApiError),
}

impl AdminError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self::M3 { status, text: text.into() }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// The same error; what is there already is a failure.
    pub(super) fn conflict_as_failure(self) -> Self {
        match self {
            Self::M3 { status: StatusCode::CONFLICT, text } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
            other => other,
        }
    }

    /// The same error with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        match self {
            Self::M3 { text, .. } => Self::M3 { status, text },
            own => own,
        }
    }
}

impl From<Error> for AdminError {
    fn from(error: Error) -> Self {
        Self::new(status_of(&error), error.to_string())
    }
}

impl From<ApiError> for AdminError {
    fn from(error: ApiError) -> Self {
        Self::Own(error)
    }
}

/// PARITY(m3): only requests that are wrong in themselves are 400; what the state does not allow
/// is 500, and so is a key that is not there.
fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Json(_) | Error::Invalid(_) | Error::Limit { .. } => StatusCode::BAD_REQUEST,
        Error::Placement(error) if error.is_invalid() => StatusCode::BAD_REQUEST,
        Error::Missing(_) => StatusCode::NOT_FOUND,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Within { source, .. } => status_of(source),
        Error::AlreadyExists
        | Error::VersionMismatch
        | Error::NotFound
        | Error::UnknownZone(_)
        | Error::Placement(_)
        | Error::Refused(_)
        | Error::DamagedValue { .. }
        | Error::Corrupt { .. }
        | Error::Io { .. }
        | Error::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::M3 { status, text } => (status, text),
            Self::Own(error) => return error.into_response(),
        };
        let mut body = br#"{"status":"error","error":"#.to_vec();
        write_text(&mut body, &text, Escaping::Html);
        body.extend_from_slice(b"}\n");
        let mut response = answer(status, JSON, body);
        if status.is_server_error() {
            response.extensions_mut().insert(FailureText(text));
        }
        response
    }
}

const JSON: &str = "application/json";

/// A message, with the defaults of what it does not say.
pub(super) fn message<M: Message + Name>(message: &M) -> Response {
    answer(StatusCode::OK, JSON, json::write(message, Defaults::Written).into_bytes())
}

/// A text of JSON.
pub(super) fn json(text: String) -> Response {
    answer(StatusCode::OK, JSON, text.into_bytes())
}

/// PARITY(m3): this answer has no content type of its own there.
pub(super) fn deleted() -> Response {
    answer(StatusCode::OK, "text/plain; charset=utf-8", b"{\"deleted\":true}\n".to_vec())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
