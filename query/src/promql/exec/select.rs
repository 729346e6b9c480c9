//! Instant vector selectors, and reading samples for all selectors.

use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::{Labels, STALE_NAN};

use super::context::SelectionKey;
use super::histograms::Histograms;
use super::series::SeriesList;
use super::step_counts::CountAt;
use super::{Ahead, Context, Rows, Worker, is_absent};
use crate::error::QueryError;
use crate::histogram::{Converter, FloatHistogram, settle_hints, strip_buckets};
use crate::promql::annotation::Note;
use crate::promql::ast::{RangeEdges, Span};
use crate::promql::function::{self, HistogramSamples};
use crate::promql::labelset;
use crate::promql::plan::{SelectNode, Shift};
use crate::source::{
    HistogramColumns, SampleColumns, SelectHints, SelectRequest, SeriesReader, TimeRange,
};
use crate::step::StepGrid;

/// Times beyond this, some 73 million years away, are taken for it, so that sums cannot overflow.
pub(crate) const TIME_MAX_MS: i64 = 1 << 61;

/// Rows read between two looks at the query's time: each may have to be decoded.
pub(crate) const ROWS_PER_CHECK: usize = 64;

/// Series that were selected, and their reader.
pub(crate) struct Selected {
    pub(crate) labels: Arc<Vec<Labels>>,
    reader: Box<dyn SeriesReader>,
    /// Among the selections of the query.
    number: usize,
}

/// The evaluation times after offset and `@`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// One step if the time is fixed.
    pub(crate) grid: StepGrid,
    /// Whether all evaluation times look at the same time.
    pub(crate) is_fixed: bool,
}

impl Ends {
    /// The end of the window of a step.
    pub(crate) fn at(&self, step: usize) -> i64 {
        self.grid.time_ms(if self.is_fixed { 0 } else { step })
    }

    pub(crate) fn new(shift: Shift, grid: StepGrid) -> Self {
        let shifted = |t: i64| t.saturating_sub(shift.offset_ms).clamp(-TIME_MAX_MS, TIME_MAX_MS);
        match shift.at_ms {
            Some(at) => Self { grid: StepGrid::instant(shifted(at)), is_fixed: true },
            None => {
                let grid = StepGrid { start_ms: shifted(grid.start_ms), ..grid };
                Self { grid, is_fixed: false }
            }
        }
    }
}

/// How far a selection reaches around the ends of its windows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// An instant selector: as far back as a sample counts.
    Lookback,
    /// A range selector.
    Range(i64),
}

impl Reach {
    /// From how far before each end samples are needed, and up to how far after it.
    fn around_ms(self, edges: Option<RangeEdges>, lookback_ms: i64) -> (i64, i64) {
        let after_ms = if edges == Some(RangeEdges::Smoothed) { lookback_ms } else { 0 };
        match self {
            Self::Lookback => (lookback_ms, after_ms),
            Self::Range(range_ms) if edges.is_some() => {
                (range_ms.saturating_add(lookback_ms), after_ms)
            }
            Self::Range(range_ms) => (range_ms, after_ms),
        }
    }
}

impl Selected {
    /// Selects series with samples around each end.
    pub(crate) fn new(
        node: &SelectNode,
        ends: StepGrid,
        reach: Reach,
        ctx: &Context<'_>,
    ) -> Result<Arc<Self>, QueryError> {
        let lookback_ms = node.lookback_ms.unwrap_or(ctx.lookback_ms);
        let (before_ms, after_ms) = reach.around_ms(node.edges, lookback_ms);
        // Windows are open at their start.
        let start_ms = ends.start_ms.saturating_sub(before_ms).saturating_add(1);
        let range = TimeRange { start_ms, end_ms: ends.end_ms().saturating_add(after_ms) };
        let start_times = ctx.uses_start_times
            && node.function.as_deref().is_some_and(function::uses_start_times);
        let is_instant = matches!(reach, Reach::Lookback) && node.edges.is_none();
        // Without buckets only the histogram before tells of a reset.
        let last_only = is_instant && ends.count == 1 && !node.skips_buckets;
        let (matchers, labels) = (node.matchers.clone(), node.labels.clone());
        let key = SelectionKey { matchers, range, labels, start_times, last_only };
        if let Some((_, found)) = ctx.selections.lock().iter().find(|(k, _)| *k == key) {
            return Ok(Arc::clone(found));
        }
        let request = SelectRequest {
            matchers: key.matchers.clone(),
            range,
            hints: SelectHints {
                step_ms: if ends.count == 1 { 0 } else { ends.step_ms },
                range_ms: match reach {
                    Reach::Lookback => 0,
                    Reach::Range(range_ms) => range_ms,
                },
                function: node.function.clone(),
                labels: node.labels.clone(),
                start_times,
                last_only,
            },
            series_max: ctx.limits.series_max,
        };
        let selection = ctx.source.select(&request, ctx.cancel)?;
        if selection.series.len() > ctx.limits.series_max {
            return Err(QueryError::limit("series", ctx.limits.series_max as u64));
        }
        ctx.budget.add_series(selection.series.len());
        for warning in selection.warnings {
            ctx.notes.lock().add_source_warning(warning);
        }
        let labels = Arc::new(selection.series);
        let mut selections = ctx.selections.lock();
        let number = selections.len();
        let selected = Arc::new(Self { labels, reader: selection.reader, number });
        selections.push((key, Arc::clone(&selected)));
        Ok(selected)
    }

