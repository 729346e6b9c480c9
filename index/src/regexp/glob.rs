//! Literals with anything between them: `a.*`, `.*b`, `a.+b.*c`.

use memchr::memmem::Finder;

/// What may stand between two literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// `.*`
    Any,
    /// `.+`
    Some,
}

impl Gap {
    /// Fewest bytes. A character has one or more, and literals start at characters, so counting
    /// bytes finds the same places as counting characters.
    fn len_min(self) -> usize {
        match self {
            Self::Any => 0,
            Self::Some => 1,
        }
    }
}

/// A sequence of literals and gaps that starts and ends with a literal, perhaps an empty one.
///
/// Each inner literal is taken at its first place, which leaves most room for the rest: so one pass
/// without going back decides.
#[derive(Debug)]
pub(crate) struct Glob {
    /// One element, or none if the first literal is empty.
    prefix: Vec<String>,
    middle: Vec<(Gap, Finder<'static>)>,
    last: (Gap, String),
}

impl Glob {
    /// Builds `first`, then each gap followed by its literal. `rest` has an element or more.
    pub(super) fn new(first: String, mut rest: Vec<(Gap, String)>) -> Option<Self> {
        let last = rest.pop()?;
        let middle = rest
            .into_iter()
            .map(|(gap, literal)| (gap, Finder::new(literal.as_bytes()).into_owned()))
            .collect();
        let prefix = if first.is_empty() { Vec::new() } else { vec![first] };
        Some(Self { prefix, middle, last })
    }

    /// The text that each match starts with.
    pub(super) fn prefix(&self) -> &[String] {
        &self.prefix
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut at = 0;
        // An empty text has no address, and a comparison of no bytes that looks there takes 90 ns.
        if let Some(first) = self.prefix.first() {
            if !bytes.starts_with(first.as_bytes()) {
                return false;
            }
            at = first.len();
        }
        for (gap, finder) in &self.middle {
            let from = at + gap.len_min();
            let Some(found) = bytes.get(from..).and_then(|rest| finder.find(rest)) else {
                return false;
            };
            at = from + found + finder.needle().len();
        }
        let (gap, last) = &self.last;
        bytes.len() >= at + gap.len_min() + last.len()
            && (last.is_empty() || bytes.ends_with(last.as_bytes()))
    }
}
