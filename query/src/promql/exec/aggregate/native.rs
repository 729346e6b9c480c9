//! Native histograms in aggregations: `sum` and `avg` of them, and those that others leave out.

use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::model::{ResetHint, STALE_NAN};

use crate::histogram::{Combined, FloatHistogram, HistogramMean, HistogramSum, Incompatible};
use crate::promql::annotation::Note;
use crate::promql::ast::{AggregateOp, Span};
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::{Context, is_absent};
use crate::promql::function::native::{Operation, RangeNote};

/// The histograms of an aggregation by group and step. They come in the order of series.
pub(super) struct Natives<'a> {
    op: AggregateOp,
    span: Span,
    steps: usize,
    cells: HashMap<usize, Cell>,
    has_ignored: bool,
    ctx: &'a Context<'a>,
}

/// What is remembered of the histograms of one group at one step.
struct Cell {
    state: State,
    phase: Phase,
    /// One was known to follow a reset, one not to.
    seen: [bool; 2],
}

/// PARITY(prometheus): floats and histograms of a cell are looked at in the order of series, and
/// nothing more once the result is known not to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// All so far go together.
    Adding,
    /// A float came first, so that histograms are not even added.
    AfterFloat,
    /// Exponential and custom buckets have met; whether a float was between them.
    Mixed { has_float: bool },
}

enum State {
    Sum(HistogramSum),
    Mean(HistogramMean),
}

impl<'a> Natives<'a> {
    pub(super) fn new(op: AggregateOp, span: Span, steps: usize, ctx: &'a Context<'a>) -> Self {
        Self { op, span, steps, cells: HashMap::new(), has_ignored: false, ctx }
    }

    /// Takes a histogram of a group; `name` is that of its metric, and `comes_after_float` whether
    /// the group has a float at this step in a series before.
    pub(super) fn add<'n>(
        &mut self,
        (group, step): (usize, usize),
        h: &Arc<FloatHistogram>,
        name: impl Fn() -> &'n str,
        comes_after_float: impl Fn() -> bool,
    ) {
        if !matches!(self.op, AggregateOp::Sum | AggregateOp::Avg) {
            self.has_ignored = true;
            return;
        }
        let cell = group * self.steps + step;
        let Some(known) = self.cells.get_mut(&cell) else {
            let mut first = Cell::starting_with(self.op, h);
            if comes_after_float() {
                first.phase = Phase::AfterFloat;
            }
            self.cells.insert(cell, first);
            return;
        };
        if known.phase != Phase::Adding {
            return;
        }
        known.see(h.hint);
        let combined = match &mut known.state {
            State::Sum(sum) => sum.add(h),
            State::Mean(mean) => mean.add(h),
        };
        match combined {
            Ok(Combined { is_reconciled: false, .. }) => {}
            Ok(_) => self.tell(RangeNote::Reconciled(Operation::Aggregation), ""),
            Err(Incompatible) => {
                known.phase = Phase::Mixed { has_float: comes_after_float() };
                self.tell(RangeNote::MixedBuckets, name());
            }
        }
    }

    fn tell(&self, what: RangeNote, name: &str) {
        self.ctx.note(self.span, Note::Range { what, name });
    }

    /// The results that are histograms. A float at the same group and step, which `values` has by
    /// cell, spoils both.
    pub(super) fn finish(self, values: &mut [f64]) -> Histograms {
        if self.has_ignored {
            self.ctx.note(self.span, Note::IgnoredInAggregation(self.op));
        }
        let (span, ctx) = (self.span, self.ctx);
        let mut results = Vec::with_capacity(self.cells.len());
        for (cell, Cell { state, phase, seen }) in self.cells {
            let has_float = !is_absent(std::mem::replace(&mut values[cell], STALE_NAN));
            if has_float && phase != (Phase::Mixed { has_float: false }) {
                ctx.note(span, Note::MixedKindsInAggregation);
            }
            if has_float || phase != Phase::Adding {
                continue;
            }
            if seen == [true; 2] {
                let what = RangeNote::ResetCollision(Operation::Aggregation);
                ctx.note(span, Note::Range { what, name: "" });
            }
            let value = match state {
                State::Sum(sum) => sum.value(),
                State::Mean(mean) => mean.value(),
            };
            results.push((cell, Arc::new(value.compacted())));
        }
        Histograms::from_unsorted(results)
    }
}

impl Cell {
    fn starting_with(op: AggregateOp, first: &FloatHistogram) -> Self {
        let state = match op {
            AggregateOp::Avg => State::Mean(HistogramMean::starting_with(first.clone())),
            _ => State::Sum(HistogramSum::starting_with(first.clone())),
        };
        let mut cell = Self { state, phase: Phase::Adding, seen: [false; 2] };
        cell.see(first.hint);
        cell
    }

    fn see(&mut self, hint: ResetHint) {
        self.seen[0] |= hint == ResetHint::Reset;
        self.seen[1] |= hint == ResetHint::NoReset;
    }
}
