//! Expressions as text: on one line, or wrapped as `format_query` does.
//!
//! The text parses to the same tree again, up to the order of conditions in braces, which are
//! printed sorted.

use std::fmt::{self, Write as _};

use super::ast::{
    Aggregate, At, Binary, BinaryOp, Cardinality, DurationExpr, DurationOp, Expr, ExprKind,
    PlacedDuration, Selector, Timed, VectorMatching,
};
use super::parse::format_duration;
use m3rs_core::model::{Labels, MatchOp, Matcher};
use quote::push_quoted;

mod pretty;
pub(crate) mod quote;

pub use pretty::pretty;

/// The expression on one line, as Prometheus writes it in messages.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        push_expr(&mut out, self);
        f.write_str(&out)
    }
}

pub(super) fn push_expr(out: &mut String, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(value) => push_number(out, *value),
        ExprKind::Duration(seconds) => out.push_str(&format_seconds(*seconds)),
        ExprKind::String(text) => push_quoted(out, text),
        ExprKind::Vector(_) | ExprKind::Matrix { .. } => {
            push_selection(out, &expr.kind, Times::default());
        }
        ExprKind::Timed(timed) => push_timed(out, timed),
        ExprKind::Subquery { expr: inner, .. } => {
            push_expr(out, inner);
            push_subquery_suffix(out, &expr.kind, Times::default());
        }
        ExprKind::Unary { is_minus, expr } => {
            out.push(if *is_minus { '-' } else { '+' });
            push_expr(out, expr);
        }
        ExprKind::Paren(inner) => {
            out.push('(');
            push_expr(out, inner);
            out.push(')');
        }
        ExprKind::Binary(binary) => {
            if is_infinite_base(binary) {
                out.push_str(INFINITE_BASE);
            } else {
                push_expr(out, &binary.lhs);
            }
            out.push(' ');
            push_operator(out, binary);
            out.push(' ');
            push_expr(out, &binary.rhs);
        }
        ExprKind::Aggregate(aggregate) => {
            push_aggregate_head(out, aggregate);
            out.push('(');
            if let Some(param) = &aggregate.param {
                push_expr(out, param);
                out.push_str(", ");
            }
            push_expr(out, &aggregate.expr);
            out.push(')');
        }
        ExprKind::Call { function, args } => {
            out.push_str(function);
            out.push('(');
            push_list(out, args, push_expr);
            out.push(')');
        }
    }
}

/// Infinity as the base of a power: with a sign, that would be the sign of the power.
pub(super) const INFINITE_BASE: &str = "Inf";

pub(super) fn is_infinite_base(binary: &Binary) -> bool {
    binary.op == BinaryOp::Pow && matches!(binary.lhs.kind, ExprKind::Number(f64::INFINITY))
}

/// Times of a selector or subquery that are expressions.
#[derive(Clone, Copy, Default)]
struct Times<'a> {
    range: Option<&'a DurationExpr>,
    step: Option<&'a DurationExpr>,
    offset: Option<&'a DurationExpr>,
}

impl<'a> From<&'a Timed> for Times<'a> {
    fn from(timed: &'a Timed) -> Self {
        let Timed { expr: _, range, step, offset, offset_sign: _ } = timed;
        let expr = |time: &'a Option<PlacedDuration>| time.as_ref().map(|time| &time.expr);
        Self { range: expr(range), step: expr(step), offset: expr(offset) }
    }
}

fn push_timed(out: &mut String, timed: &Timed) {
    if let ExprKind::Subquery { expr, .. } = &timed.expr.kind {
        push_expr(out, expr);
        push_subquery_suffix(out, &timed.expr.kind, timed.into());
    } else {
        push_selection(out, &timed.expr.kind, timed.into());
    }
}

/// An instant or range selector.
fn push_selection(out: &mut String, kind: &ExprKind, times: Times<'_>) {
    let (selector, range_ms) = match kind {
        ExprKind::Vector(selector) => (selector, None),
        ExprKind::Matrix { selector, range_ms } => (selector, Some(*range_ms)),
        _ => unreachable!("BUG: only selectors have a selection"),
    };
    push_selector(out, selector);
    if let Some(range_ms) = range_ms {
        out.push('[');
        push_time(out, range_ms, times.range);
        out.push(']');
    } else {
        push_at(out, selector.at);
    }
    if let Some(edges) = selector.edges {
        out.push(' ');
        out.push_str(edges.as_str());
    }
    if range_ms.is_some() {
        push_at(out, selector.at);
    }
    push_offset(out, selector.offset_ms, times.offset);
}

