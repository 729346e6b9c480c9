//! Functions over classic histograms: series that differ in the label `le` alone.

use std::ops::Range;

use m3rs_core::model::{Labels, STALE_NAN};

use super::aggregate::Groups;
use super::block::{self, SameLabels};
use super::scalar::{self, Column};
use super::series::{NameRemoval, SeriesList};
use super::{Context, Rows, Worker, has_value, is_absent, open as open_node};
use crate::error::QueryError;
use crate::number::open_metrics;
use crate::promql::annotation::{ForcedMonotonicity, Note};
use crate::promql::ast::Span;
use crate::promql::function::histogram::{
    Bucket, Forced, bucket_fraction, bucket_quantile, parse_upper_bound,
};
use crate::promql::labelset::Projection;
use crate::promql::plan::{HistogramFunction, HistogramNode, ScalarNode};
use crate::step::StepGrid;

/// The label of a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// Opens a function over classic histograms.
pub(crate) fn open<'a>(
    node: &'a HistogramNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let what = What::new(&node.what, grid, ctx)?;
    let input = open_node(&node.input, grid, ctx)?;
    let histograms = histograms(&*input, node.span, grid.count, ctx)?;
    let bare: Vec<Labels> = histograms.iter().map(|h| h.labels.clone()).collect();
    let labels = match &what {
        What::Quantiles { label, qs } => {
            qs.iter().flat_map(|q| bare.iter().map(|b| with_quantile(b, label, q[0]))).collect()
        }
        _ => bare,
    };
    let series = SeriesList::new(labels).drop_metadata(ctx.name_removal);
    let rows = HistogramRows { input, histograms, what, series, span: node.span, grid, ctx };
    block::with_unique_labels(Box::new(rows), SameLabels::Merge, grid.count, ctx)
}

/// PARITY(prometheus): the label is that of the quantile at each step; a quantile that varies
/// over steps shows its first value here.
fn with_quantile(labels: &Labels, label: &str, q: f64) -> Labels {
    let mut labels = labels.to_builder();
    labels.set(label, &open_metrics(q));
    labels.build()
}

/// A function with its scalars evaluated.
enum What {
    Quantile(Column),
    Quantiles { label: String, qs: Vec<Column> },
    Fraction { lower: Column, upper: Column },
}

impl What {
    fn new(
        function: &HistogramFunction,
        grid: StepGrid,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let quantile = |q: &ScalarNode, span: Span| {
            let column = scalar::evaluate(q, grid, ctx)?;
            for q in column.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                ctx.note(span, Note::InvalidQuantile(*q));
            }
            Ok::<Column, QueryError>(column)
        };
        Ok(match function {
            HistogramFunction::Quantile { q, span } => Self::Quantile(quantile(q, *span)?),
            HistogramFunction::Quantiles { label, qs } => {
                let qs = qs.iter().map(|(q, span)| quantile(q, *span));
                Self::Quantiles { label: label.clone(), qs: qs.collect::<Result<_, _>>()? }
            }
            HistogramFunction::Fraction { lower, upper } => Self::Fraction {
                lower: scalar::evaluate(lower, grid, ctx)?,
                upper: scalar::evaluate(upper, grid, ctx)?,
            },
        })
    }
}

/// The series of one histogram.
struct Histogram {
    labels: Labels,
    /// Rows of the input and their upper bounds.
    buckets: Vec<(usize, f64)>,
}

/// Finds histograms among the rows. Rows without usable bound are reported and left out.
fn histograms(
    input: &dyn Rows,
    span: Span,
    steps: usize,
    ctx: &Context<'_>,
) -> Result<Vec<Histogram>, QueryError> {
    let series = input.series();
    let groups = Groups::new(series, Projection::dropping(&[BUCKET_LABEL]), ctx)?;
    let removal = ctx.name_removal;
    let result = Projection::dropping(&[BUCKET_LABEL]).and_metadata(removal == NameRemoval::AtOnce);
    let mut worker = Worker::default();
    let mut histograms = Vec::new();
    for rows in groups.rows() {
        let labels = result.labels(&series.labels(rows[0]));
        let mut histogram = Histogram { labels, buckets: Vec::new() };
        for row in rows {
            let labels = series.labels(row);
            let le = labels.get(BUCKET_LABEL).unwrap_or("");
            if let Some(bound) = parse_upper_bound(le) {
                histogram.buckets.push((row, bound));
                continue;
            }
            // PARITY(prometheus): the name is told only where names wait for the end.
            let name = match removal {
                NameRemoval::AtEnd => series.name(row).unwrap_or_default(),
                NameRemoval::AtOnce => "",
            };
            let mut values = worker.take(steps);
            input.read(row..row + 1, &mut worker, &mut values)?;
            if has_value(&values) {
                ctx.note(span, Note::BadBucketLabel { name, le });
            }
            worker.put(values);
        }
        if !histogram.buckets.is_empty() {
            histograms.push(histogram);
        }
    }
    Ok(histograms)
}

struct HistogramRows<'a> {
    input: Box<dyn Rows + 'a>,
    histograms: Vec<Histogram>,
    what: What,
    series: SeriesList,
    span: Span,
    grid: StepGrid,
    ctx: &'a Context<'a>,
}

impl HistogramRows<'_> {
    fn compute(
        &self,
        row: usize,
        worker: &mut Worker,
        out: &mut [f64],
        forced: &mut Option<ForcedMonotonicity>,
    ) -> Result<(), QueryError> {
        let steps = self.grid.count;
        let histogram = &self.histograms[row % self.histograms.len()];
        let mut values = worker.take(histogram.buckets.len() * steps);
        for (&(row, _), values) in histogram.buckets.iter().zip(values.chunks_exact_mut(steps)) {
            self.input.read(row..row + 1, worker, values)?;
        }
        let mut buckets = Vec::with_capacity(histogram.buckets.len());
        for (step, out) in out.iter_mut().enumerate() {
            buckets.clear();
            for (i, &(_, upper_bound)) in histogram.buckets.iter().enumerate() {
                let count = values[i * steps + step];
                if !is_absent(count) {
                    buckets.push(Bucket { upper_bound, count });
                }
            }
            *out = if buckets.is_empty() {
                STALE_NAN
            } else {
                self.at_step(row / self.histograms.len(), step, &mut buckets, forced)
            };
        }
        worker.put(values);
        Ok(())
    }

    fn at_step(
        &self,
        which: usize,
        step: usize,
        buckets: &mut Vec<Bucket>,
        forced: &mut Option<ForcedMonotonicity>,
    ) -> f64 {
        let q = match &self.what {
            What::Quantile(q) => q[step],
            What::Quantiles { qs, .. } => qs[which][step],
            What::Fraction { lower, upper } => {
                return bucket_fraction(lower[step], upper[step], buckets);
            }
        };
        let result = bucket_quantile(q, buckets);
        if let Some(Forced { bucket_min, bucket_max, difference_max }) = result.forced_monotonic {
            let t_ms = self.grid.time_ms(step);
            let one = ForcedMonotonicity {
                first_ms: t_ms,
                last_ms: t_ms,
                bucket_min,
                bucket_max,
                diff_max: difference_max,
                count: 1,
            };
            match forced {
                Some(all) => all.merge(one),
                None => *forced = Some(one),
            }
        }
        result.value
    }
}

impl Rows for HistogramRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<(), QueryError> {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.grid.count)) {
            let mut forced = None;
            self.compute(row, worker, out, &mut forced)?;
            if let Some(forced) = forced {
                let name = self.series.name(row).unwrap_or_default();
                self.ctx.note_forced(self.span, name, forced);
            }
        }
        Ok(())
    }
}
