//! Series as Remote Write 1.0 carries them, cut into requests in order of time.

use m3rs_core::model::STALE_NAN;
use prost::Message;

use crate::generated::Histogram;
use crate::remote_write::{Label, Sample, compress};

use super::{BIRTH_MS, END_MS};

/// How much time one request holds.
const SLICE_MS: i64 = 10 * 60 * 1000;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

/// A series and its samples.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) histograms: Vec<Histogram>,
}

impl TimeSeries {
    pub(crate) fn push_float(&mut self, timestamp: i64, value: f64) {
        self.samples.push(Sample { value: value.to_bits(), timestamp });
    }

    /// Sorts series by their labels, as both servers do.
    pub(crate) fn order(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect()
    }

    /// Of float samples; labels without a value are left out.
    pub(crate) fn new(labels: &[(&str, String)], samples: &[(i64, f64)]) -> Self {
        let label = |(name, value): &(&str, String)| Label {
            name: name.as_bytes().to_vec(),
            value: value.as_bytes().to_vec(),
        };
        let mut labels: Vec<Label> =
            labels.iter().filter(|(_, value)| !value.is_empty()).map(label).collect();
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let sample =
            |&(timestamp, value): &(i64, f64)| Sample { value: value.to_bits(), timestamp };
        Self { labels, samples: samples.iter().map(sample).collect(), histograms: Vec::new() }
    }
}

/// Bodies of requests that write all series: their births, then slice after slice.
pub(crate) fn requests(series: &[TimeSeries]) -> Vec<Vec<u8>> {
    let birth = |series: &TimeSeries| TimeSeries {
        labels: series.labels.clone(),
        samples: vec![
            Sample { value: 0.0_f64.to_bits(), timestamp: BIRTH_MS },
            Sample { value: STALE_NAN.to_bits(), timestamp: BIRTH_MS + 1 },
        ],
        histograms: Vec::new(),
    };
    let mut bodies = vec![body(series.iter().map(birth).collect())];
    let mut from = BIRTH_MS;
    while from <= END_MS + SLICE_MS {
        let within = |time: i64| (from..from + SLICE_MS).contains(&time);
        let slice = |series: &TimeSeries| TimeSeries {
            labels: series.labels.clone(),
            samples: series.samples.iter().filter(|s| within(s.timestamp)).copied().collect(),
            histograms: series.histograms.iter().filter(|h| within(h.timestamp)).cloned().collect(),
        };
        let slices: Vec<TimeSeries> = series
            .iter()
            .map(slice)
            .filter(|s| !s.samples.is_empty() || !s.histograms.is_empty())
            .collect();
        if !slices.is_empty() {
            bodies.push(body(slices));
        }
        from += SLICE_MS;
    }
    bodies
}

fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    compress(&WriteRequest { timeseries }.encode_to_vec())
}
