//! From a plan to the value of a query.

use std::sync::Arc;

use m3rs_core::model::Labels;
use rayon::slice::ParallelSliceMut;

use super::step_counts::CountAt;
use super::subquery::Samples;
use super::{Context, Worker, count_values, exchange, is_absent, open, scalar};
use crate::error::QueryError;
use crate::promql::function::HistogramSamples;
use crate::promql::plan::{MatrixNode, Plan, VectorNode};
use crate::promql::{function, labelset};
use crate::result::{InstantVector, Matrix, MatrixSeries, Points, Value};
use crate::source::SampleColumns;
use crate::step::StepGrid;

/// Evaluates a plan at each step of `grid`; `is_range` tells a range query of one step from an
/// instant query.
pub(crate) fn evaluate(
    plan: &Plan,
    grid: StepGrid,
    is_range: bool,
    ctx: &Context<'_>,
) -> Result<Value, QueryError> {
    let t_ms = grid.start_ms;
    match plan {
        Plan::Scalar(node) => {
            let column = scalar::evaluate(node, grid, ctx)?;
            if !is_range {
                return Ok(Value::Scalar { t_ms, v: column[0] });
            }
            let points = Points::Steps { first: 0, values: column.into_values() };
            let (labels, histograms) = (Labels::empty(), Vec::new());
            let series = vec![MatrixSeries { labels, points, histograms }];
            Ok(Value::Matrix(Matrix { grid, series }))
        }
        Plan::Vector(node) if is_range => matrix_of_steps(node, grid, ctx),
        Plan::Vector(node) => instant_vector(node, grid, ctx),
        Plan::Matrix(node) if !is_range => matrix_of_samples(node, grid, ctx),
        Plan::String(text) if !is_range => Ok(Value::String { t_ms, text: text.clone() }),
        Plan::Matrix(_) | Plan::String(_) => {
            Err(QueryError::Internal("a range query of a wrong type".to_owned()))
        }
    }
}

fn instant_vector(
    node: &VectorNode,
    grid: StepGrid,
    ctx: &Context<'_>,
) -> Result<Value, QueryError> {
    let rows = open(node, grid, ctx)?;
    let series = rows.series();
    let runs = exchange::parts(series.len(), 1);
    let mut held = ctx.budget.hold_rows(series.len(), 1)?;
    let mut vector = InstantVector { t_ms: grid.start_ms, ..InstantVector::default() };
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| {
            let run = runs[index].clone();
            let mut values = worker.take(run.len());
            let mut natives = rows.read(run.clone(), worker, &mut values)?.into_iter().peekable();
            let mut part = InstantVector::default();
            for (place, (row, v)) in run.zip(&values).enumerate() {
                let native = natives.next_if(|(cell, _)| *cell == place);
                if is_absent(*v) && native.is_none() {
                    continue;
                }
                part.histograms.extend(native.map(|(_, h)| (part.labels.len(), h)));
                part.labels.push(series.labels(row));
                part.values.push(*v);
            }
            worker.put(values);
            Ok(part)
        },
        |_, part: InstantVector| {
            held.add_samples(part.values.len())?;
            let first = vector.labels.len();
            vector.labels.extend(part.labels);
            vector.values.extend(part.values);
            vector.histograms.extend(part.histograms.into_iter().map(|(i, h)| (first + i, h)));
            Ok(())
        },
    )?;
    Ok(Value::Vector(vector))
}

/// Collects series run by run, each without the steps before its first and after its last value.
fn matrix_of_steps(
    node: &VectorNode,
    grid: StepGrid,
    ctx: &Context<'_>,
) -> Result<Value, QueryError> {
    let rows = open(node, grid, ctx)?;
    let steps = grid.count;
    let runs = exchange::parts(rows.series().len(), steps);
    let mut held = Vec::new();
    let mut series = Vec::new();
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| {
            let run = runs[index].clone();
            let mut values = worker.take(run.len() * steps);
            let natives = rows.read(run.clone(), worker, &mut values)?;
            let part: Vec<MatrixSeries> = run
                .zip(values.chunks_exact(steps))
                .enumerate()
                .filter_map(|(place, (row, values))| {
                    let cells = place * steps..(place + 1) * steps;
                    let at = |cell| grid.time_ms(cell - place * steps);
                    let histograms: Vec<_> =
                        natives.within(cells).map(|(cell, h)| (at(cell), Arc::clone(h))).collect();
                    let points = points(values);
                    if points.is_none() && histograms.is_empty() {
                        return None;
                    }
                    let points = points.unwrap_or(Points::Steps { first: 0, values: Vec::new() });
                    Some(MatrixSeries { labels: rows.series().labels(row), points, histograms })
                })
                .collect();
            worker.put(values);
            let mut len = 0;
            let mut present = 0;
            for one in &part {
                if let Points::Steps { values, .. } = &one.points {
                    len += values.len();
                    present += count_values(values);
                }
            }
            let mut held = ctx.budget.hold_rows(len, 1)?;
            held.absorb(ctx.budget.hold(natives.bytes())?);
            held.add_samples(present + natives.samples())?;
            Ok((part, held))
        },
        |_, (part, part_held)| {
            series.extend(part);
            held.push(part_held);
            Ok(())
        },
    )?;
    sort(&mut series, ctx);
    Ok(Value::Matrix(Matrix { grid, series }))
}

