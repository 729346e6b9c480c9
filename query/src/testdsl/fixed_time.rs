//! Variants of an instant query with its time fixed by `@`, whose result must not depend on when
//! they are evaluated.

use crate::promql::ast::{At, Expr, ExprKind, Selector};
use crate::promql::{ParseError, ParseOptions, parse};

/// The query with `@ at_ms` on every selector that has none, and times to evaluate it at.
///
/// `None` if the query calls a function that looks at the evaluation time.
pub(super) fn variants(query: &str, at_ms: i64) -> Result<Option<(String, Vec<i64>)>, ParseError> {
    let mut expr = parse(query, &ParseOptions::default())?;
    let mut is_fixed = true;
    fix(&mut expr, at_ms, &mut is_fixed);
    let times = match at_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![at_ms.saturating_mul(-10), 0, at_ms / 5, at_ms, at_ms.saturating_mul(10)],
    };
    Ok(is_fixed.then(|| (expr.to_string(), times)))
}

/// Functions whose result depends on the evaluation time or on the times of their samples.
fn looks_at_time(function: &str) -> bool {
    matches!(
        function,
        "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "days_in_month"
            | "end"
            | "hour"
            | "minute"
            | "month"
            | "predict_linear"
            | "range"
            | "start"
            | "step"
            | "time"
            | "timestamp"
            | "year"
    )
}

fn fix_selector(selector: &mut Selector, at_ms: i64) {
    selector.at.get_or_insert(At::TimeMs(at_ms));
}

/// Nothing below a subquery changes: its own time decides.
fn fix(expr: &mut Expr, at_ms: i64, is_fixed: &mut bool) {
    match &mut expr.kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            fix_selector(selector, at_ms);
        }
        ExprKind::Subquery { at, .. } => {
            at.get_or_insert(At::TimeMs(at_ms));
        }
        ExprKind::Timed(timed) => fix(&mut timed.expr, at_ms, is_fixed),
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => fix(expr, at_ms, is_fixed),
        ExprKind::Binary(binary) => {
            fix(&mut binary.lhs, at_ms, is_fixed);
            fix(&mut binary.rhs, at_ms, is_fixed);
        }
        ExprKind::Aggregate(aggregate) => {
            fix(&mut aggregate.expr, at_ms, is_fixed);
            if let Some(param) = &mut aggregate.param {
                fix(param, at_ms, is_fixed);
            }
        }
        ExprKind::Call { function, args } => {
            *is_fixed &= !looks_at_time(function);
            args.iter_mut().for_each(|arg| fix(arg, at_ms, is_fixed));
        }
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(query: &str) -> Option<String> {
        variants(query, 60_000).expect("valid").map(|(query, _)| query)
    }

    #[test]
    fn selectors_are_fixed_once() {
        assert_eq!(fixed("a + b @ 5").as_deref(), Some("a @ 60.000 + b @ 5.000"));
        assert_eq!(
            fixed("sum(rate(a[5m] offset 1m))").as_deref(),
            Some("sum(rate(a[5m] @ 60.000 offset 1m))")
        );
        assert_eq!(
            fixed("max_over_time(vector(time())[5m:1m])").as_deref(),
            Some("max_over_time(vector(time())[5m:1m] @ 60.000)")
        );
        assert_eq!(fixed("a * time()"), None);
        assert_eq!(variants("a", 0).expect("valid").expect("fixed").1, [-1000, 0, 1000]);
    }
}