fn push_selector(out: &mut String, selector: &Selector) {
    let name = selector.name.as_deref().unwrap_or_default();
    out.push_str(name);
    let is_name = |matcher: &&Matcher| {
        matcher.name == "__name__"
            && matcher.op == MatchOp::Equal
            && matcher.value == name
            && !name.is_empty()
    };
    let mut matchers: Vec<String> =
        selector.matchers.iter().filter(|matcher| !is_name(matcher)).map(format_matcher).collect();
    if matchers.is_empty() {
        if name.is_empty() {
            out.push_str("{}");
        }
        return;
    }
    matchers.sort_unstable();
    out.push('{');
    out.push_str(&matchers.join(","));
    out.push('}');
}

/// Conditions as they stand between braces, in their order.
pub(crate) fn format_matchers(matchers: &[Matcher]) -> String {
    matchers.iter().map(format_matcher).collect::<Vec<_>>().join(",")
}

fn format_matcher(matcher: &Matcher) -> String {
    let mut out = String::new();
    push_label(&mut out, &matcher.name);
    out.push_str(matcher.op.as_str());
    push_quoted(&mut out, &matcher.value);
    out
}

/// The suffix `[range:step] @ time offset duration` of a subquery.
fn push_subquery_suffix(out: &mut String, kind: &ExprKind, times: Times<'_>) {
    let ExprKind::Subquery { range_ms, step_ms, offset_ms, at, .. } = kind else {
        unreachable!("BUG: only subqueries have this suffix")
    };
    out.push('[');
    push_time(out, *range_ms, times.range);
    out.push(':');
    if step_ms.is_some() || times.step.is_some() {
        push_time(out, step_ms.unwrap_or_default(), times.step);
    }
    out.push(']');
    push_at(out, *at);
    push_offset(out, *offset_ms, times.offset);
}

fn push_time(out: &mut String, ms: i64, expr: Option<&DurationExpr>) {
    match expr {
        Some(expr) => push_duration(out, expr),
        None => out.push_str(&format_duration(ms)),
    }
}

fn push_at(out: &mut String, at: Option<At>) {
    match at {
        None => {}
        Some(At::Start) => out.push_str(" @ start()"),
        Some(At::End) => out.push_str(" @ end()"),
        Some(At::TimeMs(ms)) => {
            let sign = if ms < 0 { "-" } else { "" };
            let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
            push_format(out, format_args!(" @ {sign}{seconds}.{rest:03}"));
        }
    }
}

fn push_offset(out: &mut String, offset_ms: i64, expr: Option<&DurationExpr>) {
    if let Some(expr) = expr {
        out.push_str(" offset ");
        push_duration(out, expr);
    } else if offset_ms != 0 {
        out.push_str(" offset ");
        out.push_str(&format_duration(offset_ms));
    }
}

fn push_duration(out: &mut String, expr: &DurationExpr) {
    match expr {
        DurationExpr::Number(seconds) => push_number(out, *seconds),
        DurationExpr::Literal(seconds) => out.push_str(&format_seconds(*seconds)),
        DurationExpr::Step => out.push_str("step()"),
        DurationExpr::Range => out.push_str("range()"),
        DurationExpr::Negative { expr: inner, .. } => {
            out.push('-');
            push_duration(out, inner);
        }
        DurationExpr::Paren(inner) => {
            out.push('(');
            push_duration(out, inner);
            out.push(')');
        }
        DurationExpr::Binary {
            op: op @ (DurationOp::MinOf | DurationOp::MaxOf), lhs, rhs, ..
        } => {
            out.push_str(op.as_str());
            out.push('(');
            push_duration(out, lhs);
            out.push_str(", ");
            push_duration(out, rhs);
            out.push(')');
        }
        DurationExpr::Binary { op, lhs, rhs, .. } => {
            // A sign binds less than `^`, so a negative number must keep its own.
            let is_negative = matches!(
                **lhs,
                DurationExpr::Number(value) | DurationExpr::Literal(value)
                    if value.is_sign_negative()
            );
            let needs_parens = is_negative && *op == DurationOp::Pow;
            if needs_parens {
                out.push('(');
            }
            push_duration(out, lhs);
            if needs_parens {
                out.push(')');
            }
            push_format(out, format_args!(" {} ", op.as_str()));
            push_duration(out, rhs);
        }
    }
}

