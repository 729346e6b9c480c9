//! Recorded scrapes go in and come back bit for bit: out of memory, after a start, out of files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};
use serde::Deserialize;

use crate::answer::{Labels, Samples, parse, series};
use crate::deadline::now_ms;
use crate::http_client::Client;
use crate::query_url::instant;
use crate::remote_write::{self, TimeSeries};
use crate::server::Server;

/// Where the recordings are.
const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/scrapes");

/// Longer than any recording.
const HOUR_MS: i64 = 3_600_000;

/// The start of a block, long ago.
const OLD_BLOCK_MS: i64 = 138_888 * 2 * HOUR_MS;

/// Scrapes in one request.
const SCRAPES_PER_REQUEST: usize = 10;

/// Whole series in one request.
const SERIES_PER_REQUEST: usize = 50;

/// Every so many requests one is sent twice.
const REPEAT_EVERY: usize = 7;

/// One line of a recording.
#[derive(Deserialize)]
struct Line {
    metric: Labels,
    dt: Vec<i64>,
    v: Vec<String>,
}

type Recording = BTreeMap<Labels, Samples>;

#[test]
fn what_was_scraped_comes_back_bit_for_bit() {
    let home = tempfile::tempdir().expect("a directory");
    // One recording ends now; the other lies long ago, across the border of two blocks.
    let node = recording("node_exporter.jsonl.xz", 512);
    let node = moved(&node, now_ms() - 60_000 - end_of(&node));
    let etcd = recording("etcd.jsonl.xz", 1249);
    let etcd = moved(&etcd, OLD_BLOCK_MS + HOUR_MS / 3 - end_of(&etcd));
    let check = |client: &mut Client, when: &str| {
        check(client, "{job=\"node\"}", &node, when);
        check(client, "{job=\"etcd\"}", &etcd, when);
    };

    let server = Server::start_with(home.path(), &["--retention", "0"]);
    let mut client = server.client();
    write_by_scrape(&mut client, &node);
    write_by_series(&mut client, &etcd);
    check(&mut client, "out of memory");
    server.kill();

    let server = Server::start_with(home.path(), &["--retention", "0"]);
    let mut client = server.client();
    check(&mut client, "after a kill");
    let report = client.post("/api/v1/admin/tsdb/flush", &[], b"").data();
    assert!(report["volumes"].as_u64().is_some_and(|n| n > 0), "{report}");
    check(&mut client, "after a flush");
    // Samples that files hold already, once more.
    write_by_scrape(&mut client, &moved(&node, 0));
    check(&mut client, "written again");
    server.terminate();

    let server = Server::start_with(home.path(), &["--retention", "0"]);
    let mut client = server.client();
    check(&mut client, "after a flush and a start");
    assert_eq!(client.post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    check(&mut client, "after two flushes");
    let status = client.get("/ready").json();
    assert_eq!((&status["damage_at_start"], &status["damaged_reads"]), (&0.into(), &0.into()));
    let samples: usize = node.values().chain(etcd.values()).map(Vec::len).sum();
    println!("scrapes: {samples} samples in {} series", node.len() + etcd.len());
}

fn recording(name: &str, series: usize) -> Recording {
    let packed = DiskFs.read(&Path::new(DIR).join(name)).expect("a recording");
    let mut text = String::new();
    liblzma::read::XzDecoder::new(&packed[..]).read_to_string(&mut text).expect("xz of text");
    let mut recording = Recording::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).expect("a series");
        assert_eq!(line.dt.len(), line.v.len());
        let times = line.dt.iter().scan(0, |t, dt| {
            *t += dt;
            Some(*t)
        });
        let samples = times.zip(&line.v).map(|(t, v)| (t, parse(v).to_bits())).collect();
        assert!(recording.insert(line.metric, samples).is_none(), "a series twice");
    }
    assert_eq!(recording.len(), series);
    recording
}

fn end_of(recording: &Recording) -> i64 {
    recording.values().flatten().map(|(t, _)| *t).max().expect("samples")
}

fn moved(recording: &Recording, by_ms: i64) -> Recording {
    let moved = |samples: &Samples| samples.iter().map(|(t, bits)| (t + by_ms, *bits)).collect();
    recording.iter().map(|(labels, samples)| (labels.clone(), moved(samples))).collect()
}

/// As a scraper sends: all series with a few samples each, time after time.
fn write_by_scrape(client: &mut Client, recording: &Recording) {
    let longest = recording.values().map(Vec::len).max().expect("series");
    for (i, from) in (0..longest).step_by(SCRAPES_PER_REQUEST).enumerate() {
        let request: Vec<TimeSeries> = recording
            .iter()
            .map(|(labels, samples)| {
                let to = samples.len().min(from + SCRAPES_PER_REQUEST);
                message(labels, samples.get(from..to).unwrap_or_default())
            })
            .collect();
        write(client, request, i);
    }
}

/// As an importer sends: a few series with all of their samples.
fn write_by_series(client: &mut Client, recording: &Recording) {
    let all: Vec<TimeSeries> =
        recording.iter().map(|(labels, samples)| message(labels, samples)).collect();
    for (i, request) in all.chunks(SERIES_PER_REQUEST).enumerate() {
        write(client, request.to_vec(), i);
    }
}

fn write(client: &mut Client, request: Vec<TimeSeries>, number: usize) {
    if number.is_multiple_of(REPEAT_EVERY) {
        remote_write::write(client, request.clone());
    }
    remote_write::write(client, request);
}

fn message(labels: &Labels, samples: &[(i64, u64)]) -> TimeSeries {
    let labels: Vec<_> = labels.iter().collect();
    let samples: Vec<_> = samples.iter().map(|(t, bits)| (*t, f64::from_bits(*bits))).collect();
    remote_write::series(&labels, &samples)
}

fn check(client: &mut Client, selector: &str, wanted: &Recording, when: &str) {
    let found = series(&client.get(&instant(&format!("{selector}[1h]"), end_of(wanted))).data());
    assert_eq!(found.len(), wanted.len(), "series of {selector} {when}");
    for (labels, wanted) in wanted {
        let found = found.get(labels).unwrap_or_else(|| panic!("no {labels:?} {when}"));
        if found != wanted {
            let at = found.iter().zip(wanted).position(|(f, w)| f != w);
            let (found_n, wanted_n) = (found.len(), wanted.len());
            panic!("{labels:?} {when}: {found_n} samples for {wanted_n}, first other at {at:?}");
        }
    }
}
