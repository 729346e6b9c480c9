//! Queries that run: their list, their end by request, and what earlier ones cost.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use m3rs_coordinator::limits::Limits;
use serde_json::{Value, json};

use crate::client::{Answer, get, send};
use crate::fakes::{NOW_MS, World};

const ACTIVE: &str = "/api/v1/status/active_queries";
const TOP: &str = "/api/v1/status/top_queries";

fn post(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).expect("valid")
}

async fn cancel(world: &World, id: &str) -> Answer {
    send(&world.router, post(&format!("{ACTIVE}/{id}/cancel"))).await
}

async fn list(world: &World) -> Vec<Value> {
    let data = get(&world.router, ACTIVE).await.json()["data"].clone();
    data.as_array().expect("a list").clone()
}

/// Polls a future once; says whether it goes on.
pub(crate) async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending()))
        .await
}

/// Looks again until `is_so`, which it must be soon.
async fn until(world: &World, is_so: impl Fn(&[Value]) -> bool) {
    let reached = async {
        while !is_so(&list(world).await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("in time");
}

fn assert_canceled(answer: &Answer) {
    let error = "query was canceled in expression evaluation";
    let wanted = json!({"status": "error", "errorType": "canceled", "error": error});
    assert_eq!((answer.status.as_u16(), answer.json()), (499, wanted));
}

#[tokio::test]
async fn a_query_is_listed_and_ends_when_it_is_cancelled() {
    let world = World::new();
    assert!(list(&world).await.is_empty());
    let range = "/api/v1/query_range?query=block&start=10&end=20.5&step=0.5";
    let mut query = Box::pin(get(&world.router, range));
    assert!(is_pending(&mut query).await);
    until(&world, |list| list.len() == 1 && list[0]["state"] == "running").await;
    let mut entry = list(&world).await.remove(0);
    let duration = entry["durationSeconds"].take().as_f64().expect("a number");
    assert!(duration > 0.0, "{duration}");
    let wanted = json!({
        "id": "1", "query": "block", "start": 10, "end": 20.5, "step": 0.5, "state": "running",
        "startedAt": NOW_MS / 1000, "durationSeconds": null, "remoteAddr": null,
    });
    assert_eq!(entry, wanted);
    let answer = cancel(&world, "1").await;
    assert_eq!(answer.json(), json!({"status": "success", "data": {"id": "1"}}));
    assert_canceled(&query.await);
    until(&world, <[Value]>::is_empty).await;
    assert_eq!(world.engine.cancelled.load(Ordering::SeqCst), 1);
    let top = get(&world.router, TOP).await.json()["data"]["topByCount"][0].clone();
    assert_eq!((&top["query"], &top["errors"]), (&json!("block"), &json!(1)));
}

#[tokio::test]
async fn only_queries_that_are_there_can_be_cancelled() {
    let world = World::new();
    for id in ["1", "x", "-1", "99999999999999999999"] {
        let answer = cancel(&world, id).await;
        let error = format!("no active query {id:?}");
        let wanted = json!({"status": "error", "errorType": "not_found", "error": error});
        assert_eq!((answer.status, answer.json()), (StatusCode::NOT_FOUND, wanted));
    }
    let answer = get(&world.router, &format!("{ACTIVE}/1/cancel")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "links must not end queries");
}

#[tokio::test]
async fn queries_that_wait_are_listed_and_have_their_own_time() {
    let mut limits = Limits::default();
    limits.query.concurrent_max = 1;
    let world = World::with_limits(limits);
    let mut first = Box::pin(get(&world.router, "/api/v1/query?query=block"));
    assert!(is_pending(&mut first).await);
    until(&world, |list| list.len() == 1 && list[0]["state"] == "running").await;

    let late = get(&world.router, "/api/v1/query?query=up&timeout=10ms").await;
    let error = "query timed out in query execution";
    let wanted = json!({"status": "error", "errorType": "timeout", "error": error});
    assert_eq!((late.status, late.json()), (StatusCode::SERVICE_UNAVAILABLE, wanted));

    let mut second = Box::pin(get(&world.router, "/api/v1/query?query=waits&time=7"));
    assert!(is_pending(&mut second).await);
    let entries = list(&world).await;
    assert_eq!(entries.len(), 2);
    let waiting = &entries[1];
    assert_eq!((&waiting["query"], &waiting["state"]), (&json!("waits"), &json!("waiting")));
    assert_eq!((&waiting["start"], &waiting["step"]), (&json!(7), &json!(0)));
    cancel(&world, waiting["id"].as_str().expect("a text")).await;
    assert_canceled(&second.await);
    drop(first);
    until(&world, <[Value]>::is_empty).await;
    assert!(world.engine.requests.lock().iter().all(|request| request.text == "block"));
}

#[tokio::test]
async fn a_query_without_time_times_out() {
    let world = World::new();
    for timeout in ["0", "0s", "-1", "1e-10"] {
        let answer = get(&world.router, &format!("/api/v1/query?query=up&timeout={timeout}")).await;
        let error = "query timed out in query execution";
        let wanted = json!({"status": "error", "errorType": "timeout", "error": error});
        assert_eq!((answer.status.as_u16(), answer.json()), (503, wanted), "{timeout}");
    }
    assert!(world.engine.requests.lock().is_empty());
}

#[tokio::test]
async fn who_leaves_is_not_listed_any_more() {
    let world = World::new();
    let mut query = Box::pin(get(&world.router, "/api/v1/query?query=block"));
    assert!(is_pending(&mut query).await);
    until(&world, |list| list.len() == 1 && list[0]["state"] == "running").await;
    drop(query);
    until(&world, <[Value]>::is_empty).await;
    assert_eq!(world.engine.cancelled.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_costliest_texts_are_told() {
    let mut limits = Limits::default();
    limits.query.history_texts_max = 2;
    let world = World::with_limits(limits);
    for query in ["gone", "often", "execution", "often"] {
        get(&world.router, &format!("/api/v1/query?query={query}")).await;
    }
    let top = get(&world.router, TOP).await.json()["data"].clone();
    for list in ["topByCount", "topByAvgDuration", "topBySumDuration", "topByMaxDuration"] {
        assert_eq!(top[list].as_array().map(Vec::len), Some(2), "{list}");
    }
    let mut often = top["topByCount"][0].clone();
    for time in ["avgDurationSeconds", "sumDurationSeconds", "maxDurationSeconds"] {
        assert!(often[time].take().as_f64().is_some_and(|seconds| seconds > 0.0), "{time}");
    }
    let wanted = json!({
        "query": "often", "count": 2, "errors": 0, "lastAt": NOW_MS / 1000,
        "avgDurationSeconds": null, "sumDurationSeconds": null, "maxDurationSeconds": null,
    });
    assert_eq!(often, wanted);
    assert_eq!(top["topByCount"][1]["errors"], 1);
    let short = get(&world.router, &format!("{TOP}?limit=1")).await.json();
    assert_eq!(short["data"]["topByCount"].as_array().map(Vec::len), Some(1));
    for limit in ["0", "-1", "x"] {
        let answer = get(&world.router, &format!("{TOP}?limit={limit}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["error"], "limit must be a positive number");
    }
}
