//! Operations on each value by itself: element functions, signs, operators with a scalar.

use std::ops::Range;

use super::block::{self, SameLabels};
use super::scalar::{self, Column};
use super::series::SeriesList;
use super::{Context, Rows, Worker, is_absent, open as open_node, operator};
use crate::error::QueryError;
use crate::promql::ast::BinaryOp;
use crate::promql::function::ElementKernel;
use crate::promql::plan::{Mapping, VectorNode};
use crate::step::StepGrid;
use m3rs_core::model::STALE_NAN;

/// A mapping with its scalars evaluated.
enum Apply {
    Negate,
    EvaluationTime,
    Element { kernel: ElementKernel, params: Vec<Column> },
    Arithmetic { f: Arithmetic, scalar: Column, is_scalar_left: bool },
    Filter { holds: Comparison, scalar: Column, is_scalar_left: bool },
    Test { holds: Comparison, scalar: Column, is_scalar_left: bool },
}

type Arithmetic = fn(f64, f64) -> f64;
type Comparison = fn(&f64, &f64) -> bool;

/// Opens a mapping of the rows of `input`.
pub(crate) fn open<'a>(
    input: &'a VectorNode,
    mapping: &'a Mapping,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let input = open_node(input, grid, ctx)?;
    let apply = match mapping {
        Mapping::Negate => Apply::Negate,
        Mapping::EvaluationTime => Apply::EvaluationTime,
        Mapping::Element { kernel, params } => {
            let params = params.iter().map(|p| scalar::evaluate(p, grid, ctx));
            Apply::Element { kernel: *kernel, params: params.collect::<Result<_, _>>()? }
        }
        Mapping::Operator { op, scalar, is_scalar_left, return_bool } => {
            let scalar = scalar::evaluate(scalar, grid, ctx)?;
            with_scalar(*op, scalar, *is_scalar_left, *return_bool)?
        }
    };
    let series = match &apply {
        Apply::Filter { .. } => input.series().clone(),
        _ => input.series().drop_metadata(ctx.name_removal),
    };
    let rows: Box<dyn Rows + 'a> = Box::new(MapRows { input, apply, series, grid });
    block::with_unique_labels(rows, SameLabels::Merge, grid.count, ctx)
}

fn with_scalar(
    op: BinaryOp,
    scalar: Column,
    is_scalar_left: bool,
    return_bool: bool,
) -> Result<Apply, QueryError> {
    if let Some(f) = operator::arithmetic(op) {
        return Ok(Apply::Arithmetic { f, scalar, is_scalar_left });
    }
    match operator::comparison(op) {
        Some(holds) if return_bool => Ok(Apply::Test { holds, scalar, is_scalar_left }),
        Some(holds) => Ok(Apply::Filter { holds, scalar, is_scalar_left }),
        None => Err(QueryError::Internal(format!("operator {} with a scalar", op.as_str()))),
    }
}

struct MapRows<'a> {
    input: Box<dyn Rows + 'a>,
    apply: Apply,
    series: SeriesList,
    grid: StepGrid,
}

impl Rows for MapRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<(), QueryError> {
        self.input.read(rows, worker, out)?;
        for row in out.chunks_exact_mut(self.grid.count) {
            self.apply.to_row(row, self.grid);
        }
        Ok(())
    }
}

impl Apply {
    fn to_row(&self, row: &mut [f64], grid: StepGrid) {
        match self {
            Self::Negate => each(row, |_, v| -v),
            Self::EvaluationTime => each(row, |i, _| grid.time_ms(i) as f64 / 1000.0),
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
            Self::Arithmetic { f, scalar, is_scalar_left: false } => {
                each(row, |i, v| f(v, scalar[i]));
            }
            Self::Arithmetic { f, scalar, is_scalar_left: true } => {
                each(row, |i, v| f(scalar[i], v));
            }
            Self::Filter { holds, scalar, is_scalar_left } => each(row, |i, v| {
                let (a, b) = if *is_scalar_left { (scalar[i], v) } else { (v, scalar[i]) };
                if holds(&a, &b) { v } else { STALE_NAN }
            }),
            Self::Test { holds, scalar, is_scalar_left } => each(row, |i, v| {
                let (a, b) = if *is_scalar_left { (scalar[i], v) } else { (v, scalar[i]) };
                f64::from(holds(&a, &b))
            }),
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
    let once = StepGrid { count: 1, ..grid };
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

    fn read(&self, rows: Range<usize>, _: &mut Worker, out: &mut [f64]) -> Result<(), QueryError> {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.steps)) {
            out.fill(self.block.values[row]);
        }
        Ok(())
    }
}
