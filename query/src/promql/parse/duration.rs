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

    fn new(placed: Placed) -> Self {
        match placed.expr {
            DurationExpr::Number(seconds) | DurationExpr::Literal(seconds) => {
                Self::Fixed { seconds, ms: to_ms(seconds) }
            }
            expr => Self::Computed(PlacedDuration { expr, span: placed.inner }),
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
struct Placed {
    expr: DurationExpr,
    /// With parentheses around it.
    outer: Span,
    /// Without, which is where its faults are.
    inner: Span,
}

impl Placed {
    fn new(expr: DurationExpr, span: Span) -> Self {
        Self { expr, outer: span, inner: span }
    }
}

fn apply_sign(sign: Option<(BinaryOp, Span)>, operand: Placed) -> Placed {
    let Some((op, place)) = sign else { return operand };
    let is_minus = op == BinaryOp::Sub;
    let outer = join(place, operand.outer);
    let inner = join(place, operand.inner);
    let expr = match operand.expr {
        DurationExpr::Number(value) if is_minus => DurationExpr::Number(-value),
        DurationExpr::Literal(value) if is_minus => DurationExpr::Literal(-value),
        expr @ (DurationExpr::Number(_) | DurationExpr::Literal(_)) => expr,
        expr if is_minus => DurationExpr::Negative { expr: Box::new(expr), span: inner },
        expr => return Placed { expr, outer, inner: operand.inner },
    };
    Placed { expr, outer, inner }
}

/// Two operands, and where they stand.
fn binary(op: DurationOp, lhs: Placed, rhs: Placed) -> Placed {
    let span = join(lhs.inner, rhs.inner);
    let (lhs, rhs) = (Box::new(lhs.expr), Box::new(rhs.expr));
    Placed::new(DurationExpr::Binary { op, lhs, rhs, span }, span)
}

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
        let placed = self.parse_duration(expected)?;
        if self.token.kind == TokenKind::Error {
            return Err(self.unexpected(expected));
        }
        let Placed { outer, inner, .. } = placed;
        match Duration::new(placed) {
            Duration::Fixed { seconds, .. } if seconds <= 0.0 => {
                Err(self.error(inner, "duration must be greater than 0"))
            }
            duration => Ok((duration, outer)),
        }
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
        let placed = match self.token.kind {
            TokenKind::Number | TokenKind::Duration | TokenKind::Preprocessor(_) => {
                let operand = self.parse_duration_operand(EXPECTED)?;
                apply_sign(sign, operand)
            }
            TokenKind::LeftParen if is_signed => {
                let operand = self.parse_duration_operand(EXPECTED)?;
                apply_sign(sign, operand)
            }
            _ => {
                let operand = self.parse_signed_duration(EXPECTED)?;
                let operand = apply_sign(sign, operand);
                let mut placed = self.parse_duration_tail(operand, ADD_STRENGTH, EXPECTED)?;
                let is_binary = matches!(placed.expr, DurationExpr::Binary { .. });
                if is_binary && !begins_in_parens(&placed.expr) {
                    // As parentheses are what makes it one duration, it begins with some.
                    placed.expr = DurationExpr::Paren(Box::new(placed.expr));
                }
                placed
            }
        };
        let span = placed.outer;
        Ok((Duration::new(placed), span, shown))
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
            self.check_enabled(lhs.inner)?;
            let is_zero =
                matches!(rhs.expr, DurationExpr::Number(0.0) | DurationExpr::Literal(0.0));
            match op {
                DurationOp::Div if is_zero => return Err(self.error(place, "division by zero")),
                DurationOp::Mod if is_zero => return Err(self.error(place, "modulo by zero")),
                _ => {}
            }
            let outer = join(lhs.outer, rhs.outer);
            lhs = Placed { outer, ..binary(op, lhs, rhs) };
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
        Ok(apply_sign(Some((op, place)), operand))
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
                Ok(Placed::new(expr, token.span))
            }
            TokenKind::Preprocessor(name) => self.parse_duration_call(name, expected),
            TokenKind::LeftParen => {
                self.enter()?;
                let open = self.bump();
                let placed = self.parse_duration(expected)?;
                let Some(close) = self.eat(TokenKind::RightParen) else {
                    return Err(self.unexpected(expected));
                };
                self.leave();
                self.check_enabled(placed.inner)?;
                let expr = match placed.expr {
                    // Parentheses around a literal, or around others, say nothing.
                    expr @ (DurationExpr::Number(_)
                    | DurationExpr::Literal(_)
                    | DurationExpr::Paren(_)) => expr,
                    expr => DurationExpr::Paren(Box::new(expr)),
                };
                Ok(Placed { expr, outer: join(open.span, close.span), inner: placed.inner })
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
        let mut placed = match name {
            Preprocessor::Step => Placed::new(DurationExpr::Step, start),
            Preprocessor::Range => Placed::new(DurationExpr::Range, start),
            _ => {
                let lhs = self.parse_duration(expected)?;
                if self.eat(TokenKind::Comma).is_none() {
                    return Err(self.unexpected(expected));
                }
                let rhs = self.parse_duration(expected)?;
                let op = match name {
                    Preprocessor::MinOf => DurationOp::MinOf,
                    _ => DurationOp::MaxOf,
                };
                binary(op, lhs, rhs)
            }
        };
        let Some(close) = self.eat(TokenKind::RightParen) else {
            return Err(self.unexpected(expected));
        };
        self.leave();
        placed.outer = join(start, close.span);
        if !matches!(placed.expr, DurationExpr::Binary { .. }) {
            placed.inner = placed.outer;
        }
        // PARITY(prometheus): a call with arguments stands where they do.
        self.check_enabled(placed.inner)?;
        Ok(placed)
    }

    fn check_enabled(&self, place: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.unsupported(place, "experimental duration expression is not enabled"))
    }
}
