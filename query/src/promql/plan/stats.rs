//! Which selectors need no buckets of native histograms: those below functions of count and sum.

use super::{
    AggregateParam, HistogramFunction, HistogramNumber, Mapping, MatrixNode, Plan, ScalarNode,
    SelectNode, VectorNode,
};
use crate::promql::ast::BinaryOp;

/// What stands above a part of the plan.
#[derive(Clone, Copy, Default)]
struct Above {
    /// A function of count and sum.
    takes_stats: bool,
    /// Something that needs buckets: quantiles, shares, trimming, and subqueries, which find resets
    /// by them.
    needs_buckets: bool,
}

impl Above {
    const BUCKETS: Self = Self { takes_stats: false, needs_buckets: true };
}

/// Marks the selectors of a plan.
///
/// PARITY(prometheus): without buckets, custom bounds that differ go unnoticed.
pub(super) fn mark(plan: &mut Plan) {
    let above = Above::default();
    match plan {
        Plan::Scalar(node) => scalar(node, above),
        Plan::Vector(node) => vector(node, above),
        Plan::Matrix(node) => matrix(node, above),
        Plan::String(_) => {}
    }
}

fn select(node: &mut SelectNode, above: Above) {
    node.skips_buckets = above.takes_stats && !above.needs_buckets;
}

fn scalar(node: &mut ScalarNode, above: Above) {
    match node {
        ScalarNode::Number(_) | ScalarNode::Time => {}
        ScalarNode::OfVector(inner) => vector(inner, above),
        ScalarNode::Negate(inner) | ScalarNode::Invariant(inner) => scalar(inner, above),
        ScalarNode::Apply { lhs, rhs, .. } => {
            scalar(lhs, above);
            scalar(rhs, above);
        }
    }
}

fn matrix(node: &mut MatrixNode, above: Above) {
    match node {
        MatrixNode::Select { select: node, .. } => select(node, above),
        MatrixNode::Subquery(subquery) => vector(&mut subquery.expr, Above::BUCKETS),
    }
}

fn is_trim(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
}

fn vector(node: &mut VectorNode, above: Above) {
    match node {
        VectorNode::Select(node)
        | VectorNode::Timestamp(node)
        | VectorNode::StartTimestamp(node) => select(node, above),
        VectorNode::Range(range) => {
            matrix(&mut range.input, above);
            range.params.iter_mut().for_each(|param| scalar(param, above));
        }
        VectorNode::Map { input, mapping } => {
            let below = match mapping {
                Mapping::OfHistogram(
                    HistogramNumber::Count | HistogramNumber::Sum | HistogramNumber::Average,
                ) => Above { takes_stats: true, ..above },
                Mapping::Operator { op, .. } if is_trim(*op) => Above::BUCKETS,
                _ => above,
            };
            vector(input, below);
            match mapping {
                Mapping::Element { params, .. } => {
                    params.iter_mut().for_each(|param| scalar(param, above));
                }
                Mapping::Operator { scalar: operand, .. } => scalar(operand, below),
                Mapping::Negate | Mapping::EvaluationTime | Mapping::OfHistogram(_) => {}
            }
        }
        VectorNode::OfScalar(inner) => scalar(inner, above),
        VectorNode::Aggregate(aggregate) => {
            vector(&mut aggregate.input, above);
            if let AggregateParam::Number { value, .. } = &mut aggregate.param {
                scalar(value, above);
            }
        }
        VectorNode::Binary(binary) => {
            let below = if is_trim(binary.op) { Above::BUCKETS } else { above };
            vector(&mut binary.lhs, below);
            vector(&mut binary.rhs, below);
        }
        VectorNode::Histogram(histogram) => {
            vector(&mut histogram.input, Above::BUCKETS);
            match &mut histogram.what {
                HistogramFunction::Quantile { q, .. } => scalar(q, Above::BUCKETS),
                HistogramFunction::Quantiles { qs, .. } => {
                    qs.iter_mut().for_each(|(q, _)| scalar(q, Above::BUCKETS));
                }
                HistogramFunction::Fraction { lower, upper } => {
                    scalar(lower, Above::BUCKETS);
                    scalar(upper, Above::BUCKETS);
                }
            }
        }
        VectorNode::Info(info) => vector(&mut info.input, above),
        VectorNode::Absent { input, .. }
        | VectorNode::Sort { input, .. }
        | VectorNode::Relabel { input, .. }
        | VectorNode::Settle(input)
        | VectorNode::Invariant(input) => vector(input, above),
        VectorNode::Fail(_) => {}
    }
}
