//! The function library: kernels over plain columns, one file per family.
//!
//! Nothing here knows of operators, series sets or storage. A range function gets the samples of
//! one series and fills a row of steps; an element function maps one value. What the result of a
//! function is called, and which labels it keeps, is the engine's matter, helped by [`keeps_name`].
//!
//! Every kernel gives the bits that Prometheus 3.14 gives on amd64, as far as addition,
//! multiplication, division, square roots and logarithms go. Other transcendental functions come
//! from the platform's C library and may differ from Go's in the last place.

pub mod aggregate;
mod change;
mod extended;
pub mod histogram;
pub mod label;
mod lanes;
pub mod logarithm;
pub mod math;
pub mod native;
mod over_time;
mod quantile;
mod rate;
mod regression;
mod start;
mod time;
mod window;

use std::cell::RefCell;

use crate::promql::ast::RangeEdges;
use crate::step::StepGrid;

pub use extended::{cut_samples, extended_kernel, smoothed_values};
pub use native::HistogramSamples;
pub use rate::Memo;
pub use start::overlap_count;
pub(crate) use window::visit_last;

/// Samples of one series for a range function, and the windows to look at.
///
/// `ts` and `vs` have equal length and ascend by time. Staleness markers are not among them.
#[derive(Clone, Copy, Debug)]
pub struct RangeInput<'a> {
    /// Times in milliseconds.
    pub ts: &'a [i64],
    /// Values.
    pub vs: &'a [f64],
    /// Start timestamps in milliseconds, 0 for a sample that has none; empty if none has one.
    pub starts: &'a [i64],
    /// Window `i` holds the samples in `(ends.time_ms(i) - range_ms, ends.time_ms(i)]`. The
    /// offset and the `@` modifier are applied already.
    pub ends: StepGrid,
    /// The length of each window.
    pub range_ms: i64,
    /// How far outside of a window samples may help to know the values at its edges.
    pub lookback_ms: i64,
    /// Evaluation times, which offset and `@` do not shift; as many as `ends`.
    pub eval: StepGrid,
    /// One row of `ends.count` values for each scalar argument, in the order of the arguments.
    pub params: &'a [&'a [f64]],
    /// Asked during long work.
    pub stop: Stop<'a>,
    /// What other series of the same times had in common with this one.
    pub memo: Option<&'a RefCell<Memo>>,
}

impl<'a> RangeInput<'a> {
    /// Samples and windows without arguments and start timestamps.
    #[must_use]
    pub fn of(ts: &'a [i64], vs: &'a [f64], ends: StepGrid, range_ms: i64) -> Self {
        let (starts, params, stop) = (&[][..], &[][..], Stop::NEVER);
        let eval = ends;
        Self { ts, vs, starts, ends, range_ms, lookback_ms: 0, eval, params, stop, memo: None }
    }

    /// The start and the end of a window.
    fn bounds_ms(&self, step: usize) -> (i64, i64) {
        let end_ms = self.ends.time_ms(step);
        (end_ms.saturating_sub(self.range_ms), end_ms)
    }

    /// The same with all samples in a window that may help to know the values at its edges.
    fn widened(&self, edges: RangeEdges) -> Self {
        let after_ms = if edges == RangeEdges::Smoothed { self.lookback_ms } else { 0 };
        let range_ms = self.range_ms.saturating_add(self.lookback_ms).saturating_add(after_ms);
        let ends = StepGrid { start_ms: self.ends.start_ms + after_ms, ..self.ends };
        Self { ends, range_ms, ..*self }
    }
}

/// Whether work should stop early, leaving a result that nobody looks at.
#[derive(Clone, Copy, Default)]
pub struct Stop<'a>(Option<&'a dyn Fn() -> bool>);

impl<'a> Stop<'a> {
    /// Work runs to its end.
    pub const NEVER: Self = Self(None);

    /// Work stops once `is_wanted` says so. It is asked every few milliseconds.
    #[must_use]
    pub fn when(is_wanted: &'a dyn Fn() -> bool) -> Self {
        Self(Some(is_wanted))
    }

    /// Asks.
    fn is_wanted(self) -> bool {
        self.0.is_some_and(|is_wanted| is_wanted())
    }
}

impl std::fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stop").field(&self.0.is_some()).finish()
    }
}

