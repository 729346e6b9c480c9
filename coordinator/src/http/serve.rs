//! Serves a router on a listener: connections, their limits, and the way they end.
//!
//! A port speaks HTTP/1.1, or HTTP/2 without TLS to clients that know it, as those of gRPC do.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use m3rs_core::net::{Listener, Stream};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::limits::ServeLimits;

/// How long to wait after the machine refused a connection for want of something, such as file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown` completes, then lets requests finish for a while.
///
/// Returns when every connection is closed; those that outlast the drain time are cut off, and
/// their number is returned.
pub async fn serve(
    listener: Box<dyn Listener>,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> usize {
    serve_as(Protocol::Http1(http_builder(&limits)), listener, router, limits, shutdown).await
}

/// As [`serve`], with HTTP/2.
///
/// A connection whose other end does not answer within [`ServeLimits::header_timeout`] is closed;
/// one that never begins, after three times that.
pub async fn serve_http2(
    listener: Box<dyn Listener>,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> usize {
    serve_as(Protocol::Http2, listener, router, limits, shutdown).await
}

/// How connections of a port speak.
enum Protocol {
    Http1(http1::Builder),
    Http2,
}

async fn serve_as(
    protocol: Protocol,
    listener: Box<dyn Listener>,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> usize {
    let server = Server { router, protocol, limits };
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let permit = tokio::select! {
            biased;
            () = &mut shutdown => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            stream = accept(&*listener) => stream,
        };
        let connection = server.connection(stream, stopped.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
        while let Some(ended) = connections.try_join_next() {
            note_end(ended);
        }
    }
    drop(listener);
    drop(stop);
    drain(connections, limits.drain_timeout).await
}

fn http_builder(limits: &ServeLimits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.read_buffer_bytes_max);
    http
}

/// Where a request came from, in its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

fn http2_builder(limits: &ServeLimits) -> http2::Builder<StreamTasks> {
    let mut http = http2::Builder::new(StreamTasks::default());
    let header_bytes = u32::try_from(limits.read_buffer_bytes_max).unwrap_or(u32::MAX);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    http
}

/// Owns the tasks of one connection's streams, which end with it.
#[derive(Clone, Debug, Default)]
struct StreamTasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StreamTasks {
    fn execute(&self, stream: F) {
        let mut tasks = self.0.lock();
        while let Some(ended) = tasks.try_join_next() {
            note_end(ended);
        }
        tasks.spawn(stream);
    }
}

struct Server {
    router: Router,
    protocol: Protocol,
    limits: ServeLimits,
}

impl Server {
    fn connection(
        &self,
        stream: Box<dyn Stream>,
        mut stopped: watch::Receiver<()>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let router = self.router.clone();
        let client = stream.peer_addr().map(ClientAddress);
        let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
            let router = router.clone();
            if let Some(client) = client {
                request.extensions_mut().insert(client);
            }
            async move {
                let answer: Result<_, Infallible> =
                    router.oneshot(request.map(axum::body::Body::new)).await;
                answer
            }
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write_timeout));
        if matches!(self.protocol, Protocol::Http2) {
            // Whoever is there answers the pings of each `header_timeout`; whoever has not begun to
            // speak HTTP/2 gets none.
            stream.set_read_timeout(Some(self.limits.header_timeout * 3));
        }
        let (stream, service) = (TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service));
        match &self.protocol {
            Protocol::Http1(http) => {
                let serving = http.serve_connection(stream, service);
                Box::pin(async move {
                    let mut serving = pin!(serving);
                    tokio::select! {
                        ended = serving.as_mut() => note_connection(ended),
                        _ = stopped.changed() => {
                            serving.as_mut().graceful_shutdown();
                            note_connection(serving.await);
                        }
                    }
                })
            }
            Protocol::Http2 => {
                let serving = http2_builder(&self.limits).serve_connection(stream, service);
                Box::pin(async move {
                    let mut serving = pin!(serving);
                    tokio::select! {
                        ended = serving.as_mut() => note_connection(ended),
                        _ = stopped.changed() => {
                            serving.as_mut().graceful_shutdown();
                            note_connection(serving.await);
                        }
                    }
                })
            }
        }
    }
}

fn note_connection(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // Clients may leave at any time; that is no event for an operator.
        tracing::debug!(%error, "connection ended");
    }
}

/// The next connection. Errors of one connection attempt are its own; want of resources passes.
async fn accept(listener: &dyn Listener) -> Box<dyn Stream> {
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn drain(mut connections: JoinSet<()>, timeout: Duration) -> usize {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            note_end(ended);
        }
    };
    if tokio::time::timeout(timeout, all).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    tracing::warn!(connections = left, "connections cut off at shutdown");
    connections.shutdown().await;
    left
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
