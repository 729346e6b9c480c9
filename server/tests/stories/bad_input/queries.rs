//! Queries that are wrong, too large or too deep.

use serde_json::Value;

use crate::deadline::now_ms;
use crate::http_client::{Answer, Client};
use crate::query_url::{form, instant, range, target};
use crate::remote_write::{series, write};
use crate::server::{Server, write_text};

const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];

/// Checks the shape of an error and returns its text.
fn error(answer: &Answer, status: u16, error_type: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    let fields = json.as_object().expect("an object");
    assert_eq!(fields.len(), 3, "{json}");
    assert_eq!((&fields["status"], &fields["errorType"]), (&"error".into(), &error_type.into()));
    match &fields["error"] {
        Value::String(text) if !text.is_empty() => text.clone(),
        other => panic!("no text: {other}"),
    }
}

fn post_query(client: &mut Client, query: &str) -> Answer {
    client.post("/api/v1/query", FORM, form(&[("query", query)]).as_bytes())
}

#[test]
fn wrong_parameters_are_named() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    for (path, parameters, says) in [
        ("query", &[][..], "query"),
        ("query", &[("query", "")], "query"),
        ("query", &[("query", "up"), ("time", "noon")], "\"time\""),
        ("query", &[("query", "up"), ("timeout", "soon")], "\"timeout\""),
        ("query", &[("query", "up"), ("limit", "-1")], "\"limit\""),
        ("query_range", &[("query", "up"), ("start", "1"), ("end", "2")], "\"step\""),
        (
            "query_range",
            &[("query", "up"), ("start", "1"), ("end", "2"), ("step", "0")],
            "\"step\"",
        ),
        (
            "query_range",
            &[("query", "up"), ("start", "1"), ("end", "2"), ("step", "-5")],
            "\"step\"",
        ),
        ("query_range", &[("query", "up"), ("start", "2"), ("end", "1"), ("step", "1")], "\"end\""),
        ("query_range", &[("query", "up"), ("end", "1"), ("step", "1")], "\"start\""),
        (
            "query_range",
            &[("query", "up"), ("start", "0"), ("end", "11001"), ("step", "1")],
            "11,000",
        ),
        (
            "query_range",
            &[("query", "up[5m]"), ("start", "1"), ("end", "2"), ("step", "1")],
            "range vector",
        ),
        ("series", &[], "match[]"),
        ("series", &[("match[]", "{")], "match[]"),
        ("series", &[("match[]", "{a=~\"(\"}")], "match[]"),
        ("series", &[("match[]", "{}")], "match[]"),
        ("labels", &[("start", "yesterday")], "\"start\""),
        ("labels", &[("match[]", "up[5m]")], "up[5m]"),
        ("format_query", &[("query", "sum(")], "\"query\""),
    ] {
        let answer = client.get(&target(&format!("/api/v1/{path}"), parameters));
        let text = error(&answer, 400, "bad_data");
        // What the parser says counts too: it quotes the text.
        let named = text.contains(says) || text.contains("parse error");
        assert!(named, "{path} {parameters:?}: {text}");
    }
}

#[test]
fn deep_and_huge_queries_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let nested = |open: &str, inner: &str, close: &str, n: usize| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    for (name, query, says) in [
        ("parentheses", nested("(", "1", ")", 100_000), "query.nesting_max"),
        ("open parentheses", "(".repeat(500_000), "query.nesting_max"),
        ("calls", nested("abs(", "up", ")", 100_000), "query.nesting_max"),
        ("signs", format!("{}1", "-".repeat(500_000)), "query.operators_max"),
        ("operators", format!("1{}", "+1".repeat(400_000)), "query.operators_max"),
        ("powers", format!("2{}", "^2".repeat(400_000)), "query.operators_max"),
        ("subqueries", format!("up{}", "[1m:]".repeat(100_000)), ""),
        ("text", format!("\"{}\"", "a".repeat(1 << 20)), "query.text_bytes_max"),
    ] {
        let text = error(&post_query(&mut client, &query), 400, "bad_data");
        assert!(text.contains(says), "{name}: {text}");
        assert!(text.len() < 2000, "{name}: an error of {} bytes", text.len());
    }
    for (name, pattern, says) in [
        ("long", "(a|b)".repeat(100_000), "the limit is 65536"),
        ("deep", nested("(", "a", ")", 20_000), "nests too deeply"),
        ("repeated", "((a{1000}){1000}){1000}".to_owned(), "invalid repeat count"),
        ("large", "(\\\\pL{900}){1}".repeat(20), "regular expression"),
    ] {
        let answer = post_query(&mut client, &format!("up{{a=~\"{pattern}\"}}"));
        // The engine refuses what the parser does not.
        let (status, error_type) =
            if answer.status == 422 { (422, "execution") } else { (400, "bad_data") };
        let text = error(&answer, status, error_type);
        assert!(text.contains(says), "{name}: {}", &text[..text.len().min(500)]);
        // It quotes the pattern at most once.
        assert!(text.len() < pattern.len() + 500, "{name}: an error of {} bytes", text.len());
    }
    let form_too_large = "a".repeat((10 << 20) + 1);
    let answer = client.post("/api/v1/query", FORM, form_too_large.as_bytes());
    assert!(error(&answer, 413, "bad_data").contains("query.body_bytes_max"), "{}", answer.text());
    // It went on living, and a query of the size that is allowed works.
    let query = format!("1{}", "+1".repeat(900));
    assert_eq!(post_query(&mut client, &query).data()["result"][1], "901");
}

