//! `m3rs server`: storage, queries and the HTTP API in one process.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use m3rs_cluster::kv::embedded::EmbeddedKv;
use m3rs_cluster::kv::{DEFAULT_ZONE, SharedKv};
use m3rs_coordinator::http::{Admin, HttpState, Routes, serve, serve_http2};
use m3rs_coordinator::ingest::{Otlp, Receiver};
use m3rs_coordinator::limits::ServeLimits;
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::metrics::Metrics;
use m3rs_coordinator::read::{EngineService, LocalSource, LocalSources};
use m3rs_coordinator::write::LocalStore;
use m3rs_core::clock::{SharedClock, SystemClock};
use m3rs_core::fs::{DiskFs, SharedFs};
use m3rs_core::net::{Listener, Net, TcpNet};
use m3rs_core::rng::Random;
use m3rs_core::spawn::{Tasks, ThreadCount, io_runtime};
use m3rs_core::telemetry::log;
use m3rs_core::time::NS_PER_MS;
use m3rs_query::engine::{Engine, EngineOptions};
use m3rs_query::result_cache::ResultCache;
use m3rs_tsdb::{
    DEFAULT_NAMESPACE, Database, DatabaseOptions, NamespaceOptions, Progress, TsdbError,
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::about::about;
use crate::banner::Banner;
use crate::build_info::build_info;
use crate::cli::{ServerArgs, Switch};
use crate::features::{self, Features};
use crate::lock_owner;
use crate::role::namespace_host::DatabaseHost;
use crate::settings::Settings;
use crate::signal::Signals;

/// The HTTP API's address if none is asked for; only beside it is the port for metrics opened.
const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7201);

/// The port on which M3 shows its own metrics.
const METRICS_PORT: u16 = 7203;

/// The port of M3's storage nodes, which placements name.
const NODE_PORT: u16 = 9000;

/// Blocking calls beside queries: opening, flushing, listing labels.
const BLOCKING_EXTRA: usize = 32;

/// Runs until a signal asks for the end, and ends in order.
pub(crate) fn run(args: &ServerArgs) -> anyhow::Result<()> {
    log::start(&args.log, args.log_format.into())?;
    let settings = Settings::load(args.config.as_deref())?;
    let blocking = ThreadCount::new(
        settings.edge.query.concurrent_max + settings.edge.read.concurrent_max + BLOCKING_EXTRA,
    );
    let runtime = io_runtime("io", ThreadCount::of_machine(), blocking)
        .context("cannot start the threads for input and output")?;
    let done = runtime.block_on(run_all(args, &settings));
    // What still blocks was cut off already, or is the opening of a database that nobody waits
    // for any more; files are sound at every moment.
    runtime.shutdown_background();
    done
}

async fn run_all(args: &ServerArgs, settings: &Settings) -> anyhow::Result<()> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let listeners = Listeners::bind(&TcpNet, args).await?;
    let fs: SharedFs = Arc::new(DiskFs);
    let clock: SharedClock = Arc::new(SystemClock::new());
    let progress = Arc::new(Progress::new());
    let storage = Arc::new(LocalStorage::new(Arc::clone(&progress)));
    let host = Arc::new(DatabaseHost::new(Arc::clone(&storage), allows_deletes(args)));
    let kv: SharedKv = Arc::new(open_kv(args, &fs).await?);
    let admin = Admin {
        store: Arc::clone(&kv),
        host: Some(Arc::clone(&host) as _),
        database_port: Some(NODE_PORT),
    };
    let routes = routes(args, settings, &storage, &fs, &clock, admin)?;
    let banner = listeners.banner(args)?;

    let (stop, stopped) = watch::channel(());
    let serving = listeners.serve(&routes, settings.serve, &stopped);
    let options = database_options(args, settings, fs, clock);
    let opening = tokio::task::spawn_blocking(move || Database::open(options, progress));
    let opened = tokio::select! {
        opened = opening => opened.context("BUG: the opening of the database panicked")?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopping during start-up");
            return Ok(());
        }
    };
    let database = Arc::new(opened.map_err(|error| explain(error, args))?);
    storage.open(Arc::clone(&database), DEFAULT_NAMESPACE)?;
    host.catch_up(kv).await.context("cannot read the registry of namespaces")?;
    show(&banner);
    tracing::info!(listen = %banner.listen, data_dir = %banner.data_dir.display(), "ready");

    let name = signals.next().await;
    tracing::info!(signal = name, "stopping: requests are finished, the log is synced");
    drop(stop);
    tokio::select! {
        served = serving.join_all() => served?,
        name = signals.next() => tracing::warn!(signal = name, "not waiting for requests"),
    }
    let closing = tokio::task::spawn_blocking(move || database.close());
    closing.await.context("BUG: the closing of the database panicked")??;
    tracing::info!("stopped");
    Ok(())
}

