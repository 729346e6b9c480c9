//! Rust files that no other file declares: they look alive and never build.

use std::collections::BTreeMap;

use super::Finding;
use crate::tree::Source;

/// Files that cargo finds by itself.
const ROOTS: &[&str] = &["lib.rs", "main.rs", "build.rs"];

/// Directories whose files cargo, or a manifest, names one by one.
const TARGET_DIRS: &[&str] = &["tests", "benches", "examples", "fuzz_targets", "bin"];

/// Checks that each file below `src` is declared by its parent, or by a `#[path]` somewhere.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let texts: BTreeMap<&str, &str> =
        sources.iter().map(|source| (source.path.as_str(), source.text.as_str())).collect();
    let by_path: Vec<&str> = sources
        .iter()
        .filter(|source| source.is_rust())
        .flat_map(|source| source.text.lines())
        .filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"))
        .collect();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        if !is_declared(&source.path, &texts, &by_path) {
            let what = "no file declares this module";
            findings.push(Finding::new(&source.path, 1, what, "declare it or delete it"));
        }
    }
    findings
}

fn is_declared(path: &str, texts: &BTreeMap<&str, &str>, by_path: &[&str]) -> bool {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let dir_name = dir.rsplit('/').next().unwrap_or(dir);
    if ROOTS.contains(&file) || TARGET_DIRS.contains(&dir_name) {
        return true;
    }
    let tail = |declared: &str| {
        let end = declared.trim_start_matches("../").trim_start_matches("./");
        path.ends_with(&format!("/{end}")) || path == end
    };
    if by_path.iter().any(|declared| tail(declared)) {
        return true;
    }
    let stem = file.trim_end_matches(".rs");
    let parents = [format!("{dir}.rs"), format!("{dir}/lib.rs"), format!("{dir}/main.rs")];
    parents.iter().filter_map(|parent| texts.get(parent.as_str())).any(|text| {
        text.lines().any(|line| {
            line.trim()
                .strip_suffix(';')
                .and_then(|line| line.rsplit_once("mod "))
                .is_some_and(|(_, name)| name == stem)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<Finding> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source { path: (*path).into(), text: (*text).into() })
            .collect();
        check(&sources)
    }

    #[test]
    fn declared_files_pass() {
        let files = [
            ("core/src/lib.rs", "pub mod time;\n"),
            ("core/src/time.rs", "pub(crate) mod duration;\n"),
            ("core/src/time/duration.rs", ""),
            ("core/tests/story.rs", "#[path = \"harness/client.rs\"]\nmod client;\n"),
            ("core/tests/harness/client.rs", ""),
        ];
        assert_eq!(tree(&files), []);
    }

    #[test]
    fn a_forgotten_file_is_found() {
        let files = [("core/src/lib.rs", "// mod old\n"), ("core/src/old.rs", "")];
        let found = tree(&files);
        assert_eq!(found.first().map(|f| f.path.as_str()), Some("core/src/old.rs"));
    }
}
