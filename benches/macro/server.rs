//! The server under test, and what it costs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use m3rs_core::clock::{Clock, SystemClock};
use m3rs_core::fs::{DiskFs, Fs};

use crate::Failure;
use crate::http::Connection;

/// How long a server may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Clock ticks in a second, as Linux reports process times on every platform we run on.
const TICKS_PER_SECOND: f64 = 100.0;

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

    /// User and system time of the process so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| -> Result<f64, Failure> {
            Ok(fields.get(i).ok_or("short stat line")?.parse::<f64>()?)
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// A number of the process's status: `VmHWM` and `VmRSS` in KiB, `Threads`.
    pub(crate) fn status(&self, name: &str) -> Result<u64, Failure> {
        let status = self.proc("status")?;
        let line = status.lines().find(|l| l.starts_with(name)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }

    /// File descriptors that the process has open.
    pub(crate) fn open_files(&self) -> Result<usize, Failure> {
        Ok(DiskFs.list(&PathBuf::from(format!("/proc/{}/fd", self.child.id())))?.len())
    }

    /// Bytes of all files in the data directory.
    pub(crate) fn disk_bytes(&self) -> Result<u64, Failure> {
        fn below(dir: &Path) -> Result<u64, Failure> {
            let mut sum = 0;
            for path in DiskFs.list(dir)? {
                sum += if path.is_dir() { below(&path)? } else { DiskFs.file_len(&path)? };
            }
            Ok(sum)
        }
        below(&self.dir.path().join("data"))
    }

    fn proc(&self, file: &str) -> Result<String, Failure> {
        let path = PathBuf::from(format!("/proc/{}/{file}", self.child.id()));
        Ok(String::from_utf8(DiskFs.read(&path)?)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nothing left to do then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
