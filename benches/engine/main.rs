//! What does a flush of a whole window cost, and how large is what it writes?
//!
//! ```text
//! cargo run --release -p m3rs-benches --bin engine -- 1000000 480
//! ```
//! Fills the engine in this process with SERIES x SAMPLES of a fleet's mix, 15 s apart with 5 ms
//! of jitter for half of the targets, commit log unsynced, then flushes all of it. Prints CPU
//! seconds of writing and of the flush, memory, and bytes on disk. Budget: a flush of one million
//! series of 480 samples takes at most 48 CPU seconds, 100 ns a sample.
#![expect(clippy::print_stdout, reason = "a program whose product is a table")]

use std::path::Path;
use std::sync::Arc;

use m3rs_benches::Failure;
use m3rs_benches::fleet::{PER_HOST, scrape};
use m3rs_benches::process::{Process, bytes_below};
use m3rs_core::clock::{Clock, SystemClock};
use m3rs_core::fs::DiskFs;
use m3rs_core::time::NS_PER_S;
use m3rs_tsdb::commitlog::SyncMode;
use m3rs_tsdb::{Database, DatabaseOptions, NamespaceOptions, Progress};

/// That of the server, so that memory is what a user would see.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const INTERVAL_NS: i64 = 15 * NS_PER_S;
const HOUR_NS: i64 = 3_600 * NS_PER_S;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let series: u32 = args.next().ok_or("usage: engine SERIES SAMPLES")?.parse()?;
    let samples: i64 = args.next().ok_or("usage: engine SERIES SAMPLES")?.parse()?;
    let total = f64::from(series) * samples as f64;
    let dir = tempfile::tempdir()?;
    let database = open(dir.path())?;
    let block_ns = 2 * HOUR_NS;
    let now = SystemClock::new().now().0;
    // A window of the past, so that all samples lie in one block where they fit into one.
    let start = now - now % block_ns - 2 * block_ns;
    let process = Process::this();
    let begin = process.cpu_seconds()?;
    for step in 0..samples {
        let t = start + step * INTERVAL_NS;
        scrape(&database, series, |i| sample(i, step, t))?;
    }
    let written = process.cpu_seconds()?;
    println!(
        "written: {series} series x {samples}, {:.3} CPU-s/M, RSS {} MB, of which {} MB are no \
         files: {:.0} B/series",
        (written - begin) * 1e6 / total,
        process.status("VmRSS")? / 1024,
        process.status("RssAnon")? / 1024,
        process.status("RssAnon")? as f64 * 1024.0 / f64::from(series),
    );
    let report = database.flush_all()?;
    let flushed = process.cpu_seconds()? - written;
    println!(
        "flushed: {:.1} CPU-s, {:.1} ns/sample, {} series blocks, peak memory {} MB",
        flushed,
        flushed * 1e9 / total,
        report.series_blocks,
        process.status("VmHWM")? / 1024,
    );
    let bytes = bytes_below(&dir.path().join("data"))?;
    println!(
        "disk: {:.3} B/sample, {:.1} B/series block",
        bytes as f64 / total,
        bytes as f64 / report.series_blocks as f64
    );
    database.close()?;
    Ok(())
}

fn open(dir: &Path) -> Result<Database, Failure> {
    let (fs, clock) = (Arc::new(DiskFs), Arc::new(SystemClock::new()));
    let mut options = DatabaseOptions::new(fs, clock, dir.to_owned(), [7; 192]);
    options.sync = SyncMode::None;
    options.namespace = NamespaceOptions { retention_ns: 0, ..NamespaceOptions::default() };
    Ok(Database::open(options, Arc::new(Progress::new()))?)
}

/// Time and value of a sample of the scrape `step`, which begins at `t`.
fn sample(i: u32, step: i64, t: i64) -> (i64, f64) {
    let host = i / PER_HOST;
    let jitter_ms = if host.is_multiple_of(2) { 0 } else { mix(host, step) % 5 };
    (t + jitter_ms as i64 * 1_000_000, value(i, step))
}

/// Half are counters, of which a part stands still; the rest gauges with two decimals, constants,
/// small integers and full floats, as on a fleet of machines.
fn value(i: u32, step: i64) -> f64 {
    let noise = mix(i, step) % 1_000;
    match i % 20 {
        0..=5 => (step as u64 * 120 + u64::from(i) + noise / 10) as f64,
        6..=9 => (u64::from(i) + step as u64 / 40) as f64,
        10..=13 => (5_000.0 + (noise as f64 - 500.0) + step as f64) / 100.0,
        14..=16 => f64::from(i),
        17 | 18 => (noise % 8) as f64,
        _ => (noise as f64).sqrt() * f64::from(i + 1),
    }
}

fn mix(i: u32, step: i64) -> u64 {
    let mut x = (u64::from(i) << 32) ^ step.unsigned_abs();
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
