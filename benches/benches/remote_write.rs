//! How long it takes to walk a write request into a namespace, and to commit it.
//!
//! Budgets: walk and resolve 40 ns a sample in 1.0, 100 ns in 2.0 and 80 ns in OTLP, for known
//! series of 11 labels, 2,000 in a request; criterion's `thrpt` is in samples.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_benches::requests::{Pairs, Sample, attribute, put_field, remote_write, remote_write_2};
use m3rs_coordinator::ingest::{
    LabelPolicy, Otlp, Refusals, walk_otlp, walk_write_request, walk_write_request_2,
};
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::write::{LocalStore, WriteStore, WriteTarget};
use m3rs_core::clock::{SharedClock, SystemClock};
use m3rs_core::fs::DiskFs;
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

fn labels(series: usize) -> Pairs {
    let host = series / 10;
    let value = |name| match name {
        "__name__" => format!("cpu_usage_of_kind_{}", series % 10),
        "hostname" => format!("host_{host}.example.org"),
        "rack" => (host % 50).to_string(),
        "region" => format!("eu-central-{}", host % 3),
        other => format!("{other}-{}", host % 7),
    };
    NAMES.map(|name| (name, value(name))).to_vec()
}

/// A sample of each series at one time, as `write` writes it.
fn body(t_ms: u64, start_ms: Option<u64>, write: fn(&[Sample<'_>]) -> Vec<u8>) -> Vec<u8> {
    let all: Vec<Pairs> = (0..SERIES).map(labels).collect();
    let sample = |(i, labels)| {
        let (t_ms, start_ms) = (t_ms.cast_signed(), start_ms.map(u64::cast_signed));
        Sample { labels, v: i as f64 * 0.37, t_ms, start_ms }
    };
    write(&all.iter().enumerate().map(sample).collect::<Vec<_>>())
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    One,
    Two,
    Otlp,
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
                    put_field(&mut point, 0x3a, &attribute(key, value));
                }
                put_field(&mut gauge, 0x0a, &point);
            }
            let mut metric = Vec::new();
            put_field(&mut metric, 0x0a, format!("cpu.usage.of.kind.{kind}").as_bytes());
            put_field(&mut metric, 0x12, b"What it is.");
            put_field(&mut metric, 0x2a, &gauge);
            put_field(&mut scope, 0x12, &metric);
        }
        let mut attributes = Vec::new();
        put_field(&mut attributes, 0x0a, &attribute("service.name", "service-1"));
        put_field(&mut resource, 0x0a, &attributes);
        put_field(&mut resource, 0x12, &scope);
        put_field(&mut body, 0x0a, &resource);
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
        ("1.0", Form::One, body(world.now_ms, None, remote_write)),
        ("2.0", Form::Two, body(world.now_ms, None, remote_write_2)),
        ("2.0 with start timestamps", Form::Two, body(world.now_ms, start, remote_write_2)),
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
        let body_at = |i: u64| match form {
            Form::One => body(from + i * 1000, None, remote_write),
            Form::Two => body(from + i * 1000, started.then_some(from), remote_write_2),
            Form::Otlp => body_otlp(from + i * 1000, SERIES / 10),
        };
        let bodies: Vec<Vec<u8>> = (0..400).map(body_at).collect();
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
