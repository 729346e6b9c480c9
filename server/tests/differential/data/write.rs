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
        let mut runs: Vec<_> =
            series.iter().map(|series| slice(series).runs().into_iter()).collect();
        loop {
            let next: Vec<TimeSeries> = runs.iter_mut().filter_map(Iterator::next).collect();
            if next.is_empty() {
                break;
            }
            bodies.push(body(next));
        }
        from += SLICE_MS;
    }
    bodies
}

impl TimeSeries {
    /// Runs of samples of one kind in order of time: Prometheus takes the floats of a request
    /// before its histograms, and nothing older than what it has.
    fn runs(self) -> Vec<Self> {
        let Self { labels, samples, histograms } = self;
        let empty = Self { labels, samples: Vec::new(), histograms: Vec::new() };
        let (mut samples, mut histograms) =
            (samples.into_iter().peekable(), histograms.into_iter().peekable());
        let mut runs: Vec<Self> = Vec::new();
        loop {
            let is_float = match (samples.peek(), histograms.peek()) {
                (Some(sample), Some(histogram)) => sample.timestamp < histogram.timestamp,
                (sample, None) if sample.is_none() => return runs,
                (sample, _) => sample.is_some(),
            };
            let continues = |run: &Self| run.histograms.is_empty() == is_float;
            if !runs.last().is_some_and(continues) {
                runs.push(empty.clone());
            }
            if let Some(run) = runs.last_mut() {
                if is_float {
                    run.samples.extend(samples.next());
                } else {
                    run.histograms.extend(histograms.next());
                }
            }
        }
    }
}

fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    compress(&WriteRequest { timeseries }.encode_to_vec())
}
