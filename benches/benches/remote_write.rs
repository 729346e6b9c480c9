//! How long it takes to walk a write request into a namespace, and to commit it.
//!
//! Budgets: walk and resolve 40 ns a sample in 1.0 and 100 ns in 2.0, for known series of 11
//! labels, 2,000 in a request; criterion's `thrpt` is in samples.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_coordinator::ingest::{LabelPolicy, Refusals, walk_write_request, walk_write_request_2};
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

struct World {
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
        Self { store: LocalStore::new(storage), now_ms, _home: home }
    }

    fn walk(&self, body: &[u8], is_2: bool, commits: bool) {
        let target = self.store.target();
        let mut session = target.session();
        let limits = LabelPolicy::default();
        let mut refusals = Refusals::new(3);
        let counts = match is_2 {
            false => walk_write_request(body, &mut session, &limits, &mut refusals),
            true => walk_write_request_2(body, &mut session, &limits, &mut refusals),
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
        ("1.0", false, body_1(world.now_ms)),
        ("2.0", true, body_2(world.now_ms, None)),
        ("2.0 with start timestamps", true, body_2(world.now_ms, start)),
    ];
    for (name, is_2, body) in &bodies {
        world.walk(body, *is_2, true);
        group.bench_function(format!("walk {name}"), |b| {
            b.iter(|| world.walk(black_box(body), *is_2, false));
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
    for (name, is_2, started) in
        [("1.0", false, false), ("2.0", true, false), ("2.0 with start timestamps", true, true)]
    {
        let world = World::new();
        let from = world.now_ms - 6 * 3_600_000;
        let body = |i: u64| match is_2 {
            false => body_1(from + i * 1000),
            true => body_2(from + i * 1000, started.then_some(from)),
        };
        let bodies: Vec<Vec<u8>> = (0..400).map(body).collect();
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                world.walk(&bodies[next % bodies.len()], is_2, true);
                next += 1;
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
