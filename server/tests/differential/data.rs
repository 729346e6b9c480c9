//! Random series, the same for both servers.
//!
//! Most values are exact in a few bits, so that sums over series do not depend on their order.

mod histogram;
mod write;

pub(crate) use write::{TimeSeries, requests};

use m3rs_core::model::STALE_NAN;

use crate::dice::Dice;

/// The first sample of every series, followed at once by a staleness marker. Thus both servers know
/// all series in the order of their labels, and answer in that order.
pub(crate) const BIRTH_MS: i64 = 1_700_000_000_000;

/// Where the samples begin.
pub(crate) const START_MS: i64 = BIRTH_MS + 10 * 60 * 1000;

/// Where they end; less than three hours later, so that Prometheus holds all of them in its head.
pub(crate) const END_MS: i64 = START_MS + 150 * 60 * 1000;

/// The values of `le` of each classic histogram.
const BOUNDS: &[&str] = &["0.1", "0.5", "1", "2.5", "10", "+Inf"];

/// Labels in the order given, and what the values do.
struct Shape {
    labels: Vec<(&'static str, String)>,
    walk: Walk,
}

/// How values go on.
#[derive(Clone, Copy, Debug)]
enum Walk {
    /// Grows by whole numbers; starts anew at times.
    Counter,
    /// Goes up and down by eighths, below zero too.
    Gauge,
    /// Few whole numbers, so that there are ties.
    Small,
    /// Any number of any size.
    Wild,
    /// Mostly what is no proper number.
    Special,
    /// The same for all of its life.
    Constant(f64),
}

/// All series with their samples.
pub(crate) fn series(dice: &mut Dice) -> Vec<TimeSeries> {
    let mut all = Vec::new();
    for shape in shapes() {
        let samples = samples(dice, shape.walk);
        all.push(TimeSeries::new(&shape.labels, &samples));
    }
    for labels in sets(&[("__name__", &["latency_bucket"]), ("job", JOBS), ("instance", &["a"])]) {
        all.extend(classic_histogram(dice, &labels));
    }
    all.extend(histogram::series(dice));
    all.sort_by_cached_key(TimeSeries::order);
    all
}

const JOBS: &[&str] = &["api", "web"];
const INSTANCES: &[&str] = &["a", "b", "c"];

/// Every combination of the values.
fn sets(names: &[(&'static str, &[&str])]) -> Vec<Vec<(&'static str, String)>> {
    let mut all = vec![Vec::new()];
    for (name, values) in names {
        let with = |set: &Vec<_>, value: &str| {
            let mut set = set.clone();
            set.push((*name, value.to_owned()));
            set
        };
        all = all.iter().flat_map(|set| values.iter().map(move |v| with(set, v))).collect();
    }
    all
}

fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut add = |walk: Walk, names: &[(&'static str, &[&str])]| {
        shapes.extend(sets(names).into_iter().map(|labels| Shape { labels, walk }));
    };
    let both: [(&str, &[&str]); 2] = [("job", JOBS), ("instance", INSTANCES)];
    let of = |name: &'static [&'static str]| [("__name__", name), both[0], both[1]];
    let [name, job, instance] = of(&["requests_total"]);
    add(Walk::Counter, &[name, job, instance, ("code", &["200", "500"])]);
    add(Walk::Counter, &of(&["errors_total"]));
    add(
        Walk::Counter,
        &[("__name__", &["latency_sum", "latency_count"]), job, ("instance", &["a"])],
    );
    add(Walk::Gauge, &of(&["temperature"]));
    add(Walk::Small, &of(&["queue"]));
    add(Walk::Wild, &[("__name__", &["wild"]), ("kind", &["x", "y", "z"])]);
    add(Walk::Special, &[("__name__", &["special"]), ("kind", &["x", "y", "z"])]);
    add(Walk::Constant(3.0), &[("__name__", &["owner"]), job, ("team", &["blue"])]);
    add(Walk::Constant(1.0), &[("__name__", &["target_info"]), job, instance, ("version", &["1"])]);
    add(
        Walk::Constant(1.0),
        &[("__name__", &["build_info"]), job, instance, ("rev", &["r1", "r2"])],
    );
    add(Walk::Gauge, &[("__name__", &["http.requests"]), ("server.name", &["a", "\u{e9}"])]);
    add(Walk::Small, &[("__name__", &["sort"]), ("id", &["v1", "v2", "v10", "1.5", "-3", ""])]);
    add(Walk::Small, &[("__name__", &["odd_bucket"]), ("le", &["1", "1.0", "x", "2", "NaN"])]);
    add(Walk::Small, &[("__name__", &["no_inf_bucket"]), ("le", &["1", "2", "5"])]);
    shapes
}

/// Times and values of one series.
fn samples(dice: &mut Dice, walk: Walk) -> Vec<(i64, f64)> {
    let mut samples = Vec::new();
    let mut value = match walk {
        Walk::Constant(value) => value,
        Walk::Counter => dice.between(0, 100) as f64,
        _ => dice.eighth(-20, 20),
    };
    for time in times(dice) {
        value = next(dice, walk, value);
        samples.push((time, value));
        if dice.one_in(60) {
            samples.push((time + 1, STALE_NAN));
        }
    }
    samples
}

/// Times of samples: at an interval, or at none, with gaps, and not always from the start to the
/// end.
fn times(dice: &mut Dice) -> Vec<i64> {
    let interval = [15_000, 15_000, 30_000, 60_000, 47_000][dice.below(5)];
    let jitter = [0, 0, 0, interval / 10, interval / 2][dice.below(5)];
    let mut first = START_MS + dice.between(0, interval);
    let mut last = END_MS;
    if dice.one_in(4) {
        first += dice.between(0, 60 * 60 * 1000);
    }
    if dice.one_in(4) {
        last -= dice.between(0, 60 * 60 * 1000);
    }
    let mut times = Vec::new();
    let mut time = first;
    while time < last {
        times.push(time + dice.between(0, jitter));
        time += interval;
        if dice.one_in(80) {
            time += interval * dice.between(1, 30);
        }
    }
    times
}

fn next(dice: &mut Dice, walk: Walk, value: f64) -> f64 {
    match walk {
        Walk::Counter if dice.one_in(40) => dice.between(0, 3) as f64,
        Walk::Counter => value + dice.between(0, 9) as f64,
        Walk::Gauge if dice.one_in(50) => -0.0,
        Walk::Gauge => (value + dice.eighth(-4, 4)).clamp(-50.0, 50.0),
        Walk::Small => dice.between(0, 3) as f64,
        Walk::Wild if dice.one_in(10) => f64::from_bits(dice.seed()),
        Walk::Wild => dice.eighth(-1000, 1000) / 7.0,
        Walk::Special => match dice.below(8) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => 0.0,
            _ => dice.eighth(-5, 5),
        },
        Walk::Constant(_) => value,
    }
}

/// Buckets that are sampled at the same times; counts grow with the bound, but for a few.
fn classic_histogram(dice: &mut Dice, labels: &[(&'static str, String)]) -> Vec<TimeSeries> {
    let times = times(dice);
    let mut counts = vec![0.0; BOUNDS.len()];
    let mut rows: Vec<Vec<(i64, f64)>> = vec![Vec::new(); BOUNDS.len()];
    for time in times {
        let from = dice.below(BOUNDS.len());
        let seen = dice.between(0, 5) as f64;
        if dice.one_in(60) {
            counts.fill(0.0);
        }
        for count in &mut counts[from..] {
            *count += seen;
        }
        if dice.one_in(30) {
            counts[from] += 1.0;
        }
        for (row, count) in rows.iter_mut().zip(&counts) {
            row.push((time, *count));
        }
    }
    let with_bound = |(bound, samples): (&&str, Vec<_>)| {
        let mut labels = labels.to_vec();
        labels.push(("le", (*bound).to_owned()));
        TimeSeries::new(&labels, &samples)
    };
    BOUNDS.iter().zip(rows).map(with_bound).collect()
}
