//! What does it cost to read a query, before any data is touched?
//!
//! Queries of dashboards and alerts, from a name alone to a page of text, and the largest texts
//! that the limits let pass.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_query::promql::{ParseOptions, parse, print};

const COMMON: [(&str, &str); 6] = [
    ("name", "up"),
    ("selector", r#"http_requests_total{job="api", status=~"5..", path!~"/health.*"}"#),
    ("rate", r#"sum by (job, instance) (rate(http_requests_total{job="api"}[5m] offset 1h))"#),
    (
        "ratio",
        r#"sum(rate(errors_total{env="prod"}[5m])) by (job)
             / on (job) group_left (team)
             sum(rate(requests_total{env="prod"}[5m])) by (job) > 0.05"#,
    ),
    ("quantile", "histogram_quantile(0.99, sum by (le, route) (rate(request_seconds_bucket[5m])))"),
    ("subquery", "max_over_time((rate(x_total[5m]) > bool 10)[1h:30s] @ end() offset -5m)"),
];

fn common(c: &mut Criterion) {
    let options = ParseOptions::default();
    let mut group = c.benchmark_group("parse");
    for (name, text) in COMMON {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse(black_box(text), &options)));
    }
    group.finish();
}

fn largest(c: &mut Criterion) {
    let options = ParseOptions::default();
    let names: Vec<String> = (0..1000).map(|i| format!("metric_{i:03}")).collect();
    let matchers: Vec<String> = (0..1000).map(|i| format!("l{i}=\"v{i}\"")).collect();
    let regexp = format!("x{{a=~\"{}\"}}", names.join("|"));
    let mut group = c.benchmark_group("parse the largest");
    for (name, text) in [
        ("sum of 1000 names", names.join(" + ")),
        ("selector of 1000 labels", format!("x{{{}}}", matchers.join(", "))),
        ("1000 alternatives", regexp),
        ("128 parentheses", format!("{}1{}", "(".repeat(128), ")".repeat(128))),
    ] {
        let expr = parse(&text, &options).expect("within the limits");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse(black_box(&text), &options)));
        group.bench_function(format!("{name}, printed"), |b| {
            b.iter(|| print::pretty(black_box(&expr)));
        });
    }
    group.finish();
}

criterion_group!(benches, common, largest);
criterion_main!(benches);
