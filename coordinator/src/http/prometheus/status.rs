//! `/status/buildinfo`.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::http::SharedApp;
use crate::http::response::success_json;

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
