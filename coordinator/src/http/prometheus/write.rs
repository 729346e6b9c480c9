//! Remote Write 1.0 and 2.0: `POST /api/v1/write` and M3's `POST /api/v1/prom/remote/write`.
//!
//! The content type tells which. An answer to 2.0 says in headers how much was written.
//!
//! Budget: everything but decompression, walk and storage <= 25 ns/sample at 2,000 per request.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::http::body::BodyError;
use crate::http::error::RETRY_AFTER_SECONDS;
use crate::http::middleware::FailureText;
use crate::http::take::{TakeError, take};
use crate::http::{App, SharedApp};
use crate::ingest::{Encoding, Format, Refusals, WriteFailure};
use crate::write::StoreError;

/// Why a write was not done, or not in full. The body is plain text, as senders log it.
pub(crate) struct WriteProblem {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// What happened, for people.
    pub(crate) text: String,
    /// Whether the connection cannot go on, as a part of the body was left unread.
    closes: bool,
}

impl WriteProblem {
    /// A problem after which the connection can go on.
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), closes: false }
    }

    /// The same problem, after which the rest of the body is not read.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The answer with `body`, and the headers that say what to do.
    pub(crate) fn respond(self, body: impl IntoResponse) -> Response {
        let come_again =
            matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let failure = self.status.is_server_error().then(|| FailureText(self.text.clone()));
        let mut response = (self.status, body).into_response();
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        if come_again {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if self.closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl IntoResponse for WriteProblem {
    fn into_response(self) -> Response {
        let mut text = self.text.clone();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.respond(text)
    }
}

/// As Prometheus: 204 for success.
pub(crate) async fn prometheus_write(State(app): State<SharedApp>, request: Request) -> Response {
    answer(&app, request, StatusCode::NO_CONTENT).await
}

/// As M3: 200 for success.
pub(crate) async fn m3_write(State(app): State<SharedApp>, request: Request) -> Response {
    answer(&app, request, StatusCode::OK).await
}

/// What was written of a request.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

const SAMPLES_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

async fn answer(app: &App, request: Request<Body>, success: StatusCode) -> Response {
    let (mut format, encoding) = match format_of(request.headers()) {
        Ok(found) => found,
        Err(problem) => return problem.into_response(),
    };
    let mut written = Written::default();
    let mut response = match write(app, request, encoding, &mut format, &mut written).await {
        Ok(()) => success.into_response(),
        Err(problem) => problem.into_response(),
    };
    if matches!(format, Format::RemoteWrite2) {
        let headers = response.headers_mut();
        headers.insert(SAMPLES_WRITTEN, written.samples.into());
        headers.insert(HISTOGRAMS_WRITTEN, written.histograms.into());
        headers.insert(EXEMPLARS_WRITTEN, written.exemplars.into());
    }
    response
}

async fn write(
    app: &App,
    request: Request<Body>,
    encoding: Encoding,
    format: &mut Format,
    written: &mut Written,
) -> Result<(), WriteProblem> {
    let (parts, body) = request.into_parts();
    let outcome = take(app, &parts.headers, body, format, |body| Ok((body, encoding))).await?;
    let samples = outcome.samples_written;
    let (histograms, exemplars) = (outcome.histograms_written, outcome.exemplars_written);
    *written = Written { samples, histograms, exemplars };
    if outcome.refusals.is_empty() {
        return Ok(());
    }
    Err(refused(&outcome.refusals))
}

/// The answer to a request of which something was refused.
pub(crate) fn refused(refusals: &Refusals) -> WriteProblem {
    // Bad samples are refused again when the others come again.
    let status = match refusals.may_pass_later() {
        true => StatusCode::TOO_MANY_REQUESTS,
        false => StatusCode::BAD_REQUEST,
    };
    WriteProblem::new(status, refusals.to_string())
}

/// Which message a request says that it holds, and how it is compressed.
///
/// PARITY(prometheus): an absent content type or encoding is taken for 1.0 with snappy. zstd is
/// what VictoriaMetrics's agents send until it is refused.
fn format_of(headers: &HeaderMap) -> Result<(Format, Encoding), WriteProblem> {
    let text = |name| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let content_type = text(CONTENT_TYPE).unwrap_or("application/x-protobuf".into());
    let Some(format) = format_named(&content_type) else {
        let why = format!(
            "content type {content_type:?} is not accepted; send application/x-protobuf, \
             perhaps with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
        );
        return Err(WriteProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    };
    let encoding = text(CONTENT_ENCODING).unwrap_or("snappy".into());
    match Encoding::named(&encoding) {
        Some(found @ (Encoding::Snappy | Encoding::Zstd)) => Ok((format, found)),
        _ => {
            let why = format!("content encoding {encoding:?} is not accepted; send snappy or zstd");
            Err(WriteProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
        }
    }
}

/// The message of a content type; `None` if it is none of ours.
fn format_named(content_type: &str) -> Option<Format> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.eq_ignore_ascii_case("application/x-protobuf") {
        return None;
    }
    let mut format = Format::RemoteWrite;
    for (name, value) in parts.filter_map(|p| p.split_once('=')) {
        if name.trim().eq_ignore_ascii_case("proto") {
            format = match value.trim().trim_matches('"') {
                "prometheus.WriteRequest" => Format::RemoteWrite,
                "io.prometheus.write.v2.Request" => Format::RemoteWrite2,
                _ => return None,
            };
        }
    }
    Some(format)
}

impl From<TakeError> for WriteProblem {
    /// A sender repeats what it got a 5xx for, and that is what it should do here.
    fn from(error: TakeError) -> Self {
        let status = match error.status() {
            // PARITY(prometheus): one status for all that is wrong with a body.
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::BAD_REQUEST,
            status => status,
        };
        let problem = Self::new(status, error.to_string());
        if matches!(error, TakeError::Body(_)) { problem.closing() } else { problem }
    }
}

impl From<BodyError> for WriteProblem {
    fn from(error: BodyError) -> Self {
        TakeError::from(error).into()
    }
}

impl From<WriteFailure> for WriteProblem {
    fn from(failure: WriteFailure) -> Self {
        TakeError::from(failure).into()
    }
}

impl From<StoreError> for WriteProblem {
    fn from(error: StoreError) -> Self {
        TakeError::from(error).into()
    }
}
