//! Length of files and functions.

use super::{Finding, lexer};
use crate::tree::Source;

/// Lines of a file before its unit tests.
const FILE_LINES_MAX: usize = 600;

/// Lines of a function, its signature included.
const FUNCTION_LINES_MAX: usize = 70;

/// Checks both lengths.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = lines_before_tests(&source.text);
    if lines > FILE_LINES_MAX {
        findings.push(Finding::new(
            &source.path,
            1,
            format!("{lines} lines before the tests, at most {FILE_LINES_MAX}"),
            "give each concept a file of its own",
        ));
    }
    for function in functions(&source.text) {
        if function.lines > FUNCTION_LINES_MAX {
            findings.push(Finding::new(
                &source.path,
                function.line,
                format!("`{}` has {} lines, at most 70", function.name, function.lines),
                "name its parts",
            ));
        }
    }
    findings
}

/// Number of lines before `#[cfg(test)]` of the test module, or of the whole file.
pub(super) fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| matches!(pair, ["#[cfg(test)]", next] if next.starts_with("mod ")))
        .unwrap_or(lines.len())
}

#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// All functions with a body. In formatted code a body ends at the first `}` that stands as far
/// to the right as the signature.
fn functions(text: &str) -> Vec<Function> {
    let code = lexer::code_only(text);
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let rest = lines.get(i..).unwrap_or_default();
        // A declaration ends in `;`, a short body on its own line.
        let length = rest.iter().position(|l| {
            let is_here = l.len() - l.trim_start().len() == indent;
            is_here && l.trim_end().ends_with(['}', ';'])
        });
        if let Some(length) = length {
            found.push(Function { name: name.to_owned(), line: i + 1, lines: length + 1 });
        }
    }
    found
}

/// The name that a line declares a function by.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("fn ") {
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
            return after.get(..end).filter(|name| !name.is_empty());
        }
        let (word, after) = rest.split_once(' ')?;
        let is_qualifier = matches!(word, "pub" | "const" | "async" | "unsafe" | "extern")
            || word.starts_with("pub(");
        if !is_qualifier {
            return None;
        }
        rest = after.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: String) -> Source {
        Source { path: "core/src/x.rs".into(), text }
    }

    fn function_of(lines: usize) -> String {
        format!("pub(crate) async fn f(\n    a: u8,\n) {{\n{}}}\n", "    a;\n".repeat(lines - 4))
    }

    #[test]
    fn a_function_of_70_lines_passes_and_71_fails() {
        assert_eq!(check(&source(function_of(70))), []);
        let findings = check(&source(format!("\n{}", function_of(71))));
        assert_eq!(findings.len(), 1);
        let shown = findings.first().map(ToString::to_string).unwrap_or_default();
        assert_eq!(shown, "core/src/x.rs:2: `f` has 71 lines, at most 70; name its parts");
    }

    #[test]
    fn a_brace_in_a_string_ends_nothing() {
        let text = "fn f() {\n    let s = \"\n}\n\";\n    1;\n}\n";
        let found = functions(text);
        assert_eq!(found.first().map(|f| f.lines), Some(6));
    }

    #[test]
    fn a_declaration_has_no_body() {
        let found = functions("trait T {\n    fn a(&self);\n    fn b(&self) {}\n}\n");
        assert_eq!(found.iter().map(|f| f.lines).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn tests_do_not_count_into_a_file() {
        let code = "use x;\n".repeat(600);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    use y;\n".repeat(50));
        assert_eq!(check(&source(format!("{code}{tests}"))), []);
        assert_eq!(check(&source(format!("{code}use z;\n{tests}"))).len(), 1);
    }
}
