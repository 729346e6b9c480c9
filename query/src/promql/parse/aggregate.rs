//! Aggregations and lists of label names.

use super::parser::{Expected, Parsed, Parser, join};
use super::string;
use super::token::{Keyword, Token, TokenKind};
use crate::promql::ast::{Aggregate, AggregateOp, Expr, ExprKind, Span};
use crate::promql::error::{ParseError, ParseErrorCause};
use crate::promql::print::quote::{quote, quote_bytes};

pub(super) const GROUPING: &str = "grouping opts";

impl Parser<'_> {
    /// Whether the token behind an aggregation's name makes it one, not the name of a metric.
    pub(super) fn begins_aggregation(kind: TokenKind) -> bool {
        matches!(kind, TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without))
    }

    /// An aggregation, from the token behind its name on.
    pub(super) fn parse_aggregation(&mut self, op: AggregateOp, name: Token) -> Parsed<Expr> {
        self.open_aggregations += 1;
        let mut grouping = self.parse_aggregation_modifier()?;
        let has_modifier = grouping.is_some();
        let open = self.token.span;
        let (args, close) = self.parse_args().map_err(|error| match op {
            AggregateOp::CountValues => self.as_label_error(open, error),
            _ => error,
        })?;
        let mut span = join(name.span, close);
        if !has_modifier {
            grouping = self.parse_aggregation_modifier()?;
        }
        self.open_aggregations -= 1;
        // The look for a modifier has come upon the fault of the lexer, which is then told first.
        if grouping.is_none() && self.token.kind == TokenKind::Error {
            return Err(self.unexpected_token());
        }
        let (labels, without) = match grouping {
            Some(grouping) => {
                span.end = span.end.max(grouping.end);
                (grouping.labels, grouping.without)
            }
            None => (Vec::new(), false),
        };
        let count = args.len();
        if count == 0 {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.unsupported(span, message));
        }
        let wrong_count = |wanted: usize| {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, \
                 got {count}"
            );
            self.error(span, message)
        };
        let mut args = args.into_iter();
        let (param, expr) = match (op.param_type(), args.next(), args.next(), count) {
            (Some(_), Some(param), Some(expr), 2) => (Some(param), expr),
            (None, Some(expr), None, 1) => (None, expr),
            (param, ..) => return Err(wrong_count(if param.is_some() { 2 } else { 1 })),
        };
        let aggregate = Aggregate { op, expr, param, labels, without };
        Ok(Expr { kind: ExprKind::Aggregate(Box::new(aggregate)), span })
    }

    /// What is wrong with the label of `count_values`, if that is what `error` is about: text
    /// that is not UTF-8 names no label. `open` is the parenthesis in front of it.
    fn as_label_error(&self, open: Span, error: ParseError) -> ParseError {
        let before = self.text_at(Span { start: open.end, end: error.span().start });
        match string::unquote_bytes(self.text_at(error.span())) {
            Some(bytes) if before.trim().is_empty() && std::str::from_utf8(&bytes).is_err() => {
                let message = format!("invalid label name {}", quote_bytes(&bytes));
                let (cause, span) = (ParseErrorCause::Evaluation, error.span());
                ParseError::new(cause, self.text, span, message)
            }
            _ => error,
        }
    }

    fn parse_aggregation_modifier(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.token.kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.bump();
        let (labels, end) = self.parse_labels()?;
        Ok(Some(Grouping { labels, without, end }))
    }

    /// Label names in parentheses, and the end of the closing one.
    pub(super) fn parse_labels(&mut self) -> Parsed<(Vec<String>, u32)> {
        if self.eat(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected(Expected { context: GROUPING, expected: "\"(\"" }));
        }
        let mut labels = Vec::new();
        if let Some(close) = self.eat(TokenKind::RightParen) {
            return Ok((labels, close.span.end));
        }
        loop {
            labels.push(self.parse_label()?);
            let has_comma = self.eat(TokenKind::Comma).is_some();
            if let Some(close) = self.eat(TokenKind::RightParen) {
                return Ok((labels, close.span.end));
            }
            if !has_comma {
                let expected = "\",\" or \")\"";
                return Err(self.unexpected(Expected { context: GROUPING, expected }));
            }
        }
    }

    fn parse_label(&mut self) -> Parsed<String> {
        let kind = self.token.kind;
        if kind.names_label() {
            let token = self.bump();
            return Ok(self.text_of(token).to_owned());
        }
        if kind != TokenKind::String {
            return Err(self.unexpected(Expected { context: GROUPING, expected: "label" }));
        }
        let token = self.bump();
        let label = self.unquote(token)?;
        if label.is_empty() {
            let message = format!("invalid label name for grouping: {}", quote(&label));
            return Err(self.error(token.span, message));
        }
        Ok(label)
    }
}

/// `by (…)` or `without (…)`
struct Grouping {
    labels: Vec<String>,
    without: bool,
    end: u32,
}
