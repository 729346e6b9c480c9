//! From syntax tree to plan.

use super::{
    AggregateNode, AggregateParam, BinaryNode, Mapping, MatrixNode, Plan, ScalarNode, SelectNode,
    Shift, SubqueryNode, VectorNode, duration, stats,
};
use crate::error::QueryError;
use crate::promql::ast::{
    Aggregate, AggregateOp, At, Binary, Expr, ExprKind, RangeEdges, Selector, Span, Timed,
    ValueType,
};
use crate::promql::exec::{NameRemoval, operator};
use crate::promql::function;
use m3rs_core::model::METRIC_NAME;
use m3rs_core::time::NS_PER_MS;

/// The times of a query, which `@ start()`, `step()` and the like refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryTimes {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    /// The same to the nanosecond, which is what `step()` gives.
    pub(crate) step_ns: i64,
    /// The step of subqueries that name none.
    pub(crate) subquery_step_ms: i64,
}

impl QueryTimes {
    /// The step and the range in seconds.
    pub(super) fn seconds(&self) -> (f64, f64) {
        let range_ms = self.end_ms.saturating_sub(self.start_ms);
        (function::seconds(self.step_ns), function::seconds(range_ms.saturating_mul(NS_PER_MS)))
    }
}

/// Makes the plan of `expr`. Recursive: the caller has checked [`depth`].
///
/// # Errors
/// [`QueryError::Parse`] where types do not fit.
pub(crate) fn lower(
    expr: &Expr,
    times: QueryTimes,
    removal: NameRemoval,
) -> Result<Plan, QueryError> {
    duration::check_all(expr, times.seconds())?;
    let mut plan = Lowering { times }.expr(expr, None)?.wrapped();
    stats::mark(&mut plan);
    Ok(if removal == NameRemoval::AtEnd { plan.settled() } else { plan })
}

/// How deep an expression is nested; without recursion.
pub(crate) fn depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(expr, 1)];
    while let Some((expr, depth)) = open.pop() {
        deepest = deepest.max(depth);
        let mut push = |inner| open.push((inner, depth + 1));
        match &expr.kind {
            ExprKind::Number(_)
            | ExprKind::Duration(_)
            | ExprKind::String(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix { .. } => {}
            ExprKind::Subquery { expr, .. }
            | ExprKind::Unary { expr, .. }
            | ExprKind::Paren(expr) => push(expr),
            ExprKind::Timed(timed) => push(&timed.expr),
            ExprKind::Binary(binary) => {
                push(&binary.lhs);
                push(&binary.rhs);
            }
            ExprKind::Aggregate(aggregate) => {
                push(&aggregate.expr);
                aggregate.param.iter().for_each(push);
            }
            ExprKind::Call { args, .. } => args.iter().for_each(push),
        }
    }
    deepest
}

pub(super) struct Lowering {
    pub(super) times: QueryTimes,
}

/// The function or aggregation right above an expression.
pub(super) type Above<'a> = Option<&'a str>;

/// A part of the plan, and whether it gives the same at each step.
pub(super) struct Lowered {
    pub(super) plan: Plan,
    pub(super) is_invariant: bool,
}

impl Lowered {
    fn varying(plan: Plan) -> Self {
        Self { plan, is_invariant: false }
    }

    /// The plan, marked if it is worth evaluating once.
    pub(super) fn wrapped(self) -> Plan {
        if !self.is_invariant {
            return self.plan;
        }
        match self.plan {
            Plan::Vector(node) => Plan::Vector(node.invariant()),
            Plan::Scalar(node @ (ScalarNode::Number(_) | ScalarNode::Invariant(_))) => {
                Plan::Scalar(node)
            }
            Plan::Scalar(node) => Plan::Scalar(ScalarNode::Invariant(Box::new(node))),
            other => other,
        }
    }
}

