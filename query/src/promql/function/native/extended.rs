//! Ranges and instants with known edges, `anchored` and `smoothed`, of native histograms.

use std::sync::Arc;

use m3rs_core::model::ResetHint;

use super::rate::{Of, check, tell_of_kind};
use super::{Answer, HistogramSamples, Operation, RangeNote, Tell, Window, add, subtract, told};
use crate::histogram::{FloatHistogram, Incompatible};
use crate::promql::function::seconds_of_ms;
use crate::step::StepGrid;

/// `rate` of an anchored range.
pub(super) fn anchored_rate(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    edged(window, (Of::Counter, false), seconds_of_ms(window.range_ms), tell)
}

/// `increase` of an anchored range.
pub(super) fn anchored_increase(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    edged(window, (Of::Counter, false), 1.0, tell)
}

/// `delta` of an anchored range.
pub(super) fn anchored_delta(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    edged(window, (Of::Gauge, false), 1.0, tell)
}

/// `rate` of a smoothed range.
pub(super) fn smoothed_rate(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    edged(window, (Of::Counter, true), seconds_of_ms(window.range_ms), tell)
}

/// `increase` of a smoothed range.
pub(super) fn smoothed_increase(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    edged(window, (Of::Counter, true), 1.0, tell)
}

/// `delta` of a smoothed range.
pub(super) fn smoothed_delta(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    edged(window, (Of::Gauge, true), 1.0, tell)
}

/// The change from edge to edge, divided by `per`.
fn edged(window: &Window<'_>, (of, is_smoothed): (Of, bool), per: f64, tell: Tell<'_>) -> Answer {
    if !window.floats.ts.is_empty() {
        tell(RangeNote::MixedKinds);
        return Answer::Nothing;
    }
    let (ts, hs) = (window.histograms.ts, window.histograms.hs);
    let (start_ms, end_ms) = (window.start_ms, window.end_ms);
    let mut last = ts.len() - 1;
    let first = ts[..last].partition_point(|t| *t <= start_ms).saturating_sub(1);
    if is_smoothed {
        last = ts[..last].partition_point(|t| *t < end_ms);
    }
    if ts[last] <= start_ms || (is_smoothed && ts[first] > end_ms) {
        return Answer::Nothing;
    }
    if !check(&hs[first..=last], of, tell) {
        return Answer::Nothing;
    }
    let between = |at: usize, t_ms: i64, tell: Tell<'_>| {
        interpolate((ts[at], &hs[at]), (ts[at + 1], &hs[at + 1]), t_ms, of, tell)
    };
    let left = match is_smoothed && ts[first] < start_ms {
        true => between(first, start_ms, &mut *tell),
        false => Ok((*hs[first]).clone()),
    };
    let Ok(left) = left else { return mixed(tell) };
    let right = match is_smoothed && last > 0 && ts[last] > end_ms {
        true => between(last - 1, end_ms, &mut *tell),
        false => Ok((*hs[last]).clone()),
    };
    let Ok(right) = right else { return mixed(tell) };
    tell_of_kind(of, [left.hint, right.hint], &mut *tell);
    let mut change = right.clone();
    if !subtract(&mut change, &left, &mut *tell) {
        return Answer::Nothing;
    }
    if of == Of::Counter {
        let mut from = first + 1;
        let mut before = left;
        if is_smoothed && ts[first] < start_ms && hs[first + 1].is_reset_since(&hs[first]) {
            before = (*hs[first + 1]).clone();
            from += 1;
        }
        let inner = hs.get(from..last).unwrap_or_default();
        // PARITY(prometheus): without a sample strictly inside, resets do not show.
        if from <= last && !put_resets_right(&mut change, before, inner, &right, tell) {
            return Answer::Nothing;
        }
    }
    if per != 1.0 {
        change.divide(per);
    }
    change.hint = ResetHint::Gauge;
    Answer::Histogram(change.compacted())
}

fn mixed(tell: Tell<'_>) -> Answer {
    tell(RangeNote::MixedBuckets);
    Answer::Nothing
}

/// Adds what was counted before each reset; whether it could.
fn put_resets_right(
    change: &mut FloatHistogram,
    left: FloatHistogram,
    inner: &[Arc<FloatHistogram>],
    right: &FloatHistogram,
    tell: Tell<'_>,
) -> bool {
    let mut lost: Option<FloatHistogram> = None;
    let mut before = &left;
    for h in inner.iter().map(|h| &**h).chain(std::iter::once(right)) {
        if h.is_reset_since(before) {
            match &mut lost {
                None => lost = Some(before.clone()),
                Some(lost) => {
                    if !add(lost, before, &mut *tell) {
                        return false;
                    }
                }
            }
        }
        before = h;
    }
    lost.is_none_or(|lost| add(change, &lost, tell))
}

