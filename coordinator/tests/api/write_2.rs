//! Remote Write 2.0: what is stored, what the headers say, what is refused.

use axum::body::Body;
use http::Request;
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::write::StoreError;
use m3rs_core::model::{Counts, ResetHint, STALE_NAN_BITS};
use prost::Message;

use crate::client::{Answer, get, send};
use crate::fakes::{NOW_MS, World};
use crate::generated2::{self as proto, BucketSpan, Histogram, Metadata, Sample, TimeSeries};
use crate::messages::{body, compress, request, series};

const TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A request that puts its symbols together as it grows.
struct Builder(proto::Request);

impl Builder {
    fn new() -> Self {
        Self(proto::Request { symbols: vec![String::new()], timeseries: Vec::new() })
    }

    fn symbol(&mut self, text: &str) -> u32 {
        let symbols = &mut self.0.symbols;
        let at = symbols.iter().position(|s| s == text).unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(at).expect("few symbols")
    }

    /// A symbol that is not there yet.
    fn symbol_at_end(&mut self, text: &str) -> u32 {
        self.0.symbols.push(text.to_owned());
        u32::try_from(self.0.symbols.len() - 1).expect("few symbols")
    }

    fn series(&mut self, labels: &[(&str, &str)]) -> &mut TimeSeries {
        let refs = labels.iter().flat_map(|(n, v)| [*n, *v]).collect::<Vec<_>>();
        let labels_refs = refs.into_iter().map(|text| self.symbol(text)).collect();
        self.0.timeseries.push(TimeSeries { labels_refs, ..TimeSeries::default() });
        self.0.timeseries.last_mut().expect("just pushed")
    }
}

async fn post(world: &World, path: &str, bytes: Vec<u8>) -> Answer {
    let request = Request::post(path)
        .header("content-type", TYPE)
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "2.0.0");
    send(&world.router, request.body(Body::from(bytes)).expect("valid")).await
}

async fn post_request(world: &World, request: &proto::Request) -> Answer {
    post(world, "/api/v1/write", compress(&request.encode_to_vec())).await
}

/// What the headers say was written: samples, histograms, exemplars.
fn written(answer: &Answer) -> [&str; 3] {
    ["samples", "histograms", "exemplars"]
        .map(|kind| answer.header(&format!("x-prometheus-remote-write-{kind}-written")))
}

fn sample(timestamp: i64, value: f64, start_timestamp: i64) -> Sample {
    Sample { value, timestamp, start_timestamp }
}

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];

#[tokio::test]
async fn samples_are_written_and_counted_in_headers() {
    let world = World::new();
    let mut builder = Builder::new();
    let stale = f64::from_bits(STALE_NAN_BITS);
    builder.series(UP).samples = vec![sample(1, 1.5, 0), sample(NOW_MS, stale, 7)];
    builder.series(&[("job", "b"), ("__name__", "up")]).samples = vec![sample(2, -0.0, 0)];
    for (path, status) in [("/api/v1/write", 204), ("/api/v1/prom/remote/write", 200)] {
        let answer = post(&world, path, compress(&builder.0.encode_to_vec())).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, ""));
        assert_eq!(written(&answer), ["3", "0", "0"]);
    }
    let bits: Vec<_> = world.samples(UP).iter().map(|(t, v)| (*t, v.to_bits())).collect();
    let wanted = [(1, 1.5f64.to_bits()), (NOW_MS, STALE_NAN_BITS)];
    assert_eq!(bits, wanted.repeat(2));
    assert_eq!(world.samples(&[("__name__", "up"), ("job", "b")]).len(), 2, "labels are sorted");
    assert_eq!(*world.store.starts.lock(), [(NOW_MS, 7), (NOW_MS, 7)]);
    let parses = world.store.parses.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(parses, 2, "a known series is not parsed");
}

