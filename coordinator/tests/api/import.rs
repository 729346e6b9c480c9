//! Bodies of lines: JSON lines, CSV, the text format and OpenMetrics; how bodies come, and how much
//! of them is kept.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::write::StoreError;

use crate::client::{Answer, get, send};
use crate::fakes::{NOW_MS, World};

const JSON: &str = "/api/v1/import";
const TEXT: &str = "/api/v1/import/prometheus";

pub(crate) async fn post(world: &World, path: &str, body: impl Into<Body>) -> Answer {
    post_with(world, path, &[], body).await
}

pub(crate) async fn post_with(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&world.router, request.body(body.into()).expect("valid")).await
}

fn series(name: &str) -> [(&str, &str); 1] {
    [("__name__", name)]
}

#[tokio::test]
async fn json_lines_are_written() {
    for path in [JSON, "/prometheus/api/v1/import"] {
        let world = World::new();
        let body = "{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},\"values\":[1,2],\
                    \"timestamps\":[5,6]}\n";
        let answer = post(&world, path, body).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(world.samples(&[("__name__", "up"), ("job", "a")]), [(5, 1.0), (6, 2.0)]);
    }
}

#[tokio::test]
async fn labels_of_the_request_stand_above_those_of_lines() {
    let world = World::new();
    let path = format!("{TEXT}?extra_label=job=b&extra_label=x=y=z&timestamp=77");
    assert_eq!(post(&world, &path, "up{job=\"a\"} 1").await.status, 204);
    let labels = [("__name__", "up"), ("job", "b"), ("x", "y=z")];
    assert_eq!(world.samples(&labels), [(77, 1.0)]);
    for (query, says) in [
        ("extra_label=x", "is not name=value"),
        ("extra_label==x", "is not name=value"),
        ("timestamp=soon", "invalid syntax"),
        ("x=%zz", "invalid URL escape"),
    ] {
        let answer = post(&world, &format!("{TEXT}?{query}"), "up 1").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
}

#[tokio::test]
async fn text_and_open_metrics_are_told_apart_by_their_type() {
    let world = World::new();
    let body = "# TYPE a counter\na_total 1 1.5\na_created 0.5\n# EOF\n";
    let open = [("content-type", "application/openmetrics-text; version=1.0.0")];
    assert_eq!(post_with(&world, TEXT, &open, body).await.status, 204);
    assert_eq!(world.samples(&series("a_total")), [(1500, 1.0)]);
    assert_eq!(*world.store.starts.lock(), [(1500, 500)]);
    assert_eq!(post(&world, TEXT, body).await.status, 204);
    assert_eq!(world.samples(&series("a_created")), [(NOW_MS, 0.5)]);
    let metadata = get(&world.router, "/api/v1/metadata").await;
    assert_eq!(metadata.json()["data"]["a"][0]["type"], "counter");
}

#[tokio::test]
async fn pushes_have_labels_in_their_path() {
    let world = World::new();
    for method in [Method::POST, Method::PUT] {
        let path = format!("{TEXT}/metrics/job/batch/instance@base64/YS9i");
        let request = Request::builder().method(method).uri(path);
        let answer = send(&world.router, request.body("done 1 5".into()).expect("valid")).await;
        assert_eq!(answer.status, StatusCode::OK, "as the Pushgateway answers");
    }
    let labels = [("__name__", "done"), ("instance", "a/b"), ("job", "batch")];
    assert_eq!(world.samples(&labels), [(5000, 1.0), (5000, 1.0)]);
    let bad = post(&world, &format!("{TEXT}/metrics/job/a/b"), "done 1").await;
    assert_eq!((bad.status.as_u16(), bad.text()), (400, "the label \"b\" has no value\n"));
}

#[tokio::test]
async fn csv_is_written_as_its_format_says() {
    let world = World::new();
    let format = "format=1:metric:a,2:label:b,3:time:unix_ms";
    let path = format!("/api/v1/import/csv?{format}&extra_label=c=d");
    assert_eq!(post(&world, &path, "1,x,5\n2,y,6\n").await.status, 204);
    let labels = [("__name__", "a"), ("b", "y"), ("c", "d")];
    assert_eq!(world.samples(&labels), [(6, 2.0)]);
    let answer = post(&world, "/prometheus/api/v1/import/csv", "1").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("invalid parameter \"format\""), "{}", answer.text());
}

