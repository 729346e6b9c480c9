//! Metrics of the program itself. `docs/api/metrics.md` tells what each means.
//!
//! Handles are made once; a request costs a few atomic adds and two look-ups in small maps.

mod families;
mod jobs;
mod otlp;
mod process;
mod reads;
mod remote_read;
mod result_cache;
mod scrub;
mod storage;
mod text;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::SharedFs;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::http::{BuildInfo, HttpState};
use crate::ingest::{Refusals, WalkCounts};
use crate::write::RefusalReason;
use otlp::OtlpMetrics;
use process::ProcessCollector;
pub(crate) use remote_read::RemoteReadInFlight;
use remote_read::RemoteReadMetrics;
use result_cache::ResultCacheMetrics;
use storage::StorageMetrics;
pub(crate) use text::TextFormat;

/// Upper bounds of the duration histograms, in seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

const IGNORED_HELP: &str = "Exemplars received that are not kept";

/// Kinds of query, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// One evaluation time.
    Instant = 0,
    /// A range of evaluation times.
    Range = 1,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

type DurationFamily<L> = Family<L, Histogram, fn() -> Histogram>;

fn duration_histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

/// All metrics of the edge, and the registry in which they and those of other rooms are.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_durations: DurationFamily<RouteLabels>,
    in_flight: Gauge,
    write_series: Counter,
    write_samples: Counter,
    write_histograms: Counter,
    write_refused: [Counter; RefusalReason::ALL.len()],
    write_exemplars: Counter,
    write_exemplars_ignored: Counter,
    write_metadata: Counter,
    pub(crate) write_body_bytes: Counter,
    pub(crate) write_overloads: Counter,
    pub(crate) bodies_bytes: Gauge,
    query_durations: [Histogram; 2],
    pub(crate) query_samples: Counter,
    pub(crate) queries_in_flight: Gauge,
    pub(crate) query_queue_timeouts: Counter,
    pub(crate) queries_slow: Counter,
    pub(crate) queries_cancelled: Counter,
    metadata_families: Gauge,
    pub(crate) remote_read: RemoteReadMetrics,
    otlp: OtlpMetrics,
    result_cache: ResultCacheMetrics,
    storage: StorageMetrics,
    process_files: SharedFs,
}