#[tokio::test]
async fn histograms_of_each_kind_are_written() {
    let world = World::new();
    let mut builder = Builder::new();
    let integers = Histogram {
        count: Some(proto::histogram::Count::CountInt(6)),
        zero_count: Some(proto::histogram::ZeroCount::ZeroCountInt(1)),
        sum: 17.5,
        schema: 3,
        zero_threshold: 1e-9,
        positive_spans: vec![BucketSpan { offset: -2, length: 2 }],
        positive_deltas: vec![2, 1],
        reset_hint: 1,
        timestamp: 1,
        start_timestamp: 5,
        ..Histogram::default()
    };
    let floats = Histogram {
        count: Some(proto::histogram::Count::CountFloat(3.5)),
        sum: 1.0,
        schema: -53,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_counts: vec![1.0, 2.5],
        custom_values: vec![0.5],
        reset_hint: 3,
        timestamp: 2,
        ..Histogram::default()
    };
    let wrong = Histogram { count: Some(proto::histogram::Count::CountInt(9)), ..integers.clone() };
    let series = builder.series(UP);
    series.histograms = vec![integers, floats, wrong];
    series.samples = vec![sample(9, 1.0, 0)];
    let answer = post_request(&world, &builder.0).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert!(
        answer.text().contains("6 observations in buckets, but a count of 9"),
        "{}",
        answer.text()
    );
    assert_eq!(written(&answer), ["1", "2", "0"]);
    let all = world.store.histograms.lock().clone();
    assert_eq!((all[0].1, all[0].3, all[0].2.reset_hint), (1, 5, ResetHint::Reset));
    let Counts::Integer(counts) = &all[0].2.counts else { panic!("integers") };
    assert_eq!((counts.count, counts.zero, &counts.positive[..]), (6, 1, &[2, 3][..]));
    assert_eq!((all[1].1, all[1].3, all[1].2.reset_hint), (2, 0, ResetHint::Gauge));
    let Counts::Float(counts) = &all[1].2.counts else { panic!("floats") };
    assert_eq!((counts.count, &counts.positive[..]), (3.5, &[1.0, 2.5][..]));
    assert_eq!(all[1].2.layout.custom_bounds, [0.5]);
}

#[tokio::test]
async fn bad_series_are_named_and_the_others_written() {
    let world = World::new();
    let mut builder = Builder::new();
    builder.series(UP).samples = vec![sample(1, 1.0, 0)];
    builder.series(&[("__name__", "odd")]).samples = vec![sample(1, 1.0, 0)];
    builder.0.timeseries[1].labels_refs.push(0);
    builder.series(&[("__name__", "far")]).samples = vec![sample(1, 1.0, 0), sample(2, 1.0, 0)];
    builder.0.timeseries[2].labels_refs.extend([99, 99]);
    builder.series(&[("__name__", "none")]);
    builder.series(&[("job", "nameless")]).samples = vec![sample(1, 1.0, 0)];
    builder.series(&[("__name__", "meta")]).samples = vec![sample(1, 1.0, 0)];
    builder.0.timeseries[5].metadata = Some(Metadata { help_ref: 77, ..Metadata::default() });
    builder.series(&[("__name__", "old")]).samples = vec![sample(-1, 1.0, 0)];
    let answer = post_request(&world, &builder.0).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert_eq!(
        answer.text(),
        "6 samples refused, all others written:\n\
         {__name__=\"odd\"}: an odd number of references to labels\n\
         {__name__=\"far\"}: reference to symbol 99, there are 11\n\
         {__name__=\"none\"}: a series needs at least one sample or histogram\n\
         {job=\"nameless\"}: the label __name__ is missing\n\
         {__name__=\"meta\"}: reference to symbol 77, there are 11\n\
         {__name__=\"old\"}: timestamp -1 ms is before 0 ms, the oldest time that is kept\n"
    );
    assert_eq!(written(&answer), ["1", "0", "0"]);
    assert_eq!(world.samples(UP), [(1, 1.0)]);
}

#[tokio::test]
async fn nothing_of_a_broken_request_is_written() {
    let world = World::new();
    let mut builder = Builder::new();
    builder.series(UP).samples = vec![sample(1, 1.0, 0)];
    let good = builder.0.encode_to_vec();
    let mut first_symbol = builder.0.clone();
    first_symbol.symbols[0] = "x".to_owned();
    for bytes in [
        compress(&good[..good.len() - 1]),
        compress(&[&good[..], &[0x2a, 2, 0x12, 9]].concat()),
        compress(&first_symbol.encode_to_vec()),
        b"hello".to_vec(),
    ] {
        let answer = post(&world, "/api/v1/write", bytes).await;
        assert_eq!((answer.status.as_u16(), written(&answer)), (400, ["0", "0", "0"]));
    }
    *world.store.fail_commit.lock() = Some(StoreError::unavailable("no luck"));
    let answer = post(&world, "/api/v1/write", compress(&good)).await;
    assert_eq!((answer.status.as_u16(), written(&answer)), (503, ["0", "0", "0"]));
    assert!(world.store.written.lock().is_empty());
}

