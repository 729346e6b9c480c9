//! Remote-write bodies of a made fleet.

use m3rs_core::time::TimestampNs;
use m3rs_core::wire::put_varint;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const INTERVAL_MS: i64 = 15_000;
/// Series in one request, as large Prometheus queues send them.
const SERIES_PER_REQUEST: usize = 2000;
/// Metrics of a host.
const PER_HOST: usize = 10;

/// What is sent: hosts with ten gauges each, walking by whole percents.
#[derive(Debug)]
pub(crate) struct Load {
    labels: Vec<Vec<u8>>,
    steps: i64,
    start_ms: i64,
}

impl Load {
    /// The last `hours` before `now`.
    pub(crate) fn new(hosts: usize, hours: i64, now: TimestampNs) -> Self {
        let end_ms = now.to_ms().0 / 60_000 * 60_000;
        let steps = hours * 3_600_000 / INTERVAL_MS;
        let labels = (0..hosts * PER_HOST).map(|i| label_fields(i / PER_HOST, i % PER_HOST));
        Self { labels: labels.collect(), steps, start_ms: end_ms - steps * INTERVAL_MS }
    }

    pub(crate) fn series(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn samples(&self) -> u64 {
        self.labels.len() as u64 * self.steps.unsigned_abs()
    }

    /// First and last time in seconds.
    pub(crate) fn range_s(&self) -> (i64, i64) {
        (self.start_ms / 1000, (self.start_ms + (self.steps - 1) * INTERVAL_MS) / 1000)
    }

    /// Compressed bodies by connection; each connection has its own series, in order of time.
    pub(crate) fn bodies(&self, connections: usize) -> Vec<Vec<Vec<u8>>> {
        let mut rng = StdRng::seed_from_u64(1);
        let mut values: Vec<i64> =
            self.labels.iter().map(|_| rng.random_range(0..10_000)).collect();
        let share = self.labels.len().div_ceil(connections);
        let mut out = vec![Vec::new(); connections];
        let mut raw = Vec::new();
        for step in 0..self.steps {
            for value in &mut values {
                *value = (*value + rng.random_range(-100..=100)).clamp(0, 10_000);
            }
            for (connection, bodies) in out.iter_mut().enumerate() {
                let end = self.labels.len().min((connection + 1) * share);
                let mine: Vec<usize> = (connection * share..end).collect();
                for run in mine.chunks(SERIES_PER_REQUEST) {
                    raw.clear();
                    for &i in run {
                        let value = values[i] as f64 / 100.0;
                        self.put_series(&mut raw, i, value, self.start_ms + step * INTERVAL_MS);
                    }
                    let packed = snap::raw::Encoder::new().compress_vec(&raw);
                    bodies.push(packed.expect("BUG: bodies are far below snappy's limit"));
                }
            }
        }
        out
    }

    fn put_series(&self, out: &mut Vec<u8>, i: usize, value: f64, t_ms: i64) {
        let mut sample = vec![0x09];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(0x10);
        put_varint(&mut sample, t_ms.unsigned_abs());
        let labels = &self.labels[i];
        out.push(0x0a);
        put_varint(out, (labels.len() + 2 + sample.len()) as u64);
        out.extend_from_slice(labels);
        put_field(out, 0x12, &sample);
    }
}

fn put_field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn label_fields(host: usize, n: usize) -> Vec<u8> {
    let pairs = [
        ("__name__", "x".to_owned()),
        ("arch", ["x64", "x86"][host % 2].to_owned()),
        ("datacenter", format!("eu-west-{}", host % 5)),
        ("hostname", format!("host_{host}")),
        ("n", n.to_string()),
        ("os", format!("linux-{}", host % 3)),
        ("rack", (host % 100).to_string()),
        ("region", format!("eu-{}", host % 9)),
        ("service", (host % 20).to_string()),
        ("service_environment", ["production", "staging", "test"][host % 3].to_owned()),
        ("team", ["blue", "green", "red"][host % 3].to_owned()),
    ];
    let mut out = Vec::new();
    for (name, value) in pairs {
        let mut label = Vec::new();
        put_field(&mut label, 0x0a, name.as_bytes());
        put_field(&mut label, 0x12, value.as_bytes());
        put_field(&mut out, 0x0a, &label);
    }
    out
}
