//! How long the codecs of closed blocks take for a sample, and how many bytes.
//!
//! Budgets: decode 2 ns for all but pco, encode 15 ns as chosen for a flush, on typical series of
//! 480 samples (2 h at 15 s). Criterion's `thrpt` is in samples.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use m3rs_tsdb::codec::times::{TimeEncoder, decode_times};
use m3rs_tsdb::codec::values::{Effort, ValueCodec, ValueDecoder, ValueEncoder};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SAMPLES: usize = 480;
const SERIES: usize = 64;
const STEP_NS: i64 = 15_000_000_000;

/// Many series of one shape; their sum does not fit the branch predictor.
fn generate(mut value: impl FnMut(&mut StdRng, usize, &mut f64) -> f64) -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(42);
    (0..SERIES)
        .map(|_| {
            let mut state = rng.random_range(1_000.0..2_000.0_f64).floor();
            (0..SAMPLES).map(|i| value(&mut rng, i, &mut state)).collect()
        })
        .collect()
}

fn walk(step: f64, scale: f64) -> impl FnMut(&mut StdRng, usize, &mut f64) -> f64 {
    move |rng, _, state| {
        *state += rng.random_range(-step..step).floor();
        *state / scale
    }
}

fn shapes() -> Vec<(&'static str, Vec<Vec<f64>>)> {
    vec![
        ("constant", generate(|_, _, state| *state)),
        (
            "counter",
            generate(|rng, _, state| {
                *state += rng.random_range(80.0..120.0_f64).floor();
                *state
            }),
        ),
        (
            "counter, 5 % move",
            generate(|rng, _, state| {
                if rng.random_range(0..20) == 0 {
                    *state += rng.random_range(1.0..50.0_f64).floor();
                }
                *state
            }),
        ),
        (
            "counter, 2 decimals",
            generate(|rng, _, state| {
                *state += rng.random_range(0.0..1500.0_f64).floor();
                *state / 100.0
            }),
        ),
        (
            "counter, full float",
            generate(|rng, _, state| {
                *state += rng.random_range(0.0..15.0_f64);
                *state
            }),
        ),
        ("gauge, 2 decimals, walk", generate(walk(50.0, 100.0))),
        (
            "gauge, 2 decimals, noise",
            generate(|rng, _, _| rng.random_range(0.0..10_000.0_f64).floor() / 100.0),
        ),
        (
            "gauge, 4 KiB pages",
            generate(|rng, _, state| {
                *state += rng.random_range(-100.0..100.0_f64).floor();
                *state * 4096.0
            }),
        ),
        ("small integers", generate(|rng, _, _| f64::from(rng.random_range(0..8)))),
        (
            "on/off",
            generate(|rng, _, state| {
                if rng.random_range(0..50) == 0 {
                    *state = 1.0 - state.min(1.0);
                }
                state.min(1.0)
            }),
        ),
        (
            "full floats, walk",
            generate(|rng, _, state| {
                *state += rng.random_range(-1.0..1.0);
                *state
            }),
        ),
        ("full floats, noise", generate(|rng, _, _| rng.random::<f64>())),
    ]
}

fn values(c: &mut Criterion) {
    let mut group = c.benchmark_group("values");
    group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
    for (name, series) in shapes() {
        let mut encoder = ValueEncoder::default();
        let mut chosen = Vec::new();
        for effort in [Effort::Flush, Effort::Compact] {
            let mut bytes = 0;
            let mut used = Vec::new();
            for values in &series {
                let mut out = Vec::new();
                used.push(encoder.encode(values, effort, &mut out));
                bytes += out.len();
            }
            chosen = used;
            let per_sample = bytes as f64 / (SERIES * SAMPLES) as f64;
            let id = format!("{name} ({effort:?}: {:?}, {per_sample:.3} B/sample)", chosen[0]);
            group.bench_function(BenchmarkId::new("encode", id), |b| {
                let mut out = Vec::new();
                b.iter(|| {
                    for values in &series {
                        out.clear();
                        black_box(encoder.encode(black_box(values), effort, &mut out));
                    }
                });
            });
        }
        black_box(&chosen);
        for codec in ValueCodec::ALL {
            let encoded: Vec<Vec<u8>> = series
                .iter()
                .filter_map(|values| {
                    let mut out = Vec::new();
                    encoder.encode_as(codec, values, &mut out).then_some(out)
                })
                .collect();
            if encoded.len() < SERIES {
                continue;
            }
            let bytes: usize = encoded.iter().map(Vec::len).sum();
            let per_sample = bytes as f64 / (SERIES * SAMPLES) as f64;
            let id = format!("{name} ({codec:?}, {per_sample:.3} B/sample)");
            let (mut decoder, mut out) = (ValueDecoder::default(), Vec::new());
            group.bench_function(BenchmarkId::new("decode", id), |b| {
                b.iter(|| {
                    for bytes in &encoded {
                        out.clear();
                        decoder.decode(codec, black_box(bytes), SAMPLES, &mut out).expect("sound");
                    }
                    black_box(out.len())
                });
            });
        }
    }
    group.finish();
}

fn times(c: &mut Criterion) {
    let mut group = c.benchmark_group("times");
    group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
    let mut rng = StdRng::seed_from_u64(42);
    for (name, jitter_ns, unit_ns) in [
        ("regular", 0, 1),
        ("5 ms jitter", 5_000_000, 1_000_000),
        ("50 ms jitter", 50_000_000, 1_000_000),
        ("50 ms jitter in ns", 50_000_000, 1),
    ] {
        let series: Vec<Vec<i64>> = (0..SERIES)
            .map(|_| {
                let time = |i| i * STEP_NS + rng.random_range(-jitter_ns..=jitter_ns);
                (0..SAMPLES as i64).map(time).map(|t| t / unit_ns * unit_ns).collect()
            })
            .collect();
        let mut encoder = TimeEncoder::default();
        let encoded: Vec<Vec<u8>> = series
            .iter()
            .map(|times| {
                let mut out = Vec::new();
                encoder.encode(times, &mut out);
                out
            })
            .collect();
        let bytes: usize = encoded.iter().map(Vec::len).sum();
        let id = format!("{name} ({:.3} B/sample)", bytes as f64 / (SERIES * SAMPLES) as f64);
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("encode", &id), |b| {
            b.iter(|| {
                for times in &series {
                    out.clear();
                    encoder.encode(black_box(times), &mut out);
                }
            });
        });
        let mut decoded = Vec::new();
        group.bench_function(BenchmarkId::new("decode", &id), |b| {
            b.iter(|| {
                for (bytes, times) in encoded.iter().zip(&series) {
                    decoded.clear();
                    let mut cursor = m3rs_core::wire::Cursor::new("times", black_box(bytes));
                    decode_times(&mut cursor, SAMPLES, times[0], &mut decoded).expect("sound");
                }
                black_box(decoded.len())
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(300))
        .sample_size(10);
    targets = values, times
}
criterion_main!(benches);
