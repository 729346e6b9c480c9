//! The operators between two numbers.

use crate::promql::ast::BinaryOp;
use crate::promql::function::math;

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