#[tokio::test]
async fn bad_lines_are_told_and_the_others_written() {
    let world = World::new();
    let answer = post(&world, TEXT, "a 1\nb\nc{x=\"1\",x=\"2\"} 1\nd 1 -5\ne 1\n").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.text(),
        "3 samples refused, all others written:\n\
         line 2: no value\n\
         {__name__=\"c\", x=\"1\", x=\"2\"}: duplicate label name \"x\"\n\
         {__name__=\"d\"}: timestamp -5000 ms is before 0 ms, the oldest time that is kept\n"
    );
    assert_eq!(world.samples(&series("e")), [(NOW_MS, 1.0)]);
    let metrics = get(&world.router, "/metrics").await;
    for line in [
        "m3rs_write_samples_total 2\n",
        "m3rs_write_refused_samples_total{reason=\"malformed\"} 1\n",
        "m3rs_write_refused_samples_total{reason=\"labels\"} 1\n",
        "m3rs_write_refused_samples_total{reason=\"too_old\"} 1\n",
    ] {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
}

fn packed(encoding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    match encoding {
        "gzip" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            gzip.write_all(text).expect("memory");
            gzip.finish().expect("memory")
        }
        "deflate" => {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
            zlib.write_all(text).expect("memory");
            zlib.finish().expect("memory")
        }
        "zstd" => zstd::bulk::compress(text, 1).expect("short"),
        "snappy" => snap::raw::Encoder::new().compress_vec(text).expect("short"),
        _ => text.to_vec(),
    }
}

/// Pieces of a body, its length untold.
fn pieces(bytes: &[u8], size: usize) -> Body {
    Body::new(Frames(bytes.chunks(size).map(Bytes::copy_from_slice).collect()))
}

