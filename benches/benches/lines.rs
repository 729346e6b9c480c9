//! How long it takes to read a piece of lines into a namespace and to commit it.
//!
//! Budgets: line protocol 1 us a value, for known series of 10 tags, 10 fields in a line;
//! criterion's `thrpt` is in samples.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_coordinator::ingest::{
    Csv, Encoding, Exposition, ExpositionFormat, Format, Influx, InfluxDialect, JsonLines,
    LineContext, LineFormat, Lines, Precision, Receiver, Relabeler, WriteReceiver,
};
use m3rs_coordinator::limits::WriteLimits;
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::write::LocalStore;
use m3rs_core::clock::{SharedClock, SystemClock};
use m3rs_core::fs::DiskFs;
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database, DatabaseOptions, Progress};

const SERIES: usize = 2_000;

const TAGS: [&str; 10] = [
    "arch",
    "datacenter",
    "hostname",
    "os",
    "rack",
    "region",
    "service",
    "service_environment",
    "service_version",
    "team",
];

fn tag_value(name: &str, host: usize) -> String {
    match name {
        "hostname" => format!("host_{host}.example.org"),
        "rack" => (host % 50).to_string(),
        "region" => format!("eu-central-{}", host % 3),
        other => format!("{other}-{}", host % 7),
    }
}

fn influx(now_ms: i64) -> String {
    let mut body = String::new();
    for host in 0..SERIES / 10 {
        body.push_str("cpu");
        for name in TAGS {
            body.push_str(&format!(",{name}={}", tag_value(name, host)));
        }
        for field in 0..10 {
            let before = if field == 0 { ' ' } else { ',' };
            let value = (host * 10 + field) as f64 * 0.37;
            body.push_str(&format!("{before}usage_of_kind_{field}={value:.2}"));
        }
        body.push_str(&format!(" {}\n", now_ms * 1_000_000));
    }
    body
}

fn text(now_ms: i64) -> String {
    let mut body = String::new();
    for series in 0..SERIES {
        let (host, kind) = (series / 10, series % 10);
        let labels: Vec<String> =
            TAGS.iter().map(|name| format!("{name}=\"{}\"", tag_value(name, host))).collect();
        let value = series as f64 * 0.37;
        let labels = labels.join(",");
        body.push_str(&format!("cpu_usage_of_kind_{kind}{{{labels}}} {value:.2} {now_ms}\n"));
    }
    body
}

/// 100 samples in a line.
fn json(now_ms: i64) -> String {
    let mut body = String::new();
    for host in 0..SERIES / 100 {
        let labels: Vec<String> =
            TAGS.iter().map(|name| format!("\"{name}\":\"{}\"", tag_value(name, host))).collect();
        let values: Vec<String> = (0..100).map(|i| format!("{:.2}", i as f64 * 0.37)).collect();
        let times: Vec<String> =
            (0..100).map(|i| (now_ms - 100_000 + i * 1000).to_string()).collect();
        body.push_str(&format!(
            "{{\"metric\":{{\"__name__\":\"cpu\",{}}},\"values\":[{}],\"timestamps\":[{}]}}\n",
            labels.join(","),
            values.join(","),
            times.join(",")
        ));
    }
    body
}

fn csv(now_ms: i64) -> String {
    let mut body = String::new();
    for host in 0..SERIES / 2 {
        let value = host as f64 * 0.37;
        body.push_str(&format!("{value:.2},{},host_{host}.example.org,{now_ms}\n", host * 3));
    }
    body
}

/// The body of a request at a time.
type BodyOf = fn(i64) -> String;

fn benches(c: &mut Criterion) {
    let home = tempfile::tempdir().expect("a directory");
    let clock: SharedClock = Arc::new(SystemClock::default());
    let now_ms = clock.now().to_ms().0;
    let mut options =
        DatabaseOptions::new(Arc::new(DiskFs), clock, home.path().to_owned(), [7; 192]);
    options.background = false;
    let progress = Arc::new(Progress::new());
    let database = Database::open(options, Arc::clone(&progress)).expect("opens");
    let storage = Arc::new(LocalStorage::new(progress));
    storage.open(Arc::new(database), DEFAULT_NAMESPACE).expect("the namespace is there");
    let receiver =
        Receiver::new(LocalStore::new(storage), WriteLimits::default(), Relabeler::default());
    let mut group = c.benchmark_group("lines, read and commit");
    group.sample_size(20);
    group.throughput(Throughput::Elements(SERIES as u64));
    let format = |kind: &str| match kind {
        "influx" => {
            let dialect = InfluxDialect::VictoriaMetrics;
            LineFormat::Influx(Influx::new(dialect, Precision::Ns(1), ""))
        }
        "text" => LineFormat::Exposition(Exposition::new(ExpositionFormat::Text)),
        "openmetrics" => LineFormat::Exposition(Exposition::new(ExpositionFormat::OpenMetrics)),
        "json" => LineFormat::Json(JsonLines::default()),
        _ => LineFormat::Csv(
            Csv::new("1:metric:a,2:metric:b,3:label:host,4:time:unix_ms").expect("a format"),
        ),
    };
    let from_ms = now_ms - 3_600_000;
    let kinds: [(&str, BodyOf); 4] =
        [("influx", influx), ("text", text), ("json", json), ("csv", csv)];
    for (kind, body) in kinds {
        let bodies: Vec<String> = (0..200).map(|i| body(from_ms + i * 1000)).collect();
        let mut next = 0;
        group.bench_function(kind, |b| {
            b.iter(|| {
                let body = &bodies[next % bodies.len()];
                next += 1;
                let mut lines = Box::new(Lines::new(format(kind), LineContext::default()));
                lines.end();
                let mut lines = Format::Lines(lines);
                let outcome = receiver
                    .receive(black_box(body.as_bytes()), Encoding::Identity, &mut lines)
                    .expect("written");
                assert_eq!((outcome.samples_written, outcome.refusals.samples()), (2000, 0));
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
