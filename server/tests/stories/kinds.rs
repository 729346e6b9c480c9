//! Every kind of sample that Remote Write brings is there after SIGKILL, from the log, and after a
//! flush, from files: histograms, start timestamps, exemplars. No route shows all of them, so the
//! data directory is opened as the server opens it.

use std::path::Path;
use std::sync::Arc;

use m3rs_core::clock::SystemClock;
use m3rs_core::fs::DiskFs;
use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, Labels, Matcher, ResetHint, SCHEMA_CUSTOM,
    Span,
};
use m3rs_core::time::{TimestampMs, TimestampNs};
use m3rs_tsdb::{Columns, Database, DatabaseOptions, Exemplar, Namespace, Progress};
use prost::Message;
use serde_json::json;

use crate::deadline::now_ms;
use crate::generated::histogram::{Count, ZeroCount};
use crate::http_client::Client;
use crate::query_url::{seconds, target};
use crate::remote_write::{HEADERS, PATH, compress};
use crate::server::Server;
use crate::{generated as v1, generated2 as v2};

/// Headers of a proper request of 2.0.
const HEADERS_2: &[(&str, &str)] = &[
    ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "2.0.0"),
];

const TRACE: &str = "4bf92f3577b34da6";

#[test]
fn every_kind_of_sample_outlasts_a_kill_and_a_flush() {
    let home = tempfile::tempdir().expect("a directory");
    let t = now_ms();
    let server = Server::start(home.path());
    let mut client = server.client();
    write_1(&mut client, t);
    write_2(&mut client, t);
    check_exemplars(&mut client, t);
    server.kill();
    check(home.path(), t);

    let server = Server::start(home.path());
    check_exemplars(&mut server.client(), t);
    assert_eq!(server.client().post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    check_exemplars(&mut server.client(), t);
    server.kill();
    check(home.path(), t);
}

/// What is answered to a query for exemplars of two selectors, one of which has none.
fn check_exemplars(client: &mut Client, t: i64) {
    let ask = |client: &mut Client, start: i64| {
        let query = ("query", "rate(counter{job=\"story\"}[5m]) / no_such");
        let start = ("start", seconds(start));
        client.get(&target("/api/v1/query_exemplars", &[query, (start.0, &start.1)])).data()
    };
    let exemplar = json!({
        "labels": {"trace_id": TRACE}, "value": "2.5", "timestamp": t as f64 / 1000.0,
    });
    let wanted = json!([{
        "seriesLabels": {"__name__": "counter", "job": "story"}, "exemplars": [exemplar],
    }]);
    assert_eq!(ask(client, t), wanted);
    assert_eq!(ask(client, t + 1), json!([]));
}

/// An exponential histogram of whole observations, as both versions spell it.
fn integer() -> Histogram {
    let layout = HistogramLayout {
        schema: 3,
        zero_threshold: 1e-128,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        custom_bounds: Vec::new(),
    };
    let counts = BucketCounts { count: 17, zero: 2, positive: vec![5, 4, 3], negative: vec![3] };
    let (layout, counts) = (Arc::new(layout), Counts::Integer(counts));
    Histogram { layout, reset_hint: ResetHint::Unknown, sum: 18.4, counts }
}

fn float() -> Histogram {
    let layout = HistogramLayout {
        schema: -1,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: 4, length: 2 }],
        ..HistogramLayout::default()
    };
    let positive = vec![0.25, 1.5];
    let counts = BucketCounts { count: 2.0, zero: 0.25, positive, negative: Vec::new() };
    let (layout, counts) = (Arc::new(layout), Counts::Float(counts));
    Histogram { layout, reset_hint: ResetHint::Gauge, sum: -7.5, counts }
}

