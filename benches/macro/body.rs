//! Remote-write bodies of a made fleet.

use m3rs_benches::requests::{Pairs, Sample};
use m3rs_core::time::TimestampNs;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::protocol::Protocol;

/// Time between two samples of a series.
pub(crate) const INTERVAL_MS: i64 = 15_000;
/// Metrics of a host.
const PER_HOST: usize = 10;

/// What is sent: hosts with ten gauges each, walking by whole percents.
#[derive(Debug)]
pub(crate) struct Load {
    labels: Vec<Pairs>,
    protocol: Protocol,
    values: Vec<i64>,
    rng: StdRng,
    steps: i64,
    start_ms: i64,
    /// Steps after which a series is replaced by another; 0 for never.
    life_steps: i64,
}

impl Load {
    /// The last `hours` before `now`.
    pub(crate) fn new(hosts: usize, hours: i64, protocol: Protocol, now: TimestampNs) -> Self {
        let end_ms = now.to_ms().0 / 60_000 * 60_000;
        let steps = hours * 3_600_000 / INTERVAL_MS;
        let start_ms = end_ms - steps * INTERVAL_MS;
        Self { steps, start_ms, ..Self::soaking(hosts, 0, protocol) }
    }

    /// Without an end; a series lives for `life_steps`.
    pub(crate) fn soaking(hosts: usize, life_steps: i64, protocol: Protocol) -> Self {
        let labels = (0..hosts * PER_HOST).map(|i| labels(i / PER_HOST, i % PER_HOST, 0));
        let labels: Vec<_> = labels.collect();
        let mut rng = StdRng::seed_from_u64(1);
        let values = labels.iter().map(|_| rng.random_range(0..10_000)).collect();
        Self { labels, protocol, values, rng, steps: 0, start_ms: 0, life_steps }
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
                for run in mine.chunks(self.protocol.series_per_request()) {
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
                self.labels[i] = labels(i / PER_HOST, i % PER_HOST, life);
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
        let sample = |&i: &usize| Sample {
            labels: &self.labels[i],
            v: self.values[i] as f64 / 100.0,
            t_ms,
            start_ms: None,
        };
        self.protocol.body(&run.iter().map(sample).collect::<Vec<_>>())
    }
}

/// Labels of one series of a host; `life` tells those apart that follow each other.
fn labels(host: usize, n: usize, life: i64) -> Pairs {
    [
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
    ]
    .to_vec()
}
