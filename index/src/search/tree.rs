//! Trees of conditions, as M3 has them.
//!
//! Conditions of one conjunction become one [`Plan`], so that the cheapest runs first whatever
//! order they were written in; only what a plan cannot say is worked out as sets of its own.

use m3rs_core::model::{MatchOp, Matcher};

use super::cache::PostingsCache;
use super::exec::search;
use super::plan::Plan;
use crate::error::IndexError;
use crate::limits::Limits;
use crate::postings::{Postings, Union};
use crate::segment::Segment;

/// Which series are wanted; M3's queries of an index.
///
/// A condition on a label holds for series that have it, unlike a [`Matcher`], for which an absent
/// label has the empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All series.
    All,
    /// Those whose label `name` has this value.
    Term {
        /// The label.
        name: String,
        /// The value.
        value: String,
    },
    /// Those whose label `name` has a value that all of the expression matches.
    Regexp {
        /// The label.
        name: String,
        /// The expression, in RE2's syntax.
        pattern: String,
    },
    /// Those that have the label.
    Field {
        /// The label.
        name: String,
    },
    /// Those that are not wanted by another query.
    Not(Box<Query>),
    /// Those that all of these want; none if there are none.
    And(Vec<Query>),
    /// Those that any of these wants; none if there are none.
    Or(Vec<Query>),
}

impl Query {
    /// Conditions in the tree, and knots that join them; stops counting behind `max`.
    fn count(&self, max: usize) -> usize {
        let mut waiting = vec![self];
        let mut count = 0;
        while let Some(query) = waiting.pop() {
            count += 1;
            if count > max {
                break;
            }
            match query {
                Self::All | Self::Term { .. } | Self::Regexp { .. } | Self::Field { .. } => {}
                Self::Not(inner) => waiting.push(inner),
                Self::And(parts) | Self::Or(parts) => {
                    // No more than those that decide.
                    waiting.extend(parts.iter().take(max.saturating_add(1)));
                }
            }
        }
        count
    }
}

/// A query that is ready to be run.
#[derive(Debug)]
pub(crate) enum Tree {
    Nothing,
    Plan(Plan),
    Not(Box<Tree>),
    /// What the plan finds, cut by each of the others.
    And(Plan, Vec<Tree>),
    Or(Vec<Tree>),
}

impl Tree {
    pub(crate) fn new(query: &Query, limits: &Limits) -> Result<Self, IndexError> {
        let max = limits.query_nodes_max;
        if query.count(max) > max {
            return Err(IndexError::QueryTooLarge { max });
        }
        Self::of(query, limits)
    }

    /// Recursion is bounded by the number of knots.
    fn of(query: &Query, limits: &Limits) -> Result<Self, IndexError> {
        match query {
            Query::Not(inner) => match as_matchers(query, limits)? {
                Some(matchers) => Ok(Self::Plan(Plan::new(&matchers, limits)?)),
                None => Ok(Self::Not(Box::new(Self::of(inner, limits)?))),
            },
            Query::And(parts) => Self::all_of(parts, limits),
            Query::Or(parts) => {
                let parts: Result<Vec<_>, _> = parts.iter().map(|p| Self::of(p, limits)).collect();
                Ok(Self::Or(parts?))
            }
            leaf => match as_matchers(leaf, limits)? {
                Some(matchers) => Ok(Self::Plan(Plan::new(&matchers, limits)?)),
                None => Ok(Self::Nothing),
            },
        }
    }

    fn all_of(parts: &[Query], limits: &Limits) -> Result<Self, IndexError> {
        if parts.is_empty() {
            return Ok(Self::Nothing);
        }
        let (mut matchers, mut others) = (Vec::new(), Vec::new());
        for part in parts {
            match as_matchers(part, limits)? {
                Some(mut more) => matchers.append(&mut more),
                None => others.push(Self::of(part, limits)?),
            }
        }
        // Exclusions last: by then fewer candidates are left.
        others.sort_by_key(|other| matches!(other, Self::Not(_)));
        Ok(Self::And(Plan::new(&matchers, limits)?, others))
    }

    /// The documents of `segment` that are wanted.
    pub(crate) fn search(
        &self,
        segment: &dyn Segment,
        cache: &PostingsCache,
    ) -> Result<Postings, IndexError> {
        match self {
            Self::Nothing => Ok(Postings::empty()),
            Self::Plan(plan) => search(segment, plan, cache),
            Self::Not(inner) => {
                // What comes to a growing segment after this count is no part of the answer.
                let all = Postings::all(segment.doc_count());
                Ok(all.and_not(&inner.search(segment, cache)?))
            }
            Self::And(plan, others) => {
                let mut docs = search(segment, plan, cache)?;
                for other in others {
                    if docs.is_empty() {
                        break;
                    }
                    docs = match other {
                        Self::Not(inner) => docs.and_not(&inner.search(segment, cache)?),
                        wanted => docs.and(&wanted.search(segment, cache)?),
                    };
                }
                Ok(docs)
            }
            Self::Or(parts) => {
                let mut union = Union::default();
                for part in parts {
                    union.add(part.search(segment, cache)?);
                }
                Ok(union.finish())
            }
        }
    }
}

/// The matchers that all hold for just those series that a query wants; `None` if there are none
/// such.
fn as_matchers(query: &Query, limits: &Limits) -> Result<Option<Vec<Matcher>>, IndexError> {
    use MatchOp::{Equal, NotEqual, NotRegexp, Regexp};
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value);
    Ok(match query {
        Query::All => Some(Vec::new()),
        Query::Field { name } => Some(vec![matcher(name, NotEqual, "")]),
        // No label has the empty value.
        Query::Term { value, .. } if value.is_empty() => None,
        Query::Term { name, value } => Some(vec![matcher(name, Equal, value)]),
        Query::Regexp { name, pattern } => {
            let mut all = vec![matcher(name, Regexp, pattern)];
            if accepts_empty(pattern, limits)? {
                all.push(matcher(name, NotEqual, ""));
            }
            Some(all)
        }
        Query::Not(inner) => match &**inner {
            Query::Field { name } => Some(vec![matcher(name, Equal, "")]),
            Query::Term { value, .. } if value.is_empty() => Some(Vec::new()),
            Query::Term { name, value } => Some(vec![matcher(name, NotEqual, value)]),
            Query::Regexp { name, pattern } if !accepts_empty(pattern, limits)? => {
                Some(vec![matcher(name, NotRegexp, pattern)])
            }
            _ => None,
        },
        Query::And(_) | Query::Or(_) => None,
    })
}

fn accepts_empty(pattern: &str, limits: &Limits) -> Result<bool, IndexError> {
    Ok(crate::regexp::ValueTest::of_regexp(pattern, limits.literals_max)?.is_match(""))
}