fn custom() -> Histogram {
    let layout = HistogramLayout {
        schema: SCHEMA_CUSTOM,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        custom_bounds: vec![0.1, 2.5],
        ..HistogramLayout::default()
    };
    let counts = BucketCounts { count: 9, zero: 0, positive: vec![2, 3, 4], negative: Vec::new() };
    let (layout, counts) = (Arc::new(layout), Counts::Integer(counts));
    Histogram { layout, reset_hint: ResetHint::NoReset, sum: 12.0, counts }
}

fn labels_1(name: &str) -> Vec<v1::Label> {
    let label = |n: &str, v: &str| v1::Label { name: n.to_owned(), value: v.to_owned() };
    vec![label("__name__", name), label("job", "story")]
}

fn span_1(offset: i32, length: u32) -> v1::BucketSpan {
    v1::BucketSpan { offset, length }
}

/// Histograms of all three kinds, and an exemplar as Prometheus sends it: in a series of its own.
fn write_1(client: &mut Client, t: i64) {
    let integer = v1::Histogram {
        sum: 18.4,
        schema: 3,
        zero_threshold: 1e-128,
        negative_spans: vec![span_1(0, 1)],
        negative_deltas: vec![3],
        positive_spans: vec![span_1(-2, 2), span_1(1, 1)],
        positive_deltas: vec![5, -1, -1],
        timestamp: t,
        count: Some(Count::CountInt(17)),
        zero_count: Some(ZeroCount::ZeroCountInt(2)),
        ..v1::Histogram::default()
    };
    let float = v1::Histogram {
        sum: -7.5,
        schema: -1,
        zero_threshold: 0.001,
        positive_spans: vec![span_1(4, 2)],
        positive_counts: vec![0.25, 1.5],
        reset_hint: 3,
        timestamp: t,
        count: Some(Count::CountFloat(2.0)),
        zero_count: Some(ZeroCount::ZeroCountFloat(0.25)),
        ..v1::Histogram::default()
    };
    let custom = v1::Histogram {
        sum: 12.0,
        schema: SCHEMA_CUSTOM,
        positive_spans: vec![span_1(0, 3)],
        positive_deltas: vec![2, 1, 1],
        custom_values: vec![0.1, 2.5],
        reset_hint: 2,
        timestamp: t,
        count: Some(Count::CountInt(9)),
        ..v1::Histogram::default()
    };
    let of = |name: &str, h: v1::Histogram| v1::TimeSeries {
        labels: labels_1(name),
        histograms: vec![h],
        ..v1::TimeSeries::default()
    };
    let trace = v1::Label { name: "trace_id".to_owned(), value: TRACE.to_owned() };
    let exemplar = v1::Exemplar { labels: vec![trace], value: 0.3, timestamp: t - 1 };
    let lone = v1::TimeSeries {
        labels: labels_1("integer"),
        exemplars: vec![exemplar],
        ..v1::TimeSeries::default()
    };
    let timeseries = vec![of("integer", integer), of("float", float), of("custom", custom), lone];
    let request = v1::WriteRequest { timeseries, metadata: Vec::new() };
    let answer = client.post(PATH, HEADERS, &compress(&request.encode_to_vec()));
    assert_eq!((answer.status, answer.text()), (204, ""));
}

