//! Samples of every kind, made at random and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use m3rs_core::model::{BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, Span};
use m3rs_core::time::NS_PER_S;
use m3rs_tsdb::{Columns, RichSample, SampleValue};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::{HOUR, Row, START};

/// All samples of the columns by time, with what they carry.
pub(crate) fn samples_of(columns: &Columns) -> BTreeMap<i64, RichSample> {
    let rich = &columns.rich;
    let floats = columns.iter().map(|s| (s.t.0, RichSample::float(s.v)));
    let histograms = rich.histograms.ts.iter().zip(&rich.histograms.values);
    let histograms = histograms.map(|(&t, h)| (t, RichSample::histogram(Arc::clone(h))));
    let mut all: BTreeMap<i64, RichSample> = floats.chain(histograms).collect();
    assert_eq!(all.len(), columns.len(), "a time is in one column");
    for (t, start) in rich.starts.ts.iter().zip(&rich.starts.values) {
        all.get_mut(t).expect("a sample carries it").start_ns = *start;
    }
    for (t, annotation) in rich.annotations.ts.iter().zip(&rich.annotations.values) {
        all.get_mut(t).expect("a sample carries it").annotation = Some(Arc::clone(annotation));
    }
    all
}

/// A histogram of a few layouts, with integer or float counts, at times a stale one.
pub(crate) fn random_histogram(rng: &mut StdRng) -> Histogram {
    if rng.random_bool(0.1) {
        return Histogram::stale();
    }
    let layout = match rng.random_range(0..3) {
        0 => HistogramLayout {
            schema: m3rs_core::model::SCHEMA_CUSTOM,
            positive_spans: vec![Span { offset: 0, length: 4 }],
            custom_bounds: vec![0.5, 1.0, 1e300],
            ..HistogramLayout::default()
        },
        offset => HistogramLayout {
            schema: 3,
            zero_threshold: 1e-9,
            positive_spans: vec![Span { offset, length: 4 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            ..HistogramLayout::default()
        },
    };
    let mut take = |n: u64| (0..n).map(|_| rng.random_range(0..1000)).collect::<Vec<u64>>();
    let (positive, negative) = (take(layout.positive_len()), take(layout.negative_len()));
    let count = positive.iter().chain(&negative).sum();
    let floats = |counts: &[u64]| counts.iter().map(|&c| c as f64 / 3.0).collect();
    let counts = match rng.random_bool(0.3) {
        true => Counts::Float(BucketCounts {
            count: count as f64,
            zero: 0.0,
            positive: floats(&positive),
            negative: floats(&negative),
        }),
        false => Counts::Integer(BucketCounts { count, zero: 0, positive, negative }),
    };
    let hint = ResetHint::from_tag(rng.random_range(0..4)).expect("a known hint");
    let sum = rng.random_range(-1e6..1e6);
    Histogram { layout: Arc::new(layout), reset_hint: hint, sum, counts }
}

/// A sample of a kind that the series mostly has.
pub(crate) fn random_sample(rng: &mut StdRng, series: u32) -> RichSample {
    let v = match rng.random_range(0..4) {
        0 => f64::from_bits(rng.random()),
        1 => rng.random_range(0..1000) as f64,
        2 => f64::from(rng.random_range(0..100_000)) / 100.0,
        _ => -0.0,
    };
    let mut sample = RichSample::float(v);
    if series < 6 {
        return sample;
    }
    if rng.random_bool(if series < 9 { 0.9 } else { 0.2 }) {
        sample.value = SampleValue::Histogram(Arc::new(random_histogram(rng)));
    }
    if rng.random_bool(0.8) {
        sample.start_ns = START - rng.random_range(1..3) * HOUR;
    }
    if series == 11 && rng.random_bool(0.5) {
        sample.annotation = Some(Arc::from([rng.random_range(1..4u8)]));
    }
    sample
}

pub(crate) fn random_request(rng: &mut StdRng, now: i64) -> Vec<Row> {
    let count = rng.random_range(1..60);
    let warm = rng.random_bool(0.7);
    (0..count)
        .map(|i| {
            let series = rng.random_range(0..12);
            let t = match warm {
                true => now + i * NS_PER_S,
                false => now - rng.random_range(0..10 * HOUR) / NS_PER_S * NS_PER_S,
            };
            (series, t, random_sample(rng, series))
        })
        .collect()
}
