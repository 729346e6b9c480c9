//! OTLP over HTTP: what is stored, what is answered, what is refused.

use std::io::Write;
use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Request;
use m3rs_coordinator::ingest::{DeltaTemporality, OtlpConfig, TranslationStrategy};
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::write::StoreError;
use m3rs_core::model::{Counts, Histogram, ResetHint, STALE_NAN_BITS};
use prost::Message;

use crate::client::{Answer, get, send};
use crate::fakes::{NOW_MS, World};
use crate::generated_otlp as proto;
use crate::otlp_grpc::{call, frame};
use proto::any_value::Value;
use proto::metric::Data;
use proto::number_data_point::Value as Number;
use proto::{ExportMetricsServiceRequest, KeyValue, Metric, NumberDataPoint};

pub(crate) const NOW_NS: u64 = NOW_MS as u64 * 1_000_000;
const START_NS: u64 = NOW_NS - 60_000_000_000;

pub(crate) fn text(key: &str, text: &str) -> KeyValue {
    value(key, Value::StringValue(text.to_owned()))
}

fn value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(proto::AnyValue { value: Some(value) }) }
}

pub(crate) fn metric(name: &str, unit: &str, data: Data) -> Metric {
    let (name, unit) = (name.to_owned(), unit.to_owned());
    Metric { name, description: "What it is".to_owned(), unit, data: Some(data) }
}

pub(crate) fn number(attributes: &[(&str, &str)], number: Number) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
        start_time_unix_nano: START_NS,
        time_unix_nano: NOW_NS,
        value: Some(number),
        ..NumberDataPoint::default()
    }
}

pub(crate) fn gauge(points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(proto::Gauge { data_points: points })
}

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

fn sum(points: Vec<NumberDataPoint>, temporality: i32, is_monotonic: bool) -> Data {
    let aggregation_temporality = temporality;
    Data::Sum(proto::Sum { data_points: points, aggregation_temporality, is_monotonic })
}

/// A request of one resource with a service `shop/cart` on `host-1`.
pub(crate) fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let attributes = vec![
        text("service.namespace", "shop"),
        text("service.name", "cart"),
        text("service.instance.id", "i-7"),
        text("host.name", "host-1"),
        value("cpus", Value::IntValue(4)),
    ];
    let scope = proto::InstrumentationScope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: vec![text("team", "x")],
    };
    let scope_metrics = proto::ScopeMetrics {
        scope: Some(scope),
        metrics,
        schema_url: "https://schema.example".into(),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![proto::ResourceMetrics {
            resource: Some(proto::Resource { attributes }),
            scope_metrics: vec![scope_metrics],
            schema_url: String::new(),
        }],
    }
}

async fn post_as(world: &World, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = Request::post("/v1/metrics");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&world.router, request.body(Body::from(body)).expect("valid")).await
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(world: &World, request: &ExportMetricsServiceRequest) -> Answer {
    post_as(world, &[PROTOBUF], request.encode_to_vec()).await
}

/// Sends what must be taken in full.
async fn post_all(world: &World, metrics: Vec<Metric>) {
    let answer = post(world, &request(metrics)).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b""[..]));
}

/// What a request was refused of.
fn partial(answer: &Answer) -> (i64, String) {
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    let response =
        proto::ExportMetricsServiceResponse::decode(&answer.body[..]).expect("an answer");
    let partial = response.partial_success.unwrap_or_default();
    (partial.rejected_data_points, partial.error_message)
}

/// Labels that all series of the resource have, and further ones.
pub(crate) fn labels<'a>(name: &'a str, further: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("__name__", name), ("job", "shop/cart"), ("instance", "i-7")];
    all.extend_from_slice(further);
    all
}

fn one(world: &World, name: &str, further: &[(&str, &str)]) -> f64 {
    match world.samples(&labels(name, further))[..] {
        [(NOW_MS, v)] => v,
        ref other => panic!("{name} {further:?}: {other:?}"),
    }
}

fn world_of(config: OtlpConfig) -> World {
    World::with_otlp(Limits::default(), config)
}

