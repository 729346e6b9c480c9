//! Operations on each value by itself: element functions, signs, operators with a scalar.

use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::STALE_NAN;

use super::block::{self, SameLabels};
use super::histograms::Histograms;
use super::last_notes::LastNotes;
use super::operator::{self, Operand, Outcome};
use super::scalar::{self, Column};
use super::series::SeriesList;
use super::{Context, Rows, Worker, is_absent, open as open_node};
use crate::error::QueryError;
use crate::promql::annotation::{Note, ValueKind};
use crate::promql::ast::BinaryOp;
use crate::promql::function::ElementKernel;
use crate::promql::plan::{HistogramNumber, Mapping, VectorNode};
use crate::step::StepGrid;

/// A mapping with its scalars evaluated.
enum Apply {
    Negate,
    EvaluationTime,
    OfHistogram(HistogramNumber),
    Element { kernel: ElementKernel, params: Vec<Column> },
    Operator { op: BinaryOp, floats: OfFloats, scalar: Column, is_scalar_left: bool },
}

/// What an operator does with two floats.
enum OfFloats {
    Arithmetic(fn(f64, f64) -> f64),
    Filter(fn(&f64, &f64) -> bool),
    Test(fn(&f64, &f64) -> bool),
    /// Nothing: it is for histograms.
    Refuse,
}

/// Opens a mapping of the rows of `input`.
pub(crate) fn open<'a>(
    input: &'a VectorNode,
    mapping: &'a Mapping,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    // Operands are evaluated from left to right.
    let left = match mapping {
        Mapping::Operator { scalar, is_scalar_left: true, .. } => {
            Some(scalar::evaluate(scalar, grid, ctx)?)
        }
        _ => None,
    };
    let input = open_node(input, grid, ctx)?;
    let apply = match mapping {
        Mapping::Negate => Apply::Negate,
        Mapping::EvaluationTime => Apply::EvaluationTime,
        Mapping::OfHistogram(number) => Apply::OfHistogram(*number),
        Mapping::Element { kernel, params } => {
            let params = params.iter().map(|p| scalar::evaluate(p, grid, ctx));
            Apply::Element { kernel: *kernel, params: params.collect::<Result<_, _>>()? }
        }
        Mapping::Operator { op, scalar, is_scalar_left, return_bool, .. } => {
            let scalar = match left {
                Some(left) => left,
                None => scalar::evaluate(scalar, grid, ctx)?,
            };
            let floats = of_floats(*op, *return_bool);
            Apply::Operator { op: *op, floats, scalar, is_scalar_left: *is_scalar_left }
        }
    };
    let series = match &apply {
        Apply::Operator { floats: OfFloats::Filter(_) | OfFloats::Refuse, .. } => {
            input.series().clone()
        }
        _ => input.series().drop_metadata(ctx.name_removal),
    };
    let notes = match mapping {
        Mapping::Operator { span, .. } => Some(LastNotes::new(*span, grid.count, ctx)),
        _ => None,
    };
    let rows: Box<dyn Rows + 'a> = Box::new(MapRows { input, apply, series, grid, notes });
    block::with_unique_labels(rows, SameLabels::Merge, grid.count, ctx)
}

fn of_floats(op: BinaryOp, return_bool: bool) -> OfFloats {
    match (operator::arithmetic(op), operator::comparison(op)) {
        (Some(f), _) => OfFloats::Arithmetic(f),
        (None, Some(holds)) if return_bool => OfFloats::Test(holds),
        (None, Some(holds)) => OfFloats::Filter(holds),
        (None, None) => OfFloats::Refuse,
    }
}

struct MapRows<'a> {
    input: Box<dyn Rows + 'a>,
    apply: Apply,
    series: SeriesList,
    grid: StepGrid,
    /// Of an operator.
    notes: Option<LastNotes<'a>>,
}

impl Rows for MapRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn tells(&self) -> bool {
        // An operator does of histograms.
        self.notes.is_some() || self.input.tells()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let first = rows.start;
        let histograms = self.input.read(rows, worker, out)?;
        if let Apply::Operator { op, floats: OfFloats::Refuse, .. } = &self.apply {
            self.refuse(first, *op, out);
        } else {
            out.chunks_exact_mut(self.grid.count).for_each(|row| self.apply.to_row(row, self.grid));
        }
        if histograms.is_empty() {
            return Ok(Histograms::NONE);
        }
        Ok(self.to_histograms(first, histograms, out))
    }
}

