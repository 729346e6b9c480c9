//! `GET /routes`: the paths of all routes.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::http::response::plain_json;
use crate::http::{Routes, SharedApp};

#[derive(Serialize)]
struct Paths {
    routes: Vec<String>,
}

/// All paths, sorted.
pub(crate) async fn list(State(app): State<SharedApp>) -> Response {
    let mut routes = Routes::paths();
    if app.state.admin.is_some() {
        routes.extend(super::admin_routes().into_parts().0);
        routes.sort();
    }
    plain_json(StatusCode::OK, &Paths { routes })
}
