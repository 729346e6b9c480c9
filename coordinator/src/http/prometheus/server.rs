//! What the process is and was told: `/status/config`, `/status/flags`, `/status/runtimeinfo`,
//! `/status/self_metrics`,
//! `/status/walreplay`, `/features` and `/notifications`.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use m3rs_core::regexp::AnchoredRegex;
use serde_json::{Value, json};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::prometheus::check_text;
use crate::http::response::success_json;
use crate::http::time::rfc3339_ms;

/// `GET /api/v1/status/config`: the file as it was read at the start, without secrets.
pub(crate) async fn config(State(app): State<SharedApp>) -> Response {
    success_json(&json!({ "yaml": app.state.about.config_yaml }), &[])
}

/// `GET /api/v1/status/flags`.
pub(crate) async fn flags(State(app): State<SharedApp>) -> Response {
    success_json(&app.state.about.flags, &[])
}

/// `GET /api/v1/features`.
pub(crate) async fn features(State(app): State<SharedApp>) -> Response {
    success_json(&app.state.about.features, &[])
}

/// `GET /api/v1/status/runtimeinfo`. What only Go has is told as a Go program without it would:
/// `goroutineCount` are threads, `GOMEMLIMIT` is no limit.
pub(crate) async fn runtime_info(State(app): State<SharedApp>) -> Response {
    let worker = SharedApp::clone(&app);
    // It reads a file of the machine.
    let threads = tokio::task::spawn_blocking(move || worker.state.metrics.threads()).await;
    let about = &app.state.about;
    let started = rfc3339_ms(about.started.to_ms().0);
    let data = json!({
        "startTime": started,
        "CWD": about.working_dir,
        "hostname": about.hostname,
        "serverTime": rfc3339_ms(app.state.clock.now().to_ms().0),
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "corruptionCount": app.state.storage.status().numbers.damage_at_start,
        "goroutineCount": threads.unwrap_or(0),
        "GOMAXPROCS": about.cores,
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": about.retention,
    });
    success_json(&data, &[])
}

/// `GET /api/v1/status/self_metrics`: metrics of m3rs itself, as messages in JSON.
pub(crate) async fn self_metrics(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let pattern =
        match params.get("metric_name_pattern") {
            Some(pattern) => {
                let pattern = check_text(&app, "metric_name_pattern", pattern)?;
                let compiled = AnchoredRegex::new(pattern);
                Some(compiled.map_err(|why| {
                    ApiError::bad_data(format!("invalid metric_name_pattern: {why}"))
                })?)
            }
            None => None,
        };
    let is_wanted = |name: &str| pattern.as_ref().is_none_or(|p| p.is_match(name));
    Ok(success_json(&app.state.metrics.families(&app.state, is_wanted), &[]))
}

/// The parts of a start that `walreplay` tells of.
const REPLAY_PARTS: u64 = 100;

/// `GET /api/v1/status/walreplay`, also during the start: hundredths of the log that were replayed.
pub(crate) async fn replay(State(app): State<SharedApp>) -> Response {
    let status = app.state.storage.status();
    let current = match status.stage.as_str() {
        // The log is the last of the stages that take long.
        "commitlog" => (status.progress.clamp(0.0, 1.0) * REPLAY_PARTS as f64) as u64,
        "starting" | "files" | "index" | "series" => 0,
        _ => REPLAY_PARTS,
    };
    success_json(&json!({ "min": 0, "max": REPLAY_PARTS, "current": current }), &[])
}

/// `GET /api/v1/notifications`: what everybody who looks at the server should know.
pub(crate) async fn notifications(State(app): State<SharedApp>) -> Response {
    let date = rfc3339_ms(app.state.about.started.to_ms().0);
    let status = app.state.storage.status();
    let note = |text: String| json!({ "text": text, "date": date, "active": true });
    let mut notes: Vec<Value> = Vec::new();
    if !status.ready {
        let percent = status.progress * 100.0;
        notes.push(note(format!("m3rs is starting: {} ({percent:.0} % done).", status.stage)));
    }
    if let Some(why) = &status.numbers.log_failure {
        notes.push(note(format!("Writes are refused: {why}")));
    }
    success_json(&notes, &[])
}

/// `GET /api/v1/notifications/live`.
///
/// PARITY(prometheus): 204 is its answer when it takes no more listeners, which tells a browser to
/// ask for the list now and then instead. Here there are none ever: a connection that stays open
/// would hold up the end of the process.
pub(crate) async fn live_notifications() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
