//! `label_replace` and `label_join`: what they do to one label set.
//!
//! The engine applies them to every series and then merges series whose labels became equal.

use m3rs_core::model::Labels;
use regex::{Captures, Regex, RegexBuilder};

/// The most memory that a compiled expression may take.
const PROGRAM_BYTES_MAX: usize = 10 << 20;

/// Why the arguments of a label function were refused; the texts are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelFunctionError {
    /// The expression does not parse, or is too large.
    #[error("invalid regular expression in label_replace(): {0}")]
    Regexp(String),
    /// The label to write cannot have that name.
    #[error("invalid destination label name in {function}(): {name}")]
    Destination {
        /// The function.
        function: &'static str,
        /// The name.
        name: String,
    },
    /// A label to read cannot have that name.
    #[error("invalid source label name in {function}(): {name}")]
    Source {
        /// The function.
        function: &'static str,
        /// The name.
        name: String,
    },
}

/// `label_replace(v, dst, replacement, src, regex)`, compiled.
#[derive(Clone, Debug)]
pub struct LabelReplace {
    regex: Regex,
    dst: String,
    src: String,
    replacement: Vec<Piece>,
}

impl LabelReplace {
    /// Compiles the arguments. `regex` matches whole values, and its dot matches newlines.
    ///
    /// # Errors
    /// [`LabelFunctionError::Regexp`] and [`LabelFunctionError::Destination`].
    pub fn new(
        dst: &str,
        replacement: &str,
        src: &str,
        regex: &str,
    ) -> Result<Self, LabelFunctionError> {
        let regex = RegexBuilder::new(&format!("^(?s:{regex})$"))
            .size_limit(PROGRAM_BYTES_MAX)
            .build()
            .map_err(|_| LabelFunctionError::Regexp(regex.to_owned()))?;
        if dst.is_empty() {
            let function = "label_replace";
            return Err(LabelFunctionError::Destination { function, name: dst.to_owned() });
        }
        let replacement = template(replacement);
        Ok(Self { regex, dst: dst.to_owned(), src: src.to_owned(), replacement })
    }

    /// The label that is written.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.dst
    }

    /// The new labels; `None` if the expression does not match and nothing is to be done.
    #[must_use]
    pub fn apply(&self, labels: &Labels) -> Option<Labels> {
        let captures = self.regex.captures(labels.get(&self.src).unwrap_or(""))?;
        let value = self.expand(&captures);
        let mut builder = labels.to_builder();
        builder.set(&self.dst, &value);
        Some(builder.build())
    }

    fn expand(&self, captures: &Captures<'_>) -> String {
        let mut value = String::new();
        for piece in &self.replacement {
            let group = match piece {
                Piece::Text(text) => {
                    value.push_str(text);
                    continue;
                }
                Piece::Number(number) => captures.get(*number),
                Piece::Name(name) => captures.name(name),
            };
            value.push_str(group.map_or("", |m| m.as_str()));
        }
        value
    }
}

/// A part of a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(usize),
    Name(String),
}

