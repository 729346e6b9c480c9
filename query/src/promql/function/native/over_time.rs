//! `sum_over_time` and its like.

use m3rs_core::model::ResetHint;

use super::{Answer, Operation, RangeNote, Tell, Window};
use crate::histogram::{Combined, FloatHistogram, HistogramMean, HistogramSum, Incompatible};

/// Functions of floats that leave histograms out.
pub(super) fn ignoring(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    if !window.floats.ts.is_empty() {
        tell(RangeNote::Ignored);
    }
    Answer::Same
}

/// `sum_over_time`
pub(super) fn sum(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    aggregate(window, tell, HistogramSum::starting_with, HistogramSum::add, HistogramSum::value)
}

/// `avg_over_time`
pub(super) fn avg(window: &Window<'_>, tell: Tell<'_>) -> Answer {
    aggregate(window, tell, HistogramMean::starting_with, HistogramMean::add, HistogramMean::value)
}

fn aggregate<S>(
    window: &Window<'_>,
    tell: Tell<'_>,
    start: impl Fn(FloatHistogram) -> S,
    add: impl Fn(&mut S, &FloatHistogram) -> Result<Combined, Incompatible>,
    value: impl Fn(S) -> FloatHistogram,
) -> Answer {
    if !window.floats.ts.is_empty() {
        tell(RangeNote::MixedKinds);
        return Answer::Nothing;
    }
    let Some((first, others)) = window.histograms.hs.split_first() else {
        return Answer::Nothing;
    };
    let mut state = start((**first).clone());
    let mut is_reconciled = false;
    for h in others {
        match add(&mut state, h) {
            Ok(combined) => is_reconciled |= combined.is_reconciled,
            Err(Incompatible) => {
                tell(RangeNote::MixedBuckets);
                return Answer::Nothing;
            }
        }
    }
    let has = |hint| window.histograms.hs.iter().any(|h| h.hint == hint);
    if has(ResetHint::Reset) && has(ResetHint::NoReset) {
        tell(RangeNote::ResetCollision(Operation::Aggregation));
    }
    if is_reconciled {
        tell(RangeNote::Reconciled(Operation::Aggregation));
    }
    Answer::Histogram(value(state))
}

/// `count_over_time`
pub(super) fn count(window: &Window<'_>, _: Tell<'_>) -> Answer {
    Answer::Float((window.floats.ts.len() + window.histograms.ts.len()) as f64)
}

/// `present_over_time`
pub(super) fn present(_: &Window<'_>, _: Tell<'_>) -> Answer {
    Answer::Float(1.0)
}

/// `first_over_time`
pub(super) fn first(window: &Window<'_>, _: Tell<'_>) -> Answer {
    match (window.floats.ts.first(), window.histograms.ts.first()) {
        (Some(float), Some(native)) if float < native => Answer::Same,
        _ => {
            window.histograms.hs.first().map_or(Answer::Same, |h| Answer::Histogram((**h).clone()))
        }
    }
}

/// `last_over_time`
pub(super) fn last(window: &Window<'_>, _: Tell<'_>) -> Answer {
    match (window.floats.ts.last(), window.histograms.ts.last()) {
        (Some(float), Some(native)) if float > native => Answer::Same,
        _ => window.histograms.hs.last().map_or(Answer::Same, |h| Answer::Histogram((**h).clone())),
    }
}

/// `ts_of_first_over_time`
pub(super) fn ts_of_first(window: &Window<'_>, _: Tell<'_>) -> Answer {
    let first = window.floats.ts.first().into_iter().chain(window.histograms.ts.first()).min();
    first.map_or(Answer::Nothing, |t| Answer::Float(*t as f64 / 1000.0))
}

/// `ts_of_last_over_time`
pub(super) fn ts_of_last(window: &Window<'_>, _: Tell<'_>) -> Answer {
    let last = window.floats.ts.last().into_iter().chain(window.histograms.ts.last()).max();
    last.map_or(Answer::Nothing, |t| Answer::Float(*t as f64 / 1000.0))
}
