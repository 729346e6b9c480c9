//! Function calls and lists of arguments.

use super::parser::{Parsed, Parser, join};
use super::token::{Token, TokenKind};
use crate::promql::ast::{Expr, ExprKind, Span};
use crate::promql::print::quote::quote;
use crate::promql::signature::signature;

impl Parser<'_> {
    /// A call, from the parenthesis behind its name on.
    pub(super) fn parse_call(&mut self, name: Token) -> Parsed<Expr> {
        let (args, close) = self.parse_args()?;
        let function = self.text_of(name);
        let Some(signature) = signature(function) else {
            let message = format!("unknown function with name {}", quote(function));
            return Err(self.error(name.span, message));
        };
        if signature.experimental && !self.options.experimental_functions {
            let message = format!("function {} is not enabled", quote(function));
            return Err(self.unsupported(name.span, message));
        }
        let kind = ExprKind::Call { function: function.to_owned(), args };
        Ok(Expr { kind, span: join(name.span, close) })
    }

    /// Expressions in parentheses, and the closing one's place.
    pub(super) fn parse_args(&mut self) -> Parsed<(Vec<Expr>, Span)> {
        self.enter()?;
        if self.eat(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected_token());
        }
        let mut args = Vec::new();
        if self.token.kind != TokenKind::RightParen {
            args.push(self.parse_expression()?);
        }
        while let Some(comma) = self.eat(TokenKind::Comma) {
            if args.is_empty() {
                return Err(self.unexpected_token());
            }
            if !self.token.kind.begins_expression() && self.token.kind != TokenKind::Error {
                let message = "trailing commas not allowed in function call args";
                return Err(self.error(comma.span, message));
            }
            args.push(self.parse_expression()?);
        }
        let Some(close) = self.eat(TokenKind::RightParen) else {
            return Err(self.unexpected_token());
        };
        self.leave();
        Ok((args, close.span))
    }
}
