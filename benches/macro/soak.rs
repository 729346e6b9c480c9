//! A soak: constant load for a long time, and what of the server grows meanwhile.
//!
//! Time passes faster than it does: each scrape of 15 s is sent after `15 / speed` seconds, and
//! times begin so far in the past that the end of the soak is now. A part of the series is
//! replaced by new ones all the time, as deployments do.

use std::path::Path;
use std::time::Duration;

use m3rs_benches::Failure;
use m3rs_core::clock::{Clock, SystemClock};
use m3rs_core::fs::{DiskFs, Fs};

use crate::body::{INTERVAL_MS, Load};
use crate::http::Connection;
use crate::protocol::Protocol;
use crate::server::Server;

/// Scrapes after which a line is printed.
const SCRAPES_PER_LINE: i64 = 40;
/// Series in a request.
const SERIES_PER_REQUEST: usize = 2_000;
/// Each series is replaced after so many scrapes, an hour; not all at once.
const LIFE_SCRAPES: i64 = 240;

/// Blocks of half an hour, so that an hour of soak sees flushes and retention at work.
const CONFIG: &str = "\
namespaces:
  - name: default
    retention: 190m
    block_size: 30m
    buffer_past: 5m
    buffer_future: 5m
";

/// What a soak is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    pub(crate) hosts: usize,
    pub(crate) minutes: i64,
    /// How many times faster than real.
    pub(crate) speed: i64,
}

const PROTOCOL: Protocol = Protocol::RemoteWrite;

impl Soak {
    /// Runs it and prints a line for every ten minutes of its own time.
    pub(crate) fn run(self, binary: &Path, clock: &SystemClock) -> Result<(), Failure> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("soak.yml");
        DiskFs.create(&config).and_then(|mut file| {
            file.write_all(CONFIG.as_bytes())?;
            file.sync()
        })?;
        let config = config.to_str().ok_or("the path of the configuration is not UTF-8")?;
        let server = Server::start(binary, &["-f", config], clock)?;
        let scrapes = self.minutes * 60_000 * self.speed / INTERVAL_MS;
        let pause = Duration::from_millis((INTERVAL_MS / self.speed).unsigned_abs());
        let mut load = Load::soaking(self.hosts, LIFE_SCRAPES, PROTOCOL);
        println!("{} series, {scrapes} scrapes, one in {pause:?}", load.series());
        println!(
            "{:>8} {:>9} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9} {:>9}",
            "minutes",
            "M samples",
            "RSS MB",
            "disk MB",
            "files",
            "threads",
            "CPU-s/M",
            "series",
            "query ms"
        );
        let mut connection = Connection::open(server.address())?;
        let start = clock.monotonic();
        let mut cpu = server.process().cpu_seconds()?;
        for scrape in 0..scrapes {
            let left_ms = (scrapes - 1 - scrape) * INTERVAL_MS / self.speed;
            let t_ms = clock.now().to_ms().0 + left_ms - (scrapes - 1 - scrape) * INTERVAL_MS;
            for body in load.scrape(scrape, t_ms, SERIES_PER_REQUEST) {
                connection.post(PROTOCOL.path(), PROTOCOL.headers(), &body)?;
            }
            if (scrape + 1) % SCRAPES_PER_LINE == 0 {
                let begin = clock.monotonic();
                let asked =
                    format!("/api/v1/query?query=sum(rate(x%5B5m%5D))&time={}", t_ms / 1000);
                let bytes = connection.get(&asked)?.len();
                let query_ms = (clock.monotonic() - begin).as_secs_f64() * 1e3;
                if bytes == 0 {
                    return Err("an empty answer".into());
                }
                let (now, samples) =
                    (server.process().cpu_seconds()?, load.series() as i64 * SCRAPES_PER_LINE);
                let metrics = String::from_utf8(connection.get("/metrics")?)?;
                println!(
                    "{:>8} {:>9.2} {:>8} {:>8.1} {:>7} {:>7} {:>9.3} {:>9} {:>9.1}",
                    (scrape + 1) * INTERVAL_MS / 60_000,
                    ((scrape + 1) * load.series() as i64) as f64 / 1e6,
                    server.process().status("VmRSS")? / 1024,
                    server.disk_bytes()? as f64 / 1e6,
                    server.process().open_files()?,
                    server.process().status("Threads")?,
                    (now - cpu) * 1e6 / samples as f64,
                    metric(&metrics, "m3rs_storage_series"),
                    query_ms,
                );
                cpu = server.process().cpu_seconds()?;
            }
            let due = pause * u32::try_from(scrape + 1)?;
            if let Some(wait) = due.checked_sub(clock.monotonic() - start) {
                std::thread::park_timeout(wait);
            }
        }
        println!("peak memory {} MB", server.process().status("VmHWM")? / 1024);
        Ok(())
    }
}

/// The sum of a metric's samples, in Prometheus's text format.
fn metric(text: &str, name: &str) -> f64 {
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    };
    let values = text.lines().filter(of_name);
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
