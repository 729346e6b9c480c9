//! Which room may import which.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata};

use super::Finding;
use crate::tree::Tree;

/// Rooms, and what each may import. Rooms that are not listed may import all.
const LAW: &[(&str, &[&str])] = &[
    ("m3rs-core", &[]),
    ("m3rs-index", &["m3rs-core"]),
    ("m3rs-tsdb", &["m3rs-core", "m3rs-index"]),
    ("m3rs-query", &["m3rs-core"]),
    ("m3rs-cluster", &["m3rs-core"]),
    ("m3rs-aggregator", &["m3rs-core", "m3rs-cluster"]),
    (
        "m3rs-coordinator",
        &["m3rs-core", "m3rs-tsdb", "m3rs-query", "m3rs-cluster", "m3rs-aggregator"],
    ),
    (
        "m3rs",
        &[
            "m3rs-core",
            "m3rs-index",
            "m3rs-tsdb",
            "m3rs-query",
            "m3rs-cluster",
            "m3rs-aggregator",
            "m3rs-coordinator",
        ],
    ),
];

/// Rooms that import all and that nobody imports.
const TOOL_ROOMS: &[&str] = &["m3rs-sim", "m3rs-benches", "xtask"];

/// What every room may use in its tests.
const TEST_ROOMS: &[&str] = &["m3rs-sim"];

const MEND: &str = "move the code to the room that may see both (docs/ARCHITECTURE.md, rooms)";

/// One dependency between rooms.
#[derive(Clone, Copy, Debug)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    is_for_tests: bool,
}

/// Reads the workspace's dependencies and compares them with the law.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(tree.root())
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    Ok(check_metadata(tree, &metadata))
}

fn check_metadata(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let members = metadata.workspace_packages();
    let rooms: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in &members {
        let manifest = package.manifest_path.as_std_path();
        let path = manifest.strip_prefix(tree.root()).unwrap_or(manifest).to_string_lossy();
        for dependency in &package.dependencies {
            if !rooms.contains(dependency.name.as_str()) {
                continue;
            }
            let is_for_tests = dependency.kind == DependencyKind::Development;
            let edge = Edge { from: &package.name, to: &dependency.name, is_for_tests };
            if let Some(what) = broken(edge) {
                findings.push(Finding::new(&path, 1, what, MEND));
            }
        }
    }
    findings
}

/// What is wrong with an edge, if anything.
fn broken(edge: Edge<'_>) -> Option<String> {
    let Edge { from, to, is_for_tests } = edge;
    if from == to || (is_for_tests && TEST_ROOMS.contains(&to)) || TOOL_ROOMS.contains(&from) {
        return None;
    }
    let Some((_, allowed)) = LAW.iter().find(|(room, _)| *room == from) else {
        return Some(format!("room {from} has no row in the import law"));
    };
    let kind = if is_for_tests { " in its tests" } else { "" };
    (!allowed.contains(&to)).then(|| format!("{from} may not import {to}{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge<'a>(from: &'a str, to: &'a str) -> Edge<'a> {
        Edge { from, to, is_for_tests: false }
    }

    #[test]
    fn rooms_import_only_what_the_law_lists() {
        assert_eq!(broken(edge("m3rs-tsdb", "m3rs-index")), None);
        assert_eq!(broken(edge("m3rs", "m3rs-tsdb")), None);
        assert_eq!(broken(edge("xtask", "m3rs-query")), None);
        let query = broken(edge("m3rs-query", "m3rs-tsdb")).expect("forbidden");
        assert_eq!(query, "m3rs-query may not import m3rs-tsdb");
        assert!(broken(edge("m3rs-core", "m3rs-index")).is_some());
        assert!(broken(edge("m3rs-coordinator", "m3rs-sim")).is_some());
        assert!(broken(edge("m3rs-new", "m3rs-core")).is_some());
    }

    #[test]
    fn tests_may_use_the_simulator_and_nothing_else_more() {
        let for_tests = |from, to| Edge { from, to, is_for_tests: true };
        assert_eq!(broken(for_tests("m3rs-tsdb", "m3rs-sim")), None);
        assert!(broken(for_tests("m3rs-query", "m3rs-tsdb")).is_some());
    }
}
