//! Namespaces of `clusters[]` and of `local`.

use m3rs_core::config::Node;
use m3rs_core::time::duration::DurationNs;

use super::super::finding::{Finding, shown};
use super::super::scalar::{StoragePolicy, told};
use super::values::{span, text, text_or, truth};

/// A namespace that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceSetting {
    pub(crate) name: String,
    /// How long samples are kept.
    pub(crate) retention: DurationNs,
    /// How samples are aggregated; nothing if they are kept as they come.
    pub(crate) aggregated: Option<Aggregated>,
    pub(crate) is_read_only: bool,
    /// How old samples are when they come here.
    pub(crate) data_latency: DurationNs,
}

/// Aggregation of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aggregated {
    pub(crate) resolution: DurationNs,
    /// Whether all samples are aggregated here, or those that rules name.
    pub(crate) is_for_all: bool,
}

impl NamespaceSetting {
    /// Reads one.
    fn read(node: &Node, errors: &mut Vec<Finding>) -> Self {
        let is_aggregated = text(node, "type") == Some("aggregated");
        let resolution = span(node, "resolution").unwrap_or_default();
        let retention = span(node, "retention").unwrap_or_default();
        let name = text_or(node, "namespace", "");
        let mut refuse = |text: &str| {
            errors.push(Finding::at(&node.place, format!("namespace {}: {text}", shown(&name))));
        };
        if retention.0 <= 0 {
            refuse("retention must be longer than 0");
        }
        if is_aggregated && resolution.0 <= 0 {
            refuse("resolution of an aggregated namespace must be longer than 0");
        }
        let data_latency = span(node, "dataLatency").unwrap_or_default();
        if data_latency.0 < 0 {
            refuse("dataLatency is negative");
        }
        let aggregated = is_aggregated.then_some(Aggregated {
            resolution,
            is_for_all: truth(node, "downsample.all").unwrap_or(true),
        });
        let is_read_only = truth(node, "readOnly").unwrap_or(false);
        Self { name, retention, aggregated, is_read_only, data_latency }
    }

    /// One line for people.
    pub(crate) fn told(&self) -> String {
        let mut out = format!("{}, kept {}", shown(&self.name), told(self.retention));
        if let Some(Aggregated { resolution, is_for_all }) = self.aggregated {
            out.push_str(&format!(", aggregated to {}", told(resolution)));
            out.push_str(if is_for_all { " for all" } else { " by rules" });
        }
        if self.is_read_only {
            out.push_str(", read only");
        }
        if self.data_latency.0 > 0 {
            out.push_str(&format!(", {} late", told(self.data_latency)));
        }
        out
    }
}

/// Reads the namespaces of all clusters: exactly one holds samples as they come, and no two
/// aggregate alike.
pub(super) fn read_all<'a>(
    nodes: impl Iterator<Item = &'a Node>,
    errors: &mut Vec<Finding>,
) -> Vec<NamespaceSetting> {
    let mut all: Vec<NamespaceSetting> = Vec::new();
    let mut policies: Vec<StoragePolicy> = Vec::new();
    let mut unaggregated = 0;
    let mut last = None;
    for node in nodes {
        last = Some(node);
        let setting = NamespaceSetting::read(node, errors);
        match setting.aggregated {
            None => {
                unaggregated += 1;
                if unaggregated == 2 {
                    let text = "a second unaggregated namespace: there must be exactly one";
                    errors.push(Finding::at(&node.place, text));
                }
            }
            Some(Aggregated { resolution, .. }) => {
                let policy = StoragePolicy { resolution, retention: setting.retention };
                if policies.contains(&policy) {
                    let text = format!(
                        "namespace {}: another one has its resolution and retention",
                        shown(&setting.name)
                    );
                    errors.push(Finding::at(&node.place, text));
                }
                policies.push(policy);
            }
        }
        all.push(setting);
    }
    if let Some(node) = last.filter(|_| unaggregated == 0) {
        let text = "no namespace is unaggregated: there must be exactly one";
        errors.push(Finding::at(&node.place, text));
    }
    all
}
