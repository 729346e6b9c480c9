//! InfluxDB's routes and M3's for line protocol.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::client::{get, post_form, send};
use crate::fakes::{NOW_MS, World};
use crate::import::{post, post_with};

const M3: &str = "/api/v1/influxdb/write";

#[tokio::test]
async fn line_protocol_is_written_on_all_routes() {
    for path in ["/write", "/influx/write", "/api/v2/write", "/influx/api/v2/write"] {
        let world = World::new();
        let answer =
            post(&world, &format!("{path}?db=main&precision=ms"), "cpu,host=a v=1,w=2i 5").await;
        assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(answer.header("x-influxdb-version"), "1.8.0");
        let labels = |name| [("__name__", name), ("db", "main"), ("host", "a")];
        assert_eq!(world.samples(&labels("cpu_v")), [(5, 1.0)]);
        assert_eq!(world.samples(&labels("cpu_w")), [(5, 2.0)]);
    }
}

/// curl's `-d` says that any body is a form.
#[tokio::test]
async fn a_body_that_says_that_it_is_a_form_is_line_protocol_all_the_same() {
    let world = World::new();
    let answer = post_form(&world.router, "/write", "cpu v=1").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world.samples(&[("__name__", "cpu_v")]), [(NOW_MS, 1.0)]);
}

#[tokio::test]
async fn partial_writes_are_told_as_influx_does() {
    let world = World::new();
    let body = "good v=1 5\nbad\ngood v=2 6\n";
    let text = "partial write: line 2: unable to parse 'bad': missing fields dropped=1";
    for (path, wanted) in [
        ("/write?precision=ms", json!({ "error": text })),
        ("/api/v2/write?precision=ms", json!({ "code": "invalid", "message": text })),
    ] {
        let answer = post(&world, path, body).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, wanted));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    assert_eq!(world.samples(&[("__name__", "good_v")]).len(), 4);
    let answer = post(&world, "/write?precision=days", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["error"].as_str().is_some_and(|e| e.contains("precision")));
}

#[tokio::test]
async fn m3_s_route_answers_as_m3() {
    let world = World::new();
    let path = format!("{M3}?precision=ms");
    let answer = post(&world, &path, "my-cpu,host-name=a load.1=1.5,s=\"x\" 5").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
    let labels = [("__name__", "my_cpu_load_1"), ("host_name", "a")];
    assert_eq!(world.samples(&labels), [(5, 1.5)]);
    let empty = post(&world, M3, "").await;
    let wanted = json!({ "status": "error", "error": "empty request body" });
    assert_eq!((empty.status.as_u16(), empty.json()), (400, wanted));
    let bad = post(&world, &path, "good v=1 5\nbad\nbad v=x\n").await;
    let text =
        "bad_request_errors: count=2, last=line 3: unable to parse 'bad v=x': invalid number";
    assert_eq!((bad.status.as_u16(), bad.json()["error"].as_str()), (400, Some(text)));
    assert_eq!(world.samples(&[("__name__", "good_v")]), [(5, 1.0)]);
    let answer = post(&world, &format!("{M3}?precision=fortnight"), "p v=1 5000000").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "read as nanoseconds");
    assert_eq!(world.samples(&[("__name__", "p_v")]), [(5, 1.0)]);
}

#[tokio::test]
async fn m3_s_header_adds_labels() {
    let world = World::new();
    let header = "{\"tagMappers\":[{\"write\":{\"tag\":\"host\",\"value\":\"b\"}}]}";
    let headers = [("M3-Map-Tags-JSON", header)];
    let answer = post_with(&world, M3, &headers, "cpu,host=a v=1 5000000").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world.samples(&[("__name__", "cpu_v"), ("host", "b")]), [(5, 1.0)]);
    for (header, says) in [
        ("{\"tagMappers\":[{\"drop\":{\"tag\":\"a\"}}]}", "'drop' operation is not yet supported"),
        ("{", "header M3-Map-Tags-JSON"),
    ] {
        let headers = [("M3-Map-Tags-JSON", header)];
        let answer = post_with(&world, M3, &headers, "cpu v=1 5").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text().contains(says), "{}", answer.text());
    }
}

#[tokio::test]
async fn probes_of_influx_are_answered() {
    let world = World::new();
    for path in ["/ping", "/influx/ping"] {
        let answer = get(&world.router, path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(answer.header("x-influxdb-version"), "1.8.0");
    }
    let head = Request::head("/ping").body(Body::empty()).expect("valid");
    assert_eq!(send(&world.router, head).await.status, StatusCode::NO_CONTENT);
    // As in InfluxDB: every value but these is a wish for the version.
    for (value, status) in [("true", 200), ("1", 200), ("0", 204), ("false", 204), ("", 204)] {
        let answer = get(&world.router, &format!("/ping?verbose={value}")).await;
        let body = if status == 200 { r#"{"version":"1.8.0"}"# } else { "" };
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body), "{value}");
        assert_eq!(answer.header("x-influxdb-version"), "1.8.0");
    }
    assert_eq!(get(&world.router, "/influx/health").await.json()["status"], "pass");

    post(&world, "/write?db=main", "cpu v=1").await;
    let wanted = json!({ "results": [{ "statement_id": 0, "series": [{
        "name": "databases", "columns": ["name"], "values": [["_internal"], ["main"]],
    }] }] });
    let shown = get(&world.router, "/query?q=SHOW%20DATABASES").await;
    assert_eq!((shown.status, shown.json()), (StatusCode::OK, wanted.clone()));
    let shown = post_form(&world.router, "/influx/query", "q=show+databases;").await;
    assert_eq!(shown.json(), wanted);
    let created = post_form(&world.router, "/query", "q=CREATE DATABASE \"x\"").await;
    assert_eq!(created.json(), json!({ "results": [{ "statement_id": 0 }] }));
    let other = get(&world.router, "/query?q=SELECT%201").await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert!(other.json()["error"].as_str().is_some());
}
