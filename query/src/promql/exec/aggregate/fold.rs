//! Folding rows into groups: each worker folds a run of series, runs merge in order.

use std::ops::Range;

use hashbrown::HashMap;

use super::Groups;
use super::group::FirstSeen;
use super::native::Natives;
use super::state::State;
use crate::error::QueryError;
use crate::promql::ast::AggregateOp;
use crate::promql::exec::block::Block;
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::{Context, Rows, Worker, exchange, is_absent};
use crate::promql::plan::AggregateNode;
use crate::step::StepGrid;

/// The states of the groups that occur in one run, at each step.
struct Partial<S> {
    groups: Vec<usize>,
    states: Vec<S>,
    /// The first row of each group that has a value, if there is but one step.
    firsts: Vec<(usize, usize)>,
}

/// Folds all rows; a group without any value stays in the block as a row without values.
///
/// Budget: 2 ns per series and step for `sum`.
pub(super) fn fold<S: State>(
    node: &AggregateNode,
    rows: &dyn Rows,
    groups: &Groups,
    grid: StepGrid,
    ctx: &Context<'_>,
) -> Result<Block, QueryError> {
    let steps = grid.count;
    let state_bytes =
        (groups.len() as u64).saturating_mul(steps as u64).saturating_mul(size_of::<S>() as u64);
    let held = ctx.budget.hold(state_bytes)?;
    let mut states = vec![S::EMPTY; groups.len() * steps];
    let mut natives = Natives::new(node.op, node.input_span, steps, ctx);
    let mut first_seen = FirstSeen::new(groups.len(), grid);
    let runs = exchange::runs(rows.series().len(), steps);
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| fold_run::<S>(node.op, rows, runs[index].clone(), groups, steps, worker),
        |index, (partial, histograms)| {
            for (row, group) in partial.firsts {
                first_seen.mark(group, row);
            }
            for (cell, h) in histograms.iter() {
                let row = runs[index].start + cell / steps;
                first_seen.mark(groups.of_row(row), row);
                let name = || rows.series().name(row).unwrap_or_default();
                natives.add((groups.of_row(row), cell % steps), h, name);
            }
            let folded = partial.states.chunks_exact(steps);
            for (group, folded) in partial.groups.iter().zip(folded) {
                let states = &mut states[group * steps..(group + 1) * steps];
                for (state, other) in states.iter_mut().zip(folded) {
                    state.merge(*other);
                }
            }
            Ok(())
        },
    )?;
    let result = ctx.budget.hold_rows(groups.len(), steps)?;
    let mut values: Vec<f64> = states.iter().map(State::value).collect();
    drop(held);
    let histograms = natives.finish(&mut values);
    let block = Block::from_values(groups.series(rows.series()), values, steps, result)?;
    first_seen.in_order(block.with_histograms(histograms, ctx)?, ctx)
}

fn fold_run<S: State>(
    op: AggregateOp,
    rows: &dyn Rows,
    run: Range<usize>,
    groups: &Groups,
    steps: usize,
    worker: &mut Worker,
) -> Result<(Partial<S>, Histograms), QueryError> {
    let mut values = worker.take(run.len() * steps);
    let mut histograms = rows.read(run.clone(), worker, &mut values)?;
    if matches!(op, AggregateOp::Count | AggregateOp::Group) {
        // That there is something is all that counts.
        for (cell, _) in std::mem::take(&mut histograms) {
            values[cell] = 0.0;
        }
    }
    let mut partial = Partial { groups: Vec::new(), states: Vec::new(), firsts: Vec::new() };
    let mut is_seen: Vec<bool> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut last: Option<(usize, usize)> = None;
    for (row, values) in run.zip(values.chunks_exact(steps)) {
        let group = groups.of_row(row);
        let place = match last {
            Some((g, place)) if g == group => place,
            _ => *places.entry(group).or_insert_with(|| {
                partial.groups.push(group);
                partial.states.resize(partial.groups.len() * steps, S::EMPTY);
                partial.groups.len() - 1
            }),
        };
        last = Some((group, place));
        if steps == 1 {
            is_seen.resize(partial.groups.len(), false);
            if !is_seen[place] && !is_absent(values[0]) {
                is_seen[place] = true;
                partial.firsts.push((row, group));
            }
        }
        let states = &mut partial.states[place * steps..(place + 1) * steps];
        for (state, v) in states.iter_mut().zip(values) {
            if !is_absent(*v) {
                state.add(*v);
            }
        }
    }
    worker.put(values);
    Ok((partial, histograms))
}
