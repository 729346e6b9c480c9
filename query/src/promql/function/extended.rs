//! Ranges with known edges: `anchored` takes the sample before the range for its value at the
//! start, `smoothed` interpolates at both edges. Also instant selectors that are `smoothed`.
//!
//! Nothing is extrapolated. Samples are looked for as far outside of the range as an instant
//! selector looks back.

use std::ops::Range;

use m3rs_core::model::STALE_NAN;

use super::change;
use super::window::walk;
use super::{RangeInput, RangeKernel, seconds_of_ms};
use crate::promql::ast::RangeEdges::{self, Anchored, Smoothed};
use crate::source::SampleColumns;
use crate::step::StepGrid;

/// The kernel of a range function over such ranges.
///
/// # Errors
/// The text that Prometheus answers with for a function that does not take them.
pub fn extended_kernel(name: &str, edges: RangeEdges) -> Result<RangeKernel, String> {
    Ok(match (name, edges) {
        ("changes", Anchored) => change::anchored_changes,
        ("resets", Anchored) => change::anchored_resets,
        ("delta", Anchored) => |input, out| gauge(input, out, Anchored),
        ("delta", Smoothed) => |input, out| gauge(input, out, Smoothed),
        ("increase", Anchored) => |input, out| counter(input, out, Anchored, 1.0),
        ("increase", Smoothed) => |input, out| counter(input, out, Smoothed, 1.0),
        ("rate", Anchored) => {
            |input, out| counter(input, out, Anchored, seconds_of_ms(input.range_ms))
        }
        ("rate", Smoothed) => {
            |input, out| counter(input, out, Smoothed, seconds_of_ms(input.range_ms))
        }
        _ => return Err(refusal(name, edges)),
    })
}

/// Why a function does not take such ranges.
fn refusal(name: &str, edges: RangeEdges) -> String {
    let functions = match edges {
        Anchored => "changes, delta, increase, rate, resets",
        Smoothed => "delta, increase, rate",
    };
    let modifier = edges.as_str();
    format!("{modifier} modifier can only be used with: {functions} - not with {name}")
}

/// By how much a gauge changed.
fn gauge(input: &RangeInput<'_>, out: &mut [f64], edges: RangeEdges) {
    map_ranges(input, out, (edges, Of::Gauge), |_, cut| cut.right - cut.left);
}

/// How much a counter rose, divided by `per`.
fn counter(input: &RangeInput<'_>, out: &mut [f64], edges: RangeEdges, per: f64) {
    map_ranges(input, out, (edges, Of::Counter), |vs, cut| {
        let mut lost = 0.0;
        let mut before = cut.left;
        for &v in vs[cut.inner.clone()].iter().chain(std::iter::once(&cut.right)) {
            if v < before {
                lost += before;
            }
            before = v;
        }
        (cut.right - cut.left + lost) / per
    });
}

/// Maps the values in and around each range, with where the range cuts them.
fn map_ranges(
    input: &RangeInput<'_>,
    out: &mut [f64],
    (edges, of): (RangeEdges, Of),
    map: impl Fn(&[f64], &Cut) -> f64,
) {
    walk(&input.widened(edges), |w| {
        let (ts, vs) = (&input.ts[w.lo..w.hi], &input.vs[w.lo..w.hi]);
        let end = input.ends.time_ms(w.step);
        if edges == Smoothed && ts[0] > end {
            return;
        }
        if let Some(cut) = Cut::of((ts, vs), input.bounds_ms(w.step), edges, of) {
            out[w.step] = map(vs, &cut);
        }
    });
}

/// What values are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Counter,
    Gauge,
}

/// Where a range cuts the samples in it and around it.
#[derive(Debug, PartialEq)]
struct Cut {
    /// The value at the start of the range.
    left: f64,
    /// The value at its end.
    right: f64,
    /// The samples strictly between the edges.
    inner: Range<usize>,
}

impl Cut {
    /// `None` if there is no sample after the start. There is at least one sample.
    fn of(
        (ts, vs): (&[i64], &[f64]),
        (start_ms, end_ms): (i64, i64),
        edges: RangeEdges,
        of: Of,
    ) -> Option<Self> {
        let mut last = ts.len() - 1;
        let first = ts[..last].partition_point(|t| *t <= start_ms).saturating_sub(1);
        if edges == Smoothed {
            last = ts[..last].partition_point(|t| *t < end_ms);
        }
        if ts[last] <= start_ms {
            return None;
        }
        let between =
            |i: usize, t_ms: i64| interpolate((ts[i], vs[i]), (ts[i + 1], vs[i + 1]), t_ms, of);
        let left = match edges {
            Smoothed if ts[first] < start_ms => between(first, start_ms),
            _ => vs[first],
        };
        let right = match edges {
            Smoothed if last > 0 && ts[last] > end_ms => between(last - 1, end_ms),
            _ => vs[last],
        };
        let from = first + usize::from(ts[first] <= start_ms);
        let to = last + usize::from(ts[last] < end_ms);
        Some(Self { left, right, inner: from..to.max(from) })
    }
}

