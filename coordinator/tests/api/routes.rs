//! Every route is documented, with its methods, and wrong methods are refused as JSON.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use m3rs_coordinator::http::Routes;

use crate::client::send;
use crate::documented::page;
use crate::fakes::World;

/// Where routes stand a second time.
const PREFIX: &str = "/prometheus/api/v1/";

/// Routes and methods in the table of the documents.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let rows = page::table().into_iter();
    rows.flat_map(|row| row.paths.into_iter().map(move |path| (path, row.methods.clone())))
        .collect()
}

/// What the router says of a path: methods it takes, `HEAD` left out as every `GET` has it.
async fn methods(world: &World, path: &str) -> BTreeSet<String> {
    let path: String = path
        .split('/')
        .map(|part| if part.starts_with('{') { "7" } else { part })
        .collect::<Vec<_>>()
        .join("/");
    let request = Request::builder().method(Method::TRACE).uri(&path).body(Body::empty());
    let answer = send(&world.router, request.expect("valid")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    let error = answer.json();
    let wanted = format!("method TRACE is not allowed for {path}");
    assert_eq!((&error["errorType"], &error["error"]), (&"bad_data".into(), &wanted.into()));
    let allowed = answer.header("allow").split(',').map(|method| method.trim().to_owned());
    allowed.filter(|method| method != "HEAD").collect()
}

#[tokio::test]
async fn every_route_is_documented_with_its_methods() {
    let world = World::new();
    let mut documented = documented();
    let mut missing = Vec::new();
    for path in Routes::paths() {
        let methods = methods(&world, &path).await;
        if let Some(rest) = path.strip_prefix(PREFIX) {
            let twin = Routes::paths().into_iter().any(|p| p == format!("/api/v1/{rest}"));
            assert!(twin, "{path} stands under the prefix alone");
            continue;
        }
        match documented.remove(&path) {
            Some(told) => assert_eq!(told, methods, "{path}"),
            None => missing.push(path),
        }
    }
    assert!(missing.is_empty(), "docs/api/http.md does not have {missing:?}");
    assert!(documented.is_empty(), "there are no such routes: {documented:?}");
}

#[tokio::test]
async fn unknown_routes_are_json_too() {
    let world = World::new();
    for path in ["/", "/api/v1/nope", "/api/v1", "/graph", "/prometheus/api/v1/admin/tsdb/flush"] {
        let request = Request::get(path).body(Body::empty()).expect("valid");
        let answer = send(&world.router, request).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["errorType"], "not_found");
    }
}
