//! Values of a file that was checked, by path; what is not there has its default.

use m3rs_core::config::Node;
use m3rs_core::time::duration::DurationNs;

use super::super::scalar::duration;

/// A text, if there is one that is not empty.
pub(super) fn text<'a>(node: &'a Node, path: &str) -> Option<&'a str> {
    let node = node.at(path).filter(|node| !node.is_null())?;
    node.scalar().map(|scalar| &*scalar.text).filter(|text| !text.is_empty())
}

/// A text, or its default.
pub(super) fn text_or(node: &Node, path: &str, default: &str) -> String {
    text(node, path).unwrap_or(default).to_owned()
}

/// A duration, if one is said.
pub(super) fn span(node: &Node, path: &str) -> Option<DurationNs> {
    let node = node.at(path).filter(|node| !node.is_null())?;
    duration(node.scalar()?).ok()
}

/// A truth value, if one is said.
pub(super) fn truth(node: &Node, path: &str) -> Option<bool> {
    node.at(path)?.scalar()?.bool()
}

/// A whole number, if one is said.
pub(super) fn int(node: &Node, path: &str) -> Option<i64> {
    node.at(path)?.scalar()?.int()
}

/// The texts of a list.
pub(super) fn texts(node: &Node, path: &str) -> Vec<String> {
    let items = node.at(path).map(Node::items).unwrap_or_default();
    items.iter().filter_map(Node::scalar).map(|scalar| scalar.text.clone()).collect()
}

/// The items of a list of mappings.
pub(super) fn items<'a>(node: &'a Node, path: &str) -> &'a [Node] {
    node.at(path).map(Node::items).unwrap_or_default()
}

/// Whether something is said by a key.
pub(super) fn is_said(node: &Node, path: &str) -> bool {
    node.at(path).is_some_and(|node| !node.is_null())
}

/// Where metrics are to be had: without a block `metrics`, at M3's default for the program.
pub(super) fn metrics_address(root: &Node, default: &str) -> Option<String> {
    match text(root, "metrics.prometheus.listenAddress") {
        Some(address) => Some(address.to_owned()),
        None => (!is_said(root, "metrics")).then(|| default.to_owned()),
    }
}
