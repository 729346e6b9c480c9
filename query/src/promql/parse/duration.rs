//! Durations in brackets and behind `offset`: literals, and expressions of them.

use super::number::{parse_duration_literal, parse_number};
use super::parser::{Expected, Parsed, Parser, join};
use super::token::{Preprocessor, Token, TokenKind};
use crate::promql::ast::{BinaryOp, DurationExpr, DurationOp, OffsetSign, PlacedDuration, Span};

/// A duration as read.
pub(super) enum Duration {
    /// Known now.
    Fixed {
        /// In seconds, as written.
        seconds: f64,
        /// In whole milliseconds, the rest cut off.
        ms: i64,
    },
    /// Known when the query runs.
    Computed(PlacedDuration),
}

impl Duration {
    /// Milliseconds, or 0 and the expression.
    pub(super) fn split(self) -> (i64, Option<PlacedDuration>) {
        match self {
            Self::Fixed { ms, .. } => (ms, None),
            Self::Computed(expr) => (0, Some(expr)),
        }
    }

    fn new(expr: DurationExpr, span: Span) -> Self {
        match expr {
            DurationExpr::Number(seconds) | DurationExpr::Literal(seconds) => {
                Self::Fixed { seconds, ms: to_ms(seconds) }
            }
            expr => Self::Computed(PlacedDuration::new(expr, span)),
        }
    }
}

/// PARITY(prometheus): rounds to nanoseconds, then cuts off to milliseconds. NaN becomes the least
/// time of all, as Go converts it on amd64.
#[expect(clippy::cast_possible_truncation, reason = "checked against SECONDS_MAX before")]
fn to_ms(seconds: f64) -> i64 {
    if seconds.is_nan() {
        return i64::MIN / 1_000_000;
    }
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// PARITY(prometheus): the whole seconds and the rest are added as floats.
#[expect(clippy::cast_precision_loss, reason = "below 2^53 milliseconds")]
fn to_seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000) as f64 / 1000.0
}

/// The nanoseconds of an `i64`, in seconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_775;

/// Whether a parenthesis is printed first.
fn begins_in_parens(expr: &DurationExpr) -> bool {
    match expr {
        DurationExpr::Paren(_) => true,
        DurationExpr::Binary { op, lhs, .. } => {
            !matches!(op, DurationOp::MinOf | DurationOp::MaxOf) && begins_in_parens(lhs)
        }
        _ => false,
    }
}

const ADD_STRENGTH: u8 = 1;
const MUL_STRENGTH: u8 = 2;
const POW_STRENGTH: u8 = 3;

/// A duration expression and where it stands.
type Placed = (DurationExpr, Span);

