//! How much a range function costs per sample, by function and by length of the window.
//!
//! 400 series of 1,440 samples at 15 s, 361 steps of 60 s: six hours of a dashboard.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use m3rs_core::model::STALE_NAN;
use m3rs_query::promql::function::{RangeInput, RangeKernel, range_kernel};
use m3rs_query::step::StepGrid;

const SERIES: usize = 400;
const SAMPLES: usize = 1440;
const SCRAPE_MS: i64 = 15_000;
const GRID: StepGrid = StepGrid { start_ms: 0, step_ms: 60_000, count: 361 };

const FUNCTIONS: [&str; 11] = [
    "last_over_time",
    "rate",
    "increase",
    "irate",
    "changes",
    "sum_over_time",
    "avg_over_time",
    "max_over_time",
    "stddev_over_time",
    "deriv",
    "quantile_over_time",
];

const WINDOWS: [(&str, i64); 4] =
    [("1m", 60_000), ("5m", 300_000), ("30m", 1_800_000), ("1h", 3_600_000)];

struct Data {
    ts: Vec<i64>,
    series: Vec<Vec<f64>>,
}

/// Counters that rise by uneven steps and restart now and then.
fn data() -> Data {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let ts = (0..SAMPLES as i64).map(|i| i * SCRAPE_MS + 7).collect();
    let series = (0..SERIES)
        .map(|_| {
            let mut v = 0.0;
            (0..SAMPLES)
                .map(|_| {
                    let n = next();
                    v = if n % 700 == 0 { 0.0 } else { v + (n >> 54) as f64 / 8.0 };
                    v
                })
                .collect()
        })
        .collect();
    Data { ts, series }
}

fn run(kernel: RangeKernel, data: &Data, range_ms: i64, params: &[&[f64]], out: &mut [f64]) {
    for vs in &data.series {
        out.fill(STALE_NAN);
        let input = RangeInput { params, ..RangeInput::of(&data.ts, vs, GRID, range_ms) };
        kernel(black_box(&input), out);
        black_box(&mut *out);
    }
}

fn window_kernels(c: &mut Criterion) {
    let data = data();
    let quantile = vec![0.9; GRID.count];
    let params: [&[f64]; 1] = [&quantile];
    let mut out = vec![0.0; GRID.count];
    for name in FUNCTIONS {
        let kernel = range_kernel(name).expect("a range function");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
        for (label, range_ms) in WINDOWS {
            group.bench_function(BenchmarkId::from_parameter(label), |b| {
                b.iter(|| run(kernel, &data, range_ms, &params, &mut out));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = window_kernels
}
criterion_main!(benches);
