//! Matchers, ready to be asked.

use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_core::regexp::AnchoredRegex;

use super::SourceError;

/// A matcher with its regular expression compiled.
pub(crate) struct Condition<'a> {
    pub(crate) matcher: &'a Matcher,
    regex: Option<AnchoredRegex>,
}

impl<'a> Condition<'a> {
    /// # Errors
    /// [`SourceError::Invalid`] if the regular expression is none.
    pub(crate) fn new(matcher: &'a Matcher) -> Result<Self, SourceError> {
        let regex = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regexp | MatchOp::NotRegexp => Some(
                AnchoredRegex::new(&matcher.value)
                    .map_err(|e| SourceError::Invalid(e.to_string()))?,
            ),
        };
        Ok(Self { matcher, regex })
    }

    /// Whether the label's value fits.
    pub(crate) fn holds_for(&self, value: &str) -> bool {
        let is_match = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => value == self.matcher.value,
        };
        is_match == matches!(self.matcher.op, MatchOp::Equal | MatchOp::Regexp)
    }

    /// Whether a series fits.
    pub(crate) fn holds(&self, labels: &Labels) -> bool {
        self.holds_for(labels.get(&self.matcher.name).unwrap_or_default())
    }
}
