//! `prometheusRemoteBackend`: where samples are sent instead of being kept.

use std::collections::HashSet;

use m3rs_core::config::Node;

use super::super::finding::{Finding, shown};
use super::super::scalar::{StoragePolicy, told};
use super::values::{is_said, items, span, text, text_or, truth};

/// One receiver of remote write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Which aggregated samples it gets, and whether all are aggregated so; nothing if it gets the
    /// samples as they come.
    pub(crate) policy: Option<(StoragePolicy, bool)>,
}

impl Endpoint {
    /// One line for people.
    pub(crate) fn told(&self) -> String {
        let mut out = format!("{} at {}", shown(&self.name), shown(&self.address));
        if let Some((policy, is_for_all)) = self.policy {
            let (resolution, retention) = (told(policy.resolution), told(policy.retention));
            out.push_str(&format!(", policy {resolution}:{retention}"));
            out.push_str(if is_for_all { " for all" } else { " by rules" });
        }
        out
    }
}

/// Reads the endpoints; the backend needs at least one.
pub(super) fn read(root: &Node, errors: &mut Vec<Finding>) -> Vec<Endpoint> {
    if !is_said(root, "prometheusRemoteBackend") {
        let text = "prometheusRemoteBackend is missing, and backend is prom-remote";
        errors.push(Finding::of_all(text));
        return Vec::new();
    }
    let nodes = items(root, "prometheusRemoteBackend.endpoints");
    if nodes.is_empty() {
        errors.push(Finding::of_all("prometheusRemoteBackend.endpoints: at least one is needed"));
    }
    for key in ["requestTimeout", "connectTimeout", "keepAlive", "idleConnTimeout"] {
        let path = format!("prometheusRemoteBackend.{key}");
        if let Some(node) = root.at(&path).filter(|_| span(root, &path).is_some_and(|s| s.0 < 0)) {
            errors.push(Finding::at(&node.place, format!("{path} is negative")));
        }
    }
    let mut names = HashSet::new();
    nodes.iter().map(|node| endpoint(node, &mut names, errors)).collect()
}

fn endpoint(node: &Node, names: &mut HashSet<String>, errors: &mut Vec<Finding>) -> Endpoint {
    let name = text_or(node, "name", "");
    let mut refuse = |text: String| errors.push(Finding::at(&node.place, text));
    if name.trim().is_empty() {
        refuse("an endpoint needs a name".to_owned());
    } else if !names.insert(name.clone()) {
        refuse(format!("the endpoint {} is there twice", shown(&name)));
    }
    let address = text(node, "address").unwrap_or_default().trim();
    if address.is_empty() {
        refuse(format!("the endpoint {} needs an address", shown(&name)));
    }
    let policy = is_said(node, "storagePolicy").then(|| {
        let part = |key| span(node, &format!("storagePolicy.{key}")).unwrap_or_default();
        let policy = StoragePolicy { resolution: part("resolution"), retention: part("retention") };
        for (key, value) in [("resolution", policy.resolution), ("retention", policy.retention)] {
            if value.0 <= 0 {
                refuse(format!("the endpoint {}: {key} must be longer than 0", shown(&name)));
            }
        }
        (policy, truth(node, "storagePolicy.downsample.all").unwrap_or(true))
    });
    Endpoint { address: address.to_owned(), name, policy }
}
