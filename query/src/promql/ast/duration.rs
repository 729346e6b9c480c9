//! Times of selectors that are computed from the query's grid (Prometheus 3.14, experimental).

use super::{Expr, Span};

/// A duration as an expression. Numbers are seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// A plain number of seconds.
    Number(f64),
    /// A duration literal, such as `5m`: its seconds.
    Literal(f64),
    /// `step()`: the step of the query, 0 for an instant query.
    Step,
    /// `range()`: the end of the query less its start.
    Range,
    /// `-expr`
    Negative {
        /// The operand.
        expr: Box<DurationExpr>,
        /// Where sign and operand stand.
        span: Span,
    },
    /// `(expr)`
    Paren(Box<DurationExpr>),
    /// Two operands.
    Binary {
        /// The operator.
        op: DurationOp,
        /// The left operand.
        lhs: Box<DurationExpr>,
        /// The right operand.
        rhs: Box<DurationExpr>,
        /// Where the operands stand.
        span: Span,
    },
}

/// A duration expression and where it stands, parentheses around it left out.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedDuration {
    /// The expression.
    pub expr: DurationExpr,
    /// Where it stands.
    pub span: Span,
}

impl DurationExpr {
    /// Forgets places.
    pub(super) fn normalize(&mut self) {
        match self {
            Self::Number(_) | Self::Literal(_) | Self::Step | Self::Range => {}
            Self::Paren(inner) => inner.normalize(),
            Self::Negative { expr, span } => {
                *span = Span::default();
                expr.normalize();
            }
            Self::Binary { lhs, rhs, span, .. } => {
                *span = Span::default();
                lhs.normalize();
                rhs.normalize();
            }
        }
    }
}

/// Operators between two durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    MinOf,
    /// `max_of(a, b)`
    MaxOf,
}

impl DurationOp {
    /// The operator, or the function, as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }
}

/// A selector or subquery some of whose times are expressions.
///
/// `expr` is an instant selector, a range selector or a subquery. A time that is given here is 0
/// there (`None` for a subquery's step).
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// The selector or subquery.
    pub expr: Expr,
    /// The length of the range.
    pub range: Option<PlacedDuration>,
    /// The step of a subquery.
    pub step: Option<PlacedDuration>,
    /// How far to look back.
    pub offset: Option<PlacedDuration>,
    /// Whether a plus stands before `offset`.
    pub offset_sign: OffsetSign,
}

/// The sign of an offset that is an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetSign {
    /// There is none, or it is a part of the expression.
    #[default]
    Merged,
    /// A plus. PARITY(prometheus): before a call it stays in the tree, and nowhere else.
    Plus,
}
