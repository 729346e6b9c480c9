//! The HTTP API: routes, and what all of them share.

mod admin;
mod body;
mod error;
mod fetch_limits;
mod gate;
mod health;
mod middleware;
mod params;
mod prometheus;
mod response;
mod serve;
mod short;
mod time;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use m3rs_core::clock::SharedClock;
use m3rs_query::source::SeriesSource;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

pub use admin::{StorageControl, StorageStatus};
pub use health::BuildInfo;
pub use serve::serve;

use crate::ingest::{MetadataSource, WriteReceiver};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::queries::Queries;
use crate::read::{ExemplarSource, QueryService};
use body::BufferPool;
use gate::QueryGate;

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
    /// Whether clients may delete series and make backups.
    pub admin_api: bool,
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
    write_buffers: BufferPool,
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
            write_buffers: BufferPool::default(),
            state,
        }))
    }

    /// All routes.
    pub fn api(&self) -> Router {
        self.finish(
            Router::new()
                .merge(write_routes())
                .nest("/api/v1", query_routes())
                .nest("/prometheus/api/v1", query_routes())
                .merge(own_routes())
                .merge(metrics_routes()),
        )
    }

    /// `/metrics` alone, for the port that M3 has for it.
    pub fn metrics(&self) -> Router {
        self.finish(metrics_routes())
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

/// Writes come without the layers that only answers need.
fn write_routes() -> Router<SharedApp> {
    Router::new()
        .route("/api/v1/prom/remote/write", post(prometheus::write::m3_write))
        .route("/api/v1/write", post(prometheus::write::prometheus_write))
        .route("/prometheus/api/v1/write", post(prometheus::write::prometheus_write))
        .layer(DefaultBodyLimit::disable())
}

fn query_routes() -> Router<SharedApp> {
    use prometheus::{exemplars, labels, metadata, query, running, status};
    Router::new()
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
        .layer(compression())
}

fn own_routes() -> Router<SharedApp> {
    Router::new()
        .route("/health", get(health::m3_health))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready_text))
        .route("/ready", get(health::ready))
        .route("/api/v1/admin/tsdb/flush", post(admin::flush))
        .nest("/api/v1/admin/tsdb", admin_routes())
        .nest("/prometheus/api/v1/admin/tsdb", admin_routes())
}

fn admin_routes() -> Router<SharedApp> {
    Router::new()
        .route("/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .route("/snapshot", post(admin::snapshot).put(admin::snapshot))
}

fn metrics_routes() -> Router<SharedApp> {
    Router::new().route("/metrics", both(health::metrics).layer(compression()))
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
