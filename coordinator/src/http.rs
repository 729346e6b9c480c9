//! The HTTP API: routes, and what all of them share.

mod about;
mod admin;
mod body;
mod error;
mod export;
mod exposition;
mod federate;
mod fetch_limits;
mod gate;
mod health;
mod import;
mod influx;
mod lines;
mod m3;
mod middleware;
mod otlp;
mod params;
mod prometheus;
mod request_id;
mod response;
mod routes;
mod serve;
mod short;
mod take;
pub(crate) mod time;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use m3rs_core::clock::SharedClock;
use m3rs_query::source::SeriesSource;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

pub use about::{About, without_secrets};
pub use admin::{StorageControl, StorageStatus};
pub use health::BuildInfo;
pub use m3::{Admin, HostFuture, NamespaceHost};
pub use serve::{serve, serve_http2};

use crate::ingest::{MetadataSource, WriteReceiver};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::queries::Queries;
use crate::read::{ExemplarSource, QueryService, QuerySources};
use body::BufferPool;
use gate::QueryGate;
use request_id::RequestIds;
use routes::Listed;

/// PARITY(prometheus): whoever asks gets compression, of short answers too.
const COMPRESS_BYTES_MIN: u64 = 1;

/// What the routes work on.
pub struct HttpState {
    /// Takes remote writes.
    pub writes: Arc<dyn WriteReceiver>,
    /// Evaluates queries.
    pub queries: Arc<dyn QueryService>,
    /// Answers for labels and series.
    pub source: Arc<dyn SeriesSource>,
    /// Gives exports, remote reads and federation sources of their own.
    pub sources: Arc<dyn QuerySources>,
    /// Answers for exemplars.
    pub exemplars: Arc<dyn ExemplarSource>,
    /// Readiness and flushes.
    pub storage: Arc<dyn StorageControl>,
    /// Metadata that writers sent.
    pub metadata: Arc<dyn MetadataSource>,
    /// Metrics of the program itself.
    pub metrics: Arc<Metrics>,
    /// Limits.
    pub limits: Limits,
    /// Tells the time.
    pub clock: SharedClock,
    /// What was built.
    pub build: BuildInfo,
    /// What the process was told.
    pub about: About,
    /// Whether clients may delete series and make backups.
    pub admin_api: bool,
    /// What M3's admin routes work on; without it they are not there.
    pub admin: Option<Admin>,
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// [`HttpState`] and what the routes keep between requests.
struct App {
    state: HttpState,
    gate: QueryGate,
    queries: Arc<Queries>,
    write_permits: Semaphore,
    bodies: BufferPool,
    read_permits: Arc<Semaphore>,
    request_ids: RequestIds,
}

type SharedApp = Arc<App>;

/// The routes over one [`HttpState`], for as many listeners as there are.
///
/// Handlers run on the runtime that serves them; queries run on its blocking threads, as many at
/// a time as the limits say.
#[derive(Clone)]
pub struct Routes(SharedApp);

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.0.state).finish()
    }
}

impl Routes {
    /// Routes that work on `state`.
    #[must_use]
    pub fn new(state: HttpState) -> Self {
        Self(Arc::new(App {
            gate: QueryGate::new(
                &state.limits.query,
                Arc::clone(&state.metrics),
                Arc::clone(&state.clock),
            ),
            queries: Queries::new(
                &state.limits.query,
                Arc::clone(&state.metrics),
                Arc::clone(&state.clock),
            ),
            write_permits: Semaphore::new(state.limits.write.in_flight_max),
            bodies: BufferPool::new(
                state.limits.bodies_bytes_max,
                state.metrics.bodies_bytes.clone(),
            ),
            read_permits: Arc::new(Semaphore::new(state.limits.read.concurrent_max)),
            request_ids: RequestIds::default(),
            state,
        }))
    }

    /// All routes.
    pub fn api(&self) -> Router {
        let routes = match self.0.state.admin {
            Some(_) => all_routes().merge(m3::admin_routes()),
            None => all_routes(),
        };
        self.finish(routes.into_parts().1)
    }

    /// The paths of all routes but those of M3's admin API, sorted; names in braces stand for a
    /// part of a path.
    #[must_use]
    pub fn paths() -> Vec<String> {
        let (mut paths, _) = all_routes().into_parts();
        paths.sort();
        paths
    }

    /// `/metrics` alone, for the port that M3 has for it.
    pub fn metrics(&self) -> Router {
        self.finish(metrics_routes().into_parts().1)
    }

    /// The methods of OTLP over gRPC, for a port of its own with [`serve_http2`].
    pub fn otlp_grpc(&self) -> Router {
        let app = Arc::clone(&self.0);
        Router::new()
            .route(otlp::grpc::EXPORT, post(otlp::grpc::export))
            .fallback(otlp::grpc::unknown_method)
            .layer(
                ServiceBuilder::new()
                    .layer(from_fn_with_state(Arc::clone(&app), middleware::observe))
                    .layer(CatchPanicLayer::custom(otlp::grpc::panicked)),
            )
            .layer(DefaultBodyLimit::disable())
            .with_state(app)
    }

    fn finish(&self, routes: Router<SharedApp>) -> Router {
        let app = Arc::clone(&self.0);
        routes
            .fallback(error::unknown_route)
            .method_not_allowed_fallback(error::method_not_allowed)
            .layer(
                ServiceBuilder::new()
                    .layer(from_fn_with_state(Arc::clone(&app), middleware::observe))
                    .layer(axum::middleware::from_fn(middleware::cors))
                    .layer(CatchPanicLayer::custom(error::panicked)),
            )
            .with_state(app)
    }
}

