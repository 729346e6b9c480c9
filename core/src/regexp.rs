//! Regular expressions as Prometheus writes them: RE2 syntax, anchored at both ends.
//!
//! Patterns are read by the rules of Go's `regexp/syntax` package and rewritten for Rust's `regex`
//! crate, so that both accept the same patterns and match the same texts: a dot matches a newline,
//! `\d \s \w \b` are ASCII, `{x` is a literal, lookaround and back-references do not exist.
//!
//! Matching takes time linear in the text. Patterns come from outside, so their length, nesting
//! and compiled size have limits.

mod expand;
mod translate;

use std::fmt;

use crate::error::ErrorKind;

pub use translate::translate;

/// Longest pattern in bytes.
pub const PATTERN_LEN_MAX: usize = 64 << 10;

/// Deepest nesting of groups and repetitions.
pub const PATTERN_DEPTH_MAX: u32 = 200;

/// Largest count in a repetition, and largest product of the counts of nested ones.
pub const REPEAT_MAX: u32 = 1_000;

/// Largest compiled program in bytes.
pub const PROGRAM_BYTES_MAX: usize = 10 << 20;

/// Why a regular expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexpError {
    /// The pattern does not follow the syntax.
    #[error("invalid regular expression {pattern:?}: {what} at byte {at}")]
    Syntax {
        /// The pattern, cut if it is long.
        pattern: String,
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the start of the pattern.
        at: usize,
    },
    /// The pattern has more than [`PATTERN_LEN_MAX`] bytes.
    #[error("regular expression of {len} bytes: the limit is {max}", max = PATTERN_LEN_MAX)]
    TooLong {
        /// Bytes of the pattern.
        len: usize,
    },
    /// The pattern nests deeper than [`PATTERN_DEPTH_MAX`].
    #[error("regular expression nests deeper than {max}", max = PATTERN_DEPTH_MAX)]
    TooDeep,
    /// The program is larger than [`PROGRAM_BYTES_MAX`], or the engine refuses the pattern.
    #[error("regular expression {pattern:?} cannot be compiled: {reason}")]
    Compile {
        /// The pattern, cut if it is long.
        pattern: String,
        /// The engine's words.
        reason: String,
    },
}

impl RegexpError {
    /// The kind: the request is wrong. No setting makes a pattern over a limit acceptable.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// A compiled regular expression that matches whole texts only.
///
/// Cloning shares the program. Matching needs no lock that other threads could hold for long.
#[derive(Clone)]
pub struct AnchoredRegex {
    source: Box<str>,
    names: Box<[Option<Box<str>>]>,
    regex: regex::Regex,
}

impl AnchoredRegex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// [`RegexpError`] for wrong syntax and for patterns over a limit.
    pub fn new(pattern: &str) -> Result<Self, RegexpError> {
        let translated = translate::run(pattern)?;
        let regex = regex::RegexBuilder::new(&format!(r"\A{}\z", translated.pattern))
            .size_limit(PROGRAM_BYTES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX + 4)
            .build()
            .map_err(|e| RegexpError::Compile {
                pattern: cut(pattern),
                reason: match e {
                    regex::Error::CompiledTooBig(max) => format!("larger than {max} bytes"),
                    regex::Error::Syntax(text) => last_line(&text),
                    other => other.to_string(),
                },
            })?;
        Ok(Self { source: pattern.into(), names: translated.names, regex })
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether all of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Writes `template` with the groups of the match filled in; `None` if `text` does not match.
    ///
    /// The rules are those of Go's `Regexp.Expand`: `$1` and `${1}` are groups by number, `$name`
    /// and `${name}` by name, the longest name counts (`$1x` is the group named `1x`), a group that
    /// does not exist is empty, `$$` is a dollar sign, and a lone `$` stands for itself.
    #[must_use]
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        Some(expand::expand(template, &captures, &self.names))
    }
}

impl fmt::Debug for AnchoredRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnchoredRegex").field(&self.source).finish()
    }
}

/// Equal patterns compile to equal programs.
impl PartialEq for AnchoredRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for AnchoredRegex {}

/// The pattern for an error message: long ones lose their tail.
fn cut(pattern: &str) -> String {
    const SHOWN_LEN_MAX: usize = 200;
    let mut end = pattern.len().min(SHOWN_LEN_MAX);
    while !pattern.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < pattern.len() { "..." } else { "" };
    format!("{}{dots}", &pattern[..end])
}

/// The engine draws the pattern over several lines; the last one says what is wrong.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_is_anchored_and_crosses_lines() {
        let regex = AnchoredRegex::new("a.c").expect("valid");
        assert!(regex.is_match("abc"));
        assert!(regex.is_match("a\nc"));
        assert!(!regex.is_match("xabc"));
        assert!(!regex.is_match("abcx"));
        assert!(AnchoredRegex::new("a|b").expect("valid").is_match("b"));
        assert!(!AnchoredRegex::new("a|b").expect("valid").is_match("ab"));
    }

    #[test]
    fn limits_hold_at_their_edge() {
        assert!(translate(&"a".repeat(PATTERN_LEN_MAX)).is_ok());
        let long = "a".repeat(PATTERN_LEN_MAX + 1);
        assert_eq!(translate(&long), Err(RegexpError::TooLong { len: PATTERN_LEN_MAX + 1 }));
        let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
        let max = PATTERN_DEPTH_MAX as usize;
        assert!(AnchoredRegex::new(&deep(max)).is_ok());
        assert_eq!(AnchoredRegex::new(&deep(max + 1)), Err(RegexpError::TooDeep));
        assert!(AnchoredRegex::new("a{1000}").is_ok());
        assert!(AnchoredRegex::new("a{1001}").is_err());
        assert!(matches!(
            AnchoredRegex::new(r"(?:\pL{1,500}\pN{1,500}){2}"),
            Err(RegexpError::Compile { .. })
        ));
    }
}