#[tokio::test]
async fn numbers_become_series_as_in_prometheus() {
    let world = World::new();
    let stale = NumberDataPoint { flags: 1, ..number(&[("s", "1")], Number::AsInt(5)) };
    let metrics = vec![
        metric(
            "http.requests",
            "1",
            sum(vec![number(&[("http.method", "GET")], Number::AsInt(5))], CUMULATIVE, true),
        ),
        metric(
            "queue.size",
            "{items}",
            sum(vec![number(&[], Number::AsInt(-3))], CUMULATIVE, false),
        ),
        metric(
            "temp",
            "Cel",
            gauge(vec![number(&[("a.b", "2"), ("a-b", "1")], Number::AsDouble(1.5)), stale]),
        ),
    ];
    post_all(&world, metrics).await;
    assert_eq!(one(&world, "http_requests_total", &[("http_method", "GET")]), 5.0);
    assert_eq!(one(&world, "queue_size", &[]), -3.0);
    assert_eq!(one(&world, "temp_celsius", &[("a_b", "1;2")]), 1.5);
    assert_eq!(one(&world, "temp_celsius", &[("s", "1")]).to_bits(), STALE_NAN_BITS);
    assert_eq!(one(&world, "target_info", &[("host_name", "host-1"), ("cpus", "4")]), 1.0);
    let starts = world.store.starts.lock().clone();
    assert_eq!(starts, [(NOW_MS, NOW_MS - 60_000); 4], "target_info has none");
    let metadata = get(&world.router, "/api/v1/metadata").await;
    for wanted in [
        r#""http_requests_total":[{"type":"counter","unit":"","help":"What it is"}]"#,
        r#""queue_size":[{"type":"gauge","unit":"","help":"What it is"}]"#,
        r#""temp_celsius":[{"type":"gauge","unit":"celsius","help":"What it is"}]"#,
        r#""target_info":[{"type":"gauge","unit":"","help":"Target metadata"}]"#,
    ] {
        assert!(metadata.text().contains(wanted), "{}", metadata.text());
    }
    let parses = world.store.parses.load(Ordering::Relaxed);
    post_all(
        &world,
        vec![metric(
            "queue.size",
            "{items}",
            sum(vec![number(&[], Number::AsInt(9))], CUMULATIVE, false),
        )],
    )
    .await;
    assert_eq!(world.store.parses.load(Ordering::Relaxed), parses, "a known series is not parsed");
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_otlp_points_total 5\n"), "{}", metrics.text());
}

