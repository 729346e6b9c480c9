//! Times of selectors that are computed from the query's grid.

use crate::error::QueryError;
use crate::promql::ast::{DurationExpr, DurationOp, Span};

/// Evaluates a duration to milliseconds. `step_s` and `range_s` are those of the query.
///
/// # Errors
/// [`QueryError::Parse`] for a duration that no time can be, or for one that is not positive
/// unless `allows_negative`.
pub(super) fn resolve_ms(
    expr: &DurationExpr,
    (step_s, range_s): (f64, f64),
    span: Span,
    allows_negative: bool,
) -> Result<i64, QueryError> {
    let fault = |what: &str| Err(QueryError::Parse(format!("{}:{}: {what}", span.start, span.end)));
    let seconds = match evaluate(expr, step_s, range_s) {
        Ok(seconds) => seconds,
        Err(what) => return fault(what),
    };
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

/// The seconds, or what is wrong. As deep as the parser let the expression be.
fn evaluate(expr: &DurationExpr, step_s: f64, range_s: f64) -> Result<f64, &'static str> {
    Ok(match expr {
        DurationExpr::Number(v) | DurationExpr::Literal(v) => *v,
        DurationExpr::Step => step_s,
        DurationExpr::Range => range_s,
        DurationExpr::Negative(inner) => -evaluate(inner, step_s, range_s)?,
        DurationExpr::Paren(inner) => evaluate(inner, step_s, range_s)?,
        DurationExpr::Binary { op, lhs, rhs } => {
            let a = evaluate(lhs, step_s, range_s)?;
            let b = evaluate(rhs, step_s, range_s)?;
            match op {
                DurationOp::Add => a + b,
                DurationOp::Sub => a - b,
                DurationOp::Mul => a * b,
                DurationOp::Div if b == 0.0 => return Err("division by zero"),
                DurationOp::Div => a / b,
                DurationOp::Mod if b == 0.0 => return Err("modulo by zero"),
                DurationOp::Mod => a % b,
                DurationOp::Pow => a.powf(b),
                DurationOp::MinOf => a.min(b),
                DurationOp::MaxOf => a.max(b),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(op: DurationOp, lhs: DurationExpr, rhs: DurationExpr) -> DurationExpr {
        DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
    }

    fn resolve(expr: &DurationExpr, allows_negative: bool) -> Result<i64, String> {
        resolve_ms(expr, (60.0, 3600.0), Span { start: 3, end: 9 }, allows_negative)
            .map_err(|e| e.to_string())
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