    /// Reads the samples of the first of `rows`, staleness markers included; the others are those
    /// that will be read next.
    pub(crate) fn read(
        &self,
        rows: Range<usize>,
        ahead: &mut Ahead,
        out: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        ahead.read((self.number, &*self.reader), rows, out)
    }

    /// The same without staleness markers, histograms converted; how many samples were read.
    pub(crate) fn read_fresh(
        &self,
        rows: Range<usize>,
        skips_buckets: bool,
        worker: &mut Worker,
        out: (&mut SampleColumns, &mut HistogramSamples),
    ) -> Result<usize, QueryError> {
        let (out, natives) = out;
        self.read(rows, &mut worker.ahead, out)?;
        let read = out.len();
        if has_absent(&out.vs) {
            let mut kept = 0;
            for i in 0..out.vs.len() {
                if !is_absent(out.vs[i]) {
                    out.ts[kept] = out.ts[i];
                    out.vs[kept] = out.vs[i];
                    if !out.starts.is_empty() {
                        out.starts[kept] = out.starts[i];
                    }
                    kept += 1;
                }
            }
            out.ts.truncate(kept);
            out.vs.truncate(kept);
            out.starts.truncate(kept);
        }
        convert(&out.histograms, skips_buckets, &mut worker.converter, natives);
        natives.retain_fresh();
        Ok(read)
    }

    /// The series, with what the selector tells about their names.
    pub(crate) fn series(&self, node: &SelectNode) -> SeriesList {
        let series = SeriesList::shared(Arc::clone(&self.labels));
        let Some(name) = node.metric_name() else { return series };
        // Type and unit go with the name; series could differ in them alone.
        let has_companions =
            self.labels.iter().any(|labels| labelset::has_companions(labels.as_bytes()));
        series.of_one_metric(name, !has_companions)
    }
}

/// Whether there is a staleness marker.
fn has_absent(vs: &[f64]) -> bool {
    // Without a way out, many are compared at once; few chunks have a NaN.
    vs.chunks(64).any(|chunk| {
        chunk.iter().fold(false, |any, v| any | v.is_nan()) && chunk.iter().any(|v| is_absent(*v))
    })
}

/// Makes histograms of storage into those of queries, staleness markers included.
fn convert(
    from: &HistogramColumns,
    skips_buckets: bool,
    converter: &mut Converter,
    out: &mut HistogramSamples,
) {
    out.clear();
    if from.ts.is_empty() {
        return;
    }
    out.ts.extend_from_slice(&from.ts);
    out.starts.extend_from_slice(&from.starts);
    out.hs.extend(from.hs.iter().map(|h| Arc::new(converter.convert(h))));
    let before = from.before.as_ref().map(|before| converter.convert(before));
    settle_hints(before.as_ref(), &mut out.hs);
    if skips_buckets {
        strip_buckets(&mut out.hs);
    }
}

/// What an instant selector shows of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Value,
    /// The time in seconds.
    Time,
    /// The time in seconds of a float, and a histogram as it is.
    FloatTime,
    /// The start timestamp in seconds.
    StartTime,
}

/// Opens an instant vector selector.
pub(crate) fn open<'a>(
    node: &'a SelectNode,
    wants: Wants,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let mut ends = Ends::new(node.shift, grid);
    let selected = Selected::new(node, ends.grid, Reach::Lookback, ctx)?;
    if wants != Wants::Value && node.shift.at_ms.is_some() {
        // PARITY(prometheus): an offset counts where samples are selected, not where they are
        // looked at.
        ends = Ends::new(Shift { offset_ms: 0, ..node.shift }, grid);
    }
    let series = selected.series(node);
    let series = match wants {
        Wants::Time | Wants::StartTime => series.drop_metadata(ctx.name_removal),
        Wants::Value | Wants::FloatTime => series,
    };
    let is_smoothed = node.edges == Some(RangeEdges::Smoothed) && wants == Wants::Value;
    let (skips_buckets, span) = (node.skips_buckets, node.span);
    let lookback_ms = node.lookback_ms.unwrap_or(ctx.lookback_ms);
    let shows = Shows { wants, is_smoothed, skips_buckets, lookback_ms, span };
    let counts = ctx.step_counts.as_ref().and_then(|counts| counts.place(grid));
    let rows = SelectRows { series, selected, shows, ends, steps: grid.count, counts, ctx };
    if node.labels.is_some() {
        // Series differ in labels that nobody looks at.
        return Ok(Box::new(rows));
    }
    super::block::with_unique_labels(
        Box::new(rows),
        super::block::SameLabels::Merge,
        grid.count,
        ctx,
    )
}

