//! Expressions as JSON, in the shape of Prometheus's `/api/v1/parse_query`: members sorted by name,
//! times in milliseconds, numbers as texts.
//!
//! **Cost:** linear in the tree. The depth of the stack is that of the tree, which the parser
//! limits.

use m3rs_core::model::Matcher;

use super::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, Expr, ExprKind, OffsetSign, PlacedDuration,
    RangeEdges, Selector, Timed, ValueType, VectorMatching,
};
use super::signature::{Variadic, signature};
use crate::number::write_float;
use crate::render::{Escaping, write_text};

/// The tree as a JSON object.
#[must_use]
pub fn json(expr: &Expr) -> Vec<u8> {
    let mut out = Vec::new();
    write_expr(&mut out, expr, Times::default());
    out
}

/// Times of a selector or subquery that are expressions.
#[derive(Clone, Copy, Default)]
struct Times<'a> {
    range: Option<&'a DurationExpr>,
    step: Option<&'a DurationExpr>,
    offset: Option<&'a DurationExpr>,
    offset_sign: OffsetSign,
}

impl<'a> From<&'a Timed> for Times<'a> {
    fn from(timed: &'a Timed) -> Self {
        let Timed { expr: _, range, step, offset, offset_sign } = timed;
        let expr = |time: &'a Option<PlacedDuration>| time.as_ref().map(|time| &time.expr);
        Self {
            range: expr(range),
            step: expr(step),
            offset: expr(offset),
            offset_sign: *offset_sign,
        }
    }
}

/// `times` are those of a selector or subquery, and are for no other kind.
fn write_expr(out: &mut Vec<u8>, expr: &Expr, times: Times<'_>) {
    match &expr.kind {
        ExprKind::Number(value) | ExprKind::Duration(value) => {
            push(out, "{\"type\":\"numberLiteral\",\"val\":");
            write_number(out, *value);
        }
        ExprKind::String(text) => {
            push(out, "{\"type\":\"stringLiteral\",\"val\":");
            write_text(out, text, Escaping::Html);
        }
        ExprKind::Vector(selector) => write_selector(out, selector, None, times),
        ExprKind::Matrix { selector, range_ms } => {
            write_selector(out, selector, Some(*range_ms), times);
        }
        ExprKind::Timed(timed) => return write_expr(out, &timed.expr, timed.as_ref().into()),
        ExprKind::Subquery { .. } => write_subquery(out, &expr.kind, times),
        ExprKind::Unary { is_minus, expr } => {
            push(out, "{\"expr\":");
            write_expr(out, expr, Times::default());
            let op = if *is_minus { "-" } else { "+" };
            push(out, ",\"op\":\"");
            push(out, op);
            push(out, "\",\"type\":\"unaryExpr\"");
        }
        ExprKind::Paren(inner) => {
            push(out, "{\"expr\":");
            write_expr(out, inner, Times::default());
            push(out, ",\"type\":\"parenExpr\"");
        }
        ExprKind::Binary(binary) => write_binary(out, binary),
        ExprKind::Aggregate(aggregate) => write_aggregate(out, aggregate),
        ExprKind::Call { function, args } => write_call(out, function, args),
    }
    out.push(b'}');
}

fn write_selector(out: &mut Vec<u8>, selector: &Selector, range_ms: Option<i64>, times: Times<'_>) {
    push(out, "{\"anchored\":");
    write_bool(out, selector.edges == Some(RangeEdges::Anchored));
    push(out, ",\"matchers\":");
    write_list(out, &selector.matchers, write_matcher);
    push(out, ",\"name\":");
    write_text(out, selector.name.as_deref().unwrap_or_default(), Escaping::Html);
    write_offset(out, selector.offset_ms, times);
    if let Some(range_ms) = range_ms {
        write_range(out, range_ms, times.range);
    }
    push(out, ",\"smoothed\":");
    write_bool(out, selector.edges == Some(RangeEdges::Smoothed));
    let (named, fixed) = at_texts(selector.at);
    push(out, ",\"startOrEnd\":");
    push(out, named);
    push(out, ",\"timestamp\":");
    push(out, &fixed);
    let kind = if range_ms.is_some() { "matrixSelector" } else { "vectorSelector" };
    write_type(out, kind);
}

