//! Functions over histograms: classic ones, which are series that differ in the label `le` alone,
//! and native ones. Where both have the same labels neither counts.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use hashbrown::HashMap;
use m3rs_core::model::{Labels, STALE_NAN};
use parking_lot::Mutex;

use super::aggregate::Groups;
use super::block::{Block, SameLabels};
use super::histograms::Histograms;
use super::scalar::{self, Column};
use super::series::{NameRemoval, SeriesList};
use super::{Context, Rows, exchange, has_value, is_absent, open as open_node};
use crate::error::QueryError;
use crate::histogram::{FloatHistogram, Observed};
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

/// Opens a function over histograms.
pub(crate) fn open<'a>(
    node: &'a HistogramNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let what = What::new(&node.what, grid, ctx)?;
    let input = open_node(&node.input, grid, ctx)?.into_block(ctx, grid.count)?;
    let groups = groups(&input, node.span, grid.count, ctx)?;
    let bare: Vec<Labels> = groups.iter().map(|group| group.labels.clone()).collect();
    let labels = match &what {
        What::Quantiles { label, qs } => {
            qs.iter().flat_map(|q| bare.iter().map(|b| with_quantile(b, label, q.value))).collect()
        }
        _ => bare,
    };
    let series = SeriesList::new(labels).drop_metadata(ctx.name_removal);
    let spans = (node.span, node.first_span);
    let steps = grid.count;
    let held = ctx.budget.hold_rows(series.len(), steps)?;
    let mut values = vec![STALE_NAN; series.len() * steps];
    let applied = Applied { input, groups, what, spans, ctx };
    let forced = Mutex::new(BTreeMap::new());
    let run = exchange::parts(series.len(), steps).first().map_or(1, |run| run.len() * steps);
    let _ = exchange::fill_chunks(ctx, &mut values, run.max(1), |index, _, out| {
        for (place, out) in out.chunks_exact_mut(steps).enumerate() {
            let row = index * (run / steps) + place;
            let found = applied.compute(row, out);
            if found.is_empty() {
                continue;
            }
            let name = series.name(row).unwrap_or_default();
            let mut all = forced.lock();
            let all: &mut ForcedSteps = all.entry(name.to_owned()).or_default();
            for (step, found) in found {
                all.add(step, steps, grid.time_ms(step), found);
            }
        }
        Ok(Histograms::NONE)
    })?;
    for (name, forced) in forced.into_inner() {
        if let Some(forced) = forced.total() {
            ctx.note_forced(spans.0, &name, forced);
        }
    }
    let block = Block::from_values(series, values, steps, held)?;
    Ok(Box::new(block.with_unique_labels(SameLabels::Merge, ctx)?))
}

/// Counts of one metric that were made monotonic, by step.
#[derive(Default)]
struct ForcedSteps {
    all: Option<ForcedMonotonicity>,
    counts: Vec<i64>,
}

impl ForcedSteps {
    fn add(&mut self, step: usize, steps: usize, t_ms: i64, found: Forced) {
        let Forced { bucket_min, bucket_max, difference_max } = found;
        let one = ForcedMonotonicity {
            first_ms: t_ms,
            last_ms: t_ms,
            bucket_min,
            bucket_max,
            diff_max: difference_max,
            count: 1,
        };
        match &mut self.all {
            Some(all) => all.merge(one),
            None => self.all = Some(one),
        }
        self.counts.resize(steps, 0);
        self.counts[step] += 1;
    }

    /// PARITY(prometheus): a range query counts all that it has counted once more at each step, up
    /// to the bounds of 64-bit integers and around them.
    fn total(&self) -> Option<ForcedMonotonicity> {
        let mut others: Option<i64> = None;
        for count in &self.counts {
            others = match others {
                None if *count == 0 => None,
                None => Some(count - 1),
                Some(others) => Some(others.wrapping_add(*count).wrapping_mul(2).wrapping_add(1)),
            };
        }
        let count = others?.wrapping_add(1);
        self.all.map(|all| ForcedMonotonicity { count, ..all })
    }
}

fn with_quantile(labels: &Labels, label: &str, q: f64) -> Labels {
    let mut labels = labels.to_builder();
    labels.set(label, &open_metrics(q));
    labels.build()
}