/// A counter and a histogram with start timestamps, and an exemplar beside its sample.
fn write_2(client: &mut Client, t: i64) {
    let symbols = ["", "__name__", "counter", "job", "story", "started", "trace_id", TRACE];
    let exemplar = v2::Exemplar { labels_refs: vec![6, 7], value: 2.5, timestamp: t };
    let counter = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![
            v2::Sample { value: 41.0, timestamp: t - 1000, start_timestamp: t - 5000 },
            v2::Sample { value: 42.0, timestamp: t, start_timestamp: t - 5000 },
        ],
        exemplars: vec![exemplar],
        ..v2::TimeSeries::default()
    };
    let span = v2::BucketSpan { offset: 0, length: 3 };
    let custom = v2::Histogram {
        sum: 12.0,
        schema: SCHEMA_CUSTOM,
        positive_spans: vec![span],
        positive_deltas: vec![2, 1, 1],
        custom_values: vec![0.1, 2.5],
        reset_hint: 2,
        timestamp: t,
        start_timestamp: t - 9000,
        count: Some(v2::histogram::Count::CountInt(9)),
        ..v2::Histogram::default()
    };
    let started = v2::TimeSeries {
        labels_refs: vec![1, 5, 3, 4],
        histograms: vec![custom],
        ..v2::TimeSeries::default()
    };
    let symbols = symbols.map(str::to_owned).to_vec();
    let request = v2::Request { symbols, timeseries: vec![counter, started] };
    let answer = client.post(PATH, HEADERS_2, &compress(&request.encode_to_vec()));
    assert_eq!((answer.status, answer.text()), (204, ""));
    let written = ["Samples", "Histograms", "Exemplars"]
        .map(|kind| answer.header(&format!("X-Prometheus-Remote-Write-{kind}-Written")).to_owned());
    assert_eq!(written, ["2", "1", "1"]);
}

fn of_name(name: &str) -> [Matcher; 1] {
    [Matcher::equal("__name__", name)]
}

const EVER: (TimestampNs, TimestampNs) = (TimestampNs(0), TimestampNs(i64::MAX / 2));

/// The one series of that name.
fn read(namespace: &Arc<Namespace>, name: &str) -> Columns {
    let found = namespace.select(&of_name(name), EVER.0, EVER.1, 9).expect("found");
    assert_eq!(found.labels().len(), 1, "{name}");
    assert_eq!(found.labels()[0].get("job"), Some("story"));
    let mut columns = Columns::default();
    found.read(0, &mut columns);
    assert_eq!(found.damage(), Vec::<String>::new());
    columns
}

fn exemplars(namespace: &Namespace, name: &str) -> Vec<Exemplar> {
    let found = namespace.exemplars(&of_name(name), EVER.0, EVER.1, 9).expect("found");
    found.into_iter().flat_map(|(_, all)| all).collect()
}

fn check(home: &Path, t: i64) {
    let (fs, clock) = (Arc::new(DiskFs), Arc::new(SystemClock::new()));
    let mut options = DatabaseOptions::new(fs, clock, home.join("data"), [3; 192]);
    options.background = false;
    let database = Database::open(options, Arc::new(Progress::new())).expect("opens");
    assert_eq!(database.damage_at_start(), []);
    let namespace = database.namespace("default").expect("it is always there");
    let ns = |ms: i64| TimestampMs(ms).to_ns().0;
    for (name, wanted) in
        [("integer", integer()), ("float", float()), ("custom", custom()), ("started", custom())]
    {
        let columns = read(&namespace, name);
        assert!(columns.ts.is_empty(), "{name}");
        assert_eq!(columns.rich.histograms.ts, [ns(t)], "{name}");
        assert_eq!(*columns.rich.histograms.values[0], wanted, "{name}");
        let start = (name == "started").then(|| ns(t - 9000));
        assert_eq!(columns.rich.starts.at(ns(t)).copied(), start, "{name}");
    }
    let counter = read(&namespace, "counter");
    assert_eq!((&counter.ts[..], &counter.vs[..]), (&[ns(t - 1000), ns(t)][..], &[41.0, 42.0][..]));
    for at in [t - 1000, t] {
        assert_eq!(counter.rich.starts.at(ns(at)), Some(&ns(t - 5000)));
    }
    let labels = Labels::from_pairs([("trace_id", TRACE)]).expect("valid");
    let of_integer = Exemplar { t: ns(t - 1), value: 0.3, labels: labels.clone() };
    assert_eq!(exemplars(&namespace, "integer"), [of_integer]);
    assert_eq!(exemplars(&namespace, "counter"), [Exemplar { t: ns(t), value: 2.5, labels }]);
    drop(namespace);
    database.close().expect("closes");
}
