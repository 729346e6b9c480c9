//! `/query_exemplars`: exemplars of the series that a query reads.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use m3rs_core::model::Labels;
use m3rs_query::number::{write_float, write_time};
use m3rs_query::render::{Escaping, write_text};
use m3rs_query::source::{SourceError, TimeRange};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::gate::Turn;
use crate::http::params::Params;
use crate::http::prometheus::{check_ready, check_text};
use crate::http::response::success;
use crate::http::time::{MAX_TIME_MS, MIN_TIME_MS};
use crate::queries::Stop;
use crate::read::{ErrorType, ExemplarPoint, ExemplarRequest, FoundExemplars, QueryFailure};

/// `GET` or `POST /api/v1/query_exemplars`.
pub(crate) async fn query(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let start_ms = params.time_or("start", MIN_TIME_MS)?;
    let end_ms = params.time_or("end", MAX_TIME_MS)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let text = check_text(&app, "query", params.get("query").unwrap_or_default())?;
    let matcher_sets = app.state.queries.selectors(text)?;
    if matcher_sets.is_empty() {
        // PARITY(prometheus): a query that selects nothing has no answer.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    check_ready(&app)?;
    let range = TimeRange { start_ms, end_ms };
    let limits = app.state.limits.query;
    let request = ExemplarRequest { matcher_sets, range, series_max: limits.exemplar_series_max };
    let key = app.gate.key(("exemplars", text, end_ms.saturating_sub(start_ms)));
    let worker = SharedApp::clone(&app);
    let ask = move || worker.state.exemplars.exemplars(&request).map_err(failure);
    let work = move |_: Turn<'_>| ask().map(|found| render(&found));
    let found = app.gate.run(limits.timeout, &Stop::default(), key, work).await??;
    Ok(success(found, &[]))
}

fn failure(error: SourceError) -> QueryFailure {
    match error {
        SourceError::TooManySeries { limit, .. } => QueryFailure::new(
            ErrorType::Execution,
            format!(
                "a selector of the query matches too many series; the limit is {limit}, set by \
                 query.exemplar_series_max"
            ),
        ),
        other => other.into(),
    }
}

fn render(found: &FoundExemplars) -> Bytes {
    let mut out = Vec::with_capacity(2 + found.len() * 256);
    out.push(b'[');
    for (i, (labels, exemplars)) in found.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"seriesLabels\":");
        write_labels(&mut out, labels);
        out.extend_from_slice(b",\"exemplars\":[");
        for (i, exemplar) in exemplars.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_exemplar(&mut out, exemplar);
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    Bytes::from(out)
}

fn write_exemplar(out: &mut Vec<u8>, exemplar: &ExemplarPoint) {
    out.extend_from_slice(b"{\"labels\":");
    write_labels(out, &exemplar.labels);
    out.extend_from_slice(b",\"value\":\"");
    write_float(out, exemplar.value);
    out.extend_from_slice(b"\",\"timestamp\":");
    write_time(out, exemplar.t_ms);
    out.push(b'}');
}

fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(out, name, Escaping::Json);
        out.push(b':');
        write_text(out, value, Escaping::Json);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_are_written_as_prometheus_does() {
        let labels = |pairs: &[(&str, &str)]| {
            Labels::from_pairs(pairs.iter().copied()).expect("valid labels")
        };
        let point = |t_ms, value, labels| ExemplarPoint { t_ms, value, labels };
        let found = FoundExemplars::from([
            (labels(&[("__name__", "a")]), vec![point(1500, 1e-7, labels(&[("trace_id", "<\"")]))]),
            (
                labels(&[("__name__", "b"), ("job", "x")]),
                vec![point(2000, f64::INFINITY, labels(&[])), point(3000, 6.0, labels(&[]))],
            ),
        ]);
        let a = "{\"seriesLabels\":{\"__name__\":\"a\"},\"exemplars\":[{\"labels\":\
                 {\"trace_id\":\"<\\\"\"},\"value\":\"1e-07\",\"timestamp\":1.500}]}";
        let b = "{\"seriesLabels\":{\"__name__\":\"b\",\"job\":\"x\"},\"exemplars\":[\
                 {\"labels\":{},\"value\":\"+Inf\",\"timestamp\":2},\
                 {\"labels\":{},\"value\":\"6\",\"timestamp\":3}]}";
        assert_eq!(render(&found), format!("[{a},{b}]"));
        assert_eq!(render(&FoundExemplars::new()), "[]");
    }
}
