//! Many times the writers and readers that the server lets work at a time: it refuses in time, goes
//! on, and keeps what it acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use m3rs_core::clock::{Clock, SystemClock};

use crate::deadline::{Deadline, now_ms};
use crate::http_client::Client;
use crate::query_url::{instant, range};
use crate::remote_write::{TimeSeries, post, series, write};
use crate::server::{Server, write_text};

/// Ten times as many writers as may be at work, and ten times as many readers.
const WRITERS: u64 = 40;
const READERS: u64 = 20;
const SETTINGS: &str =
    "ingest:\n  in_flight_max: 4\nquery:\n  concurrent_max: 2\n  queue_timeout: 100ms\n";

/// How long both press.
const PRESSURE: Duration = Duration::from_secs(4);

/// No answer may take longer, refusals least of all.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A hundred series of one writer, with one sample at this tick.
fn batch(writer: u64, tick: i64, t: i64) -> Vec<TimeSeries> {
    let one = |i: u64| {
        let (writer, i) = (writer.to_string(), i.to_string());
        let labels = [("__name__", "load"), ("writer", writer.as_str()), ("i", i.as_str())];
        series(&labels, &[(t, tick as f64)])
    };
    (0..100).map(one).collect()
}

#[derive(Default)]
struct Seen {
    acked: AtomicU64,
    refused: AtomicU64,
    queries: AtomicU64,
    queries_refused: AtomicU64,
}

impl Seen {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes tick after tick; one that is refused is not written again. Gives the acknowledged ones.
fn press_writes(client: &mut Client, writer: u64, start_ms: i64, seen: &Seen) -> Vec<i64> {
    let (end, clock, mut acked) = (Deadline::after(PRESSURE), SystemClock::new(), Vec::new());
    for tick in 0.. {
        if end.is_over() {
            break;
        }
        let asked = clock.monotonic();
        let answer = post(client, batch(writer, tick, start_ms + tick));
        let took = clock.monotonic().saturating_sub(asked);
        assert!(took < ANSWER_MAX, "{took:?}");
        match answer.status {
            204 => {
                Seen::add(&seen.acked);
                acked.push(tick);
            }
            503 => {
                assert_eq!(answer.header("retry-after"), "1");
                assert!(answer.text().contains("ingest.in_flight_max"), "{}", answer.text());
                Seen::add(&seen.refused);
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    acked
}

fn press_queries(client: &mut Client, start_ms: i64, seen: &Seen) {
    let (end, clock) = (Deadline::after(PRESSURE), SystemClock::new());
    while !end.is_over() {
        let asked = clock.monotonic();
        let query = "sum by(writer)(count_over_time(load[1m]))";
        let answer = client.get(&range(query, start_ms, start_ms + 60_000, 1000));
        let took = clock.monotonic().saturating_sub(asked);
        assert!(took < ANSWER_MAX, "{took:?}");
        match answer.status {
            200 => Seen::add(&seen.queries),
            503 => {
                assert!(answer.text().contains("query.concurrent_max"), "{}", answer.text());
                Seen::add(&seen.queries_refused);
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
}

#[test]
fn overload_is_refused_in_time_and_loses_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("m3rs.yml");
    write_text(&file, SETTINGS);
    let server = Server::start_with(home.path(), &["-f", &file.to_string_lossy()]);
    let start_ms = now_ms() - 60_000;
    let seen = Seen::default();
    let (seen, server_ref) = (&seen, &server);
    let acked: Vec<Vec<i64>> = thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(move || press_queries(&mut server_ref.client(), start_ms, seen));
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|w| scope.spawn(move || press_writes(&mut server_ref.client(), w, start_ms, seen)))
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
    });
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} writes acknowledged, {} refused; {} queries answered, {} refused",
        of(&seen.acked),
        of(&seen.refused),
        of(&seen.queries),
        of(&seen.queries_refused)
    );
    assert!(of(&seen.acked) > 0 && of(&seen.refused) > 0 && of(&seen.queries) > 0);

    // The pressure is gone: all is answered again, and all that was acknowledged is there.
    let mut client = server.client();
    write(&mut client, batch(WRITERS, 0, start_ms));
    for (writer, ticks) in acked.iter().enumerate() {
        let query = format!("count_over_time(load{{writer=\"{writer}\"}}[10m])");
        let data = client.get(&instant(&query, start_ms + 600_000 - 1)).data();
        let result = data["result"].as_array().expect("a vector");
        assert_eq!(result.len(), if ticks.is_empty() { 0 } else { 100 }, "writer {writer}");
        for found in result {
            let count = found["value"][1].as_str().and_then(|n| n.parse().ok());
            assert_eq!(count, Some(ticks.len()), "writer {writer}");
        }
    }
    server.terminate();
}
