//! How many bytes a native histogram takes, and how long.
//!
//! Goal: at most the bytes of Prometheus's histogram chunks. Criterion's `thrpt` is in samples.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use m3rs_core::model::{BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, Span};
use m3rs_tsdb::codec::histogram::{decode_range_into, encode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Two hours at 15 s.
const SAMPLES: usize = 480;

/// A latency histogram of 24 buckets, with so many observations between two samples.
fn load(observations: usize) -> (Vec<i64>, Vec<Arc<Histogram>>) {
    let mut rng = StdRng::seed_from_u64(7);
    let layout = HistogramLayout {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        positive_spans: vec![Span { offset: -10, length: 20 }, Span { offset: 2, length: 4 }],
        ..HistogramLayout::default()
    };
    let layout = Arc::new(layout);
    let mut counts = BucketCounts { positive: vec![0; 24], ..BucketCounts::default() };
    let (mut sum, mut ts, mut hs) = (0.0, Vec::new(), Vec::new());
    for i in 0..SAMPLES as i64 {
        for _ in 0..observations {
            // The sum of three is bell shaped around the middle bucket.
            let bucket: usize = (0..3).map(|_| rng.random_range(0..9usize)).sum();
            counts.positive[bucket.min(23)] += 1;
            counts.count += 1;
            sum += 1.09f64.powi(bucket as i32) * rng.random_range(0.9..1.1);
        }
        ts.push(
            1_760_000_400_000_000_000 + i * 15_000_000_000 + rng.random_range(0..5) * 1_000_000,
        );
        hs.push(Arc::new(Histogram {
            layout: Arc::clone(&layout),
            reset_hint: ResetHint::Unknown,
            sum,
            counts: Counts::Integer(counts.clone()),
        }));
    }
    (ts, hs)
}

fn benches(c: &mut Criterion) {
    for observations in [0, 3, 40, 1000] {
        let (ts, hs) = load(observations);
        let mut bytes = Vec::new();
        encode(&mut bytes, &ts, &hs);
        let each = bytes.len() as f64 / SAMPLES as f64;
        let name = format!("{observations} observations a scrape, {each:.1} B");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(SAMPLES as u64));
        group.bench_function("encode", |b| {
            b.iter(|| {
                bytes.clear();
                encode(&mut bytes, black_box(&ts), black_box(&hs));
            });
        });
        group.bench_function("decode", |b| {
            b.iter(|| {
                let (mut ts, mut hs) = (Vec::new(), Vec::new());
                let all = (i64::MIN, i64::MAX);
                decode_range_into(black_box(&bytes), all, &mut ts, &mut hs).expect("sound");
                hs.len()
            });
        });
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
