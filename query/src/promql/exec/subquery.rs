//! Where range functions get their samples from: range selectors and subqueries.

use std::ops::Range;
use std::sync::Arc;

use super::select::{Ends, Reach, Selected};
use super::series::SeriesList;
use super::{Context, Rows, Worker, is_absent, open};
use crate::error::QueryError;
use crate::limits::Held;
use crate::promql::ast::RangeEdges;
use crate::promql::plan::{MatrixNode, SubqueryNode};
use crate::source::SampleColumns;
use crate::step::StepGrid;

/// Values of the inner expression, and times and values of its samples.
const BUFFERS_PER_WORKER: usize = 3;

/// Samples for windows over some evaluation times.
pub(crate) struct Samples<'a> {
    pub(crate) series: SeriesList,
    pub(crate) range_ms: i64,
    pub(crate) ends: Ends,
    pub(crate) edges: Option<RangeEdges>,
    from: From<'a>,
}

enum From<'a> {
    Selected(Arc<Selected>),
    /// The inner expression on its own grid.
    Rows {
        rows: Box<dyn Rows + 'a>,
        grid: StepGrid,
        /// The buffers of the workers.
        _held: Held,
    },
    Nothing,
}

impl<'a> Samples<'a> {
    pub(crate) fn open(
        node: &'a MatrixNode,
        grid: StepGrid,
        ctx: &'a Context<'a>,
    ) -> Result<Self, QueryError> {
        match node {
            MatrixNode::Select { select, range_ms } => {
                let ends = Ends::new(select.shift, grid);
                let selected = Selected::new(select, ends.grid, Reach::Range(*range_ms), ctx)?;
                let series = selected.series(select);
                let from = From::Selected(selected);
                Ok(Self { series, range_ms: *range_ms, ends, edges: select.edges, from })
            }
            MatrixNode::Subquery(subquery) => {
                let ends = Ends::new(subquery.shift, grid);
                let range_ms = subquery.range_ms;
                let Some(grid) = inner_grid(subquery, ends.grid, ctx)? else {
                    let series = SeriesList::new(Vec::new());
                    return Ok(Self { series, range_ms, ends, edges: None, from: From::Nothing });
                };
                let workers = ctx.pool.current_num_threads() + 1;
                let held = ctx.budget.hold_rows(workers * BUFFERS_PER_WORKER, grid.count)?;
                let rows = open(&subquery.expr, grid, ctx)?;
                let series = rows.series().clone();
                let from = From::Rows { rows, grid, _held: held };
                Ok(Self { series, range_ms, ends, edges: None, from })
            }
        }
    }

    /// Reads the samples of the first of `of`, without staleness markers; the others are those
    /// that will be read next. How many were read from the source.
    pub(crate) fn read(
        &self,
        of: Range<usize>,
        worker: &mut Worker,
        out: &mut SampleColumns,
    ) -> Result<usize, QueryError> {
        match &self.from {
            From::Selected(selected) => selected.read_fresh(of, &mut worker.ahead, out),
            From::Rows { rows, grid, .. } => {
                let mut values = worker.take(grid.count);
                rows.read(of.start..of.start + 1, worker, &mut values)?;
                out.clear();
                for (i, v) in values.iter().enumerate() {
                    if !is_absent(*v) {
                        out.ts.push(grid.time_ms(i));
                        out.vs.push(*v);
                    }
                }
                worker.put(values);
                Ok(0)
            }
            From::Nothing => {
                out.clear();
                Ok(0)
            }
        }
    }
}

/// The evaluation times of a subquery: multiples of its step in the windows over `ends`.
fn inner_grid(
    node: &SubqueryNode,
    ends: StepGrid,
    ctx: &Context<'_>,
) -> Result<Option<StepGrid>, QueryError> {
    let before = ends.start_ms.saturating_sub(node.range_ms);
    let start_ms = before.div_euclid(node.step_ms).saturating_add(1).saturating_mul(node.step_ms);
    let end_ms = ends.end_ms();
    if start_ms > end_ms {
        return Ok(None);
    }
    let grid = StepGrid::range(start_ms, end_ms, node.step_ms);
    let steps_max = ctx.limits.subquery_steps_max;
    if grid.count > steps_max {
        return Err(QueryError::limit("subquery_steps", steps_max as u64));
    }
    Ok(Some(grid))
}
