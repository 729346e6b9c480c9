//! What goes out of m3rs, beside a real Prometheus: it reads from m3rs by remote read, is asked for
//! the same federation, and has the same shapes of status pages.

use std::net::SocketAddr;

use prost::Message;
use serde_json::Value;

use crate::deadline::now_ms;
use crate::generated::histogram::{Count, ZeroCount};
use crate::generated::{BucketSpan, Histogram, Label, Sample, TimeSeries, WriteRequest};
use crate::http_client::{Answer, Client};
use crate::query_url::{instant, target};
use crate::real_prometheus::program::{Prometheus, program};
use crate::remote_write::{HEADERS, PATH, compress};
use crate::server::Server;

/// Samples of each series.
const SAMPLES: i64 = 500;

/// Time between samples.
const STEP_MS: i64 = 1000;

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(n, v): &(&str, &str)| Label { name: (*n).to_owned(), value: (*v).to_owned() };
    pairs.iter().map(label).collect()
}

fn floats(pairs: &[(&str, &str)], end: i64, value: impl Fn(i64) -> f64) -> TimeSeries {
    let sample = |i: i64| Sample { value: value(i), timestamp: end - (SAMPLES - 1 - i) * STEP_MS };
    TimeSeries {
        labels: labels(pairs),
        samples: (0..SAMPLES).map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn histograms(pairs: &[(&str, &str)], end: i64, make: impl Fn(u64) -> Histogram) -> TimeSeries {
    let histogram = |i: i64| Histogram {
        timestamp: end - (SAMPLES - 1 - i) * STEP_MS,
        ..make(i.unsigned_abs())
    };
    TimeSeries {
        labels: labels(pairs),
        histograms: (0..SAMPLES).map(histogram).collect(),
        ..TimeSeries::default()
    }
}

/// Grows, is reset now and then, and has further buckets later.
fn integer(i: u64) -> Histogram {
    let (n, buckets) = (i % 130, if i > 300 { 3 } else { 2 });
    Histogram {
        count: Some(Count::CountInt(n + buckets * n)),
        zero_count: Some(ZeroCount::ZeroCountInt(n)),
        sum: n as f64 * 1.25,
        schema: 2,
        zero_threshold: 1e-128,
        positive_spans: vec![BucketSpan {
            offset: -3,
            length: u32::try_from(buckets).expect("few"),
        }],
        positive_deltas: std::iter::once(n.cast_signed()).chain((1..buckets).map(|_| 0)).collect(),
        ..Histogram::default()
    }
}

fn float(i: u64) -> Histogram {
    let n = i as f64 / 3.0;
    Histogram {
        count: Some(Count::CountFloat(4.0 * n)),
        zero_count: Some(ZeroCount::ZeroCountFloat(n)),
        sum: -n,
        schema: 0,
        zero_threshold: 0.125,
        negative_spans: vec![BucketSpan { offset: 0, length: 2 }],
        negative_counts: vec![n, 2.0 * n],
        reset_hint: 3,
        ..Histogram::default()
    }
}

fn custom(i: u64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(3 * i)),
        sum: i as f64,
        schema: -53,
        positive_spans: vec![
            BucketSpan { offset: 0, length: 1 },
            BucketSpan { offset: 1, length: 1 },
        ],
        positive_deltas: vec![i.cast_signed(), i.cast_signed()],
        custom_values: vec![0.005, 2.5],
        ..Histogram::default()
    }
}

/// Series of every kind, the last samples at `end`.
fn request(end: i64) -> Vec<u8> {
    let odd = [0.0, -1e300, f64::INFINITY, 5e-324, 1e6, 0.1, -7.0];
    let timeseries = vec![
        floats(&[("__name__", "counter"), ("job", "b")], end, |i| i as f64 * 3.0),
        floats(&[("__name__", "counter"), ("instance", "i:1"), ("job", "a")], end, |i| {
            odd[usize::try_from(i % 7).expect("small")]
        }),
        floats(&[("__name__", "gauge"), ("job", "a\"\\\n\u{e9}")], end, |i| (i as f64).sqrt()),
        floats(&[("__name__", "http.requests"), ("job", "a"), ("le.x", "y")], end, |i| i as f64),
        histograms(&[("__name__", "custom"), ("job", "a")], end, custom),
        histograms(&[("__name__", "float"), ("job", "a")], end, float),
        histograms(&[("__name__", "integer"), ("job", "a")], end, integer),
    ];
    compress(&WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec())
}

