//! Function calls.

use m3rs_core::model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, STALE_NAN};

use super::lower::{Lowered, Lowering};
use super::{
    HistogramFunction, HistogramNode, HistogramNumber, InfoNode, Mapping, MatrixNode, Plan,
    RangeNode, Relabel, ScalarNode, SelectNode, Shift, SortOrder, VectorNode,
};
use crate::error::QueryError;
use crate::promql::ast::{Expr, ExprKind, Span};
use crate::promql::check;
use crate::promql::function::label::{LabelJoin, LabelReplace};
use crate::promql::function::{self, ElementKernel, math};

/// Functions whose value depends on the evaluation time even if their arguments do not.
const TIME_FUNCTIONS: [&str; 11] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Lowered arguments.
struct Args<'a> {
    function: &'a str,
    /// The arguments as written, without parentheses.
    exprs: Vec<&'a Expr>,
    plans: std::vec::IntoIter<Plan>,
}

impl Args<'_> {
    fn next(&mut self) -> Result<Plan, QueryError> {
        self.plans.next().ok_or_else(|| {
            QueryError::Parse(format!("not enough arguments in call to {:?}", self.function))
        })
    }

    fn vector(&mut self) -> Result<Box<VectorNode>, QueryError> {
        self.next()?.into_vector().map(Box::new)
    }

    fn scalar(&mut self) -> Result<ScalarNode, QueryError> {
        self.next()?.into_scalar()
    }

    fn text(&mut self) -> Result<String, QueryError> {
        self.next()?.into_text()
    }

    fn texts(&mut self) -> Result<Vec<String>, QueryError> {
        self.plans.by_ref().map(Plan::into_text).collect()
    }

    fn scalars(&mut self) -> Result<Vec<ScalarNode>, QueryError> {
        self.plans.by_ref().map(Plan::into_scalar).collect()
    }

    /// Whether the first argument is a selector.
    fn is_selector(&self) -> bool {
        let kind = self.exprs.first().map(|expr| &untimed(expr).kind);
        matches!(kind, Some(ExprKind::Vector(_)))
    }

    fn span(&self, index: usize) -> Span {
        self.exprs.get(index).map_or_else(Span::default, |e| e.span)
    }
}

impl Lowering {
    pub(super) fn call(
        &self,
        function: &str,
        args: &[Expr],
        span: Span,
    ) -> Result<Lowered, QueryError> {
        if let Some(constant) = self.constant(function) {
            return Ok(constant);
        }
        let exprs: Vec<&Expr> = args.iter().map(Expr::unwrap_parens).collect();
        if function == "info" {
            return self.info(&exprs);
        }
        let lowered = exprs
            .iter()
            .map(|e| self.expr(e, Some(function)))
            .collect::<Result<Vec<Lowered>, _>>()?;
        let all_invariant = lowered.iter().all(|l| l.is_invariant);
        // timestamp(x @ 1) is the same at each step, timestamp(abs(x @ 1)) is not.
        let is_selector_time = function == "timestamp"
            && exprs.iter().all(|e| matches!(e.kind, ExprKind::Vector(_) | ExprKind::Timed(_)));
        let is_invariant =
            all_invariant && (!TIME_FUNCTIONS.contains(&function) || is_selector_time);
        let plans: Vec<Plan> = lowered
            .into_iter()
            .map(|l| if is_invariant || is_selector_time { l.plan } else { l.wrapped() })
            .collect();
        let mut args = Args { function, exprs, plans: plans.into_iter() };
        let plan = self.special(function, &mut args, span)?;
        if args.plans.next().is_some() {
            return Err(QueryError::Parse(format!("too many arguments in call to {function:?}")));
        }
        Ok(Lowered { plan, is_invariant })
    }

    /// `info`: the second argument is a list of conditions, not an expression.
    fn info(&self, args: &[&Expr]) -> Result<Lowered, QueryError> {
        let fault = |text: &str| Err(QueryError::Parse(text.to_owned()));
        let (base, conditions) = match args {
            [base] => (base, None),
            [base, conditions] => (base, Some(conditions)),
            _ => return fault("info takes one or two arguments"),
        };
        let lowered = self.expr(base, Some("info"))?;
        let is_invariant = lowered.is_invariant && conditions.is_none();
        let input = if is_invariant { lowered.plan } else { lowered.wrapped() }.into_vector()?;
        let matchers = match conditions.map(|c| untimed(c)) {
            None => Vec::new(),
            Some(Expr { kind: ExprKind::Vector(selector), .. }) => selector.matchers.clone(),
            Some(_) => return fault("expected label selectors only"),
        };
        let shift = first_shift(&input).unwrap_or(Shift { offset_ms: 0, at_ms: None });
        let node = InfoNode { input, matchers, shift };
        Ok(Lowered { plan: Plan::Vector(VectorNode::Info(Box::new(node))), is_invariant })
    }

