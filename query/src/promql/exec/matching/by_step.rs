//! Matching at each step, for series that meet different ones at different steps.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use m3rs_core::model::{Labels, STALE_NAN};

use super::{Operation, PairResult, Sides};
use crate::error::QueryError;
use crate::histogram::FloatHistogram;
use crate::limits::Held;
use crate::promql::annotation::Note;
use crate::promql::exec::block::{Block, SameLabels};
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::operator::Operand;
use crate::promql::exec::series::SeriesList;
use crate::promql::exec::{Context, Rows, is_absent};
use crate::promql::labelset::{Dictionary, Projection};
use crate::promql::print::format_labels;

/// Steps between two looks at the query's time.
const STEPS_PER_CHECK: usize = 16;

/// Evaluates the operator step by step.
///
/// # Errors
/// [`QueryError::Execution`] if a series meets more than the matching allows.
pub(super) fn open<'a>(
    operation: &Operation<'a>,
    sides: Sides<'a>,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let Sides { many, one, groups, of_one, steps } = sides;
    let many = many.into_block(ctx, steps)?;
    let one = one.into_block(ctx, steps)?;
    let signatures = groups.len();
    let mut matcher = Matcher {
        operation,
        ctx,
        of_many: groups.numbers(),
        of_one: &of_one,
        one_at: vec![None; signatures],
        taken: vec![false; signatures],
        results: HashSet::new(),
        fault: None,
        output: Output::new(operation, &many, &one, steps),
    };
    for step in 0..steps {
        if step.is_multiple_of(STEPS_PER_CHECK) {
            ctx.check()?;
        }
        matcher.step(step)?;
        if let Some(note) = matcher.fault.take() {
            ctx.note(operation.span, note);
        }
    }
    let block = matcher.output.into_block(ctx)?;
    Ok(Box::new(block.with_unique_labels(SameLabels::Merge, ctx)?))
}

struct Matcher<'b, 'a> {
    operation: &'b Operation<'a>,
    ctx: &'b Context<'a>,
    of_many: &'b [u32],
    of_one: &'b [u32],
    /// By signature: the row of the "one" side at this step.
    one_at: Vec<Option<usize>>,
    /// By signature: whether a row of the "many" side has met it at this step.
    taken: Vec<bool>,
    /// Signatures and labels of this step's results, where several may share a signature.
    results: HashSet<(u32, u32)>,
    /// PARITY(prometheus): of this step's faults only the last is told.
    fault: Option<Note<'static>>,
    output: Output<'b, 'a>,
}

impl Matcher<'_, '_> {
    fn step(&mut self, step: usize) -> Result<(), QueryError> {
        let (fill_left, fill_right) = self.operation.matching.fill;
        // PARITY(prometheus): `fill_left` is for the "many" side of `group_right`, too.
        let (fill_many, fill_one) = (fill_left, fill_right);
        let (many, one) = (self.output.many, self.output.one);
        let many_here: Vec<usize> = present(many, step).collect();
        let one_here: Vec<usize> = present(one, step).collect();
        let is_filled = fill_left.is_some() || fill_right.is_some();
        if (many_here.is_empty() || one_here.is_empty()) && !is_filled {
            return Ok(());
        }
        self.one_at.fill(None);
        self.taken.fill(false);
        self.results.clear();
        for &row in &one_here {
            let signature = self.of_one[row] as usize;
            if let Some(other) = self.one_at[signature].replace(row) {
                return Err(self.duplicate(row, other));
            }
        }
        for &row in &many_here {
            let signature = self.of_many[row];
            match (self.one_at[signature as usize], fill_one) {
                (Some(other), _) => {
                    let values = (value(many, row, step), value(one, other, step));
                    self.meet(step, signature, (Some(row), Some(other)), values)?;
                }
                (None, Some(v)) => {
                    let values = (value(many, row, step), Operand::Float(v));
                    self.meet(step, signature, (Some(row), None), values)?;
                }
                (None, None) => {}
            }
        }
        let Some(v) = fill_many else { return Ok(()) };
        for &row in &one_here {
            let signature = self.of_one[row];
            if !self.taken[signature as usize] {
                let values = (Operand::Float(v), value(one, row, step));
                self.meet(step, signature, (None, Some(row)), values)?;
            }
        }
        Ok(())
    }

