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
use crate::http::request_id::{REQUEST_ID, RequestId};

/// The route's name in metrics when no route matched.
const NO_ROUTE: &str = "none";

/// Gives the request its id, counts it and takes its time; tells the log of failures of ours.
pub(crate) async fn observe(
    State(app): State<SharedApp>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = app.request_ids.of(request.headers());
    request.extensions_mut().insert(id.clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_name(request.method());
    let start = app.state.clock.monotonic();
    let metrics = &app.state.metrics;
    let in_flight = metrics.http_in_flight();
    let mut response = next.run(request).await;
    drop(in_flight);
    let took = app.state.clock.monotonic().saturating_sub(start);
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    metrics.observe_request(route, method, response.status().as_u16(), took);
    if response.status().is_server_error() {
        log_failure(&response, &id, (method, route));
    }
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

/// What a failure of the server says, in the extensions of its answer.
#[derive(Clone, Debug)]
pub(crate) struct FailureText(pub(crate) String);

/// What passes by itself is told to those who look for it: a busy client would fill the log.
fn log_failure(response: &Response, id: &RequestId, (method, route): (&str, &str)) {
    let status = response.status();
    let error = response.extensions().get::<FailureText>().map(|text| text.0.as_str());
    let request_id = id.as_str();
    let status_number = status.as_u16();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        tracing::debug!(request_id, method, route, status = status_number, error, "not served");
    } else {
        tracing::error!(request_id, method, route, status = status_number, error, "failed");
    }
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
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
