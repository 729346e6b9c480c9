//! `changes` and `resets`: neighbours of both kinds.

use super::{Answer, Tell, Window};
use crate::histogram::FloatHistogram;
use crate::promql::function::start;

/// A sample of either kind, with its time and its start timestamp.
#[derive(Clone, Copy)]
struct Sample<'a> {
    t: i64,
    start: i64,
    v: f64,
    h: Option<&'a FloatHistogram>,
}

/// The samples of a window by time.
fn samples<'a>(window: &Window<'a>) -> Vec<Sample<'a>> {
    let Window { floats, histograms, .. } = *window;
    let start = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    let of_floats = floats.ts.iter().zip(floats.vs).enumerate().map(move |(at, (t, v))| Sample {
        t: *t,
        start: start(floats.starts, at),
        v: *v,
        h: None,
    });
    let natives = histograms.ts.iter().zip(histograms.hs).enumerate();
    let of_natives = natives.map(|(at, (t, h))| Sample {
        t: *t,
        start: start(histograms.starts, at),
        v: 0.0,
        h: Some(h),
    });
    let mut all: Vec<Sample<'_>> = of_floats.chain(of_natives).collect();
    all.sort_by_key(|sample| sample.t);
    all
}

/// How many neighbours `counts` holds for.
fn count(samples: &[Sample<'_>], counts: fn(&Sample<'_>, &Sample<'_>) -> bool) -> Answer {
    let count = samples.windows(2).filter(|pair| counts(&pair[0], &pair[1])).count();
    Answer::Float(count as f64)
}

/// The same from the last sample before the range on; nothing without a sample in the range.
fn count_anchored(window: &Window<'_>, counts: fn(&Sample<'_>, &Sample<'_>) -> bool) -> Answer {
    let samples = samples(window);
    let after = samples.partition_point(|sample| sample.t <= window.start_ms);
    if after == samples.len() {
        return Answer::Nothing;
    }
    count(&samples[after.saturating_sub(1)..], counts)
}

fn is_change(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    match (a.h, b.h) {
        (None, None) => a.v != b.v && !(a.v.is_nan() && b.v.is_nan()),
        (Some(a), Some(b)) => a != b,
        _ => true,
    }
}

fn is_reset(a: &Sample<'_>, b: &Sample<'_>) -> bool {
    let has_started = start::is_reset((a.start, a.t), (b.start, b.t));
    match (a.h, b.h) {
        (None, None) => b.v < a.v || has_started,
        (Some(a), Some(b)) => has_started || b.is_reset_since(a),
        _ => true,
    }
}

/// `changes`
pub(super) fn changes(window: &Window<'_>, _: Tell<'_>) -> Answer {
    count(&samples(window), is_change)
}

/// `resets`
pub(super) fn resets(window: &Window<'_>, _: Tell<'_>) -> Answer {
    count(&samples(window), is_reset)
}

/// `changes` from the sample before the range on.
pub(super) fn anchored_changes(window: &Window<'_>, _: Tell<'_>) -> Answer {
    count_anchored(window, is_change)
}

/// `resets` from the sample before the range on.
pub(super) fn anchored_resets(window: &Window<'_>, _: Tell<'_>) -> Answer {
    count_anchored(window, is_reset)
}
