//! Matchers, compiled once per search.
//!
//! An absent label has the empty value. So a matcher is one of two things: it demands values that
//! some label must have (`Include`), or it excludes documents whose label has another value
//! (`Exclude`). In both, the values are those that pass the test or, since the values of one label
//! do not overlap, the rest of the documents that have the label:
//!
//! | the test accepts the empty value | `=`, `=~` | `!=`, `!~` |
//! |---|---|---|
//! | no | include those that pass | exclude those that pass |
//! | yes | exclude the rest | include the rest |

use m3rs_core::model::{MatchOp, Matcher};
use m3rs_core::regexp::RegexpError;

use crate::limits::Limits;
use crate::regexp::ValueTest;

/// What a matcher does with the documents of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Include,
    Exclude,
}

/// Which documents of a label are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those whose value passes the test.
    Passing,
    /// Those whose value does not.
    Rest,
}

/// A matcher ready to be run.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) name: String,
    /// What was written after the operator: the key of cached results.
    pub(crate) pattern: String,
    pub(crate) test: ValueTest,
    pub(crate) effect: Effect,
    pub(crate) side: Side,
}

impl Condition {
    fn new(matcher: &Matcher, limits: &Limits) -> Result<Self, RegexpError> {
        let (test, is_negated) = match matcher.op {
            MatchOp::Equal => (ValueTest::Literal(matcher.value.clone()), false),
            MatchOp::NotEqual => (ValueTest::Literal(matcher.value.clone()), true),
            MatchOp::Regexp => (regexp(matcher, limits)?, false),
            MatchOp::NotRegexp => (regexp(matcher, limits)?, true),
        };
        let (effect, side) = match (test.is_match(""), is_negated) {
            (false, false) => (Effect::Include, Side::Passing),
            (false, true) => (Effect::Exclude, Side::Passing),
            (true, false) => (Effect::Exclude, Side::Rest),
            (true, true) => (Effect::Include, Side::Rest),
        };
        let (name, pattern) = (matcher.name.clone(), matcher.value.clone());
        Ok(Self { name, pattern, test, effect, side })
    }

    /// Whether documents whose value passes the test satisfy the matcher, rather than the others.
    pub(crate) fn wants_passing(&self) -> bool {
        match (self.effect, self.side) {
            (Effect::Include, Side::Passing) | (Effect::Exclude, Side::Rest) => true,
            (Effect::Exclude, Side::Passing) | (Effect::Include, Side::Rest) => false,
        }
    }
}

fn regexp(matcher: &Matcher, limits: &Limits) -> Result<ValueTest, RegexpError> {
    ValueTest::of_regexp(&matcher.value, limits.literals_max)
}

/// Matchers that must all hold. Without any, every document is selected.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) verify_max: usize,
}

impl Plan {
    pub(crate) fn new(matchers: &[Matcher], limits: &Limits) -> Result<Self, RegexpError> {
        let conditions =
            matchers.iter().map(|m| Condition::new(m, limits)).collect::<Result<_, _>>()?;
        Ok(Self { conditions, verify_max: limits.verify_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_value_decides_the_effect() {
        use MatchOp::{Equal, NotEqual, NotRegexp, Regexp};
        let table = [
            (Equal, "x", Effect::Include, Side::Passing),
            (Equal, "", Effect::Exclude, Side::Rest),
            (NotEqual, "x", Effect::Exclude, Side::Passing),
            (NotEqual, "", Effect::Include, Side::Rest),
            (Regexp, "x.*", Effect::Include, Side::Passing),
            (Regexp, ".*", Effect::Exclude, Side::Rest),
            (Regexp, "x|", Effect::Exclude, Side::Rest),
            (NotRegexp, "x", Effect::Exclude, Side::Passing),
            (NotRegexp, ".*", Effect::Include, Side::Rest),
            (NotRegexp, ".+", Effect::Exclude, Side::Passing),
        ];
        for (op, value, effect, side) in table {
            let matcher = Matcher::new("a", op, value);
            let condition = Condition::new(&matcher, &Limits::default()).expect("valid");
            assert_eq!((condition.effect, condition.side), (effect, side), "{matcher}");
        }
    }
}