fn write(client: &mut Client, body: &[u8]) {
    let answer = client.post(PATH, HEADERS, body);
    assert!(matches!(answer.status, 200 | 204), "{} {}", answer.status, answer.text());
}

/// A configuration without scrapes.
fn configuration(remote_read: Option<SocketAddr>) -> String {
    let mut text = "global: {scrape_interval: 1h}\n".to_owned();
    if let Some(m3rs) = remote_read {
        text.push_str(&format!(
            "remote_read:\n  - url: http://{m3rs}/api/v1/read\n    read_recent: true\n"
        ));
    }
    text
}

/// Series of a matrix by their labels.
fn matrix(answer: &Answer) -> Vec<Value> {
    let mut series = answer.data()["result"].as_array().expect("series").clone();
    series.sort_by_key(|s| s["metric"].to_string());
    series
}

#[test]
fn a_real_prometheus_reads_and_scrapes_what_was_written() {
    let Some(program) = program() else {
        println!("SKIP: M3RS_PROMETHEUS does not name a Prometheus: nobody reads from m3rs");
        return;
    };
    let home = tempfile::tempdir().expect("a directory");
    let m3rs = Server::start(home.path());
    let end = now_ms() - 1000;
    let body = request(end);
    write(&mut m3rs.client(), &body);

    let address = m3rs.address();
    let text = configuration(Some(address));
    let reader =
        Prometheus::start_configured(&program, &home.path().join("reader"), address, &text);
    for flushed in [false, true] {
        if flushed {
            assert_eq!(m3rs.client().post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
        }
        for query in ["{__name__=~\".+\"}[20m]", "{job!=\"\",__name__!~\"c.*\"}[20m]"] {
            let (ours, theirs) = (
                matrix(&m3rs.client().get(&instant(query, end))),
                matrix(&reader.client().get(&instant(query, end))),
            );
            assert!(ours.len() >= 4, "{query}: {}", ours.len());
            assert_eq!(ours, theirs, "{query}, flushed: {flushed}");
        }
        // Resets are found where they are.
        for query in ["resets(integer[20m])", "increase(custom[10m])", "rate(integer[5m])"] {
            let (ours, theirs) = (
                m3rs.client().get(&instant(query, end)).data(),
                reader.client().get(&instant(query, end)).data(),
            );
            assert_eq!(ours["result"], theirs["result"], "{query}");
        }
    }

    let writer = Prometheus::start_configured(
        &program,
        &home.path().join("writer"),
        address,
        &configuration(None),
    );
    write(&mut writer.client(), &body);
    federate(&mut m3rs.client(), &mut writer.client());
    shapes(&mut m3rs.client(), &mut writer.client());
    m3rs.terminate();
}

/// Both answer a scraper to the letter.
fn federate(m3rs: &mut Client, prometheus: &mut Client) {
    let page = target("/federate", &[("match[]", "{job=~\".+\"}"), ("match[]", "gauge")]);
    for accept in [
        "",
        "text/plain;version=0.0.4;escaping=allow-utf-8",
        "text/plain;version=0.0.4;escaping=dots",
        "text/plain;version=0.0.4;escaping=values,*/*;q=0.1",
        "application/openmetrics-text;escaping=allow-utf-8;q=0.8,text/plain;version=0.0.4;q=0.5",
    ] {
        let headers = [("Accept", accept)];
        let headers = if accept.is_empty() { &[][..] } else { &headers[..] };
        let ask = |client: &mut Client| client.send("GET", &page, headers, b"").expect("an answer");
        let (ours, theirs) = (ask(m3rs), ask(prometheus));
        assert_eq!((ours.status, theirs.status), (200, 200));
        assert_eq!(ours.header("content-type"), theirs.header("content-type"), "{accept}");
        assert_eq!(ours.text(), theirs.text(), "{accept}");
        assert!(ours.text().lines().count() > 10);
    }
    let wrong = target("/federate", &[("match[]", "{")]);
    assert_eq!(m3rs.get(&wrong).status, prometheus.get(&wrong).status);
}

/// Requests whose answers have shapes to compare.
const SHAPES: &[&str] = &[
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/features",
    "/api/v1/label/job/values?match[]=counter",
    "/api/v1/labels",
    "/api/v1/metadata?limit=2",
    "/api/v1/notifications",
    "/api/v1/query_exemplars?query=test&start=1795277306000&end=1795277307000",
    "/api/v1/rules",
    "/api/v1/rules?type=x",
    "/api/v1/rules?exclude_alerts=x",
    "/api/v1/rules?group_limit=-1",
    "/api/v1/rules?group_limit=x",
    "/api/v1/rules?group_next_token=x",
    "/api/v1/rules?match[]=%7B",
    "/api/v1/scrape_pools",
    "/api/v1/status/buildinfo",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/self_metrics?metric_name_pattern=process_cpu.*",
    "/api/v1/status/tsdb",
    "/api/v1/status/walreplay",
    "/api/v1/targets",
    "/api/v1/targets?state=active",
    "/api/v1/targets/metadata?limit=x",
    "/api/v1/targets/metadata?match_target=%7B",
    "/api/v1/targets/metadata",
    "/api/v1/targets/relabel_steps",
    "/api/v1/targets/relabel_steps?scrapePool=x",
    "/api/v1/targets/relabel_steps?scrapePool=x&labels=%7B",
    "/api/v1/targets/relabel_steps?scrapePool=x&labels=%7B%7D",
];

/// Maps whose keys are data, not shape.
const FREE_KEYS: &[&str] =
    &["/api/v1/status/flags", "/api/v1/features", "/api/v1/metadata?limit=2"];

/// Where the words of the error are those of Go's decoder.
const FREE_WORDS: &[&str] = &["/api/v1/targets/relabel_steps?scrapePool=x&labels=%7B"];

fn shapes(m3rs: &mut Client, prometheus: &mut Client) {
    let mut wrong = Vec::new();
    for path in SHAPES {
        let (ours, theirs) = (m3rs.get(path), prometheus.get(path));
        if ours.status != theirs.status {
            wrong.push(format!("{path}: {} for {}", ours.status, theirs.status));
            continue;
        }
        let (ours, theirs) = (ours.json(), theirs.json());
        if theirs["status"] == "error" {
            if ours != theirs && !FREE_WORDS.contains(path) {
                wrong.push(format!("{path}: {ours} for {theirs}"));
            }
            continue;
        }
        let is_free = FREE_KEYS.contains(path);
        compare(path, &ours["data"], &theirs["data"], is_free, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} shapes compared", SHAPES.len());
}

/// Whether `ours` has what `theirs` has, of the same types; it may have more.
fn compare(place: &str, ours: &Value, theirs: &Value, is_free: bool, wrong: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) if !is_free => {
            for (key, value) in theirs {
                let place = format!("{place} {key}");
                match ours.get(key) {
                    Some(ours) => compare(&place, ours, value, is_free, wrong),
                    None => wrong.push(format!("{place} is not there")),
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if let (Some(ours), Some(theirs)) = (ours.first(), theirs.first()) {
                compare(&format!("{place} []"), ours, theirs, is_free, wrong);
            }
        }
        _ => {
            let (ours_kind, theirs_kind) = (kind(ours), kind(theirs));
            if ours_kind != theirs_kind {
                wrong.push(format!("{place}: {ours_kind} for {theirs_kind}"));
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
