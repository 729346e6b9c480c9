//! Ids of requests.

use axum::body::Body;
use http::{Method, Request};

use crate::client::{get, post_write, send};
use crate::fakes::World;

#[tokio::test]
async fn every_answer_has_an_id() {
    let world = World::new();
    let mut seen = Vec::new();
    for path in ["/-/healthy", "/api/v1/query?query=up", "/nope", "/api/v1/query?query=panic"] {
        seen.push(get(&world.router, path).await.header("x-request-id").to_owned());
    }
    seen.push(
        post_write(&world.router, "/api/v1/write", Vec::new())
            .await
            .header("x-request-id")
            .to_owned(),
    );
    let options = Request::builder().method(Method::OPTIONS).uri("/").body(Body::empty());
    let answer = send(&world.router, options.expect("valid")).await;
    seen.push(answer.header("x-request-id").to_owned());
    assert!(seen.iter().all(|id| id.len() == 16), "{seen:?}");
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn the_id_of_the_client_comes_back() {
    let world = World::new();
    let sent = |id: &str| {
        Request::get("/api/v1/labels")
            .header("x-request-id", id)
            .body(Body::empty())
            .expect("valid")
    };
    let answer = send(&world.router, sent("trace-1/2:3")).await;
    assert_eq!(answer.header("x-request-id"), "trace-1/2:3");
    let answer = send(&world.router, sent("two words")).await;
    assert_eq!(answer.header("x-request-id").len(), 16);
}
