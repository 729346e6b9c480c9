//! What Grafana's data source and Drilldown ask of a Prometheus besides queries, and Prometheus's
//! own pages: the shapes that their frontends read.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{get, post_form, send};
use crate::fakes::{NOW_MS, World};

async fn data(world: &World, path: &str) -> Value {
    let answer = get(&world.router, &format!("/api/v1/{path}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    let mut answer = answer.json();
    assert_eq!(answer["status"], "success", "{path}");
    answer["data"].take()
}

#[tokio::test]
async fn what_is_not_here_is_empty_in_the_right_shape() {
    let world = World::new();
    let targets = json!({
        "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {},
    });
    for (path, wanted) in [
        ("rules", json!({ "groups": [] })),
        ("rules?type=alert&rule_name[]=x&file[]=y&match[]=a%3Db", json!({ "groups": [] })),
        ("rules?type=Record&exclude_alerts=true&group_limit=5", json!({ "groups": [] })),
        ("alerts", json!({ "alerts": [] })),
        ("alertmanagers", json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] })),
        ("scrape_pools", json!({ "scrapePools": [] })),
        ("targets", targets.clone()),
        ("targets?state=any&scrapePool=x", targets),
        (
            "targets?state=active",
            json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": null }),
        ),
        ("targets/metadata?limit=2&metric=up&match_target=a%3Db", json!([])),
        ("notifications", json!([])),
        ("metadata?limit=40000", json!({})),
    ] {
        assert_eq!(data(&world, path).await, wanted, "{path}");
    }
    let answer = get(&world.router, "/api/v1/notifications/live").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
}

#[tokio::test]
async fn wrong_parameters_are_refused_in_the_words_of_prometheus() {
    let world = World::new();
    for (path, wanted) in [
        ("rules?type=x", "invalid parameter \"type\": not supported value \"x\""),
        (
            "rules?exclude_alerts=maybe",
            "invalid parameter \"exclude_alerts\": error converting exclude_alerts: \
             strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "rules?group_limit=0",
            "invalid parameter \"group_limit\": group_limit needs to be greater than 0",
        ),
        (
            "rules?group_limit=x",
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: \
             strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "rules?group_next_token=x",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to \
             paginate over the groups",
        ),
        (
            "rules?group_next_token=x&group_limit=3",
            "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule \
             groups changed?",
        ),
        ("rules?match[]=x", "parse error: no selector"),
        ("targets/metadata?limit=x", "limit must be a number"),
        ("targets/relabel_steps", "no scrapePool parameter provided"),
        ("targets/relabel_steps?scrapePool=x", "no labels parameter provided"),
        (
            "targets/relabel_steps?scrapePool=x&labels=%7B%22a%22:%22b%22%7D",
            "error retrieving scrape config: scrape pool \"x\" not found",
        ),
    ] {
        let answer = get(&world.router, &format!("/api/v1/{path}")).await;
        let error = answer.json();
        assert_eq!((answer.status.as_u16(), &error["errorType"]), (400, &json!("bad_data")));
        assert_eq!(error["error"], wanted, "{path}");
    }
}

#[tokio::test]
async fn the_process_tells_of_itself() {
    let world = World::new();
    assert_eq!(data(&world, "status/config").await, json!({ "yaml": "query:\n  timeout: 5m\n" }));
    assert_eq!(data(&world, "status/flags").await, json!({ "data-dir": "/data" }));
    assert_eq!(data(&world, "features").await, json!({ "api": { "remote_read": true } }));
    let mut info = data(&world, "status/runtimeinfo").await;
    let threads = info["goroutineCount"].take();
    assert!(threads.as_u64().is_some_and(|n| n > 0), "{threads}");
    let wanted = json!({
        "startTime": "2023-12-31T23:59:58.5Z", "CWD": "/", "hostname": "machine",
        "serverTime": "2024-01-01T00:00:00Z", "reloadConfigSuccess": true,
        "lastConfigTime": "2023-12-31T23:59:58.5Z", "corruptionCount": 0, "goroutineCount": null,
        "GOMAXPROCS": 2, "GOMEMLIMIT": i64::MAX, "GOGC": "", "GODEBUG": "",
        "storageRetention": "30d",
    });
    assert_eq!(info, wanted);
    let metrics =
        data(&world, "status/self_metrics?metric_name_pattern=m3rs_write_s.*s_total").await;
    let kinds: Vec<_> = metrics.as_array().expect("a list").iter().map(|m| &m["type"]).collect();
    assert_eq!(kinds, ["COUNTER", "COUNTER"], "{metrics}");
    let answer = get(&world.router, "/api/v1/status/self_metrics?metric_name_pattern=(").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let build = data(&world, "status/buildinfo").await;
    assert!(build.get("features").is_none(), "Grafana takes it for a ruler");
}

#[tokio::test]
async fn a_start_is_told_while_it_lasts() {
    let world = World::new();
    let wanted = json!({ "min": 0, "max": 100, "current": 100 });
    assert_eq!(data(&world, "status/walreplay").await, wanted);
    world.control.ready.store(false, std::sync::atomic::Ordering::Relaxed);
    let wanted = json!({ "min": 0, "max": 100, "current": 25 });
    assert_eq!(data(&world, "status/walreplay").await, wanted);
    let text = "m3rs is starting: commitlog (25 % done).";
    let wanted = json!([{ "text": text, "date": "2023-12-31T23:59:58.5Z", "active": true }]);
    assert_eq!(data(&world, "notifications").await, wanted);
}

#[tokio::test]
async fn the_probe_for_exemplars_has_milliseconds() {
    let world = World::new();
    let path = format!("query_exemplars?query=a%3Db&start={}&end={NOW_MS}", NOW_MS - 3_600_000);
    assert_eq!(data(&world, &path).await, json!([]));
}

#[tokio::test]
async fn requests_that_may_be_posted_are_asked_as_grafana_does() {
    let world = World::new();
    for (path, form) in [
        ("query", "query=1%2B1&time=4"),
        ("query_range", "query=up&start=1&end=61&step=15&timeout=30s"),
        ("query_exemplars", "query=a%3Db&start=1&end=2"),
        ("labels", "start=1&end=2&limit=40000"),
        ("series", "match%5B%5D=a%3Db&start=1&end=2&limit=40000"),
        ("format_query", "query=up"),
        ("parse_query", "query=up"),
    ] {
        let answer = post_form(&world.router, &format!("/api/v1/{path}"), form).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert_eq!(answer.json()["status"], "success");
    }
    // Grafana asks again by GET after a 405.
    for path in ["label/job/values", "metadata", "rules", "alerts", "targets", "status/config"] {
        let answer = post_form(&world.router, &format!("/api/v1/{path}"), "limit=1").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(
            (answer.json()["status"].as_str(), answer.header("allow")),
            (Some("error"), "GET,HEAD")
        );
    }
    let head = http::Request::head("/api/v1/rules").body(axum::body::Body::empty());
    let answer = send(&world.router, head.expect("valid")).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}
