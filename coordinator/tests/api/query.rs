//! Queries: parameters, answers, errors, limits, and clients that leave.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::read::QueryTime;
use m3rs_query::render::StatsDetail;
use serde_json::json;

use crate::client::{get, post_form, send};
use crate::fakes::{NOW_MS, World};

#[tokio::test]
async fn an_answer_has_prometheus_s_shape() {
    let world = World::new();
    for path in ["/api/v1/query", "/prometheus/api/v1/query"] {
        let answer = get(&world.router, &format!("{path}?query=up&time=4")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.text(),
            "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4,\"up\"]},\
             \"warnings\":[]}"
        );
    }
    let length = answer_length(&world).await;
    assert!(length.parse::<u64>().is_ok(), "{length:?}");
}

/// The length that a server would send, which needs the body's size to be known.
async fn answer_length(world: &World) -> String {
    use http_body::Body as _;
    use tower::ServiceExt;
    let request = Request::get("/api/v1/query?query=up").body(Body::empty()).expect("valid");
    let response = world.router.clone().oneshot(request).await.expect("infallible");
    response.body().size_hint().exact().map_or(String::new(), |n| n.to_string())
}

#[tokio::test]
async fn parameters_reach_the_engine() {
    let world = World::new();
    get(&world.router, "/api/v1/query?query=a%2Bb").await;
    let form = "query=sum(up)&start=10&end=1970-01-01T00:01:00Z&step=1m&lookback_delta=90s\
                &limit=3&stats=all&timeout=5s";
    post_form(&world.router, "/api/v1/query_range?query=ignored", form).await;
    get(&world.router, "/api/v1/query_range?query=x&start=0&end=0&step=0.5&timeout=1h").await;
    let requests = world.engine.requests.lock();
    let [instant, range, short] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(instant.text, "a+b");
    assert_eq!(instant.time, QueryTime::Instant { time_ms: NOW_MS });
    assert_eq!((instant.lookback_ms, instant.limit, instant.stats), (None, 0, StatsDetail::Hidden));
    let is_about = |left: Duration, timeout| left <= timeout && left > timeout.mul_f64(0.5);
    assert!(is_about(instant.timeout, Limits::default().query.timeout));
    assert_eq!(range.text, "sum(up)");
    let time = QueryTime::Range { start_ms: 10_000, end_ms: 60_000, step_ms: 60_000 };
    assert_eq!(range.time, time);
    assert_eq!(
        (range.lookback_ms, range.limit, range.stats),
        (Some(90_000), 3, StatsDetail::PerStep)
    );
    assert!(is_about(range.timeout, Duration::from_secs(5)));
    assert_eq!(short.time, QueryTime::Range { start_ms: 0, end_ms: 0, step_ms: 500 });
    assert!(is_about(short.timeout, Limits::default().query.timeout), "the limit wins");
}

async fn assert_bad_data(world: &World, path: &str, error: &str) {
    let answer = get(&world.router, path).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    let wanted = json!({ "status": "error", "errorType": "bad_data", "error": error });
    assert_eq!(answer.json(), wanted, "{path}");
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let world = World::new();
    let range = "/api/v1/query_range?query=up";
    for (path, error) in [
        (
            "/api/v1/query?query=up&time=x".to_owned(),
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a \
             valid timestamp",
        ),
        (
            "/api/v1/query?query=up&limit=x".to_owned(),
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "/api/v1/query?query=up&limit=-1".to_owned(),
            "invalid parameter \"limit\": limit must be non-negative",
        ),
        (
            "/api/v1/query?query=up&timeout=x".to_owned(),
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        (
            "/api/v1/query?query=up&lookback_delta=x".to_owned(),
            "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        (
            format!("{range}&start=x&end=1&step=1"),
            "invalid parameter \"start\": cannot parse \"x\" to a valid timestamp",
        ),
        (
            format!("{range}&start=1&step=1"),
            "invalid parameter \"end\": cannot parse \"\" to a valid timestamp",
        ),
        (
            format!("{range}&start=2&end=1&step=1"),
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            format!("{range}&start=1&end=1"),
            "invalid parameter \"step\": cannot parse \"\" to a valid duration",
        ),
    ] {
        assert_bad_data(&world, &path, error).await;
    }
}

#[tokio::test]
async fn bad_steps_and_texts_are_named() {
    let world = World::new();
    let range = "/api/v1/query_range?query=up";
    for (path, error) in [
        (
            format!("{range}&start=1&end=1&step=0"),
            "invalid parameter \"step\": zero or negative query resolution step widths are not \
             accepted. Try a positive integer",
        ),
        (
            format!("{range}&start=0&end=11001&step=1"),
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ),
        (
            format!("{range}&start=0&end=1000&step=0.0001"),
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ),
        (
            format!("{range}&start=0&end=1&step=0.0001"),
            "invalid parameter \"step\": zero or negative query resolution step widths are not \
             accepted. Try a positive integer",
        ),
        (
            format!("{range}&start=0&end=1&step=1e40"),
            "invalid parameter \"step\": cannot parse \"1e40\" to a valid duration. It overflows \
             int64",
        ),
        (
            "/api/v1/query?query=%zz".to_owned(),
            "error parsing form values: invalid URL escape \"%zz\"",
        ),
        ("/api/v1/query".to_owned(), "invalid parameter \"query\": no expression found"),
        ("/api/v1/format_query".to_owned(), "invalid parameter \"query\": no expression found"),
    ] {
        assert_bad_data(&world, &path, error).await;
    }
    let at_limit = get(&world.router, &format!("{range}&start=0&end=11000&step=1")).await;
    assert_eq!(at_limit.status, StatusCode::OK);
}

#[tokio::test]
async fn failures_have_prometheus_s_statuses() {
    let world = World::new();
    for (query, status, error_type) in
        [("execution", 422, "execution"), ("internal", 500, "internal"), ("panic", 500, "internal")]
    {
        let answer = get(&world.router, &format!("/api/v1/query?query={query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
        let body = answer.json();
        assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!(error_type)));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(!answer.text().contains("a bug in the engine"), "a panic's text stays inside");
    }
    let answer = get(&world.router, "/api/v1/query?query=block&timeout=10ms").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let wanted = json!({
        "status": "error",
        "errorType": "timeout",
        "error": "query timed out in expression evaluation",
    });
    assert_eq!(answer.json(), wanted);
    world.control.ready.store(false, Ordering::Relaxed);
    let answer = get(&world.router, "/api/v1/query?query=up").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["errorType"], "unavailable");
    assert_eq!(answer.json()["error"], "storage is not ready: commitlog (25 % done)");
}

