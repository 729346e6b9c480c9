//! Results over one range that follows another.

use std::cmp::Ordering;
use std::sync::Arc;

use m3rs_core::model::{Labels, STALE_NAN, is_stale};

use crate::histogram::FloatHistogram;
use crate::result::{Matrix, MatrixSeries, Points};
use crate::step::StepGrid;

/// The steps of `matrix` that `grid` has too, which are some of its neighbours; without series
/// that have no value there.
pub(super) fn cut(matrix: &Matrix, grid: StepGrid) -> Matrix {
    let series = matrix.series.iter().filter_map(|series| {
        let values = values_at(series, &matrix.grid, &grid);
        let histograms = histograms_at(series, &grid);
        as_series(series.labels.clone(), values, histograms)
    });
    Matrix { grid, series: series.collect() }
}

/// The steps of `first`, then those of `second`, which make up `grid`.
pub(super) fn join(first: Matrix, second: Matrix, grid: StepGrid) -> Matrix {
    let (grid_1, grid_2) = (first.grid, second.grid);
    let mut series = Vec::with_capacity(first.series.len().max(second.series.len()));
    let (mut first, mut second) =
        (first.series.into_iter().peekable(), second.series.into_iter().peekable());
    loop {
        let order = match (first.peek(), second.peek()) {
            (Some(a), Some(b)) => a.labels.cmp(&b.labels),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let a = if order.is_le() { first.next() } else { None };
        let b = if order.is_ge() { second.next() } else { None };
        let Some(labels) = a.as_ref().or(b.as_ref()).map(|series| series.labels.clone()) else {
            break;
        };
        let mut values = Vec::with_capacity(grid.count);
        let mut histograms = Vec::new();
        for (part, grid) in [(a, grid_1), (b, grid_2)] {
            match part {
                Some(part) => {
                    values.extend(values_at(&part, &grid, &grid));
                    histograms.extend(part.histograms);
                }
                None => values.resize(values.len() + grid.count, STALE_NAN),
            }
        }
        series.extend(as_series(labels, values, histograms));
    }
    Matrix { grid, series }
}

/// The values of a series of a matrix over `from`, at each step of `to`.
fn values_at(series: &MatrixSeries, from: &StepGrid, to: &StepGrid) -> Vec<f64> {
    let mut all = vec![STALE_NAN; to.count];
    let step = from.step_ms.max(to.step_ms).max(1);
    let shift = (from.start_ms - to.start_ms) / step;
    if let Points::Steps { first, values } = &series.points {
        for (i, v) in values.iter().enumerate() {
            let place = usize::try_from((first + i) as i64 + shift).ok();
            if let Some(slot) = place.and_then(|place| all.get_mut(place)) {
                *slot = *v;
            }
        }
    }
    all
}

fn histograms_at(series: &MatrixSeries, grid: &StepGrid) -> Vec<(i64, Arc<FloatHistogram>)> {
    let range = grid.start_ms..=grid.end_ms();
    series.histograms.iter().filter(|(t, _)| range.contains(t)).cloned().collect()
}

/// A series of values that may be absent; `None` if nothing is left.
fn as_series(
    labels: Labels,
    mut values: Vec<f64>,
    histograms: Vec<(i64, Arc<FloatHistogram>)>,
) -> Option<MatrixSeries> {
    let first = values.iter().position(|v| !is_stale(*v));
    if first.is_none() && histograms.is_empty() {
        return None;
    }
    let first = first.unwrap_or(0);
    let end = values.iter().rposition(|v| !is_stale(*v)).map_or(first, |last| last + 1);
    values.truncate(end);
    values.drain(..first);
    Some(MatrixSeries { labels, points: Points::Steps { first, values }, histograms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: f64 = STALE_NAN;

    fn matrix(grid: StepGrid, series: &[(&str, usize, &[f64])]) -> Matrix {
        let series = series.iter().map(|(a, first, values)| MatrixSeries {
            labels: Labels::from_pairs([("a", *a)]).unwrap(),
            points: Points::Steps { first: *first, values: values.to_vec() },
            histograms: Vec::new(),
        });
        Matrix { grid, series: series.collect() }
    }

    fn shown(matrix: &Matrix) -> Vec<(String, Vec<(i64, f64)>)> {
        let all = matrix.series.iter();
        all.map(|s| (s.labels.to_string(), s.samples(&matrix.grid).collect())).collect()
    }

    #[test]
    fn parts_of_ranges_are_cut_and_joined() {
        let whole = matrix(
            StepGrid::range(100, 150, 10),
            &[("x", 0, &[0.0, 1.0, GAP, 3.0, 4.0, 5.0]), ("y", 4, &[4.0]), ("z", 1, &[1.0])],
        );
        let head = cut(&whole, StepGrid::range(100, 120, 10));
        let tail = cut(&whole, StepGrid::range(130, 150, 10));
        assert_eq!(head.series.len(), 2);
        assert_eq!(tail.series.len(), 2);
        let joined = join(head, tail, whole.grid);
        assert_eq!(shown(&joined), shown(&whole));
        let later = cut(&whole, StepGrid::range(140, 160, 10));
        let x = r#"{a="x"}"#.to_owned();
        assert_eq!(shown(&later)[0], (x, vec![(140, 4.0), (150, 5.0)]));
    }
}