    /// Functions without arguments that only depend on the query.
    fn constant(&self, function: &str) -> Option<Lowered> {
        let times = &self.times;
        let (step_s, range_s) = times.seconds();
        Some(match function {
            "pi" => self.number(std::f64::consts::PI),
            "time" => self.time(),
            "start" => self.number(times.start_ms as f64 / 1000.0),
            "end" => self.number(times.end_ms as f64 / 1000.0),
            // PARITY(prometheus): a range of one time has no step.
            "step" if times.start_ms == times.end_ms => self.number(0.0),
            "step" => self.number(step_s),
            "range" => self.number(range_s),
            _ => return None,
        })
    }

    fn special(&self, function: &str, args: &mut Args<'_>, span: Span) -> Result<Plan, QueryError> {
        let node = match function {
            "scalar" => return Ok(Plan::Scalar(ScalarNode::OfVector(args.vector()?))),
            "max_of" | "min_of" => {
                let f = if function == "max_of" { math::max_of } else { math::min_of };
                let (lhs, rhs) = (Box::new(args.scalar()?), Box::new(args.scalar()?));
                return Ok(Plan::Scalar(ScalarNode::Apply { f, lhs, rhs }));
            }
            "vector" => VectorNode::OfScalar(Box::new(args.scalar()?)),
            "timestamp" => match *args.vector()? {
                VectorNode::Select(select) if args.is_selector() => VectorNode::Timestamp(select),
                other => {
                    let input = Box::new(other);
                    VectorNode::Map { input, mapping: Mapping::EvaluationTime }
                }
            },
            "start_timestamp" => match *args.vector()? {
                VectorNode::Select(select) if args.is_selector() => {
                    VectorNode::StartTimestamp(select)
                }
                // Only samples of storage have start timestamps.
                other => nothing_of(other),
            },
            "absent" => VectorNode::Absent { input: args.vector()?, labels: absent_labels(args) },
            "absent_over_time" => absent_over_time(args)?,
            "sort" | "sort_desc" => {
                let order = SortOrder::Value { descending: function == "sort_desc" };
                VectorNode::Sort { input: args.vector()?, order, span }
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let input = args.vector()?;
                let descending = function == "sort_by_label_desc";
                let order = SortOrder::Labels { names: args.texts()?, descending };
                VectorNode::Sort { input, order, span }
            }
            "default_rollup" => default_rollup(args)?,
            "label_replace" => label_replace(args)?,
            "label_join" => label_join(args)?,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                histogram(function, args)?
            }
            _ => return kernel_call(function, args),
        };
        Ok(Plan::Vector(node))
    }
}

/// What evaluates its input and gives nothing.
fn nothing_of(input: VectorNode) -> VectorNode {
    let kernel: ElementKernel = |_, _, _| STALE_NAN;
    let mapping = Mapping::Element { kernel, params: Vec::new() };
    VectorNode::Map { input: Box::new(input), mapping }
}

/// A selector without the expressions of its times.
fn untimed(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Timed(timed) => &timed.expr,
        _ => expr,
    }
}

/// The times of the first selector below a node.
fn first_shift(node: &VectorNode) -> Option<Shift> {
    match node {
        VectorNode::Select(select)
        | VectorNode::Timestamp(select)
        | VectorNode::StartTimestamp(select) => Some(select.shift),
        VectorNode::Range(range) => match &range.input {
            MatrixNode::Select { select, .. } => Some(select.shift),
            MatrixNode::Subquery(subquery) => first_shift(&subquery.expr),
        },
        VectorNode::Map { input, .. }
        | VectorNode::Absent { input, .. }
        | VectorNode::Sort { input, .. }
        | VectorNode::Relabel { input, .. }
        | VectorNode::Settle(input)
        | VectorNode::Invariant(input) => first_shift(input),
        VectorNode::Aggregate(aggregate) => first_shift(&aggregate.input),
        VectorNode::Binary(binary) => first_shift(&binary.lhs).or_else(|| first_shift(&binary.rhs)),
        VectorNode::Histogram(histogram) => first_shift(&histogram.input),
        VectorNode::Info(info) => first_shift(&info.input),
        VectorNode::OfScalar(scalar) => match &**scalar {
            ScalarNode::OfVector(vector) => first_shift(vector),
            _ => None,
        },
        VectorNode::Fail(_) => None,
    }
}