impl Parser<'_> {
    /// The value of a number or, in seconds, of a duration; and whether it is a duration.
    pub(super) fn number_value(&self, token: Token) -> Parsed<(f64, bool)> {
        let text = self.text_of(token);
        let is_duration = token.kind == TokenKind::Duration;
        let value = if is_duration {
            parse_duration_literal(text).map(to_seconds)
        } else {
            parse_number(text)
        };
        let value = value.map_err(|message| self.error(token.span, message))?;
        Ok((value, is_duration))
    }

    /// A duration that must be positive, as far as it is known now.
    pub(super) fn parse_positive_duration(
        &mut self,
        expected: Expected,
    ) -> Parsed<(Duration, Span)> {
        let (expr, span) = self.parse_duration(expected)?;
        if self.token.kind == TokenKind::Error {
            return Err(self.unexpected(expected));
        }
        let duration = Duration::new(expr, span);
        match duration {
            Duration::Fixed { seconds, .. } if seconds <= 0.0 => {
                Err(self.error(self.inside_parens(span), "duration must be greater than 0"))
            }
            _ => Ok((duration, span)),
        }
    }

    /// PARITY(prometheus): a literal in parentheses stands where it begins, not where they do.
    fn inside_parens(&self, span: Span) -> Span {
        let is_around = |c: char| c == '(' || c.is_whitespace();
        let text = self.text_at(span);
        let skipped = text.len() - text.trim_start_matches(is_around).len();
        Span { start: span.start + u32::try_from(skipped).unwrap_or(0), ..span }
    }

    /// The duration behind `offset`.
    ///
    /// PARITY(prometheus): a sign, a literal or a call here ends the duration, so that operators
    /// behind it belong to the query: `a offset 5m + b`. A leading parenthesis does not.
    pub(super) fn parse_offset_duration(&mut self) -> Parsed<(Duration, Span, OffsetSign)> {
        const EXPECTED: Expected =
            Expected { context: "offset", expected: "number, duration, step(), or range()" };
        let sign = match self.token.kind {
            TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.count_operator()?;
                Some((op, self.bump().span))
            }
            _ => None,
        };
        let is_signed = sign.is_some();
        let is_plus = matches!(sign, Some((BinaryOp::Add, _)));
        let shown = match self.token.kind {
            TokenKind::Preprocessor(_) if is_plus => OffsetSign::Plus,
            _ => OffsetSign::Merged,
        };
        let (expr, span) = match self.token.kind {
            TokenKind::Number | TokenKind::Duration | TokenKind::Preprocessor(_) => {
                let operand = self.parse_duration_operand(EXPECTED)?;
                self.apply_sign(sign, operand)?
            }
            TokenKind::LeftParen if is_signed => {
                let operand = self.parse_duration_operand(EXPECTED)?;
                self.apply_sign(sign, operand)?
            }
            _ => {
                let operand = self.parse_signed_duration(EXPECTED)?;
                let operand = self.apply_sign(sign, operand)?;
                let (expr, span) = self.parse_duration_tail(operand, ADD_STRENGTH, EXPECTED)?;
                match expr {
                    // As parentheses are what makes it one duration, it begins with some.
                    DurationExpr::Binary { .. } if !begins_in_parens(&expr) => {
                        (DurationExpr::Paren(Box::new(expr)), span)
                    }
                    expr => (expr, span),
                }
            }
        };
        Ok((Duration::new(expr, span), span, shown))
    }

    fn parse_duration(&mut self, expected: Expected) -> Parsed<Placed> {
        let operand = self.parse_signed_duration(expected)?;
        self.parse_duration_tail(operand, ADD_STRENGTH, expected)
    }

    /// Operators at least as strong as `strength_min` behind an operand.
    fn parse_duration_tail(
        &mut self,
        mut lhs: Placed,
        strength_min: u8,
        expected: Expected,
    ) -> Parsed<Placed> {
        while let TokenKind::Op(token_op) = self.token.kind {
            let (op, strength) = match token_op {
                BinaryOp::Add => (DurationOp::Add, ADD_STRENGTH),
                BinaryOp::Sub => (DurationOp::Sub, ADD_STRENGTH),
                BinaryOp::Mul => (DurationOp::Mul, MUL_STRENGTH),
                BinaryOp::Div => (DurationOp::Div, MUL_STRENGTH),
                BinaryOp::Mod => (DurationOp::Mod, MUL_STRENGTH),
                BinaryOp::Pow => (DurationOp::Pow, POW_STRENGTH),
                _ => break,
            };
            if strength < strength_min {
                break;
            }
            self.count_operator()?;
            let place = self.bump().span;
            let rhs = self.parse_signed_duration(expected)?;
            let right_min = if op == DurationOp::Pow { strength } else { strength + 1 };
            let rhs = self.parse_duration_tail(rhs, right_min, expected)?;
            self.check_enabled(lhs.1)?;
            let is_zero = matches!(rhs.0, DurationExpr::Number(0.0) | DurationExpr::Literal(0.0));
            match op {
                DurationOp::Div if is_zero => return Err(self.error(place, "division by zero")),
                DurationOp::Mod if is_zero => return Err(self.error(place, "modulo by zero")),
                _ => {}
            }
            let span = join(lhs.1, rhs.1);
            let inner = join(lhs.0.span_within(lhs.1), rhs.0.span_within(rhs.1));
            let (lhs_expr, rhs_expr) = (Box::new(lhs.0), Box::new(rhs.0));
            lhs = (DurationExpr::Binary { op, lhs: lhs_expr, rhs: rhs_expr, span: inner }, span);
        }
        Ok(lhs)
    }

    /// An operand with its signs; a sign binds like `*`.
    fn parse_signed_duration(&mut self, expected: Expected) -> Parsed<Placed> {
        let TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.token.kind else {
            return self.parse_duration_operand(expected);
        };
        self.count_operator()?;
        let place = self.bump().span;
        let operand = self.parse_signed_duration(expected)?;
        let operand = self.parse_duration_tail(operand, POW_STRENGTH, expected)?;
        self.apply_sign(Some((op, place)), operand)
    }

    fn apply_sign(&self, sign: Option<(BinaryOp, Span)>, operand: Placed) -> Parsed<Placed> {
        let Some((op, place)) = sign else { return Ok(operand) };
        let span = join(place, operand.1);
        let is_minus = op == BinaryOp::Sub;
        let expr = match operand.0 {
            DurationExpr::Number(value) if is_minus => DurationExpr::Number(-value),
            DurationExpr::Literal(value) if is_minus => DurationExpr::Literal(-value),
            expr @ (DurationExpr::Number(_) | DurationExpr::Literal(_)) => expr,
            expr => {
                self.check_enabled(span)?;
                if !is_minus {
                    return Ok((expr, span));
                }
                let inner = join(place, expr.span_within(operand.1));
                DurationExpr::Negative { expr: Box::new(expr), span: inner }
            }
        };
        Ok((expr, span))
    }

    fn parse_duration_operand(&mut self, expected: Expected) -> Parsed<Placed> {
        match self.token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let token = self.bump();
                let (seconds, is_literal) = self.number_value(token)?;
                // PARITY(prometheus): NaN is found only when the query runs.
                if seconds.abs() > SECONDS_MAX {
                    return Err(self.error(token.span, "duration out of range"));
                }
                let expr = if is_literal {
                    DurationExpr::Literal(seconds)
                } else {
                    DurationExpr::Number(seconds)
                };
                Ok((expr, token.span))
            }
            TokenKind::Preprocessor(name) => self.parse_duration_call(name, expected),
            TokenKind::LeftParen => {
                self.enter()?;
                let open = self.bump();
                let (inner, place) = self.parse_duration(expected)?;
                let Some(close) = self.eat(TokenKind::RightParen) else {
                    return Err(self.unexpected(expected));
                };
                self.leave();
                self.check_enabled(place)?;
                let expr = match inner {
                    // Parentheses around a literal, or around others, say nothing.
                    DurationExpr::Number(_) | DurationExpr::Literal(_) | DurationExpr::Paren(_) => {
                        inner
                    }
                    inner => DurationExpr::Paren(Box::new(inner)),
                };
                Ok((expr, join(open.span, close.span)))
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// `step()`, `range()`, `min_of(a, b)` or `max_of(a, b)`
    fn parse_duration_call(&mut self, name: Preprocessor, expected: Expected) -> Parsed<Placed> {
        if matches!(name, Preprocessor::Start | Preprocessor::End) {
            return Err(self.unexpected(expected));
        }
        self.enter()?;
        let start = self.bump().span;
        if self.eat(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected(expected));
        }
        let expr = match name {
            Preprocessor::Step => DurationExpr::Step,
            Preprocessor::Range => DurationExpr::Range,
            _ => {
                let (lhs, left) = self.parse_duration(expected)?;
                if self.eat(TokenKind::Comma).is_none() {
                    return Err(self.unexpected(expected));
                }
                let (rhs, right) = self.parse_duration(expected)?;
                // PARITY(prometheus): such a call stands where its arguments do.
                let span = join(lhs.span_within(left), rhs.span_within(right));
                let op = match name {
                    Preprocessor::MinOf => DurationOp::MinOf,
                    _ => DurationOp::MaxOf,
                };
                DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs), span }
            }
        };
        let Some(close) = self.eat(TokenKind::RightParen) else {
            return Err(self.unexpected(expected));
        };
        self.leave();
        let span = join(start, close.span);
        self.check_enabled(span)?;
        Ok((expr, span))
    }

    fn check_enabled(&self, place: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.unsupported(place, "experimental duration expression is not enabled"))
    }
}
