//! Times of selectors that are computed from the query's grid.

use crate::error::QueryError;
use crate::promql::ast::{DurationExpr, DurationOp, Expr, ExprKind, PlacedDuration, Span};
use crate::promql::function::math;

/// Evaluates a duration to milliseconds. `step_s` and `range_s` are those of the query.
///
/// # Errors
/// [`QueryError::Parse`] for a duration that no time can be, or for one that is not positive
/// unless `allows_negative`.
pub(super) fn resolve_ms(
    duration: &PlacedDuration,
    (step_s, range_s): (f64, f64),
    allows_negative: bool,
) -> Result<i64, QueryError> {
    let fault = |what: &str| Err(fault_at(duration.span, what));
    let seconds = evaluate(&duration.expr, step_s, range_s)?;
    if !seconds.is_finite() {
        return fault("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !allows_negative {
        return fault("duration must be greater than 0");
    }
    if seconds.abs() > 9_223_372_036.0 {
        return fault("duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

fn fault_at(span: Span, what: &str) -> QueryError {
    QueryError::Parse(format!("{}:{}: {what}", span.start, span.end))
}

/// The seconds, or what is wrong. As deep as the parser let the expression be.
fn evaluate(expr: &DurationExpr, step_s: f64, range_s: f64) -> Result<f64, QueryError> {
    Ok(match expr {
        DurationExpr::Number(v) | DurationExpr::Literal(v) => *v,
        DurationExpr::Step => step_s,
        DurationExpr::Range => range_s,
        DurationExpr::Negative { expr, .. } => -evaluate(expr, step_s, range_s)?,
        DurationExpr::Paren(inner) => evaluate(inner, step_s, range_s)?,
        DurationExpr::Binary { op, lhs, rhs, span } => {
            let a = evaluate(lhs, step_s, range_s)?;
            let b = evaluate(rhs, step_s, range_s)?;
            match op {
                DurationOp::Add => a + b,
                DurationOp::Sub => a - b,
                DurationOp::Mul => a * b,
                DurationOp::Div if b == 0.0 => return Err(fault_at(*span, "division by zero")),
                DurationOp::Div => a / b,
                DurationOp::Mod if b == 0.0 => return Err(fault_at(*span, "modulo by zero")),
                DurationOp::Mod => math::modulo(a, b),
                DurationOp::Pow => math::power(a, b),
                DurationOp::MinOf => math::min_of(a, b),
                DurationOp::MaxOf => math::max_of(a, b),
            }
        }
    })
}

/// Evaluates the times of all selectors of a query, in Prometheus's order, before anything else is
/// looked at.
///
/// # Errors
/// As [`resolve_ms`].
pub(super) fn check_all(expr: &Expr, grid: (f64, f64)) -> Result<(), QueryError> {
    let mut rest = vec![expr];
    while let Some(expr) = rest.pop() {
        match &expr.kind {
            ExprKind::Timed(timed) => {
                let is_subquery = matches!(timed.expr.kind, ExprKind::Subquery { .. });
                let times = match is_subquery {
                    true => [(&timed.offset, true), (&timed.step, false), (&timed.range, false)],
                    // PARITY(prometheus): the selector of a range comes after its range.
                    false => [(&timed.range, false), (&timed.offset, true), (&timed.step, false)],
                };
                for (time, allows_negative) in times {
                    if let Some(time) = time {
                        resolve_ms(time, grid, allows_negative)?;
                    }
                }
                rest.push(&timed.expr);
            }
            ExprKind::Number(_)
            | ExprKind::Duration(_)
            | ExprKind::String(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix { .. } => {}
            ExprKind::Subquery { expr, .. }
            | ExprKind::Unary { expr, .. }
            | ExprKind::Paren(expr) => rest.push(expr),
            ExprKind::Binary(binary) => rest.extend([&binary.rhs, &binary.lhs]),
            ExprKind::Aggregate(aggregate) => {
                // PARITY(prometheus): what is aggregated comes before the parameter.
                rest.extend(&aggregate.param);
                rest.push(&aggregate.expr);
            }
            ExprKind::Call { args, .. } => rest.extend(args.iter().rev()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(op: DurationOp, lhs: DurationExpr, rhs: DurationExpr) -> DurationExpr {
        let span = Span { start: 3, end: 9 };
        DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs), span }
    }

    fn resolve(expr: &DurationExpr, allows_negative: bool) -> Result<i64, String> {
        let duration = PlacedDuration { expr: expr.clone(), span: Span { start: 3, end: 9 } };
        resolve_ms(&duration, (60.0, 3600.0), allows_negative).map_err(|e| e.to_string())
    }

    #[test]
    fn durations_use_the_grid() {
        let expr = binary(DurationOp::Mul, DurationExpr::Step, DurationExpr::Number(2.5));
        assert_eq!(resolve(&expr, false), Ok(150_000));
        let expr = binary(DurationOp::Sub, DurationExpr::Step, DurationExpr::Range);
        assert_eq!(resolve(&expr, true), Ok(-3_540_000));
        assert_eq!(resolve(&expr, false), Err("3:9: duration must be greater than 0".into()));
        let zero = binary(DurationOp::Div, DurationExpr::Step, DurationExpr::Number(0.0));
        assert_eq!(resolve(&zero, false), Err("3:9: division by zero".into()));
        let far = binary(DurationOp::Pow, DurationExpr::Range, DurationExpr::Range);
        assert_eq!(resolve(&far, false), Err("3:9: duration is NaN or infinite".into()));
        assert_eq!(
            resolve(&DurationExpr::Number(1e12), false),
            Err("3:9: duration is out of range".into())
        );
    }
}