    fn meet(
        &mut self,
        step: usize,
        signature: u32,
        pair: (Option<usize>, Option<usize>),
        (many, one): (Operand<'_>, Operand<'_>),
    ) -> Result<(), QueryError> {
        let fault = |text: &str| Err(QueryError::Execution(text.to_owned()));
        let mut tell = |note| self.fault = Some(note);
        let result = self.operation.apply_to_pair(many, one, &mut tell);
        // PARITY(prometheus): a pair that the operator is not for has not met.
        if matches!(result, PairResult::Refused) {
            return Ok(());
        }
        let place = self.output.place(pair, self.ctx)?;
        let was_taken = std::mem::replace(&mut self.taken[signature as usize], true);
        if self.operation.is_one_to_one() {
            if was_taken {
                return fault(
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)",
                );
            }
        } else if !self.results.insert((signature, self.output.numbers[place])) {
            return fault(
                "multiple matches for labels: grouping labels must ensure unique matches",
            );
        }
        let cell = place * self.output.steps + step;
        match result {
            PairResult::Float(v) => self.output.values[cell] = v,
            PairResult::Histogram(h) => self.output.histograms.push((cell, h)),
            PairResult::Dropped | PairResult::Refused => {}
        }
        Ok(())
    }

    fn duplicate(&self, row: usize, other: usize) -> QueryError {
        let one = self.output.one;
        let group = format_labels(&self.output.signature.labels(&one.series.labels(row)));
        let side = if self.operation.is_swapped { "left" } else { "right" };
        QueryError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the \
             operation: [{}, {}];many-to-many matching not allowed: matching labels must be \
             unique on one side",
            format_labels(&one.series.labels(row)),
            format_labels(&one.series.labels(other))
        ))
    }
}

fn present(block: &Block, step: usize) -> impl Iterator<Item = usize> {
    (0..block.series.len()).filter(move |&row| block.is_present(row, step))
}

/// What a row has at a step where it has something.
fn value(block: &Block, row: usize, step: usize) -> Operand<'_> {
    let v = block.row(row)[step];
    match block.histogram(row, step) {
        Some(h) if is_absent(v) => Operand::Histogram(h),
        _ => Operand::Float(v),
    }
}

/// The results so far: one row for each pair that met.
struct Output<'b, 'a> {
    operation: &'b Operation<'a>,
    many: &'b Block,
    one: &'b Block,
    kept: Projection,
    signature: Projection,
    steps: usize,
    places: HashMap<(Option<usize>, Option<usize>), usize>,
    labels: Vec<Labels>,
    /// Whether the name goes at the end.
    pending: Vec<bool>,
    /// Equal for equal labels.
    numbers: Vec<u32>,
    dictionary: Dictionary,
    values: Vec<f64>,
    histograms: Vec<(usize, Arc<FloatHistogram>)>,
    held: Vec<Held>,
}

impl<'b, 'a> Output<'b, 'a> {
    fn new(operation: &'b Operation<'a>, many: &'b Block, one: &'b Block, steps: usize) -> Self {
        Self {
            operation,
            many,
            one,
            kept: operation.kept(),
            signature: super::signature(operation.matching),
            steps,
            places: HashMap::new(),
            labels: Vec::new(),
            pending: Vec::new(),
            numbers: Vec::new(),
            dictionary: Dictionary::default(),
            values: Vec::new(),
            histograms: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The row of a pair. A side that is filled in has the labels that match.
    fn place(
        &mut self,
        pair: (Option<usize>, Option<usize>),
        ctx: &Context<'_>,
    ) -> Result<usize, QueryError> {
        if let Some(place) = self.places.get(&pair) {
            return Ok(*place);
        }
        let is_pending = self.operation.leaves_name_pending
            || (!self.operation.drops_name
                && pair.0.is_some_and(|row| self.many.series.is_pending(row)));
        let many = pair.0.map(|row| self.many.series.labels(row));
        let one = pair.1.map(|row| self.one.series.labels(row));
        let (many, one) = match (many, one) {
            (Some(many), Some(one)) => (many, one),
            (Some(many), None) => {
                let one = self.signature.labels(&many);
                (many, one)
            }
            (None, Some(one)) => (self.signature.labels(&one), one),
            (None, None) => (Labels::empty(), Labels::empty()),
        };
        let labels = self.operation.result_labels(&self.kept, &many, &one);
        let place = self.labels.len();
        self.held.push(ctx.budget.hold_rows(1, self.steps)?);
        self.numbers.push(self.dictionary.number(labels.as_bytes()));
        self.labels.push(labels);
        self.pending.push(is_pending);
        self.values.resize((place + 1) * self.steps, STALE_NAN);
        self.places.insert(pair, place);
        Ok(place)
    }

    fn into_block(self, ctx: &Context<'_>) -> Result<Block, QueryError> {
        drop(self.held);
        let held = ctx.budget.hold_rows(self.labels.len(), self.steps)?;
        let series = SeriesList::new(self.labels).with_pending(self.pending);
        let histograms = Histograms::from_unsorted(self.histograms);
        Block::from_values(series, self.values, self.steps, held)?.with_histograms(histograms, ctx)
    }
}
