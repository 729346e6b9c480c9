//! Operators whose work is measured, for `explain=true`.

use std::ops::Range;

use super::block::Block;
use super::histograms::Histograms;
use super::series::SeriesList;
use super::{Context, Rows, Worker, open_plain};
use crate::error::QueryError;
use crate::explain::Explain;
use crate::promql::plan::VectorNode;
use crate::step::StepGrid;

/// Opens an operator and measures it.
pub(crate) fn open<'a>(
    node: &'a VectorNode,
    grid: StepGrid,
    (ctx, explain): (&'a Context<'a>, &'a Explain),
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let number = explain.enter(node.describe(), grid.count);
    let start = ctx.clock.monotonic();
    let opened = open_plain(node, grid, ctx);
    let series = opened.as_ref().map_or(0, |rows| rows.series().len());
    explain.leave(number, series, ctx.clock.monotonic().saturating_sub(start));
    Ok(Box::new(Explained { rows: opened?, number, explain, ctx }))
}

struct Explained<'a> {
    rows: Box<dyn Rows + 'a>,
    number: usize,
    explain: &'a Explain,
    ctx: &'a Context<'a>,
}

impl Rows for Explained<'_> {
    fn series(&self) -> &SeriesList {
        self.rows.series()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let start = self.ctx.clock.monotonic();
        let count = rows.len();
        let histograms = self.rows.read(rows, worker, out)?;
        let took = self.ctx.clock.monotonic().saturating_sub(start);
        let bytes = size_of_val(out) as u64 + histograms.bytes();
        self.explain.add_read(self.number, count, bytes, took);
        Ok(histograms)
    }

    fn tells(&self) -> bool {
        self.rows.tells()
    }

    fn into_block(self: Box<Self>, ctx: &Context<'_>, steps: usize) -> Result<Block, QueryError> {
        let start = self.ctx.clock.monotonic();
        let Self { rows, number, explain, .. } = *self;
        let block = rows.into_block(ctx, steps)?;
        let took = ctx.clock.monotonic().saturating_sub(start);
        let bytes = size_of_val(block.values.as_slice()) as u64 + block.histograms.bytes();
        explain.add_read(number, block.series.len(), bytes, took);
        Ok(block)
    }
}
