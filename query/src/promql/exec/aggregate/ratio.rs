//! `limit_ratio`: a share of the series, chosen by their labels.

use std::ops::Range;

use m3rs_core::model::STALE_NAN;

use super::Groups;
use super::group::{FirstSeen, grouping};
use super::rank::heap_order;
use crate::error::QueryError;
use crate::promql::annotation::Note;
use crate::promql::ast::Span;
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::scalar::Column;
use crate::promql::exec::series::SeriesList;
use crate::promql::exec::{Context, Rows, Worker, is_absent};
use crate::promql::labelset::{self, Projection};
use crate::promql::plan::AggregateNode;
use crate::step::StepGrid;

/// Opens `limit_ratio`.
pub(super) fn open<'a>(
    node: &AggregateNode,
    input: Box<dyn Rows + 'a>,
    (ratios, span): (Column, Span),
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    if ratios.iter().any(|r| r.is_nan()) {
        return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
    }
    let max = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    if max > 1.0 {
        ctx.note(span, Note::InvalidRatio(max, 1.0));
    }
    if min < -1.0 {
        ctx.note(span, Note::InvalidRatio(min, -1.0));
    }
    if !grid.is_instant() {
        return Ok(Box::new(RatioRows { input, ratios, steps: grid.count }));
    }
    // PARITY(prometheus): the order is that of a heap for each group.
    let input = input.into_block(ctx, 1)?;
    let groups = Groups::new(&input.series, grouping(node), ctx)?;
    let mut first_seen = FirstSeen::new(groups.len(), grid);
    for row in (0..input.series.len()).filter(|row| input.is_present(*row, 0)) {
        first_seen.mark(groups.of_row(row), row);
    }
    let rows: Box<dyn Rows> = Box::new(RatioRows { input: Box::new(input), ratios, steps: 1 });
    let block = rows.into_block(ctx, 1)?;
    let rows = groups.rows();
    let mut order = Vec::new();
    for group in first_seen.order(groups.len()) {
        let kept = rows[group].iter().filter(|row| block.is_present(**row, 0));
        // A histogram counts as zero.
        let value = |row: usize| if is_absent(block.values[row]) { 0.0 } else { block.values[row] };
        order.extend(heap_order(kept.map(|row| (*row, value(*row)))));
    }
    Ok(Box::new(block.reordered(&order, ctx)?))
}

struct RatioRows<'a> {
    input: Box<dyn Rows + 'a>,
    ratios: Column,
    steps: usize,
}

impl Rows for RatioRows<'_> {
    fn series(&self) -> &SeriesList {
        self.input.series()
    }

    fn tells(&self) -> bool {
        self.input.tells()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let mut histograms = self.input.read(rows.clone(), worker, out)?;
        let series = self.input.series();
        let projection = series.project(Projection::all());
        let mut key = Vec::new();
        let mut place_of = |row| {
            projection.apply(series.raw(row), &mut key);
            labelset::prometheus_hash(&key) as f64 / u64::MAX as f64
        };
        histograms.retain(|cell, _| {
            let ratio = self.ratios[cell % self.steps].clamp(-1.0, 1.0);
            is_chosen(place_of(rows.start + cell / self.steps), ratio)
        });
        for (row, out) in rows.zip(out.chunks_exact_mut(self.steps)) {
            let place = place_of(row);
            for (v, ratio) in out.iter_mut().zip(self.ratios.iter()) {
                if !is_chosen(place, ratio.clamp(-1.0, 1.0)) {
                    *v = STALE_NAN;
                }
            }
        }
        Ok(histograms)
    }
}

/// Whether a series at `place` in 0..1 is within the ratio: from below, or from above if negative.
fn is_chosen(place: f64, ratio: f64) -> bool {
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_its_complement_choose_all() {
        for place in [0.0, 0.1, 0.29, 0.7, 0.999] {
            assert!(is_chosen(place, 0.5) != is_chosen(place, -0.5));
            assert!(is_chosen(place, 1.0) && is_chosen(place, -1.0));
            assert!(!is_chosen(place, 0.0));
        }
    }
}
