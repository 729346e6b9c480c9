//! Write requests that are wrong in part or in whole.

use prost::Message;

use crate::answer::series as found_series;
use crate::deadline::now_ms;
use crate::http_client::Client;
use crate::query_url::instant;
use crate::remote_write::{HEADERS, PATH, TimeSeries, WriteRequest, body, compress, post, series};
use crate::server::{Server, write_text};

const DAY_MS: i64 = 86_400_000;

/// A time that nanoseconds in 64 bits just about hold.
const FAR_MS: i64 = 9_000_000_000_000;

type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

/// How many series `good` has at `now`.
fn good_series(client: &mut Client, now: i64) -> usize {
    found_series(&client.get(&instant("good", now)).data()).len()
}

fn good(number: usize, now: i64) -> TimeSeries {
    series(&[("__name__", "good"), ("number", &number.to_string())], &[(now, 1.0)])
}

#[test]
fn bad_labels_are_told_and_the_other_series_written() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let now = now_ms();
    let long_name = [b'n'; 1025];
    let long_value = vec![b'v'; 65_536];
    let many: Vec<Vec<u8>> = (0..128).map(|i| format!("l{i}").into_bytes()).collect();
    let mut many: Vec<(&[u8], &[u8])> = many.iter().map(|n| (n.as_slice(), &b"1"[..])).collect();
    many.push((b"__name__", b"many"));
    let cases: &[(Pairs<'_>, &str, &str)] = &[
        (&[], "{}", "the label __name__ is missing"),
        (&[(b"job", b"a")], "{job=\"a\"}", "the label __name__ is missing"),
        (&[(b"__name__", b""), (b"a", b"1")], "a=\"1\"}", "the label __name__ is missing"),
        (&[(b"__name__", b"x"), (b"", b"1")], "{__name__=\"x\"", "empty label name"),
        (
            &[(b"__name__", b"x"), (b"a", b"1"), (b"a", b"2")],
            "{__name__=\"x\", a=\"1\", a=\"2\"}",
            "duplicate label name \"a\"",
        ),
        (
            &[(b"__name__", b"x"), (b"b", b"1"), (b"a", b"2"), (b"b", b"1")],
            "{__name__=\"x\", b=\"1\", a=\"2\", b=\"1\"}",
            "duplicate label name \"b\"",
        ),
        (&[(b"__name__", b"x\xff")], "{__name__=\"x", "is not valid UTF-8"),
        (&[(b"__name__", b"x"), (b"\xc3\x28", b"1")], "{__name__=\"x\"", "is not valid UTF-8"),
        (&[(b"__name__", b"x"), (b"a", b"\xed\xa0\x80")], "{__name__=\"x\"", "not valid UTF-8"),
        (&[(b"__name__", b"x"), (&long_name, b"1")], "{__name__=\"x\"", "label_name_bytes_max"),
        (&[(b"__name__", b"x"), (b"a", &long_value)], "{__name__=\"x\"", "label_set_bytes_max"),
        (&many, "{l0=\"1\"", "129 labels, the limit is 128 (ingest.labels_max)"),
    ];
    for (number, (labels, named, reason)) in cases.iter().enumerate() {
        let request = vec![series(labels, &[(now, 2.0), (now - 1, 2.0)]), good(number, now)];
        let answer = post(&mut client, request);
        assert_eq!(answer.status, 400, "{reason}: {}", answer.text());
        let mut lines = answer.text().lines();
        assert_eq!(lines.next(), Some("2 samples refused, all others written:"), "{reason}");
        let line = lines.next().expect("the series and the reason");
        assert!(line.contains(named) && line.contains(reason), "{named} {reason} in {line}");
        assert_eq!(good_series(&mut client, now), number + 1, "{reason}: the other series");
    }
    // None of them left anything behind.
    let all = client.get(&instant("{__name__=~\".+\",__name__!=\"good\"}", now)).data();
    assert_eq!(all["result"], serde_json::json!([]));
    let metrics = client.get("/metrics");
    let line =
        format!("m3rs_write_refused_samples_total{{reason=\"labels\"}} {}\n", 2 * cases.len());
    assert!(metrics.text().contains(&line), "{line}");
}

#[test]
fn labels_in_any_order_are_one_series() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let now = now_ms();
    let orders: [&[(&str, &str)]; 3] = [
        &[("__name__", "good"), ("a", "1"), ("b", "2")],
        &[("b", "2"), ("a", "1"), ("__name__", "good")],
        // An empty value is an absent label.
        &[("empty", ""), ("b", "2"), ("__name__", "good"), ("a", "1")],
    ];
    for (i, labels) in (0..).zip(orders) {
        assert_eq!(post(&mut client, vec![series(labels, &[(now - i, 1.0)])]).status, 204);
    }
    let found = found_series(&client.get(&instant("good[1m]", now)).data());
    assert_eq!(found.len(), 1, "{found:?}");
    let (labels, samples) = found.first_key_value().expect("a series");
    assert_eq!((labels.len(), samples.len()), (3, 3), "{found:?}");
}

