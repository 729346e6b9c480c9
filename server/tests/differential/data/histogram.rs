//! Native histograms: several schemas, zero thresholds and custom bounds; counters with resets,
//! gauges, whole and float counts, and series that are histograms now and floats then.

use m3rs_core::model::STALE_NAN;

use super::write::TimeSeries;
use super::{JOBS, sets, times};
use crate::dice::Dice;
use crate::generated::histogram::{Count, ResetHint, ZeroCount};
use crate::generated::{BucketSpan, Histogram};

/// The schema of custom buckets.
const CUSTOM: i32 = -53;

/// What a series of histograms is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Float,
    Gauge,
    Custom,
    /// Floats between the histograms.
    Mixed,
}

/// Buckets, and what is in them.
#[derive(Clone, Debug)]
struct State {
    schema: i32,
    zero_threshold: f64,
    bounds: Vec<f64>,
    /// The index of the first bucket.
    first: i32,
    zero: u32,
    positive: Vec<u32>,
    negative: Vec<u32>,
    sum: f64,
}

/// All series of native histograms.
pub(super) fn series(dice: &mut Dice) -> Vec<TimeSeries> {
    let kinds = [
        ("native", Kind::Counter),
        ("native_float", Kind::Float),
        ("native_gauge", Kind::Gauge),
        ("native_custom", Kind::Custom),
        ("native_mixed", Kind::Mixed),
    ];
    let mut all = Vec::new();
    for (name, kind) in kinds {
        for labels in sets(&[("__name__", &[name]), ("job", JOBS), ("instance", &["a", "b"])]) {
            all.push(one(dice, kind, &labels));
        }
    }
    all
}

fn one(dice: &mut Dice, kind: Kind, labels: &[(&'static str, String)]) -> TimeSeries {
    let mut series = TimeSeries::new(labels, &[]);
    let mut state = State::random(dice, kind);
    for time in times(dice) {
        if kind == Kind::Mixed && dice.one_in(3) {
            let value = dice.between(0, 50) as f64;
            series.push_float(time, value);
            continue;
        }
        // A reset, at times with other buckets.
        if dice.one_in(40) {
            state = State::random(dice, kind);
        }
        state.observe(dice, kind);
        series.histograms.push(state.histogram(kind, time));
        if dice.one_in(60) {
            series.histograms.push(stale(kind, time + 1));
        }
    }
    series
}

impl State {
    fn random(dice: &mut Dice, kind: Kind) -> Self {
        let buckets = 1 + dice.below(6);
        let is_custom = kind == Kind::Custom;
        let bounds = [&[0.5, 1.0, 2.0, 5.0, 10.0][..], &[1.0, 5.0], &[-1.0, 0.0, 1.0, 8.0]];
        let bounds = if is_custom { bounds[dice.below(3)].to_vec() } else { Vec::new() };
        let has_negative = !is_custom && dice.one_in(2);
        let positive = if is_custom { bounds.len() + 1 } else { buckets };
        Self {
            schema: if is_custom { CUSTOM } else { [0, 0, 1, 3, -1][dice.below(5)] },
            zero_threshold: if is_custom { 0.0 } else { [0.0, 0.001, 0.125, 1.0][dice.below(4)] },
            bounds,
            first: if is_custom { 0 } else { i32::try_from(dice.between(-3, 4)).expect("small") },
            zero: 0,
            positive: vec![0; positive],
            negative: vec![0; if has_negative { buckets } else { 0 }],
            sum: 0.0,
        }
    }

    /// Counts what was seen since; of a gauge, what there is now.
    fn observe(&mut self, dice: &mut Dice, kind: Kind) {
        let mut count = |bucket: &mut u32| {
            let seen = u32::try_from(dice.between(0, 4)).expect("small");
            *bucket = if kind == Kind::Gauge { seen } else { *bucket + seen };
        };
        self.positive.iter_mut().chain(&mut self.negative).for_each(&mut count);
        if kind != Kind::Custom {
            count(&mut self.zero);
        }
        let more = dice.eighth(0, 20);
        self.sum = if kind == Kind::Gauge { more } else { self.sum + more };
    }

    fn histogram(&self, kind: Kind, timestamp: i64) -> Histogram {
        let is_float = kind == Kind::Float;
        let total = self.zero + self.positive.iter().chain(&self.negative).sum::<u32>();
        let spans = |counts: &[u32]| match counts.len() {
            0 => Vec::new(),
            length => vec![BucketSpan {
                offset: self.first,
                length: u32::try_from(length).expect("few buckets"),
            }],
        };
        let whole = |counts: &[u32]| if is_float { Vec::new() } else { deltas(counts) };
        let floats = |counts: &[u32]| match is_float {
            true => counts.iter().map(|count| f64::from(*count)).collect(),
            false => Vec::new(),
        };
        Histogram {
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            negative_spans: spans(&self.negative),
            negative_deltas: whole(&self.negative),
            negative_counts: floats(&self.negative),
            positive_spans: spans(&self.positive),
            positive_deltas: whole(&self.positive),
            positive_counts: floats(&self.positive),
            reset_hint: match kind {
                Kind::Gauge => ResetHint::Gauge as i32,
                _ => ResetHint::Unknown as i32,
            },
            timestamp,
            custom_values: self.bounds.clone(),
            count: Some(if is_float {
                Count::CountFloat(f64::from(total))
            } else {
                Count::CountInt(u64::from(total))
            }),
            zero_count: Some(if is_float {
                ZeroCount::ZeroCountFloat(f64::from(self.zero))
            } else {
                ZeroCount::ZeroCountInt(u64::from(self.zero))
            }),
        }
    }
}

/// Each count as its difference to the one before.
fn deltas(counts: &[u32]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(counts);
    counts
        .iter()
        .zip(before)
        .map(|(count, before)| i64::from(*count) - i64::from(*before))
        .collect()
}

/// The marker of the end of a series.
fn stale(kind: Kind, timestamp: i64) -> Histogram {
    let (count, zero_count) = match kind {
        Kind::Float => (Count::CountFloat(0.0), ZeroCount::ZeroCountFloat(0.0)),
        _ => (Count::CountInt(0), ZeroCount::ZeroCountInt(0)),
    };
    Histogram {
        sum: STALE_NAN,
        timestamp,
        count: Some(count),
        zero_count: Some(zero_count),
        ..Histogram::default()
    }
}
