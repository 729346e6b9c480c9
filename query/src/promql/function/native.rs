//! Range functions over series that hold native histograms, alone or among floats.
//!
//! The kernels of floats run as they do for any series. Then each window that holds a histogram is
//! looked at here: its result is taken back, replaced or kept, and the user is told what could not
//! be done. Cost: the buckets of the histograms in each window.

mod extended;
mod over_time;
mod rate;
mod walk;

use std::sync::Arc;

use super::RangeInput;
use crate::histogram::{FloatHistogram, Incompatible};
use crate::promql::ast::RangeEdges;

pub use extended::smoothed_histograms;

/// Native histograms of one series in columns of equal length, ascending by time.
#[derive(Clone, Debug, Default)]
pub struct HistogramSamples {
    /// Times in milliseconds.
    pub ts: Vec<i64>,
    /// Histograms.
    pub hs: Vec<Arc<FloatHistogram>>,
    /// Start timestamps in milliseconds, 0 for one that has none. Empty if none has one.
    pub starts: Vec<i64>,
}

impl HistogramSamples {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.hs.clear();
        self.starts.clear();
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// Takes out the histograms that say that the series ended.
    pub fn retain_fresh(&mut self) {
        if !self.hs.iter().any(|h| h.is_stale()) {
            return;
        }
        let mut kept = 0;
        for at in 0..self.hs.len() {
            if !self.hs[at].is_stale() {
                self.ts[kept] = self.ts[at];
                self.hs.swap(kept, at);
                if !self.starts.is_empty() {
                    self.starts[kept] = self.starts[at];
                }
                kept += 1;
            }
        }
        self.ts.truncate(kept);
        self.hs.truncate(kept);
        self.starts.truncate(kept);
    }
}

/// What is done with two histograms or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A sum of two.
    Addition,
    /// A difference of two.
    Subtraction,
    /// A sum or a mean of any number.
    Aggregation,
}

impl Operation {
    /// The word in notes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// What the user should know of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeNote {
    /// A window holds floats and histograms, which the function does not take.
    MixedKinds,
    /// A window holds exponential and custom buckets.
    MixedBuckets,
    /// Histograms of a window did not count.
    Ignored,
    /// The function is for counters, a histogram is a gauge.
    NotCounter,
    /// The function is for gauges, a histogram is a counter.
    NotGauge,
    /// One histogram was known to follow a reset, another one not to.
    ResetCollision(Operation),
    /// Custom bounds differed.
    Reconciled(Operation),
    /// A sample started to count before the sample before it.
    StartOverlap,
}

/// Takes what the user should know.
pub type Tell<'a> = &'a mut dyn FnMut(RangeNote);

/// The samples of one window.
#[derive(Clone, Copy, Debug)]
struct Window<'a> {
    floats: Floats<'a>,
    histograms: Natives<'a>,
    /// The edges, which samples around an extended range lie outside of.
    start_ms: i64,
    end_ms: i64,
    range_ms: i64,
}

/// Floats of a window.
#[derive(Clone, Copy, Debug)]
struct Floats<'a> {
    ts: &'a [i64],
    vs: &'a [f64],
    /// Empty or as long as the others.
    starts: &'a [i64],
}

/// Native histograms of a window.
#[derive(Clone, Copy, Debug)]
struct Natives<'a> {
    ts: &'a [i64],
    hs: &'a [Arc<FloatHistogram>],
    /// Empty or as long as the others.
    starts: &'a [i64],
}

impl Natives<'_> {
    fn start(&self, at: usize) -> i64 {
        self.starts.get(at).copied().unwrap_or(0)
    }
}

/// What a function says of a window that holds a histogram.
enum Answer {
    /// What the kernel of floats said.
    Same,
    Nothing,
    Float(f64),
    Histogram(FloatHistogram),
}

/// A function on one window.
type WindowFunction = fn(&Window<'_>, Tell<'_>) -> Answer;

