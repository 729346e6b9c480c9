//! A query and the times it is asked for.

use std::fmt;

use crate::compare::{Rules, magnifies_last_bits};
use crate::data::{BIRTH_MS, END_MS, START_MS};
use crate::dice::Dice;
use crate::grammar::{Grammar, garbled};
use crate::query_url::{form, seconds};
use crate::tree::{Kind, Node};

/// The most steps of a range query.
const STEPS_MAX: i64 = 40;

/// Times of evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Times {
    Instant(i64),
    Range {
        start: i64,
        end: i64,
        step: i64,
    },
    /// As text, right or wrong: a time, or start, end and step.
    Raw(&'static [&'static str]),
    /// None: the query is only written anew.
    Format,
}

/// Times in other forms, and times that are none.
///
/// PARITY(prometheus): NaN and times beyond 64 bits are left out; what Go makes of them depends on
/// the processor.
const RAW_TIMES: &[&[&str]] = &[
    &["2023-11-14T23:00:00Z"],
    &["2023-11-15T01:00:00.123+02:00"],
    &["1.7000041e9"],
    &["1700004100.0009999"],
    &["-1"],
    &["x"],
    &[""],
    &["2023-11-14T23:00:00Z", "2023-11-14T23:10:00Z", "1m"],
    &["1700004100.9999", "1700004200", "7.5"],
    &["1700004100", "1700004000", "15"],
    &["1700004100", "1700004200", "0"],
    &["1700004100", "1700004200", "-5s"],
    &["1700004100", "1700004200", "x"],
    &["1700004100", "x", "15"],
    &["x", "1700004100", "15"],
    &["1700004100", "1700004100", "1h30m"],
    &["1700004100", "1700005100", "0.0001"],
    &["1700004100", "1700104100", "1"],
    &["1700004100", "1700004200", "1e30"],
    &["1700004100", "1700004200", ""],
    &["", "1700004200", "15"],
];

/// What both servers are asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) query: Node,
    pub(crate) times: Times,
    /// How old a sample may be, if it is not the default.
    pub(crate) lookback: Option<&'static str>,
}

impl Question {
    /// A random one.
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let mut query = loop {
            let query = Grammar { dice: &mut *dice }.query();
            if !magnifies_last_bits(&query.render()) {
                break query;
            }
        };
        if dice.one_in(12) {
            let text = garbled(dice, &query.render());
            query = Node::leaf(Kind::Vector, text);
        }
        let is_instant = match query.kind {
            Kind::Matrix | Kind::String => !dice.one_in(50),
            Kind::Scalar | Kind::Vector => dice.one_in(2),
        };
        let times = if is_instant { Times::Instant(time(dice)) } else { range(dice) };
        let times = match times {
            // A step of 65.939 s is 65.938999999 s to Prometheus, and `step()` says so.
            Times::Range { start, end, step } if query.render().contains("step()") => {
                Times::Range { start, end, step: (step / 1000).max(1) * 1000 }
            }
            times => times,
        };
        let times = if dice.one_in(60) {
            Times::Raw(RAW_TIMES[dice.below(RAW_TIMES.len())])
        } else {
            times
        };
        let times = if dice.one_in(25) { Times::Format } else { times };
        let lookback =
            dice.one_in(20).then(|| dice.pick(&["30s", "17m", "1", "1ms", "0", "-1m", "x"]));
        Self { query, times, lookback }
    }

    /// Path and form of the request.
    pub(crate) fn form(&self) -> (&'static str, String) {
        let query = self.query.render();
        let mut parameters = vec![("query", query)];
        let times = match self.times {
            Times::Instant(time) => vec![seconds(time)],
            Times::Range { start, end, step } => [start, end, step].map(seconds).to_vec(),
            Times::Raw(texts) => texts.iter().map(|text| (*text).to_owned()).collect(),
            Times::Format => Vec::new(),
        };
        let (path, names) = match times.len() {
            0 => ("/api/v1/format_query", &[][..]),
            1 => ("/api/v1/query", &["time"][..]),
            _ => ("/api/v1/query_range", &["start", "end", "step"][..]),
        };
        parameters.extend(names.iter().copied().zip(times));
        parameters.extend(self.lookback.map(|lookback| ("lookback_delta", lookback.to_owned())));
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        (path, form(&parameters))
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules::new(&self.query.render(), self.query.order)
    }

    /// Questions that ask for less, the least first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if self.lookback.is_some() {
            all.push(Self { lookback: None, ..self.clone() });
        }
        if let Times::Range { start, end, step } = self.times {
            let instants = (0..STEPS_MAX).map(|i| start + i * step).take_while(|time| *time <= end);
            let times = instants.map(Times::Instant);
            all.extend(times.map(|times| Self { times, ..self.clone() }));
        }
        all.extend(self.query.smaller().into_iter().map(|query| Self { query, ..self.clone() }));
        all
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  ", self.query.render())?;
        match self.times {
            Times::Instant(time) => write!(f, "at {}", seconds(time))?,
            Times::Range { start, end, step } => {
                write!(f, "from {} to {} by {}", seconds(start), seconds(end), seconds(step))?;
            }
            Times::Raw(texts) => write!(f, "at {texts:?}")?,
            Times::Format => write!(f, "to be formatted")?,
        }
        self.lookback.map_or(Ok(()), |lookback| write!(f, ", lookback {lookback}"))
    }
}

/// A time, mostly within the data.
fn time(dice: &mut Dice) -> i64 {
    match dice.below(20) {
        0 => dice.between(BIRTH_MS, START_MS),
        1 => dice.between(END_MS, END_MS + 30 * 60 * 1000),
        2..=6 => dice.between(START_MS, END_MS),
        _ => dice.between(START_MS / 1000, END_MS / 1000) * 1000,
    }
}

fn range(dice: &mut Dice) -> Times {
    let start = time(dice);
    let step = match dice.below(6) {
        0 => dice.between(1, 400_000),
        1 => dice.between(1, 300),
        _ => dice.between(1, 40) * 15_000,
    };
    let end = start + step * dice.between(0, STEPS_MAX - 1) + dice.between(0, step - 1);
    Times::Range { start, end, step }
}
