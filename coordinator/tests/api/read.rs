//! Remote read: samples, streamed chunks, M3's JSON, and what is refused.

use axum::body::Body;
use crc32c::crc32c;
use http::{Method, Request, StatusCode};
use m3rs_coordinator::limits::{Limits, RemoteReadLimits};
use m3rs_core::model::STALE_NAN;
use prost::Message;
use serde_json::json;

use crate::chunk_reader::{floats, histograms};
use crate::client::{Answer, get, post_write, send};
use crate::fakes::{NOW_MS, World};
use crate::generated::histogram::{Count, ZeroCount};
use crate::generated::{BucketSpan, Label};
use crate::messages::{Histogram, body, compress, request, series};
use crate::read_messages::{
    ChunkedReadResponse, LabelMatcher, Query, ReadHints, ReadRequest, ReadResponse,
};

const READ: &str = "/api/v1/read";
const M3: &str = "/api/v1/prom/remote/read";
const ALL_PATHS: [&str; 3] = [READ, "/prometheus/api/v1/read", M3];

const SAMPLES: i32 = 0;
const CHUNKS: i32 = 1;

fn matcher(r#type: u64, name: &str, value: &str) -> LabelMatcher {
    LabelMatcher { r#type, name: name.to_owned(), value: value.to_owned() }
}

fn query(start: i64, end: i64, matchers: &[LabelMatcher]) -> Query {
    Query {
        start_timestamp_ms: start,
        end_timestamp_ms: end,
        matchers: matchers.to_vec(),
        hints: None,
    }
}

fn asks(accepted: &[i32], queries: &[Query]) -> ReadRequest {
    ReadRequest { queries: queries.to_vec(), accepted_response_types: accepted.to_vec() }
}

async fn post(world: &World, path: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(path)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("accept-encoding", "gzip, snappy")
        .header("x-prometheus-remote-read-version", "0.1.0")
        .body(Body::from(body))
        .expect("valid");
    send(&world.router, request).await
}

async fn read(world: &World, path: &str, request: &ReadRequest) -> Answer {
    post(world, path, compress(&request.encode_to_vec())).await
}

fn samples(answer: &Answer) -> ReadResponse {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    assert_eq!(answer.header("content-encoding"), "snappy");
    let plain = snap::raw::Decoder::new().decompress_vec(&answer.body).expect("snappy");
    ReadResponse::decode(plain.as_slice()).expect("a response")
}

/// The frames of a stream, checked.
#[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
fn frames(answer: &Answer) -> Vec<(usize, ChunkedReadResponse)> {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", String::from_utf8_lossy(&answer.body));
    assert_eq!(
        answer.header("content-type"),
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    assert_eq!(answer.header("content-encoding"), "");
    let mut rest = answer.body.as_slice();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = usize::try_from(prost::encoding::decode_varint(&mut rest).expect("a length"));
        let (crc, after) = rest.split_at(4);
        let (frame, after) = after.split_at(len.expect("small"));
        assert_eq!(crc, crc32c(frame).to_be_bytes());
        found.push((frame.len(), ChunkedReadResponse::decode(frame).expect("a response")));
        rest = after;
    }
    found
}

fn labels(labels: &[Label]) -> String {
    labels.iter().map(|l| format!("{}={} ", l.name, l.value)).collect()
}

async fn world_of(count: i64, limits: RemoteReadLimits) -> World {
    let world = World::with_limits(Limits { read: limits, ..Limits::default() });
    let all: Vec<(i64, f64)> = (0..count).map(|i| (1000 * i, i as f64 * 0.5)).collect();
    let bytes = body(&request(vec![
        series(&[("__name__", "up"), ("job", "b")], &all),
        series(&[("__name__", "up"), ("job", "a"), ("x", "y")], &[(0, -1.5), (5000, STALE_NAN)]),
        series(&[("__name__", "down"), ("job", "a")], &[(7000, f64::INFINITY)]),
    ]));
    assert_eq!(post_write(&world.router, "/api/v1/write", bytes).await.status, 204);
    world
}

#[tokio::test]
async fn samples_are_read_in_order_of_labels() {
    let world = world_of(4, RemoteReadLimits::default()).await;
    let up = query(0, 2000, &[matcher(0, "__name__", "up")]);
    let none = query(0, 2000, &[matcher(0, "__name__", "nothing")]);
    let not_up = query(0, 9000, &[matcher(1, "__name__", "up"), matcher(2, "job", "a|c")]);
    let not_a = query(3000, 9000, &[matcher(3, "job", "a"), matcher(2, "job", ".+")]);
    let empty = query(0, 9000, &[]);
    let queries = [up, none, not_up, not_a, empty];
    for path in ALL_PATHS {
        for accepted in [&[][..], &[SAMPLES], &[7, SAMPLES, CHUNKS]] {
            let answer = read(&world, path, &asks(accepted, &queries)).await;
            let results = samples(&answer).results;
            let found: Vec<Vec<String>> = results
                .iter()
                .map(|r| r.timeseries.iter().map(|s| labels(&s.labels)).collect())
                .collect();
            let wanted: [&[&str]; 5] = [
                &["__name__=up job=a x=y ", "__name__=up job=b "],
                &[],
                &["__name__=down job=a "],
                &["__name__=up job=b "],
                &[],
            ];
            assert_eq!(found, wanted, "{path} {accepted:?}");
            let points = |result: usize, series: usize| -> Vec<(i64, u64)> {
                let samples = &results[result].timeseries[series].samples;
                samples.iter().map(|s| (s.timestamp, s.value.to_bits())).collect()
            };
            let bits = |samples: &[(i64, f64)]| -> Vec<(i64, u64)> {
                samples.iter().map(|(t, v)| (*t, v.to_bits())).collect()
            };
            assert_eq!(points(0, 0), bits(&[(0, -1.5)]));
            assert_eq!(points(0, 1), bits(&[(0, 0.0), (1000, 0.5), (2000, 1.0)]));
            assert_eq!(points(3, 0), bits(&[(3000, 1.5)]));
        }
    }
}

#[tokio::test]
async fn chunks_are_streamed_series_by_series() {
    let limits = RemoteReadLimits { frame_bytes_max: 500, ..RemoteReadLimits::default() };
    let world = world_of(2000, limits).await;
    let none = query(9, 1, &[matcher(0, "__name__", "up")]);
    let all = query(0, i64::MAX, &[matcher(2, "__name__", ".+")]);
    for path in ALL_PATHS {
        let asked = asks(&[CHUNKS, SAMPLES], &[none.clone(), all.clone()]);
        let answer = read(&world, path, &asked).await;
        let frames = frames(&answer);
        assert!(frames.iter().all(|(len, _)| *len <= 500), "frames keep their limit");
        let mut found: Vec<(String, Vec<(i64, f64)>)> = Vec::new();
        for (_, frame) in &frames {
            assert_eq!((frame.query_index, frame.chunked_series.len()), (1, 1));
            let series = &frame.chunked_series[0];
            let name = labels(&series.labels);
            if found.last().is_none_or(|(last, _)| *last != name) {
                found.push((name, Vec::new()));
            }
            for chunk in &series.chunks {
                assert_eq!(chunk.r#type, 1);
                let samples = floats(&chunk.data);
                let ends = (samples[0].0, samples[samples.len() - 1].0);
                assert_eq!((chunk.min_time_ms, chunk.max_time_ms), ends);
                assert!(samples.len() <= 120);
                found.last_mut().expect("pushed").1.extend(samples);
            }
        }
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = ["__name__=down job=a ", "__name__=up job=a x=y ", "__name__=up job=b "];
        assert_eq!(names, wanted);
        let long: Vec<(i64, f64)> = (0..2000).map(|i| (1000 * i, i as f64 * 0.5)).collect();
        assert_eq!(found[2].1, long);
        assert!(found[1].1[1].1.to_bits() == STALE_NAN.to_bits());
        assert!(frames.len() > 5, "the long series goes over several frames");
    }
}

fn histogram(timestamp: i64, n: u64) -> Histogram {
    Histogram {
        timestamp,
        count: Some(Count::CountInt(3 * n)),
        zero_count: Some(ZeroCount::ZeroCountInt(n)),
        sum: n as f64 / 2.0,
        schema: 1,
        zero_threshold: 0.001,
        positive_spans: vec![BucketSpan { offset: -1, length: 2 }],
        positive_deltas: vec![n.cast_signed(), 0],
        ..Histogram::default()
    }
}

#[tokio::test]
async fn histograms_are_read_among_floats() {
    let world = World::new();
    let mut h = series(&[("__name__", "h")], &[(2500, 7.0)]);
    h.histograms = (1..=4).map(|i| histogram(1000 * i, i.unsigned_abs())).collect();
    // A reset.
    h.histograms.push(histogram(5000, 1));
    let bytes = body(&request(vec![h.clone()]));
    assert_eq!(post_write(&world.router, "/api/v1/write", bytes).await.status, 204);
    let all = query(0, 9000, &[matcher(0, "__name__", "h")]);
    let answer = read(&world, READ, &asks(&[SAMPLES], std::slice::from_ref(&all))).await;
    let found = samples(&answer).results[0].timeseries[0].clone();
    assert_eq!((found.samples, found.histograms), (h.samples, h.histograms));
    let frames = frames(&read(&world, READ, &asks(&[CHUNKS], &[all])).await);
    let chunks = &frames[0].1.chunked_series[0].chunks;
    let kinds: Vec<(i32, i64, i64)> =
        chunks.iter().map(|c| (c.r#type, c.min_time_ms, c.max_time_ms)).collect();
    assert_eq!(kinds, [(2, 1000, 2000), (1, 2500, 2500), (2, 3000, 4000), (2, 5000, 5000)]);
    assert_eq!(histograms(&chunks[2].data)[1].1.sum, 2.0);
    assert_eq!(chunks[3].data[2], 0x80, "the header tells of the reset");
}

#[tokio::test]
async fn hints_leave_out_what_the_client_does_not_need() {
    let world = world_of(4, RemoteReadLimits::default()).await;
    let mut asked = query(0, 9000, &[matcher(0, "job", "b")]);
    let hints = ReadHints { start_ms: 1000, end_ms: 2000, ..ReadHints::default() };
    asked.hints = Some(hints.clone());
    let answer = read(&world, READ, &asks(&[], std::slice::from_ref(&asked))).await;
    assert_eq!(samples(&answer).results[0].timeseries[0].samples.len(), 2);
    asked.hints = Some(ReadHints { func: "series".to_owned(), ..hints });
    let answer = read(&world, READ, &asks(&[], std::slice::from_ref(&asked))).await;
    let found = &samples(&answer).results[0].timeseries;
    assert_eq!((found.len(), found[0].samples.len()), (1, 0));
    assert!(frames(&read(&world, READ, &asks(&[CHUNKS], &[asked])).await).is_empty());
}

#[tokio::test]
async fn limits_hold_at_n_and_not_above() {
    let limits = RemoteReadLimits {
        samples_max: 4,
        series_max: 2,
        queries_max: 2,
        matchers_max: 3,
        body_bytes_max: 400,
        ..RemoteReadLimits::default()
    };
    let world = world_of(4, limits).await;
    let b = query(0, 9000, &[matcher(0, "job", "b")]);
    let two = asks(&[], &[b.clone(), b.clone()]);
    let answer = read(&world, READ, &two).await;
    assert_eq!(samples(&answer).results[1].timeseries[0].samples.len(), 4, "for each query");
    let up = query(0, 9000, &[matcher(0, "__name__", "up")]);
    let all = query(0, 9000, &[matcher(2, "__name__", ".*")]);
    let many = query(0, 9000, &vec![matcher(0, "job", "b"); 4]);
    for (request, wanted) in [
        (
            asks(&[], std::slice::from_ref(&up)),
            "exceeded sample limit (4), set by read.samples_max\n",
        ),
        (asks(&[CHUNKS], &[all]), "query 1: 3 series match, the limit is 2 (read.series_max)\n"),
        (
            asks(&[], &[b.clone(), b.clone(), b]),
            "more than 2 queries in a read request (read.queries_max)\n",
        ),
        (asks(&[], &[many]), "more than 3 matchers in a read request (read.matchers_max)\n"),
    ] {
        let answer = read(&world, READ, &request).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (400, wanted));
        assert!(answer.header("content-type").starts_with("text/plain"));
    }
    // Streams have no limit of samples.
    assert_eq!(frames(&read(&world, READ, &asks(&[CHUNKS], &[up])).await).len(), 2);
    let bomb = compress(&vec![0; 401]);
    assert!(bomb.len() < 100);
    let answer = post(&world, READ, bomb).await;
    let wanted = "the decompressed body has 401 bytes, the limit is 400 (read.body_bytes_max)\n";
    assert_eq!((answer.status.as_u16(), answer.text()), (400, wanted));
    let answer = post(&world, READ, vec![0; 401]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn wrong_requests_are_named() {
    let world = world_of(1, RemoteReadLimits::default()).await;
    for (body, wanted) in [
        (b"no snappy".to_vec(), "cannot decompress the body: "),
        (Vec::new(), "cannot decompress the body: "),
        (compress(b"\x0a\x05\x01"), "cannot decode the read request: "),
        (
            compress(&asks(&[5, 6], &[]).encode_to_vec()),
            "server does not support any of the requested response types: [5, 6]; supported: ",
        ),
        (
            compress(&asks(&[], &[query(0, 1, &[matcher(4, "a", "b")])]).encode_to_vec()),
            "query 1: matcher of label \"a\" has the unknown type 4",
        ),
        (
            compress(&asks(&[], &[query(0, 1, &[matcher(2, "a", "(")])]).encode_to_vec()),
            "query 1: ",
        ),
    ] {
        let answer = post(&world, READ, body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
        assert!(answer.text().starts_with(wanted), "{}", answer.text());
        let answer = post(&world, M3, body).await;
        let error = answer.json();
        assert_eq!((answer.status.as_u16(), &error["status"]), (400, &json!("error")));
        assert!(error["error"].as_str().expect("text").starts_with(wanted), "{error}");
    }
    world.control.ready.store(false, std::sync::atomic::Ordering::Relaxed);
    let answer = read(&world, READ, &asks(&[], &[])).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text(), "storage is not ready: commitlog (25 % done)\n");
    let request = Request::builder().method(Method::GET).uri(READ).body(Body::empty());
    let answer = send(&world.router, request.expect("valid")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn m3_reads_what_a_query_would_and_answers_json() {
    let world = world_of(3, RemoteReadLimits::default()).await;
    // The fake engine's selectors have an offset of 1 s and a range of 60 s.
    let path = format!("{M3}?query=job%3Db%2B__name__%3Ddown&start=60&end=61.5&format=json");
    let answer = get(&world.router, &path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let point = |val: &str, ts: &str| json!({ "val": val, "ts": ts });
    let (start, end) = ("1969-12-31T23:59:59Z", "1970-01-01T00:01:00.5Z");
    assert_eq!(
        answer.json(),
        json!({ "queries": [
            {
                "query": { "matchers": [{ "type": "EQ", "name": "job", "value": "b" }] },
                "start": start, "end": end,
                "series": [{
                    "start": start, "end": end,
                    "tags": [["__name__", "up"], ["job", "b"]],
                    "datapoints": [
                        point("0", "1970-01-01T00:00:00Z"),
                        point("0.5", "1970-01-01T00:00:01Z"),
                        point("1", "1970-01-01T00:00:02Z"),
                    ],
                }],
            },
            {
                "query": { "matchers": [{ "type": "EQ", "name": "__name__", "value": "down" }] },
                "start": start, "end": end,
                "series": [{
                    "start": start, "end": end,
                    "tags": [["__name__", "down"], ["job", "a"]],
                    "datapoints": [point("+Inf", "1970-01-01T00:00:07Z")],
                }],
            },
        ] })
    );
    let asked = asks(&[CHUNKS], &[query(0, NOW_MS, &[matcher(0, "job", "nothing")])]);
    let answer = read(&world, &format!("{M3}?format=json"), &asked).await;
    assert_eq!(answer.json()["queries"][0]["series"], json!([]));
    // Without a form it is a message.
    let answer = get(&world.router, &format!("{M3}?query=job%3Db&start=0&end=9")).await;
    assert_eq!(samples(&answer).results.len(), 1);
    for path in ["?query=a%3Db&start=x&end=1", "?query=a%3Db&end=1", ""] {
        let answer = get(&world.router, &format!("{M3}{path}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["status"].as_str()),
            (400, Some("error"))
        );
    }
}
