//! The seam to the network: listeners and byte streams, of the machine or of a simulator.
//!
//! One allocation and one virtual call for each connection and each read or write of one, beside
//! a system call that costs a hundred times as much.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A future that a trait object returns.
pub type NetFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Bytes both ways between two ends.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {
    /// Where the other end is, if that is known.
    fn peer_addr(&self) -> Option<SocketAddr>;
}

impl Stream for Box<dyn Stream> {
    fn peer_addr(&self) -> Option<SocketAddr> {
        (**self).peer_addr()
    }
}

impl Stream for TcpStream {
    fn peer_addr(&self) -> Option<SocketAddr> {
        Self::peer_addr(self).ok()
    }
}

/// Opens ports and connections. Production uses [`TcpNet`], the simulator its own.
pub trait Net: Send + Sync + fmt::Debug {
    /// Listens on `address`; port 0 takes one that is free.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if somebody listens there already, and what the system says.
    fn listen(&self, address: SocketAddr) -> NetFuture<'_, Box<dyn Listener>>;

    /// Connects to whoever listens on `address`.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] if nobody does, and what the system says.
    fn connect(&self, address: SocketAddr) -> NetFuture<'_, Box<dyn Stream>>;
}

/// A port that takes connections until it is dropped.
pub trait Listener: Send + Sync + fmt::Debug {
    /// The next connection. May be dropped and called again without losing one.
    ///
    /// # Errors
    /// Those of one connection attempt, or want of resources; the listener goes on.
    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>>;

    /// Where it listens.
    ///
    /// # Errors
    /// The system cannot tell.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A network that several owners share.
pub type SharedNet = Arc<dyn Net>;

/// The machine's TCP, without the delay of small segments.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNet;

impl Net for TcpNet {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn listen(&self, address: SocketAddr) -> NetFuture<'_, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn connect(&self, address: SocketAddr) -> NetFuture<'_, Box<dyn Stream>> {
        Box::pin(async move { Ok(without_delay(TcpStream::connect(address).await?)) })
    }
}

impl Listener for TcpListener {
    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let (stream, _) = Self::accept(self).await?;
            Ok(without_delay(stream))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

fn without_delay(stream: TcpStream) -> Box<dyn Stream> {
    if let Err(error) = stream.set_nodelay(true) {
        // The connection works without, only slower.
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    Box::new(stream)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn both_ends_talk() {
        let net: SharedNet = Arc::new(TcpNet);
        let listener = net.listen(ANY).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (client, server) = tokio::join!(net.connect(address), listener.accept());
        let (mut client, mut server) = (client.expect("connects"), server.expect("accepts"));
        assert_eq!(client.peer_addr(), Some(address));
        client.write_all(b"ping").await.expect("written");
        drop(client);
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.expect("text");
        assert_eq!(heard, "ping");
    }

    #[tokio::test]
    async fn ports_are_taken_and_given_back() {
        let listener = TcpNet.listen(ANY).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let taken = TcpNet.listen(address).await.expect_err("taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let refused = TcpNet.connect(address).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
