//! Queries that ask for too much: each ends with a typed error, and soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use m3rs_core::clock::{Clock, SharedClock};
use m3rs_core::model::Labels;
use m3rs_core::time::TimestampNs;
use m3rs_query::engine::{Engine, EngineOptions, Query, QueryOptions};
use m3rs_query::error::QueryError;
use m3rs_query::limits::Limits;
use m3rs_query::promql::{ParseOptions, parse};
use m3rs_query::result::QueryOutput;
use m3rs_query::source::vector::VectorSource;
use m3rs_query::source::{
    Cancel, LabelRequest, Listing, SampleColumns, SelectRequest, Selection, SeriesReader,
    SeriesSource, SourceError,
};

const MINUTE: i64 = 60_000;

/// `x{i="…"}`: `samples` values a second apart, from time 0 on.
fn source(series: usize, samples: i64) -> VectorSource {
    let mut source = VectorSource::new();
    for i in 0..series {
        let labels = Labels::from_pairs([("__name__", "x"), ("i", &i.to_string())]);
        let ts = (0..samples).map(|t| t * 1000).collect();
        let vs = (0..samples).map(|t| (t % 97) as f64).collect();
        let columns = SampleColumns { ts, vs, ..SampleColumns::default() };
        source.insert(&labels.expect("valid labels"), columns);
    }
    source
}

fn engine(limits: Limits) -> Engine {
    Engine::new(EngineOptions { threads: 2, limits, ..EngineOptions::default() })
        .expect("threads start")
}

fn range(
    engine: &Engine,
    source: &dyn SeriesSource,
    text: &str,
    times: (i64, i64, i64),
    cancel: &Cancel,
) -> Result<QueryOutput, QueryError> {
    let expr = parse(text, &ParseOptions::default()).expect("a valid query");
    let query = Query { text, expr: &expr };
    engine.range(source, query, times, &QueryOptions::default(), cancel)
}

/// A limit holds at N and not at N + 1, and its error names it, its value and its setting.
#[test]
fn limits_name_themselves() {
    let source = source(10, 600);
    let text = "max_over_time(x[5m:1s])";
    let times = (0, 10 * MINUTE, MINUTE);
    let default = Limits::default();
    let steps = |steps_max| Limits { steps_max, ..default.clone() };
    let subquery = |subquery_steps_max| Limits { subquery_steps_max, ..default.clone() };
    let series = |series_max| Limits { series_max, ..default.clone() };
    let samples = |samples_max| Limits { samples_max, ..default.clone() };
    let memory = |memory_bytes_max| Limits { memory_bytes_max, ..default.clone() };
    // A subquery holds three buffers for each of two workers and the caller, and the result.
    let bytes = (900 * 3 * 3 + 10 * 11) * 8;
    for (fits, too_small, words) in [
        (steps(10), steps(9), "the limit steps is 9, set by query.steps_max"),
        (
            subquery(900),
            subquery(899),
            "the limit subquery_steps is 899, set by query.subquery_steps_max",
        ),
        (series(10), series(9), "the limit series is 9, set by query.series_max"),
        (samples(110), samples(109), "the limit samples is 109, set by query.samples_max"),
        (memory(bytes), memory(bytes - 1), "set by query.memory_max"),
    ] {
        let cancel = Cancel::new();
        range(&engine(fits), &source, text, times, &cancel)
            .unwrap_or_else(|error| panic!("{words}: {error}"));
        let error = range(&engine(too_small), &source, text, times, &cancel).expect_err(words);
        assert!(matches!(error, QueryError::Limit { .. }), "{error}");
        assert!(error.to_string().ends_with(words), "{error}");
    }
}

/// A range selector's samples count as they are read, not when all are there.
#[test]
fn samples_of_range_vectors_count() {
    let source = source(300, 1000);
    let limits = Limits { samples_max: 5000, ..Limits::default() };
    let expr = parse("x[1h]", &ParseOptions::default()).expect("a valid query");
    let query = Query { text: "x[1h]", expr: &expr };
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let error = engine(limits)
        .instant(&source, query, 1_000_000, &options, &cancel)
        .expect_err("too many samples");
    assert!(matches!(error, QueryError::Limit { name: "samples", value: 5000, .. }));
}

/// Gives samples of another source, and sets a query's flag with one of the first reads.
struct CancellingSource {
    inner: VectorSource,
    reads_until: usize,
    reads: Arc<AtomicUsize>,
}

struct CancellingReader {
    inner: Box<dyn SeriesReader>,
    cancel: Cancel,
    reads_until: usize,
    reads: Arc<AtomicUsize>,
}

