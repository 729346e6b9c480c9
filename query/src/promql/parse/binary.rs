//! What stands between a binary operator and its right operand.

use super::aggregate::GROUPING;
use super::parser::{Expected, Parsed, Parser};
use super::token::{Keyword, TokenKind};
use crate::promql::ast::{BinaryOp, Cardinality, Span, VectorMatching};

/// `bool`, `on`, `group_left`, `fill` and the like.
pub(super) struct Modifiers {
    pub(super) return_bool: bool,
    pub(super) matching: VectorMatching,
}

impl Parser<'_> {
    /// Reads modifiers; `lhs` is the place of the left operand.
    pub(super) fn parse_modifiers(&mut self, lhs: Span) -> Parsed<Modifiers> {
        let return_bool = self.eat(TokenKind::Keyword(Keyword::Bool)).is_some();
        let mut matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill: (None, None),
        };
        if let TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.token.kind {
            self.bump();
            matching.on = keyword == Keyword::On;
            (matching.labels, _) = self.parse_labels()?;
            self.parse_group(&mut matching)?;
        }
        let fill_span = self.token.span;
        matching.fill = self.parse_fill()?;
        if matching.fill != (None, None) && !self.options.fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.unsupported(Span { end: fill_span.end, ..lhs }, message));
        }
        Ok(Modifiers { return_bool, matching })
    }

    fn parse_group(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        matching.cardinality = match self.token.kind {
            TokenKind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.bump();
        if self.token.kind == TokenKind::LeftParen {
            (matching.include, _) = self.parse_labels()?;
        } else if !self.token.kind.begins_expression() {
            return Err(self.unexpected(Expected { context: GROUPING, expected: "\"(\"" }));
        }
        Ok(())
    }

    /// `fill(v)` for both sides, or `fill_left(v)` and `fill_right(v)` in any order.
    fn parse_fill(&mut self) -> Parsed<(Option<f64>, Option<f64>)> {
        let first = match self.token.kind {
            TokenKind::Keyword(keyword @ (Keyword::FillLeft | Keyword::FillRight)) => keyword,
            TokenKind::Keyword(Keyword::Fill) => {
                self.bump();
                let value = self.parse_fill_value()?;
                return Ok((Some(value), Some(value)));
            }
            _ => return Ok((None, None)),
        };
        self.bump();
        let value = self.parse_fill_value()?;
        let is_left = first == Keyword::FillLeft;
        let second = if is_left { Keyword::FillRight } else { Keyword::FillLeft };
        let mut other = None;
        if self.eat(TokenKind::Keyword(second)).is_some() {
            other = Some(self.parse_fill_value()?);
        }
        Ok(if is_left { (Some(value), other) } else { (other, Some(value)) })
    }

    fn parse_fill_value(&mut self) -> Parsed<f64> {
        if self.eat(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected_token());
        }
        let is_minus = self.eat(TokenKind::Op(BinaryOp::Sub)).is_some();
        if !is_minus {
            self.eat(TokenKind::Op(BinaryOp::Add));
        }
        if !matches!(self.token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected_token());
        }
        let token = self.bump();
        let (value, _) = self.number_value(token)?;
        if self.eat(TokenKind::RightParen).is_none() {
            return Err(self.unexpected_token());
        }
        Ok(if is_minus { -value } else { value })
    }
}
