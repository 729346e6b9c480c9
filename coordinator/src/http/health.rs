//! Routes for probes and scrapers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use m3rs_core::time::{NS_PER_S, TimestampNs};

use crate::http::SharedApp;
use crate::http::response::plain_json;
use crate::http::time::date_and_time;
use crate::metrics::TextFormat;

/// What was built, for `/api/v1/status/buildinfo` and the metric `m3rs_build_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of m3rs.
    pub version: String,
    /// The commit.
    pub revision: String,
    /// The branch.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When.
    pub build_date: String,
    /// The compiler.
    pub rustc_version: String,
}

/// `GET /health`, as M3 answers it.
pub(crate) async fn m3_health(State(app): State<SharedApp>) -> Response {
    let clock = &app.state.clock;
    let uptime = clock.monotonic();
    let health = serde_json::json!({
        "uptime": format!("{uptime:?}"),
        "now": rfc3339(clock.now()),
    });
    plain_json(StatusCode::OK, &health)
}

/// `GET /-/healthy`: the process answers.
pub(crate) async fn healthy() -> &'static str {
    "m3rs is Healthy.\n"
}

/// `GET /-/ready`, as Prometheus answers it: 200 or 503.
pub(crate) async fn ready_text(State(app): State<SharedApp>) -> Response {
    if app.state.storage.is_ready() {
        "m3rs is Ready.\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response()
    }
}

/// `GET /ready`: what start-up is doing and how far it is; 200 when done, else 503.
pub(crate) async fn ready(State(app): State<SharedApp>) -> Response {
    let status = app.state.storage.status();
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    plain_json(code, &status)
}

/// `GET` or `POST /metrics`.
pub(crate) async fn metrics(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let format = TextFormat::from_accept(accept);
    let text = app.state.metrics.encode(format, &app.state);
    let mut response = text.into_response();
    let content_type = HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A time as RFC 3339 with nanoseconds.
fn rfc3339(time: TimestampNs) -> String {
    let ns = time.0.rem_euclid(NS_PER_S);
    format!("{}.{ns:09}Z", date_and_time(time.0.div_euclid(NS_PER_S)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc3339() {
        for (ns, wanted) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_433_337_718_555_000_000, "2015-06-03T13:21:58.555000000Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(TimestampNs(ns)), wanted);
        }
    }
}