#[tokio::test]
async fn metadata_are_told_once_for_each_family() {
    let world = World::new();
    let mut builder = Builder::new();
    let (help, unit) = (builder.symbol("How long it took"), builder.symbol("seconds"));
    for le in ["1", "+Inf"] {
        let series = builder.series(&[("__name__", "took_bucket"), ("le", le)]);
        series.samples = vec![sample(1, 1.0, 0)];
        series.metadata = Some(Metadata { r#type: 3, help_ref: help, unit_ref: unit });
    }
    assert_eq!(post_request(&world, &builder.0).await.status.as_u16(), 204);
    let answer = get(&world.router, "/api/v1/metadata").await;
    let wanted =
        "\"took\":[{\"type\":\"histogram\",\"unit\":\"seconds\",\"help\":\"How long it took\"}]";
    assert!(answer.text().contains(wanted), "{}", answer.text());
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_write_metadata_total 1\n"));
}

#[tokio::test]
async fn exemplars_are_written_and_counted() {
    let world = World::new();
    let mut builder = Builder::new();
    let refs = vec![builder.symbol("trace"), builder.symbol("abc")];
    let exemplar = |labels_refs| proto::Exemplar { labels_refs, value: 2.5, timestamp: 7 };
    let series = builder.series(UP);
    series.samples = vec![sample(1, 1.0, 0)];
    series.exemplars = vec![exemplar(refs.clone()), exemplar(vec![99, 1]), exemplar(vec![1])];
    let answer = post_request(&world, &builder.0).await;
    assert_eq!((answer.status.as_u16(), written(&answer)), (204, ["1", "0", "1"]));
    let exemplars = world.store.exemplars.lock().clone();
    assert_eq!((exemplars.len(), exemplars[0].1.t), (1, 7));
    assert_eq!(exemplars[0].1.labels.get("trace"), Some("abc"));
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_write_exemplars_ignored_total 2\n"));
}

#[tokio::test]
async fn a_request_of_1_0_is_not_taken_for_an_empty_one() {
    let world = World::new();
    let other = body(&request(vec![series(UP, &[(1, 1.0)])]));
    let answer = post(&world, "/api/v1/write", other).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
    assert!(answer.text().contains("symbols or series"), "{}", answer.text());
    let empty = post_request(&world, &proto::Request::default()).await;
    assert_eq!(empty.status.as_u16(), 204, "nothing is no error");
}

/// Exemplars whose labels are far beyond what is kept: of each text no copy is made.
#[tokio::test]
async fn exemplars_do_not_multiply_texts() {
    let world = World::new();
    let mut builder = Builder::new();
    let large = builder.symbol(&"x".repeat(1 << 20));
    let refs = (0..100_000).flat_map(|i| [builder.symbol_at_end(&format!("n{i}")), large]);
    let labels_refs: Vec<u32> = refs.collect();
    let series = builder.series(UP);
    series.samples = vec![sample(1, 1.0, 0)];
    series.exemplars =
        vec![proto::Exemplar { labels_refs, value: 1.0, timestamp: 1 }, proto::Exemplar::default()];
    let answer = post_request(&world, &builder.0).await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    assert_eq!(written(&answer), ["1", "0", "1"]);
}

/// A help text of a megabyte for each of a thousand families: not each has a copy.
#[tokio::test]
async fn metadata_do_not_multiply_texts() {
    let world = World::new();
    let mut builder = Builder::new();
    let help_ref = builder.symbol(&"x".repeat(1 << 20));
    for i in 0..1000 {
        let name = format!("m{i}");
        let series = builder.series(&[("__name__", &name)]);
        series.samples = vec![sample(1, 1.0, 0)];
        series.metadata = Some(Metadata { help_ref, ..Metadata::default() });
    }
    let answer = post_request(&world, &builder.0).await;
    assert_eq!((answer.status.as_u16(), written(&answer)[0]), (204, "1000"));
    assert!((1..=3).contains(&world.store.metadata.families()));
}

#[tokio::test]
async fn there_may_not_be_too_many_symbols() {
    let mut limits = Limits::default();
    limits.write.labels.symbols_max = 5;
    let world = World::with_limits(limits);
    let mut builder = Builder::new();
    builder.series(UP).samples = vec![sample(1, 1.0, 0)];
    assert_eq!(post_request(&world, &builder.0).await.status.as_u16(), 204, "five are allowed");
    builder.symbol("one more");
    let answer = post_request(&world, &builder.0).await;
    assert_eq!(answer.status.as_u16(), 400);
    assert!(answer.text().contains("more than 5 (ingest.symbols_max)"), "{}", answer.text());
    assert_eq!(world.samples(UP).len(), 1);
}

/// A million references in a few kilobytes, each to a symbol of a megabyte.
#[tokio::test]
async fn references_do_not_multiply_texts() {
    let world = World::new();
    let mut builder = Builder::new();
    builder.series(UP).samples = vec![sample(1, 1.0, 0)];
    let large = builder.symbol(&"x".repeat(1 << 20));
    let many = builder.series(UP);
    many.samples = vec![sample(1, 1.0, 0)];
    many.labels_refs = vec![large; 1 << 20];
    let few = builder.series(UP);
    few.samples = vec![sample(2, 1.0, 0)];
    few.labels_refs = vec![large; 256];
    builder.series(UP).samples = vec![sample(3, 1.0, 0)];
    let answer = post_request(&world, &builder.0).await;
    assert_eq!(answer.status.as_u16(), 400);
    let text = answer.text();
    for part in ["524288 labels, the limit is 128", "the labels take 268435456 bytes"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(written(&answer)[0], "2");
    assert_eq!(world.samples(UP).len(), 2);
}
