//! The plan of a query: the syntax tree with types sorted out, times resolved, kernels looked up
//! and parts that do not depend on the step marked.

mod call;
mod describe;
mod duration;
mod lower;
mod stats;

use m3rs_core::model::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::ast::{AggregateOp, BinaryOp, RangeEdges, Span, VectorMatching};
use super::function::label::{LabelJoin, LabelReplace};
use super::function::{ElementKernel, RangeKernel};

pub(crate) use lower::{QueryTimes, depth, lower};

/// An expression by the type of its value.
#[derive(Debug)]
pub(crate) enum Plan {
    Scalar(ScalarNode),
    Vector(VectorNode),
    Matrix(MatrixNode),
    String(String),
}

/// One number per step.
#[derive(Debug)]
pub(crate) enum ScalarNode {
    Number(f64),
    /// The evaluation time in seconds.
    Time,
    /// The value of the only series, else NaN.
    OfVector(Box<VectorNode>),
    Negate(Box<ScalarNode>),
    Apply {
        f: fn(f64, f64) -> f64,
        lhs: Box<ScalarNode>,
        rhs: Box<ScalarNode>,
    },
    /// The same at each step.
    Invariant(Box<ScalarNode>),
}

/// Series with at most one sample per step.
#[derive(Debug)]
pub(crate) enum VectorNode {
    Select(SelectNode),
    /// The times of the selected samples, in seconds.
    Timestamp(SelectNode),
    /// Their start timestamps, in seconds.
    StartTimestamp(SelectNode),
    Range(Box<RangeNode>),
    Map {
        input: Box<VectorNode>,
        mapping: Mapping,
    },
    /// One series without labels.
    OfScalar(Box<ScalarNode>),
    Aggregate(Box<AggregateNode>),
    Binary(Box<BinaryNode>),
    Absent {
        input: Box<VectorNode>,
        labels: Labels,
    },
    Sort {
        input: Box<VectorNode>,
        order: SortOrder,
        span: Span,
    },
    Relabel {
        input: Box<VectorNode>,
        relabel: Relabel,
    },
    Histogram(Box<HistogramNode>),
    Info(Box<InfoNode>),
    /// A call that fails once it is evaluated, with this text.
    Fail(String),
    /// The end of a query where names wait for it.
    Settle(Box<VectorNode>),
    /// The same at each step.
    Invariant(Box<VectorNode>),
}

/// Series with a range of samples per step.
#[derive(Debug)]
pub(crate) enum MatrixNode {
    Select { select: SelectNode, range_ms: i64 },
    Subquery(Box<SubqueryNode>),
}

/// A selector.
#[derive(Debug)]
pub(crate) struct SelectNode {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) span: Span,
    pub(crate) shift: Shift,
    /// What stands right above it.
    pub(crate) function: Option<String>,
    /// Whether of native histograms only count and sum are looked at.
    pub(crate) skips_buckets: bool,
    pub(crate) edges: Option<RangeEdges>,
    /// How far to look back, instead of the query's setting.
    pub(crate) lookback_ms: Option<i64>,
    /// The labels that what stands above looks at; `None` for all.
    pub(crate) labels: Option<Vec<String>>,
}

impl SelectNode {
    /// The metric name that all series have, if a matcher says so.
    pub(crate) fn metric_name(&self) -> Option<&str> {
        let is_name =
            |m: &&Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal && !m.value.is_empty();
        self.matchers.iter().find(is_name).map(|m| m.value.as_str())
    }
}

/// From the evaluation time to the time that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct SubqueryNode {
    pub(crate) expr: VectorNode,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) shift: Shift,
}

/// A function over ranges, applied to each series.
#[derive(Debug)]
pub(crate) struct RangeNode {
    pub(crate) function: String,
    pub(crate) kernel: RangeKernel,
    pub(crate) keeps_name: bool,
    pub(crate) input: MatrixNode,
    pub(crate) params: Vec<ScalarNode>,
    /// The range vector.
    pub(crate) span: Span,
    /// The first argument.
    pub(crate) param_span: Span,
}

/// What happens to each value of a vector by itself.
#[derive(Debug)]
pub(crate) enum Mapping {
    Negate,
    /// A number that a native histogram tells; floats have none.
    OfHistogram(HistogramNumber),
    /// The evaluation time in seconds, whatever the value.
    EvaluationTime,
    Element {
        kernel: ElementKernel,
        params: Vec<ScalarNode>,
    },
    Operator {
        op: BinaryOp,
        scalar: ScalarNode,
        is_scalar_left: bool,
        return_bool: bool,
        /// The whole operation.
        span: Span,
    },
}

/// A number that a native histogram tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramNumber {
    Count,
    Sum,
    Average,
    Variance,
    Deviation,
}

#[derive(Debug)]
pub(crate) struct AggregateNode {
    pub(crate) op: AggregateOp,
    pub(crate) input: VectorNode,
    pub(crate) param: AggregateParam,
    pub(crate) labels: Vec<String>,
    pub(crate) without: bool,
    /// The whole aggregation.
    pub(crate) span: Span,
    /// What is aggregated.
    pub(crate) input_span: Span,
}

#[derive(Debug)]
pub(crate) enum AggregateParam {
    None,
    Number { value: ScalarNode, span: Span },
    Label(String),
}

#[derive(Debug)]
pub(crate) struct BinaryNode {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: VectorNode,
    pub(crate) rhs: VectorNode,
    pub(crate) matching: VectorMatching,
    pub(crate) return_bool: bool,
    /// The whole operation.
    pub(crate) span: Span,
}

/// Series with labels of the info series that describe them.
#[derive(Debug)]
pub(crate) struct InfoNode {
    pub(crate) input: VectorNode,
    /// Which info series, and which of their labels.
    pub(crate) matchers: Vec<Matcher>,
    /// The times of the first selector in `input`, which info series share.
    pub(crate) shift: Shift,
}

#[derive(Debug)]
pub(crate) enum SortOrder {
    Value { descending: bool },
    Labels { names: Vec<String>, descending: bool },
}

#[derive(Debug)]
pub(crate) enum Relabel {
    Replace(LabelReplace),
    Join(LabelJoin),
}

/// A function over classic and native histograms.
#[derive(Debug)]
pub(crate) struct HistogramNode {
    pub(crate) input: VectorNode,
    /// The vector.
    pub(crate) span: Span,
    /// The first argument.
    pub(crate) first_span: Span,
    pub(crate) what: HistogramFunction,
}

#[derive(Debug)]
pub(crate) enum HistogramFunction {
    Quantile { q: ScalarNode, span: Span },
    Quantiles { label: String, qs: Vec<(ScalarNode, Span)> },
    Fraction { lower: ScalarNode, upper: ScalarNode },
}

impl MatrixNode {
    /// How the selector treats the edges of its range.
    fn edges(&self) -> Option<RangeEdges> {
        match self {
            Self::Select { select, .. } => select.edges,
            Self::Subquery(_) => None,
        }
    }
}

impl VectorNode {
    /// The same, marked as independent of the step.
    fn invariant(self) -> Self {
        Self::Invariant(Box::new(self))
    }
}
