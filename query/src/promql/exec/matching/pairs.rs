//! Pairs of series that are the same at each step.

use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::{Labels, STALE_NAN};

use super::{Apply, Operation, PairResult, Sides};
use crate::error::QueryError;
use crate::histogram::FloatHistogram;
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::last_notes::LastNotes;
use crate::promql::exec::operator::Operand;
use crate::promql::exec::series::{NameRemoval, SeriesList};
use crate::promql::exec::{Context, Rows, Worker, exchange, is_absent};

/// Rows of both sides that meet, by row of the result, and the labels of the results.
pub(super) struct Pairs {
    many: Vec<usize>,
    one: Vec<usize>,
    series: SeriesList,
}

/// No row.
const NONE: u32 = u32::MAX;

/// Finds pairs; `None` if they can differ from step to step.
pub(super) fn find(
    operation: &Operation<'_>,
    sides: &Sides<'_>,
    ctx: &Context<'_>,
) -> Result<Option<Pairs>, QueryError> {
    if operation.matching.fill != (None, None) {
        return Ok(None);
    }
    let signatures = sides.groups.len();
    let mut one_of = vec![NONE; signatures];
    for (row, signature) in sides.of_one.iter().enumerate() {
        let slot = &mut one_of[*signature as usize];
        if *slot != NONE {
            return Ok(None);
        }
        *slot = row as u32;
    }
    let mut pairs =
        Pairs { many: Vec::new(), one: Vec::new(), series: SeriesList::new(Vec::new()) };
    let mut is_taken = vec![false; signatures];
    for (row, signature) in sides.groups.numbers().iter().enumerate() {
        let signature = *signature as usize;
        if one_of[signature] == NONE {
            continue;
        }
        if operation.is_one_to_one() && std::mem::replace(&mut is_taken[signature], true) {
            return Ok(None);
        }
        pairs.many.push(row);
        pairs.one.push(one_of[signature] as usize);
    }
    pairs.series = series(operation, sides, &pairs, ctx)?;
    Ok(if pairs.series.has_duplicates() { None } else { Some(pairs) })
}

fn series(
    operation: &Operation<'_>,
    sides: &Sides<'_>,
    pairs: &Pairs,
    ctx: &Context<'_>,
) -> Result<SeriesList, QueryError> {
    let (many, one) = (sides.many.series(), sides.one.series());
    if operation.keeps_labels() {
        let series = many.reordered(&pairs.many);
        return Ok(if operation.drops_name {
            series.drop_metadata(NameRemoval::AtOnce)
        } else if operation.leaves_name_pending {
            series.drop_metadata(NameRemoval::AtEnd)
        } else {
            series
        });
    }
    let kept = operation.kept();
    let runs = exchange::runs(pairs.many.len(), 1);
    let mut labels: Vec<Labels> = Vec::with_capacity(pairs.many.len());
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, _| {
            let rows = runs[index].clone().map(|i| (pairs.many[i], pairs.one[i]));
            Ok(rows
                .map(|(m, o)| operation.result_labels(&kept, &many.labels(m), &one.labels(o)))
                .collect::<Vec<_>>())
        },
        |_, part| {
            labels.extend(part);
            Ok(())
        },
    )?;
    let series = SeriesList::new(labels);
    if operation.drops_name || !(operation.leaves_name_pending || many.has_pending()) {
        return Ok(series);
    }
    let is_pending = |row: &usize| operation.leaves_name_pending || many.is_pending(*row);
    Ok(series.with_pending(pairs.many.iter().map(is_pending).collect()))
}

/// Opens the operator over pairs.
pub(super) fn open<'a>(
    operation: Operation<'a>,
    sides: Sides<'a>,
    pairs: Pairs,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let steps = sides.steps;
    read_unpaired(&*sides.many, &pairs.many, steps, ctx)?;
    // A series that several meet is read once.
    let one: Box<dyn Rows + 'a> = if operation.is_one_to_one() {
        read_unpaired(&*sides.one, &pairs.one, steps, ctx)?;
        sides.one
    } else {
        Box::new(sides.one.into_block(ctx, steps)?)
    };
    let notes = LastNotes::new(operation.span, steps, ctx);
    Ok(Box::new(PairRows { operation, many: sides.many, one, pairs, steps, notes }))
}

