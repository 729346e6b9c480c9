//! Expressions over several lines, as `/api/v1/format_query` gives them.
//!
//! Whatever fits into 100 characters stays on one line; else operators, calls, aggregations and
//! parentheses put their parts on lines of their own, two spaces further in.

use super::{
    INFINITE_BASE, is_infinite_base, push_aggregate_head, push_expr, push_operator,
    push_subquery_suffix,
};
use crate::promql::ast::{Expr, ExprKind};

const LINE_LEN_MAX: usize = 100;

/// The expression, wrapped.
///
/// **Cost:** the length of the text times its depth; the parser's limits bound both.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    push_pretty(&mut out, expr, 0);
    out
}

fn push_indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str("  ");
    }
}

fn push_pretty(out: &mut String, expr: &Expr, level: usize) {
    match &expr.kind {
        ExprKind::Unary { is_minus, expr: inner } => {
            push_indent(out, level);
            out.push(if *is_minus { '-' } else { '+' });
            let mut operand = String::new();
            push_pretty(&mut operand, inner, level);
            out.push_str(operand.trim());
            return;
        }
        // PARITY(prometheus): a subquery that fits on a line is not indented.
        ExprKind::Subquery { expr: inner, .. } => {
            return push_subquery(out, expr, inner, level);
        }
        ExprKind::Timed(timed) => {
            if let ExprKind::Subquery { expr: inner, .. } = &timed.expr.kind {
                return push_subquery(out, expr, inner, level);
            }
        }
        _ => {}
    }
    let line = expr.to_string();
    let is_wrapped = line.len() > LINE_LEN_MAX
        && matches!(
            expr.kind,
            ExprKind::Paren(_)
                | ExprKind::Binary(_)
                | ExprKind::Aggregate(_)
                | ExprKind::Call { .. }
        );
    if !is_wrapped {
        push_indent(out, level);
        out.push_str(&line);
        return;
    }
    push_wrapped(out, expr, level);
}

fn push_wrapped(out: &mut String, expr: &Expr, level: usize) {
    match &expr.kind {
        ExprKind::Binary(binary) => {
            if is_infinite_base(binary) {
                push_indent(out, level + 1);
                out.push_str(INFINITE_BASE);
            } else {
                push_pretty(out, &binary.lhs, level + 1);
            }
            out.push('\n');
            push_indent(out, level);
            push_operator(out, binary);
            out.push('\n');
            push_pretty(out, &binary.rhs, level + 1);
        }
        ExprKind::Paren(inner) => {
            push_indent(out, level);
            out.push_str("(\n");
            push_pretty(out, inner, level + 1);
            push_close(out, level);
        }
        ExprKind::Aggregate(aggregate) => {
            push_indent(out, level);
            push_aggregate_head(out, aggregate);
            out.push_str("(\n");
            if let Some(param) = &aggregate.param {
                push_pretty(out, param, level + 1);
                out.push_str(",\n");
            }
            push_pretty(out, &aggregate.expr, level + 1);
            push_close(out, level);
        }
        ExprKind::Call { function, args } => {
            push_indent(out, level);
            out.push_str(function);
            out.push_str("(\n");
            for (index, arg) in args.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                }
                push_pretty(out, arg, level + 1);
            }
            push_close(out, level);
        }
        _ => push_expr(out, expr),
    }
}

fn push_close(out: &mut String, level: usize) {
    out.push('\n');
    push_indent(out, level);
    out.push(')');
}

fn push_subquery(out: &mut String, whole: &Expr, inner: &Expr, level: usize) {
    let line = whole.to_string();
    if line.len() <= LINE_LEN_MAX {
        out.push_str(&line);
        return;
    }
    push_pretty(out, inner, level);
    match &whole.kind {
        ExprKind::Timed(timed) => push_subquery_suffix(out, &timed.expr.kind, (&**timed).into()),
        kind => push_subquery_suffix(out, kind, super::Times::default()),
    }
}
