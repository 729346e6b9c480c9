//! The built `m3rs`, started as a user starts it, and ended by its process id.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use m3rs_core::fs::{DiskFs, Fs, write_atomic};
use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::{Deadline, pause, wait_for};
use crate::http_client::Client;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_m3rs");

/// How long a start may take, on a machine that does many other things.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of the log a failed story shows.
const LOG_TAIL_BYTES: usize = 4000;

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    output: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts a server on `home/data` and a free port, and waits until it is ready.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_with(home, &[])
    }

    /// As [`Server::start`], with further arguments.
    pub(crate) fn start_with(home: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(server_args(&home.join("data"))).args(args);
        Self::start_command(home, command)
    }

    /// Waits for the banner of `command`, whose output goes to files in `home`.
    pub(crate) fn start_command(home: &Path, mut command: Command) -> Self {
        let (output, log) = (home.join("output.txt"), home.join("log.txt"));
        if output.exists() {
            DiskFs.remove_file(&output).expect("the output of the run before");
        }
        // The log goes on from the run before.
        let logged = read_text(&log).len();
        let child = command
            .stdin(Stdio::null())
            .stdout(appended(&output))
            .stderr(appended(&log))
            .spawn()
            .expect("m3rs starts");
        // Known to `Drop` from here on; the address comes with the banner.
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, address, output, log };
        server.address = wait_for("the banner", START_TIMEOUT, || {
            if let Some(status) = server.child.try_wait().expect("a child") {
                panic!("m3rs ended at start: {status}");
            }
            let banner = address_in_banner(&server.banner());
            banner.or_else(|| address_in_log(server.log().get(logged..)?))
        });
        let ready = server.client().get("/-/ready");
        assert_eq!(ready.status, 200, "{}", ready.text());
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed.
    pub(crate) fn banner(&self) -> String {
        read_text(&self.output)
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        read_text(&self.log)
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal to an own child");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it has not within `time`; it is killed then, so that nobody waits for its answers.
    pub(crate) fn wait(&mut self, time: Duration) -> ExitStatus {
        let deadline = Deadline::after(time);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            if deadline.is_over() {
                self.child.kill().expect("an own child");
                panic!("waited {time:?} in vain for m3rs to end");
            }
            pause();
        }
    }

    /// Ends it without warning, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        let status = self.wait(START_TIMEOUT);
        assert!(!status.success(), "killed, and yet it ended by itself");
    }

    /// Asks it to end; it must do so in good order.
    pub(crate) fn terminate(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(START_TIMEOUT);
        assert!(status.success(), "{status} after SIGTERM");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: String =
                log.chars().skip(log.chars().count().saturating_sub(LOG_TAIL_BYTES)).collect();
            eprintln!("--- end of the server's log:\n{tail}");
        }
        // Both fail only if the process has ended and was waited for already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Arguments of a server on `data_dir` and a free port.
pub(crate) fn server_args(data_dir: &Path) -> Vec<String> {
    ["server", "--listen", "127.0.0.1:0", "--data-dir"]
        .map(str::to_owned)
        .into_iter()
        .chain([data_dir.to_string_lossy().into_owned()])
        .collect()
}

/// A file that a child may write to.
pub(crate) fn appended(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a file for output")
}

/// A file of text; nothing if it is not there.
pub(crate) fn read_text(path: &Path) -> String {
    String::from_utf8_lossy(&DiskFs.read(path).unwrap_or_default()).into_owned()
}

/// Writes a file of text.
pub(crate) fn write_text(path: &Path, text: &str) {
    write_atomic(&DiskFs, path, |file| file.write_all(text.as_bytes())).expect("a file");
}

fn address_in_banner(banner: &str) -> Option<SocketAddr> {
    // The last line has an end only when the whole banner is there.
    let whole = banner.split_once("In Grafana")?.0;
    address_after(whole, "API      http://")
}

/// Where it listens, if the banner could not be written.
fn address_in_log(log: &str) -> Option<SocketAddr> {
    let (line, _) = log.split_once("ready listen=")?.1.split_once('\n')?;
    line.split_whitespace().next()?.parse().ok()
}

fn address_after(text: &str, mark: &str) -> Option<SocketAddr> {
    text.split_once(mark)?.1.split_whitespace().next()?.parse().ok()
}