fn histogram_point() -> proto::HistogramDataPoint {
    let exemplar = |v, trace: u8| proto::Exemplar {
        value: Some(proto::exemplar::Value::AsDouble(v)),
        time_unix_nano: NOW_NS,
        trace_id: vec![trace; 16],
        ..proto::Exemplar::default()
    };
    proto::HistogramDataPoint {
        attributes: vec![text("k", "v")],
        start_time_unix_nano: START_NS,
        time_unix_nano: NOW_NS,
        count: 6,
        sum: Some(7.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        exemplars: vec![exemplar(0.4, 0xaa), exemplar(99.0, 0xbb)],
        ..proto::HistogramDataPoint::default()
    }
}

fn histogram(point: proto::HistogramDataPoint, temporality: i32) -> Data {
    let data_points = vec![point];
    Data::Histogram(proto::Histogram { data_points, aggregation_temporality: temporality })
}

#[tokio::test]
async fn histograms_and_summaries_become_a_series_for_each_part() {
    let world = World::new();
    let summary = proto::SummaryDataPoint {
        time_unix_nano: NOW_NS,
        count: 4,
        sum: 2.5,
        quantile_values: vec![proto::ValueAtQuantile { quantile: 0.99, value: 1.25 }],
        ..proto::SummaryDataPoint::default()
    };
    let summary = Data::Summary(proto::Summary { data_points: vec![summary] });
    post_all(
        &world,
        vec![
            metric("took", "s", histogram(histogram_point(), CUMULATIVE)),
            metric("sizes", "By", summary),
        ],
    )
    .await;
    for (name, further, v) in [
        ("took_seconds_bucket", &[("k", "v"), ("le", "0.5")][..], 1.0),
        ("took_seconds_bucket", &[("k", "v"), ("le", "10")], 3.0),
        ("took_seconds_bucket", &[("k", "v"), ("le", "+Inf")], 6.0),
        ("took_seconds_count", &[("k", "v")], 6.0),
        ("took_seconds_sum", &[("k", "v")], 7.5),
        ("sizes_bytes", &[("quantile", "0.99")], 1.25),
        ("sizes_bytes_count", &[], 4.0),
        ("sizes_bytes_sum", &[], 2.5),
    ] {
        assert_eq!(one(&world, name, further), v, "{name} {further:?}");
    }
    let exemplars = world.store.exemplars.lock().clone();
    let told: Vec<_> = exemplars
        .iter()
        .map(|(series, e)| (series.get("le"), e.value, e.labels.get("trace_id").map(|t| &t[..2])))
        .collect();
    assert_eq!(told, [(Some("0.5"), 0.4, Some("aa")), (Some("+Inf"), 99.0, Some("bb"))]);
}

fn exponential_point() -> proto::ExponentialHistogramDataPoint {
    proto::ExponentialHistogramDataPoint {
        start_time_unix_nano: START_NS,
        time_unix_nano: NOW_NS,
        count: 7,
        sum: Some(5.0),
        scale: 10,
        zero_count: 1,
        positive: Some(proto::Buckets { offset: 3, bucket_counts: vec![1, 1, 1, 3] }),
        ..proto::ExponentialHistogramDataPoint::default()
    }
}

fn exponential(point: proto::ExponentialHistogramDataPoint, temporality: i32) -> Data {
    let (data_points, aggregation_temporality) = (vec![point], temporality);
    Data::ExponentialHistogram(proto::ExponentialHistogram { data_points, aggregation_temporality })
}

fn whole(h: &Histogram) -> (u64, u64, Vec<u64>) {
    let Counts::Integer(counts) = &h.counts else { panic!("whole numbers") };
    (counts.count, counts.zero, counts.positive.clone())
}

#[tokio::test]
async fn exponential_histograms_become_native_ones() {
    let world = World::new();
    let stale = proto::ExponentialHistogramDataPoint {
        flags: 1,
        attributes: vec![text("s", "1")],
        ..exponential_point()
    };
    post_all(
        &world,
        vec![
            metric("took", "s", exponential(exponential_point(), CUMULATIVE)),
            metric("took", "s", exponential(stale, CUMULATIVE)),
        ],
    )
    .await;
    let all = world.store.histograms.lock().clone();
    let (series, t, h, start) = &all[0];
    assert_eq!((series.metric_name(), *t, *start), (Some("took_seconds"), NOW_MS, NOW_MS - 60_000));
    // Buckets 3 | 4 5 6 of scale 10 are 0 | 1 of scale 8, and one further to the right here.
    assert_eq!((h.layout.schema, h.reset_hint), (8, ResetHint::Unknown));
    assert_eq!((h.layout.positive_spans[0].offset, whole(h)), (1, (7, 1, vec![1, 5])));
    assert!(all[1].2.is_stale());
}

#[tokio::test]
async fn settings_change_the_translation() {
    let world = world_of(OtlpConfig {
        promote_resource_attributes: vec!["host.name".into()],
        promote_scope_metadata: true,
        convert_histograms_to_nhcb: true,
        keep_identifying_resource_attributes: true,
        translation_strategy: TranslationStrategy::NoUTF8EscapingWithSuffixes,
        ..OtlpConfig::default()
    });
    let own = number(&[("host.name", "own"), ("a.b", "1")], Number::AsInt(1));
    post_all(
        &world,
        vec![
            metric("a.b", "s", gauge(vec![own])),
            metric("took", "s", histogram(histogram_point(), CUMULATIVE)),
        ],
    )
    .await;
    let scope = [
        ("otel_scope_name", "lib"),
        ("otel_scope_version", "1.2"),
        ("otel_scope_schema_url", "https://schema.example"),
        ("otel_scope_team", "x"),
    ];
    let own = [&scope[..], &[("host.name", "own"), ("a.b", "1")]].concat();
    assert_eq!(one(&world, "a.b_seconds", &own), 1.0);
    let info = [
        ("host.name", "host-1"),
        ("cpus", "4"),
        ("service.name", "cart"),
        ("service.namespace", "shop"),
        ("service.instance.id", "i-7"),
    ];
    assert_eq!(one(&world, "target_info", &info), 1.0);
    let all = world.store.histograms.lock().clone();
    assert_eq!(all[0].0.get("host.name"), Some("host-1"));
    assert_eq!((all[0].2.layout.schema, whole(&all[0].2).2), (-53, vec![1, 2, 3]));
}

#[tokio::test]
async fn deltas_are_added_up_refused_or_kept() {
    let at = |t_s: u64, v| NumberDataPoint {
        start_time_unix_nano: START_NS + (t_s - 10) * 1_000_000_000,
        time_unix_nano: START_NS + t_s * 1_000_000_000,
        ..number(&[], Number::AsInt(v))
    };
    let delta = |t_s, v| vec![metric("done", "", sum(vec![at(t_s, v)], DELTA, true))];
    let world = World::new();
    post_all(&world, delta(10, 5)).await;
    post_all(&world, delta(20, 3)).await;
    post_all(&world, delta(20, 3)).await;
    let (rejected, why) = partial(&post(&world, &request(delta(15, 1))).await);
    assert_eq!(rejected, 1);
    assert!(
        why.contains("1 data points refused, all others written: {__name__=\"done_total\""),
        "{why}"
    );
    assert!(why.contains("out of order"), "{why}");
    let start_ms = NOW_MS - 60_000;
    let name = labels("done_total", &[]);
    let wanted = [(start_ms + 10_000, 5.0), (start_ms + 20_000, 8.0), (start_ms + 20_000, 8.0)];
    assert_eq!(world.samples(&name), wanted);
    assert!(world.store.starts.lock().iter().all(|(_, start)| *start == start_ms));
    let metrics = get(&world.router, "/metrics").await;
    for line in [
        "m3rs_otlp_points_refused_total 1\n",
        "m3rs_otlp_delta_series 1\n",
        "m3rs_write_refused_samples_total{reason=\"delta\"} 1\n",
    ] {
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }
    let mut second = exponential_point();
    second.time_unix_nano += 1_000_000;
    post_all(&world, vec![metric("took", "", exponential(exponential_point(), DELTA))]).await;
    post_all(&world, vec![metric("took", "", exponential(second, DELTA))]).await;
    assert_eq!(whole(&world.store.histograms.lock()[1].2), (14, 2, vec![2, 10]));

    let refusing = world_of(OtlpConfig {
        delta_temporality: DeltaTemporality::Refuse,
        ..OtlpConfig::default()
    });
    let (rejected, why) = partial(&post(&refusing, &request(delta(10, 5))).await);
    assert!(rejected == 1 && why.contains("otlp.delta_temporality"), "{why}");

    let keeping =
        world_of(OtlpConfig { delta_temporality: DeltaTemporality::AsIs, ..OtlpConfig::default() });
    post_all(&keeping, delta(10, 5)).await;
    post_all(&keeping, delta(20, 3)).await;
    assert_eq!(keeping.samples(&name), [(start_ms + 10_000, 5.0), (start_ms + 20_000, 3.0)]);
    post_all(&keeping, vec![metric("took", "", exponential(exponential_point(), DELTA))]).await;
    assert_eq!(keeping.store.histograms.lock()[0].2.reset_hint, ResetHint::Gauge);
    let metadata = get(&keeping.router, "/api/v1/metadata").await;
    assert!(metadata.text().contains(r#""done_total":[{"type":"unknown""#), "{}", metadata.text());
}

#[tokio::test]
async fn bad_points_are_told_and_the_others_written() {
    let world = World::new();
    let far = NumberDataPoint {
        time_unix_nano: u64::MAX / 2 + 9,
        ..number(&[("t", "far")], Number::AsInt(1))
    };
    let long = "x".repeat(10 << 20);
    let nan = number(&[("t", "nan")], Number::AsDouble(f64::NAN));
    let mut bad_sum = exponential_point();
    bad_sum.count = 99;
    let mut many = histogram_point();
    many.bucket_counts = vec![1; 9000];
    let old = proto::HistogramDataPoint { time_unix_nano: 1 << 63, ..histogram_point() };
    let metrics = vec![
        metric(
            "good",
            "",
            gauge(vec![
                number(&[("t", "first")], Number::AsInt(1)),
                far,
                nan,
                number(&[("t", &long)], Number::AsInt(1)),
                number(&[("_", "x")], Number::AsInt(1)),
                number(&[("t", "last")], Number::AsInt(2)),
            ]),
        ),
        metric(
            "\u{e4}",
            "",
            gauge(vec![number(&[], Number::AsInt(1)), number(&[("a", "b")], Number::AsInt(1))]),
        ),
        metric("unsaid", "", sum(vec![number(&[], Number::AsInt(1))], 0, true)),
        metric("odd", "", exponential(bad_sum, CUMULATIVE)),
        metric("many", "", histogram(many, CUMULATIVE)),
        metric("old", "", histogram(old, CUMULATIVE)),
    ];
    let (rejected, why) = partial(&post(&world, &request(metrics)).await);
    assert_eq!(rejected, 3 + 2 + 1 + 1 + 1 + 1, "{why}");
    for told in [
        "t=\"far\"",
        "the labels take 10485822 bytes, the limit is 65535",
        "normalization for label name \"_\" resulted in invalid name \"_\"",
        "normalization for metric \"\u{e4}\" resulted in",
        "invalid temporality and type combination for metric \"unsaid\"",
        "observations in buckets, but a count of 99",
        "9000",
        "; and 2 more",
    ] {
        assert!(why.contains(told), "{told}: {why}");
    }
    assert!(why.len() < 10_000);
    assert_eq!(one(&world, "good", &[("t", "first")]), 1.0);
    assert_eq!(one(&world, "good", &[("t", "last")]), 2.0);
    assert!(one(&world, "good", &[("t", "nan")]).is_nan());
}

#[tokio::test]
async fn json_says_the_same() {
    let world = World::new();
    let body = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"cart"}}}}]}},
          "scopeMetrics":[{{"metrics":[{{"name":"up.time","unit":"s","sum":{{
            "aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,
            "dataPoints":[{{"timeUnixNano":"{NOW_NS}","asInt":"7"}},
                          {{"timeUnixNano":"1{NOW_NS}","asInt":"7"}}]}}}}]}}]}}]}}"#
    );
    let answer = post_as(&world, &[JSON], body.clone().into_bytes()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedDataPoints"], "1");
    assert!(partial["errorMessage"].as_str().expect("text").contains("is before"), "{partial}");
    assert_eq!(world.samples(&[("__name__", "up_time_seconds_total"), ("job", "cart")]).len(), 1);
    let good = body.replace(&format!("1{NOW_NS}"), &NOW_NS.to_string());
    let answer = post_as(&world, &[JSON], good.into_bytes()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "{}"));
    let answer = post_as(&world, &[JSON], b"{\"resourceMetrics\":7}".to_vec()).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert_eq!(answer.json()["code"], 3);
    assert!(answer.json()["message"].as_str().expect("text").contains("line 1"));
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory");
    gzip.finish().expect("memory")
}

