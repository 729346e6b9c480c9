//! OTLP metrics over gRPC: `opentelemetry.proto.collector.metrics.v1.MetricsService/Export`.
//!
//! A unary call is one framed message each way over HTTP/2, and a status in the trailers; this is
//! all of gRPC that there is here. Source: `PROTOCOL-HTTP2.md` and `compression.md` of gRPC.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::http::otlp::answer::{Code, Status};
use crate::http::otlp::{Form, Problem, receive};
use crate::http::{App, SharedApp};
use crate::ingest::{Encoding, Format};

/// The path of the one method.
pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");

/// Bytes before a message: a flag for compression, and the length.
const FRAME_HEAD_LEN: usize = 5;

/// The longest message of a status; what clients take for all headers is often 8 KiB.
const MESSAGE_BYTES_MAX: usize = 1024;

/// When to come again, in seconds.
const RETRY_SECONDS: u64 = 1;

/// Takes an `ExportMetricsServiceRequest`.
pub(crate) async fn export(State(app): State<SharedApp>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let result = match encoding_of(&headers) {
        Ok(encoding) => {
            receive(&app, &headers, body, Format::Otlp, |body| message_of(body, encoding)).await
        }
        Err(problem) => Err(problem),
    };
    match result {
        Ok(export) => {
            count(&app, Code::Ok);
            succeeded(&export.write(Form::Protobuf))
        }
        Err(problem) => {
            count(&app, problem.code);
            failed(&problem)
        }
    }
}

/// The answer to all other paths.
pub(crate) async fn unknown_method(State(app): State<SharedApp>, request: Request) -> Response {
    count(&app, Code::Unimplemented);
    failed(&unimplemented(format!("no such method: {}", request.uri().path())))
}

/// The answer when a handler panicked.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    // The text is logged there.
    drop(crate::http::error::panicked(panic));
    let text = "internal error: the request handler panicked".to_owned();
    failed(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text))
}

fn count(app: &App, code: Code) {
    app.state.metrics.observe_grpc(code.as_str());
}

fn unimplemented(text: String) -> Problem {
    Problem { code: Code::Unimplemented, ..Problem::new(StatusCode::NOT_IMPLEMENTED, text) }
}

/// The encoding of compressed messages; `None` if there are to be none.
fn encoding_of(headers: &HeaderMap) -> Result<Option<Encoding>, Problem> {
    let Some(value) = headers.get(ENCODING) else { return Ok(None) };
    let name = String::from_utf8_lossy(value.as_bytes());
    match Encoding::named(&name) {
        Some(Encoding::Identity) => Ok(None),
        Some(found @ (Encoding::Gzip | Encoding::Zstd | Encoding::Deflate)) => Ok(Some(found)),
        _ => Err(unimplemented(format!(
            "grpc-encoding {name:?} is not accepted; send gzip, zstd, deflate or identity"
        ))),
    }
}

/// The only message of a body, and how it is compressed.
fn message_of(body: &[u8], encoding: Option<Encoding>) -> Result<(&[u8], Encoding), String> {
    let Some((&[flag, length @ ..], message)) = body.split_first_chunk::<FRAME_HEAD_LEN>() else {
        return Err(format!("a message needs {FRAME_HEAD_LEN} bytes before it"));
    };
    let length = u64::from((&length[..]).get_u32());
    if length != message.len() as u64 {
        let got = message.len();
        return Err(format!("a message of {length} bytes is announced, {got} bytes came"));
    }
    match (flag, encoding) {
        (0, _) => Ok((message, Encoding::Identity)),
        (1, Some(encoding)) => Ok((message, encoding)),
        (1, None) => Err("a compressed message without grpc-encoding".to_owned()),
        _ => Err(format!("a message with flag {flag}, which must be 0 or 1")),
    }
}

fn succeeded(message: &[u8]) -> Response {
    let mut frame = vec![0];
    // Our answers are short.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(0));
    frame.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    respond(Body::new(body))
}

/// A status and nothing else, which is then in the headers.
fn failed(problem: &Problem) -> Response {
    let mut response = respond(Body::empty());
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(problem.code as u16));
    let mut end = problem.text.len().min(MESSAGE_BYTES_MAX);
    while !problem.text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &problem.text[..end];
    if let Ok(value) = HeaderValue::from_str(&percent_encoded(text)) {
        headers.insert(MESSAGE, value);
    }
    if problem.code.is_retryable(problem.status) {
        let status = Status { code: problem.code, message: text };
        let details = STANDARD_NO_PAD.encode(status.with_retry(RETRY_SECONDS));
        if let Ok(value) = HeaderValue::from_str(&details) {
            headers.insert(DETAILS, value);
        }
    }
    response
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, CONTENT);
    headers.insert(ACCEPT_ENCODING, ACCEPTED);
    response
}

/// Printable ASCII stays, all else becomes `%` and two digits.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_one_message() {
        let gzip = Some(Encoding::Gzip);
        assert_eq!(message_of(b"\0\0\0\0\x02ab", gzip), Ok((&b"ab"[..], Encoding::Identity)));
        assert_eq!(message_of(b"\x01\0\0\0\x02ab", gzip), Ok((&b"ab"[..], Encoding::Gzip)));
        assert_eq!(message_of(b"\0\0\0\0\0", None), Ok((&b""[..], Encoding::Identity)));
        for (body, encoding) in [
            (&b""[..], None),
            (b"\0\0\0\0", None),
            (b"\0\0\0\0\x02a", None),
            (b"\0\0\0\0\x02abc", None),
            (b"\0\xff\xff\xff\xffabc", None),
            (b"\x01\0\0\0\x02ab", None),
            (b"\x02\0\0\0\x02ab", gzip),
        ] {
            assert!(message_of(body, encoding).is_err(), "{body:x?}");
        }
    }

    #[test]
    fn messages_are_encoded_for_headers() {
        assert_eq!(percent_encoded("50 % of\n\u{e4}"), "50 %25 of%0A%C3%A4");
        let problem = Problem::new(StatusCode::BAD_REQUEST, "\u{e4}".repeat(MESSAGE_BYTES_MAX));
        let response = failed(&problem);
        assert_eq!(response.headers()[STATUS], "3");
        assert_eq!(response.headers()[MESSAGE].len(), MESSAGE_BYTES_MAX * 3);
        assert!(response.headers().get(DETAILS).is_none());
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy".into());
        assert!(failed(&problem).headers().get(DETAILS).is_some());
    }
}
