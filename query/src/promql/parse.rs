//! Query text to a checked syntax tree.
//!
//! One pass over tokens by operator precedence. Operators are kept on a list, so that only
//! parentheses, calls and brackets use the stack of the thread, and those are limited.
//!
//! **Cost:** linear in the text; a few microseconds for a common query. [`ParseLimits`] bound time
//! and stack for any text, also those of whoever walks the tree later.

mod aggregate;
mod binary;
mod call;
mod duration;
mod expression;
mod lex;
mod number;
mod parser;
mod regexp;
mod selector;
mod string;
mod time;
mod token;

use m3rs_core::model::Matcher;

use super::ast::{Expr, Span};
use super::check;
use super::error::{ParseError, ParseErrorCause};
use parser::Parser;

pub use time::{ParseDurationError, format_duration, parse_duration_ms, parse_units_ms};

/// How large and how deep a query text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Bytes of text. Setting `query.text_bytes_max`.
    pub bytes_max: usize,
    /// Depth of parentheses and calls. Setting `query.nesting_max`.
    pub nesting_max: usize,
    /// Operators, signs and ranges, which may nest the tree as deep as their number. Setting
    /// `query.operators_max`.
    pub operators_max: usize,
}

/// 1 MiB, 128 levels, 1,000 operators.
impl Default for ParseLimits {
    fn default() -> Self {
        Self { bytes_max: 1 << 20, nesting_max: 128, operators_max: 1000 }
    }
}

/// What the parser takes. The default takes all of Prometheus 3.14, experimental parts included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Limits of size.
    pub limits: ParseLimits,
    /// Functions and aggregations that Prometheus calls experimental.
    pub experimental_functions: bool,
    /// Arithmetic, `step()`, `range()` and the like in durations.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            limits: ParseLimits::default(),
            experimental_functions: true,
            duration_expressions: true,
            extended_selectors: true,
            fill_modifiers: true,
        }
    }
}

/// Parses and type-checks a query.
///
/// # Errors
/// The first fault of the text, in Prometheus's words; [`ParseErrorCause::Limit`] if the text is
/// too large; [`ParseErrorCause::Unsupported`] if it uses what `options` switch off.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    check_bytes(text, &options.limits)?;
    let mut parser = Parser::new(text, options);
    let mut expr = parser.parse_query()?;
    check::check(text, &mut expr)?;
    Ok(expr)
}

/// Parses a series selector as in `match[]`: a metric name, conditions in braces, or both.
///
/// The name's condition stands last, as in [`crate::promql::ast::Selector::matchers`].
/// Prometheus's parser lets a selector without conditions pass here; its callers refuse it.
///
/// # Errors
/// As [`parse`].
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let options = ParseOptions::default();
    check_bytes(text, &options.limits)?;
    Parser::new(text, &options).parse_metric_selector()
}

fn check_bytes(text: &str, limits: &ParseLimits) -> Result<(), ParseError> {
    // Positions are 32 bits wide, whatever the setting.
    let bytes_max = limits.bytes_max.min(u32::MAX as usize / 2);
    if text.len() <= bytes_max {
        return Ok(());
    }
    let message = format!(
        "query has {} bytes, more than the limit of {bytes_max} (query.text_bytes_max)",
        text.len()
    );
    Err(ParseError::new(ParseErrorCause::Limit, text, Span::default(), message))
}

/// Whether a regular expression that the parser has accepted matches the empty string.
pub(super) fn regexp_matches_empty(pattern: &str) -> bool {
    regexp::matches_empty(pattern).is_ok_and(|matches| matches)
}
