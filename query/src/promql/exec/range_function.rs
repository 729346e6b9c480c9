//! Functions over ranges: a kernel applied to each series.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::STALE_NAN;

use super::block::{self, SameLabels};
use super::histograms::Histograms;
use super::scalar::{self, Column};
use super::select::ROWS_PER_CHECK;
use super::series::SeriesList;
use super::step_counts::{CountAt, StepCounts};
use super::subquery::Samples;
use super::{Context, Rows, Worker, has_value, is_absent};
use crate::error::QueryError;
use crate::histogram::FloatHistogram;
use crate::promql::annotation::Note;
use crate::promql::ast::RangeEdges;
use crate::promql::function::{self, HistogramSamples, Memo, RangeInput, Stop, native};
use crate::promql::plan::{MatrixNode, RangeNode};
use crate::source::SampleColumns;
use crate::step::StepGrid;

/// Samples in a series that are worth a look at the query's time.
const SAMPLES_PER_CHECK: usize = 4096;

/// Opens a function over ranges.
pub(crate) fn open<'a>(
    node: &'a RangeNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let open_params = || {
        let params = node.params.iter().map(|param| scalar::evaluate(param, grid, ctx));
        params.collect::<Result<Vec<Column>, _>>()
    };
    // PARITY(prometheus): a subquery is evaluated before the other arguments, a selector after.
    let (samples, params) = match &node.input {
        MatrixNode::Subquery(_) => (open_samples(&node.input, grid, ctx)?, open_params()?),
        MatrixNode::Select { .. } => {
            let params = open_params()?;
            (open_samples(&node.input, grid, ctx)?, params)
        }
    };
    let has_bad_params = has_bad_params(node, &params, grid.count);
    let series = match node.keeps_name {
        true => samples.series.clone(),
        false => samples.series.drop_metadata(ctx.name_removal),
    };
    let checks_counter = matches!(node.function.as_str(), "rate" | "increase");
    let checks_quantile = has_invalid_quantile(node, &params);
    let rows = RangeRows {
        series,
        samples,
        params,
        node,
        grid,
        checks_counter,
        checks_quantile,
        has_bad_params,
        counts: ctx.step_counts.as_ref().and_then(|counts| counts.place(grid)),
        ctx,
    };
    let speaks_of_params = rows.checks_quantile || rows.has_bad_params;
    let mut rows: Box<dyn Rows + 'a> = Box::new(rows);
    if speaks_of_params {
        // What is wrong with arguments is told even if nobody reads the rows.
        rows = Box::new(rows.into_block(ctx, grid.count)?);
    }
    block::with_unique_labels(rows, SameLabels::Refuse, grid.count, ctx)
}

/// Opens what the function is applied to. Samples of a subquery count as its results.
fn open_samples<'a>(
    node: &'a MatrixNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Samples<'a>, QueryError> {
    let counts = ctx.step_counts.as_ref().filter(|_| matches!(node, MatrixNode::Subquery(_)));
    counts.into_iter().for_each(StepCounts::enter_subquery);
    let samples = Samples::open(node, grid, ctx);
    counts.into_iter().for_each(StepCounts::leave_subquery);
    samples
}

/// Whether arguments of any step make the query fail where the function is applied to anything.
fn has_bad_params(node: &RangeNode, params: &[Column], steps: usize) -> bool {
    let rows: Vec<&[f64]> = params.iter().map(|p| &p[..]).collect();
    (0..steps).any(|step| function::check_params(&node.function, &rows, step).is_err())
}

/// Whether any quantile is none.
fn has_invalid_quantile(node: &RangeNode, params: &[Column]) -> bool {
    node.function == "quantile_over_time"
        && params.iter().flat_map(|p| p.iter()).any(|q| !(0.0..=1.0).contains(q))
}

/// Native histograms of a row by step.
type ByStep = Vec<(usize, Arc<FloatHistogram>)>;

struct RangeRows<'a> {
    series: SeriesList,
    samples: Samples<'a>,
    params: Vec<Column>,
    node: &'a RangeNode,
    grid: StepGrid,
    checks_counter: bool,
    checks_quantile: bool,
    has_bad_params: bool,
    /// Where samples are counted, if they are.
    counts: Option<CountAt>,
    ctx: &'a Context<'a>,
}

