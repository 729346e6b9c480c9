//! Routes for probes and scrapers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use m3rs_core::time::{NS_PER_S, TimestampNs};

use crate::http::SharedApp;
use crate::http::response::plain_json;
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

/// A time of the years 1970 to 2262 as RFC 3339 with nanoseconds.
fn rfc3339(time: TimestampNs) -> String {
    let seconds = time.0.div_euclid(NS_PER_S);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let ns = time.0.rem_euclid(NS_PER_S);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}

/// The date of the Gregorian calendar that is `days` after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Years that begin in March, in eras of 400 years, put the leap day last.
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
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
