//! OTLP over gRPC: frames, compression, statuses.

use axum::body::Body;
use http::Request;
use prost::Message;

use crate::client::{Answer, get, send};
use crate::fakes::World;
use crate::generated_otlp as proto;
use crate::otlp::{NOW_NS, gauge, gzip, labels, metric, number, request};
use proto::NumberDataPoint;
use proto::number_data_point::Value as Number;

pub(crate) fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("short");
    let len = [24, 16, 8, 0].map(|bits| (len >> bits) as u8);
    [&[flag][..], &len, message].concat()
}

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Calls the method; trailers are among the headers of the answer.
pub(crate) async fn call(world: &World, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(EXPORT).header("content-type", "application/grpc+proto");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&world.grpc, request.body(Body::from(body)).expect("valid")).await
}

#[tokio::test]
async fn calls_of_grpc_are_answered() {
    let world = World::new();
    let late = NumberDataPoint { time_unix_nano: 2 * NOW_NS, ..number(&[], Number::AsInt(1)) };
    let body = request(vec![metric("m", "", gauge(vec![number(&[], Number::AsInt(1)), late]))])
        .encode_to_vec();
    for (flag, message, encoding) in [
        (0, body.clone(), "identity"),
        (1, gzip(&body), "gzip"),
        (1, zstd::bulk::compress(&body, 1).expect("short"), "zstd"),
    ] {
        let answer = call(&world, frame(flag, &message), &[("grpc-encoding", encoding)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "0"));
        assert_eq!(answer.header("content-type"), "application/grpc");
        let response = proto::ExportMetricsServiceResponse::decode(&answer.body[5..]);
        let partial = response.expect("an answer").partial_success.expect("one was refused");
        assert_eq!(partial.rejected_data_points, 1);
    }
    assert_eq!(world.samples(&labels("m", &[])).len(), 3);
    for (body, encoding, code) in [
        (frame(0, b"hello"), "identity", "3"),
        (frame(1, b"hello"), "gzip", "3"),
        (frame(1, &body), "identity", "3"),
        (b"\0\0\0".to_vec(), "identity", "3"),
        (frame(0, &body), "snappy", "12"),
        (frame(1, &gzip(&vec![0; (32 << 20) + 1])), "gzip", "8"),
        (frame(0, &vec![0; 33 << 20]), "identity", "8"),
    ] {
        let answer = call(&world, body, &[("grpc-encoding", encoding)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, code));
        assert!(answer.body.is_empty() && answer.header("grpc-status-details-bin").is_empty());
    }
    let request = Request::post("/no.such/Method").header("content-type", "application/grpc");
    let answer = send(&world.grpc, request.body(Body::empty()).expect("valid")).await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "12"));
    let plain = Request::post(EXPORT).body(Body::empty()).expect("valid");
    assert_eq!(send(&world.grpc, plain).await.status.as_u16(), 415);
    let metrics = get(&world.router, "/metrics").await;
    assert!(metrics.text().contains("m3rs_otlp_grpc_requests_total{code=\"OK\"} 3\n"));
}
