//! Queries that run for long: they are seen, ended by request or when their client leaves, and
//! logged. And switches of what queries may use.

use std::time::Duration;

use serde_json::{Value, json};

use crate::deadline::{now_ms, wait_for};
use crate::http_client::Client;
use crate::query_url::{instant, range, target};
use crate::remote_write::{TimeSeries, series, write};
use crate::server::{Server, write_text};

const ACTIVE: &str = "/api/v1/status/active_queries";

/// How long a query may take to notice that it should stop, on a machine that does other things.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes minutes, in small parts.
const HEAVY: &str = "sum(quantile_over_time(0.5, many[10m:1s]))";

fn write_many(client: &mut Client, t: i64) {
    let one = |i: u32| {
        let samples: Vec<(i64, f64)> =
            (0..100).map(|n| (t - n * 10_000, f64::from(i) + n as f64)).collect();
        series(&[("__name__", "many"), ("i", &i.to_string())], &samples)
    };
    let all: Vec<TimeSeries> = (0..3000).map(one).collect();
    for part in all.chunks(500) {
        write(client, part.to_vec());
    }
}

fn active(client: &mut Client) -> Vec<Value> {
    client.get(ACTIVE).data().as_array().expect("a list").clone()
}

fn wait_for_running(client: &mut Client) -> Value {
    wait_for("the query", STOP_TIMEOUT, || {
        active(client).into_iter().find(|query| query["state"] == "running")
    })
}

fn wait_for_none(client: &mut Client) {
    wait_for("the end of the query", STOP_TIMEOUT, || active(client).is_empty().then_some(()));
}

#[test]
fn a_long_query_is_ended_by_request_or_when_its_client_leaves() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let t = now_ms();
    write_many(&mut client, t);
    let heavy = range(HEAVY, t - 3_000_000, t, 1000);

    let mut leaving = server.client();
    leaving.start(&heavy).expect("sent");
    let query = wait_for_running(&mut client);
    assert_eq!((&query["query"], &query["step"]), (&json!(HEAVY), &json!(1)));
    assert!(query["remoteAddr"].as_str().is_some_and(|a| a.starts_with("127.0.0.1:")), "{query}");
    drop(leaving);
    wait_for_none(&mut client);

    let mut patient = server.client();
    patient.start(&heavy).expect("sent");
    let id = wait_for_running(&mut client)["id"].as_str().expect("a text").to_owned();
    let cancelled = client.post(&format!("{ACTIVE}/{id}/cancel"), &[], b"");
    assert_eq!(cancelled.data(), json!({"id": id}));
    let answer = patient.finish().expect("an answer");
    let error = "query was canceled in expression evaluation";
    let wanted = json!({"status": "error", "errorType": "canceled", "error": error});
    assert_eq!((answer.status, answer.json()), (499, wanted));
    wait_for_none(&mut client);
    let metrics = client.get("/metrics");
    assert!(metrics.text().contains("m3rs_queries_cancelled_total 1\n"), "{}", metrics.text());
    let top = client.get("/api/v1/status/top_queries?limit=1").data();
    let slowest = &top["topByMaxDuration"][0];
    assert_eq!((&slowest["query"], &slowest["errors"]), (&json!(HEAVY), &json!(2)), "{top}");
    server.terminate();
}

#[test]
fn slow_queries_are_logged() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("m3rs.yml");
    write_text(&file, "query:\n  log_slower_than: 0s\n");
    let file = file.to_string_lossy();
    let server = Server::start_with(home.path(), &["-f", &file, "--log-format", "json"]);
    let mut client = server.client();
    let t = now_ms();
    write(&mut client, vec![series(&[("__name__", "up")], &[(t - 1000, 1.0), (t, 1.0)])]);
    client.get(&range("rate(up[5s])", t - 10_000, t, 5000)).data();
    assert_eq!(client.get(&instant("sum(", t)).status, 400);
    let lines = wait_for("two lines", STOP_TIMEOUT, || {
        let log = server.log();
        let slow: Vec<Value> = log
            .lines()
            .filter(|line| line.contains("slow query"))
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect();
        (slow.len() == 2).then_some(slow)
    });
    let [good, bad] = &lines[..] else { unreachable!("there are two") };
    for (field, wanted) in [
        ("message", json!("slow query")),
        ("level", json!("INFO")),
        ("query", json!("rate(up[5s])")),
        ("start_ms", json!(t - 10_000)),
        ("end_ms", json!(t)),
        ("step_ms", json!(5000)),
        ("series", json!(1)),
        ("samples", json!(2)),
        ("error", Value::Null),
    ] {
        assert_eq!(good[field], wanted, "{field} in {good}");
    }
    assert!(good["duration_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{good}");
    assert!(good["queue_seconds"].as_f64() < good["duration_seconds"].as_f64(), "{good}");
    assert!(good["client"].as_str().is_some_and(|a| a.starts_with("127.0.0.1:")), "{good}");
    assert!(bad["error"].as_str().is_some_and(|e| e.contains("unclosed left")), "{bad}");
    assert_eq!(bad["series"], Value::Null, "{bad}");
    assert!(client.get("/metrics").text().contains("m3rs_queries_slow_total 2\n"));
    server.terminate();
}

#[test]
fn statistics_have_all_of_prometheus_s_members() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let t = now_ms();
    write(&mut client, vec![series(&[("__name__", "up")], &[(t - 1000, 1.0), (t, 1.0)])]);
    let data = client.get(&(instant("up", t) + "&stats=true")).data();
    let stats = &data["stats"];
    let timings = stats["timings"].as_object().expect("an object");
    let time = |name: &str| timings[name].as_f64().unwrap_or_else(|| panic!("{name} in {stats}"));
    assert_eq!(timings.len(), 6, "{stats}");
    assert!(time("queryPreparationTime") > 0.0 && time("innerEvalTime") > 0.0, "{stats}");
    assert_eq!(time("resultSortTime"), 0.0, "an instant vector is not sorted");
    let parts = time("queryPreparationTime") + time("innerEvalTime");
    assert!((time("evalTotalTime") - parts).abs() < 1e-9, "{stats}");
    let all = time("execQueueTime") + time("evalTotalTime");
    assert!((time("execTotalTime") - all).abs() < 1e-9, "{stats}");
    assert_eq!(stats["seriesFetched"], "1");
    assert!(stats["samples"]["samplesRead"].as_u64().is_some_and(|n| n > 0), "{stats}");
    server.terminate();
}

#[test]
fn features_are_switched_by_prometheus_s_names() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(
        home.path(),
        &[
            "--disable-feature",
            "promql-experimental-functions,promql-binop-fill-modifiers",
            "--enable-feature",
            "promql-delayed-name-removal,no-such-feature",
        ],
    );
    assert!(server.log().contains("Unknown option for --enable-feature"), "{}", server.log());
    let mut client = server.client();
    for (query, error) in [
        (
            "limitk(1, up)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        ("info(up)", "1:1: parse error: function \"info\" is not enabled"),
        (
            "a + fill(0) b",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
    ] {
        let answer = client.get(&target("/api/v1/query", &[("query", query)]));
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["error"], format!("invalid parameter \"query\": {error}"));
    }
    let data = client.get(&target("/api/v1/query", &[("query", "up anchored")]));
    assert_eq!(data.status, 200, "what is not switched off is on: {}", data.text());
    server.terminate();
}