fn window_function(name: &str, edges: Option<RangeEdges>) -> WindowFunction {
    match (name, edges) {
        ("rate", None) => rate::rate,
        ("increase", None) => rate::increase,
        ("delta", None) => rate::delta,
        ("rate", Some(RangeEdges::Anchored)) => extended::anchored_rate,
        ("increase", Some(RangeEdges::Anchored)) => extended::anchored_increase,
        ("delta", Some(RangeEdges::Anchored)) => extended::anchored_delta,
        ("rate", Some(RangeEdges::Smoothed)) => extended::smoothed_rate,
        ("increase", Some(RangeEdges::Smoothed)) => extended::smoothed_increase,
        ("delta", Some(RangeEdges::Smoothed)) => extended::smoothed_delta,
        ("irate", _) => rate::irate,
        ("idelta", _) => rate::idelta,
        ("changes", None) => walk::changes,
        ("resets", None) => walk::resets,
        ("changes", Some(_)) => walk::anchored_changes,
        ("resets", Some(_)) => walk::anchored_resets,
        ("sum_over_time", _) => over_time::sum,
        ("avg_over_time", _) => over_time::avg,
        ("count_over_time", _) => over_time::count,
        ("present_over_time", _) => over_time::present,
        ("first_over_time", _) => over_time::first,
        ("last_over_time", _) => over_time::last,
        ("ts_of_first_over_time", _) => over_time::ts_of_first,
        ("ts_of_last_over_time", _) => over_time::ts_of_last,
        _ => over_time::ignoring,
    }
}

/// Applies a range function where windows hold histograms. `out` has the results of the kernel of
/// floats and gets what replaces them; the results that are histograms come back by step.
pub fn apply(
    (name, edges): (&str, Option<RangeEdges>),
    input: &RangeInput<'_>,
    histograms: &HistogramSamples,
    out: &mut [f64],
    tell: Tell<'_>,
) -> Vec<(usize, Arc<FloatHistogram>)> {
    let function = window_function(name, edges);
    let wide = edges.map_or(*input, |edges| input.widened(edges));
    let mut results = Vec::new();
    for (step, out) in out.iter_mut().enumerate() {
        if input.stop.is_wanted() {
            break;
        }
        let (from_ms, to_ms) = wide.bounds_ms(step);
        let within = |ts: &[i64]| {
            let lo = ts.partition_point(|t| *t <= from_ms);
            lo..ts.partition_point(|t| *t <= to_ms).max(lo)
        };
        let natives = within(&histograms.ts);
        if natives.is_empty() {
            continue;
        }
        let floats = within(input.ts);
        let (start_ms, end_ms) = input.bounds_ms(step);
        let window = Window {
            floats: Floats {
                ts: &input.ts[floats.clone()],
                vs: &input.vs[floats.clone()],
                starts: input.starts.get(floats).unwrap_or_default(),
            },
            histograms: Natives {
                ts: &histograms.ts[natives.clone()],
                hs: &histograms.hs[natives.clone()],
                starts: histograms.starts.get(natives).unwrap_or_default(),
            },
            start_ms,
            end_ms,
            range_ms: input.range_ms,
        };
        match function(&window, tell) {
            Answer::Same => {}
            Answer::Nothing => *out = m3rs_core::model::STALE_NAN,
            Answer::Float(v) => *out = v,
            Answer::Histogram(h) => {
                *out = m3rs_core::model::STALE_NAN;
                results.push((step, Arc::new(h)));
            }
        }
    }
    results
}

/// The first step whose window holds a histogram and that `is_bad` says of.
#[must_use]
pub fn first_bad_step(
    input: &RangeInput<'_>,
    histograms: &HistogramSamples,
    is_bad: impl Fn(usize) -> bool,
) -> Option<usize> {
    let vs = vec![0.0; histograms.ts.len()];
    let input = RangeInput { ts: &histograms.ts, vs: &vs, starts: &[], ..*input };
    super::first_bad_step(&input, is_bad)
}