struct Frames(VecDeque<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn long_bodies_are_written_piece_by_piece() {
    let mut limits = Limits::default();
    limits.write.piece_bytes_max = 1000;
    limits.write.line_bytes_max = 100;
    let text: String = (0..2000).map(|i| format!("a{{i=\"{}\"}} {i} {i}\n", i % 7)).collect();
    for encoding in ["identity", "gzip", "deflate", "zstd", "snappy"] {
        let body = packed(encoding, text.as_bytes());
        for size in [7, 4000] {
            let world = World::with_limits(limits);
            let headers = [("content-encoding", encoding)];
            let answer = post_with(&world, TEXT, &headers, pieces(&body, size)).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{encoding}");
            let samples = world.samples(&[("__name__", "a"), ("i", "3")]);
            assert_eq!(samples.len(), 286, "{encoding}");
            assert_eq!(samples[285], (1998 * 1000, 1998.0), "{encoding}");
        }
    }
    let world = World::with_limits(limits);
    let answer = post_with(&world, TEXT, &[("content-encoding", "br")], "a 1").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_line_at_the_limit_is_written_and_a_longer_one_refused() {
    let mut limits = Limits::default();
    limits.write.line_bytes_max = 20;
    limits.write.piece_bytes_max = 30;
    let (fits, over) = ("b 1 12345678         ", "c 1 123456789         ");
    assert_eq!((fits.len(), over.len()), (21, 22));
    let fits = &fits[..20];
    let body = format!("a 1 5000\n{fits}\n{over}\n{}\nd 1 6000\n{over}", "x".repeat(300));
    for size in [1, 9, 1000] {
        let world = World::with_limits(limits);
        let answer = post(&world, TEXT, pieces(body.as_bytes(), size)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            answer.text(),
            "3 samples refused, all others written:\n\
             line 3: longer than 20 bytes (ingest.line_bytes_max)\n\
             line 4: longer than 20 bytes (ingest.line_bytes_max)\n\
             line 6: longer than 20 bytes (ingest.line_bytes_max)\n"
        );
        for name in ["a", "b", "d"] {
            assert_eq!(world.samples(&series(name)).len(), 1, "{name} by {size}");
        }
        assert!(world.samples(&series("c")).is_empty());
    }
}

#[tokio::test]
async fn broken_and_exploding_bodies_end_with_a_reason() {
    let mut limits = Limits::default();
    limits.write.line_bytes_max = 1000;
    limits.write.piece_bytes_max = 1000;
    let line = "a 1 5\n";
    for encoding in ["gzip", "deflate", "zstd", "snappy"] {
        let headers = [("content-encoding", encoding)];
        let mut cut = packed(encoding, line.repeat(1000).as_bytes());
        cut.truncate(cut.len() - 2);
        for body in [cut, b"\xff\xff\xff\xff\xff\xff\xff".to_vec()] {
            let world = World::with_limits(limits);
            let answer = post_with(&world, TEXT, &headers, pieces(&body, 10)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{encoding}: {}", answer.text());
            assert_eq!(answer.header("connection"), "close");
        }
        // 20 MB of one line: the line is refused, its memory was never taken.
        if encoding != "snappy" {
            let bomb = packed(encoding, &vec![b'x'; 20 << 20]);
            let world = World::with_limits(limits);
            let answer = post_with(&world, TEXT, &headers, bomb).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(answer.text().contains("line 1: longer than 1000 bytes"), "{}", answer.text());
        }
    }
    let world = World::with_limits(limits);
    let huge = [0xff, 0xff, 0xff, 0x7f, 0x00];
    let headers = [("content-encoding", "snappy")];
    let answer = post_with(&world, TEXT, &headers, huge.to_vec()).await;
    assert!(answer.text().contains("ingest.decoded_bytes_max"), "{}", answer.text());
}

#[tokio::test]
async fn a_label_of_ten_megabytes_is_refused_by_name() {
    let world = World::new();
    let value = "x".repeat(10_000_000);
    let body = format!("a 1 5\nb{{long=\"{value}\"}} 1 5\nc 1 5\n");
    let answer = post(&world, TEXT, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("ingest.label_set_bytes_max"), "{}", answer.text());
    assert!(answer.text().len() < 1000);
    assert_eq!(world.samples(&series("c")), [(5000, 1.0)]);
}

#[tokio::test]
async fn storage_failures_and_overload_say_whether_to_come_again() {
    let mut limits = Limits::default();
    limits.write.in_flight_max = 1;
    limits.write.piece_bytes_max = 10;
    let world = World::with_limits(limits);
    *world.store.fail_commit.lock() = Some(StoreError::unavailable("no luck"));
    let answer = post(&world, TEXT, "a 1 5\n").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "no luck\n"));
    assert_eq!(answer.header("retry-after"), "1");
    *world.store.fail_commit.lock() = None;
    world.store.fail_durable.store(true, Ordering::Relaxed);
    let answer = post(&world, TEXT, "a 1 5\n").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    world.store.fail_durable.store(false, Ordering::Relaxed);

    world.store.durable.forget_permits(usize::MAX);
    let mut first = Box::pin(post(&world, TEXT, "a 1 5\nb 1 5\nc 1 5\n"));
    let waits = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending()));
    assert!(waits.await, "answered before it was durable");
    let second = post(&world, TEXT, "d 1 5\n").await;
    assert_eq!((second.status.as_u16(), second.header("retry-after")), (503, "1"));
    assert!(second.text().contains("ingest.in_flight_max"), "{}", second.text());
    world.store.durable.add_permits(10);
    assert_eq!(first.await.status, 204);
    world.control.ready.store(false, Ordering::Relaxed);
    assert_eq!(post(&world, TEXT, "a 1 5\n").await.status, 503);
}

#[tokio::test]
async fn new_series_that_come_too_fast_are_told_to_come_again() {
    let world = World::new();
    world.store.series_too_fast.store(true, Ordering::Relaxed);
    let answer = post(&world, TEXT, "a 1 5\n").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "1"));
}

/// An earlier piece is durable, a later one fails: the answer says how far it went.
#[tokio::test]
async fn a_body_that_breaks_midway_says_what_is_written() {
    let mut limits = Limits::default();
    limits.write.piece_bytes_max = 100;
    let world = World::with_limits(limits);
    let mut body = packed("gzip", "a 1 5\n".repeat(100_000).as_bytes());
    body.truncate(body.len() - 9);
    let headers = [("content-encoding", "gzip")];
    let answer = post_with(&world, TEXT, &headers, pieces(&body, 50)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("samples before it are written"), "{}", answer.text());
    assert!(!world.samples(&series("a")).is_empty());
}

#[tokio::test]
async fn empty_bodies_are_no_errors() {
    let world = World::new();
    for path in [JSON, TEXT, "/api/v1/import/csv?format=1:metric:a", "/write", "/api/v2/write"] {
        assert_eq!(post(&world, path, "").await.status, 204, "{path}");
        assert_eq!(post(&world, path, "\n\r\n").await.status, 204, "{path}");
    }
}
