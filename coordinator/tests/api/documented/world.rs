//! The routes over a real database and engine, on a disk and by a clock of a simulation, so that
//! the same requests have the same answers each time.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use m3rs_coordinator::http::{About, BuildInfo, HttpState, Routes};
use m3rs_coordinator::ingest::{Otlp, OtlpConfig, Receiver, Relabeler};
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::metrics::Metrics;
use m3rs_coordinator::read::{
    EngineService, ErrorType, LocalSource, LocalSources, QueryAnswer, QueryFailure, QueryRequest,
    QueryService, SelectorRead,
};
use m3rs_coordinator::write::LocalStore;
use m3rs_core::clock::SharedClock;
use m3rs_core::fs::SharedFs;
use m3rs_core::model::Matcher;
use m3rs_core::time::TimestampMs;
use m3rs_query::engine::{Engine, EngineOptions};
use m3rs_query::promql::ParseOptions;
use m3rs_query::promql::ast::Expr;
use m3rs_query::source::Cancel;
use m3rs_sim::clock::SimClock;
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database, DatabaseOptions, Progress};
use prometheus_client::registry::Registry;

/// The time of the pages: 2026-11-21T16:08:27.15795356Z.
const NOW_NS: i64 = 1_795_277_307_157_953_560;

/// When the process of the pages began: 2026-11-21T15:00:00.12Z.
const STARTED: TimestampMs = TimestampMs(1_795_273_200_120);

const LOOKBACK_MS: i64 = 300_000;

/// A query of the pages that takes until somebody cancels it.
const LONG_QUERY: &str = "sum(rate(http_requests_total[30d:1s]))";

/// A router over an empty database.
pub(crate) fn router() -> Router {
    let fs: SharedFs = Arc::new(SimFs::new(1));
    let clock: SharedClock = Arc::new(SimClock::at(NOW_NS));
    let storage = storage(&fs, &clock);
    let limits = Limits::default();
    let options = EngineOptions {
        threads: 1,
        lookback_ms: LOOKBACK_MS,
        clock: Arc::clone(&clock),
        ..EngineOptions::default()
    };
    let engine = Arc::new(Engine::new(options).expect("threads"));
    let sources = Arc::new(LocalSources::new(Arc::clone(&storage)));
    let queries = EngineService::new(engine, Arc::clone(&sources) as _, ParseOptions::default());
    let build = BuildInfo { version: "0.1.0".into(), ..BuildInfo::default() };
    let metrics = Metrics::new(Registry::default(), &build, &clock, fs);
    let otlp = OtlpConfig::default().checked().expect("valid");
    let otlp = Otlp::new(otlp, limits.otlp, LOOKBACK_MS, Arc::clone(&clock));
    let store = LocalStore::new(Arc::clone(&storage));
    let writes = Receiver::new(store, limits.write, Relabeler::default()).with_otlp(otlp);
    let routes = Routes::new(HttpState {
        writes: Arc::new(writes),
        queries: Arc::new(Patient(queries)),
        source: Arc::new(LocalSource::new(Arc::clone(&storage))),
        sources,
        exemplars: Arc::new(LocalSource::new(Arc::clone(&storage))),
        storage: Arc::clone(&storage) as _,
        metadata: storage,
        metrics: Arc::new(metrics),
        limits,
        clock,
        build,
        about: about(),
        admin_api: true,
        admin: None,
    });
    routes.api()
}

fn storage(fs: &SharedFs, clock: &SharedClock) -> Arc<LocalStorage> {
    let mut options = DatabaseOptions::new(
        Arc::clone(fs),
        Arc::clone(clock),
        PathBuf::from("/var/lib/m3rs/m3rs-data"),
        [7; 192],
    );
    options.background = false;
    options.namespace.shard_count = 2;
    let progress = Arc::new(Progress::new());
    let database = Database::open(options, Arc::clone(&progress)).expect("an empty disk opens");
    let storage = LocalStorage::new(progress);
    storage.open(Arc::new(database), DEFAULT_NAMESPACE).expect("the namespace is there");
    Arc::new(storage)
}

/// What the process of the pages was told.
fn about() -> About {
    let flags = [
        ("commitlog-sync", "group"),
        ("config", "/etc/m3rs.yml"),
        ("data-dir", "m3rs-data"),
        ("disable-feature", ""),
        ("enable-admin-api", "false"),
        ("enable-feature", ""),
        ("listen", "0.0.0.0:7201"),
        ("log", "info"),
        ("log-format", "text"),
        ("lookback", "5m"),
        ("otlp-grpc", ""),
        ("query.result-cache", "off"),
        ("retention", "30d"),
    ];
    About {
        flags: flags.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        config_yaml: "query:\n  timeout: 5m\n".to_owned(),
        features: [
            ("api", [("admin", false), ("query_stats", true)].into()),
            ("promql", [("anchored", true), ("smoothed", true)].into()),
            ("promql_functions", [("abs", true), ("absent", true)].into()),
            ("tsdb", [("native_histograms", true)].into()),
        ]
        .into(),
        working_dir: "/var/lib/m3rs".to_owned(),
        hostname: "metrics-1".to_owned(),
        started: STARTED.to_ns(),
        cores: 8,
        retention: "30d".to_owned(),
        lookback_ms: LOOKBACK_MS,
    }
}

/// The engine, but for [`LONG_QUERY`].
struct Patient(EngineService);

impl QueryService for Patient {
    fn execute(
        &self,
        request: &QueryRequest,
        cancel: &Cancel,
    ) -> Result<QueryAnswer, QueryFailure> {
        if request.text != LONG_QUERY {
            return self.0.execute(request, cancel);
        }
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        Err(QueryFailure::new(ErrorType::Canceled, "query was canceled in query execution"))
    }

    fn format(&self, text: &str) -> Result<String, QueryFailure> {
        self.0.format(text)
    }

    fn parse(&self, text: &str) -> Result<Expr, QueryFailure> {
        self.0.parse(text)
    }

    fn tree(&self, text: &str) -> Result<Bytes, QueryFailure> {
        self.0.tree(text)
    }

    fn selectors(&self, text: &str) -> Result<Vec<Vec<Matcher>>, QueryFailure> {
        self.0.selectors(text)
    }

    fn reads(&self, text: &str) -> Result<Vec<SelectorRead>, QueryFailure> {
        self.0.reads(text)
    }

    fn selector(&self, text: &str) -> Result<Vec<Matcher>, QueryFailure> {
        self.0.selector(text)
    }
}
