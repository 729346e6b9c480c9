//! Rows in memory.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::model::{Labels, STALE_NAN};

use super::histograms::Histograms;
use super::series::SeriesList;
use super::{Context, Rows, Worker, count_values, exchange, has_value, is_absent};
use crate::error::QueryError;
use crate::histogram::FloatHistogram;
use crate::limits::Held;
use crate::promql::labelset::{Dictionary, Projection};
use crate::step::StepGrid;

/// All values of some series, row by row. Counts against the query's budget while it lives.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) series: SeriesList,
    pub(crate) values: Vec<f64>,
    pub(crate) histograms: Histograms,
    pub(crate) steps: usize,
    held: Held,
}

/// What equal labels of two rows mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SameLabels {
    /// One series, if no step has a value in both; else an error.
    Merge,
    /// An error, if both have any value.
    Refuse,
}

impl Block {
    /// A block of rows without values.
    pub(crate) fn absent(
        series: SeriesList,
        steps: usize,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let held = ctx.budget.hold_rows(series.len(), steps)?;
        let values = vec![STALE_NAN; series.len() * steps];
        Ok(Self { series, values, histograms: Histograms::NONE, steps, held })
    }

    /// No rows.
    pub(crate) fn empty(grid: StepGrid, ctx: &Context<'_>) -> Result<Self, QueryError> {
        Self::absent(SeriesList::new(Vec::new()), grid.count, ctx)
    }

    /// A block of the given values; the caller has counted their bytes as `held`.
    pub(crate) fn from_values(
        series: SeriesList,
        values: Vec<f64>,
        steps: usize,
        mut held: Held,
    ) -> Result<Self, QueryError> {
        debug_assert_eq!(values.len(), series.len() * steps);
        held.add_samples(count_values(&values))?;
        Ok(Self { series, values, histograms: Histograms::NONE, steps, held })
    }

    /// The same with native histograms where values are absent.
    pub(crate) fn with_histograms(
        mut self,
        histograms: Histograms,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        if !histograms.is_empty() {
            let mut held = ctx.budget.hold(histograms.bytes())?;
            held.add_samples(histograms.samples())?;
            self.held.absorb(held);
            self.histograms = histograms;
        }
        Ok(self)
    }

    /// One series without labels.
    pub(crate) fn of_row(values: Vec<f64>, ctx: &Context<'_>) -> Result<Self, QueryError> {
        let steps = values.len();
        let held = ctx.budget.hold_rows(1, steps)?;
        Self::from_values(SeriesList::new(vec![Labels::empty()]), values, steps, held)
    }

    /// Reads all rows on every core.
    pub(crate) fn collect<R: Rows + ?Sized>(
        rows: &R,
        steps: usize,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let series = rows.series().clone();
        let held = ctx.budget.hold_rows(series.len(), steps)?;
        let mut values = vec![0.0; series.len() * steps];
        let histograms = exchange::read_all(ctx, rows, steps, &mut values)?;
        Self::from_values(series, values, steps, held)?.with_histograms(histograms, ctx)
    }

