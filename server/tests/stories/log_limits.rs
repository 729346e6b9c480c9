//! Log that no other file holds has a limit: above it writes are told to come again, until a flush.

use crate::deadline::now_ms;
use crate::http_client::{Answer, Client};
use crate::query_url::instant;
use crate::remote_write::{TimeSeries, post, series, write};
use crate::server::{Server, write_text};

#[test]
fn writes_come_again_once_files_hold_the_log() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("m3rs.yml");
    write_text(&file, "limits:\n  log_uncovered_bytes_max: 4000\n");
    let server = Server::start_with(home.path(), &["-f", &file.to_string_lossy()]);
    let mut client = server.client();
    let t = now_ms();
    let one = |n: i64| vec![series(&[("__name__", "up"), ("job", "a")], &[(t - n, n as f64)])];
    let (mut written, answer) = write_until_refused(&mut client, one);
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
    assert!(answer.text().contains("limits.log_uncovered_bytes_max"), "{}", answer.text());
    assert!(answer.text().contains("4000"), "{}", answer.text());
    let metrics = client.get("/metrics");
    let held =
        metrics.text().lines().find_map(|l| l.strip_prefix("m3rs_commitlog_uncovered_bytes "));
    let held: u64 = held.and_then(|v| v.parse().ok()).expect("it is a number");
    assert!((3000..=4000).contains(&held), "{held}");

    assert_eq!(client.post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    write(&mut client, one(written));
    written += 1;
    let answer = client.get(&instant("count_over_time(up[1h])", t)).data();
    assert_eq!(answer["result"][0]["value"][1], written.to_string(), "{answer}");
    server.terminate();
}

/// Writes one sample after the other; how many were taken, and the answer to the one that was not.
fn write_until_refused(client: &mut Client, one: impl Fn(i64) -> Vec<TimeSeries>) -> (i64, Answer) {
    for n in 0..10_000 {
        let answer = post(client, one(n));
        if answer.status != 204 {
            return (n, answer);
        }
    }
    panic!("ten thousand writes fit into 4,000 bytes");
}