/// The times of floats in seconds, of series that were selected already; histograms as they are.
pub(crate) fn times<'a>(
    selected: Arc<Selected>,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> impl Rows + 'a {
    let series = SeriesList::shared(Arc::clone(&selected.labels));
    let ends = Ends { grid, is_fixed: false };
    let (wants, span) = (Wants::FloatTime, Span::default());
    let (is_smoothed, skips_buckets, lookback_ms) = (false, true, ctx.lookback_ms);
    let shows = Shows { wants, is_smoothed, skips_buckets, lookback_ms, span };
    let counts = ctx.step_counts.as_ref().and_then(|counts| counts.place(grid));
    SelectRows { series, selected, shows, ends, steps: grid.count, counts, ctx }
}

/// What an instant selector shows, and how.
#[derive(Clone, Copy, Debug)]
struct Shows {
    wants: Wants,
    is_smoothed: bool,
    skips_buckets: bool,
    /// How old a sample may be to count.
    lookback_ms: i64,
    /// The selector.
    span: Span,
}

struct SelectRows<'a> {
    series: SeriesList,
    selected: Arc<Selected>,
    shows: Shows,
    ends: Ends,
    steps: usize,
    /// Where samples are counted, if they are.
    counts: Option<CountAt>,
    ctx: &'a Context<'a>,
}

impl Rows for SelectRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn tells(&self) -> bool {
        self.shows.is_smoothed || self.counts.is_some()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let mut samples = 0;
        let mut histograms = Histograms::NONE;
        let end = rows.end;
        for (read, (row, out)) in rows.zip(out.chunks_exact_mut(self.steps)).enumerate() {
            if read.is_multiple_of(ROWS_PER_CHECK) {
                self.ctx.check()?;
            }
            let steps = if self.ends.is_fixed { &mut out[..1] } else { &mut *out };
            let (found, row_samples) = self.read_row(row..end, worker, steps)?;
            samples += row_samples;
            let first = read * self.steps;
            if self.ends.is_fixed {
                let v = out[0];
                out.fill(v);
                if let Some((_, h)) = found.into_iter().next() {
                    for cell in first..first + self.steps {
                        histograms.push(cell, Arc::clone(&h));
                    }
                }
            } else {
                found.into_iter().for_each(|(step, h)| histograms.push(first + step, h));
            }
        }
        self.ctx.budget.add_read(samples);
        if let (Some(counts), Some(place)) = (&self.ctx.step_counts, self.counts) {
            let is_there = |cell: &usize| !is_absent(out[*cell]);
            for cell in (0..out.len()).filter(is_there) {
                counts.add(place, cell % self.steps, 1);
            }
            for (cell, h) in histograms.iter() {
                counts.add(place, cell % self.steps, h.samples());
            }
        }
        Ok(histograms)
    }
}

/// Native histograms of a row by step.
type ByStep = Vec<(usize, Arc<FloatHistogram>)>;