    /// Counts the values of a block that was filled after it was made.
    pub(crate) fn count_samples(&mut self) -> Result<(), QueryError> {
        self.held.add_samples(count_values(&self.values))
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.steps..(row + 1) * self.steps]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.steps..(row + 1) * self.steps]
    }

    /// The native histogram of a row at a step.
    pub(crate) fn histogram(&self, row: usize, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.histograms.get(row * self.steps + step)
    }

    /// Whether a row has anything at a step.
    pub(crate) fn is_present(&self, row: usize, step: usize) -> bool {
        !is_absent(self.row(row)[step])
            || (!self.histograms.is_empty() && self.histogram(row, step).is_some())
    }

    /// Whether a row has anything at any step.
    pub(crate) fn has_samples(&self, row: usize) -> bool {
        has_value(self.row(row)) || self.row_histograms(row).next().is_some()
    }

    /// The native histograms of a row, by step.
    fn row_histograms(&self, row: usize) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        let first = row * self.steps;
        self.histograms.within(first..first + self.steps).map(move |(cell, h)| (cell - first, h))
    }

    /// The rows of `order`, in that order.
    pub(crate) fn reordered(&self, order: &[usize], ctx: &Context<'_>) -> Result<Self, QueryError> {
        let held = ctx.budget.hold_rows(order.len(), self.steps)?;
        let mut values = Vec::with_capacity(order.len() * self.steps);
        for &row in order {
            values.extend_from_slice(self.row(row));
        }
        let mut histograms = Histograms::NONE;
        if !self.histograms.is_empty() {
            for (place, &row) in order.iter().enumerate() {
                for (step, h) in self.row_histograms(row) {
                    histograms.push(place * self.steps + step, Arc::clone(h));
                }
            }
        }
        let series = self.series.reordered(order);
        Self::from_values(series, values, self.steps, held)?.with_histograms(histograms, ctx)
    }

    /// Makes labels unique.
    ///
    /// # Errors
    /// [`QueryError::Execution`] where `same` does not allow that.
    pub(crate) fn with_unique_labels(
        self,
        same: SameLabels,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        if !self.series.has_duplicates() {
            return Ok(self);
        }
        let projection = self.series.project(Projection::all());
        let mut numbers = Dictionary::default();
        let mut key = Vec::new();
        let mut firsts: Vec<usize> = Vec::new();
        let mut targets: Vec<Option<usize>> = Vec::with_capacity(self.series.len());
        for row in 0..self.series.len() {
            if !self.has_samples(row) {
                targets.push(None);
                continue;
            }
            projection.apply(self.series.raw(row), &mut key);
            let number = numbers.number(&key) as usize;
            if number == firsts.len() {
                firsts.push(row);
            } else if same == SameLabels::Refuse {
                return Err(QueryError::same_labelset());
            }
            targets.push(Some(number));
        }
        let mut merged = self.reordered(&firsts, ctx)?;
        let mut moved: HashMap<usize, Arc<FloatHistogram>> = HashMap::new();
        for (row, target) in targets.into_iter().enumerate() {
            let Some(target) = target else { continue };
            if firsts[target] == row {
                continue;
            }
            for step in 0..self.steps {
                let cell = target * self.steps + step;
                let is_taken = merged.is_present(target, step) || moved.contains_key(&cell);
                if is_taken && self.is_present(row, step) {
                    return Err(QueryError::same_labelset());
                }
            }
            for (to, from) in merged.row_mut(target).iter_mut().zip(self.row(row)) {
                if !is_absent(*from) {
                    *to = *from;
                }
            }
            moved.extend(
                self.row_histograms(row)
                    .map(|(step, h)| (target * self.steps + step, Arc::clone(h))),
            );
        }
        if !moved.is_empty() {
            let all = std::mem::take(&mut merged.histograms);
            merged.histograms = Histograms::from_unsorted(all.into_iter().chain(moved).collect());
        }
        Ok(merged)
    }
}

/// The same rows, collected and merged if labels are not unique.
pub(crate) fn with_unique_labels<'a>(
    rows: Box<dyn Rows + 'a>,
    same: SameLabels,
    steps: usize,
    ctx: &Context<'_>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    if !rows.series().has_duplicates() {
        return Ok(rows);
    }
    let block = rows.into_block(ctx, steps)?.with_unique_labels(same, ctx)?;
    Ok(Box::new(block))
}

impl Rows for Block {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn read(
        &self,
        rows: Range<usize>,
        _: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let cells = rows.start * self.steps..rows.end * self.steps;
        out.copy_from_slice(&self.values[cells.clone()]);
        let mut histograms = Histograms::NONE;
        for (cell, h) in self.histograms.within(cells.clone()) {
            histograms.push(cell - cells.start, Arc::clone(h));
        }
        Ok(histograms)
    }

    fn into_block(self: Box<Self>, _: &Context<'_>, _: usize) -> Result<Block, QueryError> {
        Ok(*self)
    }
}