#[tokio::test]
async fn text_and_body_limits_hold() {
    let mut limits = Limits::default();
    limits.query.text_bytes_max = 10;
    limits.query.body_bytes_max = 17;
    let world = World::with_limits(limits);
    let answer = get(&world.router, "/api/v1/query?query=0123456789").await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = get(&world.router, "/api/v1/query?query=0123456789a").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("query.text_bytes_max"), "{}", answer.text());
    let answer = post_form(&world.router, "/api/v1/query", "query=0123456&a=b").await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = post_form(&world.router, "/api/v1/query", "query=0123456&a=bc").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["errorType"], "bad_data");
}

#[tokio::test]
async fn unknown_values_of_stats_are_warned_of() {
    let world = World::new();
    let answer = get(&world.router, "/api/v1/query?query=up&stats=1").await;
    let warnings = answer.json()["warnings"].clone();
    assert!(warnings[0].as_str().expect("text").contains("is deprecated"), "{warnings}");
}

#[tokio::test]
async fn queries_are_formatted() {
    let world = World::new();
    let wanted = json!({ "status": "success", "data": "formatted a b" });
    assert_eq!(get(&world.router, "/api/v1/format_query?query=a+b").await.json(), wanted);
    assert_eq!(
        post_form(&world.router, "/api/v1/format_query", "query=a%20b").await.json(),
        wanted
    );
}

#[tokio::test]
async fn answers_are_compressed_when_asked() {
    let world = World::new();
    let ask = |query: &str| {
        Request::get(format!("/api/v1/query?query={query}"))
            .header("accept-encoding", "gzip, deflate")
            .body(Body::empty())
            .expect("valid")
    };
    let large = send(&world.router, ask("large")).await;
    assert_eq!(large.header("content-encoding"), "gzip");
    assert!(large.body.len() < 30_000, "{}", large.body.len());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&large.body[..]), &mut text)
        .expect("gzip");
    assert_eq!(text, get(&world.router, "/api/v1/query?query=large").await.text());
    let small = send(&world.router, ask("up")).await;
    assert_eq!(small.header("content-encoding"), "gzip", "short answers too, as Prometheus");
    let plain = get(&world.router, "/api/v1/query?query=up").await;
    assert_eq!(plain.header("content-encoding"), "", "who does not ask gets it plain");
}

/// Polls once; true if it is not done.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending()))
        .await
}

async fn until(what: impl Fn() -> bool) {
    let reached = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("in time");
}

#[tokio::test]
async fn a_query_stops_when_its_client_leaves() {
    let world = World::new();
    let mut query = Box::pin(get(&world.router, "/api/v1/query?query=block"));
    assert!(is_pending(&mut query).await);
    until(|| world.engine.started.load(Ordering::SeqCst) == 1).await;
    drop(query);
    until(|| world.engine.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn only_so_many_queries_run_at_a_time() {
    let mut limits = Limits::default();
    limits.query.concurrent_max = 1;
    limits.query.queue_timeout = Duration::from_millis(10);
    let world = World::with_limits(limits);
    let mut first = Box::pin(get(&world.router, "/api/v1/query?query=block"));
    assert!(is_pending(&mut first).await);
    let second = get(&world.router, "/api/v1/query?query=up").await;
    assert_eq!((second.status.as_u16(), second.header("retry-after")), (503, "1"));
    assert!(second.text().contains("query.concurrent_max"), "{}", second.text());
    drop(first);
    until(|| world.engine.cancelled.load(Ordering::SeqCst) == 1).await;
    assert_eq!(get(&world.router, "/api/v1/query?query=up").await.status, 200);
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_query_queue_timeouts_total 1\n"));
    assert!(metrics.text().contains("m3rs_queries_in_flight 0\n"), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_were_short_are_answered_again() {
    let world = World::new();
    for _ in 0..50 {
        let answer = get(&world.router, "/api/v1/query?query=up&time=4").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    for _ in 0..2 {
        assert_eq!(get(&world.router, "/api/v1/query?query=panic").await.status, 500);
    }
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_queries_in_flight 0\n"), "{}", metrics.text());
}

#[tokio::test]
async fn large_answers_are_streamed() {
    let world = World::new();
    let answer = get(&world.router, "/api/v1/query?query=batches").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.text(), "[0,1 ,2 ,3 ,4 ,5 ]");
    assert_eq!(answer.headers.get("content-length"), None);
}
