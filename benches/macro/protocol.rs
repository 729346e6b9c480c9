//! The protocols in which samples are sent.

use std::str::FromStr;

use m3rs_benches::Failure;
use m3rs_benches::requests::{Sample, attribute, put_field, remote_write, remote_write_2};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Remote Write 1.0.
    RemoteWrite,
    /// Remote Write 2.0, each series with metadata, as Prometheus sends it.
    RemoteWrite2,
    /// OTLP: a metric of gauges in one resource, the labels as attributes of each point.
    Otlp,
    /// OTLP: a resource for each run of ten series, as agents of hosts send it.
    OtlpOfHosts,
    /// M3's JSON, a sample in a request, not compressed.
    M3Json,
}

impl FromStr for Protocol {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "rw1" => Ok(Self::RemoteWrite),
            "rw2" => Ok(Self::RemoteWrite2),
            "otlp" => Ok(Self::Otlp),
            "otlp-hosts" => Ok(Self::OtlpOfHosts),
            "m3-json" => Ok(Self::M3Json),
            other => {
                Err(format!("{other:?} is none of rw1, rw2, otlp, otlp-hosts, m3-json").into())
            }
        }
    }
}

impl Protocol {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::RemoteWrite | Self::RemoteWrite2 => "/api/v1/write",
            Self::Otlp | Self::OtlpOfHosts => "/v1/metrics",
            Self::M3Json => "/api/v1/json/write",
        }
    }

    pub(crate) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::RemoteWrite => &[
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ],
            Self::RemoteWrite2 => &[
                ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "2.0.0"),
            ],
            Self::M3Json => &[("content-type", "application/json")],
            // Snappy as of the others, so that decompression can be compared.
            Self::Otlp | Self::OtlpOfHosts => {
                &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")]
            }
        }
    }

    /// Series in one request, as large queues send them.
    pub(crate) fn series_per_request(self) -> usize {
        if self == Self::M3Json { 1 } else { 2000 }
    }

    /// Connections that send at once. Small requests share fsyncs only with others.
    pub(crate) fn connections(self) -> usize {
        if self == Self::M3Json { 256 } else { 4 }
    }

    /// A compressed request.
    pub(crate) fn body(self, samples: &[Sample<'_>]) -> Vec<u8> {
        let raw = match self {
            Self::RemoteWrite => remote_write(samples),
            Self::RemoteWrite2 => remote_write_2(samples),
            Self::Otlp => otlp(samples, samples.len()),
            Self::OtlpOfHosts => otlp(samples, 10),
            Self::M3Json => return m3_json(samples),
        };
        let packed = snap::raw::Encoder::new().compress_vec(&raw);
        packed.expect("BUG: bodies are far below snappy's limit")
    }
}

/// The service is the resource's, and so the label `job`; all other labels are the points'.
fn otlp(samples: &[Sample<'_>], per_resource: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for run in samples.chunks(per_resource) {
        let mut gauge = Vec::new();
        for sample in run {
            let mut point = vec![0x19];
            point.extend_from_slice(&(sample.t_ms.unsigned_abs() * 1_000_000).to_le_bytes());
            point.push(0x21);
            point.extend_from_slice(&sample.v.to_le_bytes());
            for (name, value) in sample.labels.iter().filter(|l| l.0 != "__name__") {
                put_field(&mut point, 0x3a, &attribute(name, value));
            }
            put_field(&mut gauge, 0x0a, &point);
        }
        let (mut metric, mut scope) = (Vec::new(), Vec::new());
        let mut attributes = Vec::new();
        put_field(&mut metric, 0x0a, b"x");
        put_field(&mut metric, 0x12, b"What it is.");
        put_field(&mut metric, 0x2a, &gauge);
        put_field(&mut scope, 0x12, &metric);
        put_field(&mut attributes, 0x0a, &attribute("service.name", "macro"));
        let mut resource = Vec::new();
        put_field(&mut resource, 0x0a, &attributes);
        put_field(&mut resource, 0x12, &scope);
        put_field(&mut body, 0x0a, &resource);
    }
    body
}

fn m3_json(samples: &[Sample<'_>]) -> Vec<u8> {
    let Some(sample) = samples.first() else { return Vec::new() };
    let tags: Vec<String> =
        sample.labels.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    let (seconds, v) = (sample.t_ms / 1000, sample.v);
    format!("{{\"tags\":{{{}}},\"timestamp\":\"{seconds}\",\"value\":{v}}}", tags.join(",")).into()
}
