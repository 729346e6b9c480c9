//! Prometheus's test language for PromQL engines: reader and runner.
//!
//! A script loads series, evaluates queries and says what must come out. The language is described
//! in Prometheus's repository, `promql/promqltest/README.md`. This room reads it in full, with
//! what old scripts use, and runs it with the comparisons of Prometheus's own runner: values may
//! differ by a relative 1e-6, an instant query is also run as the middle step of a range query and
//! with its time fixed by `@` at other evaluation times.
//!
//! **In, out:** script text gives a [`Script`]; a script and an engine give a [`Report`].

mod compare;
mod expect;
mod fixed_time;
mod histogram;
mod read;
mod run;
mod series;

pub use expect::{Expectation, TextMatch};
pub use read::{Script, ScriptError};
pub use run::{Failure, Report, run};
pub use series::{SequenceValue, SeriesDescription};

use crate::step::StepGrid;

/// One command of a script.
#[derive(Clone, Debug)]
pub enum Command {
    /// Forget all series.
    Clear,
    /// Add series.
    Load(Load),
    /// Evaluate a query.
    Eval(Box<Eval>),
}

/// Series to add.
#[derive(Clone, Debug)]
pub struct Load {
    /// The distance of samples; the first is at time 0.
    pub gap_ms: i64,
    /// The series.
    pub series: Vec<SeriesDescription>,
    /// Whether classic histograms are also to be loaded as native ones with custom buckets.
    pub with_native: bool,
}

/// A query and what must come out.
#[derive(Clone, Debug)]
pub struct Eval {
    /// The line of the script, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// When to evaluate it.
    pub time: EvalTime,
    /// What must come out.
    pub expect: Expectation,
}

/// When to evaluate a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalTime {
    /// Once, at this time in milliseconds.
    Instant(i64),
    /// At each of these times.
    Range(StepGrid),
}