impl MapRows<'_> {
    /// Drops the floats of rows from `first` on, which the operator is not for.
    fn refuse(&self, first: usize, op: BinaryOp, out: &mut [f64]) {
        let (lhs, rhs) = (ValueKind::Float, ValueKind::Float);
        for (cell, v) in out.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
            *v = STALE_NAN;
            self.note(first, cell, Note::IncompatibleKinds { lhs, op, rhs });
        }
    }

    fn note(&self, first: usize, cell: usize, note: Note<'static>) {
        if let Some(notes) = &self.notes {
            notes.add(first + cell / self.grid.count, cell % self.grid.count, note);
        }
    }

    /// Maps histograms of rows from `first` on; what becomes a float goes to `out`.
    fn to_histograms(&self, first: usize, histograms: Histograms, out: &mut [f64]) -> Histograms {
        let steps = self.grid.count;
        match &self.apply {
            Apply::Negate => histograms.map(|_, h| {
                let mut h = (*h).clone();
                h.multiply(-1.0);
                Some(Arc::new(h))
            }),
            Apply::EvaluationTime => {
                for (cell, _) in histograms {
                    out[cell] = self.grid.time_ms(cell % steps) as f64 / 1000.0;
                }
                Histograms::NONE
            }
            Apply::OfHistogram(number) => {
                for (cell, h) in histograms {
                    out[cell] = match number {
                        HistogramNumber::Count => h.count,
                        HistogramNumber::Sum => h.sum,
                        HistogramNumber::Average => h.sum / h.count,
                        HistogramNumber::Variance => h.variance(),
                        HistogramNumber::Deviation => h.variance().sqrt(),
                    };
                }
                Histograms::NONE
            }
            Apply::Element { .. } => Histograms::NONE,
            Apply::Operator { op, scalar, is_scalar_left, .. } => {
                histograms.map(|cell, h| {
                    let (h, v) = (Operand::Histogram(&h), Operand::Float(scalar[cell % steps]));
                    let (lhs, rhs) = if *is_scalar_left { (v, h) } else { (h, v) };
                    match operator::with_histogram(*op, lhs, rhs) {
                        Outcome::Value(h, _) => Some(Arc::new(h)),
                        Outcome::Refused(note) => {
                            self.note(first, cell, note);
                            None
                        }
                        // Only histograms compare with histograms.
                        Outcome::Holds(_) => None,
                    }
                })
            }
        }
    }
}

impl Apply {
    /// Maps the floats of a row.
    fn to_row(&self, row: &mut [f64], grid: StepGrid) {
        match self {
            Self::Negate => each(row, |_, v| -v),
            Self::EvaluationTime => each(row, |i, _| grid.time_ms(i) as f64 / 1000.0),
            Self::OfHistogram(_) => row.fill(STALE_NAN),
            Self::Element { kernel, params } => match &params[..] {
                [] => each(row, |i, v| kernel(v, &[], grid.time_ms(i))),
                [p] => each(row, |i, v| kernel(v, &[p[i]], grid.time_ms(i))),
                [p, q] => each(row, |i, v| kernel(v, &[p[i], q[i]], grid.time_ms(i))),
                many => {
                    let mut at_step = vec![0.0; many.len()];
                    each(row, |i, v| {
                        for (to, column) in at_step.iter_mut().zip(many) {
                            *to = column[i];
                        }
                        kernel(v, &at_step, grid.time_ms(i))
                    });
                }
            },
            Self::Operator { floats, scalar, is_scalar_left, .. } => {
                floats.to_row(row, scalar, *is_scalar_left);
            }
        }
    }
}

impl OfFloats {
    fn to_row(&self, row: &mut [f64], scalar: &Column, is_scalar_left: bool) {
        match self {
            Self::Arithmetic(f) if is_scalar_left => each(row, |i, v| f(scalar[i], v)),
            Self::Arithmetic(f) => each(row, |i, v| f(v, scalar[i])),
            Self::Filter(holds) => each(row, |i, v| {
                let (a, b) = if is_scalar_left { (scalar[i], v) } else { (v, scalar[i]) };
                if holds(&a, &b) { v } else { STALE_NAN }
            }),
            Self::Test(holds) => each(row, |i, v| {
                let (a, b) = if is_scalar_left { (scalar[i], v) } else { (v, scalar[i]) };
                f64::from(holds(&a, &b))
            }),
            Self::Refuse => row.fill(STALE_NAN),
        }
    }
}

/// Maps the values that are there.
#[inline]
fn each(row: &mut [f64], mut f: impl FnMut(usize, f64) -> f64) {
    for (i, v) in row.iter_mut().enumerate() {
        if !is_absent(*v) {
            *v = f(i, *v);
        }
    }
}

/// Opens a part of the plan that gives the same at each step: evaluated once, then repeated.
pub(crate) fn open_invariant<'a>(
    input: &'a VectorNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let once = StepGrid::instant(grid.start_ms);
    let rows = open_node(input, once, ctx)?;
    let block = rows.into_block(ctx, 1)?;
    Ok(Box::new(Repeated { block, steps: grid.count }))
}

struct Repeated {
    block: block::Block,
    steps: usize,
}

impl Rows for Repeated {
    fn series(&self) -> &SeriesList {
        &self.block.series
    }

    fn read(
        &self,
        rows: Range<usize>,
        _: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let mut histograms = Histograms::NONE;
        for (place, (row, out)) in rows.zip(out.chunks_exact_mut(self.steps)).enumerate() {
            out.fill(self.block.values[row]);
            if let Some(h) = self.block.histogram(row, 0) {
                let first = place * self.steps;
                (first..first + self.steps).for_each(|cell| histograms.push(cell, Arc::clone(h)));
            }
        }
        Ok(histograms)
    }
}