#[tokio::test]
async fn encodings_types_and_sizes() {
    let body =
        request(vec![metric("m", "", gauge(vec![number(&[], Number::AsInt(1))]))]).encode_to_vec();
    let limits = Limits::default();
    let bomb = gzip(&vec![0; limits.write.decoded_bytes_max + 1]);
    let zstd = zstd::bulk::compress(&body, 1).expect("short");
    let cut = body[..body.len() - 1].to_vec();
    let large = vec![0; limits.write.body_bytes_max + 1];
    let world = World::new();
    for (headers, body, status) in [
        (&[PROTOBUF, ("content-encoding", "gzip")][..], gzip(&body), 200),
        (&[PROTOBUF, ("content-encoding", "zstd")], zstd, 200),
        (&[("content-type", "application/x-protobuf; charset=x")], body.clone(), 200),
        (&[PROTOBUF], Vec::new(), 200),
        (&[], body.clone(), 415),
        (&[("content-type", "text/plain")], body.clone(), 415),
        (&[PROTOBUF, ("content-encoding", "br")], body.clone(), 415),
        (&[PROTOBUF, ("content-encoding", "gzip")], body.clone(), 400),
        (&[PROTOBUF, ("content-encoding", "gzip")], bomb, 413),
        (&[PROTOBUF], large, 413),
        (&[PROTOBUF], cut, 400),
        (&[PROTOBUF], b"hello".to_vec(), 400),
    ] {
        let answer = post_as(&world, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}: {:?}", answer.body);
    }
    let request = Request::post("/api/v1/otlp/v1/metrics").header(PROTOBUF.0, PROTOBUF.1);
    let answer = send(&world.router, request.body(Body::from(body)).expect("valid")).await;
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn what_may_pass_later_is_to_be_sent_again() {
    let body = request(vec![metric("m", "", gauge(vec![number(&[], Number::AsInt(1))]))]);
    let world = World::new();
    *world.store.fail_commit.lock() = Some(StoreError::unavailable("no luck"));
    let answer = post(&world, &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.body, b"\x08\x0e\x12\x07no luck", "google.rpc.Status");
    *world.store.fail_commit.lock() = None;
    world.store.series_too_fast.store(true, Ordering::Relaxed);
    let new = request(vec![metric("new", "", gauge(vec![number(&[], Number::AsInt(1))]))]);
    let answer = post(&world, &new).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "1"));
    let mut limits = Limits::default();
    limits.write.in_flight_max = 0;
    let busy = World::with_otlp(limits, OtlpConfig::default());
    let answer = post(&busy, &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    let answer = call(&busy, frame(0, &body.encode_to_vec()), &[]).await;
    assert_eq!(
        (answer.header("grpc-status"), answer.header("grpc-message").is_empty()),
        ("14", false)
    );
    assert!(!answer.header("grpc-status-details-bin").is_empty());
}

