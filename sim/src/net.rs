//! A network in memory whose links can be cut and mended.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use m3rs_core::net::{Listener, Net, NetFuture, Stream};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

/// Bytes under way in each direction of a connection, before its writer must wait.
const BYTES_UNDER_WAY: usize = 64 << 10;

/// Connections that a listener has not accepted yet; the next one waits.
const BACKLOG: usize = 128;

/// The first port that is given out for port 0.
const FIRST_PORT: u16 = 49_152;

/// A simulated network. Clones are the same one.
///
/// Bytes arrive in order and at once. [`SimNet::cut`] resets every connection to an address and
/// refuses new ones until [`SimNet::mend`], as a failed switch or a dead process does.
#[derive(Clone, Debug, Default)]
pub struct SimNet(Arc<Mutex<Ports>>);

#[derive(Debug, Default)]
struct Ports {
    open: HashMap<SocketAddr, Port>,
    next_free: u16,
}

#[derive(Debug)]
struct Port {
    arrivals: mpsc::Sender<Box<dyn Stream>>,
    is_cut: bool,
    links: Vec<Weak<Mutex<Link>>>,
}

/// What both ends of a connection share.
#[derive(Debug, Default)]
struct Link {
    is_cut: bool,
    waiting: Vec<Waker>,
}

impl SimNet {
    /// A network on which nobody listens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resets the connections to `address`, and lets new ones fail.
    pub fn cut(&self, address: SocketAddr) {
        let mut ports = self.0.lock();
        let Some(port) = ports.open.get_mut(&address) else { return };
        port.is_cut = true;
        for link in port.links.drain(..).filter_map(|link| link.upgrade()) {
            let mut link = link.lock();
            link.is_cut = true;
            link.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Lets new connections to `address` succeed again.
    pub fn mend(&self, address: SocketAddr) {
        if let Some(port) = self.0.lock().open.get_mut(&address) {
            port.is_cut = false;
        }
    }

    fn open_port(&self, mut address: SocketAddr) -> io::Result<SimListener> {
        let mut ports = self.0.lock();
        if address.port() == 0 {
            let free = FIRST_PORT.saturating_add(ports.next_free);
            ports.next_free += 1;
            address.set_port(free);
        }
        if ports.open.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (arrivals, waiting) = mpsc::channel(BACKLOG);
        let port = Port { arrivals, is_cut: false, links: Vec::new() };
        ports.open.insert(address, port);
        let waiting = tokio::sync::Mutex::new(waiting);
        Ok(SimListener { net: self.clone(), address, waiting })
    }

    /// Both ends of a new connection, and where the far one goes.
    fn link(&self, address: SocketAddr) -> io::Result<(mpsc::Sender<Box<dyn Stream>>, Ends)> {
        let mut ports = self.0.lock();
        let port = ports.open.get_mut(&address).filter(|port| !port.is_cut);
        let Some(port) = port else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let link = Arc::new(Mutex::new(Link::default()));
        port.links.retain(|link| link.strong_count() > 0);
        port.links.push(Arc::downgrade(&link));
        let (near, far) = tokio::io::duplex(BYTES_UNDER_WAY);
        let near = SimStream { bytes: near, link: Arc::clone(&link) };
        Ok((port.arrivals.clone(), (near, SimStream { bytes: far, link })))
    }
}

type Ends = (SimStream, SimStream);

impl Net for SimNet {
    fn listen(&self, address: SocketAddr) -> NetFuture<'_, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(self.open_port(address)?) as Box<dyn Listener>) })
    }

    fn connect(&self, address: SocketAddr) -> NetFuture<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let (arrivals, (near, far)) = self.link(address)?;
            let sent = arrivals.send(Box::new(far)).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

#[derive(Debug)]
struct SimListener {
    net: SimNet,
    address: SocketAddr,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Box<dyn Stream>>>,
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.net.0.lock().open.remove(&self.address);
    }
}

impl Listener for SimListener {
    fn accept(&self) -> NetFuture<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let arrived = self.waiting.lock().await.recv().await;
            arrived.ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[derive(Debug)]
struct SimStream {
    bytes: DuplexStream,
    link: Arc<Mutex<Link>>,
}

impl SimStream {
    /// Fails if the link is cut; else a cut will wake the caller.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        let mut link = self.link.lock();
        if link.is_cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !link.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            link.waiting.push(context.waker().clone());
        }
        Ok(())
    }
}

impl Stream for SimStream {
    /// Nobody has an address of his own here but listeners.
    fn peer_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.bytes).poll_read(context, out)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.bytes).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