impl RangeRows<'_> {
    /// Puts the results of a row into `out`; those that are histograms come back by step.
    fn apply(
        &self,
        row: usize,
        (columns, natives): (&SampleColumns, &HistogramSamples),
        (params, memo): (&[&[f64]], &RefCell<Memo>),
        out: &mut [f64],
    ) -> Result<ByStep, QueryError> {
        out.fill(STALE_NAN);
        if columns.ts.is_empty() && natives.is_empty() {
            return Ok(Vec::new());
        }
        let fault = Cell::new(None);
        let is_over = || match self.ctx.check() {
            Ok(()) => false,
            Err(error) => {
                fault.set(Some(error));
                true
            }
        };
        let input = RangeInput {
            ts: &columns.ts,
            vs: &columns.vs,
            starts: &columns.starts,
            ends: self.samples.ends.grid,
            range_ms: self.samples.range_ms,
            lookback_ms: self.ctx.lookback_ms,
            eval: self.grid,
            params,
            stop: Stop::when(&is_over),
            memo: Some(memo),
        };
        if self.checks_counter && !columns.starts.is_empty() {
            self.check_starts(row, &input);
        }
        if self.has_bad_params {
            self.check_params(&input, natives)?;
        }
        if !self.samples.ends.is_fixed || self.grid.count == 1 {
            (self.node.kernel)(&input, out);
            let results = self.with_natives(row, &input, natives, out);
            return fault.take().map_or(Ok(results), Err);
        }
        let mut results = Vec::new();
        // The window is the same at each step, while arguments and evaluation times are not.
        for (i, out) in out.iter_mut().enumerate() {
            if columns.ts.len() > SAMPLES_PER_CHECK {
                self.ctx.check()?;
            }
            let params: Vec<&[f64]> = params.iter().map(|p| &p[i..=i]).collect();
            let eval = StepGrid::instant(self.grid.time_ms(i));
            let step = RangeInput { eval, params: &params, ..input };
            (self.node.kernel)(&step, std::slice::from_mut(out));
            let found = self.with_natives(row, &step, natives, std::slice::from_mut(out));
            results.extend(found.into_iter().map(|(_, h)| (i, h)));
            if let Some(error) = fault.take() {
                return Err(error);
            }
        }
        Ok(results)
    }

    /// Counts the samples of each window.
    fn count(&self, columns: &SampleColumns, natives: &HistogramSamples) {
        let (Some(counts), Some(place)) = (&self.ctx.step_counts, self.counts) else { return };
        let (before, after) = match self.samples.edges {
            None => (0, 0),
            Some(RangeEdges::Anchored) => (self.ctx.lookback_ms, 0),
            Some(RangeEdges::Smoothed) => (self.ctx.lookback_ms, self.ctx.lookback_ms),
        };
        for step in 0..self.grid.count {
            let end = self.samples.ends.at(step);
            let start = end.saturating_sub(self.samples.range_ms).saturating_sub(before);
            let within = |ts: &[i64]| {
                let lo = ts.partition_point(|t| *t <= start);
                lo..ts.partition_point(|t| *t <= end.saturating_add(after)).max(lo)
            };
            let histograms = &natives.hs[within(&natives.ts)];
            let samples = within(&columns.ts).len() as u64
                + histograms.iter().map(|h| h.samples()).sum::<u64>();
            if samples > 0 {
                counts.add(place, step, samples);
            }
        }
    }

    /// Looks at the windows that hold native histograms.
    fn with_natives(
        &self,
        row: usize,
        input: &RangeInput<'_>,
        natives: &HistogramSamples,
        out: &mut [f64],
    ) -> ByStep {
        if natives.is_empty() {
            return Vec::new();
        }
        let name = self.samples.series.name(row).unwrap_or_default();
        let mut tell = |what| self.ctx.note(self.node.span, Note::Range { what, name });
        let function = (self.node.function.as_str(), self.samples.edges);
        native::apply(function, input, natives, out, &mut tell)
    }

    /// Fails at the first step that arguments do not allow for what its window holds.
    fn check_params(
        &self,
        input: &RangeInput<'_>,
        natives: &HistogramSamples,
    ) -> Result<(), QueryError> {
        let check = |step| function::check_params(&self.node.function, input.params, step);
        let is_bad = |step| check(step).is_err();
        let bad = [
            function::first_bad_step(input, is_bad),
            native::first_bad_step(input, natives, is_bad),
        ];
        match bad.into_iter().flatten().min() {
            Some(step) => check(step).map_err(QueryError::Execution),
            None => Ok(()),
        }
    }

    /// Tells of quantiles that are none, where there is something to take them of.
    fn check_quantiles(&self, out: &[f64]) {
        for (q, v) in self.params.iter().flat_map(|p| p.iter().zip(out)) {
            if !(0.0..=1.0).contains(q) && !is_absent(*v) {
                self.ctx.note(self.node.param_span, Note::InvalidQuantile(*q));
            }
        }
    }

    /// Tells of samples that started to count before the sample before them.
    fn check_starts(&self, row: usize, input: &RangeInput<'_>) {
        let count = match self.samples.edges {
            None => function::overlap_count(input),
            Some(_) => 0,
        };
        if count > 0 {
            let name = self.samples.series.name(row).unwrap_or_default();
            self.ctx.notes.lock().add_overlap(self.node.span, name, count);
        }
    }

    /// Tells of a metric that does not look like a counter.
    fn check_counter(&self, row: usize) {
        let Some(name) = self.samples.series.name(row) else { return };
        if !["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end)) {
            self.ctx.note(self.node.span, Note::PossibleNonCounter(name));
        }
    }
}

impl Rows for RangeRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn tells(&self) -> bool {
        true
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let params: Vec<&[f64]> = self.params.iter().map(|p| &p[..]).collect();
        let mut columns = std::mem::take(&mut worker.columns);
        let mut natives = std::mem::take(&mut worker.natives);
        let mut histograms = Histograms::NONE;
        let (mut read, first, end) = (0, rows.start, rows.end);
        for (row, out) in rows.zip(out.chunks_exact_mut(self.grid.count)) {
            read += self.samples.read(row..end, worker, (&mut columns, &mut natives))?;
            if columns.ts.len() > SAMPLES_PER_CHECK || row.is_multiple_of(ROWS_PER_CHECK) {
                self.ctx.check()?;
            }
            let found = self.apply(row, (&columns, &natives), (&params, &worker.memo), out)?;
            self.count(&columns, &natives);
            for (step, h) in found {
                histograms.push((row - first) * self.grid.count + step, h);
            }
            if self.checks_counter && has_value(out) {
                self.check_counter(row);
            }
            if self.checks_quantile {
                self.check_quantiles(out);
            }
        }
        (worker.columns, worker.natives) = (columns, natives);
        self.ctx.budget.add_read(read);
        Ok(histograms)
    }
}
