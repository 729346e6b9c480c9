//! Scalars: one number per step.

use std::ops::Deref;

use super::{Context, exchange, is_absent, open};
use crate::error::QueryError;
use crate::limits::Held;
use crate::promql::plan::{ScalarNode, VectorNode};
use crate::step::StepGrid;

/// One number per step. Counts against the query's budget while it lives.
#[derive(Debug)]
pub(crate) struct Column {
    values: Vec<f64>,
    _held: Held,
}

impl Column {
    /// The numbers, no longer counted.
    pub(crate) fn into_values(self) -> Vec<f64> {
        self.values
    }

    fn update(&mut self, f: impl FnMut(&mut f64)) {
        self.values.iter_mut().for_each(f);
    }
}

impl Deref for Column {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values
    }
}

/// Evaluates a scalar at each step.
pub(crate) fn evaluate(
    node: &ScalarNode,
    grid: StepGrid,
    ctx: &Context<'_>,
) -> Result<Column, QueryError> {
    ctx.check()?;
    let constant = |v: f64| -> Result<Column, QueryError> {
        let held = ctx.budget.hold_rows(1, grid.count)?;
        Ok(Column { values: vec![v; grid.count], _held: held })
    };
    match node {
        ScalarNode::Number(v) => constant(*v),
        ScalarNode::Time => {
            let mut column = constant(0.0)?;
            for (i, v) in column.values.iter_mut().enumerate() {
                *v = grid.time_ms(i) as f64 / 1000.0;
            }
            Ok(column)
        }
        ScalarNode::OfVector(vector) => {
            let mut column = constant(f64::NAN)?;
            only_values(vector, grid, ctx, &mut column.values)?;
            Ok(column)
        }
        ScalarNode::Negate(inner) => {
            let mut column = evaluate(inner, grid, ctx)?;
            column.update(|v| *v = -*v);
            Ok(column)
        }
        ScalarNode::Apply { f, lhs, rhs } => {
            let mut column = evaluate(lhs, grid, ctx)?;
            let rhs = evaluate(rhs, grid, ctx)?;
            for (a, b) in column.values.iter_mut().zip(rhs.iter()) {
                *a = f(*a, *b);
            }
            Ok(column)
        }
        ScalarNode::Invariant(inner) => {
            let once = StepGrid::instant(grid.start_ms);
            let value = evaluate(inner, once, ctx)?[0];
            constant(value)
        }
    }
}

/// Puts the value of the only series that has one into each step; the others stay.
fn only_values(
    vector: &VectorNode,
    grid: StepGrid,
    ctx: &Context<'_>,
    out: &mut [f64],
) -> Result<(), QueryError> {
    let steps = grid.count;
    let rows = open(vector, grid, ctx)?;
    let runs = exchange::runs(rows.series().len(), steps);
    let mut counts = vec![0u8; steps];
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| {
            let run = runs[index].clone();
            let mut values = worker.take(run.len() * steps);
            // Histograms do not count.
            let _ = rows.read(run, worker, &mut values)?;
            let mut partial = vec![(0u8, f64::NAN); steps];
            for row in values.chunks_exact(steps) {
                for ((count, value), v) in partial.iter_mut().zip(row) {
                    if !is_absent(*v) {
                        *count = (*count + 1).min(2);
                        *value = *v;
                    }
                }
            }
            worker.put(values);
            Ok(partial)
        },
        |_, partial| {
            for ((count, out), (more, v)) in counts.iter_mut().zip(&mut *out).zip(partial) {
                if more == 0 {
                    continue;
                }
                *count = (*count + more).min(2);
                *out = if *count == 1 { v } else { f64::NAN };
            }
            Ok(())
        },
    )
}
