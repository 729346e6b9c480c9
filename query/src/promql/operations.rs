//! Expressions as M3 shows them at `/api/v1/parse` and `/api/v1/threshold`: a tree of operations
//! without selectors, labels and parameters.
//!
//! PARITY(m3): its `parse` and `threshold` endpoints; a selector is `fetch`, a number `scalar`, and
//! arguments that are numbers or texts are parameters and no nodes.
//!
//! **Cost:** linear in the tree. The depth of the stack is that of the tree, which the parser
//! limits.

use super::ast::{BinaryOp, Expr, ExprKind, Timed};

/// One operation, and what it works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name: that of a function or aggregation, an operator, `fetch`, `scalar` or `string`.
    pub name: String,
    /// Its operands, from left to right.
    pub children: Vec<Operation>,
}

/// An expression that is perhaps a comparison with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// What is compared, or the whole expression if it is no such comparison.
    pub query: Operation,
    /// The comparison as if the number stood at the right, and the number.
    pub comparison: Option<(BinaryOp, f64)>,
}

impl Operation {
    /// The operations of an expression.
    #[must_use]
    pub fn of(expr: &Expr) -> Self {
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Subquery { expr: inner, .. } => Self::of(inner),
            ExprKind::Timed(timed) => {
                let Timed { expr, .. } = &**timed;
                Self::of(expr)
            }
            ExprKind::Vector(_) | ExprKind::Matrix { .. } => Self::leaf("fetch"),
            ExprKind::Number(_) | ExprKind::Duration(_) => Self::leaf("scalar"),
            ExprKind::String(_) => Self::leaf("string"),
            ExprKind::Unary { is_minus, expr } => {
                Self::node(if *is_minus { "-" } else { "+" }, vec![Self::of(expr)])
            }
            ExprKind::Binary(binary) => {
                Self::node(binary.op.as_str(), vec![Self::of(&binary.lhs), Self::of(&binary.rhs)])
            }
            ExprKind::Aggregate(aggregate) => {
                Self::node(aggregate.op.as_str(), vec![Self::of(&aggregate.expr)])
            }
            ExprKind::Call { function, args } => {
                let children = args.iter().filter(|arg| !is_parameter(arg)).map(Self::of).collect();
                Self::node(function, children)
            }
        }
    }

    fn leaf(name: &str) -> Self {
        Self::node(name, Vec::new())
    }

    fn node(name: &str, children: Vec<Self>) -> Self {
        Self { name: name.to_owned(), children }
    }
}

impl Threshold {
    /// The comparison of an expression.
    #[must_use]
    pub fn of(expr: &Expr) -> Self {
        let whole = expr.unwrap_parens();
        if let ExprKind::Binary(binary) = &whole.kind
            && binary.op.is_comparison()
        {
            let (left, right) = (number(&binary.lhs), number(&binary.rhs));
            if let (None, Some(number)) = (left, right) {
                let comparison = Some((binary.op, number));
                return Self { query: Operation::of(&binary.lhs), comparison };
            }
            if let (Some(number), None) = (left, right) {
                let comparison = Some((turned(binary.op), number));
                return Self { query: Operation::of(&binary.rhs), comparison };
            }
        }
        Self { query: Operation::of(whole), comparison: None }
    }
}

fn is_parameter(expr: &Expr) -> bool {
    let expr = expr.unwrap_parens();
    number(expr).is_some() || matches!(expr.kind, ExprKind::String(_))
}

fn number(expr: &Expr) -> Option<f64> {
    match &expr.unwrap_parens().kind {
        ExprKind::Number(value) | ExprKind::Duration(value) => Some(*value),
        ExprKind::Unary { is_minus, expr } => {
            number(expr).map(|value| if *is_minus { -value } else { value })
        }
        _ => None,
    }
}

/// The comparison of exchanged operands.
fn turned(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Gtr => BinaryOp::Lss,
        BinaryOp::Lss => BinaryOp::Gtr,
        BinaryOp::Gte => BinaryOp::Lte,
        BinaryOp::Lte => BinaryOp::Gte,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{ParseOptions, parse};

    fn shown(operation: &Operation) -> String {
        let children: Vec<String> = operation.children.iter().map(shown).collect();
        match children.len() {
            0 => operation.name.clone(),
            _ => format!("{}({})", operation.name, children.join(",")),
        }
    }

    #[test]
    fn expressions_become_operations() {
        for (text, wanted) in [
            (r#"sum(rate(foo{bar="x"}[1m])) by (job) / 2"#, "/(sum(rate(fetch)),scalar)"),
            ("topk(5, -a) and (b offset 1m)", "and(topk(-(fetch)),fetch)"),
            ("clamp_min(max_over_time(a[5m:1m]), 3)", "clamp_min(max_over_time(fetch))"),
            (r#"label_replace(a, "b", "c", "d", "e")"#, "label_replace(fetch)"),
            ("time()", "time"),
        ] {
            let expr = parse(text, &ParseOptions::default()).expect("sound");
            assert_eq!(shown(&Operation::of(&expr)), wanted, "{text}");
        }
    }

    #[test]
    fn comparisons_have_their_number_at_the_right() {
        for (text, query, comparison) in [
            ("avg(foo) > 5", "avg(fetch)", Some((BinaryOp::Gtr, 5.0))),
            ("5 >= foo", "fetch", Some((BinaryOp::Lte, 5.0))),
            ("(a == bool -1)", "fetch", Some((BinaryOp::Eql, -1.0))),
            ("a > b", ">(fetch,fetch)", None),
            ("a+1", "+(fetch,scalar)", None),
        ] {
            let expr = parse(text, &ParseOptions::default()).expect("sound");
            let threshold = Threshold::of(&expr);
            assert_eq!((&*shown(&threshold.query), threshold.comparison), (query, comparison));
        }
    }
}
