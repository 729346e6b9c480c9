//! Where range functions get their samples from: range selectors and subqueries.

use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::ResetHint;

use super::select::{Ends, Reach, Selected};
use super::series::SeriesList;
use super::{Context, Rows, Worker, is_absent, open};
use crate::error::QueryError;
use crate::limits::Held;
use crate::promql::ast::RangeEdges;
use crate::promql::function::HistogramSamples;
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
    /// Whether buckets of native histograms are not looked at.
    skips_buckets: bool,
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
                let (range_ms, edges, skips_buckets) =
                    (*range_ms, select.edges, select.skips_buckets);
                Ok(Self { series, range_ms, ends, edges, skips_buckets, from })
            }
            MatrixNode::Subquery(subquery) => {
                let ends = Ends::new(subquery.shift, grid);
                let (range_ms, edges, skips_buckets) = (subquery.range_ms, None, false);
                let Some(grid) = inner_grid(subquery, ends.grid, ctx)? else {
                    let series = SeriesList::new(Vec::new());
                    let from = From::Nothing;
                    return Ok(Self { series, range_ms, ends, edges, skips_buckets, from });
                };
                let workers = ctx.pool.current_num_threads() + 1;
                let held = ctx.budget.hold_rows(workers * BUFFERS_PER_WORKER, grid.count)?;
                let rows = open(&subquery.expr, grid, ctx)?;
                let series = rows.series().clone();
                let from = From::Rows { rows, grid, _held: held };
                Ok(Self { series, range_ms, ends, edges, skips_buckets, from })
            }
        }
    }

    /// Reads the samples of the first of `of`, without staleness markers; the others are those
    /// that will be read next. How many were read from the source.
    pub(crate) fn read(
        &self,
        of: Range<usize>,
        worker: &mut Worker,
        (out, natives): (&mut SampleColumns, &mut HistogramSamples),
    ) -> Result<usize, QueryError> {
        match &self.from {
            From::Selected(selected) => {
                selected.read_fresh(of, self.skips_buckets, worker, (out, natives))
            }
            From::Rows { rows, grid, .. } => {
                let mut values = worker.take(grid.count);
                let histograms = rows.read(of.start..of.start + 1, worker, &mut values)?;
                out.clear();
                natives.clear();
                for (step, mut h) in histograms {
                    natives.ts.push(grid.time_ms(step));
                    // Hints are about neighbours in storage, not about those on the grid.
                    if matches!(h.hint, ResetHint::Reset | ResetHint::NoReset) {
                        Arc::make_mut(&mut h).hint = ResetHint::Unknown;
                    }
                    natives.hs.push(h);
                }
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
                natives.clear();
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
