//! OTLP metrics over HTTP, `POST /v1/metrics` and Prometheus's `POST /api/v1/otlp/v1/metrics`; over
//! gRPC in [`grpc`].
//!
//! Answers are those of the OTLP specification 1.9: 200 also for a request of which a part was
//! refused, with what and why; for a request of which nothing was written, a `google.rpc.Status` in
//! the form of the request.

mod answer;
pub(crate) mod grpc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::http::error::RETRY_AFTER_SECONDS;
use crate::http::otlp::answer::{Code, Export, Status};
use crate::http::take::{TakeError, take};
use crate::http::{App, SharedApp};
use crate::ingest::{Encoding, Format};

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// The form that the content type says; parameters do not matter.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = text.split(';').next().unwrap_or_default().trim();
        [("application/x-protobuf", Self::Protobuf), ("application/json", Self::Json)]
            .into_iter()
            .find(|(name, _)| essence.eq_ignore_ascii_case(name))
            .map(|(_, form)| form)
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }

    fn format(self) -> Format {
        match self {
            Self::Protobuf => Format::Otlp,
            Self::Json => Format::OtlpJson,
        }
    }
}

/// Takes an `ExportMetricsServiceRequest`.
pub(crate) async fn export(State(app): State<SharedApp>, request: Request) -> Response {
    let Some(form) = Form::of(request.headers()) else {
        let text =
            "unsupported content type, supported: application/json, application/x-protobuf\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    };
    match answer(&app, request, form).await {
        Ok(export) => respond(StatusCode::OK, form, export.write(form)),
        Err(problem) => {
            let status = problem.status;
            let mut response = respond(status, form, problem.rpc_status().write(form));
            let headers = response.headers_mut();
            if problem.code.is_retryable(status) {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            if problem.closes {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

fn respond(status: StatusCode, form: Form, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, form.content_type());
    response
}

/// Why nothing, or not all that may be taken later, was written.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    code: Code,
    text: String,
    closes: bool,
}

impl Problem {
    fn new(status: StatusCode, text: String) -> Self {
        Self { status, code: Code::of(status), text, closes: false }
    }

    fn rpc_status(&self) -> Status<'_> {
        Status { code: self.code, message: &self.text }
    }
}

impl From<TakeError> for Problem {
    fn from(error: TakeError) -> Self {
        let closes = matches!(error, TakeError::Body(_));
        Self { closes, ..Self::new(error.status(), error.to_string()) }
    }
}

async fn answer(app: &App, request: Request<Body>, form: Form) -> Result<Export, Problem> {
    let (parts, body) = request.into_parts();
    let encoding = encoding_of(&parts.headers)?;
    receive(app, &parts.headers, body, form.format(), |body| Ok((body, encoding))).await
}

/// Takes a message in any wrapping.
async fn receive(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    mut format: Format,
    unwrap: impl FnOnce(&[u8]) -> Result<(&[u8], Encoding), String>,
) -> Result<Export, Problem> {
    let outcome = take(app, headers, body, &mut format, unwrap).await?;
    let export = Export::of(&outcome);
    if outcome.refusals.may_pass_later() {
        // What was written is written again to no harm, and the rest may be taken then.
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, export.message));
    }
    Ok(export)
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let text = headers.get(CONTENT_ENCODING).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let text = text.unwrap_or_default();
    Encoding::named(&text).ok_or_else(|| {
        let why = format!(
            "content encoding {text:?} is not accepted; send gzip, zstd, deflate, snappy or none"
        );
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    })
}
