//! Remote Write 1.0 requests, as far as stories need them.

use prost::Message;

use crate::http_client::{Answer, Client};

/// Where Prometheus sends to.
pub(crate) const PATH: &str = "/api/v1/write";

/// Headers of a proper request.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

/// One request. Names and values are bytes here, so that stories can send what is not UTF-8.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) metadata: Vec<MetricMetadata>,
}

/// A series and its samples.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
}

/// A name and its value.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// The bits of a value, which go as a double on the wire, at a time in milliseconds.
///
/// As a `double`, a negative zero would count as a zero and be left out.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Sample {
    #[prost(fixed64, tag = "1")]
    pub(crate) value: u64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
}

/// What a metric family means; type 1 is a counter, 2 a gauge.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct MetricMetadata {
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(string, tag = "2")]
    pub(crate) family: String,
    #[prost(string, tag = "4")]
    pub(crate) help: String,
    #[prost(string, tag = "5")]
    pub(crate) unit: String,
}

/// A series with labels in the order given and samples `(ms, value)`.
pub(crate) fn series<N, V>(labels: &[(N, V)], samples: &[(i64, f64)]) -> TimeSeries
where
    N: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let label = |(name, value): &(N, V)| Label {
        name: name.as_ref().to_vec(),
        value: value.as_ref().to_vec(),
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples
            .iter()
            .map(|&(timestamp, value)| Sample { value: value.to_bits(), timestamp })
            .collect(),
    }
}

/// The body of a request: encoded and compressed.
pub(crate) fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    compress(&WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec())
}

/// A snappy block.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("bytes that fit into a snappy block")
}

/// Writes series; all of it must be taken.
pub(crate) fn write(client: &mut Client, timeseries: Vec<TimeSeries>) {
    let answer = post(client, timeseries);
    assert_eq!((answer.status, answer.text()), (204, ""));
}

/// Writes series and returns what the server said.
pub(crate) fn post(client: &mut Client, timeseries: Vec<TimeSeries>) -> Answer {
    client.post(PATH, HEADERS, &body(timeseries))
}
