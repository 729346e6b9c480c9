//! `absent`: one series where there is none.

use m3rs_core::model::{Labels, STALE_NAN};

use super::block::Block;
use super::series::SeriesList;
use super::{Context, Rows, exchange, is_absent, open as open_node};
use crate::error::QueryError;
use crate::promql::plan::VectorNode;
use crate::step::StepGrid;

/// Opens `absent`.
pub(crate) fn open<'a>(
    input: &VectorNode,
    labels: &Labels,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let steps = grid.count;
    let rows = open_node(input, grid, ctx)?;
    let runs = exchange::runs(rows.series().len(), steps);
    let held = ctx.budget.hold_rows(1, steps)?;
    let mut values = vec![1.0; steps];
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| {
            let run = runs[index].clone();
            let mut buffer = worker.take(run.len() * steps);
            let histograms = rows.read(run, worker, &mut buffer)?;
            let mut is_present = vec![false; steps];
            histograms.iter().for_each(|(cell, _)| is_present[cell % steps] = true);
            for row in buffer.chunks_exact(steps) {
                for (present, v) in is_present.iter_mut().zip(row) {
                    *present |= !is_absent(*v);
                }
            }
            worker.put(buffer);
            Ok(is_present)
        },
        |_, is_present| {
            for (v, present) in values.iter_mut().zip(is_present) {
                if present {
                    *v = STALE_NAN;
                }
            }
            Ok(())
        },
    )?;
    let series = SeriesList::new(vec![labels.clone()]);
    Ok(Box::new(Block::from_values(series, values, steps, held)?))
}
