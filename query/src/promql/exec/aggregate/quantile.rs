//! `quantile` across series.

use m3rs_core::model::STALE_NAN;

use super::Groups;
use super::group::{FirstSeen, grouping};
use crate::error::QueryError;
use crate::promql::annotation::Note;
use crate::promql::ast::Span;
use crate::promql::exec::block::Block;
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::scalar::Column;
use crate::promql::exec::{Context, Rows, exchange, is_absent};
use crate::promql::function::{aggregate, math};
use crate::promql::plan::AggregateNode;
use crate::step::StepGrid;

/// Steps that are gathered together, so that each row is read in short runs, not value by value.
const TILE_STEPS: usize = 32;

/// Opens `quantile`.
pub(super) fn open<'a>(
    node: &AggregateNode,
    input: Box<dyn Rows + 'a>,
    (qs, span): (Column, Span),
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let steps = grid.count;
    check(&qs, span, ctx);
    let groups = Groups::new(input.series(), grouping(node), ctx)?;
    let block = input.into_block(ctx, steps)?;
    if !block.histograms.is_empty() {
        ctx.note(node.input_span, Note::IgnoredInAggregation(node.op));
    }
    let gather = Gather { block: &block, rows: groups.rows(), qs: &qs };
    let held = ctx.budget.hold_rows(groups.len(), steps)?;
    let mut values = vec![STALE_NAN; groups.len() * steps];
    let _ = exchange::fill_chunks(ctx, &mut values, TILE_STEPS, |index, _, out| {
        gather.fill(index * TILE_STEPS, out);
        Ok(Histograms::NONE)
    })?;
    let mut first_seen = FirstSeen::new(groups.len(), grid);
    for row in 0..block.series.len() {
        first_seen.see(groups.of_row(row), row, block.row(row));
    }
    let result = Block::from_values(groups.series(&block.series), values, steps, held)?;
    Ok(Box::new(first_seen.in_order(result, ctx)?))
}

fn check(qs: &Column, span: Span, ctx: &Context<'_>) {
    if qs.iter().any(|q| q.is_nan()) {
        ctx.note(span, Note::InvalidQuantile(f64::NAN));
    }
    // PARITY(prometheus): these are NaN if any number is.
    let max = qs.iter().copied().fold(f64::MIN, math::max_of);
    if max > 1.0 {
        ctx.note(span, Note::InvalidQuantile(max));
    }
    let min = qs.iter().copied().fold(f64::MAX, math::min_of);
    if min < 0.0 {
        ctx.note(span, Note::InvalidQuantile(min));
    }
}

struct Gather<'a> {
    block: &'a Block,
    rows: Vec<Vec<usize>>,
    qs: &'a Column,
}

impl Gather<'_> {
    /// Fills cells from number `first` on; cells are counted through groups and their steps.
    fn fill(&self, first: usize, out: &mut [f64]) {
        let steps = self.block.steps;
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); out.len()];
        let mut done = 0;
        while done < out.len() {
            let (group, step) = ((first + done) / steps, (first + done) % steps);
            let len = (steps - step).min(out.len() - done);
            let columns = &mut columns[..len];
            columns.iter_mut().for_each(Vec::clear);
            for &row in &self.rows[group] {
                let values = &self.block.row(row)[step..step + len];
                for (column, v) in columns.iter_mut().zip(values) {
                    if !is_absent(*v) {
                        column.push(*v);
                    }
                }
            }
            for (i, column) in columns.iter_mut().enumerate() {
                if !column.is_empty() {
                    out[done + i] = aggregate::quantile(self.qs[step + i], column);
                }
            }
            done += len;
        }
    }
}
