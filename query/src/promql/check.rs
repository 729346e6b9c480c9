//! Types: does each operator, function and aggregation get what it takes?
//!
//! Runs on a tree that the parser has just built, whose depth is limited.

use m3rs_core::model::{MatchOp, Matcher};

use super::ast::{Aggregate, Binary, Cardinality, Expr, ExprKind, Selector, Span, ValueType};
use super::error::{ParseError, ParseErrorCause};
use super::parse::regexp_matches_empty;
use super::print::quote::quote;
use super::signature::{Signature, signature};

type Checked<T> = Result<T, ParseError>;

/// Checks a tree and settles what depends on types: how vectors match.
pub(super) fn check(text: &str, expr: &mut Expr) -> Checked<()> {
    Checker { text }.expression(expr).map(|_| ())
}

impl Expr {
    /// The type of the expression's value.
    ///
    /// **Cost:** linear in the expression's depth.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix { .. } | ExprKind::Subquery { .. } => ValueType::Matrix,
            ExprKind::Timed(timed) => timed.expr.value_type(),
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => {
                let is_scalar = |expr: &Self| expr.value_type() == ValueType::Scalar;
                // The right side first: chains of operators lean to the left.
                if is_scalar(&binary.rhs) && is_scalar(&binary.lhs) {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            ExprKind::Call { function, .. } => {
                signature(function).map_or(ValueType::Vector, |signature| signature.returns)
            }
        }
    }
}

struct Checker<'a> {
    text: &'a str,
}

