//! A real Prometheus as a child process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use m3rs_core::fs::{DiskFs, Fs};

use crate::deadline::wait_for;
use crate::http_client::Client;
use crate::server::{appended, read_text, write_text};

/// The variable that says where the program is.
const PROGRAM_VARIABLE: &str = "M3RS_PROMETHEUS";

/// How long a start or a reload may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of the log a failed story shows.
const LOG_TAIL_LINES: usize = 30;

/// Time between scrapes, and between evaluations of rules.
const INTERVAL: &str = "400ms";

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    home: PathBuf,
    address: SocketAddr,
    m3rs: SocketAddr,
}

/// The program, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    std::env::var_os(PROGRAM_VARIABLE).map(PathBuf::from)
}

impl Prometheus {
    /// Starts it with remote write to `m3rs` and nothing to scrape; waits until it could send.
    pub(super) fn start(program: &Path, home: &Path, m3rs: SocketAddr) -> Self {
        let server = Self::start_configured(program, home, m3rs, &configuration(m3rs, None));
        wait_for("Prometheus to follow its log", START_TIMEOUT, || {
            // Samples from before it follows its log would not be sent.
            server.log().contains("msg=\"Replaying WAL\" component=remote").then_some(())
        });
        server
    }

    /// Starts it with a configuration that knows of `m3rs`; waits until it is ready.
    pub(crate) fn start_configured(
        program: &Path,
        home: &Path,
        m3rs: SocketAddr,
        configuration: &str,
    ) -> Self {
        DiskFs.create_dir_all(home).expect("a directory");
        write_text(&home.join("rules.yml"), RULES);
        write_text(&home.join("prometheus.yml"), configuration);
        let flag = |name: &str, file: &str| format!("--{name}={}", home.join(file).display());
        let child = Command::new(program)
            .args([flag("config.file", "prometheus.yml"), flag("storage.tsdb.path", "data")])
            .args(["--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"])
            .args([
                "--scrape.discovery-reload-interval=100ms",
                "--enable-feature=exemplar-storage,promql-per-step-stats",
            ])
            .arg("--web.enable-remote-write-receiver")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(appended(&home.join("log.txt")))
            .spawn()
            .expect("Prometheus starts");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, home: home.to_owned(), address, m3rs };
        server.address = wait_for("Prometheus to listen", START_TIMEOUT, || {
            let log = server.log();
            let (_, rest) = log.split_once("msg=\"Listening on\" component=web address=")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        wait_for("Prometheus to be ready", START_TIMEOUT, || {
            (server.client().get("/-/ready").status == 200).then_some(())
        });
        server
    }

    /// Starts scrapes of itself and of m3rs, and the rules.
    pub(super) fn scrape(&self) {
        self.reload(&configuration(self.m3rs, Some(&[self.address, self.m3rs])));
    }

    /// Ends all scrapes; the targets' series become stale.
    pub(super) fn scrape_nothing(&self) {
        self.reload(&configuration(self.m3rs, Some(&[])));
    }

    fn reload(&self, configuration: &str) {
        write_text(&self.home.join("prometheus.yml"), configuration);
        let answer = self.client().post("/-/reload", &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The sum of its own metric of that name, over all label sets.
    pub(super) fn own_metric(&self, name: &str) -> f64 {
        let answer = self.client().get("/metrics");
        let is_of = |line: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        };
        let values = answer.text().lines().filter(|line| is_of(line));
        values.map(|line| crate::answer::parse(line.rsplit(' ').next().expect("a value"))).sum()
    }

    fn log(&self) -> String {
        read_text(&self.home.join("log.txt"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
            eprintln!("--- end of Prometheus's log:\n{tail}");
        }
        // Both fail only if the process has ended and was waited for already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const RULES: &str = "\
groups:
  - name: story
    rules:
      - record: job:scrape_samples:sum
        expr: sum by (job) (scrape_samples_scraped)
      - record: instance:cpu:rate2s
        expr: rate(process_cpu_seconds_total[2s])
        labels: {rule: cpu}
      - alert: Up
        expr: up == 1
        labels: {severity: none}
";

/// A configuration; `targets` are Prometheus itself and m3rs, or none. Without them there are no
/// jobs and no rules.
fn configuration(m3rs: SocketAddr, targets: Option<&[SocketAddr]>) -> String {
    let mut text = format!(
        "global:
  scrape_interval: {INTERVAL}
  scrape_timeout: {INTERVAL}
  evaluation_interval: {INTERVAL}
remote_write:
  - url: http://{m3rs}/api/v1/write
    queue_config: {{batch_send_deadline: 200ms}}
"
    );
    let Some(targets) = targets else { return text };
    if !targets.is_empty() {
        text.push_str("rule_files: [rules.yml]\n");
    }
    text.push_str("scrape_configs:\n");
    for (i, job) in ["prometheus", "m3rs"].iter().enumerate() {
        let target = targets.get(i).map(|t| format!("\"{t}\"")).unwrap_or_default();
        text.push_str(&format!(
            "  - job_name: {job}\n    honor_timestamps: true\n    static_configs:\n      \
             - targets: [{target}]\n"
        ));
    }
    text
}
