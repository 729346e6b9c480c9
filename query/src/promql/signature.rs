//! The functions of PromQL (Prometheus 3.14): names, argument types, results.

use super::ast::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// What a function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name, as written in queries.
    pub name: &'static str,
    /// Types of the arguments; the last one is also that of any more arguments.
    pub args: &'static [ValueType],
    /// How the number of arguments may differ from `args`.
    pub variadic: Variadic,
    /// The type of the result.
    pub returns: ValueType,
    /// Whether Prometheus knows it only with experimental functions switched on.
    pub experimental: bool,
    /// Whether Prometheus does not know it: it is MetricsQL's.
    pub extension: bool,
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variadic {
    /// As many as it has argument types.
    Fixed,
    /// The last argument may be left out, or given up to this many times.
    UpTo(usize),
    /// The last argument may be left out, or given any number of times.
    Any,
}

impl Signature {
    /// Whether an argument is a range vector.
    #[must_use]
    pub fn ranges(&self) -> bool {
        self.args.contains(&Matrix)
    }

    /// The least and the greatest number of arguments; `None` is no limit.
    #[must_use]
    pub fn arg_counts(&self) -> (usize, Option<usize>) {
        let len = self.args.len();
        match self.variadic {
            Variadic::Fixed => (len, Some(len)),
            Variadic::UpTo(more) => (len.saturating_sub(1), Some(len.saturating_sub(1) + more)),
            Variadic::Any => (len.saturating_sub(1), None),
        }
    }

    const fn new(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Self {
        let (experimental, extension) = (false, false);
        Self { name, args, variadic: Variadic::Fixed, returns, experimental, extension }
    }

    const fn variadic(mut self, variadic: Variadic) -> Self {
        self.variadic = variadic;
        self
    }

    const fn extension(mut self) -> Self {
        self.extension = true;
        self
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }
}

/// Looks a function up by its name, which is case-sensitive.
#[must_use]
pub fn signature(name: &str) -> Option<&'static Signature> {
    let index = SIGNATURES.binary_search_by(|signature| signature.name.cmp(name)).ok()?;
    SIGNATURES.get(index)
}

/// The names of Prometheus's functions, sorted, and whether it calls each experimental.
pub fn functions() -> impl Iterator<Item = (&'static str, bool)> {
    let known = SIGNATURES.iter().filter(|signature| !signature.extension);
    known.map(|signature| (signature.name, signature.experimental))
}

/// All functions, sorted by name.
#[must_use]
pub fn signatures() -> &'static [Signature] {
    SIGNATURES
}

