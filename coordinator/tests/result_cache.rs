//! Results that are kept: answers with them are those without, whatever is written and deleted in
//! between.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::read::LocalSource;
use m3rs_core::clock::Clock;
use m3rs_core::model::{Labels, Matcher};
use m3rs_core::time::{NS_PER_MS, NS_PER_S, TimestampNs};
use m3rs_query::engine::{Engine, EngineOptions, Query, QueryOptions};
use m3rs_query::promql::{ParseOptions, parse};
use m3rs_query::result::{QueryOutput, Value};
use m3rs_query::result_cache::ResultCache;
use m3rs_query::source::Cancel;
use m3rs_sim::clock::SimClock;
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::{
    DEFAULT_NAMESPACE, Database, DatabaseOptions, Namespace, NamespaceOptions, Progress,
};
use proptest::prelude::*;

const START_S: i64 = 1_700_000_000;
const RETENTION_S: i64 = 3 * 3600;

/// Queries of a dashboard. Rates have names of counters, as a result with an info is not kept.
const QUERIES: [&str; 14] = [
    "x_total",
    "sum by (a) (rate(x_total[5m]))",
    "increase(x_total[10m]) / on (a) x_total offset 5m",
    "x_total offset -3m",
    "max_over_time(rate(x_total[5m])[30m:1m])",
    "max_over_time(x_total[10m:] offset -5m)",
    "count(x_total) or vector(0)",
    "topk(1, x_total)",
    "absent(x_total{a=\"1\"})",
    "rate(x_total[5m] smoothed)",
    "increase(x_total[5m] anchored)",
    "time() - timestamp(x_total)",
    // Not kept.
    "x_total @ end()",
    "x_total + on (a) rate(x_total[5m] @ 1700000000)",
];

struct World {
    clock: Arc<SimClock>,
    database: Arc<Database>,
    storage: Arc<LocalStorage>,
    runtime: tokio::runtime::Runtime,
    engine: Engine,
    cache: ResultCache,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(SimClock::at(START_S * NS_PER_S));
        let (fs, dir) = (Arc::new(SimFs::new(1)), PathBuf::from("/data"));
        let mut options = DatabaseOptions::new(fs, clock.clone(), dir, [7; 192]);
        options.background = false;
        options.namespace = NamespaceOptions {
            retention_ns: RETENTION_S * NS_PER_S,
            shard_count: 2,
            ..NamespaceOptions::default()
        };
        let progress = Arc::new(Progress::new());
        let database = Database::open(options, Arc::clone(&progress)).expect("an empty disk opens");
        let database = Arc::new(database);
        let storage = Arc::new(LocalStorage::new(progress));
        storage.open(Arc::clone(&database), DEFAULT_NAMESPACE).expect("the namespace is there");
        Self {
            clock,
            database,
            storage,
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            engine: Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() })
                .expect("threads"),
            cache: ResultCache::new(1 << 20),
        }
    }

    fn now_s(&self) -> i64 {
        self.clock.now().0 / NS_PER_S
    }

    fn namespace(&self) -> Arc<Namespace> {
        self.database.namespace(DEFAULT_NAMESPACE).expect("it is there")
    }

    fn write(&self, samples: &[(u8, i64, f64)]) {
        let namespace = self.namespace();
        let mut session = namespace.writer();
        for &(series, t_s, v) in samples {
            let a = series.to_string();
            let labels = Labels::from_pairs([("__name__", "x_total"), ("a", &a)]).expect("labels");
            let handle = session.resolve_labels(&labels).expect("resolved");
            // Samples outside retention are refused, which is as good here.
            let _ = session.push(handle, TimestampNs(t_s * NS_PER_S), v);
        }
        let commit = session.commit().expect("committed");
        self.runtime.block_on(commit.durable()).expect("durable");
    }

    fn delete(&self, series: u8, from_s: i64, to_s: i64) {
        let matchers = [vec![Matcher::equal("a", series.to_string())]];
        let (from, to) = (TimestampNs(from_s * NS_PER_S), TimestampNs(to_s * NS_PER_S));
        let deleted = self.namespace().delete(&matchers, from, to).expect("deleted");
        self.runtime.block_on(deleted.commit.durable()).expect("durable");
    }

    /// The answer, with the cache or without.
    fn ask(&self, text: &str, times: (i64, i64, i64), is_cached: bool) -> Vec<String> {
        let expr = parse(text, &ParseOptions::default()).expect("a query");
        let query = Query { text, expr: &expr };
        let source = LocalSource::new(Arc::clone(&self.storage));
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let times = (times.0 * 1000, times.1 * 1000, times.2 * 1000);
        let output = match is_cached {
            true => self.cache.range(&self.engine, &source, query, times, &options, &cancel),
            false => self.engine.range(&source, query, times, &options, &cancel),
        };
        shown(&output.expect("an answer"))
    }
}