/// A function that a kernel computes.
fn kernel_call(function: &str, args: &mut Args<'_>) -> Result<Plan, QueryError> {
    if let Some(number) = histogram_number(function) {
        let (input, mapping) = (args.vector()?, Mapping::OfHistogram(number));
        return Ok(Plan::Vector(VectorNode::Map { input, mapping }));
    }
    if let Some(kernel) = function::element_kernel(function) {
        // Date functions without argument take the evaluation time.
        let input = if args.plans.len() == 0 {
            Box::new(VectorNode::OfScalar(Box::new(ScalarNode::Time)))
        } else {
            args.vector()?
        };
        let params = args.scalars()?;
        let mapping = Mapping::Element { kernel, params };
        return Ok(Plan::Vector(VectorNode::Map { input, mapping }));
    }
    let Some(mut kernel) = function::range_kernel(function) else {
        return Err(QueryError::Internal(format!("no kernel for {function}()")));
    };
    let mut input: Option<(MatrixNode, Span)> = None;
    let mut params = Vec::new();
    let mut at = 0;
    while let Some(plan) = args.plans.next() {
        match plan {
            Plan::Matrix(node) if input.is_none() => input = Some((node, args.span(at))),
            plan => params.push(plan.into_scalar()?),
        }
        at += 1;
    }
    let Some((input, span)) = input else {
        return Err(QueryError::Parse(format!(
            "expected type range vector in call to function {function:?}"
        )));
    };
    if let Some(edges) = input.edges() {
        match function::extended_kernel(function, edges) {
            Ok(extended) => kernel = extended,
            Err(message) => return Ok(Plan::Vector(VectorNode::Fail(message))),
        }
    }
    // PARITY(prometheus): notes about a subquery point to the start of the query, and those of a
    // quantile to the quantile.
    let span = match &input {
        _ if function == "quantile_over_time" => args.span(0),
        MatrixNode::Subquery(_) => Span::default(),
        MatrixNode::Select { .. } => span,
    };
    let keeps_name = function::keeps_name(function);
    let function = function.to_owned();
    let param_span = args.span(0);
    // PARITY(prometheus): a subquery at a fixed time is not seen as the range it is, except where
    // the whole call is the same at each step.
    let is_unseen = function == "predict_linear"
        && matches!(&input, MatrixNode::Subquery(subquery) if subquery.shift.at_ms.is_some());
    let node = RangeNode { function, kernel, keeps_name, input, params, span, param_span };
    let node = VectorNode::Range(Box::new(node));
    Ok(Plan::Vector(if is_unseen { nothing_of(node) } else { node }))
}

fn histogram_number(function: &str) -> Option<HistogramNumber> {
    Some(match function {
        "histogram_avg" => HistogramNumber::Average,
        "histogram_count" => HistogramNumber::Count,
        "histogram_stddev" => HistogramNumber::Deviation,
        "histogram_stdvar" => HistogramNumber::Variance,
        "histogram_sum" => HistogramNumber::Sum,
        _ => return None,
    })
}

/// MetricsQL's `default_rollup`: the last sample of the range, unless it says that the series
/// ended. That is an instant selector which looks back as far as the range.
fn default_rollup(args: &mut Args<'_>) -> Result<VectorNode, QueryError> {
    let (input, span) = (args.next()?.into_matrix()?, args.span(0));
    if let Some(edges) = input.edges()
        && let Err(message) = function::extended_kernel("default_rollup", edges)
    {
        return Ok(VectorNode::Fail(message));
    }
    Ok(match input {
        MatrixNode::Select { select, range_ms } => {
            VectorNode::Select(SelectNode { lookback_ms: Some(range_ms), ..select })
        }
        // What is computed does not end.
        input @ MatrixNode::Subquery(_) => over_time("last_over_time", input, span)?,
    })
}

/// A function of the samples of each range that keeps the names of series.
fn over_time(function: &str, input: MatrixNode, span: Span) -> Result<VectorNode, QueryError> {
    let Some(kernel) = function::range_kernel(function) else {
        return Err(QueryError::Internal(format!("{function} has no kernel")));
    };
    let (function, params) = (function.to_owned(), Vec::new());
    let (keeps_name, param_span) = (true, span);
    let node = RangeNode { function, kernel, keeps_name, input, params, span, param_span };
    Ok(VectorNode::Range(Box::new(node)))
}