static SIGNATURES: &[Signature] = &[
    Signature::new("abs", &[Vector], Vector),
    Signature::new("absent", &[Vector], Vector),
    Signature::new("absent_over_time", &[Matrix], Vector),
    Signature::new("acos", &[Vector], Vector),
    Signature::new("acosh", &[Vector], Vector),
    Signature::new("asin", &[Vector], Vector),
    Signature::new("asinh", &[Vector], Vector),
    Signature::new("atan", &[Vector], Vector),
    Signature::new("atanh", &[Vector], Vector),
    Signature::new("avg_over_time", &[Matrix], Vector),
    Signature::new("ceil", &[Vector], Vector),
    Signature::new("changes", &[Matrix], Vector),
    Signature::new("clamp", &[Vector, Scalar, Scalar], Vector),
    Signature::new("clamp_max", &[Vector, Scalar], Vector),
    Signature::new("clamp_min", &[Vector, Scalar], Vector),
    Signature::new("cos", &[Vector], Vector),
    Signature::new("cosh", &[Vector], Vector),
    Signature::new("count_over_time", &[Matrix], Vector),
    Signature::new("day_of_month", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("day_of_week", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("day_of_year", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("days_in_month", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("default_rollup", &[Matrix], Vector).extension(),
    Signature::new("deg", &[Vector], Vector),
    Signature::new("delta", &[Matrix], Vector),
    Signature::new("deriv", &[Matrix], Vector),
    Signature::new("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector)
        .experimental(),
    Signature::new("end", &[], Scalar).experimental(),
    Signature::new("exp", &[Vector], Vector),
    Signature::new("first_over_time", &[Matrix], Vector),
    Signature::new("floor", &[Vector], Vector),
    Signature::new("histogram_avg", &[Vector], Vector),
    Signature::new("histogram_count", &[Vector], Vector),
    Signature::new("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    Signature::new("histogram_quantile", &[Scalar, Vector], Vector),
    Signature::new("histogram_quantiles", &[Vector, String, Scalar, Scalar], Vector)
        .variadic(Variadic::UpTo(9))
        .experimental(),
    Signature::new("histogram_stddev", &[Vector], Vector),
    Signature::new("histogram_stdvar", &[Vector], Vector),
    Signature::new("histogram_sum", &[Vector], Vector),
    Signature::new("hour", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("idelta", &[Matrix], Vector),
    Signature::new("increase", &[Matrix], Vector),
    Signature::new("info", &[Vector, Vector], Vector).variadic(Variadic::UpTo(1)).experimental(),
    Signature::new("irate", &[Matrix], Vector),
    Signature::new("label_join", &[Vector, String, String, String], Vector).variadic(Variadic::Any),
    Signature::new("label_replace", &[Vector, String, String, String, String], Vector),
    Signature::new("last_over_time", &[Matrix], Vector),
    Signature::new("ln", &[Vector], Vector),
    Signature::new("log10", &[Vector], Vector),
    Signature::new("log2", &[Vector], Vector),
    Signature::new("mad_over_time", &[Matrix], Vector).experimental(),
    Signature::new("max_of", &[Scalar, Scalar], Scalar).experimental(),
    Signature::new("max_over_time", &[Matrix], Vector),
    Signature::new("min_of", &[Scalar, Scalar], Scalar).experimental(),
    Signature::new("min_over_time", &[Matrix], Vector),
    Signature::new("minute", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("month", &[Vector], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("pi", &[], Scalar),
    Signature::new("predict_linear", &[Matrix, Scalar], Vector),
    Signature::new("present_over_time", &[Matrix], Vector),
    Signature::new("quantile_over_time", &[Scalar, Matrix], Vector),
    Signature::new("rad", &[Vector], Vector),
    Signature::new("range", &[], Scalar).experimental(),
    Signature::new("rate", &[Matrix], Vector),
    Signature::new("resets", &[Matrix], Vector),
    Signature::new("round", &[Vector, Scalar], Vector).variadic(Variadic::UpTo(1)),
    Signature::new("scalar", &[Vector], Scalar),
    Signature::new("sgn", &[Vector], Vector),
    Signature::new("sin", &[Vector], Vector),
    Signature::new("sinh", &[Vector], Vector),
    Signature::new("sort", &[Vector], Vector),
    Signature::new("sort_by_label", &[Vector, String], Vector)
        .variadic(Variadic::Any)
        .experimental(),
    Signature::new("sort_by_label_desc", &[Vector, String], Vector)
        .variadic(Variadic::Any)
        .experimental(),
    Signature::new("sort_desc", &[Vector], Vector),
    Signature::new("sqrt", &[Vector], Vector),
    Signature::new("start", &[], Scalar).experimental(),
    Signature::new("start_timestamp", &[Vector], Vector).experimental(),
    Signature::new("stddev_over_time", &[Matrix], Vector),
    Signature::new("stdvar_over_time", &[Matrix], Vector),
    Signature::new("step", &[], Scalar).experimental(),
    Signature::new("sum_over_time", &[Matrix], Vector),
    Signature::new("tan", &[Vector], Vector),
    Signature::new("tanh", &[Vector], Vector),
    Signature::new("time", &[], Scalar),
    Signature::new("timestamp", &[Vector], Vector),
    Signature::new("ts_of_first_over_time", &[Matrix], Vector).experimental(),
    Signature::new("ts_of_last_over_time", &[Matrix], Vector).experimental(),
    Signature::new("ts_of_max_over_time", &[Matrix], Vector).experimental(),
    Signature::new("ts_of_min_over_time", &[Matrix], Vector).experimental(),
    Signature::new("vector", &[Scalar], Vector),
    Signature::new("year", &[Vector], Vector).variadic(Variadic::UpTo(1)),
];