impl Plan {
    fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(_) => ValueType::Scalar,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
            Self::String(_) => ValueType::String,
        }
    }

    /// The error of a value of the wrong type.
    fn mismatch(&self, expected: ValueType) -> QueryError {
        QueryError::Parse(format!(
            "expected type {} in the expression, got {}",
            expected.documented(),
            self.value_type().documented()
        ))
    }

    /// The plan with its end marked, where names that waited go.
    fn settled(self) -> Self {
        match self {
            Self::Vector(node) => Self::Vector(VectorNode::Settle(Box::new(node))),
            Self::Matrix(MatrixNode::Subquery(mut subquery)) => {
                let expr = subquery.expr;
                subquery.expr = VectorNode::Settle(Box::new(expr));
                Self::Matrix(MatrixNode::Subquery(subquery))
            }
            other => other,
        }
    }

    pub(super) fn into_scalar(self) -> Result<ScalarNode, QueryError> {
        match self {
            Self::Scalar(node) => Ok(node),
            other => Err(other.mismatch(ValueType::Scalar)),
        }
    }

    pub(super) fn into_vector(self) -> Result<VectorNode, QueryError> {
        match self {
            Self::Vector(node) => Ok(node),
            other => Err(other.mismatch(ValueType::Vector)),
        }
    }

    pub(super) fn into_matrix(self) -> Result<MatrixNode, QueryError> {
        match self {
            Self::Matrix(node) => Ok(node),
            other => Err(other.mismatch(ValueType::Matrix)),
        }
    }

    pub(super) fn into_text(self) -> Result<String, QueryError> {
        match self {
            Self::String(text) => Ok(text),
            other => Err(other.mismatch(ValueType::String)),
        }
    }
}

impl Lowering {
    pub(super) fn expr(&self, expr: &Expr, above: Above<'_>) -> Result<Lowered, QueryError> {
        match &expr.kind {
            ExprKind::Number(v) | ExprKind::Duration(v) => {
                Ok(Lowered { plan: Plan::Scalar(ScalarNode::Number(*v)), is_invariant: true })
            }
            ExprKind::String(text) => {
                Ok(Lowered { plan: Plan::String(text.clone()), is_invariant: true })
            }
            ExprKind::Vector(selector) => self.vector_selector(selector, expr.span, above),
            ExprKind::Matrix { selector, range_ms } => {
                let select = self.select(selector, expr.span, above)?;
                let is_invariant = select.shift.at_ms.is_some();
                let node = MatrixNode::Select { select, range_ms: *range_ms };
                Ok(Lowered { plan: Plan::Matrix(node), is_invariant })
            }
            ExprKind::Subquery { .. } => self.subquery(expr),
            ExprKind::Timed(timed) => self.timed(timed, above),
            ExprKind::Unary { is_minus, expr } => self.unary(*is_minus, expr),
            ExprKind::Paren(inner) => self.expr(inner, above),
            ExprKind::Binary(binary) => self.binary(binary, expr.span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span),
            ExprKind::Call { function, args } => self.call(function, args, expr.span),
        }
    }

    /// The plan of an argument: without parentheses, marked if it is invariant and its user not.
    pub(super) fn shift(&self, offset_ms: i64, at: Option<At>) -> Shift {
        let at_ms = at.map(|at| match at {
            At::TimeMs(ms) => ms,
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        });
        Shift { offset_ms, at_ms }
    }

    pub(super) fn select(
        &self,
        selector: &Selector,
        span: Span,
        above: Above<'_>,
    ) -> Result<SelectNode, QueryError> {
        Ok(SelectNode {
            matchers: selector.matchers.clone(),
            span,
            shift: self.shift(selector.offset_ms, selector.at),
            function: above.map(str::to_owned),
            skips_buckets: false,
            edges: selector.edges,
            lookback_ms: None,
            labels: None,
        })
    }

    fn vector_selector(
        &self,
        selector: &Selector,
        span: Span,
        above: Above<'_>,
    ) -> Result<Lowered, QueryError> {
        let mut select = self.select(selector, span, above)?;
        // PARITY(prometheus): an instant selector takes `anchored` and ignores it.
        select.edges = select.edges.filter(|edges| *edges == RangeEdges::Smoothed);
        let is_invariant = select.shift.at_ms.is_some();
        Ok(Lowered { plan: Plan::Vector(VectorNode::Select(select)), is_invariant })
    }

