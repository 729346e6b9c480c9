//! Remote write: what is stored, what is refused, and with which words.

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use m3rs_coordinator::ingest::Relabeler;
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::write::StoreError;
use m3rs_core::ErrorKind;
use prost::Message;
use serde_json::json;
use std::sync::atomic::Ordering;

use crate::client::{get, post_write, send};
use crate::fakes::{NOW_MS, World};
use crate::messages::{Exemplar, Histogram, Label, body, compress, request, series};

const PROMETHEUS: &str = "/api/v1/write";
const M3: &str = "/api/v1/prom/remote/write";
const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];

#[tokio::test]
async fn samples_are_written_and_answered_as_each_api_does() {
    let world = World::new();
    let wanted = [(1, 1.5), (NOW_MS, f64::NAN), (2, f64::MIN)];
    let bytes = body(&request(vec![series(UP, &wanted)]));
    for (path, status) in [(PROMETHEUS, 204), (M3, 200), ("/prometheus/api/v1/write", 204)] {
        let answer = post_write(&world.router, path, bytes.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, ""), "{path}");
    }
    let bits = |s: &[(i64, f64)]| s.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
    assert_eq!(bits(&world.samples(UP)), bits(&wanted.repeat(3)));
    assert_eq!(world.store.parses.load(Ordering::Relaxed), 1, "a known series is not parsed");
}

#[tokio::test]
async fn refused_series_are_named_and_the_others_written() {
    let world = World::new();
    let mut with_histogram = series(&[("__name__", "h")], &[(1, 1.0)]);
    let bad = Histogram { timestamp: 1, schema: 99, ..Histogram::default() };
    with_histogram.histograms =
        vec![bad, Histogram { timestamp: 2, sum: 0.5, ..Histogram::default() }];
    let bytes = body(&request(vec![
        series(&[("job", "a")], &[(1, 1.0), (2, 2.0)]),
        series(UP, &[(1, 1.0), (-1, 2.0), (NOW_MS + 3_600_000, 3.0)]),
        series(&[("__name__", "a"), ("x", "1"), ("x", "2")], &[(1, 1.0)]),
        with_histogram,
    ]));
    let answer = post_write(&world.router, PROMETHEUS, bytes).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.text(),
        "6 samples refused, all others written:\n\
         {job=\"a\"}: the label __name__ is missing\n\
         {__name__=\"up\", job=\"a\"}: timestamp -1 ms is before 0 ms, the oldest time that is \
         kept\n\
         {__name__=\"up\", job=\"a\"}: timestamp 1704070800000 ms is after 1704067800000 ms, the \
         latest time that is taken now\n\
         {__name__=\"a\", x=\"1\", x=\"2\"}: duplicate label name \"x\"\n\
         {__name__=\"h\"}: histogram schema 99 is not one of -4 to 8, or -53 for custom buckets\n"
    );
    let histograms = world.store.histograms.lock().clone();
    assert_eq!(histograms.len(), 1, "the other histogram is written");
    assert_eq!((histograms[0].1, histograms[0].2.sum), (2, 0.5));
    assert_eq!(world.samples(UP), [(1, 1.0)]);
    assert_eq!(world.samples(&[("__name__", "h")]), [(1, 1.0)]);

    let metrics = get(&world.router, "/metrics").await;
    for line in [
        "m3rs_write_samples_total 2\n",
        "m3rs_write_series_total 4\n",
        "m3rs_write_refused_samples_total{reason=\"labels\"} 3\n",
        "m3rs_write_refused_samples_total{reason=\"too_old\"} 1\n",
        "m3rs_write_refused_samples_total{reason=\"too_new\"} 1\n",
        "m3rs_write_refused_samples_total{reason=\"histogram\"} 1\n",
        "m3rs_write_histograms_total 1\n",
    ] {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
}

