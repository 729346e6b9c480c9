//! How long it takes to walk a write request into a namespace, and to commit it.
//!
//! Budgets: walk and resolve 40 ns a sample in 1.0, 100 ns in 2.0 and 80 ns in OTLP, for known
//! series of 11 labels, 2,000 in a request; criterion's `thrpt` is in samples.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_coordinator::ingest::{
    LabelPolicy, Otlp, Refusals, walk_otlp, walk_write_request, walk_write_request_2,
};
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::write::{LocalStore, WriteStore, WriteTarget};
use m3rs_core::clock::{SharedClock, SystemClock};
use m3rs_core::fs::DiskFs;
use m3rs_core::wire::{put_length_prefixed, put_varint};
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database, DatabaseOptions, Progress};

const SERIES: usize = 2_000;

const NAMES: [&str; 11] = [
    "__name__",
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

fn labels(series: usize) -> [(&'static str, String); 11] {
    let host = series / 10;
    let value = |name| match name {
        "__name__" => format!("cpu_usage_of_kind_{}", series % 10),
        "hostname" => format!("host_{host}.example.org"),
        "rack" => (host % 50).to_string(),
        "region" => format!("eu-central-{}", host % 3),
        other => format!("{other}-{}", host % 7),
    };
    NAMES.map(|name| (name, value(name)))
}

fn put_sample(out: &mut Vec<u8>, tag: u8, v: f64, t: u64, start: Option<u64>) {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&v.to_le_bytes());
    sample.push(0x10);
    put_varint(&mut sample, t);
    if let Some(start) = start {
        sample.push(0x18);
        put_varint(&mut sample, start);
    }
    out.push(tag);
    put_length_prefixed(out, &sample);
}

fn body_1(t: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for i in 0..SERIES {
        let mut series = Vec::new();
        for (name, value) in labels(i) {
            let mut label = vec![0x0a];
            put_length_prefixed(&mut label, name.as_bytes());
            label.push(0x12);
            put_length_prefixed(&mut label, value.as_bytes());
            series.push(0x0a);
            put_length_prefixed(&mut series, &label);
        }
        put_sample(&mut series, 0x12, i as f64 * 0.37, t, None);
        body.push(0x0a);
        put_length_prefixed(&mut body, &series);
    }
    body
}

fn body_2(t: u64, start: Option<u64>) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut known = std::collections::HashMap::new();
    let mut all = Vec::new();
    for i in 0..SERIES {
        let mut refs = Vec::new();
        for (name, value) in labels(i) {
            for text in [name.to_owned(), value] {
                let at = *known.entry(text.clone()).or_insert_with(|| {
                    symbols.push(text);
                    symbols.len() - 1
                });
                put_varint(&mut refs, at as u64);
            }
        }
        let mut series = vec![0x0a];
        put_length_prefixed(&mut series, &refs);
        put_sample(&mut series, 0x12, i as f64 * 0.37, t, start);
        // The metadata of a gauge without help.
        series.extend_from_slice(&[0x2a, 2, 0x08, 2]);
        all.push(0x2a);
        put_length_prefixed(&mut all, &series);
    }
    let mut body = Vec::new();
    for symbol in symbols {
        body.push(0x22);
        put_length_prefixed(&mut body, symbol.as_bytes());
    }
    body.extend_from_slice(&all);
    body
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Two,
    Otlp,
}

fn put_message(out: &mut Vec<u8>, tag: u8, message: &[u8]) {
    out.push(tag);
    put_length_prefixed(out, message);
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let (mut out, mut any) = (Vec::new(), Vec::new());
    put_message(&mut any, 0x0a, value.as_bytes());
    put_message(&mut out, 0x0a, key.as_bytes());
    put_message(&mut out, 0x12, &any);
    out
}