/// The floats of a row from the first to the last one, if there is any.
fn points(values: &[f64]) -> Option<Points> {
    let first = values.iter().position(|v| !is_absent(*v))?;
    let last = values.iter().rposition(|v| !is_absent(*v))?;
    Some(Points::Steps { first, values: values[first..=last].to_vec() })
}

/// The samples that a range selector or a subquery selects, at their own times.
fn matrix_of_samples(
    node: &MatrixNode,
    grid: StepGrid,
    ctx: &Context<'_>,
) -> Result<Value, QueryError> {
    let samples = Samples::open(node, grid, ctx)?;
    let runs = exchange::parts(samples.series.len(), 256);
    let mut held = Vec::new();
    let mut series = Vec::new();
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker: &mut Worker| {
            let mut part = Vec::new();
            let mut read = 0;
            let mut held = ctx.budget.hold(0)?;
            for row in runs[index].clone() {
                ctx.check()?;
                let mut columns = SampleColumns::default();
                let mut natives = HistogramSamples::default();
                let end = runs[index].end;
                read += samples.read(row..end, worker, (&mut columns, &mut natives))?;
                if let Some(edges) = samples.edges {
                    if !natives.is_empty() {
                        let modifier = edges.as_str();
                        return Err(QueryError::Execution(format!(
                            "{modifier} modifier is not supported with histograms"
                        )));
                    }
                    let end_ms = samples.ends.grid.start_ms;
                    let bounds = (end_ms.saturating_sub(samples.range_ms), end_ms);
                    function::cut_samples(&mut columns, bounds, edges);
                }
                if columns.ts.is_empty() && natives.is_empty() {
                    continue;
                }
                let mut row_held = ctx.budget.hold_rows(columns.ts.len(), 2)?;
                let bytes = natives.hs.iter().map(|h| h.bytes()).sum::<usize>();
                row_held.absorb(ctx.budget.hold(bytes as u64)?);
                row_held.add_samples(columns.ts.len() + bytes / 16)?;
                held.absorb(row_held);
                columns.histograms.clear();
                columns.ts.shrink_to_fit();
                columns.vs.shrink_to_fit();
                let (labels, points) = (samples.series.labels(row), Points::Samples(columns));
                let histograms = natives.ts.into_iter().zip(natives.hs).collect();
                part.push(MatrixSeries { labels, points, histograms });
            }
            ctx.budget.add_read(read);
            if let (Some(counts), MatrixNode::Select { .. }) = (&ctx.step_counts, node) {
                counts.add(CountAt::All, 0, part.iter().map(samples_of).sum());
            }
            Ok((part, held))
        },
        |_, (part, part_held)| {
            series.extend(part);
            held.push(part_held);
            Ok(())
        },
    )?;
    sort(&mut series, ctx);
    Ok(Value::Matrix(Matrix { grid, series }))
}

/// How many samples a series of samples counts for.
fn samples_of(series: &MatrixSeries) -> u64 {
    let floats = match &series.points {
        Points::Samples(columns) => columns.ts.len(),
        Points::Steps { .. } => 0,
    };
    floats as u64 + series.histograms.iter().map(|(_, h)| h.samples()).sum::<u64>()
}

fn sort(series: &mut [MatrixSeries], ctx: &Context<'_>) {
    let order = |a: &MatrixSeries, b: &MatrixSeries| {
        labelset::compare(a.labels.as_bytes(), b.labels.as_bytes())
    };
    let start = ctx.clock.monotonic();
    if !series.is_sorted_by(|a, b| order(a, b).is_le()) {
        ctx.pool.install(|| series.par_sort_by(order));
    }
    *ctx.sorting.lock() += ctx.clock.monotonic().saturating_sub(start);
}