/// Counts a request as in flight until it is dropped.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Registers all metrics of the edge and of the process in `registry`, which may hold those of
    /// other rooms already.
    #[must_use]
    pub fn new(
        mut registry: Registry,
        build: &BuildInfo,
        clock: &SharedClock,
        fs: SharedFs,
    ) -> Self {
        registry.register("m3rs_build", "What was built", build_labels(build));
        let collector = ProcessCollector::new(Arc::clone(&fs), clock.now());
        registry.register_collector(Box::new(collector));
        let r = &mut registry;
        let refused: Family<ReasonLabels, Counter> = put(
            r,
            "m3rs_write_refused_samples",
            "Samples that were refused with status 400, by reason",
        );
        let query_durations: DurationFamily<KindLabels> = durations(
            r,
            "m3rs_query_duration_seconds",
            "Time from the request of a query to its result, waiting included",
        );
        let of_kind = |kind| query_durations.get_or_create_owned(&KindLabels { kind });
        let of_reason = |reason: RefusalReason| {
            refused.get_or_create_owned(&ReasonLabels { reason: reason.as_str() })
        };
        let request_durations: DurationFamily<RouteLabels> = durations(
            r,
            "m3rs_http_request_duration_seconds",
            "Time from the head of a request to the head of its answer, by route",
        );
        Self {
            requests: put(r, "m3rs_http_requests", "Requests by route, method and status"),
            request_durations,
            in_flight: put(r, "m3rs_http_requests_in_flight", "Requests at work"),
            write_series: put(r, "m3rs_write_series", "TimeSeries messages received"),
            write_samples: put(r, "m3rs_write_samples", "Float samples written"),
            write_histograms: put(r, "m3rs_write_histograms", "Native histograms written"),
            write_refused: RefusalReason::ALL.map(of_reason),
            write_exemplars: put(r, "m3rs_write_exemplars", "Exemplars written"),
            write_exemplars_ignored: put(r, "m3rs_write_exemplars_ignored", IGNORED_HELP),
            write_metadata: put(r, "m3rs_write_metadata", "Entries of metadata received"),
            write_body_bytes: put(r, "m3rs_write_body_bytes", "Bytes of write bodies as sent"),
            write_overloads: put(
                r,
                "m3rs_write_overloads",
                "Write requests answered 503 because too many were at work",
            ),
            bodies_bytes: put(
                r,
                "m3rs_http_bodies_bytes",
                "Memory held by bodies that come in pieces",
            ),
            query_durations: ["instant", "range"].map(of_kind),
            query_samples: put(r, "m3rs_query_samples", "Samples that queries looked at"),
            queries_in_flight: put(r, "m3rs_queries_in_flight", "Queries at work"),
            query_queue_timeouts: put(
                r,
                "m3rs_query_queue_timeouts",
                "Queries answered 503 because no turn came in time",
            ),
            queries_slow: put(r, "m3rs_queries_slow", "Queries that were logged as slow"),
            queries_cancelled: put(r, "m3rs_queries_cancelled", "Queries ended by request"),
            metadata_families: put(r, "m3rs_metadata_families", "Metric families with metadata"),
            remote_read: RemoteReadMetrics::new(r),
            otlp: OtlpMetrics::new(r),
            result_cache: ResultCacheMetrics::new(r),
            storage: StorageMetrics::new(r),
            registry,
            process_files: fs,
        }
    }

    /// Threads of the process; 0 where the machine does not tell.
    pub(crate) fn threads(&self) -> u64 {
        process::threads(&*self.process_files)
    }

    pub(crate) fn http_in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn observe_request(
        &self,
        route: &str,
        method: &'static str,
        status: u16,
        took: Duration,
    ) {
        let labels = RequestLabels { route: route.to_owned(), method, status };
        self.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { route: labels.route };
        self.request_durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn observe_write(&self, samples: u64, counts: &WalkCounts, refusals: &Refusals) {
        self.write_samples.inc_by(samples);
        self.write_histograms.inc_by(counts.histograms_taken);
        self.write_series.inc_by(counts.series);
        self.write_exemplars.inc_by(counts.exemplars_taken);
        self.write_exemplars_ignored.inc_by(counts.exemplars - counts.exemplars_taken);
        self.write_metadata.inc_by(counts.metadata);
        self.otlp.observe(counts);
        for (counter, (_, samples)) in self.write_refused.iter().zip(refusals.samples_by_reason()) {
            counter.inc_by(samples);
        }
    }

    pub(crate) fn observe_grpc(&self, code: &'static str) {
        self.otlp.observe_grpc(code);
    }

    pub(crate) fn observe_query(&self, kind: QueryKind, took: Duration) {
        self.query_durations[kind as usize].observe(took.as_secs_f64());
    }

    /// All metrics whose names are wanted, as messages in JSON.
    pub(crate) fn families(
        &self,
        state: &HttpState,
        is_wanted: impl FnMut(&str) -> bool,
    ) -> Vec<serde_json::Value> {
        families::families(&self.encode(TextFormat::OpenMetrics, state), is_wanted)
    }

    /// The text of all metrics; what is only known at a scrape is asked of `state`.
    pub(crate) fn encode(&self, format: TextFormat, state: &HttpState) -> String {
        self.metadata_families.set(gauge(state.metadata.families() as u64));
        self.otlp.set(state.writes.delta_usage());
        self.result_cache.set(&state.queries.result_cache());
        self.storage.set(&state.storage.status());
        text::encode(format, &self.registry)
    }
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Registers a metric that needs no arguments.
fn put<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Default + Clone,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Registers histograms of durations.
fn durations<L>(registry: &mut Registry, name: &str, help: &str) -> DurationFamily<L>
where
    L: Clone + Eq + std::hash::Hash + EncodeLabelSet + fmt::Debug + Send + Sync + 'static,
{
    let family = DurationFamily::<L>::new_with_constructor(duration_histogram as fn() -> Histogram);
    registry.register(name, help, family.clone());
    family
}

fn build_labels(build: &BuildInfo) -> Info<Vec<(&'static str, String)>> {
    Info::new(vec![
        ("version", build.version.clone()),
        ("revision", build.revision.clone()),
        ("branch", build.branch.clone()),
        ("rustc", build.rustc_version.clone()),
    ])
}

/// Metrics that several owners share.
pub type SharedMetrics = Arc<Metrics>;
