//! What M3's coordinator has beside Prometheus's API.

pub(super) mod json_write;
pub(super) mod operations;
pub(super) mod search;

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::http::Routes;
use crate::http::response::plain_json;

#[derive(Serialize)]
struct Paths {
    routes: Vec<String>,
}

/// `GET /routes`: the paths of all routes, sorted.
pub(super) async fn routes() -> Response {
    plain_json(StatusCode::OK, &Paths { routes: Routes::paths() })
}