/// The operator with its modifiers.
pub(super) fn push_operator(out: &mut String, binary: &Binary) {
    out.push_str(binary.op.as_str());
    if binary.return_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        push_matching(out, matching, binary.op);
    }
}

fn push_matching(out: &mut String, matching: &VectorMatching, op: BinaryOp) {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    debug_assert!(group.is_none() || !op.is_set(), "BUG: set operators do not group");
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        out.push_str(if matching.on { " on (" } else { " ignoring (" });
        push_labels(out, &matching.labels);
        out.push(')');
    }
    if let Some(group) = group {
        push_format(out, format_args!(" group_{group} ("));
        push_labels(out, &matching.include);
        out.push(')');
    }
    match matching.fill {
        (Some(left), Some(right)) if is_same(left, right) => push_fill(out, "fill", left),
        (left, right) => {
            if let Some(left) = left {
                push_fill(out, "fill_left", left);
            }
            if let Some(right) = right {
                push_fill(out, "fill_right", right);
            }
        }
    }
}

/// Equal, and of the same sign if zero.
fn is_same(left: f64, right: f64) -> bool {
    left == right && left.is_sign_negative() == right.is_sign_negative()
}

fn push_fill(out: &mut String, name: &str, value: f64) {
    push_format(out, format_args!(" {name} ("));
    let scientific = format!("{value:e}");
    let parts = scientific
        .split_once('e')
        .and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    match parts {
        // PARITY(prometheus): exponents from 1e6 on and below 1e-4, unlike other numbers.
        Some((digits, exponent)) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            push_format(out, format_args!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
        }
        _ => push_number(out, value),
    }
    out.push(')');
}

/// `sum by (a, b) `, up to the parenthesis of the arguments.
pub(super) fn push_aggregate_head(out: &mut String, aggregate: &Aggregate) {
    out.push_str(aggregate.op.as_str());
    if aggregate.without {
        out.push_str(" without (");
    } else if !aggregate.labels.is_empty() {
        out.push_str(" by (");
    } else {
        return;
    }
    push_labels(out, &aggregate.labels);
    out.push_str(") ");
}

fn push_labels(out: &mut String, labels: &[String]) {
    push_list(out, labels, |out, label| {
        // These words are no names in a list, unlike all others.
        let is_reserved =
            ["without", "inf", "nan"].iter().any(|word| label.eq_ignore_ascii_case(word));
        if is_reserved {
            push_quoted(out, label);
        } else {
            push_label(out, label);
        }
    });
}

/// A label's name, quoted unless it is a plain word.
fn push_label(out: &mut String, label: &str) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_with_digit = label.starts_with(|found: char| found.is_ascii_digit());
    if label.is_empty() || starts_with_digit || !label.bytes().all(is_word) {
        push_quoted(out, label);
    } else {
        out.push_str(label);
    }
}

/// Labels of a series as messages show them.
pub(crate) fn format_labels(labels: &Labels) -> String {
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    let mut out = String::from("{");
    push_list(&mut out, &pairs, |out, (name, value)| {
        push_label(out, name);
        out.push('=');
        push_quoted(out, value);
    });
    out.push('}');
    out
}

fn push_list<T>(out: &mut String, items: &[T], push: impl Fn(&mut String, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        push(out, item);
    }
}

/// The shortest decimal that gives the number back, without exponent.
fn push_number(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push_format(out, format_args!("{value}"));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "literals are below 2^53 milliseconds")]
fn format_seconds(seconds: f64) -> String {
    format_duration((seconds * 1000.0).round() as i64)
}

fn push_format(out: &mut String, args: fmt::Arguments<'_>) {
    out.write_fmt(args).expect("BUG: writing to a String cannot fail");
}
