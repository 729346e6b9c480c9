//! `and`, `unless` and `or`: which series are there, not what their values are.

use std::ops::Range;

use m3rs_core::model::STALE_NAN;

use super::aggregate::Groups;
use super::block::{self, Block, SameLabels};
use super::histograms::Histograms;
use super::series::SeriesList;
use super::{Context, Rows, Worker, exchange, is_absent, open as open_node};
use crate::error::QueryError;
use crate::limits::Held;
use crate::promql::ast::{BinaryOp, VectorMatching};
use crate::promql::labelset::Projection;
use crate::promql::plan::BinaryNode;
use crate::step::StepGrid;

/// The labels that must agree for series to match.
pub(crate) fn signature(matching: &VectorMatching) -> Projection {
    if matching.on {
        Projection::keeping(&matching.labels)
    } else {
        Projection::dropping_with_name(&matching.labels)
    }
}

/// Opens a set operator.
pub(crate) fn open<'a>(
    node: &'a BinaryNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let steps = grid.count;
    let left = open_node(&node.lhs, grid, ctx)?;
    let right = open_node(&node.rhs, grid, ctx)?;
    let mut groups = Groups::new(left.series(), signature(&node.matching), ctx)?;
    let of_right = groups.extend(right.series(), signature(&node.matching), ctx)?;
    if node.op != BinaryOp::Or {
        let present = Presence::new(&*right, &of_right, groups.len(), steps, ctx)?;
        let keeps_present = node.op == BinaryOp::And;
        let of_row = groups.numbers().to_vec();
        return Ok(Box::new(Masked { input: left, of_row, present, keeps_present, steps }));
    }
    let left = left.into_block(ctx, steps)?;
    let present = Presence::new(&left, groups.numbers(), groups.len(), steps, ctx)?;
    let right = Masked { input: right, of_row: of_right, present, keeps_present: false, steps };
    let mut labels = left.series.shown();
    labels.extend(right.series().shown());
    let mut series = SeriesList::new(labels);
    let (of_left, of_right) = (&left.series, right.series());
    if of_left.has_pending() || of_right.has_pending() {
        let left = (0..of_left.len()).map(|row| of_left.is_pending(row));
        let right = (0..of_right.len()).map(|row| of_right.is_pending(row));
        series = series.with_pending(left.chain(right).collect());
    }
    let rows: Box<dyn Rows + 'a> = Box::new(Both { left, right, series, steps });
    block::with_unique_labels(rows, SameLabels::Merge, steps, ctx)
}

/// At which steps any row of a group has a value: a bit for each group and step.
struct Presence {
    words: Vec<u64>,
    words_per_group: usize,
    _held: Held,
}

impl Presence {
    fn new<R: Rows + ?Sized>(
        rows: &R,
        of_row: &[u32],
        groups: usize,
        steps: usize,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let words_per_group = steps.div_ceil(64);
        let held = ctx.budget.hold_rows(groups, words_per_group)?;
        let mut words = vec![0u64; groups * words_per_group];
        let runs = exchange::runs(rows.series().len(), steps);
        exchange::for_each_ordered(
            ctx,
            runs.len(),
            |index, worker| {
                let run = runs[index].clone();
                let mut values = worker.take(run.len() * steps);
                let histograms = rows.read(run.clone(), worker, &mut values)?;
                let mut bits = vec![0u64; run.len() * words_per_group];
                for (bits, row) in
                    bits.chunks_exact_mut(words_per_group).zip(values.chunks_exact(steps))
                {
                    for (step, v) in row.iter().enumerate() {
                        bits[step / 64] |= u64::from(!is_absent(*v)) << (step % 64);
                    }
                }
                for (cell, _) in histograms.iter() {
                    let (row, step) = (cell / steps, cell % steps);
                    bits[row * words_per_group + step / 64] |= 1 << (step % 64);
                }
                worker.put(values);
                Ok(bits)
            },
            |index, bits| {
                for (row, bits) in runs[index].clone().zip(bits.chunks_exact(words_per_group)) {
                    let start = of_row[row] as usize * words_per_group;
                    for (word, more) in words[start..start + words_per_group].iter_mut().zip(bits) {
                        *word |= more;
                    }
                }
                Ok(())
            },
        )?;
        Ok(Self { words, words_per_group, _held: held })
    }

    fn has(&self, group: u32, step: usize) -> bool {
        let word = self.words[group as usize * self.words_per_group + step / 64];
        word >> (step % 64) & 1 == 1
    }
}

/// The values where a match is present, or where none is.
struct Masked<'a> {
    input: Box<dyn Rows + 'a>,
    of_row: Vec<u32>,
    present: Presence,
    keeps_present: bool,
    steps: usize,
}

impl Rows for Masked<'_> {
    fn series(&self) -> &SeriesList {
        self.input.series()
    }

    fn tells(&self) -> bool {
        self.input.tells()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let mut histograms = self.input.read(rows.clone(), worker, out)?;
        histograms.retain(|cell, _| {
            let group = self.of_row[rows.start + cell / self.steps];
            self.present.has(group, cell % self.steps) == self.keeps_present
        });
        for (row, out) in rows.zip(out.chunks_exact_mut(self.steps)) {
            let group = self.of_row[row];
            for (step, v) in out.iter_mut().enumerate() {
                if self.present.has(group, step) != self.keeps_present {
                    *v = STALE_NAN;
                }
            }
        }
        Ok(histograms)
    }
}

/// The rows of one operator, then those of another.
struct Both<'a> {
    left: Block,
    right: Masked<'a>,
    series: SeriesList,
    steps: usize,
}

impl Rows for Both<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn tells(&self) -> bool {
        self.right.tells()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let cut = self.left.series.len();
        let in_left = rows.start.min(cut)..rows.end.min(cut);
        let in_right = rows.start.max(cut) - cut..rows.end.max(cut) - cut;
        let (left, right) = out.split_at_mut(in_left.len() * self.steps);
        let mut histograms = self.left.read(in_left, worker, left)?;
        histograms.append(self.right.read(in_right, worker, right)?, left.len());
        Ok(histograms)
    }
}