/// Adds one histogram to another and tells what happened; whether it could.
fn add(base: &mut FloatHistogram, other: &FloatHistogram, tell: Tell<'_>) -> bool {
    let combined = base.add(other);
    told(combined.map(|c| c.is_reconciled), Operation::Addition, tell)
}

/// The same for a difference.
fn subtract(base: &mut FloatHistogram, other: &FloatHistogram, tell: Tell<'_>) -> bool {
    let combined = base.subtract(other);
    told(combined.map(|c| c.is_reconciled), Operation::Subtraction, tell)
}

fn told(is_reconciled: Result<bool, Incompatible>, of: Operation, tell: Tell<'_>) -> bool {
    match is_reconciled {
        Ok(is_reconciled) => {
            if is_reconciled {
                tell(RangeNote::Reconciled(of));
            }
            true
        }
        Err(Incompatible) => {
            tell(RangeNote::MixedBuckets);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::{STALE_NAN, is_stale};

    use super::*;
    use crate::histogram::tests::exponential;
    use crate::promql::function::range_kernel;
    use crate::step::StepGrid;

    /// Floats and histograms by step, and notes.
    type Found = (Vec<Option<f64>>, Vec<(usize, Arc<FloatHistogram>)>, Vec<RangeNote>);

    /// Runs a function over windows of `range_ms` that end on the grid, as the engine does.
    pub(super) fn run(
        name: &str,
        floats: &[(i64, f64)],
        natives: &[(i64, FloatHistogram)],
        (ends, range_ms): (StepGrid, i64),
    ) -> Found {
        let ts: Vec<i64> = floats.iter().map(|s| s.0).collect();
        let vs: Vec<f64> = floats.iter().map(|s| s.1).collect();
        let input = RangeInput::of(&ts, &vs, ends, range_ms);
        let histograms = HistogramSamples {
            ts: natives.iter().map(|s| s.0).collect(),
            hs: natives.iter().map(|s| Arc::new(s.1.clone())).collect(),
            starts: Vec::new(),
        };
        let mut out = vec![STALE_NAN; ends.count];
        range_kernel(name).expect("known")(&input, &mut out);
        let mut notes = Vec::new();
        let results =
            apply((name, None), &input, &histograms, &mut out, &mut |note| notes.push(note));
        let floats = out.iter().map(|v| if is_stale(*v) { None } else { Some(*v) }).collect();
        (floats, results, notes)
    }

    #[test]
    fn windows_of_both_kinds_are_refused_or_counted() {
        let floats = [(1000, 1.0), (2000, 2.0)];
        let natives = [(3000, exponential(0, &[1.0])), (4000, exponential(0, &[2.0]))];
        let ends = StepGrid { start_ms: 2000, step_ms: 1000, count: 3 };
        let (values, results, notes) = run("sum_over_time", &floats, &natives, (ends, 2000));
        assert_eq!(values, [Some(3.0), None, None]);
        assert_eq!(results.iter().map(|r| r.0).collect::<Vec<_>>(), [2]);
        assert_eq!(notes, [RangeNote::MixedKinds]);
        let (values, ..) = run("count_over_time", &floats, &natives, (ends, 2000));
        assert_eq!(values, [Some(2.0); 3]);
        let (values, _, notes) = run("max_over_time", &floats, &natives, (ends, 2000));
        assert_eq!((values, notes), (vec![Some(2.0), Some(2.0), None], vec![RangeNote::Ignored]));
        let (values, results, _) = run("last_over_time", &floats, &natives, (ends, 2000));
        assert_eq!((values, results.len()), (vec![Some(2.0), None, None], 2));
        let (values, ..) = run("ts_of_first_over_time", &floats, &natives, (ends, 2000));
        assert_eq!(values, [Some(1.0), Some(2.0), Some(3.0)]);
        let (values, ..) = run("changes", &floats, &natives, (ends, 4000));
        assert_eq!(values, [Some(1.0), Some(2.0), Some(3.0)]);
    }
}
