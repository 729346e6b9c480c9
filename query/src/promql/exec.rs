//! Evaluation: operators over rows of steps.
//!
//! An operator knows the labels of its series at once ([`Rows::series`]) and gives the values of
//! any run of them when asked ([`Rows::read`]): row-major columns of 64-bit floats, one value per
//! step, the staleness marker standing for "no value", and beside them the native histograms that
//! there are ([`histograms`]). As runs are independent, workers read
//! disjoint ones on every core ([`exchange`]) and pass each through decode, window kernel, mapping
//! and group partial while it is in cache. Operators that need all series of a step at once
//! (`topk`, joins, …) collect rows into a [`block::Block`], which counts against the query's
//! budget.
//!
//! Results do not depend on the number of threads: the size of a run depends on the number of
//! steps alone, and partial results merge in the order of runs.

mod absent;
mod aggregate;
mod ahead;
mod block;
mod context;
mod exchange;
mod explained;
mod histogram;
mod histograms;
mod info;
mod last_notes;
mod map;
mod matching;
pub(crate) mod operator;
mod range_function;
mod relabel;
mod root;
mod scalar;
mod select;
mod series;
mod set;
mod sort;
pub(crate) mod step_counts;
mod subquery;

use std::cell::RefCell;
use std::ops::Range;

use m3rs_core::model::STALE_NAN_BITS;

use super::plan::VectorNode;
use crate::error::QueryError;
use crate::histogram::Converter;
use crate::promql::function::{HistogramSamples, Memo};
use crate::source::SampleColumns;
use crate::step::StepGrid;
use ahead::Ahead;
use block::Block;
use histograms::Histograms;
use series::SeriesList;

pub(crate) use context::Context;
pub(crate) use root::evaluate;
pub(crate) use series::NameRemoval;

/// An operator's output: series, and their values at each step of a grid.
pub(crate) trait Rows: Send + Sync {
    /// The series, by row number.
    fn series(&self) -> &SeriesList;

    /// Puts the floats of some rows into `out`, which has room for `rows.len()` times the number
    /// of steps, and gives the native histograms by cell of `out`. Every float is written; where
    /// there is a histogram it is absent.
    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError>;

    /// Whether reading rows may tell the user something. Rows that nobody needs are read then.
    fn tells(&self) -> bool {
        false
    }

    /// The rows as a block: itself if it is one, else collected by all workers.
    fn into_block(self: Box<Self>, ctx: &Context<'_>, steps: usize) -> Result<Block, QueryError> {
        Block::collect(&*self, steps, ctx)
    }
}

/// Scratch memory of one worker.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// Samples as they come from the source.
    pub(crate) columns: SampleColumns,
    /// Native histograms among them, as queries compute with them.
    pub(crate) natives: HistogramSamples,
    pub(crate) converter: Converter,
    /// Those of rows to come.
    pub(crate) ahead: Ahead,
    /// What range functions remember of the series before.
    pub(crate) memo: RefCell<Memo>,
    spare: Vec<Vec<f64>>,
}

impl Worker {
    /// A buffer of `len` values, whatever they are. To be given back by [`Worker::put`].
    pub(crate) fn take(&mut self, len: usize) -> Vec<f64> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(len, 0.0);
        buffer
    }

    pub(crate) fn put(&mut self, buffer: Vec<f64>) {
        self.spare.push(buffer);
    }
}

/// Whether `v` stands for "no value".
#[inline]
pub(crate) fn is_absent(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// Whether a row has any value.
pub(crate) fn has_value(row: &[f64]) -> bool {
    row.iter().any(|v| !is_absent(*v))
}

/// How many values of a row, or of several, are there.
pub(crate) fn count_values(row: &[f64]) -> usize {
    row.iter().fold(0, |count, v| count + usize::from(!is_absent(*v)))
}

/// Opens the operator of a plan node for the steps of `grid`.
pub(crate) fn open<'a>(
    node: &'a VectorNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    ctx.check()?;
    match &ctx.explain {
        Some(explain) => explained::open(node, grid, (ctx, explain)),
        None => open_plain(node, grid, ctx),
    }
}

fn open_plain<'a>(
    node: &'a VectorNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    match node {
        VectorNode::Select(select) => select::open(select, select::Wants::Value, grid, ctx),
        VectorNode::Timestamp(select) => select::open(select, select::Wants::Time, grid, ctx),
        VectorNode::StartTimestamp(_) if !ctx.uses_start_times => {
            Ok(Box::new(Block::empty(grid, ctx)?))
        }
        VectorNode::StartTimestamp(select) => {
            select::open(select, select::Wants::StartTime, grid, ctx)
        }
        VectorNode::Fail(message) => Err(QueryError::Execution(message.clone())),
        VectorNode::Info(node) => info::open(node, grid, ctx),
        VectorNode::Range(range) => range_function::open(range, grid, ctx),
        VectorNode::Map { input, mapping } => map::open(input, mapping, grid, ctx),
        VectorNode::OfScalar(scalar) => {
            let values = scalar::evaluate(scalar, grid, ctx)?;
            Ok(Box::new(Block::of_row(values.into_values(), ctx)?))
        }
        VectorNode::Aggregate(aggregate) => aggregate::open(aggregate, grid, ctx),
        VectorNode::Binary(binary) if binary.op.is_set() => set::open(binary, grid, ctx),
        VectorNode::Binary(binary) => matching::open(binary, grid, ctx),
        VectorNode::Absent { input, labels } => absent::open(input, labels, grid, ctx),
        VectorNode::Sort { input, order, span } => sort::open(input, order, *span, grid, ctx),
        VectorNode::Relabel { input, relabel } => relabel::open(input, relabel, grid, ctx),
        VectorNode::Histogram(node) => histogram::open(node, grid, ctx),
        VectorNode::Settle(inner) => relabel::open_settled(inner, grid, ctx),
        VectorNode::Invariant(inner) if grid.is_instant() => open(inner, grid, ctx),
        VectorNode::Invariant(inner) => map::open_invariant(inner, grid, ctx),
    }
}
