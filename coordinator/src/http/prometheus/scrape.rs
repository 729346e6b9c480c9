//! `/targets`, `/targets/metadata`, `/targets/relabel_steps`, `/scrape_pools` and `/alertmanagers`:
//! m3rs scrapes nothing and alerts nobody, and says so in the shapes of Prometheus.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::{Params, parse_int};
use crate::http::prometheus::check_text;
use crate::http::response::success_json;

/// `GET /api/v1/scrape_pools`.
pub(crate) async fn pools() -> Response {
    success_json(&json!({ "scrapePools": [] }), &[])
}

/// `GET /api/v1/targets`.
pub(crate) async fn targets(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let state = params.get("state").unwrap_or_default().to_ascii_lowercase();
    let shows_dropped = matches!(state.as_str(), "" | "any" | "dropped");
    // PARITY(prometheus): counts are null when dropped targets are not shown.
    let counts = if shows_dropped { json!({}) } else { json!(null) };
    let data = json!({
        "activeTargets": [],
        "droppedTargets": [],
        "droppedTargetCounts": counts,
    });
    Ok(success_json(&data, &[]))
}

/// `GET /api/v1/targets/metadata`.
pub(crate) async fn metadata(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    if let Some(text) = params.get("limit") {
        parse_int(text).map_err(|_| ApiError::bad_data("limit must be a number"))?;
    }
    if let Some(text) = params.get("match_target") {
        let text = check_text(&app, "match_target", text)?;
        let parsed = app.state.queries.selector(text);
        parsed.map_err(|failure| ApiError::bad_parameter("match_target", failure.message))?;
    }
    Ok(success_json(&json!([]), &[]))
}

/// `GET /api/v1/targets/relabel_steps`.
pub(crate) async fn relabel_steps(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let Some(pool) = params.get("scrapePool") else {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    };
    let Some(labels) = params.get("labels") else {
        return Err(ApiError::bad_data("no labels parameter provided"));
    };
    let labels: Result<std::collections::BTreeMap<String, String>, _> =
        serde_json::from_str(labels);
    labels.map_err(|why| ApiError::bad_data(format!("error parsing labels: {why}")))?;
    Err(ApiError::bad_data(format!(
        "error retrieving scrape config: scrape pool {pool:?} not found"
    )))
}

/// `GET /api/v1/alertmanagers`.
pub(crate) async fn alertmanagers() -> Response {
    success_json(&json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }), &[])
}
