//! Errors of the API as responses: `{"status":"error","errorType":…,"error":…}`.

use std::any::Any;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode, Uri};
use m3rs_query::render::{Escaping, write_text};

use crate::http::middleware::FailureText;
use crate::read::{ErrorType, QueryFailure};
use crate::write::StoreError;

/// Seconds after which an overloaded server may be asked again.
pub(crate) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An error with its class and status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error_type: ErrorType,
    message: String,
}

impl ApiError {
    /// An error with the status of its class.
    pub(crate) fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { status: status_of(error_type), error_type, message: message.into() }
    }

    /// The request is wrong.
    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }

    /// The value of `parameter` is wrong.
    pub(crate) fn bad_parameter(parameter: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {parameter:?}: {why}"))
    }

    /// What happened, for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The error as plain text, for routes that are no part of the JSON API.
    pub(crate) fn into_text_response(self) -> Response {
        let text = format!("{}\n", self.message);
        let mut response = self.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        *response.body_mut() = Body::from(text);
        response
    }

    /// PARITY(prometheus): the order of its members.
    fn body(&self) -> Vec<u8> {
        let mut body = b"{\"status\":\"error\",\"errorType\":\"".to_vec();
        body.extend_from_slice(self.error_type.as_str().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        write_text(&mut body, &self.message, Escaping::Html);
        body.push(b'}');
        body
    }

    /// The same error with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// PARITY(prometheus): `unavailable` is 500 there for want of a case; it is 503 here, which tells
/// clients to come again.
fn status_of(error_type: ErrorType) -> StatusCode {
    match error_type {
        ErrorType::BadData => StatusCode::BAD_REQUEST,
        ErrorType::Execution => StatusCode::UNPROCESSABLE_ENTITY,
        // nginx's "client closed request"; no client reads it, but logs and metrics do.
        ErrorType::Canceled => StatusCode::from_u16(499).expect("BUG: 499 is a status"),
        ErrorType::Timeout | ErrorType::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorType::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorType::NotFound => StatusCode::NOT_FOUND,
    }
}

impl From<QueryFailure> for ApiError {
    fn from(failure: QueryFailure) -> Self {
        Self::new(failure.error_type, failure.message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::new(error.kind.into(), error.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        if self.status.is_server_error() {
            response.extensions_mut().insert(FailureText(self.message));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.error_type == ErrorType::Unavailable {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // A part of the body was left unread, so the connection cannot go on.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The answer to a path that no route has.
pub(crate) async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::new(ErrorType::NotFound, format!("no such route: {}", uri.path()))
}

/// The answer to a method that the route does not have; the `Allow` header is the router's.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::bad_data(format!("method {method} is not allowed for {}", uri.path()))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// The answer when a handler panicked. The text of a panic is for the log only.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    tracing::error!(panic = text, "request handler panicked");
    ApiError::new(ErrorType::Internal, "internal error: the request handler panicked")
        .into_response()
}
