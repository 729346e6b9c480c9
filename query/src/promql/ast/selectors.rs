//! The selectors of a tree.

use super::{Expr, ExprKind, Selector};

impl Expr {
    /// All selectors, in the order of the text; those of ranges and of `info` too.
    #[must_use]
    pub fn selectors(&self) -> Vec<&Selector> {
        self.selectors_with_ranges().into_iter().map(|(selector, _)| selector).collect()
    }

    /// The same, each with the length of its range in milliseconds; 0 for an instant selector.
    #[must_use]
    pub fn selectors_with_ranges(&self) -> Vec<(&Selector, i64)> {
        let mut found = Vec::new();
        self.add_selectors(&mut found);
        found
    }

    fn add_selectors<'a>(&'a self, found: &mut Vec<(&'a Selector, i64)>) {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => {}
            ExprKind::Vector(selector) => found.push((selector, 0)),
            ExprKind::Matrix { selector, range_ms } => found.push((selector, *range_ms)),
            ExprKind::Timed(timed) => timed.expr.add_selectors(found),
            ExprKind::Subquery { expr, .. } | ExprKind::Unary { expr, .. } => {
                expr.add_selectors(found);
            }
            ExprKind::Paren(inner) => inner.add_selectors(found),
            ExprKind::Binary(binary) => {
                binary.lhs.add_selectors(found);
                binary.rhs.add_selectors(found);
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    param.add_selectors(found);
                }
                aggregate.expr.add_selectors(found);
            }
            ExprKind::Call { args, .. } => {
                for arg in args {
                    arg.add_selectors(found);
                }
            }
        }
    }
}
