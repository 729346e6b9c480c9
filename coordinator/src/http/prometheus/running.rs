//! `/status/active_queries` and `/status/top_queries`: what queries cost, and how to end one.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use m3rs_core::time::NS_PER_MS;
use serde_json::{Value, json};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::response::success_json;
use crate::queries::{ActiveQuery, Queries, TextStats, TopBy};
use crate::read::ErrorType;

/// Entries of each list, unless `limit` says otherwise.
const ENTRIES: usize = 20;

/// `GET /api/v1/status/active_queries`.
pub(crate) async fn active(State(app): State<SharedApp>) -> Response {
    let queries = &app.queries;
    let list: Value = queries.active.list().iter().map(|query| entry(queries, query)).collect();
    success_json(&list, &[])
}

fn entry(queries: &Queries, query: &ActiveQuery) -> Value {
    let (start_ms, end_ms, step_ms) = query.time.grid_ms();
    json!({
        "id": query.id.to_string(),
        "query": query.text,
        "start": seconds(start_ms),
        "end": seconds(end_ms),
        "step": seconds(step_ms),
        "state": if query.queued().is_some() { "running" } else { "waiting" },
        "startedAt": seconds(query.came.0 / NS_PER_MS),
        "durationSeconds": queries.duration_of(query).as_secs_f64(),
        "remoteAddr": query.asker.client.map(|client| client.to_string()),
    })
}

fn seconds(ms: i64) -> Value {
    match ms % 1000 {
        0 => json!(ms / 1000),
        _ => json!(ms as f64 / 1000.0),
    }
}

/// `POST /api/v1/status/active_queries/{id}/cancel`.
pub(crate) async fn cancel(
    State(app): State<SharedApp>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let is_there = id.parse().is_ok_and(|id| app.queries.cancel(id));
    if !is_there {
        return Err(ApiError::new(ErrorType::NotFound, format!("no active query {id:?}")));
    }
    Ok(success_json(&json!({ "id": id }), &[]))
}

/// `GET /api/v1/status/top_queries`.
pub(crate) async fn top(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let limit = match params.get("limit") {
        None => ENTRIES,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    let list =
        |by| -> Value { app.queries.history.top(by, limit).iter().map(text_entry).collect() };
    let data = json!({
        "topByCount": list(TopBy::Count),
        "topByAvgDuration": list(TopBy::AvgDuration),
        "topBySumDuration": list(TopBy::SumDuration),
        "topByMaxDuration": list(TopBy::MaxDuration),
    });
    Ok(success_json(&data, &[]))
}

fn text_entry(stats: &TextStats) -> Value {
    json!({
        "query": stats.text,
        "count": stats.count,
        "errors": stats.errors,
        "avgDurationSeconds": stats.duration_avg().as_secs_f64(),
        "sumDurationSeconds": stats.duration_sum.as_secs_f64(),
        "maxDurationSeconds": stats.duration_max.as_secs_f64(),
        "lastAt": seconds(stats.last.0 / NS_PER_MS),
    })
}
