//! How long do queries take, storage left aside?
//!
//! 4,000 series of 11 labels with 1,440 samples at 15 s, evaluated at 361 steps of 60 s; and
//! instant queries over 300,000 series. Samples are copied out of memory.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use m3rs_core::model::Labels;
use m3rs_query::engine::{Engine, EngineOptions, Query, QueryOptions};
use m3rs_query::promql::{ParseOptions, parse, parse_metric_selector};
use m3rs_query::render::{Rendering, StatsDetail};
use m3rs_query::source::vector::VectorSource;
use m3rs_query::source::{
    Cancel, SampleColumns, SelectHints, SelectRequest, SeriesSource, TimeRange,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const START_MS: i64 = 1_700_000_000_000;

fn labels(i: usize) -> Labels {
    let (host, metric) = (i / 10, i % 10);
    let host_name = format!("host-{host}.zone-{}.example.com", host % 7);
    Labels::from_pairs([
        ("__name__", "cpu_usage_seconds_total".to_owned()),
        ("arch", "x86_64".to_owned()),
        ("cpu", metric.to_string()),
        ("datacenter", format!("eu-central-1{}", ["a", "b", "c"][host % 3])),
        ("hostname", host_name),
        ("instance", format!("10.0.{}.{}:9100", host / 256, host % 256)),
        ("job", "node".to_owned()),
        ("os", "linux".to_owned()),
        ("rack", (host % 97).to_string()),
        ("region", "eu-central-1".to_owned()),
        ("service", (host % 20).to_string()),
    ])
    .expect("labels are valid")
}

fn source(series: usize, samples: usize) -> VectorSource {
    let mut source = VectorSource::new();
    let mut rng = StdRng::seed_from_u64(7);
    for i in 0..series {
        let mut columns = SampleColumns::default();
        let mut v = rng.random_range(0.0..1000.0f64).floor();
        for t in 0..samples {
            v += f64::from(rng.random_range(0..50u32));
            columns.ts.push(START_MS + t as i64 * 15_000 + (i % 15) as i64);
            columns.vs.push(v);
        }
        source.insert(&labels(i), columns);
    }
    source
}

fn engine() -> Engine {
    Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).expect("threads start")
}

fn range_queries(c: &mut Criterion) {
    let source = source(4000, 1440);
    let engine = engine();
    let times = (START_MS, START_MS + 360 * 60_000, 60_000);
    let mut group = c.benchmark_group("range 4000 x 1440, 361 steps");
    group.sample_size(20);
    for text in [
        "sum(cpu_usage_seconds_total)",
        "avg by (hostname) (cpu_usage_seconds_total)",
        "sum(rate(cpu_usage_seconds_total[5m]))",
        "sum by (hostname) (rate(cpu_usage_seconds_total[5m]))",
        "max by (hostname) (max_over_time(cpu_usage_seconds_total[30m]))",
        "cpu_usage_seconds_total / cpu_usage_seconds_total",
        "topk(5, cpu_usage_seconds_total)",
        "quantile(0.9, cpu_usage_seconds_total)",
        "cpu_usage_seconds_total > 10",
        "count(cpu_usage_seconds_total and cpu_usage_seconds_total)",
    ] {
        let expr = parse(text, &ParseOptions::default()).expect("queries parse");
        let query = Query { text, expr: &expr };
        let options = QueryOptions::default();
        group.bench_function(text, |b| {
            b.iter(|| engine.range(&source, query, times, &options, &Cancel::new()));
        });
    }
    // What the source alone takes, on one thread: select, and copy all samples.
    let all = SelectRequest {
        matchers: parse_metric_selector("cpu_usage_seconds_total").expect("a selector"),
        range: TimeRange { start_ms: START_MS, end_ms: START_MS + 360 * 60_000 },
        hints: SelectHints::default(),
        series_max: usize::MAX,
    };
    group.bench_function("source alone, one thread", |b| {
        b.iter(|| {
            let selection = source.select(&all, &Cancel::new()).expect("series");
            let mut columns = SampleColumns::default();
            for index in 0..selection.series.len() {
                selection.reader.read(index, &mut columns).expect("samples");
                black_box(&columns);
            }
        });
    });
    let text = "sum by (hostname) (cpu_usage_seconds_total)";
    let expr = parse(text, &ParseOptions::default()).expect("queries parse");
    let query = Query { text, expr: &expr };
    let output = engine
        .range(&source, query, times, &QueryOptions::default(), &Cancel::new())
        .expect("the query runs");
    let output = Arc::new(output);
    group.bench_function("render 400 series", |b| {
        b.iter(|| {
            let mut rendering = Rendering::new(Arc::clone(&output), StatsDetail::Hidden);
            while !rendering.is_done() {
                black_box(engine.render(&mut rendering));
            }
        });
    });
    group.finish();
}

