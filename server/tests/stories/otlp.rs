//! A service sends OTLP to the built program over HTTP and over gRPC, as protobuf and as JSON, and
//! finds it by PromQL; deltas are added up, and begin anew after a restart.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use m3rs_core::net::{Net, TcpNet};
use prost::Message;
use serde_json::json;

use crate::deadline::now_ms;
use crate::generated_otlp as proto;
use crate::http_client::Client;
use crate::query_url::instant;
use crate::server::Server;
use proto::metric::Data;

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const PROTOBUF: &[(&str, &str)] = &[("Content-Type", "application/x-protobuf")];
const DELTA: i32 = 1;

#[test]
fn otlp_is_found_by_promql() {
    let home = tempfile::tempdir().expect("a directory");
    let t = now_ms() - 60_000;
    let server = Server::start_with(home.path(), &["--otlp-grpc", "127.0.0.1:0"]);
    let (mut client, grpc) = (server.client(), grpc_address(&server.banner()));

    let body = request(vec![counter(DELTA, t, 5), counter(DELTA, t + 1000, 3)]);
    let answer = client.post("/v1/metrics", PROTOBUF, &body);
    assert_eq!((answer.status, answer.text()), (200, ""));
    let (status, trailers) = export(grpc, &request(vec![counter(DELTA, t + 2000, 4), native(t)]));
    assert_eq!((status, &trailers[..]), (200, "0"));
    check(&mut client, "requests_total", t + 2000, "12");
    check(&mut client, "histogram_count(took_seconds)", t, "3");
    check(&mut client, "histogram_sum(took_seconds)", t, "4.5");
    let info = "requests_total * on (job) group_left (host_name) target_info{host_name=\"h\"}";
    check(&mut client, info, t + 2000, "12");
    let (_, trailers) = export(grpc, b"no message");
    assert_eq!(trailers, "3", "INVALID_ARGUMENT");

    let json = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"level\",\"gauge\":\
         {{\"dataPoints\":[{{\"timeUnixNano\":\"{t}000000\",\"asDouble\":1.5}}]}}}}]}}]}}]}}"
    );
    let headers = &[("Content-Type", "application/json")];
    let answer = client.post("/api/v1/otlp/v1/metrics", headers, json.as_bytes());
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    check(&mut client, "level", t, "1.5");
    server.kill();

    let server = Server::start(home.path());
    let mut client = server.client();
    check(&mut client, "requests_total", t + 2000, "12");
    let answer = client.post("/v1/metrics", PROTOBUF, &request(vec![counter(DELTA, t + 9000, 2)]));
    assert_eq!(answer.status, 200);
    check(&mut client, "requests_total", t + 9000, "2");
    check(&mut client, "resets(requests_total[30s])", t + 9000, "1");
}

/// The address of gRPC in a banner.
fn grpc_address(banner: &str) -> SocketAddr {
    let line = banner.lines().find(|line| line.trim_start().starts_with("OTLP"));
    let (_, rest) = line.and_then(|line| line.split_once("http://")).expect("a line of OTLP");
    let address = rest.split_whitespace().next().expect("an address");
    address.parse().expect("an address")
}

fn check(client: &mut Client, query: &str, t: i64, wanted: &str) {
    let data = client.get(&instant(query, t)).data();
    assert_eq!(data["result"][0]["value"][1], wanted, "{query}: {data}");
}

fn text(key: &str, text: &str) -> proto::KeyValue {
    let value = proto::any_value::Value::StringValue(text.to_owned());
    let value = Some(proto::AnyValue { value: Some(value) });
    proto::KeyValue { key: key.to_owned(), value }
}

fn ns(ms: i64) -> u64 {
    u64::try_from(ms).expect("after 1970") * 1_000_000
}

fn counter(temporality: i32, t: i64, value: i64) -> proto::Metric {
    let point = proto::NumberDataPoint {
        start_time_unix_nano: ns(t - 1000),
        time_unix_nano: ns(t),
        value: Some(proto::number_data_point::Value::AsInt(value)),
        ..proto::NumberDataPoint::default()
    };
    let sum = proto::Sum {
        data_points: vec![point],
        aggregation_temporality: temporality,
        is_monotonic: true,
    };
    proto::Metric { name: "requests".into(), data: Some(Data::Sum(sum)), ..Default::default() }
}

fn native(t: i64) -> proto::Metric {
    let point = proto::ExponentialHistogramDataPoint {
        time_unix_nano: ns(t),
        count: 3,
        sum: Some(4.5),
        scale: 3,
        positive: Some(proto::Buckets { offset: 1, bucket_counts: vec![1, 2] }),
        ..Default::default()
    };
    let histogram =
        proto::ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    proto::Metric {
        name: "took".into(),
        unit: "s".into(),
        data: Some(Data::ExponentialHistogram(histogram)),
        ..Default::default()
    }
}

fn request(metrics: Vec<proto::Metric>) -> Vec<u8> {
    let attributes = vec![text("service.name", "story"), text("host.name", "h")];
    let scope = proto::ScopeMetrics { metrics, ..Default::default() };
    let resource = proto::ResourceMetrics {
        resource: Some(proto::Resource { attributes }),
        scope_metrics: vec![scope],
        ..Default::default()
    };
    proto::ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
}

/// One call: the status of HTTP and that of gRPC.
fn export(address: SocketAddr, message: &[u8]) -> (u16, String) {
    let mut frame = vec![0];
    let length = u32::try_from(message.len()).expect("short");
    frame.extend((0..4).rev().map(|i| (length >> (8 * i)) as u8));
    frame.extend_from_slice(message);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let stream = TcpNet.connect(address).await.expect("it listens");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("it speaks HTTP/2");
        let call = async {
            let request = hyper::Request::post(format!("http://{address}{EXPORT}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::new(Bytes::from(frame)))
                .expect("a request");
            let response = sender.send_request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("a whole answer");
            let in_trailers = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
            let status = in_trailers.or(parts.headers.get("grpc-status")).expect("a status");
            (parts.status.as_u16(), status.to_str().expect("text").to_owned())
        };
        tokio::select! {
            answer = call => answer,
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    })
}