fn write_subquery(out: &mut Vec<u8>, kind: &ExprKind, times: Times<'_>) {
    let ExprKind::Subquery { expr, range_ms, step_ms, offset_ms, at } = kind else {
        unreachable!("BUG: only subqueries are written as such")
    };
    push(out, "{\"expr\":");
    write_expr(out, expr, Times::default());
    write_offset(out, *offset_ms, times);
    write_range(out, *range_ms, times.range);
    let (named, fixed) = at_texts(*at);
    push(out, ",\"startOrEnd\":");
    push(out, named);
    push(out, ",\"step\":");
    write_int(out, step_ms.unwrap_or(0));
    push(out, ",\"stepExpr\":");
    write_duration_or_null(out, times.step);
    push(out, ",\"timestamp\":");
    push(out, &fixed);
    write_type(out, "subquery");
}

fn write_offset(out: &mut Vec<u8>, offset_ms: i64, times: Times<'_>) {
    push(out, ",\"offset\":");
    write_int(out, offset_ms);
    push(out, ",\"offsetExpr\":");
    match times.offset_sign {
        OffsetSign::Merged => write_duration_or_null(out, times.offset),
        OffsetSign::Plus => write_operation(out, (None, "+", times.offset), Wrapped::No),
    }
}

fn write_range(out: &mut Vec<u8>, range_ms: i64, expr: Option<&DurationExpr>) {
    push(out, ",\"range\":");
    write_int(out, range_ms);
    push(out, ",\"rangeExpr\":");
    write_duration_or_null(out, expr);
}

/// The values of `startOrEnd` and `timestamp`.
fn at_texts(at: Option<At>) -> (&'static str, String) {
    let null = || "null".to_owned();
    match at {
        None => ("null", null()),
        Some(At::Start) => ("\"start\"", null()),
        Some(At::End) => ("\"end\"", null()),
        Some(At::TimeMs(ms)) => ("null", ms.to_string()),
    }
}

fn write_matcher(out: &mut Vec<u8>, matcher: &Matcher) {
    push(out, "{\"name\":");
    write_text(out, &matcher.name, Escaping::Html);
    write_type(out, matcher.op.as_str());
    push(out, ",\"value\":");
    write_text(out, &matcher.value, Escaping::Html);
    out.push(b'}');
}

fn write_binary(out: &mut Vec<u8>, binary: &Binary) {
    push(out, "{\"bool\":");
    write_bool(out, binary.return_bool);
    push(out, ",\"lhs\":");
    write_expr(out, &binary.lhs, Times::default());
    push(out, ",\"matching\":");
    match &binary.matching {
        Some(matching) => write_matching(out, matching),
        None => push(out, "null"),
    }
    push(out, ",\"op\":");
    write_text(out, binary.op.as_str(), Escaping::Html);
    push(out, ",\"rhs\":");
    write_expr(out, &binary.rhs, Times::default());
    write_type(out, "binaryExpr");
}

fn write_matching(out: &mut Vec<u8>, matching: &VectorMatching) {
    let cardinality = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    push(out, "{\"card\":\"");
    push(out, cardinality);
    push(out, "\",\"fillValues\":{\"lhs\":");
    write_fill(out, matching.fill.0);
    push(out, ",\"rhs\":");
    write_fill(out, matching.fill.1);
    push(out, "},\"include\":");
    write_names(out, &matching.include);
    push(out, ",\"labels\":");
    write_names(out, &matching.labels);
    push(out, ",\"on\":");
    write_bool(out, matching.on);
    out.push(b'}');
}

/// Numbers that JSON does not have are texts; Prometheus answers 500 to those.
fn write_fill(out: &mut Vec<u8>, fill: Option<f64>) {
    match fill {
        None => push(out, "null"),
        Some(value) if value.is_finite() => write_float(out, value),
        Some(value) => write_number(out, value),
    }
}

fn write_aggregate(out: &mut Vec<u8>, aggregate: &Aggregate) {
    push(out, "{\"expr\":");
    write_expr(out, &aggregate.expr, Times::default());
    push(out, ",\"grouping\":");
    write_names(out, &aggregate.labels);
    push(out, ",\"op\":\"");
    push(out, aggregate.op.as_str());
    push(out, "\",\"param\":");
    match &aggregate.param {
        Some(param) => write_expr(out, param, Times::default()),
        None => push(out, "null"),
    }
    write_type(out, "aggregation");
    push(out, ",\"without\":");
    write_bool(out, aggregate.without);
}

