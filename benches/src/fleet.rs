//! A fleet of hosts with a hundred metrics each, written into an engine in this process.

use m3rs_core::model::Labels;
use m3rs_core::time::TimestampNs;
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database};

use crate::Failure;

/// Series of one host, scraped together.
pub const PER_HOST: u32 = 100;
/// Series in one request.
const PER_REQUEST: u32 = 2_000;

/// Writes one sample of each of the first `series` series; `sample` gives time in nanoseconds and
/// value. What is written is not waited for.
///
/// # Errors
/// What the engine refuses.
pub fn scrape(
    database: &Database,
    series: u32,
    sample: impl Fn(u32) -> (i64, f64),
) -> Result<(), Failure> {
    let namespace = database.namespace(DEFAULT_NAMESPACE).ok_or("no namespace")?;
    for first in (0..series).step_by(PER_REQUEST as usize) {
        let mut session = namespace.writer();
        for i in first..series.min(first + PER_REQUEST) {
            let raw = u64::from(i).to_le_bytes();
            let handle = match session.next_len().and_then(|_| session.next_if(&raw)) {
                Some(handle) => handle,
                None => session
                    .resolve(&raw, || labels(i))
                    .map_err(|e| format!("series {i} was refused: {e}"))?,
            };
            let (t, v) = sample(i);
            session.push(handle, TimestampNs(t), v)?;
        }
        drop(session.commit()?);
    }
    Ok(())
}

fn labels(i: u32) -> Result<Labels, Failure> {
    let host = i / PER_HOST;
    Ok(Labels::from_pairs([
        ("__name__", format!("node_metric_{}", i % PER_HOST)),
        ("arch", "x86_64".to_owned()),
        ("datacenter", datacenter(host)),
        ("hostname", format!("host-{host}")),
        ("instance", instance(host)),
        ("job", "node".to_owned()),
        ("os", "linux".to_owned()),
        ("rack", (host % 97).to_string()),
        ("region", "eu-central-1".to_owned()),
        ("service", (host % 20).to_string()),
    ])?)
}

/// Where a host stands.
pub fn datacenter(host: u32) -> String {
    format!("eu-central-1{}", ["a", "b", "c"][host as usize % 3])
}

/// The address of a host's exporter.
pub fn instance(host: u32) -> String {
    format!("10.{}.{}.{}:9100", host >> 16, host >> 8 & 0xff, host & 0xff)
}
