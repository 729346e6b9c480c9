//! Series in the shape of a node exporter's: a hundred metrics of each host, ten labels each.

use m3rs_core::model::Labels;
use m3rs_index::{Doc, Identity};

use m3rs_benches::Failure;
use m3rs_benches::fleet::{PER_HOST, datacenter, instance};

/// Values that the label `device` has at most.
pub(crate) const DEVICES_MAX: u32 = 100_000;

const SUBSYSTEMS: [&str; 10] = [
    "cpu",
    "disk",
    "filesystem",
    "memory",
    "netstat",
    "network",
    "schedstat",
    "sockstat",
    "vmstat",
    "xfs",
];
const THINGS: [&str; 10] = [
    "active_bytes",
    "errors_total",
    "free_bytes",
    "operations_total",
    "pages",
    "read_bytes_total",
    "receive_packets_total",
    "seconds_total",
    "size_bytes",
    "written_bytes_total",
];

/// A fleet of as many series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) series: u32,
}

impl Fleet {
    /// Values of the label `device`.
    pub(crate) fn devices(self) -> u32 {
        self.series.min(DEVICES_MAX)
    }

    /// The value of `device` of a series. Neighbours share one; its text is as good as random, so
    /// that dictionaries have to sort and gain little by shared beginnings.
    pub(crate) fn device(self, i: u32) -> String {
        let devices = self.devices();
        let group = i / (self.series / devices).max(1) % devices;
        // Both steps can be undone, so no two groups have one text.
        let mixed = group.wrapping_mul(0x9e37_79b1);
        format!("dm-{:08x}", (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b))
    }

    /// The labels of a series.
    pub(crate) fn labels(self, i: u32) -> Result<Labels, Failure> {
        let host = i / PER_HOST;
        Ok(Labels::from_pairs([
            ("__name__", metric(i % PER_HOST)),
            ("datacenter", datacenter(host)),
            ("device", self.device(i)),
            ("hostname", hostname(host)),
            ("instance", instance(host)),
            ("job", "node".to_owned()),
            ("os", "linux".to_owned()),
            ("rack", (host % 97).to_string()),
            ("region", "eu-central-1".to_owned()),
            ("service", (host % 20).to_string()),
        ])?)
    }

    /// Labels of the series `range`.
    pub(crate) fn batch(self, range: std::ops::Range<u32>) -> Result<Vec<(u32, Labels)>, Failure> {
        range.map(|i| Ok((i, self.labels(i)?))).collect()
    }
}

/// The name of the metric `i` of a host.
pub(crate) fn metric(i: u32) -> String {
    format!("node_{}_{}", SUBSYSTEMS[i as usize / 10 % 10], THINGS[i as usize % 10])
}

/// The name of a host.
pub(crate) fn hostname(host: u32) -> String {
    format!("host-{host}.zone-{}.example.com", host % 7)
}

/// What the engine hands the index.
pub(crate) fn docs(batch: &[(u32, Labels)]) -> Vec<Doc<'_>> {
    let mut scratch = Vec::new();
    let docs = batch.iter().map(|(id, labels)| {
        let labels = labels.as_bytes();
        Doc { id: *id, labels, identity: Identity::of(labels, &mut scratch) }
    });
    docs.collect()
}