/// A range function: writes `out[i]` for window `i`.
///
/// `out` has `ends.count` entries, which the caller has filled with the staleness marker; an entry
/// stays so where the function has no result. Cost: samples + steps for functions that look at the
/// ends of windows, samples times overlap for those that read every sample of each window.
pub type RangeKernel = fn(&RangeInput<'_>, out: &mut [f64]);

/// An element function: maps the value `v` at the evaluation time `step_time_ms`.
///
/// `params` holds the scalar arguments at that step. A staleness marker as the answer means that
/// the element has no result.
pub type ElementKernel = fn(v: f64, params: &[f64], step_time_ms: i64) -> f64;

/// The kernel of a range function by its PromQL name.
#[must_use]
pub fn range_kernel(name: &str) -> Option<RangeKernel> {
    Some(match name {
        "avg_over_time" => over_time::avg,
        "changes" => change::changes,
        "count_over_time" => over_time::count,
        "delta" => rate::delta,
        "deriv" => regression::deriv,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        "first_over_time" => over_time::first,
        "idelta" => rate::idelta,
        "increase" => rate::increase,
        "irate" => rate::irate,
        "last_over_time" => over_time::last,
        "mad_over_time" => quantile::mad_over_time,
        "max_over_time" => over_time::max,
        "min_over_time" => over_time::min,
        "predict_linear" => regression::predict_linear,
        "present_over_time" => over_time::present,
        "quantile_over_time" => quantile::quantile_over_time,
        "rate" => rate::rate,
        "resets" => change::resets,
        "stddev_over_time" => over_time::stddev,
        "stdvar_over_time" => over_time::stdvar,
        "sum_over_time" => over_time::sum,
        "ts_of_first_over_time" => over_time::ts_of_first,
        "ts_of_last_over_time" => over_time::ts_of_last,
        "ts_of_max_over_time" => over_time::ts_of_max,
        "ts_of_min_over_time" => over_time::ts_of_min,
        _ => return None,
    })
}

/// The kernel of an element function by its PromQL name.
///
/// The date functions are among them: without an argument they mean `hour(vector(time()))`.
#[must_use]
pub fn element_kernel(name: &str) -> Option<ElementKernel> {
    math::kernel(name).or_else(|| time::kernel(name))
}

/// Whether the result of a range function keeps the metric name.
#[must_use]
pub fn keeps_name(name: &str) -> bool {
    matches!(name, "first_over_time" | "last_over_time")
}

/// Whether start timestamps of samples matter to a function.
#[must_use]
pub fn uses_start_times(name: &str) -> bool {
    matches!(name, "increase" | "irate" | "rate" | "resets" | "start_timestamp")
}

/// Checks the scalar arguments of a step that make a query fail, not merely give no result.
///
/// They count only where the function is applied: at [`first_bad_step`]. Takes the rows of
/// [`RangeInput::params`].
///
/// # Errors
/// The text that Prometheus answers with.
pub fn check_params(name: &str, params: &[&[f64]], step: usize) -> Result<(), String> {
    if name != "double_exponential_smoothing" {
        return Ok(());
    }
    for (row, what) in params.iter().zip(["smoothing", "trend"]) {
        let short = if what == "smoothing" { "sf" } else { "tf" };
        if row[step] <= 0.0 || row[step] >= 1.0 {
            let bad = math::format_fixed(row[step]);
            return Err(format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {bad}"));
        }
    }
    Ok(())
}

/// The first step whose window holds a sample and that `is_bad` says of.
#[must_use]
pub fn first_bad_step(input: &RangeInput<'_>, is_bad: impl Fn(usize) -> bool) -> Option<usize> {
    let mut first = None;
    window::walk(input, |w| {
        if first.is_none() && is_bad(w.step) {
            first = Some(w.step);
        }
    });
    first
}

/// A span in seconds with the rounding of Go's `Duration.Seconds`.
pub(crate) fn seconds(span_ns: i64) -> f64 {
    const NS: i64 = 1_000_000_000;
    (span_ns / NS) as f64 + (span_ns % NS) as f64 / 1e9
}

/// The same of milliseconds.
fn seconds_of_ms(span_ms: i64) -> f64 {
    (span_ms / 1000) as f64 + ((span_ms % 1000) * 1_000_000) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::{STALE_NAN, is_stale};

    use super::*;

    /// Runs a kernel over windows of `range_ms` that end on the grid.
    pub(super) fn run(
        name: &str,
        samples: &[(i64, f64)],
        ends: StepGrid,
        range_ms: i64,
        params: &[f64],
    ) -> Vec<Option<f64>> {
        let ts: Vec<i64> = samples.iter().map(|s| s.0).collect();
        let vs: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let rows: Vec<Vec<f64>> = params.iter().map(|p| vec![*p; ends.count]).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let input = RangeInput { params: &rows, ..RangeInput::of(&ts, &vs, ends, range_ms) };
        let mut out = vec![STALE_NAN; ends.count];
        range_kernel(name).expect("known function")(&input, &mut out);
        out.iter().map(|v| if is_stale(*v) { None } else { Some(*v) }).collect()
    }

    #[test]
    fn arguments_count_where_windows_hold_samples() {
        let ends = StepGrid { start_ms: 0, step_ms: 100, count: 3 };
        for (t, expected) in [(-10, None), (-9, Some(0)), (1, None), (95, Some(1)), (201, None)] {
            let ts = [t];
            let input = RangeInput::of(&ts, &[1.0], ends, 10);
            assert_eq!(first_bad_step(&input, |_| true), expected, "{t}");
            assert_eq!(first_bad_step(&input, |step| step == 2), None);
        }
    }

    #[test]
    fn seconds_round_as_go_does() {
        assert_eq!(seconds_of_ms(1500), 1.5);
        assert_eq!(seconds_of_ms(300_000), 300.0);
        assert_eq!(seconds_of_ms(1), 0.001);
        assert_eq!(seconds(65_938_999_999), 65.938999999);
    }

    #[test]
    fn bad_smoothing_factors_are_named() {
        let check = |sf: f64, tf: f64| {
            check_params("double_exponential_smoothing", &[&[sf][..], &[tf][..]], 0)
        };
        assert_eq!(check(0.5, 0.5), Ok(()));
        assert_eq!(
            check(1.0, 0.5),
            Err("invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000".into())
        );
        assert_eq!(
            check(0.5, -0.25),
            Err("invalid trend factor. Expected: 0 < tf < 1, got: -0.250000".into())
        );
        assert_eq!(check_params("predict_linear", &[&[7.0][..]], 0), Ok(()));
    }

    #[test]
    fn empty_windows_have_no_result() {
        let ends = StepGrid { start_ms: 0, step_ms: 1000, count: 4 };
        for name in ["rate", "sum_over_time", "max_over_time", "deriv", "changes", "last_over_time"]
        {
            assert_eq!(run(name, &[], ends, 500, &[]), [None; 4], "{name}");
        }
        let one = run("sum_over_time", &[(1000, 3.0)], ends, 1000, &[]);
        assert_eq!(one, [None, Some(3.0), None, None]);
    }
}