/// A function with its scalars evaluated.
enum What {
    Quantile(Column),
    Quantiles { label: String, qs: Vec<VaryingQuantile> },
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
                let mut varying = Vec::new();
                for (q, span) in qs {
                    varying.extend(VaryingQuantile::all(quantile(q, *span)?));
                }
                Self::Quantiles { label: label.clone(), qs: varying }
            }
            HistogramFunction::Fraction { lower, upper } => Self::Fraction {
                lower: scalar::evaluate(lower, grid, ctx)?,
                upper: scalar::evaluate(upper, grid, ctx)?,
            },
        })
    }
}

/// One of the values that a quantile takes, which is a label of results.
struct VaryingQuantile {
    value: f64,
    /// Whether it is the value, by step; empty if it is at each.
    is_at: Vec<bool>,
}

impl VaryingQuantile {
    /// The values of a column in order.
    fn all(column: Column) -> Vec<Self> {
        let is_same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        let mut values: Vec<f64> = Vec::new();
        for q in column.iter() {
            if !values.iter().any(|v| is_same(*v, *q)) {
                values.push(*q);
            }
        }
        let is_constant = values.len() < 2;
        let is_at = |value: f64| match is_constant {
            true => Vec::new(),
            false => column.iter().map(|q| is_same(*q, value)).collect(),
        };
        values.into_iter().map(|value| Self { value, is_at: is_at(value) }).collect()
    }

    fn is_at(&self, step: usize) -> bool {
        self.is_at.get(step).copied().unwrap_or(true)
    }
}

/// The series of one histogram.
struct Group {
    labels: Labels,
    /// Rows of the input and their upper bounds.
    buckets: Vec<(usize, f64)>,
    /// The row that holds a native histogram, if it may.
    native: Option<usize>,
}

/// Finds histograms among the rows. Rows of floats without usable bound are reported.
fn groups(
    input: &Block,
    span: Span,
    steps: usize,
    ctx: &Context<'_>,
) -> Result<Vec<Group>, QueryError> {
    let series = &input.series;
    let removal = ctx.name_removal;
    let kept = Projection::dropping(&[BUCKET_LABEL]).and_metadata(removal == NameRemoval::AtOnce);
    let whole = Projection::all().and_metadata(removal == NameRemoval::AtOnce);
    let by_bucket = Groups::new(series, Projection::dropping(&[BUCKET_LABEL]), ctx)?;
    let mut found = Vec::new();
    // By the labels of a native histogram: where it stands in `found`.
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for rows in by_bucket.rows() {
        let labels = series.labels(rows[0]);
        let key = Projection::dropping(&[BUCKET_LABEL]).labels(&labels);
        let mut group = Group { labels: kept.labels(&labels), buckets: Vec::new(), native: None };
        for row in rows {
            let labels = series.labels(row);
            let le = labels.get(BUCKET_LABEL).unwrap_or("");
            if let Some(bound) = parse_upper_bound(le) {
                group.buckets.push((row, bound));
            } else if has_value(input.row(row)) {
                // PARITY(prometheus): the name is told only where names wait for the end.
                let name = name_of(series, row, removal);
                ctx.note(span, Note::BadBucketLabel { name, le });
            }
        }
        if !group.buckets.iter().any(|(_, bound)| bound.is_nan()) {
            // They are sorted at each step, which is then but a look.
            group.buckets.sort_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        }
        if !group.buckets.is_empty() {
            places.insert(key, found.len());
            found.push(group);
        }
    }
    let mut natives: Vec<usize> = input.histograms.iter().map(|(cell, _)| cell / steps).collect();
    natives.dedup();
    for row in natives {
        let labels = series.labels(row);
        match places.get(&labels) {
            Some(&at) if found[at].native.is_none() => found[at].native = Some(row),
            _ => {
                let labels = whole.labels(&labels);
                found.push(Group { labels, buckets: Vec::new(), native: Some(row) });
            }
        }
    }
    Ok(found)
}

fn name_of(series: &SeriesList, row: usize, removal: NameRemoval) -> &str {
    match removal {
        NameRemoval::AtEnd => series.name(row).unwrap_or_default(),
        NameRemoval::AtOnce => "",
    }
}