#[test]
fn times_outside_retention_are_told_and_the_others_written() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(home.path(), &["--retention", "2d"]);
    let mut client = server.client();
    let now = now_ms();
    let times = [now - 3 * DAY_MS, now - DAY_MS, now + 5 * 60_000, now + DAY_MS, FAR_MS, -FAR_MS];
    let samples: Vec<(i64, f64)> = times.iter().map(|t| (*t, 1.0)).collect();
    let request = vec![series(&[("__name__", "some"), ("job", "a")], &samples), good(0, now)];
    for t in [i64::MIN, i64::MIN + 1, i64::MAX / 1_000_000 + 1, i64::MAX] {
        let answer = post(&mut client, vec![series(&[("__name__", "some")], &[(t, 1.0)])]);
        assert_eq!(answer.status, 400, "{t}: {}", answer.text());
    }
    let answer = post(&mut client, request);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert_eq!(lines[0], "4 samples refused, all others written:");
    for (line, (t, why)) in lines[1..].iter().zip([
        (times[0], "the oldest time that is kept"),
        (times[3], "the latest time that is taken now"),
        (times[4], "the latest time that is taken now"),
        (times[5], "the oldest time that is kept"),
    ]) {
        let told = format!("{{__name__=\"some\", job=\"a\"}}: timestamp {t} ms is ");
        assert!(line.starts_with(&told) && line.ends_with(why), "{told} … {why} in {line}");
    }
    assert_eq!(good_series(&mut client, now), 1);
    let kept = found_series(&client.get(&instant("some[10d]", now + DAY_MS)).data());
    let kept: Vec<i64> = kept.into_values().flatten().map(|(t, _)| t).collect();
    assert_eq!(kept, [times[1], times[2]]);
}

#[test]
fn bodies_that_are_no_request_are_refused_whole() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let now = now_ms();
    let message = WriteRequest { timeseries: vec![good(0, now)], metadata: Vec::new() };
    let message = message.encode_to_vec();
    let cut = &message[..message.len() - 1];
    let packed = compress(&message);
    let mut flipped = packed.clone();
    *flipped.last_mut().expect("bytes") ^= 0x55;
    flipped[0] ^= 1;
    // Claims 4 GiB less 1, and holds nothing.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let too_large = vec![0; (32 << 20) + 1];
    for (name, body, status, says) in [
        ("no body", &b""[..], 400, "cannot decompress"),
        ("no snappy", b"GET / HTTP/1.1", 400, "cannot decompress"),
        ("framed snappy", b"\xff\x06\x00\x00sNaPpY", 400, "cannot decompress"),
        ("a bit flipped", &flipped, 400, "cannot decompress"),
        ("half of snappy", &packed[..packed.len() / 2], 400, "cannot decompress"),
        ("not packed", &message, 400, "cannot decompress"),
        ("half of protobuf", &compress(cut), 400, "cannot decode"),
        ("no protobuf", &compress(b"\xff\xff\xff\xff"), 400, "cannot decode"),
        ("a bomb", &bomb, 400, "ingest.decoded_bytes_max"),
        ("a large one unpacked", &compress(&too_large), 400, "ingest.decoded_bytes_max"),
        ("a large one", &too_large, 400, "ingest.body_bytes_max"),
    ] {
        let answer = client.post(PATH, HEADERS, body);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.text().contains(says), "{name}: {}", answer.text());
        assert!(answer.text().len() < 300, "{name}: {}", answer.text());
    }
    assert_eq!(good_series(&mut client, now), 0, "nothing of a broken request is written");
    assert_eq!(client.post(PATH, HEADERS, &packed).status, 204);
    assert_eq!(good_series(&mut client, now), 1);
}

#[test]
fn other_types_and_encodings_are_not_supported() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let now = now_ms();
    let body = body(vec![good(0, now)]);
    for (content_type, encoding, says) in [
        ("application/json", "snappy", "application/json"),
        ("text/plain", "snappy", "text/plain"),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy", "v3.Request"),
        ("application/x-protobuf", "gzip", "gzip"),
        ("application/x-protobuf", "identity", "identity"),
    ] {
        let headers = [("Content-Type", content_type), ("Content-Encoding", encoding)];
        let answer = client.post(PATH, &headers, &body);
        assert_eq!(answer.status, 415, "{content_type} {encoding}: {}", answer.text());
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(good_series(&mut client, now), 0);
    assert_eq!(client.post(PATH, HEADERS, &body).status, 204);
}

#[test]
fn the_limit_of_series_refuses_new_ones_only() {
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("m3rs.yml");
    write_text(&config, "limits:\n  series_max: 10\n");
    let server = Server::start_with(home.path(), &["--config", &config.to_string_lossy()]);
    let mut client = server.client();
    let now = now_ms();
    let first = (0..10).map(|i| good(i, now)).collect();
    assert_eq!(post(&mut client, first).status, 204);
    let answer = post(&mut client, vec![good(0, now + 1), good(10, now), good(9, now + 1)]);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(lines[0], "1 samples refused, all others written:");
    let told = "{__name__=\"good\", number=\"10\"}: the limit of 10 ";
    assert!(lines[1].starts_with(told) && lines[1].contains("limits.series_max"), "{}", lines[1]);
    let data = client.get(&instant("sum(count_over_time(good[1m]))", now + 1)).data();
    assert_eq!(data["result"][0]["value"][1], "12", "known series are written");
}
