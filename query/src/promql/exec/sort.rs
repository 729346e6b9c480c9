//! `sort` and `sort_by_label`: the order of an instant query's series.

use std::cmp::Ordering;
use std::ops::Range;

use m3rs_core::model::Labels;

use super::histograms::Histograms;
use super::series::SeriesList;
use super::{Context, Rows, Worker, is_absent, open as open_node};
use crate::error::QueryError;
use crate::promql::annotation::Note;
use crate::promql::ast::Span;
use crate::promql::plan::{SortOrder, VectorNode};
use crate::step::StepGrid;

/// Opens a sort. A range query's series are sorted by labels in the end, so it sorts nothing.
pub(crate) fn open<'a>(
    input: &'a VectorNode,
    order: &SortOrder,
    span: Span,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let rows = open_node(input, grid, ctx)?;
    if !grid.is_instant() {
        ctx.note(span, Note::SortInRangeQuery);
        return Ok(match order {
            SortOrder::Value { .. } => Box::new(Floats(rows)),
            SortOrder::Labels { .. } => rows,
        });
    }
    let block = rows.into_block(ctx, 1)?;
    // Histograms have no order.
    let is_kept = |row: usize| match order {
        SortOrder::Value { .. } => !is_absent(block.values[row]),
        SortOrder::Labels { .. } => block.is_present(row, 0),
    };
    let mut kept: Vec<usize> = (0..block.series.len()).filter(|&row| is_kept(row)).collect();
    match order {
        SortOrder::Value { descending } => {
            kept.sort_by(|&a, &b| by_value(block.values[a], block.values[b], *descending));
        }
        SortOrder::Labels { names, descending } => {
            let labels = block.series.shown();
            kept.sort_by(|&a, &b| {
                let order = by_labels(&labels[a], &labels[b], names);
                if *descending { order.reverse() } else { order }
            });
        }
    }
    Ok(Box::new(block.reordered(&kept, ctx)?))
}

/// Rows without their native histograms.
struct Floats<'a>(Box<dyn Rows + 'a>);

impl Rows for Floats<'_> {
    fn series(&self) -> &SeriesList {
        self.0.series()
    }

    fn tells(&self) -> bool {
        self.0.tells()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        let _ = self.0.read(rows, worker, out)?;
        Ok(Histograms::NONE)
    }
}

/// NaN stands last in both directions.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

fn by_labels(a: &Labels, b: &Labels, names: &[String]) -> Ordering {
    for name in names {
        let order = natural(a.get(name).unwrap_or(""), b.get(name).unwrap_or(""));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.cmp(b)
}

/// The order of texts in which runs of digits count as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (chunk_a, next_a) = chunk(rest_a);
        let (chunk_b, next_b) = chunk(rest_b);
        let order = match (number(chunk_a), number(chunk_b)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => chunk_a.cmp(chunk_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (rest_a, rest_b) = (next_a, next_b);
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// Splits off the longest start of digits alone or of other characters alone.
fn chunk(text: &str) -> (&str, &str) {
    let is_digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(text.len());
    text.split_at(end)
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_last_both_ways() {
        let mut values = [f64::NAN, 2.0, f64::INFINITY, 1.0];
        values.sort_by(|a, b| by_value(*a, *b, false));
        assert_eq!(values[..3], [1.0, 2.0, f64::INFINITY]);
        values.sort_by(|a, b| by_value(*a, *b, true));
        assert_eq!(values[..3], [f64::INFINITY, 2.0, 1.0]);
    }

    #[test]
    fn digits_are_numbers() {
        let mut texts = ["node10", "node2", "node", "4m600", "4m5", "", "node02"];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(texts, ["", "4m5", "4m600", "node", "node02", "node2", "node10"]);
    }
}
