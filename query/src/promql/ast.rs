//! The syntax tree of PromQL, ours, with source spans.

use m3rs_core::model::Matcher;

pub mod duration;
mod normal;
mod selectors;

pub use duration::{DurationExpr, DurationOp, OffsetSign, PlacedDuration, Timed};

/// Bytes `start..end` of the query text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// The type of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// Series with at most one sample per step.
    Vector,
    /// Series with a range of samples per step.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// The word Prometheus uses in error messages.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }
}

/// An expression and where it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// The expression inside any parentheses around it.
    #[must_use]
    pub fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number literal.
    Number(f64),
    /// A number written as a duration, such as `5m`: its seconds.
    Duration(f64),
    /// A string literal, unquoted.
    String(String),
    /// An instant vector selector.
    Vector(Selector),
    /// A range vector selector.
    Matrix {
        /// What is selected.
        selector: Selector,
        /// The length of the range.
        range_ms: i64,
    },
    /// A subquery `expr[range:step]`.
    Subquery {
        /// The inner expression, an instant vector.
        expr: Box<Expr>,
        /// The length of the range.
        range_ms: i64,
        /// The inner step; `None` takes the engine's default.
        step_ms: Option<i64>,
        /// How far to look back; negative looks ahead.
        offset_ms: i64,
        /// A fixed evaluation time.
        at: Option<At>,
    },
    /// A selector or subquery with a time that only the query's grid makes a number.
    Timed(Box<Timed>),
    /// `-expr` or `+expr`.
    Unary {
        /// Whether the sign is a minus.
        is_minus: bool,
        /// The operand.
        expr: Box<Expr>,
    },
    /// `(expr)`, kept for printing.
    Paren(Box<Expr>),
    /// Two operands.
    Binary(Box<Binary>),
    /// An aggregation over series.
    Aggregate(Box<Aggregate>),
    /// A function call.
    Call {
        /// The function's name, in lower case as Prometheus writes it.
        function: String,
        /// The arguments in order.
        args: Vec<Expr>,
    },
}

/// A fixed evaluation time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// `@ 1234.5`, in milliseconds.
    TimeMs(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// How a range selector treats the edges of its range (Prometheus 3.14, experimental).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeEdges {
    /// `anchored`: the sample before the range stands for its start.
    Anchored,
    /// `smoothed`: values at both edges are interpolated.
    Smoothed,
}

impl RangeEdges {
    /// The modifier as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// Which series, and how far from the evaluation time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    /// The metric name as written before the braces, for printing. It is also among `matchers`.
    pub name: Option<String>,
    /// All conditions, the name's included.
    pub matchers: Vec<Matcher>,
    /// How far to look back; negative looks ahead.
    pub offset_ms: i64,
    /// A fixed evaluation time.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub edges: Option<RangeEdges>,
}

/// Operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Eql,
    /// `!=`
    Neq,
    /// `>`
    Gtr,
    /// `<`
    Lss,
    /// `>=`
    Gte,
    /// `<=`
    Lte,
    /// `</`, keeps the part of a histogram below a value (Prometheus 3.14, experimental).
    TrimUpper,
    /// `>/`, keeps the part of a histogram above a value (Prometheus 3.14, experimental).
    TrimLower,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl BinaryOp {
    /// The operator as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eql => "==",
            Self::Neq => "!=",
            Self::Gtr => ">",
            Self::Lss => "<",
            Self::Gte => ">=",
            Self::Lte => "<=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether the operator compares.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Eql | Self::Neq | Self::Gtr | Self::Lss | Self::Gte | Self::Lte)
    }

    /// Whether the operator combines sets of series.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// A binary expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand.
    pub lhs: Expr,
    /// The right operand.
    pub rhs: Expr,
    /// Whether `bool` follows a comparison.
    pub return_bool: bool,
    /// How series of both sides find each other; `None` unless both are vectors.
    pub matching: Option<VectorMatching>,
}

/// How many series of one side meet how many of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One to one.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How series of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// How many meet how many.
    pub cardinality: Cardinality,
    /// Names after `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` are those that must agree (`on`), not those left out (`ignoring`).
    pub on: bool,
    /// Names after `group_left` or `group_right`.
    pub include: Vec<String>,
    /// `fill` values of the left and right side (Prometheus 3.14, experimental).
    pub fill: (Option<f64>, Option<f64>),
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `count`
    Count,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    Topk,
    /// `bottomk`
    Bottomk,
    /// `count_values`
    CountValues,
    /// `quantile`
    Quantile,
    /// `limitk` (experimental)
    Limitk,
    /// `limit_ratio` (experimental)
    LimitRatio,
}

impl AggregateOp {
    /// The operator as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The type of the operator's parameter; `None` if it takes none: then a group's value comes
    /// from the values of its series alone, not from their labels.
    #[must_use]
    pub fn param_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            Self::Sum
            | Self::Avg
            | Self::Count
            | Self::Min
            | Self::Max
            | Self::Group
            | Self::Stddev
            | Self::Stdvar => None,
        }
    }

    /// Whether Prometheus knows the operator only with experimental functions switched on.
    #[must_use]
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

/// An aggregation over series.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter of `topk`, `quantile` and the like.
    pub param: Option<Expr>,
    /// The names after `by` or `without`.
    pub labels: Vec<String>,
    /// Whether `labels` are those to leave out.
    pub without: bool,
}
