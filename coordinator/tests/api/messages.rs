//! Requests as senders make them.

use prost::Message;

pub(crate) use crate::generated::{
    Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
};

/// A series with the given labels and samples `(ms, value)`.
pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let labels = labels
        .iter()
        .map(|(n, v)| Label { name: (*n).to_owned(), value: (*v).to_owned() })
        .collect();
    let samples = samples.iter().map(|&(timestamp, value)| Sample { value, timestamp }).collect();
    TimeSeries { labels, samples, ..TimeSeries::default() }
}

/// A request of these series.
pub(crate) fn request(timeseries: Vec<TimeSeries>) -> WriteRequest {
    WriteRequest { timeseries, metadata: Vec::new() }
}

/// The body of a request: encoded and compressed.
pub(crate) fn body(request: &WriteRequest) -> Vec<u8> {
    compress(&request.encode_to_vec())
}

/// A snappy block.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("fits")
}
