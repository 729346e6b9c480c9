//! VictoriaMetrics's routes for data in lines: `/api/v1/import`, `/api/v1/import/csv` and
//! `/api/v1/import/prometheus`.
//!
//! A bad line is refused with its number and 400, where VictoriaMetrics answers 204 and logs it.

mod grouping;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use m3rs_core::time::TimestampMs;

use crate::http::error::ApiError;
use crate::http::lines::take_lines;
use crate::http::params::{Params, parse_int};
use crate::http::prometheus::write::{WriteProblem, refused};
use crate::http::{App, SharedApp};
use crate::ingest::{Csv, Exposition, ExpositionFormat, JsonLines, LineContext, LineFormat, Lines};
use grouping::grouping_labels;

/// `POST /api/v1/import`: JSON lines.
pub(crate) async fn json(State(app): State<SharedApp>, request: Request) -> Response {
    import(&app, request, |_, _| Ok(LineFormat::Json(JsonLines::default()))).await
}

/// `POST /api/v1/import/csv`.
pub(crate) async fn csv(State(app): State<SharedApp>, request: Request) -> Response {
    import(&app, request, |_, params| {
        let format = params.get("format").unwrap_or_default();
        Csv::new(format).map(LineFormat::Csv).map_err(|e| bad_request("format", e))
    })
    .await
}

/// `POST /api/v1/import/prometheus`: the text format or OpenMetrics.
pub(crate) async fn prometheus(State(app): State<SharedApp>, request: Request) -> Response {
    import(&app, request, exposition).await
}

/// `POST` and `PUT /api/v1/import/prometheus/metrics/job/…`: as a Pushgateway takes it.
pub(crate) async fn pushgateway(State(app): State<SharedApp>, request: Request) -> Response {
    let response = import(&app, request, exposition).await;
    match response.status() {
        // PARITY(victoriametrics): clients of the Pushgateway want 200.
        StatusCode::NO_CONTENT => StatusCode::OK.into_response(),
        _ => response,
    }
}

fn exposition(headers: &HeaderMap, _: &Params) -> Result<LineFormat, WriteProblem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let format = match essence.eq_ignore_ascii_case("application/openmetrics-text") {
        true => ExpositionFormat::OpenMetrics,
        false => ExpositionFormat::Text,
    };
    Ok(LineFormat::Exposition(Exposition::new(format)))
}

async fn import(
    app: &App,
    request: Request,
    format: fn(&HeaderMap, &Params) -> Result<LineFormat, WriteProblem>,
) -> Response {
    let (parts, body) = request.into_parts();
    let lines = Params::of_url(&parts).map_err(WriteProblem::from).and_then(|params| {
        let format = format(&parts.headers, &params)?;
        Ok(Lines::new(format, line_context(app, &parts, &params)?))
    });
    let taken = match lines {
        Ok(lines) => take_lines(app, &parts.headers, body, lines).await,
        Err(problem) => Err(problem.closing()),
    };
    match taken {
        Ok(refusals) if refusals.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(refusals) => refused(&refusals).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// What the URL says about all lines: `extra_label`, `timestamp`, and labels of the path.
pub(crate) fn line_context(
    app: &App,
    parts: &Parts,
    params: &Params,
) -> Result<LineContext, WriteProblem> {
    let mut labels = grouping_labels(parts.uri.path())
        .map_err(|why| WriteProblem::new(StatusCode::BAD_REQUEST, why))?;
    for extra in params.all("extra_label") {
        let (name, value) = extra
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| bad_request("extra_label", format!("{extra:?} is not name=value")))?;
        // The last one of a name counts.
        labels.retain(|(other, _)| other != name);
        labels.push((name.to_owned(), value.to_owned()));
    }
    let now = match params.get("timestamp") {
        None => app.state.clock.now(),
        Some(text) => {
            TimestampMs(parse_int(text).map_err(|why| bad_request("timestamp", why))?).to_ns()
        }
    };
    Ok(LineContext { now, labels })
}

/// A parameter of the URL that is wrong.
pub(crate) fn bad_request(name: &str, why: impl std::fmt::Display) -> WriteProblem {
    WriteProblem::new(StatusCode::BAD_REQUEST, format!("invalid parameter {name:?}: {why}"))
}

impl From<ApiError> for WriteProblem {
    fn from(error: ApiError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.message())
    }
}