/// A function over the histograms of its input.
struct Applied<'a> {
    input: Block,
    groups: Vec<Group>,
    what: What,
    /// The vector, and the first argument.
    spans: (Span, Span),
    ctx: &'a Context<'a>,
}

impl Applied<'_> {
    /// Puts the results of a row into `out`; what was made monotonic at which step.
    fn compute(&self, row: usize, out: &mut [f64]) -> Vec<(usize, Forced)> {
        let group = &self.groups[row % self.groups.len()];
        let which = row / self.groups.len();
        let mut forced = Vec::new();
        let mut buckets = Vec::with_capacity(group.buckets.len());
        for (step, out) in out.iter_mut().enumerate() {
            if !self.is_asked(which, step) {
                continue;
            }
            buckets.clear();
            for &(row, upper_bound) in &group.buckets {
                let count = self.input.row(row)[step];
                if !is_absent(count) {
                    buckets.push(Bucket { upper_bound, count });
                }
            }
            let native = group.native.and_then(|row| Some((row, self.input.histogram(row, step)?)));
            *out = match native {
                Some((row, _)) if !buckets.is_empty() => {
                    let name = name_of(&self.input.series, row, self.ctx.name_removal);
                    self.ctx.note(self.spans.0, Note::MixedClassicAndNative { name });
                    STALE_NAN
                }
                Some((row, h)) => self.of_native((which, row, step), h),
                None if buckets.is_empty() => STALE_NAN,
                None => {
                    let (value, found) = self.of_classic((which, step), &mut buckets);
                    // PARITY(prometheus): buckets are mended once for all quantiles of a step.
                    let is_first = !(0..which).any(|earlier| self.mends(earlier, step));
                    forced.extend(found.filter(|_| is_first).map(|found| (step, found)));
                    value
                }
            };
        }
        forced
    }

    /// Whether the row of a quantile makes counts monotonic at a step.
    fn mends(&self, which: usize, step: usize) -> bool {
        match &self.what {
            What::Quantiles { qs, .. } => {
                qs[which].is_at(step) && (0.0..=1.0).contains(&qs[which].value)
            }
            What::Quantile(_) | What::Fraction { .. } => true,
        }
    }

    /// Whether a row has a result at a step.
    fn is_asked(&self, which: usize, step: usize) -> bool {
        match &self.what {
            What::Quantiles { qs, .. } => qs[which].is_at(step),
            What::Quantile(_) | What::Fraction { .. } => true,
        }
    }

    fn of_native(&self, (which, row, step): (usize, usize, usize), h: &FloatHistogram) -> f64 {
        let Observed { value, skew } = match &self.what {
            What::Quantile(q) => h.quantile(q[step]),
            What::Quantiles { qs, .. } => h.quantile(qs[which].value),
            What::Fraction { lower, upper } => h.fraction(lower[step], upper[step]),
        };
        if let Some(skew) = skew {
            let name = name_of(&self.input.series, row, self.ctx.name_removal);
            self.ctx.note(self.spans.1, Note::Skewed { skew, name });
        }
        value
    }

    fn of_classic(
        &self,
        (which, step): (usize, usize),
        buckets: &mut Vec<Bucket>,
    ) -> (f64, Option<Forced>) {
        let q = match &self.what {
            What::Quantile(q) => q[step],
            What::Quantiles { qs, .. } => qs[which].value,
            What::Fraction { lower, upper } => {
                return (bucket_fraction(lower[step], upper[step], buckets), None);
            }
        };
        let result = bucket_quantile(q, buckets);
        (result.value, result.forced_monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_as_prometheus_does() {
        let forced = Forced { bucket_min: 1.0, bucket_max: 2.0, difference_max: 0.5 };
        let total = |at: &[usize], steps| {
            let mut all = ForcedSteps::default();
            at.iter().for_each(|step| all.add(*step, steps, 0, forced));
            all.total().map(|all| all.count)
        };
        assert_eq!(total(&[0], 1), Some(1));
        assert_eq!(total(&[0, 0, 0], 1), Some(3));
        assert_eq!(total(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 9), Some(766));
        assert_eq!(total(&[8], 9), Some(1));
        assert_eq!(total(&[7], 9), Some(2));
        assert_eq!(total(&[], 9), None);
    }
}