/// Prints the first thing that a user reads. A reader who is gone must not end the server.
fn show(banner: &Banner<'_>) {
    let mut output = io::stdout().lock();
    if let Err(error) = writeln!(output, "{banner}").and_then(|()| output.flush()) {
        tracing::warn!(%error, "the banner could not be printed");
    }
}

/// Whether clients may delete samples and make backups.
fn allows_deletes(args: &ServerArgs) -> bool {
    args.enable_admin_api || args.listen.ip().is_loopback()
}

/// What a cluster agrees on, kept in the data directory as there is no etcd. The lock of the data
/// directory keeps other processes out before anything is written.
async fn open_kv(args: &ServerArgs, fs: &SharedFs) -> anyhow::Result<EmbeddedKv> {
    let (fs, dir) = (Arc::clone(fs), args.data_dir.join("cluster"));
    let opening = tokio::task::spawn_blocking(move || EmbeddedKv::open(fs, &dir, DEFAULT_ZONE));
    let opened = opening.await.context("BUG: the opening of the cluster's state panicked")?;
    opened.context("cannot open the state of the cluster")
}

/// Sockets that are bound already.
struct Listeners {
    api: Box<dyn Listener>,
    metrics: Option<Box<dyn Listener>>,
    otlp_grpc: Option<Box<dyn Listener>>,
}

impl Listeners {
    async fn bind(net: &dyn Net, args: &ServerArgs) -> anyhow::Result<Self> {
        let api = match net.listen(args.listen).await {
            Ok(listener) => listener,
            Err(error) => return Err(explain_bind(error, args)),
        };
        let metrics = if args.listen == LISTEN_DEFAULT {
            let address = SocketAddr::new(args.listen.ip(), METRICS_PORT);
            match net.listen(address).await {
                Ok(listener) => Some(listener),
                Err(error) => {
                    tracing::warn!(%address, %error, "metrics stay on the port of the API");
                    None
                }
            }
        } else {
            None
        };
        let otlp_grpc = match args.otlp_grpc {
            Some(address) => Some(
                net.listen(address)
                    .await
                    .with_context(|| format!("cannot listen on {address} (--otlp-grpc)"))?,
            ),
            None => None,
        };
        Ok(Self { api, metrics, otlp_grpc })
    }

    fn banner<'a>(&self, args: &'a ServerArgs) -> io::Result<Banner<'a>> {
        Ok(Banner {
            listen: self.api.local_addr()?,
            metrics: self.metrics.as_ref().map(|metrics| metrics.local_addr()).transpose()?,
            otlp_grpc: self.otlp_grpc.as_ref().map(|grpc| grpc.local_addr()).transpose()?,
            data_dir: &args.data_dir,
            retention: args.retention,
        })
    }

    fn serve(self, routes: &Routes, limits: ServeLimits, stopped: &watch::Receiver<()>) -> Tasks {
        let mut tasks = Tasks::new("http");
        if let Some(listener) = self.otlp_grpc {
            let (router, mut stopped) = (routes.otlp_grpc(), stopped.clone());
            tasks.spawn(async move {
                let shutdown = async move {
                    // The sender says it by going away.
                    let _gone = stopped.changed().await;
                };
                let cut = serve_http2(listener, router, limits, shutdown).await;
                tracing::debug!(connections = cut, "connections of gRPC cut off");
            });
        }
        let metrics = self.metrics.map(|listener| (listener, routes.metrics()));
        for (listener, router) in [(self.api, routes.api())].into_iter().chain(metrics) {
            let mut stopped = stopped.clone();
            tasks.spawn(async move {
                let shutdown = async move {
                    // The sender says it by going away.
                    let _gone = stopped.changed().await;
                };
                let cut = serve(listener, router, limits, shutdown).await;
                tracing::debug!(connections = cut, "connections cut off");
            });
        }
        tasks
    }
}