/// The histogram on the line between two. A counter that was reset rises from nothing.
fn interpolate(
    (t0, h0): (i64, &FloatHistogram),
    (t1, h1): (i64, &FloatHistogram),
    t_ms: i64,
    of: Of,
    tell: Tell<'_>,
) -> Result<FloatHistogram, Incompatible> {
    if t_ms == t0 {
        return Ok(h0.clone());
    }
    let mut h = h1.clone();
    if t_ms == t1 {
        return Ok(h);
    }
    let share = (t_ms - t0) as f64 / (t1 - t0) as f64;
    if of == Of::Counter && h1.is_reset_since(h0) {
        h.multiply(share);
        return Ok(h);
    }
    let combined = h.subtract(h0)?;
    told(Ok(combined.is_reconciled), Operation::Subtraction, &mut *tell);
    h.multiply(share);
    let combined = h.add(h0)?;
    told(Ok(combined.is_reconciled), Operation::Addition, tell);
    Ok(h)
}

/// Histograms of a `smoothed` instant selector, by step: on the line between those around each
/// time, at most `lookback_ms` away; the one before it where none follows. `floats` are the times
/// of the floats of the series, which do not go together with histograms, and `out` their values.
pub fn smoothed_histograms(
    (histograms, floats): (&HistogramSamples, &[i64]),
    (ends, lookback_ms): (StepGrid, i64),
    out: &mut [f64],
    tell: Tell<'_>,
) -> Vec<(usize, Arc<FloatHistogram>)> {
    let mut results = Vec::new();
    for (step, (out, end)) in out.iter_mut().zip(ends.times()).enumerate() {
        let (from, to) = (end.saturating_sub(lookback_ms), end.saturating_add(lookback_ms));
        let within = |ts: &[i64]| {
            let lo = ts.partition_point(|t| *t <= from);
            lo..ts.partition_point(|t| *t <= to).max(lo)
        };
        let around = within(&histograms.ts);
        if around.is_empty() {
            continue;
        }
        *out = m3rs_core::model::STALE_NAN;
        if !within(floats).is_empty() {
            tell(RangeNote::MixedKinds);
            continue;
        }
        let (ts, hs) = (&histograms.ts[around.clone()], &histograms.hs[around]);
        if let Some(h) = smoothed_at(ts, hs, end, &mut *tell) {
            results.push((step, h));
        }
    }
    results
}

fn smoothed_at(
    ts: &[i64],
    hs: &[Arc<FloatHistogram>],
    at_ms: i64,
    tell: Tell<'_>,
) -> Option<Arc<FloatHistogram>> {
    let next = ts.partition_point(|t| *t < at_ms);
    if ts.get(next) == Some(&at_ms) {
        return Some(Arc::clone(&hs[next]));
    }
    let before = next.checked_sub(1)?;
    if next == ts.len() {
        // The hint is about the samples, not about the value.
        let mut h = (*hs[before]).clone();
        h.hint = ResetHint::Unknown;
        return Some(Arc::new(h));
    }
    let (a, b) = (&hs[before], &hs[next]);
    let is_gauge = a.hint == ResetHint::Gauge && b.hint == ResetHint::Gauge;
    let of = if is_gauge { Of::Gauge } else { Of::Counter };
    if a.is_custom() != b.is_custom() {
        tell(RangeNote::MixedBuckets);
        return None;
    }
    match interpolate((ts[before], a), (ts[next], b), at_ms, of, &mut *tell) {
        Ok(h) => Some(Arc::new(h)),
        Err(Incompatible) => {
            tell(RangeNote::MixedBuckets);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::tests::exponential;

    #[test]
    fn instants_lie_between_their_neighbours() {
        let histograms = HistogramSamples {
            ts: vec![0, 10],
            hs: [2.0, 4.0].map(|v| Arc::new(exponential(0, &[v]))).to_vec(),
            starts: Vec::new(),
        };
        let ends = StepGrid { start_ms: -5, step_ms: 5, count: 6 };
        let mut out = vec![0.0; 6];
        let found = smoothed_histograms((&histograms, &[]), (ends, 11), &mut out, &mut |note| {
            panic!("{note:?}")
        });
        let counts: Vec<_> = found.iter().map(|(step, h)| (*step, h.count)).collect();
        assert_eq!(counts, [(1, 2.0), (2, 3.0), (3, 4.0), (4, 4.0), (5, 4.0)]);
    }
}
