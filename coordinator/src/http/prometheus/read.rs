//! Remote read: `POST /api/v1/read` and M3's `/api/v1/prom/remote/read`.
//!
//! M3's route takes the same requests, and further a `GET` with a query whose selectors are read;
//! with `format=json` its answer is JSON.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use m3rs_query::source::Cancel;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::body::{BodyLimit, collect};
use crate::http::error::ApiError;
use crate::http::gate::CancelOnDrop;
use crate::http::params::Params;
use crate::http::prometheus::{check_ready, check_text};
use crate::http::response::{streamed_until, whole};
use crate::http::{App, SharedApp};
use crate::ingest::{Encoding, WriteFailure};
use crate::read::{AnswerRest, ErrorType, QueryFailure, SelectorRead};
use crate::remote_read::{
    ChunkStream, JsonAnswer, ReadError, ReadQuery, ReadRequest, ReadRequestError, Reading,
    ResponseType, parse_read_request, samples_answer,
};

/// The content type of streamed chunks.
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// As Prometheus: errors are plain text.
pub(crate) async fn prometheus_read(State(app): State<SharedApp>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answered = match sent_request(&app, &parts.headers, body).await {
        Ok(request) => answer(&app, request, Form::Asked).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(ApiError::into_text_response)
}

/// As M3: errors are JSON, and `GET` with a query is a request as well.
pub(crate) async fn m3_read(State(app): State<SharedApp>, request: Request) -> Response {
    m3_answer(&app, request).await.unwrap_or_else(ApiError::into_response)
}

async fn m3_answer(app: &SharedApp, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let params = url_params(app, &parts).await?;
    let form = match params.get("format") {
        Some("json") => Form::Json,
        _ => Form::Asked,
    };
    let request = match params.get("query").map(str::trim) {
        Some(text) if parts.method == Method::GET && !text.is_empty() => {
            let text = check_text(app, "query", text)?;
            query_request(app, text, (params.time("start")?, params.time("end")?))?
        }
        _ => sent_request(app, &parts.headers, body).await?,
    };
    answer(app, request, form).await
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As the request says.
    Asked,
    /// M3's JSON.
    Json,
}

/// The parameters of the URL; the body is no form.
async fn url_params(app: &App, parts: &Parts) -> Result<Params, ApiError> {
    let mut request = Request::new(axum::body::Body::empty());
    request.uri_mut().clone_from(&parts.uri);
    Params::read(app, request).await
}

/// Reads a request out of a body.
async fn sent_request(
    app: &App,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<ReadRequest, ApiError> {
    let limits = app.state.limits.read;
    let limit = BodyLimit {
        bytes_max: limits.body_bytes_max,
        setting: "read.body_bytes_max",
        timeout: app.state.limits.write.body_timeout,
    };
    let body = collect(headers, body, limit, &app.bodies).await?;
    let parse = |plain: &[u8]| parse_read_request(plain, &limits);
    let parsed = Encoding::Snappy.decode(body.as_slice(), limits.body_bytes_max, parse);
    Ok(parsed.map_err(decode_error)??)
}

fn decode_error(failure: WriteFailure) -> ApiError {
    ApiError::bad_data(match failure {
        WriteFailure::TooLarge { len, limit } => format!(
            "the decompressed body has {len} bytes, the limit is {limit} (read.body_bytes_max)"
        ),
        other => other.to_string(),
    })
}

/// The request that reads what the selectors of a query would.
fn query_request(
    app: &App,
    text: &str,
    (start_ms, end_ms): (i64, i64),
) -> Result<ReadRequest, ApiError> {
    let query = |read: SelectorRead| ReadQuery {
        start_ms: start_ms.saturating_sub(read.range_ms).saturating_sub(read.offset_ms),
        end_ms: end_ms.saturating_sub(read.offset_ms),
        matchers: read.matchers,
        hints: None,
    };
    let reads = app.state.queries.reads(text);
    let reads = reads.map_err(|failure| ApiError::bad_parameter("query", failure.message))?;
    let queries = reads.into_iter().map(query).collect();
    Ok(ReadRequest { queries, ..ReadRequest::default() })
}

async fn answer(app: &SharedApp, request: ReadRequest, form: Form) -> Result<Response, ApiError> {
    let response_type = request.response_type()?;
    check_ready(app)?;
    let permit = permit(app).await?;
    let cancel = Cancel::new();
    let guard = CancelOnDrop(cancel.clone());
    let worker = SharedApp::clone(app);
    let begin = move || {
        let state = &worker.state;
        let metrics = Arc::clone(&state.metrics);
        let reading = Reading::new(
            &*state.sources,
            request.queries,
            state.limits.read,
            cancel,
            metrics,
            permit,
        );
        begin(reading, response_type, form)
    };
    let task = tokio::task::spawn_blocking(begin);
    let begun = task.await;
    let panicked = |_| ApiError::new(ErrorType::Internal, "the remote read panicked; see the log");
    let Begun { first, rest, content_type, encoding } = begun.map_err(panicked)??;
    let mut response = match rest {
        // From here on the body knows whether the client is there.
        Some(rest) => streamed_until(HeaderValue::from_static(content_type), first, rest, guard),
        None => whole(first),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(response)
}

/// An answer whose first part is made, so that errors of the first part have a status.
struct Begun {
    first: Vec<bytes::Bytes>,
    rest: Option<Box<dyn AnswerRest>>,
    content_type: &'static str,
    encoding: Option<&'static str>,
}

fn begin(reading: Reading, kind: ResponseType, form: Form) -> Result<Begun, ReadError> {
    Ok(match (form, kind) {
        (Form::Json, _) => {
            let mut answer = JsonAnswer::new(reading);
            let first = answer.text()?;
            let rest = Some(Box::new(answer) as _);
            Begun { first, rest, content_type: "application/json", encoding: None }
        }
        (Form::Asked, ResponseType::StreamedChunks) => {
            let mut stream = ChunkStream::new(reading);
            let first = stream.frames()?;
            let rest = Some(Box::new(stream) as _);
            Begun { first, rest, content_type: STREAMED, encoding: None }
        }
        (Form::Asked, ResponseType::Samples) => {
            let (first, rest) = (samples_answer(reading)?, None);
            let encoding = Some("snappy");
            Begun { first, rest, content_type: "application/x-protobuf", encoding }
        }
    })
}

/// Waits for a turn as long as a query would.
async fn permit(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let turn = Arc::clone(&app.read_permits).acquire_owned();
    let wait = app.state.limits.query.queue_timeout;
    match tokio::time::timeout(wait, turn).await {
        Ok(permit) => Ok(permit.expect("BUG: the semaphore is never closed")),
        Err(_) => {
            let text = format!(
                "remote read waited {} s for its turn; {} run at a time (read.concurrent_max, \
                 query.queue_timeout)",
                wait.as_secs_f64(),
                app.state.limits.read.concurrent_max
            );
            Err(ApiError::new(ErrorType::Unavailable, text))
        }
    }
}

impl From<ReadRequestError> for ApiError {
    fn from(error: ReadRequestError) -> Self {
        Self::bad_data(error.to_string())
    }
}

impl From<ReadError> for ApiError {
    /// PARITY(prometheus): a regular expression that is none is answered 500 there; it is the
    /// client's mistake, so 400 here.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source { query, error } => {
                use m3rs_query::source::SourceError::TooManySeries;
                let limit = matches!(error, TooManySeries { .. });
                let setting = if limit { " (read.series_max)" } else { "" };
                let QueryFailure { error_type, message } = error.into();
                let error = Self::new(error_type, format!("query {query}: {message}{setting}"));
                if limit { error.with_status(StatusCode::BAD_REQUEST) } else { error }
            }
            ReadError::TooManySamples { .. } | ReadError::TooLarge => {
                Self::bad_data(error.to_string())
            }
        }
    }
}
