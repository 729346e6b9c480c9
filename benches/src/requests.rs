//! Write requests of Prometheus's protocols, and pieces of those of OTLP, not compressed.

use std::collections::HashMap;

use m3rs_core::wire::{put_length_prefixed, put_varint};

/// The labels of a series, sorted by name.
pub type Pairs = Vec<(&'static str, String)>;

/// One sample of one series.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its series.
    pub labels: &'a Pairs,
    /// Its value.
    pub v: f64,
    /// Its time in milliseconds.
    pub t_ms: i64,
    /// Since when the value has been counted, in milliseconds; only 2.0 says it.
    pub start_ms: Option<i64>,
}

/// Appends a field of bytes.
pub fn put_field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_length_prefixed(out, bytes);
}

/// Fields 1 and 2 of all messages of samples of Prometheus.
fn sample_message(sample: &Sample<'_>) -> Vec<u8> {
    let mut message = vec![0x09];
    message.extend_from_slice(&sample.v.to_le_bytes());
    message.push(0x10);
    put_varint(&mut message, sample.t_ms.unsigned_abs());
    message
}

/// A request of Remote Write 1.0, a series for each sample.
#[must_use]
pub fn remote_write(samples: &[Sample<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for sample in samples {
        let mut series = Vec::new();
        for (name, value) in sample.labels {
            let mut label = Vec::new();
            put_field(&mut label, 0x0a, name.as_bytes());
            put_field(&mut label, 0x12, value.as_bytes());
            put_field(&mut series, 0x0a, &label);
        }
        put_field(&mut series, 0x12, &sample_message(sample));
        put_field(&mut body, 0x0a, &series);
    }
    body
}

/// A request of Remote Write 2.0, a series for each sample, with the metadata of a gauge.
#[must_use]
pub fn remote_write_2(samples: &[Sample<'_>]) -> Vec<u8> {
    let mut symbols = vec![""];
    let mut known = HashMap::from([("", 0)]);
    let mut symbol = |text| {
        *known.entry(text).or_insert_with(|| {
            symbols.push(text);
            symbols.len() as u64 - 1
        })
    };
    let mut all = Vec::new();
    for sample in samples {
        let (mut refs, mut series) = (Vec::new(), Vec::new());
        for (name, value) in sample.labels {
            put_varint(&mut refs, symbol(name));
            put_varint(&mut refs, symbol(value.as_str()));
        }
        put_field(&mut series, 0x0a, &refs);
        let mut message = sample_message(sample);
        if let Some(start_ms) = sample.start_ms {
            message.push(0x18);
            put_varint(&mut message, start_ms.unsigned_abs());
        }
        put_field(&mut series, 0x12, &message);
        // A gauge, with a help text.
        let mut metadata = vec![0x08, 2, 0x18];
        put_varint(&mut metadata, symbol("What it is."));
        put_field(&mut series, 0x2a, &metadata);
        put_field(&mut all, 0x2a, &series);
    }
    let mut body = Vec::new();
    for symbol in symbols {
        put_field(&mut body, 0x22, symbol.as_bytes());
    }
    body.extend_from_slice(&all);
    body
}

/// An attribute of OTLP with a text.
#[must_use]
pub fn attribute(key: &str, value: &str) -> Vec<u8> {
    let (mut out, mut any) = (Vec::new(), Vec::new());
    put_field(&mut any, 0x0a, value.as_bytes());
    put_field(&mut out, 0x0a, key.as_bytes());
    put_field(&mut out, 0x12, &any);
    out
}
