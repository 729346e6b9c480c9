//! Words that say nothing, and marks of unfinished work.

use super::{Finding, lexer};
use crate::tree::Source;

/// Names that say where code was put, not what it is.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "mod"];

/// Endings of type names that say the same.
const EMPTY_ENDINGS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

/// Marks that need the number of an issue behind them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Checks file names, module names, type names and marks.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let parts = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
    if source.is_rust() && parts.clone().any(|part| EMPTY_NAMES.contains(&part)) {
        let what = "the path names no concept";
        findings.push(Finding::new(&source.path, 1, what, "name the file after what is in it"));
    }
    for (i, line) in source.text.lines().enumerate() {
        if let Some(mark) = unfinished(line) {
            let what = format!("{mark} without the number of an issue");
            let mend = "do it now, or open an issue and write its #number";
            findings.push(Finding::new(&source.path, i + 1, what, mend));
        }
    }
    if source.is_rust() && !source.is_generated() {
        for (i, line) in lexer::code_only(&source.text).lines().enumerate() {
            if let Some((what, mend)) = empty_code(line) {
                findings.push(Finding::new(&source.path, i + 1, what, mend));
            }
        }
    }
    findings
}

/// A mark of unfinished work that no `#123` follows.
fn unfinished(line: &str) -> Option<&'static str> {
    UNFINISHED.iter().copied().find(|mark| {
        line.match_indices(mark).any(|(at, _)| {
            let after = line.get(at + mark.len()..).unwrap_or_default();
            let before = line.get(..at).unwrap_or_default();
            let is_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let number = after.trim_start_matches(['(', ':', ' ']).strip_prefix('#');
            let has_issue =
                number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            is_word && !has_issue
        })
    })
}

fn empty_code(line: &str) -> Option<(String, &'static str)> {
    let code = line.trim();
    if code.contains(concat!("#[ign", "ore")) {
        let what = "a test that never runs".to_owned();
        return Some((what, "mend it or delete it"));
    }
    if code.contains(concat!("to", "do!(")) || code.contains(concat!("unimple", "mented!(")) {
        return Some(("a hole in the code".to_owned(), "write it, or return a typed error"));
    }
    let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    while let Some(word) = words.next() {
        let name = match word {
            "mod" | "struct" | "enum" | "trait" | "type" => words.next().unwrap_or_default(),
            _ => continue,
        };
        let is_empty = if word == "mod" {
            EMPTY_NAMES.contains(&name)
        } else {
            EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending))
        };
        if is_empty {
            return Some((format!("`{name}` names no concept"), "use a noun of the domain"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn paths_and_names_need_a_concept() {
        assert_eq!(findings("core/src/clock.rs", "mod clock;\nstruct Clock;"), 0);
        assert_eq!(findings("core/src/util.rs", ""), 1);
        assert_eq!(findings("core/src/hash/mod.rs", ""), 1);
        assert_eq!(findings("core/src/x.rs", "pub mod helpers;"), 1);
        assert_eq!(findings("core/src/x.rs", "pub struct FlushManager {"), 1);
        assert_eq!(findings("core/src/x.rs", "use hyper_util::rt; // struct XManager"), 0);
    }

    #[test]
    fn unfinished_work_needs_an_issue() {
        let mark = UNFINISHED[0];
        assert_eq!(findings("a.rs", &format!("// {mark}: later")), 1);
        assert_eq!(findings("a.rs", &format!("// {mark}(#12): later")), 0);
        assert_eq!(findings("a.rs", &format!("// {mark}(#x): later")), 1);
        assert_eq!(findings("a.rs", &format!("const {mark}_COUNT: u8 = 1;")), 0);
        assert_eq!(findings("docs/x.md", mark), 1);
    }

    #[test]
    fn holes_and_sleeping_tests_are_found() {
        assert_eq!(findings("a.rs", concat!("    to", "do!()")), 1);
        assert_eq!(findings("a.rs", concat!("#[ign", "ore = \"slow\"]")), 1);
    }
}