/// Splits a replacement at `$1`, `${1}`, `$name`, `${name}` and `$$`; a dollar sign that starts
/// none of these is a text.
fn template(mut rest: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = group_name(after) {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(group_piece(name));
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The name after a dollar sign, with or without braces, and what follows it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let (is_braced, text) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let is_part = |c: char| c == '_' || c.is_alphabetic() || c.is_numeric();
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = if is_braced { rest.strip_prefix('}')? } else { rest };
    Some((name, rest))
}

/// Numbers of up to eight digits are positions, everything else a name.
fn group_piece(name: &str) -> Piece {
    let has_leading_zero = name.len() > 1 && name.starts_with('0');
    let is_number = name.len() <= 8 && name.bytes().all(|b| b.is_ascii_digit());
    match name.parse() {
        Ok(number) if is_number && !has_leading_zero => Piece::Number(number),
        _ => Piece::Name(name.to_owned()),
    }
}

/// `label_join(v, dst, separator, src, …)`, checked.
#[derive(Clone, Debug)]
pub struct LabelJoin {
    dst: String,
    separator: String,
    sources: Vec<String>,
}

impl LabelJoin {
    /// Checks the arguments.
    ///
    /// # Errors
    /// [`LabelFunctionError::Source`] and [`LabelFunctionError::Destination`].
    pub fn new(dst: &str, separator: &str, sources: &[&str]) -> Result<Self, LabelFunctionError> {
        let function = "label_join";
        if let Some(name) = sources.iter().find(|s| s.is_empty()) {
            return Err(LabelFunctionError::Source { function, name: (*name).to_owned() });
        }
        if dst.is_empty() {
            return Err(LabelFunctionError::Destination { function, name: dst.to_owned() });
        }
        Ok(Self {
            dst: dst.to_owned(),
            separator: separator.to_owned(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
        })
    }

    /// The label that is written.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.dst
    }

    /// The new labels.
    #[must_use]
    pub fn apply(&self, labels: &Labels) -> Labels {
        let values: Vec<&str> =
            self.sources.iter().map(|name| labels.get(name).unwrap_or("")).collect();
        let mut builder = labels.to_builder();
        builder.set(&self.dst, &values.join(&self.separator));
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).expect("valid")
    }

    fn replace(dst: &str, replacement: &str, src: &str, regex: &str) -> Option<Labels> {
        let source = labels(&[("src", "source-value-10"), ("dst", "original")]);
        LabelReplace::new(dst, replacement, src, regex).expect("valid").apply(&source)
    }

    fn dst_of(replacement: &str, regex: &str) -> String {
        let replaced = replace("dst", replacement, "src", regex).expect("match");
        replaced.get("dst").unwrap_or("").to_owned()
    }

    #[test]
    fn groups_are_inserted() {
        assert_eq!(dst_of("value-$1", "source-value-(.*)"), "value-10");
        assert_eq!(dst_of("${1}x", "source-value-(.*)"), "10x");
        assert_eq!(dst_of("$1x", "source-value-(.*)"), "");
        assert_eq!(dst_of("$name!", "source-value-(?P<name>.*)"), "10!");
        assert_eq!(dst_of("$2$01|", "(.*)"), "|");
        assert_eq!(dst_of("$$1 $ ${ ${x", "(.*)"), "$1 $ ${ ${x");
        assert_eq!(dst_of("$", "(.*)"), "$");
    }

    #[test]
    fn only_whole_values_match() {
        assert_eq!(replace("dst", "x", "src", "value"), None);
        assert_eq!(replace("dst", "x", "src", "source|value"), None);
        assert!(replace("dst", "x", "nope", "").is_some());
        let replaced = replace("dst", "", "src", ".*").expect("match");
        assert_eq!(replaced.get("dst"), None);
    }

    #[test]
    fn bad_arguments_are_refused() {
        let error = LabelReplace::new("dst", "", "src", "(.*").expect_err("no parse");
        assert_eq!(error.to_string(), "invalid regular expression in label_replace(): (.*");
        let error = LabelReplace::new("", "", "src", "(.*)").expect_err("empty");
        assert_eq!(error.to_string(), "invalid destination label name in label_replace(): ");
        let error = LabelJoin::new("", "-", &["a"]).expect_err("empty");
        assert_eq!(error.to_string(), "invalid destination label name in label_join(): ");
        let error = LabelJoin::new("dst", "-", &["a", ""]).expect_err("empty");
        assert_eq!(error.to_string(), "invalid source label name in label_join(): ");
    }

    #[test]
    fn values_are_joined() {
        let source = labels(&[("a", "1"), ("b", "2"), ("dst", "old")]);
        let join = |names: &[&str]| LabelJoin::new("dst", "-", names).expect("valid");
        assert_eq!(join(&["a", "b", "c"]).apply(&source).get("dst"), Some("1-2-"));
        assert_eq!(join(&[]).apply(&source).get("dst"), None);
    }
}