    fn subquery(&self, expr: &Expr) -> Result<Lowered, QueryError> {
        let ExprKind::Subquery { expr: inner, range_ms, step_ms, offset_ms, at } = &expr.kind
        else {
            return Err(QueryError::Internal("a subquery is expected".to_owned()));
        };
        let expr = self.expr(inner, None)?.wrapped().into_vector()?;
        let shift = self.shift(*offset_ms, *at);
        let step_ms = step_ms.unwrap_or(self.times.subquery_step_ms);
        if step_ms <= 0 || *range_ms <= 0 {
            return Err(QueryError::Parse("duration must be greater than 0".to_owned()));
        }
        let node = SubqueryNode { expr, range_ms: *range_ms, step_ms, shift };
        Ok(Lowered {
            plan: Plan::Matrix(MatrixNode::Subquery(Box::new(node))),
            is_invariant: shift.at_ms.is_some(),
        })
    }

    /// A selector whose times are expressions: the selector with times, lowered.
    fn timed(&self, timed: &Timed, above: Above<'_>) -> Result<Lowered, QueryError> {
        let grid = self.times.seconds();
        let resolve = |time: &Option<_>, allows_negative| {
            time.as_ref().map(|time| duration::resolve_ms(time, grid, allows_negative)).transpose()
        };
        let range = resolve(&timed.range, false)?;
        let step = resolve(&timed.step, false)?;
        let offset = resolve(&timed.offset, true)?;
        let mut expr = timed.expr.clone();
        match &mut expr.kind {
            ExprKind::Vector(selector) => {
                selector.offset_ms = offset.unwrap_or(selector.offset_ms);
            }
            ExprKind::Matrix { selector, range_ms } => {
                selector.offset_ms = offset.unwrap_or(selector.offset_ms);
                *range_ms = range.unwrap_or(*range_ms);
            }
            ExprKind::Subquery { range_ms, step_ms, offset_ms, .. } => {
                *offset_ms = offset.unwrap_or(*offset_ms);
                *range_ms = range.unwrap_or(*range_ms);
                *step_ms = step.or(*step_ms);
            }
            _ => return Err(QueryError::Parse("only selectors have times".to_owned())),
        }
        self.expr(&expr, above)
    }

    fn unary(&self, is_minus: bool, expr: &Expr) -> Result<Lowered, QueryError> {
        let Lowered { plan, is_invariant } = self.expr(expr, None)?;
        let plan = match plan {
            plan @ (Plan::Scalar(_) | Plan::Vector(_)) if !is_minus => plan,
            Plan::Scalar(ScalarNode::Number(v)) => Plan::Scalar(ScalarNode::Number(-v)),
            Plan::Scalar(node) => Plan::Scalar(ScalarNode::Negate(Box::new(node))),
            Plan::Vector(node) => {
                let input = Box::new(node);
                Plan::Vector(VectorNode::Map { input, mapping: Mapping::Negate })
            }
            other => return Err(other.mismatch(ValueType::Vector)),
        };
        Ok(Lowered { plan, is_invariant })
    }

    fn binary(&self, binary: &Binary, span: Span) -> Result<Lowered, QueryError> {
        let lhs = self.expr(&binary.lhs, None)?;
        let rhs = self.expr(&binary.rhs, None)?;
        let is_invariant = lhs.is_invariant && rhs.is_invariant;
        let (lhs, rhs) =
            if is_invariant { (lhs.plan, rhs.plan) } else { (lhs.wrapped(), rhs.wrapped()) };
        let plan = match (lhs, rhs) {
            (Plan::Scalar(lhs), Plan::Scalar(rhs)) => {
                let f = operator::of_scalars(binary.op).ok_or_else(|| {
                    if !binary.op.is_set() {
                        let op = binary.op.as_str();
                        return QueryError::Execution(format!(
                            "operator {op:?} not allowed for Scalar operations"
                        ));
                    }
                    QueryError::Parse(format!(
                        "set operator {:?} not allowed in binary scalar expression",
                        binary.op.as_str()
                    ))
                })?;
                Plan::Scalar(match (lhs, rhs) {
                    (ScalarNode::Number(lhs), ScalarNode::Number(rhs)) => {
                        ScalarNode::Number(f(lhs, rhs))
                    }
                    (lhs, rhs) => {
                        let (lhs, rhs) = (Box::new(lhs), Box::new(rhs));
                        ScalarNode::Apply { f, lhs, rhs }
                    }
                })
            }
            (Plan::Vector(vector), Plan::Scalar(scalar)) => {
                vector_scalar((binary, span), vector, scalar, false)?
            }
            (Plan::Scalar(scalar), Plan::Vector(vector)) => {
                vector_scalar((binary, span), vector, scalar, true)?
            }
            (Plan::Vector(lhs), Plan::Vector(rhs)) => {
                let Some(matching) = binary.matching.clone() else {
                    return Err(QueryError::Internal("vectors without matching".to_owned()));
                };
                let (op, return_bool) = (binary.op, binary.return_bool);
                let node = BinaryNode { op, lhs, rhs, matching, return_bool, span };
                Plan::Vector(VectorNode::Binary(Box::new(node)))
            }
            _ => {
                return Err(QueryError::Parse(
                    "binary expression must contain only scalar and instant vector types"
                        .to_owned(),
                ));
            }
        };
        Ok(Lowered { plan, is_invariant })
    }

