//! Remote-write bodies of a made fleet.

use m3rs_core::time::TimestampNs;
use m3rs_core::wire::put_varint;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Time between two samples of a series.
pub(crate) const INTERVAL_MS: i64 = 15_000;
/// Series in one request, as large Prometheus queues send them.
const SERIES_PER_REQUEST: usize = 2000;
/// Metrics of a host.
const PER_HOST: usize = 10;

/// What is sent: hosts with ten gauges each, walking by whole percents.
#[derive(Debug)]
pub(crate) struct Load {
    labels: Vec<Vec<u8>>,
    values: Vec<i64>,
    rng: StdRng,
    steps: i64,
    start_ms: i64,
    /// Steps after which a series is replaced by another; 0 for never.
    life_steps: i64,
}

impl Load {
    /// The last `hours` before `now`.
    pub(crate) fn new(hosts: usize, hours: i64, now: TimestampNs) -> Self {
        let end_ms = now.to_ms().0 / 60_000 * 60_000;
        let steps = hours * 3_600_000 / INTERVAL_MS;
        Self { steps, start_ms: end_ms - steps * INTERVAL_MS, ..Self::soaking(hosts, 0) }
    }

    /// Without an end; a series lives for `life_steps`.
    pub(crate) fn soaking(hosts: usize, life_steps: i64) -> Self {
        let labels = (0..hosts * PER_HOST).map(|i| label_fields(i / PER_HOST, i % PER_HOST, 0));
        let labels: Vec<_> = labels.collect();
        let mut rng = StdRng::seed_from_u64(1);
        let values = labels.iter().map(|_| rng.random_range(0..10_000)).collect();
        Self { labels, values, rng, steps: 0, start_ms: 0, life_steps }
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
    pub(crate) fn bodies(&mut self, connections: usize) -> Vec<Vec<Vec<u8>>> {
        let share = self.labels.len().div_ceil(connections);
        let mut out = vec![Vec::new(); connections];
        for step in 0..self.steps {
            self.walk();
            for (connection, bodies) in out.iter_mut().enumerate() {
                let end = self.labels.len().min((connection + 1) * share);
                let mine: Vec<usize> = (connection * share..end).collect();
                let t_ms = self.start_ms + step * INTERVAL_MS;
                for run in mine.chunks(SERIES_PER_REQUEST) {
                    bodies.push(self.body(run, t_ms));
                }
            }
        }
        out
    }

    /// Bodies of all series at one time.
    pub(crate) fn scrape(&mut self, step: i64, t_ms: i64, per_request: usize) -> Vec<Vec<u8>> {
        self.walk();
        for i in 0..self.labels.len() {
            let age = step + i as i64 * self.life_steps / self.labels.len() as i64;
            if self.life_steps > 0 && age > 0 && age % self.life_steps == 0 {
                let life = age / self.life_steps;
                self.labels[i] = label_fields(i / PER_HOST, i % PER_HOST, life);
            }
        }
        let all: Vec<usize> = (0..self.labels.len()).collect();
        all.chunks(per_request).map(|run| self.body(run, t_ms)).collect()
    }

    fn walk(&mut self) {
        for value in &mut self.values {
            *value = (*value + self.rng.random_range(-100..=100)).clamp(0, 10_000);
        }
    }

    fn body(&self, run: &[usize], t_ms: i64) -> Vec<u8> {
        let mut raw = Vec::new();
        for &i in run {
            self.put_series(&mut raw, i, self.values[i] as f64 / 100.0, t_ms);
        }
        let packed = snap::raw::Encoder::new().compress_vec(&raw);
        packed.expect("BUG: bodies are far below snappy's limit")
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

/// Labels of one series of a host; `life` tells those apart that follow each other.
fn label_fields(host: usize, n: usize, life: i64) -> Vec<u8> {
    let pairs = [
        ("__name__", "x".to_owned()),
        ("arch", ["x64", "x86"][host % 2].to_owned()),
        ("datacenter", format!("eu-west-{}", host % 5)),
        ("hostname", format!("host_{host}")),
        ("n", n.to_string()),
        ("os", format!("linux-{}", host % 3)),
        ("rack", (host % 100).to_string()),
        ("region", format!("eu-{}", host % 9)),
        (
            "service",
            if life == 0 { (host % 20).to_string() } else { format!("{}-{life}", host % 20) },
        ),
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
