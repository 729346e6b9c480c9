//! `rate`, `increase`, `delta`, `irate` and `idelta` of native histograms.

use std::sync::Arc;

use m3rs_core::model::ResetHint;

use super::{Answer, RangeNote, Tell, Window, add, subtract};
use crate::histogram::FloatHistogram;
use crate::promql::function::{seconds_of_ms, start};

/// What a histogram is a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Counter,
    Gauge,
}

/// `rate`
pub(super) fn rate(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    extrapolated(window, Of::Counter, seconds_of_ms(window.range_ms), tell)
}

/// `increase`
pub(super) fn increase(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    extrapolated(window, Of::Counter, 1.0, tell)
}

/// `delta`
pub(super) fn delta(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    extrapolated(window, Of::Gauge, 1.0, tell)
}

/// The change from the first to the last histogram, extrapolated to the edges and divided by `per`.
///
/// PARITY(prometheus): `extrapolatedRate`, which treats the number of observations as it treats
/// the value of a float.
fn extrapolated(window: &Window<'_>, of: Of, per: f64, tell: Tell<'_>) -> Answer {
    let natives = &window.histograms;
    if !window.floats.ts.is_empty() {
        tell(RangeNote::MixedKinds);
        return Answer::Nothing;
    }
    let (&[first_t, ..], &[.., last_t]) = (natives.ts, natives.ts) else { return Answer::Nothing };
    let between = natives.ts.len() - 1;
    let mut change = None;
    if between > 0 {
        let Some(h) = self::change(window, of, tell) else { return Answer::Nothing };
        change = Some(h);
    }
    let mut to_start = (first_t - window.start_ms) as f64 / 1000.0;
    let mut to_end = (window.end_ms - last_t) as f64 / 1000.0;
    let mut sampled = (last_t - first_t) as f64 / 1000.0;
    let average = if between > 0 { sampled / between as f64 } else { 0.0 };
    let reach = average * 1.1;
    let started = natives.start(0);
    let first = &natives.hs[0];
    let mut change =
        if of == Of::Counter && started > window.start_ms && started < first_t && started != 0 {
            // The counter is known to have been zero at its start.
            to_start = 0.0;
            sampled = (last_t - started) as f64 / 1000.0;
            match change {
                None => (**first).clone(),
                Some(mut change) => {
                    if !add(&mut change, first, tell) {
                        return Answer::Nothing;
                    }
                    change
                }
            }
        } else {
            let Some(change) = change else { return Answer::Nothing };
            if to_start >= reach {
                to_start = average / 2.0;
            }
            if of == Of::Counter && change.count > 0.0 && first.count >= 0.0 {
                let to_zero = sampled * (first.count / change.count);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
            change
        };
    if to_end >= reach {
        to_end = average / 2.0;
    }
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    change.multiply(factor / per);
    Answer::Histogram(change)
}

/// The change from the first to the last of two histograms or more, resets put right; `None` if
/// there is no result.
fn change(window: &Window<'_>, of: Of, tell: Tell<'_>) -> Option<FloatHistogram> {
    let natives = &window.histograms;
    let (first, last) = (&natives.hs[0], &natives.hs[natives.hs.len() - 1]);
    let mut notes = Vec::new();
    if of == Of::Counter && [first, last].iter().any(|h| h.hint == ResetHint::Gauge) {
        notes.push(RangeNote::NotCounter);
    }
    let mut before = Arc::clone(first);
    if of == Of::Counter && has_reset(window, 1, first) {
        // The first one does not count: the second rose from nothing.
        let second = &natives.hs[1];
        let (schema, bounds) = (second.schema, Arc::clone(&second.bounds));
        before = Arc::new(FloatHistogram { schema, bounds, ..FloatHistogram::default() });
    }
    let is_custom = before.is_custom();
    if last.is_custom() != is_custom {
        notes.push(RangeNote::MixedBuckets);
        notes.into_iter().for_each(tell);
        return None;
    }
    let mut schema = last.schema.min(before.schema);
    if of == Of::Counter {
        for h in &natives.hs[1..natives.hs.len() - 1] {
            if h.hint == ResetHint::Gauge {
                notes.push(RangeNote::NotCounter);
            }
            schema = schema.min(h.schema);
            if h.is_custom() != is_custom {
                tell(RangeNote::MixedBuckets);
                return None;
            }
        }
    }
    notes.into_iter().for_each(&mut *tell);
    let mut change = (**last).clone().coarsened(schema);
    if !subtract(&mut change, &before, tell) {
        return None;
    }
    if of == Of::Counter {
        if has_overlap(window) {
            tell(RangeNote::StartOverlap);
        }
        for (at, h) in natives.hs.iter().enumerate().skip(1) {
            if has_reset(window, at, &before) && !add(&mut change, &before, tell) {
                return None;
            }
            before = Arc::clone(h);
        }
    } else if [first, last].iter().any(|h| h.hint != ResetHint::Gauge) {
        tell(RangeNote::NotGauge);
    }
    change.hint = ResetHint::Gauge;
    Some(change.compacted())
}

/// Whether the counter was reset between `before` and the histogram number `at`, or started to
/// count after the one before it.
fn has_reset(window: &Window<'_>, at: usize, before: &FloatHistogram) -> bool {
    let natives = &window.histograms;
    let sample = |at: usize| (natives.start(at), natives.ts[at]);
    start::is_reset(sample(at - 1), sample(at)) || natives.hs[at].is_reset_since(before)
}

/// Whether any histogram started to count before the one before it.
fn has_overlap(window: &Window<'_>) -> bool {
    let natives = &window.histograms;
    (1..natives.ts.len()).any(|at| {
        let before = (natives.start(at - 1), natives.ts[at - 1]);
        start::overlaps(before, natives.start(at))
    })
}

/// `irate`
pub(super) fn irate(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    instant(window, Of::Counter, tell)
}

/// `idelta`
pub(super) fn idelta(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    instant(window, Of::Gauge, tell)
}

/// The change between the last two samples, if both are histograms.
fn instant(window: &Window<'_>, of: Of, tell: Tell<'_>) -> Answer {
    let natives = &window.histograms;
    let floats = window.floats.ts;
    let count = natives.ts.len();
    if floats.len() + count < 2 {
        return Answer::Nothing;
    }
    let last_native = natives.ts[count - 1];
    if floats.len() >= 2 && floats[floats.len() - 2] > last_native {
        return Answer::Same;
    }
    let is_mixed = match floats.last() {
        Some(float) => count < 2 || natives.ts[count - 2] < *float,
        None => false,
    };
    if is_mixed {
        tell(RangeNote::MixedKinds);
        return Answer::Nothing;
    }
    let (before, last) = (&natives.hs[count - 2], &natives.hs[count - 1]);
    let mut change = (**last).clone();
    let is_any = |is: fn(ResetHint) -> bool| is(before.hint) || is(last.hint);
    if of == Of::Counter && is_any(|hint| hint == ResetHint::Gauge) {
        tell(RangeNote::NotCounter);
    }
    if of == Of::Gauge && is_any(|hint| hint != ResetHint::Gauge) {
        tell(RangeNote::NotGauge);
    }
    let rises = of == Of::Gauge || !has_reset(window, count - 1, before);
    if rises && !subtract(&mut change, before, tell) {
        return Answer::Nothing;
    }
    change.hint = ResetHint::Gauge;
    change.compact();
    if of == Of::Counter {
        change.divide((last_native - natives.ts[count - 2]) as f64 / 1000.0);
    }
    Answer::Histogram(change)
}

/// Tells that histograms are of the other kind than the function is for.
pub(super) fn tell_of_kind(of: Of, hints: [ResetHint; 2], tell: Tell<'_>) {
    if of == Of::Gauge && hints.iter().any(|hint| *hint != ResetHint::Gauge) {
        tell(RangeNote::NotGauge);
    }
}

/// Tells of histograms of a range that do not go together or not with a function for counters;
/// whether they go together.
pub(super) fn check(hs: &[Arc<FloatHistogram>], of: Of, tell: Tell<'_>) -> bool {
    let is_custom = hs.first().is_some_and(|h| h.is_custom());
    for h in hs {
        if h.is_custom() != is_custom {
            tell(RangeNote::MixedBuckets);
            return false;
        }
        if of == Of::Counter && h.hint == ResetHint::Gauge {
            tell(RangeNote::NotCounter);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;
    use crate::histogram::tests::{custom, exponential};
    use crate::step::StepGrid;

    fn at(
        name: &str,
        natives: &[(i64, FloatHistogram)],
        range_ms: i64,
    ) -> (Option<FloatHistogram>, Vec<RangeNote>) {
        let ends = StepGrid::instant(60_000);
        let (_, results, notes) = run(name, &[], natives, (ends, range_ms));
        (results.into_iter().next().map(|(_, h)| (*h).clone()), notes)
    }

    #[test]
    fn a_counter_rises_through_resets() {
        let natives = [
            (20_000, exponential(0, &[10.0, 2.0])),
            (40_000, exponential(0, &[12.0, 4.0])),
            (60_000, exponential(0, &[1.0, 1.0])),
        ];
        let (h, notes) = at("increase", &natives, 60_000);
        let h = h.expect("a result");
        // 3 and 3, extrapolated by 40 s of samples to 60 s of range.
        assert_eq!(h.positive.iter().collect::<Vec<_>>(), [(0, 4.5), (1, 4.5)]);
        assert_eq!((h.hint, notes), (ResetHint::Gauge, vec![]));
        let (h, notes) = at("delta", &natives, 60_000);
        assert_eq!(h.expect("a result").count, -15.0);
        assert_eq!(notes, [RangeNote::NotGauge]);
        let (h, _) = at("irate", &natives, 60_000);
        assert_eq!(h.expect("a result").count, 0.1);
        assert_eq!(at("rate", &natives[..1], 60_000).0, None);
    }

    #[test]
    fn kinds_that_do_not_mix_give_nothing() {
        let natives = [
            (20_000, exponential(0, &[1.0])),
            (40_000, custom(&[1.0], &[5.0])),
            (60_000, exponential(0, &[9.0])),
        ];
        assert_eq!(at("rate", &natives, 60_000), (None, vec![RangeNote::MixedBuckets]));
        assert_eq!(at("irate", &natives, 60_000).0.map(|h| h.count), Some(0.45));
    }
}