/// The same series as OTLP: the service is the resource's, and so the label `job`. A resource has
/// `hosts_per_resource` hosts of ten metrics each.
fn body_otlp(t: u64, hosts_per_resource: usize) -> Vec<u8> {
    let hosts: Vec<usize> = (0..SERIES / 10).collect();
    let mut body = Vec::new();
    for hosts in hosts.chunks(hosts_per_resource) {
        let (mut scope, mut resource) = (Vec::new(), Vec::new());
        for kind in 0..10 {
            let mut gauge = Vec::new();
            for host in hosts {
                let i = host * 10 + kind;
                let mut point = vec![0x19];
                point.extend_from_slice(&(t * 1_000_000).to_le_bytes());
                point.push(0x21);
                point.extend_from_slice(&(i as f64 * 0.37).to_le_bytes());
                for (key, value) in
                    labels(i).iter().filter(|l| !matches!(l.0, "__name__" | "service"))
                {
                    put_message(&mut point, 0x3a, &attribute(key, value));
                }
                put_message(&mut gauge, 0x0a, &point);
            }
            let mut metric = Vec::new();
            put_message(&mut metric, 0x0a, format!("cpu.usage.of.kind.{kind}").as_bytes());
            put_message(&mut metric, 0x12, b"What it is.");
            put_message(&mut metric, 0x2a, &gauge);
            put_message(&mut scope, 0x12, &metric);
        }
        let mut attributes = Vec::new();
        put_message(&mut attributes, 0x0a, &attribute("service.name", "service-1"));
        put_message(&mut resource, 0x0a, &attributes);
        put_message(&mut resource, 0x12, &scope);
        put_message(&mut body, 0x0a, &resource);
    }
    body
}

struct World {
    otlp: Otlp,
    store: LocalStore,
    now_ms: u64,
    _home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock: SharedClock = Arc::new(SystemClock::default());
        let now_ms = u64::try_from(clock.now().to_ms().0).expect("after 1970");
        let dir = home.path().to_owned();
        let mut options = DatabaseOptions::new(Arc::new(DiskFs), clock, dir, [7; 192]);
        options.background = false;
        let progress = Arc::new(Progress::new());
        let database = Database::open(options, Arc::clone(&progress)).expect("opens");
        let storage = Arc::new(LocalStorage::new(progress));
        storage.open(Arc::new(database), DEFAULT_NAMESPACE).expect("the namespace is there");
        Self { otlp: Otlp::default(), store: LocalStore::new(storage), now_ms, _home: home }
    }

    fn walk(&self, body: &[u8], form: Form, commits: bool) {
        let target = self.store.target();
        let mut session = target.session();
        let limits = LabelPolicy::default();
        let mut refusals = Refusals::new(3);
        let counts = match form {
            Form::One => walk_write_request(body, &mut session, &limits, &mut refusals),
            Form::Two => walk_write_request_2(body, &mut session, &limits, &mut refusals),
            Form::Otlp => walk_otlp(body, &self.otlp, &mut session, &limits, &mut refusals),
        };
        assert_eq!((counts.expect("sound").samples, refusals.samples()), (SERIES as u64, 0));
        if commits {
            use m3rs_coordinator::write::WriteSession;
            black_box(session.commit().expect("written").samples);
        }
    }
}

fn benches(c: &mut Criterion) {
    let world = World::new();
    let mut group = c.benchmark_group("remote write, 2000 series x 11 labels");
    group.throughput(Throughput::Elements(SERIES as u64));
    let start = Some(world.now_ms - 3_600_000);
    let bodies = [
        ("1.0", Form::One, body_1(world.now_ms)),
        ("2.0", Form::Two, body_2(world.now_ms, None)),
        ("2.0 with start timestamps", Form::Two, body_2(world.now_ms, start)),
        ("OTLP of one resource", Form::Otlp, body_otlp(world.now_ms, SERIES / 10)),
        ("OTLP of 200 resources", Form::Otlp, body_otlp(world.now_ms, 1)),
    ];
    for (name, form, body) in &bodies {
        world.walk(body, *form, true);
        group.bench_function(format!("walk {name}"), |b| {
            b.iter(|| world.walk(black_box(body), *form, false));
        });
    }
    group.finish();
    commits(c);
}

/// Walk and commit, each time a scrape later, so that samples go to the streams.
fn commits(c: &mut Criterion) {
    let mut group = c.benchmark_group("remote write, walk and commit");
    group.sample_size(20);
    group.throughput(Throughput::Elements(SERIES as u64));
    for (name, form, started) in [
        ("1.0", Form::One, false),
        ("2.0", Form::Two, false),
        ("2.0 with start timestamps", Form::Two, true),
        ("OTLP of one resource", Form::Otlp, false),
    ] {
        let world = World::new();
        let from = world.now_ms - 6 * 3_600_000;
        let body = |i: u64| match form {
            Form::One => body_1(from + i * 1000),
            Form::Two => body_2(from + i * 1000, started.then_some(from)),
            Form::Otlp => body_otlp(from + i * 1000, SERIES / 10),
        };
        let bodies: Vec<Vec<u8>> = (0..400).map(body).collect();
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                world.walk(&bodies[next % bodies.len()], form, true);
                next += 1;
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
