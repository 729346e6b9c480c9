//! `/query`, `/query_range`, `/format_query` and `/parse_query`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use m3rs_core::time::NS_PER_MS;
use m3rs_query::render::{Escaping, StatsDetail, write_text};

use crate::http::error::ApiError;
use crate::http::fetch_limits::{fetch_limits, tell_cut};
use crate::http::gate::Turn;
use crate::http::params::Params;
use crate::http::prometheus::{check_ready, check_text};
use crate::http::response::{streamed, success, whole};
use crate::http::{App, SharedApp};
use crate::metrics::QueryKind;
use crate::read::{QueryRequest, QueryTime};

/// `GET` or `POST /api/v1/query`.
pub(crate) async fn instant(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let limit = params.limit()?;
    let time_ms = params.time_or("time", app.state.clock.now().to_ms().0)?;
    evaluate(&app, &params, limit, QueryTime::Instant { time_ms }, QueryKind::Instant).await
}

/// `GET` or `POST /api/v1/query_range`.
pub(crate) async fn range(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let limit = params.limit()?;
    let start_ms = params.time("start")?;
    let end_ms = params.time("end")?;
    if end_ms < start_ms {
        let why = "end timestamp must not be before start time";
        return Err(ApiError::bad_parameter("end", why));
    }
    let step_ns = step(&params)?;
    let range_ns = u128::from(end_ms.abs_diff(start_ms)) * u128::from(NS_PER_MS.unsigned_abs());
    let points = range_ns / u128::from(step_ns.unsigned_abs());
    if points > u128::from(app.state.limits.query.points_max) {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ));
    }
    let step_ms = match step_ns / NS_PER_MS {
        // One point, whatever the step.
        0 if start_ms == end_ms => 1,
        // Steps that are no millisecond cannot be told apart.
        0 => return Err(step_too_short()),
        ms => ms,
    };
    let time = QueryTime::Range { start_ms, end_ms, step_ms };
    evaluate(&app, &params, limit, time, QueryKind::Range).await
}

/// The step in nanoseconds, above 0.
fn step(params: &Params) -> Result<i64, ApiError> {
    // An absent step is refused as Prometheus does: the empty text is no duration.
    let Some(ns) = params.duration_ns("step")? else {
        return Err(ApiError::bad_parameter("step", "cannot parse \"\" to a valid duration"));
    };
    if ns <= 0 {
        return Err(step_too_short());
    }
    Ok(ns)
}

fn step_too_short() -> ApiError {
    let why = "zero or negative query resolution step widths are not accepted. Try a positive \
               integer";
    ApiError::bad_parameter("step", why)
}

async fn evaluate(
    app: &SharedApp,
    params: &Params,
    limit: usize,
    time: QueryTime,
    kind: QueryKind,
) -> Result<Response, ApiError> {
    let timeout = timeout(app, params)?;
    let mut request = QueryRequest {
        text: check_text(app, "query", params.get("query").unwrap_or_default())?.to_owned(),
        time,
        lookback_ms: lookback(params)?,
        limit,
        fetch: fetch_limits(params)?,
        stats: stats_detail(params),
        step_ns: params.duration_ns("step").ok().flatten(),
        explains: explains(params)?,
        timeout,
        queued: Duration::ZERO,
        warnings: stats_warning(params).into_iter().collect(),
    };
    check_ready(app)?;
    let worker = SharedApp::clone(app);
    let start = app.state.clock.monotonic();
    let query = app.queries.begin(&request.text, time, params.asker());
    let (start_ms, end_ms, step_ms) = time.grid_ms();
    let key = app.gate.key((&request.text, end_ms.saturating_sub(start_ms), step_ms));
    let working = Arc::clone(&query);
    let work = move |turn: Turn<'_>| {
        working.starts(turn.queued);
        (request.queued, request.timeout) = (turn.queued, turn.time_left);
        let result = worker.state.queries.execute(&request, turn.cancel);
        working.evaluated(&result);
        result
    };
    let result = app.gate.run(timeout, query.stop(), key, work).await;
    if let Err(error) = &result {
        query.failed(error.message());
    }
    let took = app.state.clock.monotonic().saturating_sub(start);
    app.state.metrics.observe_query(kind, took);
    let answer = result??;
    app.state.metrics.query_samples.inc_by(answer.samples);
    let response = match answer.rest {
        None => whole(answer.body),
        Some(rest) => streamed(answer.body, rest),
    };
    Ok(tell_cut(response, answer.is_cut))
}

fn timeout(app: &App, params: &Params) -> Result<Duration, ApiError> {
    let limit = app.state.limits.query.timeout;
    let asked = params.duration_ns("timeout")?;
    Ok(match asked {
        Some(ns) => limit.min(Duration::from_nanos(u64::try_from(ns).unwrap_or(0))),
        None => limit,
    })
}

fn lookback(params: &Params) -> Result<Option<i64>, ApiError> {
    let refuse =
        |why: String| ApiError::bad_data(format!("error parsing lookback delta duration: {why}"));
    let Some(text) = params.get("lookback_delta") else { return Ok(None) };
    let ns = crate::http::time::parse_duration_param(text).map_err(|e| refuse(e.to_string()))?;
    // PARITY(prometheus): zero and less mean the default; with a part of a millisecond no sample
    // is young enough.
    Ok((ns > 0).then_some(ns / NS_PER_MS))
}

/// Whether the answer is to tell what each operator did.
fn explains(params: &Params) -> Result<bool, ApiError> {
    match params.get("explain") {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let why = format!("{other:?} is neither \"true\" nor \"false\"");
            Err(ApiError::bad_parameter("explain", why))
        }
    }
}

fn stats_detail(params: &Params) -> StatsDetail {
    match params.get("stats") {
        None => StatsDetail::Hidden,
        Some("all") => StatsDetail::PerStep,
        Some(_) => StatsDetail::Totals,
    }
}

/// PARITY(prometheus): any value but `true` and `all` works and is warned of.
fn stats_warning(params: &Params) -> Option<String> {
    let value = params.get("stats").filter(|v| !matches!(*v, "true" | "all"))?;
    Some(format!(
        "value {value:?} for parameter \"stats\" is deprecated and will be rejected in the next \
         major release, use \"true\" or \"all\""
    ))
}

/// `GET` or `POST /api/v1/format_query`.
pub(crate) async fn format(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let text = check_text(&app, "query", params.get("query").unwrap_or_default())?;
    let formatted = app
        .state
        .queries
        .format(text)
        .map_err(|failure| ApiError::bad_parameter("query", failure.message))?;
    let mut data = Vec::with_capacity(formatted.len() + 2);
    write_text(&mut data, &formatted, Escaping::Html);
    Ok(success(Bytes::from(data), &[]))
}

/// `GET` or `POST /api/v1/parse_query`.
pub(crate) async fn parse(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let text = check_text(&app, "query", params.get("query").unwrap_or_default())?;
    let tree = app
        .state
        .queries
        .tree(text)
        .map_err(|failure| ApiError::bad_parameter("query", failure.message))?;
    Ok(success(tree, &[]))
}
