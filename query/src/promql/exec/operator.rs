//! The operators between two values: numbers and native histograms.

use std::sync::Arc;

use m3rs_core::model::ResetHint;

use crate::histogram::{Combined, FloatHistogram, Incompatible, Kept};
use crate::promql::annotation::{Note, ValueKind};
use crate::promql::ast::BinaryOp;
use crate::promql::function::math;
use crate::promql::function::native::{Operation, RangeNote};

/// An operator that computes a number; `None` for comparisons, set operators and operators on
/// histograms.
#[must_use]
pub(crate) fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => math::modulo,
        BinaryOp::Pow => math::power,
        BinaryOp::Atan2 => f64::atan2,
        _ => return None,
    })
}

/// An operator that compares.
#[must_use]
pub(crate) fn comparison(op: BinaryOp) -> Option<fn(&f64, &f64) -> bool> {
    Some(match op {
        BinaryOp::Eql => |a, b| a == b,
        BinaryOp::Neq => |a, b| a != b,
        BinaryOp::Gtr => |a, b| a > b,
        BinaryOp::Lss => |a, b| a < b,
        BinaryOp::Gte => |a, b| a >= b,
        BinaryOp::Lte => |a, b| a <= b,
        _ => return None,
    })
}

/// An operator between scalars: comparisons give 1 or 0.
#[must_use]
pub(crate) fn of_scalars(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    arithmetic(op).or_else(|| {
        Some(match op {
            BinaryOp::Eql => |a, b| f64::from(a == b),
            BinaryOp::Neq => |a, b| f64::from(a != b),
            BinaryOp::Gtr => |a, b| f64::from(a > b),
            BinaryOp::Lss => |a, b| f64::from(a < b),
            BinaryOp::Gte => |a, b| f64::from(a >= b),
            BinaryOp::Lte => |a, b| f64::from(a <= b),
            _ => return None,
        })
    })
}

/// Whether the operator makes another quantity of its operands, so that names must go.
#[must_use]
pub(crate) fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
    return_bool || arithmetic(op).is_some()
}

/// A value of either kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Operand<'_> {
    fn kind(self) -> ValueKind {
        match self {
            Self::Float(_) => ValueKind::Float,
            Self::Histogram(_) => ValueKind::Histogram,
        }
    }
}

/// What an operator makes of a histogram.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A histogram, and whether custom bounds had to be reconciled for it.
    Value(FloatHistogram, Option<Note<'static>>),
    /// Whether the comparison holds.
    Holds(bool),
    /// Nothing, and why.
    Refused(Note<'static>),
}

/// An operator of which an operand is a histogram, or which is for histograms alone.
///
/// PARITY(prometheus): `vectorElemBinop`. A sum of histograms that are known to follow a reset and
/// not to is left out.
pub(crate) fn with_histogram(op: BinaryOp, lhs: Operand<'_>, rhs: Operand<'_>) -> Outcome {
    let value = |h: FloatHistogram| Outcome::Value(h, None);
    match (lhs, op, rhs) {
        (Operand::Float(v), BinaryOp::Mul, Operand::Histogram(h))
        | (Operand::Histogram(h), BinaryOp::Mul, Operand::Float(v)) => {
            let mut h = (**h).clone();
            h.multiply(v);
            value(h.compacted())
        }
        (Operand::Histogram(h), BinaryOp::Div, Operand::Float(v)) => {
            let mut h = (**h).clone();
            h.divide(v);
            value(h.compacted())
        }
        (Operand::Histogram(h), BinaryOp::TrimUpper, Operand::Float(v)) => {
            value((**h).clone().trimmed(v, Kept::Below))
        }
        (Operand::Histogram(h), BinaryOp::TrimLower, Operand::Float(v)) => {
            value((**h).clone().trimmed(v, Kept::Above))
        }
        (Operand::Histogram(a), BinaryOp::Add, Operand::Histogram(b)) => {
            let mut sum = (**a).clone();
            let combined = sum.add(b);
            outcome(op, Operation::Addition, combined, sum)
        }
        (Operand::Histogram(a), BinaryOp::Sub, Operand::Histogram(b)) => {
            let mut difference = (**a).clone();
            let combined = difference.subtract(b);
            difference.hint = ResetHint::Gauge;
            outcome(op, Operation::Subtraction, combined, difference)
        }
        (Operand::Histogram(a), BinaryOp::Eql, Operand::Histogram(b)) => Outcome::Holds(a == b),
        (Operand::Histogram(a), BinaryOp::Neq, Operand::Histogram(b)) => Outcome::Holds(a != b),
        _ => {
            let (lhs, rhs) = (lhs.kind(), rhs.kind());
            Outcome::Refused(Note::IncompatibleKinds { lhs, op, rhs })
        }
    }
}

fn outcome(
    op: BinaryOp,
    of: Operation,
    combined: Result<Combined, Incompatible>,
    h: FloatHistogram,
) -> Outcome {
    let note = |what| Note::Range { what, name: "" };
    match combined {
        Err(Incompatible) => Outcome::Refused(Note::IncompatibleLayouts(op)),
        Ok(Combined { is_collision: true, .. }) => {
            Outcome::Refused(note(RangeNote::ResetCollision(of)))
        }
        Ok(Combined { is_reconciled, .. }) => {
            let note = is_reconciled.then_some(note(RangeNote::Reconciled(of)));
            Outcome::Value(h.compacted(), note)
        }
    }
}
