//! How long M3TSZ takes for a sample, and how many bytes.
//!
//! Budgets: decode 5 ns, encode 15 ns a sample, on the blocks of a real node and on typical
//! series of 480 samples (2 h at 15 s). Criterion's `thrpt` is in samples.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use m3rs_core::time::TimestampNs;
use m3rs_tsdb::codec::m3tsz::{Encoder, EncoderOptions, TimeUnit, decode_into};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const START_NS: i64 = 1_760_000_400_000_000_000;
const MS: i64 = 1_000_000;
const STEP_MS: i64 = 15_000;
const SAMPLES: usize = 480;
const SERIES: usize = 64;
const PAGE: usize = 32;

const SAMPLE_BLOCKS: &str = include_str!("../../testdata/m3/m3tsz/sample_blocks.json");

/// Many series of one kind; their sum does not fit the branch predictor.
struct Load {
    name: &'static str,
    series: Vec<(Vec<i64>, Vec<f64>)>,
}

impl Load {
    fn generate(
        name: &'static str,
        jitter_ms: i64,
        mut value: impl FnMut(&mut StdRng, usize, &mut f64) -> f64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(42);
        let series = (0..SERIES)
            .map(|_| {
                let mut state = rng.random_range(1_000.0..2_000.0_f64).floor();
                let times = (0..SAMPLES as i64).map(|i| {
                    let jitter = rng.random_range(-jitter_ms..=jitter_ms);
                    START_NS + (i * STEP_MS + 1_000 + jitter) * MS
                });
                let times: Vec<i64> = times.collect();
                (times, (0..SAMPLES).map(|i| value(&mut rng, i, &mut state)).collect())
            })
            .collect();
        Self { name, series }
    }

    fn samples(&self) -> usize {
        self.series.iter().map(|(ts, _)| ts.len()).sum()
    }

    fn encode(&self) -> Vec<Vec<u8>> {
        self.series
            .iter()
            .map(|(ts, vs)| {
                let mut encoder = Encoder::new(TimestampNs(START_NS), EncoderOptions::default());
                encoder.push_all(ts, vs).expect("room for a series");
                encoder.finish()
            })
            .collect()
    }
}

fn counter(rng: &mut StdRng, _: usize, state: &mut f64) -> f64 {
    *state += rng.random_range(80.0..120.0_f64).floor();
    *state
}

fn gauge_2_decimals(rng: &mut StdRng, _: usize, state: &mut f64) -> f64 {
    *state += rng.random_range(-50.0..50.0_f64).floor();
    *state / 100.0
}

fn real_blocks() -> Load {
    let blocks: Vec<serde_json::Value> = serde_json::from_str(SAMPLE_BLOCKS).expect("JSON");
    let block = |block: &serde_json::Value| {
        let points = block["points"].as_array().expect("points");
        let bits = |p: &serde_json::Value| u64::from_str_radix(p[1].as_str()?, 16).ok();
        points
            .iter()
            .map(|p| (p[0].as_i64().expect("time"), f64::from_bits(bits(p).expect("bits"))))
            .unzip()
    };
    Load { name: "real blocks", series: blocks.iter().take(10).map(block).collect() }
}

fn loads() -> Vec<Load> {
    vec![
        real_blocks(),
        Load::generate("constant", 0, |_, _, _| 1.0),
        Load::generate("counter, 15 s", 0, counter),
        Load::generate("counter, ms jitter", 5, counter),
        Load::generate("counter, 50 ms jitter", 50, counter),
        Load::generate("gauge 2 decimals, 15 s", 0, gauge_2_decimals),
        Load::generate("gauge 2 decimals, ms jitter", 5, gauge_2_decimals),
        Load::generate("small integers", 0, |rng, _, _| f64::from(rng.random_range(0..8))),
        Load::generate("full floats, walk", 0, |rng, _, state| {
            *state += rng.random_range(-1.0..1.0);
            *state
        }),
        Load::generate("full floats, random", 0, |rng, _, _| rng.random::<f64>()),
    ]
}

fn m3tsz(c: &mut Criterion) {
    let loads = loads();
    let mut group = c.benchmark_group("m3tsz");
    for load in &loads {
        let samples = load.samples();
        let streams = load.encode();
        let bytes: usize = streams.iter().map(Vec::len).sum();
        let bytes_per_sample = format!("{:.3} B/sample", bytes as f64 / samples as f64);
        group.throughput(Throughput::Elements(samples as u64));
        let id = |what: &str| BenchmarkId::new(what, format!("{} ({bytes_per_sample})", load.name));

        let (mut ts, mut vs) = (Vec::new(), Vec::new());
        group.bench_function(id("decode"), |b| {
            b.iter(|| {
                for stream in &streams {
                    ts.clear();
                    vs.clear();
                    decode_into(black_box(stream), true, &mut ts, &mut vs).expect("a stream");
                }
                black_box((ts.len(), vs.len()))
            });
        });
        group.bench_function(id("encode pages"), |b| {
            b.iter(|| {
                for (ts, vs) in &load.series {
                    let start = TimestampNs(START_NS);
                    let mut encoder = Encoder::new(start, EncoderOptions::default());
                    for (ts, vs) in ts.chunks(PAGE).zip(vs.chunks(PAGE)) {
                        encoder.push_all(black_box(ts), black_box(vs)).expect("room");
                    }
                    black_box(encoder.bytes_len());
                }
            });
        });
        group.bench_function(id("push"), |b| {
            b.iter(|| {
                for (ts, vs) in &load.series {
                    let start = TimestampNs(START_NS);
                    let mut encoder = Encoder::new(start, EncoderOptions::default());
                    for (&t, &v) in ts.iter().zip(vs) {
                        let t = TimestampNs(black_box(t));
                        encoder.push(t, black_box(v), TimeUnit::Millisecond, &[]).expect("room");
                    }
                    black_box(encoder.bytes_len());
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(800))
        .sample_size(20);
    targets = m3tsz
}
criterion_main!(benches);