#[tokio::test]
async fn many_refusals_are_counted_and_a_few_told() {
    let mut limits = Limits::default();
    limits.write.refusals_told_max = 2;
    let world = World::with_limits(limits);
    let all = (0..100).map(|i| series(&[("n", &i.to_string())], &[(1, 1.0)])).collect();
    let answer = post_write(&world.router, PROMETHEUS, body(&request(all))).await;
    assert_eq!(
        answer.text(),
        "100 samples refused, all others written:\n\
         {n=\"0\"}: the label __name__ is missing\n\
         {n=\"1\"}: the label __name__ is missing\n\
         and 98 more\n"
    );
}

#[tokio::test]
async fn the_series_limit_refuses_new_series_only() {
    let world = World::new();
    let numbered = |from: usize, to: usize| {
        let all = (from..to)
            .map(|i| series(&[("__name__", "m"), ("i", &i.to_string())], &[(1, 1.0)]))
            .collect();
        body(&request(all))
    };
    let answer = post_write(&world.router, PROMETHEUS, numbered(0, 1000)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = post_write(&world.router, PROMETHEUS, numbered(999, 1001)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("1000 active series is reached (limits.series_max)"));
    assert_eq!(world.samples(&[("__name__", "m"), ("i", "999")]).len(), 2);
}

#[tokio::test]
async fn new_series_that_come_too_fast_are_told_to_come_again() {
    let world = World::new();
    let one = |n: &str| series(&[("__name__", "m"), ("i", n)], &[(1, 1.0)]);
    let answer = post_write(&world.router, PROMETHEUS, body(&request(vec![one("1")]))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    world.store.series_too_fast.store(true, Ordering::Relaxed);
    let both = body(&request(vec![one("1"), one("2")]));
    let answer = post_write(&world.router, PROMETHEUS, both).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers.contains_key("retry-after"));
    let text = answer.text();
    assert!(text.contains("i=\"2\"") && text.contains("new_series_per_second_max"), "{text}");
    assert_eq!(world.samples(&[("__name__", "m"), ("i", "1")]).len(), 2, "known ones are written");
    world.store.series_too_fast.store(false, Ordering::Relaxed);
    let answer = post_write(&world.router, PROMETHEUS, body(&request(vec![one("2")]))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn exemplars_and_empty_messages_are_no_errors() {
    let world = World::new();
    let mut one = series(UP, &[(1, 1.0)]);
    one.exemplars = vec![Exemplar {
        labels: vec![Label { name: "trace".into(), value: "1".into() }],
        value: 1.0,
        timestamp: 1,
    }];
    let empty = series(UP, &[]);
    let bytes = body(&request(vec![one, empty]));
    assert_eq!(post_write(&world.router, PROMETHEUS, bytes).await.status, 204);
    assert_eq!(post_write(&world.router, PROMETHEUS, compress(b"")).await.status, 204);
    assert_eq!(world.samples(UP), [(1, 1.0)]);
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_write_exemplars_total 1\n"));
    let exemplars = world.store.exemplars.lock().clone();
    assert_eq!((exemplars.len(), exemplars[0].1.t, exemplars[0].1.value), (1, 1, 1.0));
    assert_eq!(exemplars[0].1.labels.get("trace"), Some("1"));
}

/// Prometheus's sender of 1.0 puts each exemplar into a `TimeSeries` without samples; they were
/// counted and dropped.
#[tokio::test]
async fn an_exemplar_may_come_in_a_message_of_its_own() {
    let world = World::new();
    let mut lone = series(UP, &[]);
    let trace = Label { name: "trace".into(), value: "7".into() };
    lone.exemplars = vec![Exemplar { labels: vec![trace], value: 2.5, timestamp: 3 }];
    let bytes = body(&request(vec![series(UP, &[(1, 1.0)]), lone]));
    assert_eq!(post_write(&world.router, PROMETHEUS, bytes).await.status, 204);
    assert_eq!(world.samples(UP), [(1, 1.0)]);
    let exemplars = world.store.exemplars.lock().clone();
    assert_eq!(exemplars.len(), 1);
    assert_eq!((exemplars[0].1.t, exemplars[0].1.value), (3, 2.5));
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_write_exemplars_total 1\n"));
}

#[tokio::test]
async fn bad_bodies_are_refused_as_a_whole() {
    let world = World::new();
    let good = request(vec![series(UP, &[(1, 1.0)])]).encode_to_vec();
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    let mut with_bad_tail = good.clone();
    with_bad_tail.extend_from_slice(&[0x0a, 2, 0x12, 9]);
    let huge_claim = [0xff, 0xff, 0xff, 0x7f, 0x00];
    for (name, bytes, status, says) in [
        ("no snappy", b"hello".to_vec(), 400, "cannot decompress the body"),
        ("empty", Vec::new(), 400, "cannot decompress the body"),
        ("cut", compress(&cut), 400, "cannot decode the write request"),
        ("bad tail", compress(&with_bad_tail), 400, "cannot decode the write request"),
        ("group", compress(&[0x0b]), 400, "wire type 0, 1, 2 or 5"),
        ("series as number", compress(&[0x08, 1]), 400, "length-delimited"),
        ("bomb", huge_claim.to_vec(), 400, "ingest.decoded_bytes_max"),
    ] {
        let answer = post_write(&world.router, PROMETHEUS, bytes).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.text());
        assert!(answer.text().contains(says), "{name}: {}", answer.text());
    }
    assert!(world.store.written.lock().is_empty());
}

#[tokio::test]
async fn other_types_and_encodings_are_refused() {
    let world = World::new();
    let bytes = body(&request(vec![series(UP, &[(1, 1.0)])]));
    for (content_type, encoding, status) in [
        (Some("application/x-protobuf"), Some("snappy"), 204),
        (Some("Application/X-Protobuf; proto=prometheus.WriteRequest"), Some("Snappy"), 204),
        (None, None, 204),
        (Some("application/x-protobuf;proto=io.prometheus.write.v3.Request"), Some("snappy"), 415),
        (Some("application/json"), Some("snappy"), 415),
        (Some("application/x-protobuf"), Some("zstd"), 400),
        (Some("application/x-protobuf"), Some("br"), 415),
        (Some("application/x-protobuf"), Some("gzip"), 415),
        (Some("application/x-protobuf"), Some("identity"), 415),
    ] {
        let mut request = Request::post(PROMETHEUS);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let request = request.body(Body::from(bytes.clone())).expect("valid");
        let answer = send(&world.router, request).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type:?} {encoding:?}");
    }
}

/// VictoriaMetrics's agents send zstd unless it is refused.
#[tokio::test]
async fn zstd_is_taken() {
    let world = World::new();
    let message = request(vec![series(UP, &[(1, 1.0)])]).encode_to_vec();
    let bytes = zstd::bulk::compress(&message, 1).expect("short");
    let request = Request::post(PROMETHEUS)
        .header("content-encoding", "zstd")
        .header("content-type", "application/x-protobuf")
        .header("x-victoriametrics-remote-write-version", "1")
        .body(Body::from(bytes))
        .expect("valid");
    assert_eq!(send(&world.router, request).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.samples(UP), [(1, 1.0)]);
}

#[tokio::test]
async fn rules_change_labels_and_drop_series_without_a_word() {
    let rule = |yaml: serde_json::Value| serde_json::from_value(yaml).expect("a rule");
    let rules = [
        rule(json!({ "source_labels": ["__name__"], "regex": "go_.*", "action": "drop" })),
        rule(json!({ "regex": "pod", "action": "labeldrop" })),
        rule(json!({ "source_labels": ["job"], "regex": "(.)", "target_label": "team" })),
    ];
    let rules = Relabeler::new(&rules).expect("they are valid");
    let world = World::with(Limits::default(), rules);
    let all = vec![
        series(&[("__name__", "go_gc"), ("job", "a")], &[(1, 1.0), (2, 1.0)]),
        series(&[("__name__", "up"), ("job", "a"), ("pod", "x")], &[(1, 1.0)]),
        series(&[("job", "a")], &[(1, 1.0)]),
    ];
    let answer = post_write(&world.router, PROMETHEUS, body(&request(all))).await;
    let told =
        "1 samples refused, all others written:\n{job=\"a\"}: the label __name__ is missing\n";
    assert_eq!((answer.status.as_u16(), answer.text()), (400, told));
    let up = [("__name__", "up"), ("job", "a"), ("team", "a")];
    assert_eq!(world.samples(&up), [(1, 1.0)]);
    assert_eq!(world.store.written.lock().len(), 1);
    let go = vec![series(&[("__name__", "go_gc"), ("job", "a")], &[(3, 1.0)])];
    let answer = post_write(&world.router, PROMETHEUS, body(&request(go))).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    let metrics = get(&world.router, "/metrics").await;
    let line = "m3rs_write_refused_samples_total{reason=\"dropped\"} 3\n";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

#[tokio::test]
async fn body_limits_hold_with_and_without_a_told_length() {
    let bytes = body(&request(vec![series(UP, &[(1, 1.0)])]));
    let mut limits = Limits::default();
    limits.write.body_bytes_max = bytes.len();
    let fits = World::with_limits(limits);
    assert_eq!(post_write(&fits.router, PROMETHEUS, bytes.clone()).await.status, 204);
    limits.write.body_bytes_max = bytes.len() - 1;
    let small = World::with_limits(limits);
    let answer = post_write(&small.router, PROMETHEUS, bytes.clone()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers["connection"], "close");
    assert!(answer.text().contains("ingest.body_bytes_max"), "{}", answer.text());
    for (world, status) in [(&fits, 204), (&small, 400)] {
        let request = Request::post(PROMETHEUS).body(pieces(&bytes)).expect("valid");
        assert_eq!(send(&world.router, request).await.status.as_u16(), status);
    }
}

/// A body that comes byte by byte, its length untold.
fn pieces(bytes: &[u8]) -> Body {
    let frames: Vec<Bytes> = bytes.iter().map(|b| Bytes::copy_from_slice(&[*b])).collect();
    Body::new(Frames(frames.into()))
}

struct Frames(std::collections::VecDeque<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop_front().map(|b| Ok(http_body::Frame::data(b))))
    }
}