/// Reads rows that meet no other for what they may tell.
fn read_unpaired(
    rows: &dyn Rows,
    paired: &[usize],
    steps: usize,
    ctx: &Context<'_>,
) -> Result<(), QueryError> {
    if !rows.tells() {
        return Ok(());
    }
    let mut is_paired = vec![false; rows.series().len()];
    paired.iter().for_each(|row| is_paired[*row] = true);
    let unpaired: Vec<usize> = (0..is_paired.len()).filter(|row| !is_paired[*row]).collect();
    let runs = exchange::parts(unpaired.len(), steps);
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| {
            let run = &unpaired[runs[index].clone()];
            let mut values = worker.take(run.len() * steps);
            let _ = read_rows(rows, run, steps, worker, &mut values)?;
            worker.put(values);
            Ok(())
        },
        |_, ()| Ok(()),
    )
}

struct PairRows<'a> {
    operation: Operation<'a>,
    many: Box<dyn Rows + 'a>,
    one: Box<dyn Rows + 'a>,
    pairs: Pairs,
    steps: usize,
    notes: LastNotes<'a>,
}

impl Rows for PairRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.pairs.series
    }

    fn tells(&self) -> bool {
        // Pairs of a float and a histogram do.
        true
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let mut ones = worker.take(out.len());
        let many = read_rows(&*self.many, &self.pairs.many[rows.clone()], self.steps, worker, out)?;
        let first = rows.start;
        let one = read_rows(&*self.one, &self.pairs.one[rows], self.steps, worker, &mut ones)?;
        let is_for_floats = !matches!(self.operation.apply, Apply::Refuse);
        let mut results = Histograms::NONE;
        if is_for_floats && many.is_empty() && one.is_empty() {
            self.operation.apply_to_row(out, &ones);
        } else {
            results = self.apply_to_cells(first, out, (&many, &ones, &one));
        }
        worker.put(ones);
        Ok(results)
    }
}

impl PairRows<'_> {
    /// Applies the operation where there may be histograms.
    fn apply_to_cells(
        &self,
        first: usize,
        out: &mut [f64],
        (many, ones, one): (&Histograms, &[f64], &Histograms),
    ) -> Histograms {
        let mut results = Histograms::NONE;
        let (mut many, mut one) = (many.iter().peekable(), one.iter().peekable());
        for (cell, (out, other)) in out.iter_mut().zip(ones).enumerate() {
            let many = operand(*out, many.next_if(|(at, _)| *at == cell));
            let one = operand(*other, one.next_if(|(at, _)| *at == cell));
            *out = STALE_NAN;
            let (Some(many), Some(one)) = (many, one) else { continue };
            let (row, step) = (first + cell / self.steps, cell % self.steps);
            let mut tell = |note| self.notes.add(row, step, note);
            match self.operation.apply_to_pair(many, one, &mut tell) {
                PairResult::Float(v) => *out = v,
                PairResult::Histogram(h) => results.push(cell, h),
                PairResult::Dropped | PairResult::Refused => {}
            }
        }
        results
    }
}

/// What a cell holds, if anything.
fn operand(v: f64, h: Option<(usize, &Arc<FloatHistogram>)>) -> Option<Operand<'_>> {
    match h {
        Some((_, h)) => Some(Operand::Histogram(h)),
        None if is_absent(v) => None,
        None => Some(Operand::Float(v)),
    }
}

/// Reads rows in any order, runs of neighbours together.
fn read_rows(
    from: &dyn Rows,
    rows: &[usize],
    steps: usize,
    worker: &mut Worker,
    out: &mut [f64],
) -> Result<Histograms, QueryError> {
    let mut histograms = Histograms::NONE;
    let mut first = 0;
    let mut rest = out;
    for run in rows.chunk_by(|a, b| a + 1 == *b) {
        let (out, next) = rest.split_at_mut(run.len() * steps);
        histograms.append(from.read(run[0]..run[0] + run.len(), worker, out)?, first);
        first += out.len();
        rest = next;
    }
    Ok(histograms)
}
