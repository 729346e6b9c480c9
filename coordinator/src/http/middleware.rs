//! What every request passes: metrics and the headers of cross-origin requests.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
};
use http::{HeaderValue, Method, StatusCode};

use crate::http::SharedApp;

/// The route's name in metrics when no route matched.
const NO_ROUTE: &str = "none";

/// Counts the request and takes its time.
pub(crate) async fn observe(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_name(request.method());
    let start = app.state.clock.monotonic();
    let metrics = &app.state.metrics;
    let in_flight = metrics.http_in_flight();
    let response = next.run(request).await;
    drop(in_flight);
    let took = app.state.clock.monotonic().saturating_sub(start);
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    metrics.observe_request(route, method, response.status().as_u16(), took);
    response
}

/// Methods as label values; clients must not be able to invent new ones.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Lets browsers of any origin read the answers, as Prometheus and M3 do, and answers their
/// `OPTIONS`.
pub(crate) async fn cors(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
