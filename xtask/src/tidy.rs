//! `cargo xtask tidy`: the rules of the house that neither rustfmt nor clippy can see.
//!
//! Each rule is a file in `tidy/`: a pure function from sources to [`Finding`]s. `docs/STYLE.md`
//! says why each rule stands.

mod format_docs;
mod fuzz_bins;
mod import_law;
mod length;
mod lexer;
mod orphan;
mod paths;
mod presence;
mod text;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::codegen;
use crate::tree::Tree;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    mend: &'static str,
}

impl Finding {
    /// `line` counts from 1.
    fn new(path: &str, line: usize, what: impl Into<String>, mend: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), mend }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.mend)
    }
}

/// Checks every rule; with `bless`, records the present hashes of format documents first.
///
/// # Errors
/// Any broken rule; all are printed.
pub(crate) fn run(tree: &Tree, bless: bool) -> Result<()> {
    if bless {
        format_docs::bless(tree)?;
    }
    let sources = tree.sources()?;
    let mut findings = import_law::check(tree)?;
    for source in &sources {
        findings.extend(paths::check(source));
        findings.extend(words::check(source));
        if source.is_rust() && !source.is_generated() {
            findings.extend(length::check(source));
            findings.extend(text::check(source));
        }
    }
    findings.extend(orphan::check(&sources));
    findings.extend(fuzz_bins::check(&sources));
    findings.extend(presence::check(tree));
    findings.extend(format_docs::check(tree)?);
    if let Err(error) = codegen::check(tree) {
        let mend = "generated sources follow their protobuf files";
        findings.push(Finding::new("xtask/src/codegen.rs", 1, format!("{error:#}"), mend));
    }
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files", findings.len(), sources.len());
    }
    println!("    {} files are tidy", sources.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_and_how_to_mend() {
        let finding = Finding::new("a/b.rs", 7, "it is long", "split it");
        assert_eq!(finding.to_string(), "a/b.rs:7: it is long; split it");
    }
}
