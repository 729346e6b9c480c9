//! Trees without what does not change their meaning.

use super::{Expr, ExprKind, OffsetSign, Span};

impl Expr {
    /// The tree without places, and with conditions of selectors sorted.
    ///
    /// Texts that only differ in spaces, comments, the order of conditions and the plus before an
    /// offset become equal.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.normalize();
        self
    }

    fn normalize(&mut self) {
        self.span = Span::default();
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => {}
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                selector.matchers.sort_unstable();
            }
            ExprKind::Timed(timed) => {
                timed.offset_sign = OffsetSign::default();
                timed.expr.normalize();
                let times = [&mut timed.range, &mut timed.step, &mut timed.offset];
                for time in times.into_iter().flatten() {
                    time.span = Span::default();
                    time.expr.normalize();
                }
            }
            ExprKind::Subquery { expr, .. } | ExprKind::Unary { expr, .. } => expr.normalize(),
            ExprKind::Paren(expr) => expr.normalize(),
            ExprKind::Binary(binary) => {
                binary.lhs.normalize();
                binary.rhs.normalize();
            }
            ExprKind::Aggregate(aggregate) => {
                aggregate.expr.normalize();
                if let Some(param) = &mut aggregate.param {
                    param.normalize();
                }
            }
            ExprKind::Call { args, .. } => args.iter_mut().for_each(Self::normalize),
        }
    }
}
