//! The parser's state: the token at hand, what counts against the limits, and its errors.

use m3rs_core::model::Matcher;

use super::lex::Lexer;
use super::token::{Token, TokenKind};
use super::{ParseOptions, string};
use crate::promql::ast::{Expr, Span};
use crate::promql::error::{ParseError, ParseErrorCause};

/// A result of parsing.
pub(super) type Parsed<T> = Result<T, ParseError>;

/// Where a token was unexpected, and what would have been right: texts for a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) context: &'static str,
    pub(super) expected: &'static str,
}

/// Reads one query. `token` is always the next one that was not used yet.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) options: &'a ParseOptions,
    pub(super) token: Token,
    /// How many aggregations are open around the token.
    pub(super) open_aggregations: usize,
    lexer: Lexer<'a>,
    nesting: usize,
    operators: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, options: &'a ParseOptions) -> Self {
        let mut lexer = Lexer::new(text);
        let token = lexer.next_token();
        Self { text, options, token, open_aggregations: 0, lexer, nesting: 0, operators: 0 }
    }

    /// Reads the whole text as one expression.
    pub(super) fn parse_query(&mut self) -> Parsed<Expr> {
        if self.token.kind == TokenKind::End {
            let message = "no expression found in input";
            return Err(self.error(Span::default(), message));
        }
        let expr = self.parse_expression()?;
        match self.token.kind {
            TokenKind::End => Ok(expr),
            _ => Err(self.unexpected_token()),
        }
    }

    /// Reads the whole text as one selector without modifiers.
    pub(super) fn parse_metric_selector(&mut self) -> Parsed<Vec<Matcher>> {
        let is_selector = self.token.kind.names_metric() || self.token.kind == TokenKind::LeftBrace;
        if !is_selector {
            return Err(self.unexpected_token());
        }
        let (selector, _) = self.parse_selector()?;
        match self.token.kind {
            TokenKind::End => Ok(selector.matchers),
            _ => Err(self.unexpected_token()),
        }
    }

    /// Moves to the next token and gives the one before.
    ///
    /// A fault of the lexer shows when its token is looked at, not before: an error about the
    /// text in front of it comes first.
    pub(super) fn bump(&mut self) -> Token {
        std::mem::replace(&mut self.token, self.lexer.next_token())
    }

    /// Moves on if the next token is `kind`.
    pub(super) fn eat(&mut self, kind: TokenKind) -> Option<Token> {
        (self.token.kind == kind).then(|| self.bump())
    }

    /// The text of a token.
    pub(super) fn text_of(&self, token: Token) -> &'a str {
        self.text_at(token.span)
    }

    pub(super) fn text_at(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Counts a level of parentheses; [`Parser::leave`] takes it back.
    pub(super) fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        let limit = self.options.limits.nesting_max;
        if self.nesting <= limit {
            return Ok(());
        }
        let message =
            format!("query nests deeper than the limit of {limit} levels (query.nesting_max)");
        Err(ParseError::new(ParseErrorCause::Limit, self.text, self.token.span, message))
    }

    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// Counts an operator, or whatever else makes the tree one level deeper.
    pub(super) fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        let limit = self.options.limits.operators_max;
        if self.operators <= limit {
            return Ok(());
        }
        let message =
            format!("query has more operators than the limit of {limit} (query.operators_max)");
        Err(ParseError::new(ParseErrorCause::Limit, self.text, self.token.span, message))
    }

    /// A syntax error.
    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(ParseErrorCause::Syntax, self.text, span, message)
    }

    /// The text uses what the options switch off.
    pub(super) fn unsupported(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(ParseErrorCause::Unsupported, self.text, span, message)
    }

    /// The next token fits nothing that may stand here.
    pub(super) fn unexpected_token(&self) -> ParseError {
        let context = if self.open_aggregations > 0 { "aggregation" } else { "" };
        self.unexpected(Expected { context, expected: "" })
    }

    /// The next token does not fit; or, if there is none, what the lexer says of the text.
    pub(super) fn unexpected(&self, expected: Expected) -> ParseError {
        if let (TokenKind::Error, Some(error)) = (self.token.kind, self.lexer.error()) {
            return self.error(error.span, error.message.clone());
        }
        let mut message = String::from("unexpected ");
        message.push_str(&self.token.kind.describe(self.text_of(self.token)));
        if !expected.context.is_empty() {
            message.push_str(" in ");
            message.push_str(expected.context);
        }
        if !expected.expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected.expected);
        }
        self.error(self.token.span, message)
    }

    /// The text that a string token stands for. Prometheus takes any bytes, we take UTF-8.
    pub(super) fn unquote(&self, token: Token) -> Parsed<String> {
        let literal = self.text_of(token);
        string::unquote(literal).ok_or_else(|| {
            let message = format!("string {literal} is not supported: it is not valid UTF-8");
            self.unsupported(token.span, message)
        })
    }
}

/// From the first byte of one span to the last of another.
pub(super) fn join(first: Span, last: Span) -> Span {
    Span { start: first.start, end: last.end }
}
