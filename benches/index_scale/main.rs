//! How large, how fast and how soon ready is the index, by the number of series?
//!
//! ```text
//! cargo run --release -p m3rs-benches --bin index_scale -- 1000000
//! ```
//! Inserts SERIES of a fleet of node exporters, ten labels each, searches them in memory, seals
//! them while another thread inserts more, opens the directory again, searches the sealed segment,
//! and unites sets of active series. Everything but the competing inserts runs on one thread.
//! Budgets at one million series: 200 bytes of memory and 60 bytes on disk a series, 800,000 new
//! series a second, a seal of 6 CPU seconds that holds no insert up for 10 ms, an exact match in
//! 50 us, three matchers and a prefix in 1 ms, a regular expression over 100,000 values in 15 ms
//! and 0.2 ms again, 100,000 label values in 20 ms, ready after a start in 0.5 s.
#![expect(clippy::print_stdout, reason = "a program whose product is a table")]

mod fleet;
mod queries;
mod timing;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use m3rs_benches::Failure;
use m3rs_benches::process::{Process, ThreadTimes, bytes_below};
use m3rs_core::fs::{DiskFs, SharedFs};
use m3rs_index::{Index, Limits, inspect};
use roaring::{MultiOps, RoaringBitmap};

use fleet::Fleet;
use timing::{spread, timed};

/// That of the server, so that memory is what a user would see.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Series that are made and inserted together; fewer while a seal runs, as by one request.
const BATCH: u32 = 4_096;
const BATCH_BESIDE: u32 = 500;
/// Sets that are united.
const SETS: u32 = 12;

fn main() -> Result<(), Failure> {
    let series: u32 = std::env::args().nth(1).ok_or("usage: index_scale SERIES")?.parse()?;
    let fleet = Fleet { series };
    let dir = tempfile::tempdir()?;
    let index = Index::new(Limits::default());
    insert(&index, fleet)?;
    queries::print_all("memory", &index, fleet)?;
    seal(&index, fleet, dir.path())?;
    drop(index);
    let index = open(dir.path())?;
    queries::print_all("sealed", &index, fleet)?;
    unite(series)
}

fn insert(index: &Index, fleet: Fleet) -> Result<(), Failure> {
    let process = Process::this();
    let before = process.status("RssAnon")?;
    let (mut hashing, mut inserting) = (Duration::ZERO, Duration::ZERO);
    for first in (0..fleet.series).step_by(BATCH as usize) {
        let batch = fleet.batch(first..fleet.series.min(first + BATCH))?;
        let begin = ThreadTimes::now()?.on_core;
        let docs = fleet::docs(&batch);
        let hashed = ThreadTimes::now()?.on_core;
        index.insert_docs(&docs)?;
        hashing += hashed - begin;
        inserting += ThreadTimes::now()?.on_core - hashed;
    }
    let bytes = process.status("RssAnon")?.saturating_sub(before) * 1024;
    let per_second = |time: Duration| f64::from(fleet.series) / time.as_secs_f64() / 1e3;
    println!(
        "insert: {:.0} k series per CPU-s, {:.0} k with their hashes",
        per_second(inserting),
        per_second(inserting + hashing)
    );
    println!("memory: {:.1} B/series", bytes as f64 / f64::from(fleet.series));
    Ok(())
}

/// Seals while another thread inserts series of hosts that are not there yet.
fn seal(index: &Index, fleet: Fleet, dir: &Path) -> Result<(), Failure> {
    let is_sealed = AtomicBool::new(false);
    let mut batches = Vec::new();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let beside = scope.spawn(|| insert_beside(index, fleet, &is_sealed));
        let begin = ThreadTimes::now()?.on_core;
        let sealed = timed(|| Ok(index.seal(&DiskFs, dir)?));
        let cpu = ThreadTimes::now()?.on_core - begin;
        is_sealed.store(true, Ordering::Relaxed);
        let (sealed, wall) = sealed?;
        let info = sealed.ok_or("nothing was sealed")?;
        println!(
            "seal: {:.3} CPU-s, {:.3} s, {} series",
            cpu.as_secs_f64(),
            wall.as_secs_f64(),
            info.series
        );
        println!("disk: {:.1} B/series", info.file_len as f64 / f64::from(info.series));
        for section in inspect(&DiskFs, &info.path)?.sections {
            let per_series = section.len as f64 / f64::from(info.series);
            println!("disk: {}: {per_series:.2} B/series", section.name);
        }
        batches = beside.join().map_err(|_| "the thread beside the seal panicked")??;
        Ok(())
    })?;
    batches.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |t| t.as_secs_f64() * 1e3);
    println!(
        "beside the seal: {} batches of {BATCH_BESIDE}, median {:.3} ms, longest {:.3} ms",
        batches.len(),
        ms(batches.get(batches.len() / 2)),
        ms(batches.last()),
    );
    Ok(())
}

/// What each batch took until the seal was done, without waits for a core.
fn insert_beside(
    index: &Index,
    fleet: Fleet,
    is_sealed: &AtomicBool,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let mut first = fleet.series;
    while !is_sealed.load(Ordering::Relaxed) {
        let batch = fleet.batch(first..first + BATCH_BESIDE)?;
        let docs = fleet::docs(&batch);
        let queued = ThreadTimes::now()?.in_queue;
        let ((), wall) = timed(|| Ok(index.insert_docs(&docs)?))?;
        times.push(wall.saturating_sub(ThreadTimes::now()?.in_queue - queued));
        first += BATCH_BESIDE;
    }
    Ok(times)
}

fn open(dir: &Path) -> Result<Index, Failure> {
    let fs: SharedFs = Arc::new(DiskFs);
    let process = Process::this();
    let before = process.status("RssAnon")?;
    let load = || Ok(Index::open(&fs, dir, Limits::default())?.0);
    let (index, opened) = spread(|_| load())?;
    let (_, ready) = spread(|_| {
        let index = load()?;
        let mut sum = 0u128;
        index.for_each_identity(|_, identity| sum ^= identity.labels_hash)?;
        Ok(sum)
    })?;
    println!(
        "start: opened in {opened}; with identities in {ready}; {:.1} MB of files, {} KiB used",
        bytes_below(dir)? as f64 / 1e6,
        process.status("RssAnon")?.saturating_sub(before)
    );
    Ok(index)
}

/// Unions as the engine makes them of the sets of files and windows.
fn unite(series: u32) -> Result<(), Failure> {
    let sets_of = |step: u32| -> Vec<RoaringBitmap> {
        (0..SETS).map(|set| (set % step..series).step_by(step as usize).collect()).collect()
    };
    let mut runs = sets_of(1);
    for set in &mut runs {
        set.optimize();
    }
    let kinds = [
        ("all, as runs", runs),
        ("all, as bits", sets_of(1)),
        ("every third", sets_of(3)),
        ("every hundredth", sets_of(100)),
    ];
    for (name, sets) in kinds {
        let (union, time) = spread(|_| Ok(sets.iter().union()))?;
        println!(
            "union: {name}: {:.4} ms a set, {} refs of {SETS} sets",
            time.median.as_secs_f64() * 1e3 / f64::from(SETS),
            union.len()
        );
    }
    Ok(())
}