impl SeriesReader for CancellingReader {
    fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError> {
        if self.reads.fetch_add(1, Ordering::Relaxed) + 1 == self.reads_until {
            self.cancel.cancel();
        }
        self.inner.read(index, out)
    }
}

impl SeriesSource for CancellingSource {
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError> {
        let mut selection = self.inner.select(request, cancel)?;
        selection.reader = Box::new(CancellingReader {
            inner: selection.reader,
            cancel: cancel.clone(),
            reads_until: self.reads_until,
            reads: Arc::clone(&self.reads),
        });
        Ok(selection)
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        self.inner.label_names(request)
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        self.inner.label_values(name, request)
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        self.inner.series(request)
    }
}

#[test]
fn a_cancelled_query_stops_within_a_run() {
    let inner = source(2000, 60);
    for text in [
        "x",
        "sum by (i) (x)",
        "rate(x[1m])",
        "topk(3, x)",
        "quantile(0.5, x)",
        "x / x",
        "x * on() group_left() sum(x)",
        "x and x",
        "x or x",
        "absent(x)",
        "scalar(x)",
        "count_values(\"v\", x)",
        "histogram_quantile(0.5, x)",
        "max_over_time(x[1m:1s])",
        "label_replace(x, \"a\", \"b\", \"i\", \".*\")",
        "x @ 30",
    ] {
        let reads = Arc::new(AtomicUsize::new(0));
        let source =
            CancellingSource { inner: inner.clone(), reads_until: 20, reads: Arc::clone(&reads) };
        let times = (0, 20 * MINUTE, 1000);
        let result = range(&engine(Limits::default()), &source, text, times, &Cancel::new());
        assert!(matches!(result, Err(QueryError::Cancelled)), "{text}");
        // Two workers, each within a run of 64 rows.
        let reads = reads.load(Ordering::Relaxed);
        assert!(reads < 200, "{text}: {reads} reads");
    }
}

/// Each look at this clock takes a millisecond.
#[derive(Debug, Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Long work on a single series looks at the time again and again.
#[test]
fn a_long_range_function_times_out() {
    let source = source(1, 4000);
    let clock: SharedClock = Arc::new(CountingClock::default());
    let limits = Limits { time_max: Duration::from_millis(20), ..Limits::default() };
    let options = EngineOptions { threads: 1, limits, clock, ..EngineOptions::default() };
    let engine = Engine::new(options).expect("threads start");
    for text in ["stddev_over_time(x[10d])", "mad_over_time(x[10d])", "deriv(x[10d])"] {
        // 11,000 windows of all samples.
        let times = (4_000_000, 4_000_000 + 11_000 * 1000, 1000);
        let result = range(&engine, &source, text, times, &Cancel::new());
        assert!(matches!(result, Err(QueryError::Timeout)), "{text}");
    }
    let times = (4_000_000, 4_000_000, 1000);
    range(&engine, &source, "stddev_over_time(x[10d])", times, &Cancel::new())
        .expect("a single window is short");
}

/// Ranges, offsets, steps and times at the ends of what can be written.
#[test]
fn extreme_times_do_not_overflow() {
    let source = source(2, 60);
    let engine = engine(Limits::default());
    for text in [
        "x offset 290y",
        "x offset -290y",
        "rate(x[290y])",
        "rate(x[290y] offset -290y)",
        "x @ 9e15",
        "x @ -9e15",
        "rate(x[290y] @ -9e15 offset 290y)",
        "max_over_time(x[1s:290y])",
        "max_over_time(x[290y:290y])",
        "max_over_time(x[290y:1ms])",
        "max_over_time(max_over_time(x[290y:1y])[290y:1y])",
        "max_over_time(x[1m:1ms] @ 9e15)",
        "predict_linear(x[1m], 1e308)",
        "topk(9e18, x)",
        "limitk(1e300, x)",
        "quantile(1e308, x)",
        "round(x, 1e-320)",
        "day_of_year(x * 1e308)",
        "label_join(x, \"i\", \"\", \"i\", \"i\")",
        "count_values(\"i\", x)",
    ] {
        for times in [(0, MINUTE, 1000), (-(1 << 60), -(1 << 60) + 10, 5), (1 << 60, 1 << 60, 1)] {
            match range(&engine, &source, text, times, &Cancel::new()) {
                Ok(_) | Err(QueryError::Limit { .. } | QueryError::Execution(_)) => {}
                Err(error) => panic!("{text} at {times:?}: {error}"),
            }
        }
    }
    let outside = ((1 << 60) + 1, (1 << 60) + 1, 1);
    let error = range(&engine, &source, "x", outside, &Cancel::new()).expect_err("too late");
    assert!(matches!(error, QueryError::Parse(_)), "{error}");
}
