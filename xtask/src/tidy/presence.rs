//! Files that the repository must have.

use std::os::unix::fs::PermissionsExt;

use super::Finding;
use crate::tree::Tree;

const PAPERS: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "deny.toml",
    "docs/ARCHITECTURE.md",
    "docs/GLOSSARY.md",
    "docs/STYLE.md",
    "docs/config.md",
    "docs/dependencies.md",
];

const SCRIPT: &str = ".ci/run";

/// Checks that each is there, that none is empty, and that the script can be run.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in PAPERS.iter().chain([&SCRIPT]) {
        let is_there = tree.at(path).metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0);
        if !is_there {
            findings.push(Finding::new(path, 1, "the file is missing or empty", "write it"));
        }
    }
    let mode = tree.at(SCRIPT).metadata().map_or(0, |meta| meta.permissions().mode());
    if mode & 0o111 == 0 {
        findings.push(Finding::new(SCRIPT, 1, "it cannot be run", "chmod +x it"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_there_and_runs() {
        let tree = Tree::find().expect("the repository");
        assert!(!check(&tree).iter().any(|finding| finding.path == SCRIPT));
    }
}