#[test]
fn too_much_data_is_refused_with_limit_and_setting() {
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("m3rs.yml");
    write_text(&config, "query:\n  series_max: 10\n  samples_max: 500\n  steps_max: 100\n");
    let server = Server::start_with(home.path(), &["--config", &config.to_string_lossy()]);
    let mut client = server.client();
    let now = now_ms();
    let numbered = |name: &str, series_count: i64, samples: i64| {
        let samples: Vec<(i64, f64)> = (0..samples).map(|i| (now - i * 1000, 1.0)).collect();
        let one = |i: i64| series(&[("__name__", name), ("i", &i.to_string())], &samples);
        (0..series_count).map(one).collect::<Vec<_>>()
    };
    write(&mut client, numbered("wide", 11, 1));
    write(&mut client, numbered("narrow", 10, 60));

    let text = error(&client.get(&instant("wide", now)), 422, "execution");
    assert!(text.contains("query.series_max") && text.contains("10"), "{text}");
    let text = error(&client.get(&instant("narrow[1m]", now)), 422, "execution");
    assert!(text.contains("query.samples_max") && text.contains("500"), "{text}");
    let answer = client.get(&range("vector(1)", now - 101_000, now, 1000));
    let text = error(&answer, 400, "bad_data");
    assert!(text.contains("resolution"), "{text}");

    // Up to the limits all is well.
    assert_eq!(
        client.get(&instant("narrow", now)).data()["result"].as_array().map(Vec::len),
        Some(10)
    );
    assert_eq!(client.get(&range("vector(1)", now - 100_000, now, 1000)).status, 200);
    let one = client.get(&instant("sum_over_time(narrow{i=\"1\"}[1m])", now)).data();
    assert_eq!(one["result"][0]["value"][1], "60");
}

#[test]
fn unknown_paths_and_wrong_methods_are_told() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    for path in
        ["/", "/api", "/api/v1", "/api/v1/nothing", "/api/v1/query/", "/api/v2/query", "/%ff"]
    {
        let answer = client.get(path);
        assert!(error(&answer, 404, "not_found").contains(path), "{}", answer.text());
    }
    for (method, path, allowed) in [
        ("PUT", "/api/v1/query", "GET,HEAD,POST"),
        ("DELETE", "/api/v1/series", "GET,HEAD,POST"),
        ("POST", "/api/v1/label/job/values", "GET,HEAD"),
        ("GET", "/api/v1/write", "POST"),
        ("GET", "/api/v1/prom/remote/write", "POST"),
        ("GET", "/api/v1/admin/tsdb/flush", "POST"),
        ("PATCH", "/ready", "GET,HEAD"),
        ("BREW", "/-/ready", "GET,HEAD"),
    ] {
        let answer = client.send(method, path, &[], b"").expect("an answer");
        let text = error(&answer, 405, "bad_data");
        assert!(text.contains(method) && text.contains(path), "{text}");
        assert_eq!(answer.header("allow"), allowed, "{path}");
    }
    // Only known methods and routes become labels of metrics.
    let metrics = client.get("/metrics");
    for strange in ["BREW", "PATCH", "/api/v2", "nothing"] {
        assert!(!metrics.text().contains(strange), "{strange}");
    }
}
