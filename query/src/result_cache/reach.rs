//! Which times a step of a query looks at.

use crate::promql::ast::{At, Expr, ExprKind, RangeEdges, Selector};

/// How far from an evaluation time samples may be that its values depend on, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// How far before; negative if all are after.
    pub(super) behind_ms: i64,
    /// How far after; negative if all are before.
    pub(super) ahead_ms: i64,
}

/// Functions whose value at a step depends on the query's range or on other steps.
const OF_THE_WHOLE: [&str; 4] = ["start", "end", "range", "info"];

/// Deeper expressions are not looked at.
const DEPTH_MAX: usize = 64;

/// The reach of an expression; `None` if a step depends on the query's range, or may.
///
/// `lookback_ms` and `subquery_step_ms` are what the query is evaluated with.
pub(super) fn reach(expr: &Expr, lookback_ms: i64, subquery_step_ms: i64) -> Option<Reach> {
    Looks { lookback_ms, subquery_step_ms }.at(expr, DEPTH_MAX)
}

struct Looks {
    lookback_ms: i64,
    subquery_step_ms: i64,
}

impl Looks {
    fn at(&self, expr: &Expr, depth: usize) -> Option<Reach> {
        let depth = depth.checked_sub(1)?;
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => {
                Some(Reach::default())
            }
            ExprKind::Vector(selector) => self.selector(selector, 0),
            ExprKind::Matrix { selector, range_ms } => self.selector(selector, *range_ms),
            ExprKind::Subquery { expr, range_ms, step_ms, offset_ms, at } => {
                refuse(*at)?;
                let inner = self.at(expr, depth)?;
                // Its first step may be just before the range.
                let step = step_ms.unwrap_or(self.subquery_step_ms);
                let before = range_ms.saturating_add(step).saturating_add(*offset_ms);
                Some(Reach {
                    behind_ms: inner.behind_ms.saturating_add(before),
                    ahead_ms: inner.ahead_ms.saturating_sub(*offset_ms),
                })
            }
            // Its times may depend on the range.
            ExprKind::Timed(_) => None,
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => self.at(expr, depth),
            ExprKind::Binary(binary) => {
                Some(self.at(&binary.lhs, depth)?.and(self.at(&binary.rhs, depth)?))
            }
            ExprKind::Aggregate(aggregate) => {
                // One that varies counts at the start alone if the operand does not.
                let is_fixed = |param: &Expr| {
                    matches!(param.unwrap_parens().kind, ExprKind::Number(_) | ExprKind::String(_))
                };
                if !aggregate.param.as_ref().is_none_or(is_fixed) {
                    return None;
                }
                self.at(&aggregate.expr, depth)
            }
            ExprKind::Call { function, .. } if OF_THE_WHOLE.contains(&function.as_str()) => None,
            ExprKind::Call { args, .. } => args
                .iter()
                .try_fold(Reach::default(), |all, arg| Some(all.and(self.at(arg, depth)?))),
        }
    }

    fn selector(&self, selector: &Selector, range_ms: i64) -> Option<Reach> {
        refuse(selector.at)?;
        // Without a range it looks back, and with edges beyond them.
        let extra = if range_ms == 0 || selector.edges.is_some() { self.lookback_ms } else { 0 };
        let after = match selector.edges {
            Some(RangeEdges::Smoothed) => self.lookback_ms,
            Some(RangeEdges::Anchored) | None => 0,
        };
        Some(Reach {
            behind_ms: range_ms.saturating_add(extra).saturating_add(selector.offset_ms),
            ahead_ms: after.saturating_sub(selector.offset_ms),
        })
    }
}

/// Refuses a fixed time.
fn refuse(at: Option<At>) -> Option<()> {
    at.is_none().then_some(())
}

impl Reach {
    fn and(self, other: Self) -> Self {
        Self {
            behind_ms: self.behind_ms.max(other.behind_ms),
            ahead_ms: self.ahead_ms.max(other.ahead_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{ParseOptions, parse};

    fn of(text: &str) -> Option<(i64, i64)> {
        let expr = parse(text, &ParseOptions::default()).unwrap();
        reach(&expr, 300_000, 60_000).map(|r| (r.behind_ms / 1000, r.ahead_ms / 1000))
    }

    #[test]
    fn windows_and_offsets_add_up() {
        assert_eq!(of("1"), Some((0, 0)));
        assert_eq!(of("x"), Some((300, 0)));
        assert_eq!(of("sum by (a) (rate(x[10m])) / on () y"), Some((600, 0)));
        assert_eq!(of("rate(x[10m] offset 1h)"), Some((4200, 0)));
        assert_eq!(of("x offset -10m"), Some((-300, 600)));
        assert_eq!(of("max_over_time(rate(x[5m] offset -1m)[1h:2m] offset 10m)"), Some((4560, 0)));
        assert_eq!(of("max_over_time(x[1h:] offset -1h)"), Some((360, 3600)));
        assert_eq!(of("rate(x[5m] smoothed)"), Some((600, 300)));
        assert_eq!(of("rate(x[5m] anchored)"), Some((600, 0)));
        assert_eq!(of("topk(3, x)"), Some((300, 0)));
    }

    #[test]
    fn what_depends_on_the_range_has_none() {
        for text in [
            "x @ 100",
            "x @ end()",
            "sum_over_time((x @ start())[5m:])",
            "max_over_time(x[5m:] @ 100)",
            "count_over_time(x[step() * 2])",
            "info(x)",
            "topk(scalar(few), vector(1))",
            "x / range()",
        ] {
            // Some are no range queries, which does not matter here.
            assert_eq!(of(text), None, "{text}");
        }
    }
}
