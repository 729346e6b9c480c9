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

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::clock::{Clock, SystemClock};
use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::model::Labels;
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_tsdb::commitlog::SyncMode;
use m3rs_tsdb::{Database, DatabaseOptions, NamespaceOptions, Progress, WriteSession};

type Failure = Box<dyn Error + Send + Sync>;

const INTERVAL_NS: i64 = 15 * NS_PER_S;
const HOUR_NS: i64 = 3_600 * NS_PER_S;
/// Series of one target, scraped together.
const PER_TARGET: u32 = 100;
/// Series in one request.
const PER_REQUEST: u32 = 2_000;

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
    let begin = cpu_seconds()?;
    for step in 0..samples {
        scrape(&database, series, step, start + step * INTERVAL_NS)?;
    }
    let written = cpu_seconds()?;
    println!(
        "written: {series} series x {samples}, {:.3} CPU-s/M, RSS {} MB, of which {} MB are no \
         files: {:.0} B/series",
        (written - begin) * 1e6 / total,
        status("VmRSS")? / 1024,
        status("RssAnon")? / 1024,
        status("RssAnon")? as f64 * 1024.0 / f64::from(series),
    );
    let report = database.flush_all()?;
    let flushed = cpu_seconds()? - written;
    println!(
        "flushed: {:.1} CPU-s, {:.1} ns/sample, {} series blocks, peak memory {} MB",
        flushed,
        flushed * 1e9 / total,
        report.series_blocks,
        status("VmHWM")? / 1024,
    );
    let bytes = below(&dir.path().join("data"))?;
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

/// Writes one sample of every series.
fn scrape(database: &Database, series: u32, step: i64, t: i64) -> Result<(), Failure> {
    let namespace = database.namespace("default").ok_or("no namespace")?;
    for first in (0..series).step_by(PER_REQUEST as usize) {
        let mut session = namespace.writer();
        for i in first..series.min(first + PER_REQUEST) {
            push(&mut session, i, step, t)?;
        }
        drop(session.commit()?);
    }
    Ok(())
}

fn push(session: &mut WriteSession<'_>, i: u32, step: i64, t: i64) -> Result<(), Failure> {
    let raw = u64::from(i).to_le_bytes();
    let series = match session.next_len().and_then(|_| session.next_if(&raw)) {
        Some(series) => series,
        None => session
            .resolve(&raw, || labels(i))
            .map_err(|e| format!("series {i} was refused: {e}"))?,
    };
    let target = i / PER_TARGET;
    let jitter = if target.is_multiple_of(2) { 0 } else { mix(target, step) % 5 };
    let t = TimestampNs(t + (jitter as i64) * 1_000_000);
    session.push(series, t, value(i, step))?;
    Ok(())
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

fn labels(i: u32) -> Result<Labels, Failure> {
    let host = i / PER_TARGET;
    Ok(Labels::from_pairs([
        ("__name__", format!("node_metric_{}", i % PER_TARGET)),
        ("arch", "x86_64".to_owned()),
        ("datacenter", format!("eu-central-1{}", ["a", "b", "c"][host as usize % 3])),
        ("hostname", format!("host-{host}")),
        ("instance", format!("10.{}.{}.{}:9100", host >> 16, host >> 8 & 0xff, host & 0xff)),
        ("job", "node".to_owned()),
        ("os", "linux".to_owned()),
        ("rack", (host % 97).to_string()),
        ("region", "eu-central-1".to_owned()),
        ("service", (host % 20).to_string()),
    ])?)
}

fn proc(file: &str) -> Result<String, Failure> {
    Ok(String::from_utf8(DiskFs.read(&PathBuf::from(format!("/proc/self/{file}")))?)?)
}

fn cpu_seconds() -> Result<f64, Failure> {
    let stat = proc("stat")?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| -> Result<f64, Failure> {
        Ok(fields.get(i).ok_or("short stat line")?.parse::<f64>()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn status(name: &str) -> Result<u64, Failure> {
    let status = proc("status")?;
    let line = status.lines().find(|l| l.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

fn below(dir: &Path) -> Result<u64, Failure> {
    let mut sum = 0;
    for path in DiskFs.list(dir)? {
        sum += if path.is_dir() { below(&path)? } else { DiskFs.file_len(&path)? };
    }
    Ok(sum)
}
