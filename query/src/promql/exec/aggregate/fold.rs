//! Folding rows into groups: each worker folds a run of series, runs merge in order.

use std::ops::Range;

use hashbrown::HashMap;
use parking_lot::Mutex;

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
    is_seen: Vec<bool>,
    /// Where groups stand in `groups`, and the group before with its place.
    places: HashMap<usize, usize>,
    last: Option<(usize, usize)>,
}

/// Fewer runs than this are read in smaller parts, so that all cores have some.
const WHOLE_RUNS_MIN: usize = 8;

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
    if groups.len() == rows.series().len() {
        return fold_alone::<S>(node, rows, groups, grid, ctx);
    }
    let steps = grid.count;
    let state_bytes =
        (groups.len() as u64).saturating_mul(steps as u64).saturating_mul(size_of::<S>() as u64);
    let held = ctx.budget.hold(state_bytes)?;
    let mut all = All {
        states: vec![S::EMPTY; groups.len() * steps],
        natives: Natives::new(node.op, node.input_span, steps, ctx),
        first_seen: FirstSeen::new(groups.len(), grid),
        rows,
        groups,
        steps,
    };
    let runs = exchange::runs(rows.series().len(), steps);
    if runs.len() < WHOLE_RUNS_MIN {
        all.fold_parts(node.op, &runs, ctx)?;
    } else {
        exchange::for_each_ordered(
            ctx,
            runs.len(),
            |index, worker| {
                let run = runs[index].clone();
                let mut values = worker.take(run.len() * steps);
                let histograms = read(node.op, rows, run.clone(), worker, &mut values)?;
                let mut partial = Partial::<S>::default();
                partial.add(groups, run, steps, &values);
                if histograms.is_empty() {
                    worker.put(std::mem::take(&mut values));
                }
                Ok((partial, values, histograms))
            },
            |index, (partial, values, histograms)| {
                all.take_histograms(runs[index].start, &values, &histograms, &Partial::default());
                all.merge(&partial);
                Ok(())
            },
        )?;
    }
    let All { states, natives, first_seen, .. } = all;
    let result = ctx.budget.hold_rows(groups.len(), steps)?;
    let mut values: Vec<f64> = states.iter().map(State::value).collect();
    drop((states, held));
    let histograms = natives.finish(&mut values);
    let block = Block::from_values(groups.series(rows.series()), values, steps, result)?;
    first_seen.in_order(block.with_histograms(histograms, ctx)?, ctx)
}

/// The same where each group has one row.
fn fold_alone<S: State>(
    node: &AggregateNode,
    rows: &dyn Rows,
    groups: &Groups,
    grid: StepGrid,
    ctx: &Context<'_>,
) -> Result<Block, QueryError> {
    let (count, steps) = (groups.len(), grid.count);
    let held = ctx.budget.hold_rows(count, steps)?;
    let mut values = vec![0.0; count * steps];
    let parts = exchange::parts(count, steps);
    let part_values = parts.first().map_or(1, |part| part.len() * steps).max(1);
    let found = exchange::fill_chunks(ctx, &mut values, part_values, |index, worker, values| {
        let histograms = read(node.op, rows, parts[index].clone(), worker, values)?;
        for v in values.iter_mut().filter(|v| !is_absent(**v)) {
            *v = S::alone(*v);
        }
        Ok(histograms)
    })?;
    let mut first_seen = FirstSeen::new(count, grid);
    if grid.is_instant() {
        for (row, values) in values.chunks_exact(steps).enumerate() {
            first_seen.see(groups.of_row(row), row, values);
        }
    }
    let mut natives = Natives::new(node.op, node.input_span, steps, ctx);
    for (cell, h) in found.iter() {
        let (row, step) = (cell / steps, cell % steps);
        first_seen.mark(groups.of_row(row), row);
        let name = || rows.series().name(row).unwrap_or_default();
        natives.add((groups.of_row(row), step), h, name, || false);
    }
    let histograms = natives.finish(&mut values);
    let block = Block::from_values(groups.series(rows.series()), values, steps, held)?;
    first_seen.in_order(block.with_histograms(histograms, ctx)?, ctx)
}

/// What is folded of all rows.
struct All<'a, S> {
    states: Vec<S>,
    natives: Natives<'a>,
    first_seen: FirstSeen,
    rows: &'a dyn Rows,
    groups: &'a Groups,
    steps: usize,
}

