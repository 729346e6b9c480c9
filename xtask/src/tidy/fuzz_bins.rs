//! Fuzz targets and the manifest that builds them name each other.

use std::collections::BTreeSet;

use super::Finding;
use crate::tree::Source;

const MANIFEST: &str = "fuzz/Cargo.toml";
const TARGETS: &str = "fuzz/fuzz_targets/";

/// Checks that each target file has a `[[bin]]`, and each `[[bin]]` its file.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let files: BTreeSet<&str> = sources
        .iter()
        .filter_map(|source| source.path.strip_prefix(TARGETS)?.strip_suffix(".rs"))
        .collect();
    let manifest = sources.iter().find(|source| source.path == MANIFEST);
    let bins: BTreeSet<&str> = manifest
        .map_or("", |source| source.text.as_str())
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    let mut findings = Vec::new();
    for target in files.symmetric_difference(&bins) {
        let what = match files.contains(target) {
            true => format!("fuzz target `{target}` is not built"),
            false => format!("fuzz target `{target}` has no file"),
        };
        let mend = "one [[bin]] with name, path, test = false for each file of fuzz_targets/";
        findings.push(Finding::new(MANIFEST, 1, what, mend));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_target_and_its_entry_belong_together() {
        let file = source("fuzz/fuzz_targets/regexp.rs", "");
        let entry = source(MANIFEST, "[[bin]]\npath = \"fuzz_targets/regexp.rs\"\n");
        assert_eq!(check(&[file.clone(), entry.clone()]), []);
        assert_eq!(check(&[file]).len(), 1);
        assert_eq!(check(&[entry]).len(), 1);
    }
}
