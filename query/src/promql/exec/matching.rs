//! Operators between two vectors: which series meet, and what becomes of them.
//!
//! Where labels alone tell that each series meets at most one other and that results are unique,
//! pairs are fixed for all steps and read run by run ([`pairs`]). Else both sides are collected
//! and matched step by step ([`by_step`]), as only then it shows whether series that would be in
//! each other's way are ever there at the same time.

mod by_step;
mod pairs;

use std::sync::Arc;

use m3rs_core::model::{Labels, STALE_NAN};

use super::aggregate::Groups;
use super::operator::{Operand, Outcome};
use super::series::NameRemoval;
use super::set::signature;
use super::{Context, Rows, is_absent, open as open_node, operator};
use crate::error::QueryError;
use crate::histogram::FloatHistogram;
use crate::promql::annotation::{Note, ValueKind};
use crate::promql::ast::{BinaryOp, Cardinality, Span, VectorMatching};
use crate::promql::labelset::Projection;
use crate::promql::plan::BinaryNode;
use crate::step::StepGrid;

/// Opens an arithmetic operator or a comparison between vectors.
pub(crate) fn open<'a>(
    node: &'a BinaryNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let operation = Operation::new(node, ctx.name_removal)?;
    let left = open_node(&node.lhs, grid, ctx)?;
    let right = open_node(&node.rhs, grid, ctx)?;
    let (many, one) = if operation.is_swapped { (right, left) } else { (left, right) };
    let projection = || signature(operation.matching);
    let mut groups = Groups::new(many.series(), projection(), ctx)?;
    let of_one = groups.extend(one.series(), projection(), ctx)?;
    let sides = Sides { many, one, groups, of_one, steps: grid.count };
    match pairs::find(&operation, &sides, ctx)? {
        Some(found) => pairs::open(operation, sides, found, ctx),
        None => by_step::open(&operation, sides, ctx),
    }
}

/// Both operands, the one of which several series may meet one of the other first.
struct Sides<'a> {
    many: Box<dyn Rows + 'a>,
    one: Box<dyn Rows + 'a>,
    /// The signatures of `many`'s rows, and of all.
    groups: Groups,
    /// The signatures of `one`'s rows.
    of_one: Vec<u32>,
    steps: usize,
}

/// What is done with two values.
#[derive(Clone, Copy)]
enum Apply {
    Arithmetic(fn(f64, f64) -> f64),
    Filter(fn(&f64, &f64) -> bool),
    Test(fn(&f64, &f64) -> bool),
    /// Nothing: the operator is for histograms.
    Refuse,
}

/// What comes out for a pair.
enum PairResult {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
    /// A comparison that does not hold.
    Dropped,
    /// The operator is not for the pair.
    Refused,
}

/// An operator with its matching.
#[derive(Clone, Copy)]
struct Operation<'a> {
    apply: Apply,
    op: BinaryOp,
    /// The whole operation.
    span: Span,
    matching: &'a VectorMatching,
    /// Whether the left side is the "one" side.
    is_swapped: bool,
    /// Whether results have no name from the start.
    drops_name: bool,
    /// Whether the names of results go at the end.
    leaves_name_pending: bool,
}

impl<'a> Operation<'a> {
    fn new(node: &'a BinaryNode, removal: NameRemoval) -> Result<Self, QueryError> {
        let apply = match (operator::arithmetic(node.op), operator::comparison(node.op)) {
            (Some(f), _) => Apply::Arithmetic(f),
            (None, Some(holds)) if node.return_bool => Apply::Test(holds),
            (None, Some(holds)) => Apply::Filter(holds),
            (None, None) if node.op.is_set() => return Err(not_between_vectors(node.op)),
            (None, None) => Apply::Refuse,
        };
        if node.matching.cardinality == Cardinality::ManyToMany {
            return Err(not_between_vectors(node.op));
        }
        // PARITY(prometheus): arithmetic between vectors never waits with names.
        let waits = removal == NameRemoval::AtEnd && operator::arithmetic(node.op).is_none();
        let drops_name = operator::drops_name(node.op, node.return_bool);
        Ok(Self {
            apply,
            op: node.op,
            span: node.span,
            matching: &node.matching,
            is_swapped: node.matching.cardinality == Cardinality::OneToMany,
            drops_name: drops_name && !waits,
            leaves_name_pending: drops_name && waits,
        })
    }