/// The value on the line between two samples. A counter that was reset rises from zero.
fn interpolate((t0, v0): (i64, f64), (t1, v1): (i64, f64), t_ms: i64, of: Of) -> f64 {
    let v0 = if of == Of::Counter && v1 < v0 { 0.0 } else { v0 };
    v0 + (v1 - v0) * (t_ms - t0) as f64 / (t1 - t0) as f64
}

/// Puts values at both edges of the range `(start_ms, end_ms]` in place of the samples outside.
pub fn cut_samples(columns: &mut SampleColumns, (start_ms, end_ms): (i64, i64), edges: RangeEdges) {
    if columns.ts.is_empty() {
        return;
    }
    let samples = (&columns.ts[..], &columns.vs[..]);
    let Some(cut) = Cut::of(samples, (start_ms, end_ms), edges, Of::Gauge) else {
        columns.clear();
        return;
    };
    let inner_ts = columns.ts[cut.inner.clone()].iter().copied();
    columns.ts = std::iter::once(start_ms).chain(inner_ts).chain(std::iter::once(end_ms)).collect();
    let inner_vs = columns.vs[cut.inner].iter().copied();
    let (left, right) = (std::iter::once(cut.left), std::iter::once(cut.right));
    columns.vs = left.chain(inner_vs).chain(right).collect();
    columns.starts.clear();
}

/// Values of a `smoothed` instant selector: on the line between the samples around each time, at
/// most `lookback_ms` away; the one before it where none follows.
pub fn smoothed_values(columns: &SampleColumns, ends: StepGrid, lookback_ms: i64, out: &mut [f64]) {
    let (ts, vs) = (&columns.ts, &columns.vs);
    let mut next = 0;
    for (out, end) in out.iter_mut().zip(ends.times()) {
        while next < ts.len() && ts[next] < end {
            next += 1;
        }
        let before = next.checked_sub(1).filter(|i| ts[*i] > end.saturating_sub(lookback_ms));
        let after = ts.get(next).filter(|t| **t <= end.saturating_add(lookback_ms));
        *out = match (before, after) {
            (_, Some(t)) if *t == end => vs[next],
            (Some(i), Some(_)) => interpolate((ts[i], vs[i]), (ts[next], vs[next]), end, Of::Gauge),
            (Some(i), None) => vs[i],
            (None, _) => STALE_NAN,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(samples: &[(i64, f64)]) -> SampleColumns {
        SampleColumns {
            ts: samples.iter().map(|s| s.0).collect(),
            vs: samples.iter().map(|s| s.1).collect(),
            ..SampleColumns::default()
        }
    }

    #[test]
    fn edges_are_cut_or_interpolated() {
        let (ts, vs) = ([0, 10, 20, 30], [1.0, 2.0, 4.0, 8.0]);
        let cut = |bounds, edges| Cut::of((&ts, &vs), bounds, edges, Of::Gauge);
        let anchored = Cut { left: 1.0, right: 8.0, inner: 1..4 };
        assert_eq!(cut((5, 35), Anchored), Some(anchored));
        let smoothed = Cut { left: 1.5, right: 6.0, inner: 1..3 };
        assert_eq!(cut((5, 25), Smoothed), Some(smoothed));
        assert_eq!(cut((30, 40), Anchored), None);
        let first = Cut { left: 1.0, right: 1.0, inner: 0..0 };
        assert_eq!(cut((-10, 0), Smoothed), Some(first));
    }

    #[test]
    fn counters_rise_from_zero_after_a_reset() {
        assert_eq!(interpolate((0, 9.0), (10, 4.0), 5, Of::Counter), 2.0);
        assert_eq!(interpolate((0, 9.0), (10, 4.0), 5, Of::Gauge), 6.5);
    }

    #[test]
    fn instant_values_lie_between_their_neighbours() {
        let columns = columns(&[(0, 1.0), (10, 3.0), (100, 5.0)]);
        let mut out = [0.0; 6];
        let ends = StepGrid { start_ms: -5, step_ms: 5, count: 6 };
        smoothed_values(&columns, ends, 11, &mut out);
        assert!(m3rs_core::model::is_stale(out[0]));
        assert_eq!(out[1..5], [1.0, 2.0, 3.0, 3.0]);
        assert_eq!(out[5], 3.0);
    }

    #[test]
    fn a_cut_has_samples_at_its_edges() {
        let mut cut = columns(&[(0, 1.0), (10, 3.0), (100, 5.0)]);
        cut_samples(&mut cut, (5, 20), Smoothed);
        assert_eq!((cut.ts, cut.vs[..2].to_vec()), (vec![5, 10, 20], vec![2.0, 3.0]));
        let mut none = columns(&[(0, 1.0)]);
        cut_samples(&mut none, (5, 20), Anchored);
        assert!(none.is_empty());
    }

    #[test]
    fn functions_without_edges_are_refused() {
        assert_eq!(
            extended_kernel("sum_over_time", Smoothed).expect_err("refused"),
            "smoothed modifier can only be used with: delta, increase, rate - not with \
             sum_over_time"
        );
        assert!(extended_kernel("resets", Smoothed).is_err());
        assert!(extended_kernel("resets", Anchored).is_ok());
    }
}
