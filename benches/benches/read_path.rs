//! How long does it take to read samples out of the storage engine, into what queries work on?
//!
//! 4,000 series with 480 samples at 15 s, in a volume and in open windows; the last sample of
//! 100,000 series in open windows; five minutes out of blocks of a day and of 32 days.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::read::LocalSource;
use m3rs_core::clock::Clock;
use m3rs_core::fs::DiskFs;
use m3rs_core::model::{Labels, Matcher};
use m3rs_core::time::{NS_PER_MS, NS_PER_S, TimestampNs};
use m3rs_query::engine::{Engine, EngineOptions, Query, QueryOptions};
use m3rs_query::promql::{ParseOptions, parse};
use m3rs_query::source::{
    Cancel, SampleBatch, SampleColumns, SelectHints, SelectRequest, SeriesSource, TimeRange,
};
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database, DatabaseOptions, NamespaceOptions, Progress};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const HOUR: i64 = 3600 * NS_PER_S;
const DAY: i64 = 24 * HOUR;
/// A start of blocks of every length here.
const START: i64 = 1_700_000_000 * NS_PER_S / (32 * DAY) * (32 * DAY);
const INTERVAL: i64 = 15 * NS_PER_S;

/// Time stands still, so that nothing is flushed or expires by itself.
#[derive(Debug)]
struct StillClock(i64);

impl Clock for StillClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

struct World {
    storage: Arc<LocalStorage>,
    database: Arc<Database>,
    _dir: tempfile::TempDir,
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "cpu_usage_seconds_total".to_owned()),
        ("cpu", (i % 10).to_string()),
        ("hostname", format!("host-{}", i / 10)),
        ("job", "node".to_owned()),
    ])
    .expect("labels are valid")
}

/// A database with `series` series of `samples` samples each, in blocks of `block`.
fn world(series: usize, samples: usize, block: i64) -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(StillClock(START + samples as i64 * INTERVAL));
    let path: &Path = dir.path();
    let mut options = DatabaseOptions::new(Arc::new(DiskFs), clock, path.to_owned(), [7; 192]);
    options.background = false;
    options.limits.disk_floor_bytes_max = 0;
    options.namespace =
        NamespaceOptions { retention_ns: 0, block_size_ns: block, ..NamespaceOptions::default() };
    let progress = Arc::new(Progress::new());
    let database = Database::open(options, Arc::clone(&progress)).expect("opens");
    let database = Arc::new(database);
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it is there");
    let mut rng = StdRng::seed_from_u64(7);
    let mut values = vec![0.0; series];
    let mut session = namespace.writer();
    for sample in 0..samples {
        for (i, v) in values.iter_mut().enumerate() {
            let handle = session.resolve_labels(&labels(i)).expect("resolved");
            *v += f64::from(rng.random_range(0..50u32));
            let t = START + sample as i64 * INTERVAL + (i % 15) as i64 * NS_PER_MS;
            session.push(handle, TimestampNs(t), *v).expect("in time");
        }
        drop(session.commit().expect("committed"));
        session = namespace.writer();
    }
    drop(session);
    let storage = LocalStorage::new(progress);
    storage.open(Arc::clone(&database), DEFAULT_NAMESPACE).expect("once");
    World { storage: Arc::new(storage), database, _dir: dir }
}

impl World {
    /// Reads all series in a range; returns the number of samples.
    fn read(&self, from_ns: i64, to_ns: i64) -> usize {
        let source = LocalSource::new(Arc::clone(&self.storage));
        let request = SelectRequest {
            matchers: vec![Matcher::equal("__name__", "cpu_usage_seconds_total")],
            range: TimeRange { start_ms: from_ns / NS_PER_MS, end_ms: to_ns / NS_PER_MS },
            hints: SelectHints::default(),
            series_max: 1_000_000,
        };
        let selection = source.select(&request, &Cancel::new()).expect("selected");
        let mut batch = SampleBatch::default();
        let (mut row, mut read) = (0, 0);
        while row < selection.series.len() {
            selection.reader.read_batch(row..selection.series.len(), &mut batch).expect("read");
            read += black_box(&batch).rows().iter().map(SampleColumns::len).sum::<usize>();
            row += batch.rows().len();
        }
        read
    }

    /// Runs an instant query on two threads.
    fn instant(&self, engine: &Engine, text: &str, t_ns: i64) {
        let expr = parse(text, &ParseOptions::default()).expect("queries parse");
        let source = LocalSource::new(Arc::clone(&self.storage));
        let (query, options) = (Query { text, expr: &expr }, QueryOptions::default());
        let time_ms = t_ns / NS_PER_MS;
        let output = engine.instant(&source, query, time_ms, &options, &Cancel::new());
        black_box(output.expect("answered"));
    }
}

fn whole_blocks(c: &mut Criterion) {
    let world = world(4000, 480, 2 * HOUR);
    let mut group = c.benchmark_group("read 4000 x 480");
    group.sample_size(20).throughput(Throughput::Elements(4000 * 480));
    let last = START + 2 * HOUR - 1;
    group.bench_function("open windows", |b| b.iter(|| world.read(START, last)));
    let report = world.database.flush_all().expect("flushed");
    assert!(report.volumes > 0);
    group.bench_function("a volume", |b| b.iter(|| world.read(START, last)));
    let middle = START + HOUR;
    group.throughput(Throughput::Elements(4000));
    group.bench_function("5 m of a volume", |b| {
        b.iter(|| world.read(middle, middle + 300 * NS_PER_S));
    });
}

fn last_samples(c: &mut Criterion) {
    let world = world(100_000, 24, 2 * HOUR);
    let engine =
        Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).expect("starts");
    let mut group = c.benchmark_group("last of 100000");
    group.sample_size(20).throughput(Throughput::Elements(100_000));
    let now = START + 24 * INTERVAL;
    group.bench_function("read 5 m", |b| b.iter(|| world.read(now - 300 * NS_PER_S, now)));
    for text in ["count(cpu_usage_seconds_total)", "sum(cpu_usage_seconds_total)"] {
        group.bench_function(text, |b| b.iter(|| world.instant(&engine, text, now)));
    }
}

fn short_ranges(c: &mut Criterion) {
    for (series, days) in [(2000, 1), (200, 32)] {
        let length = days * DAY;
        let world = world(series, usize::try_from(length / INTERVAL).expect("few"), length);
        assert!(world.database.flush_all().expect("flushed").volumes > 0);
        let name = format!("5 m of a block of {days} d, {series} series");
        let mut group = c.benchmark_group(name);
        group.sample_size(10).throughput(Throughput::Elements(series as u64));
        let middle = START + length / 2;
        group.bench_function("again and again", |b| {
            b.iter(|| world.read(middle, middle + 300 * NS_PER_S));
        });
        group.bench_function("all of it", |b| b.iter(|| world.read(START, START + length - 1)));
    }
}

criterion_group!(benches, whole_blocks, last_samples, short_ranges);
criterion_main!(benches);