#[tokio::test]
async fn storage_failures_say_whether_to_come_again() {
    let world = World::new();
    let bytes = body(&request(vec![series(UP, &[(1, 1.0)])]));
    for (kind, status, retry_after) in [
        (ErrorKind::Unavailable, 503, "1"),
        (ErrorKind::Limit, 429, "1"),
        (ErrorKind::Internal, 500, ""),
    ] {
        let error = StoreError { kind, message: "no luck".into() };
        *world.store.fail_commit.lock() = Some(error);
        let answer = post_write(&world.router, PROMETHEUS, bytes.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, "no luck\n"));
        assert_eq!(answer.header("retry-after"), retry_after);
    }
    *world.store.fail_commit.lock() = None;
    world.store.fail_durable.store(true, Ordering::Relaxed);
    let answer = post_write(&world.router, PROMETHEUS, bytes.clone()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text(), "fsync failed: no space left on device\n");
    world.control.ready.store(false, Ordering::Relaxed);
    let answer = post_write(&world.router, PROMETHEUS, bytes).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn a_write_is_answered_when_durable_and_overload_is_told() {
    let mut limits = Limits::default();
    limits.write.in_flight_max = 1;
    let world = World::with_limits(limits);
    world.store.durable.forget_permits(usize::MAX);
    let bytes = body(&request(vec![series(UP, &[(1, 1.0)])]));
    let first = post_write(&world.router, PROMETHEUS, bytes.clone());
    let mut first = std::pin::pin!(first);
    let waits =
        std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending()));
    assert!(waits.await, "answered before it was durable");
    assert_eq!(world.samples(UP), [(1, 1.0)], "visible before it is durable");
    let second = post_write(&world.router, PROMETHEUS, bytes.clone()).await;
    assert_eq!((second.status.as_u16(), second.header("retry-after")), (503, "1"));
    assert!(second.text().contains("ingest.in_flight_max"), "{}", second.text());
    world.store.durable.add_permits(2);
    assert_eq!(first.await.status, 204);
    assert_eq!(post_write(&world.router, PROMETHEUS, bytes).await.status, 204);
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_write_overloads_total 1\n"));
}