fn routes(
    args: &ServerArgs,
    settings: &Settings,
    storage: &Arc<LocalStorage>,
    fs: &SharedFs,
    clock: &SharedClock,
    admin: Admin,
) -> anyhow::Result<Routes> {
    let limits = settings.edge;
    let features = Features::new(&args.enable_feature, &args.disable_feature, features::log);
    let engine = Engine::new(features.apply(EngineOptions {
        limits: settings.query.clone(),
        lookback_ms: args.lookback.0 / NS_PER_MS,
        clock: Arc::clone(clock),
        ..EngineOptions::default()
    }))?;
    let parse = features.parse_options(settings.parse);
    let sources = Arc::new(LocalSources::new(Arc::clone(storage)));
    let mut queries = EngineService::new(Arc::new(engine), Arc::clone(&sources) as _, parse);
    if args.result_cache == Switch::On {
        queries = queries.with_result_cache(ResultCache::new(limits.query.result_cache_bytes));
    }
    let build = build_info();
    let metrics = Metrics::new(Registry::default(), &build, clock, Arc::clone(fs));
    let store = LocalStore::new(Arc::clone(storage));
    let lookback_ms = args.lookback.0 / NS_PER_MS;
    let otlp = Otlp::new(settings.otlp.clone(), limits.otlp, lookback_ms, Arc::clone(clock));
    let receiver = Receiver::new(store, limits.write, settings.relabeler()?).with_otlp(otlp);
    Ok(Routes::new(HttpState {
        writes: Arc::new(receiver),
        queries: Arc::new(queries),
        source: Arc::new(LocalSource::new(Arc::clone(storage))),
        sources: Arc::clone(&sources) as _,
        exemplars: Arc::new(LocalSource::new(Arc::clone(storage))),
        storage: Arc::clone(storage) as _,
        metadata: Arc::clone(storage) as _,
        metrics: Arc::new(metrics),
        limits,
        clock: Arc::clone(clock),
        build,
        about: about(args, settings, features, fs, clock),
        admin_api: allows_deletes(args),
        admin: Some(admin),
    }))
}

fn database_options(
    args: &ServerArgs,
    settings: &Settings,
    fs: SharedFs,
    clock: SharedClock,
) -> DatabaseOptions {
    let mut secret = [0; 192];
    Random::from_machine().fill(&mut secret);
    let namespace =
        NamespaceOptions { retention_ns: args.retention.0, ..NamespaceOptions::default() };
    DatabaseOptions {
        namespaces: settings.namespaces.configured(&namespace),
        namespace,
        sync: args.commitlog_sync.into(),
        limits: settings.storage,
        ..DatabaseOptions::new(fs, clock, args.data_dir.clone(), secret)
    }
}

/// Says which process is in the way, and what to do.
fn explain(error: TsdbError, args: &ServerArgs) -> anyhow::Error {
    if !matches!(error, TsdbError::Locked { .. }) {
        return anyhow::Error::new(error).context("cannot open the database");
    }
    let dir = args.data_dir.display();
    let who = match lock_owner::find(&args.data_dir) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    anyhow!(
        "the data directory {dir} is in use by {who}: end it, or give this one another directory \
         with --data-dir"
    )
}

fn explain_bind(error: io::Error, args: &ServerArgs) -> anyhow::Error {
    let listen = args.listen;
    if error.kind() != io::ErrorKind::AddrInUse {
        return anyhow::Error::new(error).context(format!("cannot listen on {listen}"));
    }
    let hint = match lock_owner::find(&args.data_dir) {
        Some(pid) => {
            let dir = args.data_dir.display();
            format!("process {pid} serves the data directory {dir} already")
        }
        None => "another program listens there".to_owned(),
    };
    anyhow!("cannot listen on {listen}: {hint}; choose another address with --listen")
}