    fn aggregate(&self, aggregate: &Aggregate, span: Span) -> Result<Lowered, QueryError> {
        let input = self.expr(&aggregate.expr, Some(aggregate.op.as_str()))?;
        // PARITY(prometheus): whatever the parameter is, which then counts at the start alone.
        let is_invariant = input.is_invariant;
        let mut param = AggregateParam::None;
        if let Some(expr) = &aggregate.param {
            let lowered = self.expr(expr, None)?;
            let span = expr.unwrap_parens().span;
            param = match if is_invariant { lowered.plan } else { lowered.wrapped() } {
                Plan::String(label) => AggregateParam::Label(label),
                plan => AggregateParam::Number { value: plan.into_scalar()?, span },
            };
        }
        let mut input = if is_invariant { input.plan } else { input.wrapped() }.into_vector()?;
        if aggregate.op.param_type().is_none() && !aggregate.without {
            look_at(&mut input, aggregate.op, &aggregate.labels);
        }
        let node = AggregateNode {
            op: aggregate.op,
            input,
            param,
            labels: aggregate.labels.clone(),
            without: aggregate.without,
            span,
            input_span: aggregate.expr.unwrap_parens().span,
        };
        Ok(Lowered { plan: Plan::Vector(VectorNode::Aggregate(Box::new(node))), is_invariant })
    }

    pub(super) fn number(&self, v: f64) -> Lowered {
        Lowered { plan: Plan::Scalar(ScalarNode::Number(v)), is_invariant: true }
    }

    pub(super) fn time(&self) -> Lowered {
        Lowered::varying(Plan::Scalar(ScalarNode::Time))
    }
}

/// Has a selector get the labels alone that an aggregation groups by, or tells of.
fn look_at(input: &mut VectorNode, op: AggregateOp, labels: &[String]) {
    match input {
        VectorNode::Select(select) => {
            let mut labels = labels.to_vec();
            // Histograms that do not go together are told of by name.
            let tells_names = matches!(op, AggregateOp::Sum | AggregateOp::Avg);
            let is_there = labels.iter().any(|label| label == METRIC_NAME);
            if tells_names && !is_there && select.metric_name().is_none() {
                labels.push(METRIC_NAME.to_owned());
            }
            select.labels = Some(labels);
        }
        VectorNode::Invariant(inner) => look_at(inner, op, labels),
        _ => {}
    }
}

fn vector_scalar(
    (binary, span): (&Binary, Span),
    vector: VectorNode,
    scalar: ScalarNode,
    is_scalar_left: bool,
) -> Result<Plan, QueryError> {
    if binary.op.is_set() {
        return Err(QueryError::Parse(format!(
            "set operator {:?} not allowed in binary scalar expression",
            binary.op.as_str()
        )));
    }
    let (op, return_bool) = (binary.op, binary.return_bool);
    let mapping = Mapping::Operator { op, scalar, is_scalar_left, return_bool, span };
    Ok(Plan::Vector(VectorNode::Map { input: Box::new(vector), mapping }))
}
