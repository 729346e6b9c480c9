//! The server under test, and what it costs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use m3rs_benches::Failure;
use m3rs_benches::process::{Process, bytes_below};
use m3rs_core::clock::{Clock, SystemClock};

use crate::http::Connection;

/// How long a server may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running server on a fresh directory; it is killed and the directory removed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "a port for another process")]
    pub(crate) fn start(
        binary: &Path,
        args: &[&str],
        clock: &SystemClock,
    ) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(binary)
            .args(["server", "--listen", &address.to_string()])
            .args(args)
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { child, address, dir };
        let start = clock.monotonic();
        while clock.monotonic() - start < READY_WITHIN {
            let ready = Connection::open(address).and_then(|mut c| c.get("/-/ready"));
            if ready.is_ok() {
                return Ok(server);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Err(format!("the server was not ready within {READY_WITHIN:?}").into())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the process costs.
    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id())
    }

    /// Bytes of all files in the data directory.
    pub(crate) fn disk_bytes(&self) -> Result<u64, Failure> {
        bytes_below(&self.dir.path().join("data"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nothing left to do then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
