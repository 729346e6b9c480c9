//! Expressions: operands with signs, joined by operators of different strength.

use super::binary::Modifiers;
use super::parser::{Parsed, Parser, join};
use super::token::{Token, TokenKind};
use crate::promql::ast::{Binary, BinaryOp, Expr, ExprKind, Span};

/// An operator whose right operand is still being read.
enum Pending {
    Sign { is_minus: bool, span: Span },
    Binary { op: BinaryOp, lhs: Expr, modifiers: Modifiers },
}

/// How strongly an operator binds. A sign binds like `*`: `-a ^ b` is `-(a ^ b)`.
fn strength(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Eql
        | BinaryOp::Neq
        | BinaryOp::Gtr
        | BinaryOp::Lss
        | BinaryOp::Gte
        | BinaryOp::Lte
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => SIGN_STRENGTH,
        BinaryOp::Pow => 6,
    }
}

const SIGN_STRENGTH: u8 = 5;

impl Pending {
    /// Whether the operand in front of `next` belongs to this operator, not to `next`.
    fn binds_before(&self, next: BinaryOp) -> bool {
        let own = match self {
            Self::Sign { .. } => SIGN_STRENGTH,
            Self::Binary { op, .. } => strength(*op),
        };
        own > strength(next) || (own == strength(next) && next != BinaryOp::Pow)
    }

    fn complete(self, operand: Expr) -> Expr {
        match self {
            Self::Sign { is_minus, span } => {
                let span = join(span, operand.span);
                let kind = match operand.kind {
                    ExprKind::Number(value) if is_minus => ExprKind::Number(-value),
                    ExprKind::Duration(value) if is_minus => ExprKind::Duration(-value),
                    kind @ (ExprKind::Number(_) | ExprKind::Duration(_)) => kind,
                    _ => ExprKind::Unary { is_minus, expr: Box::new(operand) },
                };
                Expr { kind, span }
            }
            Self::Binary { op, lhs, modifiers } => {
                let span = join(lhs.span, operand.span);
                let Modifiers { return_bool, matching } = modifiers;
                let binary =
                    Binary { op, lhs, rhs: operand, return_bool, matching: Some(matching) };
                Expr { kind: ExprKind::Binary(Box::new(binary)), span }
            }
        }
    }
}

impl Parser<'_> {
    /// Reads an expression up to the first token that cannot continue it.
    pub(super) fn parse_expression(&mut self) -> Parsed<Expr> {
        let mut pending: Vec<Pending> = Vec::new();
        loop {
            while let TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.token.kind {
                self.count_operator()?;
                let span = self.bump().span;
                pending.push(Pending::Sign { is_minus: op == BinaryOp::Sub, span });
            }
            let mut operand = self.parse_operand()?;
            let next = match self.token.kind {
                TokenKind::Op(op) => Some(op),
                _ => None,
            };
            while let Some(top) =
                pending.pop_if(|top| next.is_none_or(|next| top.binds_before(next)))
            {
                operand = top.complete(operand);
            }
            let Some(op) = next else { return Ok(operand) };
            self.count_operator()?;
            self.bump();
            let modifiers = self.parse_modifiers(operand.span)?;
            pending.push(Pending::Binary { op, lhs: operand, modifiers });
        }
    }

    fn parse_operand(&mut self) -> Parsed<Expr> {
        let operand = match self.token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let token = self.bump();
                let (seconds, is_duration) = self.number_value(token)?;
                let kind = if is_duration {
                    ExprKind::Duration(seconds)
                } else {
                    ExprKind::Number(seconds)
                };
                Expr { kind, span: token.span }
            }
            TokenKind::String => {
                let token = self.bump();
                Expr { kind: ExprKind::String(self.unquote(token)?), span: token.span }
            }
            TokenKind::LeftParen => self.parse_parens()?,
            TokenKind::LeftBrace => self.parse_vector(None)?,
            kind if kind.names_metric() => {
                let token = self.bump();
                self.parse_named(token)?
            }
            _ => return Err(self.unexpected_token()),
        };
        self.parse_postfixes(operand)
    }

    /// What a name begins: an aggregation, a call, or a selector.
    fn parse_named(&mut self, name: Token) -> Parsed<Expr> {
        match (name.kind, self.token.kind) {
            (TokenKind::Aggregate(op), kind) if Self::begins_aggregation(kind) => {
                self.parse_aggregation(op, name)
            }
            (TokenKind::Identifier | TokenKind::Preprocessor(_), TokenKind::LeftParen) => {
                self.parse_call(name)
            }
            _ => self.parse_vector(Some(name)),
        }
    }

    fn parse_parens(&mut self) -> Parsed<Expr> {
        self.enter()?;
        let open = self.bump();
        let inner = self.parse_expression()?;
        let Some(close) = self.eat(TokenKind::RightParen) else {
            return Err(self.unexpected_token());
        };
        self.leave();
        Ok(Expr { kind: ExprKind::Paren(Box::new(inner)), span: join(open.span, close.span) })
    }

    fn parse_vector(&mut self, name: Option<Token>) -> Parsed<Expr> {
        let (selector, span) = self.parse_selector_after(name)?;
        Ok(Expr { kind: ExprKind::Vector(selector), span })
    }
}