/// `absent` of `present_over_time`, of which the names stay so that they need not be unique.
fn absent_over_time(args: &mut Args<'_>) -> Result<VectorNode, QueryError> {
    let input = args.next()?.into_matrix()?;
    if let Some(edges) = input.edges()
        && let Err(message) = function::extended_kernel("absent_over_time", edges)
    {
        return Ok(VectorNode::Fail(message));
    }
    let input = Box::new(over_time("present_over_time", input, args.span(0))?);
    Ok(VectorNode::Absent { input, labels: absent_labels(args) })
}

fn label_replace(args: &mut Args<'_>) -> Result<VectorNode, QueryError> {
    let input = args.vector()?;
    let (dst, replacement) = (args.text()?, args.text()?);
    let (src, pattern) = (args.text()?, args.text()?);
    Ok(match LabelReplace::new(&dst, &replacement, &src, &pattern) {
        Ok(replace) => VectorNode::Relabel { input, relabel: Relabel::Replace(replace) },
        Err(error) => VectorNode::Fail(error.to_string()),
    })
}

fn label_join(args: &mut Args<'_>) -> Result<VectorNode, QueryError> {
    let input = args.vector()?;
    let (dst, separator) = (args.text()?, args.text()?);
    let sources = args.texts()?;
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    Ok(match LabelJoin::new(&dst, &separator, &sources) {
        Ok(join) => VectorNode::Relabel { input, relabel: Relabel::Join(join) },
        Err(error) => VectorNode::Fail(error.to_string()),
    })
}

fn histogram(function: &str, args: &mut Args<'_>) -> Result<VectorNode, QueryError> {
    let (what, input, span) = match function {
        "histogram_quantile" => {
            let what = HistogramFunction::Quantile { q: args.scalar()?, span: args.span(0) };
            (what, args.vector()?, args.span(1))
        }
        "histogram_fraction" => {
            let (lower, upper) = (args.scalar()?, args.scalar()?);
            (HistogramFunction::Fraction { lower, upper }, args.vector()?, args.span(2))
        }
        _ => {
            let input = args.vector()?;
            let label = args.text()?;
            let spans = args.exprs.iter().skip(2).map(|e| e.span);
            let qs = args.plans.by_ref().map(Plan::into_scalar);
            let qs: Result<_, QueryError> = qs.zip(spans).map(|(q, s)| Ok((q?, s))).collect();
            let qs = qs?;
            (HistogramFunction::Quantiles { label, qs }, input, args.span(0))
        }
    };
    let first_span = args.span(0);
    Ok(VectorNode::Histogram(Box::new(HistogramNode { input: *input, span, first_span, what })))
}

/// The labels that the series of `absent` carries: those that its selector fixes.
fn absent_labels(args: &Args<'_>) -> Labels {
    let expr = match args.exprs.first().map(|e| &e.kind) {
        Some(ExprKind::Timed(timed)) => Some(&timed.expr.kind),
        other => other,
    };
    match expr {
        Some(ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. }) => {
            fixed_labels(&selector.matchers)
        }
        _ => Labels::empty(),
    }
}

fn fixed_labels(matchers: &[Matcher]) -> Labels {
    let mut labels = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    let is_empty = |m: &Matcher| check::matches_empty(m);
    let may_be_unset = |name: &str| matchers.iter().all(|m| m.name != name || is_empty(m));
    let is_negative = |m: &Matcher| matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegexp);
    let subtracts = |m: &&Matcher| may_be_unset(&m.name) || (is_negative(m) && is_empty(m));
    // PARITY(prometheus): in the order that its index left them in.
    let (last, first): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(subtracts);
    for matcher in first.into_iter().chain(last).filter(|m| m.name != METRIC_NAME) {
        // PARITY(prometheus): a second matcher of a label takes the label away.
        if matcher.op == MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            labels.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            labels.remove(&matcher.name);
        }
    }
    labels.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_carries_labels_fixed_once() {
        let matchers = [
            Matcher::equal("__name__", "x"),
            Matcher::equal("job", "a"),
            Matcher::equal("zone", "b"),
            Matcher::equal("zone", "c"),
            Matcher::new("rack", MatchOp::Regexp, "d"),
        ];
        assert_eq!(fixed_labels(&matchers), Labels::from_pairs([("job", "a")]).unwrap());
    }
}