impl<S: State> All<'_, S> {
    /// Folds runs that are read in parts: all cores read, and one after the other folds what comes
    /// next. Each run has the states of its own that it has when it is folded as a whole.
    fn fold_parts(
        &mut self,
        op: AggregateOp,
        runs: &[Range<usize>],
        ctx: &Context<'_>,
    ) -> Result<(), QueryError> {
        let (rows, groups, steps) = (self.rows, self.groups, self.steps);
        let len = exchange::parts(rows.series().len(), steps).first().map_or(1, Range::len);
        let cut = |run: &Range<usize>| {
            let end = run.end;
            run.clone().step_by(len).map(move |start| start..end.min(start + len))
        };
        let parts: Vec<Range<usize>> = runs.iter().flat_map(cut).collect();
        let mut partial = Partial::<S>::default();
        // Buffers on their way back from the one that folds.
        let spare = Mutex::new(Vec::new());
        exchange::for_each_ordered(
            ctx,
            parts.len(),
            |index, worker| {
                let mut values: Vec<f64> = spare.lock().pop().unwrap_or_default();
                values.resize(parts[index].len() * steps, 0.0);
                let histograms = read(op, rows, parts[index].clone(), worker, &mut values)?;
                Ok((values, histograms))
            },
            |index, (values, histograms)| {
                let part = &parts[index];
                if runs.iter().any(|run| run.start == part.start) {
                    self.merge(&std::mem::take(&mut partial));
                }
                self.take_histograms(part.start, &values, &histograms, &partial);
                partial.add(groups, part.clone(), steps, &values);
                spare.lock().push(values);
                Ok(())
            },
        )?;
        self.merge(&partial);
        Ok(())
    }

    /// Takes the states of the next run.
    fn merge(&mut self, partial: &Partial<S>) {
        for (row, group) in &partial.firsts {
            self.first_seen.mark(*group, *row);
        }
        let folded = partial.states.chunks_exact(self.steps);
        for (group, folded) in partial.groups.iter().zip(folded) {
            let states = &mut self.states[group * self.steps..(group + 1) * self.steps];
            for (state, other) in states.iter_mut().zip(folded) {
                state.merge(*other);
            }
        }
    }

    /// Takes the histograms of the rows from `first` on, before their floats, which are in
    /// `values`; `partial` has the floats of the rows before them that are not in `states`.
    fn take_histograms(
        &mut self,
        first: usize,
        values: &[f64],
        histograms: &Histograms,
        partial: &Partial<S>,
    ) {
        let (groups, steps) = (self.groups, self.steps);
        for (cell, h) in histograms.iter() {
            let (row, step) = (first + cell / steps, cell % steps);
            let group = groups.of_row(row);
            self.first_seen.mark(group, row);
            let name = || self.rows.series().name(row).unwrap_or_default();
            let is_there = |state: &S| !is_absent(state.value());
            let comes_after_float = || {
                let place = partial.places.get(&group);
                is_there(&self.states[group * steps + step])
                    || place.is_some_and(|place| is_there(&partial.states[place * steps + step]))
                    || (first..row).any(|row| {
                        groups.of_row(row) == group
                            && !is_absent(values[(row - first) * steps + step])
                    })
            };
            self.natives.add((group, step), h, name, comes_after_float);
        }
    }
}

/// Reads rows; histograms are floats where it only counts that there is something.
fn read(
    op: AggregateOp,
    rows: &dyn Rows,
    of: Range<usize>,
    worker: &mut Worker,
    values: &mut [f64],
) -> Result<Histograms, QueryError> {
    let mut histograms = rows.read(of, worker, values)?;
    if matches!(op, AggregateOp::Count | AggregateOp::Group) {
        for (cell, _) in std::mem::take(&mut histograms) {
            values[cell] = 0.0;
        }
    }
    Ok(histograms)
}

impl<S> Default for Partial<S> {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            states: Vec::new(),
            firsts: Vec::new(),
            is_seen: Vec::new(),
            places: HashMap::new(),
            last: None,
        }
    }
}

impl<S: State> Partial<S> {
    /// Takes the values of the next rows.
    fn add(&mut self, groups: &Groups, rows: Range<usize>, steps: usize, values: &[f64]) {
        for (row, values) in rows.zip(values.chunks_exact(steps)) {
            let group = groups.of_row(row);
            let place = self.place(group, steps);
            if steps == 1 {
                self.is_seen.resize(self.groups.len(), false);
                if !self.is_seen[place] && !is_absent(values[0]) {
                    self.is_seen[place] = true;
                    self.firsts.push((row, group));
                }
            }
            S::add_row(&mut self.states[place * steps..(place + 1) * steps], values);
        }
    }

    /// Where a group stands, at the end if it is new.
    fn place(&mut self, group: usize, steps: usize) -> usize {
        let place = match self.last {
            Some((last, place)) if last == group => place,
            _ => *self.places.entry(group).or_insert_with(|| {
                self.groups.push(group);
                self.states.resize(self.groups.len() * steps, S::EMPTY);
                self.groups.len() - 1
            }),
        };
        self.last = Some((group, place));
        place
    }
}