/// 400 histograms of ten buckets.
fn histogram_queries(c: &mut Criterion) {
    let mut source = VectorSource::new();
    for i in 0..4000 {
        let le = ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "+Inf"][i % 10];
        let labels = Labels::from_pairs([
            ("__name__", "request_seconds_bucket"),
            ("instance", &*format!("10.0.0.{}:9100", i / 10)),
            ("le", le),
        ]);
        let columns = SampleColumns {
            ts: (0..1440).map(|t| START_MS + t * 15_000).collect(),
            vs: (0..1440).map(|t| (t * (i % 10 + 1) as i64) as f64).collect(),
            ..SampleColumns::default()
        };
        source.insert(&labels.expect("labels are valid"), columns);
    }
    let engine = engine();
    let times = (START_MS, START_MS + 360 * 60_000, 60_000);
    let mut group = c.benchmark_group("range 400 histograms x 10 buckets, 361 steps");
    group.sample_size(20);
    for text in [
        "histogram_quantile(0.99, rate(request_seconds_bucket[5m]))",
        "histogram_quantile(0.99, sum by (le) (rate(request_seconds_bucket[5m])))",
    ] {
        let expr = parse(text, &ParseOptions::default()).expect("queries parse");
        let query = Query { text, expr: &expr };
        let options = QueryOptions::default();
        group.bench_function(text, |b| {
            b.iter(|| engine.range(&source, query, times, &options, &Cancel::new()));
        });
    }
    group.finish();
}

fn instant_queries(c: &mut Criterion) {
    let source = source(300_000, 4);
    let engine = engine();
    let time = START_MS + 60_000;
    let mut group = c.benchmark_group("instant 300000");
    group.sample_size(10);
    for text in [
        "count by (service) (cpu_usage_seconds_total)",
        "sum(cpu_usage_seconds_total)",
        "cpu_usage_seconds_total",
        "topk(10, cpu_usage_seconds_total)",
        "rate(cpu_usage_seconds_total[1m])",
    ] {
        let expr = parse(text, &ParseOptions::default()).expect("queries parse");
        let query = Query { text, expr: &expr };
        let options = QueryOptions::default();
        group.bench_function(text, |b| {
            b.iter(|| engine.instant(&source, query, time, &options, &Cancel::new()));
        });
    }
    let text = "cpu_usage_seconds_total";
    let expr = parse(text, &ParseOptions::default()).expect("queries parse");
    let query = Query { text, expr: &expr };
    let output = engine
        .instant(&source, query, time, &QueryOptions::default(), &Cancel::new())
        .expect("the query runs");
    let output = Arc::new(output);
    group.bench_function("render 300000 series", |b| {
        b.iter(|| {
            let mut rendering = Rendering::new(Arc::clone(&output), StatsDetail::Hidden);
            while !rendering.is_done() {
                black_box(engine.render(&mut rendering));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, range_queries, histogram_queries, instant_queries);
criterion_main!(benches);
