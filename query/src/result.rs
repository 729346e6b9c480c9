//! What a query answers.

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::model::Labels;

use crate::explain::OperatorReport;
use crate::histogram::FloatHistogram;
use crate::source::SampleColumns;
use crate::step::StepGrid;

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryOutput {
    /// The value.
    pub value: Value,
    /// Warnings: what may be wrong with the value.
    pub warnings: Vec<String>,
    /// Infos: what may be unwise about the query.
    pub infos: Vec<String>,
    /// What the query cost.
    pub stats: QueryStats,
    /// What each operator did, if that was asked for.
    pub operators: Vec<OperatorReport>,
}

/// The value of a query.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number, of an instant query.
    Scalar {
        /// The evaluation time.
        t_ms: i64,
        /// The number.
        v: f64,
    },
    /// A text, of an instant query.
    String {
        /// The evaluation time.
        t_ms: i64,
        /// The text.
        text: String,
    },
    /// One sample for each of some series, of an instant query; in the order of the expression.
    Vector(InstantVector),
    /// Series over time, of a range query or of a range selector; sorted by labels.
    Matrix(Matrix),
}

/// One sample for each of some series, all at the evaluation time.
#[derive(Clone, Debug, Default)]
pub struct InstantVector {
    /// The evaluation time.
    pub t_ms: i64,
    /// Labels by series.
    pub labels: Vec<Labels>,
    /// Values by series; the staleness marker where the value is a histogram.
    pub values: Vec<f64>,
    /// Native histograms by the number of their series, ascending.
    pub histograms: Vec<(usize, Arc<FloatHistogram>)>,
}

impl InstantVector {
    /// Keeps the first `limit` series.
    pub fn truncate(&mut self, limit: usize) {
        self.labels.truncate(limit);
        self.values.truncate(limit);
        self.histograms.retain(|(series, _)| *series < limit);
    }
}

/// Series over time.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The evaluation times that [`Points::Steps`] refers to.
    pub grid: StepGrid,
    /// The series, sorted by labels; each has at least one sample.
    pub series: Vec<MatrixSeries>,
}

/// A series of a [`Matrix`].
#[derive(Clone, Debug)]
pub struct MatrixSeries {
    /// The labels.
    pub labels: Labels,
    /// The floats.
    pub points: Points,
    /// Native histograms by time in milliseconds, ascending.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// Floats of one series of a [`Matrix`].
#[derive(Clone, Debug)]
pub enum Points {
    /// Values at the steps from number `first` on; the staleness marker stands for "no value".
    Steps {
        /// The step of `values[0]`.
        first: usize,
        /// One value for each step.
        values: Vec<f64>,
    },
    /// Samples at their own times.
    Samples(SampleColumns),
}

impl MatrixSeries {
    /// The floats in order: time in milliseconds, and value.
    pub fn samples<'a>(&'a self, grid: &StepGrid) -> impl Iterator<Item = (i64, f64)> + use<'a> {
        let grid = *grid;
        let (steps, columns) = match &self.points {
            Points::Steps { first, values } => (Some((*first, values)), None),
            Points::Samples(columns) => (None, Some(columns)),
        };
        let steps = steps.into_iter().flat_map(move |(first, values)| {
            values
                .iter()
                .enumerate()
                .filter(|(_, v)| !m3rs_core::model::is_stale(**v))
                .map(move |(i, v)| (grid.time_ms(first + i), *v))
        });
        let columns =
            columns.into_iter().flat_map(|c| c.ts.iter().copied().zip(c.vs.iter().copied()));
        steps.chain(columns)
    }
}

/// What a query cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Series that selectors matched.
    pub series: u64,
    /// Samples that were read from the source.
    pub samples: u64,
    /// The most points that were held in memory at once.
    pub samples_peak: u64,
    /// Evaluation times.
    pub steps: u64,
    /// Samples that each evaluation time looks at, windows in full; empty if nobody counted.
    pub samples_per_step: Vec<u64>,
    /// Where the time went.
    pub timings: QueryTimings,
}

/// Where the time of a query went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryTimings {
    /// Waiting for its turn, before all else.
    pub queue: Duration,
    /// Reading the text, planning and finding series.
    pub preparation: Duration,
    /// Reading samples and computing with them.
    pub evaluation: Duration,
    /// Sorting the result.
    pub sort: Duration,
    /// All but the time in the queue.
    pub total: Duration,
}
