//! The bodies that a page names and cannot show, as they are in protobuf and snappy.

use prost::Message;

use crate::generated::metric_metadata::MetricType;
use crate::generated::{BucketSpan, Exemplar, Histogram, Label, MetricMetadata, histogram};
use crate::generated2 as v2;
use crate::messages::{body, compress, request, series};
use crate::read_messages::{LabelMatcher, Query, QueryResult, ReadRequest, ReadResponse};

/// The time of the samples on the pages.
const T_MS: i64 = 1_795_277_306_673;

/// Whether two bodies in snappy have the same contents, which may be compressed in other ways.
pub(crate) fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let contents = |body| snap::raw::Decoder::new().decompress_vec(body);
    matches!((contents(a), contents(b)), (Ok(a), Ok(b)) if a == b)
}

/// The bytes of a text that is a body, or the name of one after `@`, as curl has it.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix('@') {
        Some(name) => named(name),
        None => text.as_bytes().to_vec(),
    }
}

fn named(name: &str) -> Vec<u8> {
    let up = |job: &str, value| series(&[("__name__", "up"), ("job", job)], &[(T_MS, value)]);
    match name {
        "write.snappy" => {
            let minutes = [(5, 60.0), (4, 120.0), (3, 180.0), (2, 240.0), (1, 300.0), (0, 360.0)];
            let samples = minutes.map(|(ago, value)| (T_MS - ago * 60_000, value));
            let labels = [("__name__", "http_requests_total"), ("job", "api")];
            let mut requests = series(&labels, &samples);
            let trace = Label { name: "trace_id".into(), value: "4bf92f3577b34da6".into() };
            requests.exemplars =
                vec![Exemplar { labels: vec![trace], value: 2.5, timestamp: T_MS }];
            let mut message = request(vec![up("node", 1.0), up("etcd", 0.0), requests]);
            message.metadata = vec![MetricMetadata {
                r#type: MetricType::Gauge.into(),
                metric_family_name: "up".to_owned(),
                help: "Whether the last scrape worked.".to_owned(),
                unit: String::new(),
            }];
            body(&message)
        }
        "histogram.snappy" => {
            let mut requests = series(&[("__name__", "requests"), ("job", "node")], &[]);
            requests.histograms = vec![Histogram {
                count: Some(histogram::Count::CountInt(6)),
                sum: 2.5,
                schema: -53,
                custom_values: vec![0.5],
                positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
                positive_deltas: vec![2, 2],
                timestamp: T_MS,
                ..Histogram::default()
            }];
            body(&request(vec![requests]))
        }
        "nameless.snappy" => body(&request(vec![series(&[("job", "x")], &[(T_MS, 1.0)])])),
        "write-2.snappy" => {
            let symbols = ["", "__name__", "temperature", "city", "Kyiv"].map(str::to_owned);
            let sample = v2::Sample { value: 7.5, timestamp: T_MS, start_timestamp: 0 };
            let series = v2::TimeSeries {
                labels_refs: vec![1, 2, 3, 4],
                samples: vec![sample],
                ..v2::TimeSeries::default()
            };
            let message = v2::Request { symbols: symbols.to_vec(), timeseries: vec![series] };
            compress(&message.encode_to_vec())
        }
        "read.snappy" => {
            let equals = LabelMatcher { r#type: 0, name: "__name__".into(), value: "up".into() };
            let query = Query {
                start_timestamp_ms: T_MS - 60_000,
                end_timestamp_ms: T_MS,
                matchers: vec![equals],
                hints: None,
            };
            let message = ReadRequest { queries: vec![query], accepted_response_types: vec![0] };
            compress(&message.encode_to_vec())
        }
        "read-answer.snappy" => {
            let timeseries = vec![series(
                &[("__name__", "up"), ("instance", "node:9100"), ("job", "node")],
                &[(T_MS, 1.0)],
            )];
            let message = ReadResponse { results: vec![QueryResult { timeseries }] };
            compress(&message.encode_to_vec())
        }
        _ => panic!("nothing makes a body @{name}"),
    }
}
