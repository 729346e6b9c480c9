//! `/status/buildinfo` and `/status/tsdb`.

use axum::extract::{Request, State};
use axum::response::Response;
use m3rs_core::time::NS_PER_MS;
use m3rs_tsdb::{BlockSeries, Count, SeriesStats};
use serde_json::{Value, json};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::prometheus::check_ready;
use crate::http::response::success_json;
use crate::read::ErrorType;

/// The version of Prometheus whose API this is. Clients such as Grafana switch features on by it.
const API_VERSION: &str = "3.14.0";

/// `GET /api/v1/status/buildinfo`.
///
/// There is no `features` field: Grafana takes one for a ruler API.
pub(crate) async fn build_info(State(app): State<SharedApp>) -> Response {
    let build = &app.state.build;
    let data = json!({
        "application": "m3rs",
        "applicationVersion": build.version,
        "version": API_VERSION,
        "revision": build.revision,
        "branch": build.branch,
        "buildUser": build.build_user,
        "buildDate": build.build_date,
        "goVersion": "",
        "rustcVersion": build.rustc_version,
    });
    success_json(&data, &[])
}

/// Entries of each list, unless `limit` says otherwise.
const ENTRIES: usize = 10;

/// The most that `limit` may say.
const ENTRIES_MAX: usize = 10_000;

/// `GET /api/v1/status/tsdb`.
pub(crate) async fn series(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let top = entries(&params)?;
    check_ready(&app)?;
    let worker = SharedApp::clone(&app);
    let task = tokio::task::spawn_blocking(move || worker.state.storage.series_stats(top));
    let panicked = |_| ApiError::new(ErrorType::Internal, "counting panicked; see the log");
    let stats = task.await.map_err(panicked)??;
    Ok(success_json(&render(&stats), &[]))
}

/// PARITY(prometheus): the words of its errors.
fn entries(params: &Params) -> Result<usize, ApiError> {
    let Some(text) = params.get("limit") else { return Ok(ENTRIES) };
    let limit = text.parse::<usize>().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?;
    if limit > ENTRIES_MAX {
        return Err(ApiError::bad_data(format!("limit must not exceed {ENTRIES_MAX}")));
    }
    Ok(limit)
}

fn render(stats: &SeriesStats) -> Value {
    let list = |counts: &[Count]| -> Value {
        counts.iter().map(|c| json!({ "name": c.name, "value": c.count })).collect()
    };
    let block = |block: &BlockSeries| {
        let (min, end) = (block.start_ns / NS_PER_MS, block.end_ns / NS_PER_MS);
        json!({ "minTime": min, "maxTime": end, "numSeries": block.series })
    };
    // PARITY(prometheus): an empty head ends before it begins.
    let (first, last) = match stats.buffered_ns {
        Some((first, last)) => (first / NS_PER_MS, last / NS_PER_MS),
        None => (i64::MAX, i64::MIN),
    };
    let names = &stats.cardinality;
    json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": names.label_pairs,
            "chunkCount": stats.buffered,
            "minTime": first,
            "maxTime": last,
        },
        "seriesCountByMetricName": list(&names.series_by_metric),
        "labelValueCountByLabelName": list(&names.values_by_label),
        "memoryInBytesByLabelName": list(&names.bytes_by_label),
        "seriesCountByLabelValuePair": list(&names.series_by_pair),
        "blocks": stats.blocks.iter().map(block).collect::<Value>(),
    })
}
