//! Ties each format document to the code that it describes.
//!
//! `docs/formats/<name>.md` names its Rust source within its first lines. `docs/formats/HASHES`
//! holds a hash of both. A change of either fails here until a person has looked at both and run
//! `cargo xtask tidy --bless`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Finding, length};
use crate::tree::Tree;

const DIR: &str = "docs/formats";
const HASHES: &str = "docs/formats/HASHES";

/// Lines of a document that may name its source.
const HEAD_LINES: usize = 15;

const MEND: &str = "make document and code agree, then run `cargo xtask tidy --bless`";

/// Compares the present hashes with the recorded ones.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let now = hashes(tree, &mut findings)?;
    let recorded = if tree.at(HASHES).exists() { tree.read(HASHES)? } else { String::new() };
    findings.extend(compare(&parse(&recorded), &now));
    Ok(findings)
}

/// Records the present hashes.
pub(super) fn bless(tree: &Tree) -> Result<()> {
    let now = hashes(tree, &mut Vec::new())?;
    if now.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for (path, hash) in &now {
        writeln!(text, "{hash}  {path}").context("cannot format")?;
    }
    fs::write(tree.at(HASHES), text).context("cannot write the hashes")
}

/// Hashes of all documents and of the sources that they name.
fn hashes(tree: &Tree, findings: &mut Vec<Finding>) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for source in tree.sources()? {
        let is_doc = source.path.starts_with(DIR) && source.path.ends_with(".md");
        if !is_doc || source.path.ends_with("/README.md") {
            continue;
        }
        hashes.insert(source.path.clone(), sha256(&source.text));
        let named = named_sources(&source.text);
        if named.is_empty() {
            let what = format!("its first {HEAD_LINES} lines name no Rust source");
            findings.push(Finding::new(&source.path, 1, what, "name the file that it describes"));
        }
        for path in named {
            if !tree.at(&path).is_file() {
                let what = format!("{path} does not exist");
                findings.push(Finding::new(&source.path, 1, what, "name the file as it is now"));
                continue;
            }
            let text = tree.read(&path)?;
            hashes.insert(path, sha256(without_tests(&text)));
        }
    }
    Ok(hashes)
}

/// Paths that end in `.rs` in the head of a document.
fn named_sources(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .lines()
        .take(HEAD_LINES)
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || "/_.-".contains(c))))
        .filter(|word| word.ends_with(".rs") && word.contains('/'))
        .map(str::to_owned)
        .collect();
    found.dedup();
    found
}

fn without_tests(text: &str) -> &str {
    let lines = length::lines_before_tests(text);
    let end = text.split_inclusive('\n').take(lines).map(str::len).sum();
    text.get(..end).unwrap_or(text)
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, path)| (path.to_owned(), hash.to_owned()))
        .collect()
}

fn compare(recorded: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, hash) in now {
        match recorded.get(path) {
            Some(old) if old == hash => {}
            Some(_) => {
                findings.push(Finding::new(path, 1, "it changed since it was last compared", MEND));
            }
            None => findings.push(Finding::new(path, 1, "it was never compared", MEND)),
        }
    }
    for path in recorded.keys().filter(|path| !now.contains_key(*path)) {
        findings.push(Finding::new(HASHES, 1, format!("{path} is gone"), MEND));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_document_names_its_source() {
        let text = "# Commit log\n\nSource: `tsdb/src/commitlog/format.rs`, and `names.rs`.\n";
        assert_eq!(named_sources(text), ["tsdb/src/commitlog/format.rs"]);
        assert!(named_sources(&format!("{}a/b.rs", "\n".repeat(HEAD_LINES))).is_empty());
    }

    #[test]
    fn changes_on_either_side_are_found() {
        let recorded = map(&[("docs/formats/a.md", "1"), ("a/format.rs", "2")]);
        assert!(compare(&recorded, &recorded).is_empty());
        let code = map(&[("docs/formats/a.md", "1"), ("a/format.rs", "3")]);
        let found = compare(&recorded, &code);
        assert_eq!(found.first().map(|f| f.path.as_str()), Some("a/format.rs"));
        let gone = compare(&recorded, &map(&[("docs/formats/a.md", "1")]));
        assert_eq!(gone.len(), 1);
        assert_eq!(compare(&map(&[]), &recorded).len(), 2);
    }

    #[test]
    fn tests_are_not_part_of_the_hash() {
        let text = "const A: u8 = 1;\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(without_tests(text), "const A: u8 = 1;\n");
    }

    #[test]
    fn the_record_reads_back() {
        assert_eq!(parse("ab  docs/formats/a.md\n"), map(&[("docs/formats/a.md", "ab")]));
    }
}