impl SelectRows<'_> {
    /// Puts the values of the first of `rows` into `out`; its histograms, and how many samples were
    /// read.
    fn read_row(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<(ByStep, usize), QueryError> {
        let (ends, lookback_ms) = (self.ends.grid, self.shows.lookback_ms);
        let row = rows.start;
        let mut columns = std::mem::take(&mut worker.columns);
        let mut natives = std::mem::take(&mut worker.natives);
        let mut found = Vec::new();
        let mut read = 0;
        if self.shows.is_smoothed {
            let out_of = (&mut columns, &mut natives);
            read = self.selected.read_fresh(rows, self.shows.skips_buckets, worker, out_of)?;
            function::smoothed_values(&columns, ends, lookback_ms, out);
            if !natives.is_empty() {
                found = self.smoothed(row, (&natives, &columns.ts), out);
            }
        } else {
            self.selected.read(rows, &mut worker.ahead, &mut columns)?;
            read += columns.len();
            if columns.histograms.ts.is_empty() {
                self.of_floats(&columns, out);
            } else {
                let skips_buckets = self.shows.skips_buckets;
                convert(&columns.histograms, skips_buckets, &mut worker.converter, &mut natives);
                found = self.of_both(&columns, &natives, out);
            }
        }
        (worker.columns, worker.natives) = (columns, natives);
        Ok((found, read))
    }

    /// Smoothed histograms of a row.
    fn smoothed(
        &self,
        row: usize,
        samples: (&HistogramSamples, &[i64]),
        out: &mut [f64],
    ) -> ByStep {
        let name = self.series.name(row).unwrap_or_default();
        let mut tell = |what| self.ctx.note(self.shows.span, Note::Range { what, name });
        let times = (self.ends.grid, self.shows.lookback_ms);
        function::native::smoothed_histograms(samples, times, out, &mut tell)
    }

    fn of_floats(&self, columns: &SampleColumns, out: &mut [f64]) {
        let (ends, lookback_ms) = (self.ends.grid, self.shows.lookback_ms);
        let SampleColumns { ts, vs, starts, .. } = columns;
        match self.shows.wants {
            Wants::Value => last_values(ts, ends, lookback_ms, out, |i| vs[i]),
            Wants::Time | Wants::FloatTime => last_values(ts, ends, lookback_ms, out, |i| {
                if is_absent(vs[i]) { STALE_NAN } else { ts[i] as f64 / 1000.0 }
            }),
            Wants::StartTime => last_values(ts, ends, lookback_ms, out, |i| {
                let start_ms = starts.get(i).copied().unwrap_or(0);
                if is_absent(vs[i]) { STALE_NAN } else { start_ms as f64 / 1000.0 }
            }),
        }
    }

    /// The same for a series that holds histograms, too: the later sample counts.
    fn of_both(
        &self,
        columns: &SampleColumns,
        natives: &HistogramSamples,
        out: &mut [f64],
    ) -> ByStep {
        self.of_floats(columns, out);
        let (ends, lookback_ms) = (self.ends.grid, self.shows.lookback_ms);
        let mut found = Vec::new();
        for (step, out) in out.iter_mut().enumerate() {
            let end = ends.time_ms(step);
            let before = |ts: &[i64]| ts.partition_point(|t| *t <= end).checked_sub(1);
            let Some(at) = before(&natives.ts) else { continue };
            let float = before(&columns.ts).map(|i| columns.ts[i]);
            let is_last = float.is_none_or(|t| t < natives.ts[at]);
            if !is_last {
                continue;
            }
            *out = STALE_NAN;
            let is_near = natives.ts[at] > end.saturating_sub(lookback_ms);
            if !is_near || natives.hs[at].is_stale() {
                continue;
            }
            match self.shows.wants {
                Wants::Value | Wants::FloatTime => {
                    found.push((step, Arc::clone(&natives.hs[at])));
                }
                Wants::Time => *out = natives.ts[at] as f64 / 1000.0,
                Wants::StartTime => {
                    *out = natives.starts.get(at).copied().unwrap_or(0) as f64 / 1000.0;
                }
            }
        }
        found
    }
}

/// Puts what `value` says of the last sample in `(end - lookback_ms, end]` into each step.
/// A staleness marker is the last sample of a series that ended, and means "no value" by itself.
#[inline]
fn last_values(
    ts: &[i64],
    ends: StepGrid,
    lookback_ms: i64,
    out: &mut [f64],
    value: impl Fn(usize) -> f64,
) {
    out.fill(STALE_NAN);
    function::visit_last(ts, ends, lookback_ms, |step, last| out[step] = value(last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookback_is_open_at_its_start() {
        let ts = [0, 60_000];
        let vs = [1.0, STALE_NAN];
        let grid = StepGrid { start_ms: -1, step_ms: 30_000, count: 4 };
        let mut out = [0.0; 4];
        last_values(&ts, grid, 29_999, &mut out, |i| vs[i]);
        assert!(is_absent(out[0]) && is_absent(out[1]), "{out:?}");
        last_values(&ts, grid, 30_000, &mut out, |i| vs[i]);
        assert!(is_absent(out[0]));
        assert_eq!(out[1], 1.0);
        assert!(is_absent(out[2]) && is_absent(out[3]));
    }

    #[test]
    fn a_fixed_time_ignores_the_grid() {
        let grid = StepGrid { start_ms: 100, step_ms: 10, count: 5 };
        let ends = Ends::new(Shift { offset_ms: 5, at_ms: Some(50) }, grid);
        assert_eq!((ends.grid, ends.is_fixed), (StepGrid::instant(45), true));
        let ends = Ends::new(Shift { offset_ms: -5, at_ms: None }, grid);
        assert_eq!(ends.grid, StepGrid { start_ms: 105, ..grid });
        let ends = Ends::new(Shift { offset_ms: i64::MIN, at_ms: None }, grid);
        assert_eq!(ends.grid.start_ms, TIME_MAX_MS);
    }
}
