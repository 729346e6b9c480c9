//! Conditions on label values: a regular expression is reduced to the cheapest test that is equal
//! to it, and compiled only if nothing cheaper is.

mod automaton;
mod classify;
mod glob;

use std::sync::OnceLock;

use m3rs_core::regexp::{AnchoredRegex, RegexpError};

pub(crate) use automaton::{Automaton, Budgeted};
pub(crate) use glob::Glob;

/// A condition on a value. An absent label has the empty value.
#[derive(Debug)]
pub(crate) enum ValueTest {
    /// Every value, the empty one too.
    Any,
    /// Every value but the empty one.
    NonEmpty,
    /// One value.
    Literal(String),
    /// One of several values, sorted.
    Set(Vec<String>),
    /// Literals with anything between them.
    Glob(Glob),
    /// A regular expression that is none of the above.
    Regex(Box<Regexp>),
}

impl ValueTest {
    /// Reduces a regular expression; one that stands for at most `literals_max` values is a set.
    pub(crate) fn of_regexp(pattern: &str, literals_max: usize) -> Result<Self, RegexpError> {
        classify::classify(pattern, literals_max)
    }

    pub(crate) fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::NonEmpty => !value.is_empty(),
            Self::Literal(literal) => value == literal,
            Self::Set(set) => set.binary_search_by(|s| s.as_str().cmp(value)).is_ok(),
            Self::Glob(glob) => glob.is_match(value),
            Self::Regex(regexp) => regexp.regex.is_match(value),
        }
    }

    /// Whether a value with these bytes may pass: a quick look, where all that pass start alike.
    pub(crate) fn may_match(&self, value: &[u8]) -> bool {
        match self.prefixes() {
            [prefix] => value.starts_with(prefix.as_bytes()),
            _ => true,
        }
    }

    /// Texts of which each matching value starts with one; none if that is not known.
    pub(crate) fn prefixes(&self) -> &[String] {
        match self {
            Self::Glob(glob) => glob.prefix(),
            Self::Regex(regexp) => &regexp.prefixes,
            Self::Any | Self::NonEmpty | Self::Literal(_) | Self::Set(_) => &[],
        }
    }
}

/// A general regular expression, and what is known of it.
#[derive(Debug)]
pub(crate) struct Regexp {
    regex: AnchoredRegex,
    /// Sorted; no one starts with another; empty if not known.
    prefixes: Vec<String>,
    automaton: OnceLock<Option<Automaton>>,
}

impl Regexp {
    fn new(regex: AnchoredRegex, prefixes: Vec<String>) -> Self {
        Self { regex, prefixes, automaton: OnceLock::new() }
    }

    /// The dense automaton, built at the first call; `None` if it would exceed `bytes_max`.
    pub(crate) fn automaton(&self, bytes_max: usize) -> Option<&Automaton> {
        self.automaton.get_or_init(|| Automaton::new(self.regex.source(), bytes_max)).as_ref()
    }
}
