//! Probes, metrics, admin, and what holds for every route.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::client::{get, post_form, send};
use crate::fakes::World;

#[tokio::test]
async fn probes_answer_as_their_models_do() {
    let world = World::new();
    assert_eq!(get(&world.router, "/-/healthy").await.text(), "m3rs is Healthy.\n");
    assert_eq!(get(&world.router, "/-/ready").await.text(), "m3rs is Ready.\n");
    let ready = get(&world.router, "/ready").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!((&ready.json()["stage"], &ready.json()["progress"]), (&json!("ready"), &json!(1.0)));
    let health = get(&world.router, "/health").await.json();
    assert!(health["uptime"].is_string(), "{health}");
    assert_eq!(health["now"], "2024-01-01T00:00:00.000000000Z");
    let build = get(&world.router, "/api/v1/status/buildinfo").await.json();
    assert_eq!(build["data"]["applicationVersion"], "0.1.0");
    assert_eq!(build["data"].get("features"), None, "Grafana would take us for another system");

    world.control.ready.store(false, Ordering::Relaxed);
    assert_eq!(get(&world.router, "/-/healthy").await.status, 200);
    assert_eq!(get(&world.router, "/-/ready").await.status, 503);
    let ready = get(&world.router, "/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["stage"], "commitlog");
    assert_eq!(ready.json()["progress"], 0.25);
}

#[tokio::test]
async fn a_flush_answers_with_its_report() {
    let world = World::new();
    let answer = post_form(&world.router, "/api/v1/admin/tsdb/flush", "").await;
    assert_eq!(answer.json(), json!({ "status": "success", "data": { "volumes": 2 } }));
    world.control.fail_flush.store(true, Ordering::Relaxed);
    let answer = post_form(&world.router, "/api/v1/admin/tsdb/flush", "").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"], "disk is gone");
}

#[tokio::test]
async fn unknown_routes_and_methods_answer_in_json() {
    let world = World::new();
    let answer = get(&world.router, "/api/v1/nonsense").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let wanted = json!({
        "status": "error",
        "errorType": "not_found",
        "error": "no such route: /api/v1/nonsense",
    });
    assert_eq!(answer.json(), wanted);
    for (method, path, allow) in [
        ("DELETE", "/api/v1/query", "GET,HEAD,POST"),
        ("GET", "/api/v1/write", "POST"),
        ("GET", "/api/v1/prom/remote/write", "POST"),
        ("POST", "/api/v1/metadata", "GET,HEAD"),
        ("GET", "/api/v1/admin/tsdb/flush", "POST"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let answer = send(&world.router, request.expect("valid")).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        assert_eq!(answer.json()["errorType"], "bad_data");
    }
}

#[tokio::test]
async fn browsers_of_any_origin_may_read() {
    let world = World::new();
    for path in ["/api/v1/query", "/api/v1/write", "/nonsense"] {
        let request = Request::options(path)
            .header("origin", "http://example.org")
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .expect("valid");
        let answer = send(&world.router, request).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.header("access-control-allow-methods"),
            "GET, POST, PUT, DELETE, OPTIONS"
        );
        let headers = "Accept, Authorization, Content-Type, Origin";
        assert_eq!(answer.header("access-control-allow-headers"), headers);
    }
}

#[tokio::test]
async fn metrics_come_in_both_formats() {
    let world = World::new();
    get(&world.router, "/api/v1/labels").await;
    get(&world.router, "/api/v1/nonsense").await;
    let old = post_form(&world.router, "/metrics", "").await;
    assert_eq!(old.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# TYPE m3rs_http_requests_total counter\n",
        "m3rs_http_requests_total{route=\"/api/v1/labels\",method=\"GET\",status=\"200\"} 1\n",
        "m3rs_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1\n",
        "m3rs_http_request_duration_seconds_count{route=\"/api/v1/labels\"} 1\n",
        "m3rs_http_requests_in_flight 1\n",
        "m3rs_build_info{version=\"0.1.0\"",
        "m3rs_storage_ready 1\n",
        "m3rs_storage_series 42\n",
        "# TYPE process_cpu_seconds_total counter\n",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds 1704067200",
    ] {
        assert!(old.text().contains(line), "{line} in {}", old.text());
    }
    assert!(!old.text().contains("# EOF"));
    let request = Request::get("/metrics")
        .header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        .body(Body::empty())
        .expect("valid");
    let new = send(&world.router, request).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(new.header("content-type"), content_type);
    assert!(new.text().ends_with("# EOF\n"));
    assert!(new.text().contains("# TYPE m3rs_http_requests counter\n"));
}