fn all_routes() -> Listed {
    Listed::new()
        .merge(write_routes())
        .merge(line_routes())
        .merge(read_routes())
        .nest("/api/v1", query_routes())
        .nest("/prometheus/api/v1", query_routes())
        .nest("/m3query/api/v1", m3query_routes())
        .merge(m3_routes())
        .merge(own_routes())
        .merge(metrics_routes())
}

/// Writes come without the layers that only answers need.
fn write_routes() -> Listed {
    Listed::new()
        .route("/api/v1/prom/remote/write", post(prometheus::write::m3_write))
        .route("/api/v1/write", post(prometheus::write::prometheus_write))
        .route("/prometheus/api/v1/write", post(prometheus::write::prometheus_write))
        .route("/api/v1/json/write", post(m3::json_write::write))
        .route("/v1/metrics", post(otlp::export))
        .route("/api/v1/otlp/v1/metrics", post(otlp::export))
        .layer(DefaultBodyLimit::disable())
}

/// Bodies of lines, and what clients of InfluxDB ask before they send some.
fn line_routes() -> Listed {
    let mut routes = Listed::new()
        .route("/api/v1/influxdb/write", post(influx::m3_write))
        .route("/write", post(influx::write_1))
        .route("/influx/write", post(influx::write_1))
        .route("/api/v2/write", post(influx::write_2))
        .route("/influx/api/v2/write", post(influx::write_2))
        .route("/ping", get(influx::ping))
        .route("/influx/ping", get(influx::ping))
        .route("/influx/health", get(influx::health))
        .route("/query", both(influx::query))
        .route("/influx/query", both(influx::query));
    for prefix in ["/api/v1/import", "/prometheus/api/v1/import"] {
        let pushes = put(import::pushgateway).post(import::pushgateway);
        routes = routes
            .route(prefix, post(import::json))
            .route(&format!("{prefix}/csv"), post(import::csv))
            .route(&format!("{prefix}/prometheus"), post(import::prometheus))
            .route(&format!("{prefix}/prometheus/metrics/{{*labels}}"), pushes);
    }
    routes.layer(DefaultBodyLimit::disable())
}

/// Remote reads are compressed by themselves or not at all.
fn read_routes() -> Listed {
    use prometheus::read;
    Listed::new()
        .route("/api/v1/prom/remote/read", both(read::m3_read))
        .route("/api/v1/read", post(read::prometheus_read))
        .route("/prometheus/api/v1/read", post(read::prometheus_read))
}

fn query_routes() -> Listed {
    use prometheus::{exemplars, labels, metadata, query, rules, running, scrape, server, status};
    Listed::new()
        .route("/query", both(query::instant))
        .route("/query_range", both(query::range))
        .route("/format_query", both(query::format))
        .route("/parse_query", both(query::parse))
        .route("/query_exemplars", both(exemplars::query))
        .route("/labels", both(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/series", both(labels::series))
        .route("/metadata", get(metadata::list))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/tsdb", get(status::series))
        .route("/status/active_queries", get(running::active))
        .route("/status/active_queries/{id}/cancel", post(running::cancel))
        .route("/status/top_queries", get(running::top))
        .route("/export", both(export::lines))
        .route("/export/csv", both(export::csv))
        .route("/export/openmetrics", both(export::openmetrics))
        .route("/status/config", get(server::config))
        .route("/status/flags", get(server::flags))
        .route("/status/runtimeinfo", get(server::runtime_info))
        .route("/status/self_metrics", get(server::self_metrics))
        .route("/status/walreplay", get(server::replay))
        .route("/features", get(server::features))
        .route("/notifications", get(server::notifications))
        .route("/notifications/live", get(server::live_notifications))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(scrape::alertmanagers))
        .route("/scrape_pools", get(scrape::pools))
        .route("/targets", get(scrape::targets))
        .route("/targets/metadata", get(scrape::metadata))
        .route("/targets/relabel_steps", get(scrape::relabel_steps))
        .layer(compression())
}

/// PARITY(m3): the prefix that chooses M3's own engine has queries alone.
fn m3query_routes() -> Listed {
    Listed::new()
        .route("/query", both(prometheus::query::instant))
        .route("/query_range", both(prometheus::query::range))
        .layer(compression())
}

fn m3_routes() -> Listed {
    Listed::new()
        .route("/api/v1/search", both(m3::search::tags))
        .route("/api/v1/parse", both(m3::operations::parse))
        .route("/api/v1/threshold", both(m3::operations::threshold))
        .route("/search", post(m3::search::series))
        .route("/routes", get(m3::paths::list))
        .layer(compression())
}

fn own_routes() -> Listed {
    Listed::new()
        .route("/federate", get(federate::federate).layer(compression()))
        .route("/health", get(health::m3_health))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready_text))
        .route("/ready", get(health::ready))
        .route("/api/v1/admin/tsdb/flush", post(admin::flush))
        .nest("/api/v1/admin/tsdb", admin_routes())
        .nest("/prometheus/api/v1/admin/tsdb", admin_routes())
}

fn admin_routes() -> Listed {
    Listed::new()
        .route("/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .route("/snapshot", post(admin::snapshot).put(admin::snapshot))
}

fn metrics_routes() -> Listed {
    Listed::new().route("/metrics", both(health::metrics).layer(compression()))
}

fn both<H, T>(handler: H) -> axum::routing::MethodRouter<SharedApp>
where
    H: Handler<T, SharedApp>,
    T: 'static,
{
    get(handler.clone()).post(handler)
}

fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new()
        .gzip(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESS_BYTES_MIN))
}
