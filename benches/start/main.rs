//! How long does the engine take to start?
//!
//! ```text
//! cargo run --release -p m3rs-benches --bin start -- SERIES SAMPLES SHARDS FILES
//! ```
//! Writes SERIES x SAMPLES into a fresh directory, 15 s apart, all of it in the commit log alone
//! (series are sealed into the index as the mediator does it), adds FILES small volumes of older
//! blocks spread over SHARDS, and opens the directory three times from the page cache. Prints wall
//! time, CPU seconds and memory of each opening, and bytes of log, index and volumes.
#![expect(clippy::print_stdout, reason = "a program whose product is a table")]

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use m3rs_benches::Failure;
use m3rs_benches::fleet::scrape;
use m3rs_benches::process::{Process, bytes_below};
use m3rs_core::clock::{Clock, SystemClock};
use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::time::NS_PER_S;
use m3rs_tsdb::commitlog::SyncMode;
use m3rs_tsdb::{Database, DatabaseOptions, NamespaceOptions, Progress};

const INTERVAL_NS: i64 = 15 * NS_PER_S;
const BLOCK_NS: i64 = 2 * 3_600 * NS_PER_S;
/// Series of each volume of an older block.
const PER_FILE: u32 = 8;
/// New series that the mediator seals before their samples are due, and how long that may take.
const SEALED_EARLY: u32 = 1 << 16;
const SEAL_WAIT: Duration = Duration::from_secs(6);
const RUNS: u32 = 3;

fn main() -> Result<(), Failure> {
    const USAGE: &str = "usage: start SERIES SAMPLES SHARDS FILES";
    let mut args = std::env::args().skip(1);
    let mut next = || -> Result<i64, Failure> { Ok(args.next().ok_or(USAGE)?.parse()?) };
    let (series, samples, shards, files) = (next()?, next()?, next()?, next()?);
    let (series, shards) = (u32::try_from(series)?, u16::try_from(shards)?);
    let dir = tempfile::tempdir()?;
    let now = SystemClock::new().now().0;
    let block = now - now % BLOCK_NS;
    if files > 0 {
        add_files(dir.path(), shards, files, block)?;
    }
    let database = open(dir.path(), shards)?;
    for step in 0..samples {
        let t = now - (samples - step) * INTERVAL_NS;
        scrape(&database, series, |i| sample(i, step, t))?;
        if step == 0 && series >= SEALED_EARLY {
            // Nobody sends anything: only time passes.
            let (_sender, receiver) = mpsc::sync_channel::<()>(1);
            let _timeout = receiver.recv_timeout(SEAL_WAIT);
        }
    }
    drop(database);
    let megabytes =
        |part: &str| bytes_below(&dir.path().join(part)).map(|bytes| bytes as f64 / 1e6);
    println!(
        "{series} series x {samples} in the log, {files} files in {shards} shards: \
         log {:.1} MB, index {:.1} MB, volumes {:.1} MB",
        megabytes("commitlog")?,
        megabytes("index")?,
        megabytes("data")?,
    );
    let process = Process::this();
    for run in 1..=RUNS {
        let clock = SystemClock::new();
        let (wall, cpu) = (clock.monotonic(), process.cpu_seconds()?);
        let database = open(dir.path(), shards)?;
        let (wall, cpu) = (clock.monotonic() - wall, process.cpu_seconds()? - cpu);
        let held = database.status();
        assert_eq!(held.series, u64::from(series.max(PER_FILE * u32::from(files > 0))));
        println!(
            "run {run}: {:.3} s, {cpu:.2} CPU-s, {} volumes, RSS {} MB",
            wall.as_secs_f64(),
            held.volumes,
            process.status("VmRSS")? / 1024
        );
    }
    Ok(())
}

fn open(dir: &Path, shards: u16) -> Result<Database, Failure> {
    let (fs, clock) = (Arc::new(DiskFs), Arc::new(SystemClock::new()));
    let mut options = DatabaseOptions::new(fs, clock, dir.to_owned(), [7; 192]);
    options.sync = SyncMode::None;
    // What is due at the first start is not due at the second.
    options.snapshot_log_bytes = u64::MAX;
    options.namespace =
        NamespaceOptions { retention_ns: 0, shard_count: shards, ..NamespaceOptions::default() };
    Ok(Database::open(options, Arc::new(Progress::new()))?)
}

/// Puts `files` volumes below the shards, all of the same few series, in blocks before `block`.
fn add_files(dir: &Path, shards: u16, files: i64, block: i64) -> Result<(), Failure> {
    let database = open(dir, shards)?;
    scrape(&database, PER_FILE, |i| sample(i, 0, block - BLOCK_NS))?;
    database.flush_all()?;
    drop(database);
    let root = dir.join("data/default");
    let mut made = Vec::new();
    for shard in DiskFs.list(&root)? {
        made.extend(DiskFs.list(&shard)?);
    }
    let bytes = DiskFs.read(made.first().ok_or("no volume was flushed")?)?;
    let mut left = files - i64::try_from(made.len())?;
    for number in 2.. {
        for shard in 0..shards {
            if left <= 0 {
                return Ok(());
            }
            left -= 1;
            let shard_dir = root.join(shard.to_string());
            DiskFs.create_dir_all(&shard_dir)?;
            let path = shard_dir.join(format!("{}-0.fileset", block - number * BLOCK_NS));
            DiskFs.create(&path)?.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Time and value of a sample.
fn sample(i: u32, step: i64, t: i64) -> (i64, f64) {
    let noise = (u64::from(i) * 2_654_435_761 + step.unsigned_abs() * 40_503) % 1_000;
    (t, if i.is_multiple_of(2) { (step * 120) as f64 } else { noise as f64 / 100.0 })
}