#[tokio::test]
async fn target_info_spans_the_request_within_a_bound() {
    let world = World::new();
    let early = NumberDataPoint {
        time_unix_nano: NOW_NS - 400_000_000_000,
        ..number(&[("e", "1")], Number::AsInt(1))
    };
    post_all(
        &world,
        vec![metric("m", "", gauge(vec![number(&[], Number::AsInt(1)), early.clone()]))],
    )
    .await;
    let info = labels("target_info", &[("host_name", "host-1"), ("cpus", "4")]);
    let times: Vec<i64> = world.samples(&info).iter().map(|(t, _)| NOW_MS - t).collect();
    assert_eq!(times, [400_000, 250_000, 100_000, 0], "half of the lookback apart");
    let first = NumberDataPoint { time_unix_nano: 1, ..early };
    post_all(&world, vec![metric("m", "", gauge(vec![number(&[], Number::AsInt(1)), first]))])
        .await;
    assert_eq!(world.samples(&info).len(), 4 + 1001);
}

/// A service of a megabyte, which each of its points would have as a label: they are refused
/// without a look at it.
#[tokio::test]
async fn a_large_resource_is_not_looked_at_for_each_point() {
    let world = World::new();
    let points = (0..1000).map(|i| number(&[], Number::AsInt(i))).collect();
    let mut request = request(vec![metric("m", "", gauge(points))]);
    let resource = request.resource_metrics[0].resource.as_mut().expect("there is one");
    resource.attributes[1] = text("service.name", &"x".repeat(1 << 20));
    let (rejected, why) = partial(&post(&world, &request).await);
    assert_eq!(rejected, 1000);
    assert!(why.contains("ingest.label_set_bytes_max") && why.len() < 10_000, "{why}");
    assert_eq!(world.store.parses.load(Ordering::Relaxed), 0);
}
