//! `limit_ratio`: a share of the series, chosen by their labels.

use std::ops::Range;

use m3rs_core::model::STALE_NAN;

use crate::error::QueryError;
use crate::promql::annotation::Note;
use crate::promql::ast::Span;
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::scalar::{self, Column};
use crate::promql::exec::series::SeriesList;
use crate::promql::exec::{Context, Rows, Worker};
use crate::promql::labelset::{self, Projection};
use crate::promql::plan::ScalarNode;
use crate::step::StepGrid;

/// Opens `limit_ratio`.
pub(super) fn open<'a>(
    input: Box<dyn Rows + 'a>,
    param: &ScalarNode,
    span: Span,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let ratios = scalar::evaluate(param, grid, ctx)?;
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
    Ok(Box::new(RatioRows { input, ratios, steps: grid.count }))
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
