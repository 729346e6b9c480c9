//! A real Prometheus and our server, with the same data.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use m3rs_core::fs::{DiskFs, Fs};

use crate::data::TimeSeries;
use crate::data::requests;
use crate::deadline::wait_for;
use crate::http_client::{Answer, Client};
use crate::question::Question;
use crate::remote_write::{HEADERS, PATH};
use crate::server::{Server, appended, read_text, write_text};
use crate::verdict::{Verdict, known};

/// The variable that says where Prometheus is; `cargo xtask test` sets it.
const PROGRAM_VARIABLE: &str = "M3RS_PROMETHEUS";

/// How long Prometheus's start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// All of PromQL that can be switched on; we take all of it without a switch.
const FEATURES: &str = "promql-experimental-functions,promql-extended-range-selectors,\
     promql-binop-fill-modifiers,use-start-timestamps";

/// How often Prometheus is asked again before its answer counts.
const REPEATS: usize = 12;

const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];

/// Both servers, ready for questions.
#[derive(Debug)]
pub(crate) struct Pair {
    prometheus: Client,
    m3rs: Client,
    /// The name of a known difference that is told like an unknown one.
    told: Option<String>,
    /// Killed when dropped.
    _processes: (Prometheus, Server),
}

impl Pair {
    /// Starts both; nothing if there is no Prometheus.
    pub(crate) fn start(home: &Path, told: Option<String>) -> Option<Self> {
        let program = std::env::var_os(PROGRAM_VARIABLE).map(PathBuf::from)?;
        let server = Server::start_with(home, &["--retention", "0"]);
        let prometheus = Prometheus::start(&program, &home.join("prometheus"));
        Some(Self {
            prometheus: Client::new(prometheus.address),
            m3rs: server.client(),
            told,
            _processes: (prometheus, server),
        })
    }

    /// Writes the series to both; both must take all of it.
    pub(crate) fn write(&mut self, series: &[TimeSeries]) {
        for body in requests(series) {
            for client in [&mut self.prometheus, &mut self.m3rs] {
                let answer = client.post(PATH, HEADERS, &body);
                assert_eq!((answer.status, answer.text()), (204, ""));
            }
        }
    }

    /// The answers of Prometheus and of ours.
    pub(crate) fn ask(&mut self, question: &Question) -> (Answer, Answer) {
        let (path, body) = question.form();
        let expected = self.prometheus.post(path, FORM, body.as_bytes());
        (expected, self.m3rs.post(path, FORM, body.as_bytes()))
    }

    /// Compares the answers.
    pub(crate) fn judge(&mut self, question: &Question) -> Verdict {
        let (expected, got) = self.ask(question);
        let rules = question.rules();
        let Some(difference) = rules.difference(&expected, &got) else { return Verdict::Same };
        match known(question, &expected, &got) {
            Some(Verdict::Known(name)) if self.told.as_deref() == Some(name) => {}
            Some(verdict) => return verdict,
            None if self.told.is_some() => return Verdict::Same,
            None => {}
        }
        let (path, body) = question.form();
        for _ in 0..REPEATS {
            let again = self.prometheus.post(path, FORM, body.as_bytes());
            if rules.difference(&expected, &again).is_some() {
                return Verdict::Undefined;
            }
        }
        Verdict::Different(difference)
    }
}

/// A running Prometheus that takes remote writes; killed when dropped.
#[derive(Debug)]
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(program: &Path, home: &Path) -> Self {
        DiskFs.create_dir_all(home).expect("a directory");
        write_text(&home.join("prometheus.yml"), "global: {}\n");
        let log = home.join("log.txt");
        let flag = |name: &str, file: &str| format!("--{name}={}", home.join(file).display());
        let child = Command::new(program)
            .args([flag("config.file", "prometheus.yml"), flag("storage.tsdb.path", "data")])
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"])
            .args(["--storage.tsdb.retention.time=100y", &format!("--enable-feature={FEATURES}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(appended(&log))
            .spawn()
            .expect("Prometheus starts");
        // Known to `Drop` from here on; the address comes with the log.
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        server.address = wait_for("Prometheus to listen", START_TIMEOUT, || {
            let log = read_text(&log);
            let (_, rest) = log.split_once("msg=\"Listening on\" component=web address=")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        wait_for("Prometheus to be ready", START_TIMEOUT, || {
            (Client::new(server.address).get("/-/ready").status == 200).then_some(())
        });
        server
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only if the process has ended and was waited for already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