    fn is_one_to_one(&self) -> bool {
        self.matching.cardinality == Cardinality::OneToOne
    }

    /// The result for a value of the "many" side and one of the "one" side.
    #[inline]
    fn apply(&self, many: f64, one: f64) -> f64 {
        let (left, right) = if self.is_swapped { (one, many) } else { (many, one) };
        match self.apply {
            Apply::Arithmetic(f) => f(left, right),
            Apply::Filter(holds) => {
                if holds(&left, &right) {
                    left
                } else {
                    STALE_NAN
                }
            }
            Apply::Test(holds) => f64::from(holds(&left, &right)),
            Apply::Refuse => STALE_NAN,
        }
    }

    /// The result for a pair of values of any kind.
    fn apply_to_pair(
        &self,
        many: Operand<'_>,
        one: Operand<'_>,
        note: &mut dyn FnMut(Note<'static>),
    ) -> PairResult {
        if let (Operand::Float(many), Operand::Float(one)) = (many, one) {
            if matches!(self.apply, Apply::Refuse) {
                let (lhs, rhs) = (ValueKind::Float, ValueKind::Float);
                note(Note::IncompatibleKinds { lhs, op: self.op, rhs });
                return PairResult::Refused;
            }
            let v = self.apply(many, one);
            return if is_absent(v) { PairResult::Dropped } else { PairResult::Float(v) };
        }
        let (left, right) = if self.is_swapped { (one, many) } else { (many, one) };
        let is_test = matches!(self.apply, Apply::Test(_));
        match operator::with_histogram(self.op, left, right) {
            Outcome::Value(h, reconciled) => {
                reconciled.into_iter().for_each(note);
                PairResult::Histogram(Arc::new(h))
            }
            Outcome::Holds(holds) if is_test => PairResult::Float(f64::from(holds)),
            Outcome::Holds(true) => match left {
                Operand::Histogram(h) => PairResult::Histogram(Arc::clone(h)),
                Operand::Float(v) => PairResult::Float(v),
            },
            Outcome::Holds(false) => PairResult::Dropped,
            Outcome::Refused(refusal) => {
                note(refusal);
                PairResult::Refused
            }
        }
    }

    /// Applies the operation to a row of the "many" side in place.
    fn apply_to_row(&self, many: &mut [f64], one: &[f64]) {
        for (m, o) in many.iter_mut().zip(one) {
            if is_absent(*m) || is_absent(*o) {
                *m = STALE_NAN;
            } else {
                *m = self.apply(*m, *o);
            }
        }
    }

    /// The labels that results take from the "many" side.
    fn kept(&self) -> Projection {
        let projection = match (self.is_one_to_one(), self.matching.on) {
            (false, _) => Projection::all(),
            (true, true) => Projection::keeping(&self.matching.labels),
            (true, false) => Projection::dropping(&self.matching.labels),
        };
        projection.and_metadata(self.drops_name)
    }

    /// Whether results differ from the "many" side in metadata labels at most.
    fn keeps_labels(&self) -> bool {
        let is_whole =
            !self.is_one_to_one() || (!self.matching.on && self.matching.labels.is_empty());
        is_whole && self.matching.include.is_empty()
    }

    /// The labels of a result.
    fn result_labels(&self, kept: &Projection, many: &Labels, one: &Labels) -> Labels {
        let labels = kept.labels(many);
        if self.matching.include.is_empty() {
            return labels;
        }
        let mut builder = labels.to_builder();
        for name in &self.matching.include {
            builder.set(name, one.get(name).unwrap_or(""));
        }
        builder.build()
    }
}

fn not_between_vectors(op: BinaryOp) -> QueryError {
    QueryError::Internal(format!("operator {} between vectors", op.as_str()))
}
