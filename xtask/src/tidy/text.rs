//! Width of lines, and characters beyond ASCII.

use super::Finding;
use super::lexer::{self, Part};
use crate::tree::Source;

/// Characters of a line.
const LINE_WIDTH_MAX: usize = 100;

/// Characters beyond ASCII that comments may use: units, relations, arrows, drawings.
const IN_COMMENTS: &str = "\u{a7}\u{b0}\u{b1}\u{b2}\u{b5}\u{b7}\u{bd}\u{d7}\u{e9}\u{394}\u{3a3}\
    \u{3bc}\u{3c3}\u{2011}\u{2013}\u{2014}\u{2018}\u{2019}\u{201c}\u{201d}\u{2026}\u{2190}\u{2191}\
    \u{2192}\u{2193}\u{21d2}\u{2208}\u{2212}\u{221e}\u{2227}\u{2228}\u{2229}\u{222a}\u{2248}\
    \u{2260}\u{2264}\u{2265}\u{2282}\u{2286}";

/// Checks both.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let width = line.chars().count();
        if width > LINE_WIDTH_MAX && !line.contains("http") {
            let what = format!("{width} columns, at most {LINE_WIDTH_MAX}");
            findings.push(Finding::new(&source.path, i + 1, what, "break the line"));
        }
    }
    let mut line = 1;
    for (c, part) in source.text.chars().zip(lexer::parts(&source.text)) {
        if c == '\n' {
            line += 1;
        }
        let allowed = match part {
            Part::Literal => true,
            Part::Comment => c.is_ascii() || IN_COMMENTS.contains(c) || is_box_drawing(c),
            Part::Code => c.is_ascii(),
        };
        if !allowed {
            let what = format!("{c:?} is not ASCII");
            findings.push(Finding::new(&source.path, line, what, "spell it in ASCII"));
        }
    }
    findings
}

fn is_box_drawing(c: char) -> bool {
    ('\u{2500}'..='\u{257f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<Finding> {
        check(&Source { path: "a.rs".into(), text: text.into() })
    }

    #[test]
    fn a_line_of_100_passes_and_101_fails() {
        assert_eq!(findings(&"a".repeat(100)), []);
        assert_eq!(findings(&"a".repeat(101)).len(), 1);
    }

    #[test]
    fn only_literals_are_free() {
        assert_eq!(findings("let a = \"\u{fc}\";"), []);
        assert_eq!(findings("// at most \u{2264} 3"), []);
        assert_eq!(findings("\n// \u{fc}").first().map(|f| f.line), Some(2));
        assert_eq!(findings("let \u{fc} = 1;").len(), 1);
    }
}