impl Checker<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(ParseErrorCause::Type, self.text, span, message)
    }

    /// Checks a tree and gives the type of its value.
    fn expression(&self, expr: &mut Expr) -> Checked<ValueType> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => Ok(ValueType::Scalar),
            ExprKind::String(_) => Ok(ValueType::String),
            ExprKind::Vector(selector) => {
                self.selector(selector, span)?;
                Ok(ValueType::Vector)
            }
            ExprKind::Matrix { selector, .. } => {
                self.selector(selector, span)?;
                Ok(ValueType::Matrix)
            }
            ExprKind::Timed(timed) => self.expression(&mut timed.expr),
            ExprKind::Paren(inner) => self.expression(inner),
            ExprKind::Subquery { expr: inner, .. } => {
                let found = self.expression(inner)?;
                if found == ValueType::Vector {
                    return Ok(ValueType::Matrix);
                }
                let name = undocumented(found);
                let message =
                    format!("subquery is only allowed on instant vector, got {name} instead");
                Err(self.error(span, message))
            }
            ExprKind::Unary { expr: inner, .. } => {
                let found = self.expression(inner)?;
                if matches!(found, ValueType::Scalar | ValueType::Vector) {
                    return Ok(found);
                }
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant \
                     vector, got {}",
                    quote(found.documented())
                );
                Err(self.error(span, message))
            }
            ExprKind::Binary(binary) => self.binary(binary, span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Call { function, args } => {
                let signature = signature(function)
                    .expect("BUG: the parser refuses functions that it does not know");
                self.call(signature, args, span)
            }
        }
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, context: &str) -> Checked<()> {
        let found = self.expression(expr)?;
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (wanted.documented(), found.documented());
        let message = format!("expected type {wanted} in {context}, got {found}");
        Err(self.error(expr.span, message))
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Checked<ValueType> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        if let (Some(wanted), Some(param)) = (aggregate.op.param_type(), &mut aggregate.param) {
            self.expect(param, wanted, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    fn call(&self, signature: &Signature, args: &mut [Expr], span: Span) -> Checked<ValueType> {
        let (name, count) = (quote(signature.name), args.len());
        let (count_min, count_max) = signature.arg_counts();
        if count_max == Some(count_min) && count != count_min {
            let message =
                format!("expected {count_min} argument(s) in call to {name}, got {count}");
            return Err(self.error(span, message));
        }
        if count < count_min {
            let message =
                format!("expected at least {count_min} argument(s) in call to {name}, got {count}");
            return Err(self.error(span, message));
        }
        if let Some(count_max) = count_max.filter(|count_max| count > *count_max) {
            let message =
                format!("expected at most {count_max} argument(s) in call to {name}, got {count}");
            return Err(self.error(span, message));
        }
        let context = format!("call to function {name}");
        let is_info = signature.name == "info";
        if let Some(labels) = args.get(1).filter(|_| is_info) {
            self.info_labels(labels, span, &context)?;
        }
        for (index, arg) in args.iter_mut().enumerate() {
            // The labels of `info` may select every series.
            if is_info && index == 1 {
                continue;
            }
            let wanted = signature.args.get(index).or_else(|| signature.args.last());
            let wanted = *wanted.expect("BUG: functions without arguments were counted above");
            self.expect(arg, wanted, &context)?;
        }
        Ok(signature.returns)
    }

    /// The second argument of `info`: conditions in braces.
    fn info_labels(&self, labels: &Expr, span: Span, context: &str) -> Checked<()> {
        let found = labels.value_type();
        if found != ValueType::Vector {
            let (wanted, found) = (ValueType::Vector.documented(), found.documented());
            let message = format!("expected type {wanted} in {context}, got {found}");
            return Err(self.error(span, message));
        }
        let kind = match &labels.kind {
            ExprKind::Timed(timed) => &timed.expr.kind,
            kind => kind,
        };
        match kind {
            ExprKind::Vector(Selector { name: None, .. }) => Ok(()),
            ExprKind::Vector(_) => {
                let message = "expected label selectors only, got vector selector instead";
                Err(self.error(labels.span, message))
            }
            _ => Err(self.error(labels.span, "expected label selectors only")),
        }
    }

    fn selector(&self, selector: &Selector, span: Span) -> Checked<()> {
        let Some(name) = &selector.name else {
            if selector.matchers.iter().all(matches_empty) {
                let message = "vector selector must contain at least one non-empty matcher";
                return Err(self.error(span, message));
            }
            return Ok(());
        };
        // The last condition is the name's own.
        let others = selector.matchers.split_last().map_or(&[][..], |(_, others)| others);
        match others.iter().find(|matcher| matcher.name == "__name__") {
            None => Ok(()),
            Some(other) => {
                let (name, other) = (quote(name), quote(&other.value));
                let message = format!("metric name must not be set twice: {name} or {other}");
                Err(self.error(span, message))
            }
        }
    }

    fn binary(&self, binary: &mut Binary, span: Span) -> Checked<ValueType> {
        let lhs = self.expression(&mut binary.lhs)?;
        let rhs = self.expression(&mut binary.rhs)?;
        let Binary { op, return_bool, matching, .. } = binary;
        let op_span = || self.op_span(binary.lhs.span.end, binary.rhs.span.start);
        if *return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return Err(self.error(op_span(), message));
        }
        let is_scalar = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        if op.is_comparison() && !*return_bool && is_scalar {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.error(op_span(), message));
        }
        if let Some(matching) = matching
            && let Some(label) =
                matching.labels.iter().find(|label| matching.include.contains(label))
            && matching.on
        {
            let message =
                format!("label {} must not occur in ON and GROUP clause at once", quote(label));
            return Err(self.error(op_span(), message));
        }
        for (side, found) in [(&binary.lhs, lhs), (&binary.rhs, rhs)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.span, message));
            }
        }
        self.matching(binary, lhs == ValueType::Vector && rhs == ValueType::Vector, span)?;
        Ok(if is_scalar { ValueType::Scalar } else { ValueType::Vector })
    }

    fn matching(&self, binary: &mut Binary, are_vectors: bool, span: Span) -> Checked<()> {
        let op = binary.op;
        let Some(matching) = &mut binary.matching else { return Ok(()) };
        let has_fill = matching.fill != (None, None);
        if !are_vectors {
            if !matching.labels.is_empty() {
                let message = "vector matching only allowed between instant vectors";
                return Err(self.error(span, message));
            }
            if has_fill {
                let message = "filling in missing series only allowed between instant vectors";
                return Err(self.error(span, message));
            }
            binary.matching = None;
            if op.is_set() {
                let name = quote(op.as_str());
                let message =
                    format!("set operator {name} not allowed in binary scalar expression");
                return Err(self.error(span, message));
            }
            return Ok(());
        }
        if !op.is_set() {
            return Ok(());
        }
        if matching.cardinality != Cardinality::OneToOne {
            let message = format!("no grouping allowed for {} operation", quote(op.as_str()));
            return Err(self.error(span, message));
        }
        matching.cardinality = Cardinality::ManyToMany;
        if has_fill {
            let message = "filling in missing series not allowed for set operators";
            return Err(self.error(span, message));
        }
        Ok(())
    }

    /// From the operator to the right operand, without spaces at the ends.
    fn op_span(&self, start: u32, end: u32) -> Span {
        let between = self.text.get(start as usize..end as usize).unwrap_or_default();
        let spaces = |text: &str, trimmed: &str| {
            u32::try_from(text.len() - trimmed.len()).unwrap_or_default()
        };
        let spaces_before = spaces(between, between.trim_start());
        let spaces_after = spaces(between, between.trim_end());
        Span { start: start + spaces_before, end: end - spaces_after }
    }
}

/// Whether a series without the label fits the condition.
pub(super) fn matches_empty(matcher: &Matcher) -> bool {
    match matcher.op {
        MatchOp::Equal => matcher.value.is_empty(),
        MatchOp::NotEqual => !matcher.value.is_empty(),
        MatchOp::Regexp => regexp_matches_empty(&matcher.value),
        MatchOp::NotRegexp => !regexp_matches_empty(&matcher.value),
    }
}

/// The word of Prometheus's code, which one of its messages shows.
fn undocumented(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}
