//! The macro bench: starts a built server, sends it prepared remote-write bodies, asks queries.
//!
//! ```text
//! cargo build --release && cargo run --release -p m3rs-benches --bin macro -- target/release/m3rs
//! ```
//! With `soak HOSTS MINUTES SPEED` after the server it sends a constant load for a long time
//! instead, see [`soak`].
//!
//! PROTOCOL is rw1, rw2, otlp, otlp-hosts or m3-json, see [`protocol::Protocol`].
//!
//! Prints CPU seconds of the server per million samples, samples per second, peak memory, bytes
//! on disk per sample, and the latency of queries. Bodies are made ahead and kept in memory, so
//! that the client costs little while it shares the cores with the server.
#![expect(clippy::print_stdout, reason = "a program whose product is a table")]

mod body;
mod http;
mod protocol;
mod server;
mod soak;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use m3rs_benches::Failure;
use m3rs_core::clock::{Clock, SystemClock};

use body::Load;
use http::Connection;
use protocol::Protocol;
use server::Server;
use soak::Soak;

/// Runs of each query; the median is printed.
const QUERY_RUNS: usize = 11;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let Some(binary) = args.next().map(PathBuf::from) else {
        return Err(
            "usage: macro SERVER_BINARY [[HOSTS] [HOURS] [PROTOCOL] | soak HOSTS MINUTES SPEED]"
                .into(),
        );
    };
    let first = args.next();
    if first.as_deref() == Some("soak") {
        let mut number = || args.next().ok_or("soak takes HOSTS MINUTES SPEED");
        let (hosts, minutes, speed) = (number()?, number()?, number()?);
        let soak = Soak { hosts: hosts.parse()?, minutes: minutes.parse()?, speed: speed.parse()? };
        return soak.run(&binary, &SystemClock::new());
    }
    let hosts = first.map_or(Ok(400), |a| a.parse())?;
    let hours = args.next().map_or(Ok(6), |a| a.parse())?;
    let protocol = args.next().map_or(Ok(Protocol::RemoteWrite), |a| a.parse())?;
    let clock = SystemClock::new();
    let mut load = Load::new(hosts, hours, protocol, clock.now());
    println!("{} series, {} samples, 15 s apart, 11 labels", load.series(), load.samples());
    let bodies = load.bodies(protocol.connections());
    let server = Server::start(&binary, &["--retention", "0"], &clock)?;
    ingest(&server, protocol, &bodies, load.samples(), &clock)?;
    queries(&server, &load, &clock)?;
    let before = server.process().cpu_seconds()?;
    Connection::open(server.address())?.post("/api/v1/admin/tsdb/flush", &[], &[])?;
    let flush = server.process().cpu_seconds()? - before;
    let per_sample = server.disk_bytes()? as f64 / load.samples() as f64;
    println!(
        "flush of all: {:.3} CPU-s/M, disk {per_sample:.2} B/sample",
        per_million(flush, &load)
    );
    queries(&server, &load, &clock)
}

fn per_million(seconds: f64, load: &Load) -> f64 {
    seconds * 1e6 / load.samples() as f64
}

fn ingest(
    server: &Server,
    protocol: Protocol,
    bodies: &[Vec<Vec<u8>>],
    samples: u64,
    clock: &SystemClock,
) -> Result<(), Failure> {
    let (cpu, start) = (server.process().cpu_seconds()?, clock.monotonic());
    let sent = AtomicUsize::new(0);
    let results: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            bodies.iter().map(|mine| scope.spawn(|| send(server, protocol, mine, &sent))).collect();
        workers.into_iter().map(|w| w.join().unwrap_or(Err("a sender panicked".into()))).collect()
    });
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    let wall = (clock.monotonic() - start).as_secs_f64();
    let cpu = (server.process().cpu_seconds()? - cpu) * 1e6 / samples as f64;
    println!(
        "ingest: {cpu:.3} CPU-s/M, {:.3} M samples/s, {} requests, peak memory {} MiB",
        samples as f64 / wall / 1e6,
        sent.load(Ordering::Relaxed),
        server.process().status("VmHWM")? / 1024,
    );
    Ok(())
}

fn send(
    server: &Server,
    protocol: Protocol,
    bodies: &[Vec<u8>],
    sent: &AtomicUsize,
) -> Result<(), Failure> {
    let mut connection = Connection::open(server.address())?;
    for body in bodies {
        connection.post(protocol.path(), protocol.headers(), body)?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn queries(server: &Server, load: &Load, clock: &SystemClock) -> Result<(), Failure> {
    let mut connection = Connection::open(server.address())?;
    let (start, end) = load.range_s();
    let range = format!("start={start}&end={end}&step=60");
    let asked = [
        ("sum(x), all series, 6 h, step 60 s", format!("query_range?query=sum(x)&{range}")),
        ("sum by (hostname) (x)", format!("query_range?query=sum%20by%20(hostname)%20(x)&{range}")),
        ("sum(rate(x[5m]))", format!("query_range?query=sum(rate(x%5B5m%5D))&{range}")),
        (
            "one series",
            format!("query_range?query=x%7Bhostname%3D%22host_1%22,n%3D%221%22%7D&{range}"),
        ),
        ("count(x) at the end", format!("query?query=count(x)&time={end}")),
    ];
    for (name, path) in asked {
        let mut times = Vec::with_capacity(QUERY_RUNS);
        let mut bytes = 0;
        for _ in 0..QUERY_RUNS {
            let begin = clock.monotonic();
            bytes = connection.get(&format!("/api/v1/{path}"))?.len();
            times.push((clock.monotonic() - begin).as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("{name}: {:.1} ms, {bytes} bytes", times[QUERY_RUNS / 2]);
    }
    Ok(())
}