fn write_call(out: &mut Vec<u8>, function: &str, args: &[Expr]) {
    let signature =
        signature(function).expect("BUG: the parser refuses functions that it does not know");
    push(out, "{\"args\":");
    write_list(out, args, |out, arg| write_expr(out, arg, Times::default()));
    push(out, ",\"func\":{\"argTypes\":");
    write_list(out, signature.args, |out, kind| {
        write_text(out, type_word(*kind), Escaping::Html);
    });
    push(out, ",\"name\":\"");
    push(out, signature.name);
    push(out, "\",\"returnType\":\"");
    push(out, type_word(signature.returns));
    push(out, "\",\"variadic\":");
    write_int(
        out,
        match signature.variadic {
            Variadic::Fixed => 0,
            Variadic::UpTo(more) => i64::try_from(more).unwrap_or(i64::MAX),
            Variadic::Any => -1,
        },
    );
    out.push(b'}');
    write_type(out, "call");
}

/// The word of Prometheus's code.
fn type_word(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}

fn write_duration_or_null(out: &mut Vec<u8>, expr: Option<&DurationExpr>) {
    match expr {
        Some(expr) => write_duration(out, expr, Wrapped::No),
        None => push(out, "null"),
    }
}

/// Whether parentheses stand around a duration; those around a literal are not in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapped {
    Yes,
    No,
}

fn write_duration(out: &mut Vec<u8>, expr: &DurationExpr, wrapped: Wrapped) {
    let (lhs, op, rhs) = match expr {
        DurationExpr::Number(seconds) => return write_seconds(out, *seconds, "false"),
        DurationExpr::Literal(seconds) => return write_seconds(out, *seconds, "true"),
        DurationExpr::Paren(inner) => return write_duration(out, inner, Wrapped::Yes),
        DurationExpr::Step => (None, "step", None),
        DurationExpr::Range => (None, "range", None),
        DurationExpr::Negative { expr: inner, .. } => (None, "-", Some(&**inner)),
        DurationExpr::Binary { op, lhs, rhs, .. } => (Some(&**lhs), op.as_str(), Some(&**rhs)),
    };
    write_operation(out, (lhs, op, rhs), wrapped);
}

fn write_operation(
    out: &mut Vec<u8>,
    (lhs, op, rhs): (Option<&DurationExpr>, &str, Option<&DurationExpr>),
    wrapped: Wrapped,
) {
    push(out, "{\"lhs\":");
    write_duration_or_null(out, lhs);
    push(out, ",\"op\":\"");
    push(out, op);
    push(out, "\",\"rhs\":");
    write_duration_or_null(out, rhs);
    write_type(out, "durationExpr");
    push(out, ",\"wrapped\":");
    write_bool(out, wrapped == Wrapped::Yes);
    out.push(b'}');
}

fn write_seconds(out: &mut Vec<u8>, seconds: f64, is_literal: &str) {
    push(out, "{\"duration\":");
    push(out, is_literal);
    push(out, ",\"type\":\"numberLiteral\",\"val\":");
    write_number(out, seconds);
    out.push(b'}');
}

/// `,"type":"…"`; words such as `!=` and `=~` need no escapes.
fn write_type(out: &mut Vec<u8>, kind: &str) {
    push(out, ",\"type\":\"");
    push(out, kind);
    out.push(b'"');
}

/// The shortest decimal that gives the number back, without exponent, as a text.
fn write_number(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    if value.is_nan() {
        push(out, "NaN");
    } else if value.is_infinite() {
        push(out, if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push(out, &value.to_string());
    }
    out.push(b'"');
}

fn write_names(out: &mut Vec<u8>, names: &[String]) {
    write_list(out, names, |out, name| write_text(out, name, Escaping::Html));
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn write_int(out: &mut Vec<u8>, value: i64) {
    push(out, &value.to_string());
}

fn write_bool(out: &mut Vec<u8>, value: bool) {
    push(out, if value { "true" } else { "false" });
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