/// Series with all values, to the bit, and what came with them.
fn shown(output: &QueryOutput) -> Vec<String> {
    let Value::Matrix(matrix) = &output.value else { panic!("no matrix: {:?}", output.value) };
    let series = matrix.series.iter().map(|series| {
        let samples = series.samples(&matrix.grid).map(|(t, v)| (t, v.to_bits(), v));
        format!("{} {:?}", series.labels, samples.collect::<Vec<_>>())
    });
    series.chain(output.warnings.iter().cloned()).chain(output.infos.iter().cloned()).collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// A scrape of all series, so many seconds late.
    Scrape {
        late_s: i64,
    },
    /// A sample of one series.
    Write {
        series: u8,
        ago_s: i64,
        v: f64,
    },
    Delete {
        series: u8,
        ago_s: i64,
        for_s: i64,
    },
    Pass {
        s: i64,
    },
    /// Background work: flushes, expiry.
    Tick,
    Ask {
        query: usize,
        range_s: i64,
        step_s: i64,
        is_aligned: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0u8..4, -60i64..4000, 0u8..100);
    let delete = (0u8..4, 0i64..4000, 0i64..600);
    let range_s = prop_oneof![Just(600i64), Just(3600), Just(RETENTION_S)];
    let step_s = prop_oneof![Just(15i64), Just(60)];
    let ask = (0..QUERIES.len(), range_s, step_s, prop::bool::weighted(0.8));
    let step = prop_oneof![
        6 => (0i64..20).prop_map(|late_s| Step::Scrape { late_s }),
        1 => write.prop_map(|(series, ago_s, v)| Step::Write { series, ago_s, v: v.into() }),
        1 => delete.prop_map(|(series, ago_s, for_s)| Step::Delete { series, ago_s, for_s }),
        6 => prop_oneof![8 => 1i64..60, 1 => 60i64..4000].prop_map(|s| Step::Pass { s }),
        1 => Just(Step::Tick),
        8 => ask.prop_map(|(query, range_s, step_s, is_aligned)| {
            Step::Ask { query, range_s, step_s, is_aligned }
        }),
    ];
    prop::collection::vec(step, 20..120)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn a_kept_result_is_never_stale(steps in steps()) {
        let world = World::new();
        let mut value = 0.0;
        for step in steps {
            let now = world.now_s();
            match step {
                Step::Scrape { late_s } => {
                    value += 1.0;
                    let t = now - late_s;
                    let sample = |series| (series, t, value * f64::from(series + 1));
                    world.write(&(0..4).map(sample).collect::<Vec<_>>());
                }
                Step::Write { series, ago_s, v } => world.write(&[(series, now - ago_s, v)]),
                Step::Delete { series, ago_s, for_s } => {
                    world.delete(series, now - ago_s, now - ago_s + for_s);
                }
                Step::Pass { s } => world.clock.pass(s * NS_PER_S),
                Step::Tick => world.database.tick().expect("ticks"),
                Step::Ask { query, range_s, step_s, is_aligned } => {
                    let end = if is_aligned { now / step_s * step_s } else { now };
                    let times = (end - range_s, end, step_s);
                    let text = QUERIES[query];
                    let want = world.ask(text, times, false);
                    prop_assert_eq!(world.ask(text, times, true), want, "{} {:?}", text, times);
                }
            }
        }
    }
}

/// The test above would hold if nothing were kept.
#[test]
fn a_dashboard_that_refreshes_evaluates_new_steps_alone() {
    let world = World::new();
    for refresh in 0..20 {
        let now = world.now_s();
        world.write(&[(0, now, f64::from(refresh)), (1, now, 2.0)]);
        let end = now / 15 * 15;
        for text in ["sum by (a) (rate(x_total[5m]))", "x_total @ end()"] {
            let times = (end - 3600, end, 15);
            assert_eq!(world.ask(text, times, true), world.ask(text, times, false));
        }
        world.clock.pass(15 * NS_PER_S);
    }
    let counts = world.cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.bypasses), (19, 1, 20));
    assert!(counts.steps_reused >= 19 * 237, "{counts:?}");
    assert!(counts.bytes > 500, "{counts:?}");
}

/// Each thread sees its own acknowledged writes, late ones too, while others write and ask.
#[test]
fn an_acknowledged_write_is_in_the_next_answer() {
    let world = World::new();
    let is_over = AtomicBool::new(false);
    let (start, end) = (START_S - 1800, START_S);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3u8)
            .map(|series| {
                let world = &world;
                scope.spawn(move || {
                    let text = "sum by (a) (count_over_time(x_total[10m]))";
                    for written in 1..=150i64 {
                        // From the end to the past.
                        world.write_alone(series, end - written * 7);
                        let series = format!("{{a=\"{series}\"}} ");
                        let answer = world.ask(text, (start, end, 60), true);
                        let mine = answer.iter().find(|line| line.starts_with(&series));
                        let mine = mine.expect("the series is there");
                        let last = mine.rsplit(", ").next().expect("a value");
                        let count: f64 =
                            last.trim_end_matches([')', ']']).parse().expect("a count");
                        assert_eq!(count, written.min(85) as f64, "{mine}");
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                world.ask("sum(x_total)", (start, end, 60), true);
            }
        });
        for writer in writers {
            writer.join().expect("a writer");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(world.cache.counts().hits > 0);
}

impl World {
    /// Writes one sample from a thread of its own.
    fn write_alone(&self, series: u8, t_s: i64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let namespace = self.namespace();
        let mut session = namespace.writer();
        let a = series.to_string();
        let labels = Labels::from_pairs([("__name__", "x_total"), ("a", &a)]).expect("labels");
        let handle = session.resolve_labels(&labels).expect("resolved");
        session.push(handle, TimestampNs(t_s * 1000 * NS_PER_MS), 1.0).expect("in retention");
        let commit = session.commit().expect("committed");
        runtime.block_on(commit.durable()).expect("durable");
    }
}
