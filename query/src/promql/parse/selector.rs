//! Selectors: a metric name, conditions in braces, and the modifiers behind them.

use m3rs_core::model::{MatchOp, Matcher};

use super::duration::Duration;
use super::parser::{Expected, Parsed, Parser, join};
use super::regexp;
use super::token::{Keyword, Preprocessor, Token, TokenKind};
use crate::promql::ast::{
    At, BinaryOp, Expr, ExprKind, OffsetSign, RangeEdges, Selector, Span, Timed,
};

const MATCHING: &str = "label matching";
const METRIC_NAME: &str = "__name__";

fn expected(expected: &'static str) -> Expected {
    Expected { context: MATCHING, expected }
}

impl Parser<'_> {
    /// A selector without modifiers, and its place.
    pub(super) fn parse_selector(&mut self) -> Parsed<(Selector, Span)> {
        let name = self.token.kind.names_metric().then(|| self.bump());
        self.parse_selector_after(name)
    }

    /// A selector from the token behind its name on.
    pub(super) fn parse_selector_after(&mut self, name: Option<Token>) -> Parsed<(Selector, Span)> {
        let mut span = name.map_or(self.token.span, |token| token.span);
        let mut selector = Selector {
            name: name.map(|token| self.text_of(token).to_owned()),
            ..Selector::default()
        };
        if self.eat(TokenKind::LeftBrace).is_some() {
            span.end = self.parse_matchers(&mut selector.matchers)?;
        }
        if let Some(name) = &selector.name {
            selector.matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok((selector, span))
    }

    /// Conditions up to the closing brace, whose end is given back.
    fn parse_matchers(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<u32> {
        if let Some(close) = self.eat(TokenKind::RightBrace) {
            return Ok(close.span.end);
        }
        loop {
            matchers.push(self.parse_matcher()?);
            let has_comma = self.eat(TokenKind::Comma).is_some();
            if let Some(close) = self.eat(TokenKind::RightBrace) {
                return Ok(close.span.end);
            }
            if !has_comma {
                return Err(self.unexpected(expected("\",\" or \"}\"")));
            }
        }
    }

    fn parse_matcher(&mut self) -> Parsed<Matcher> {
        let label = match self.token.kind {
            TokenKind::Identifier | TokenKind::String => self.bump(),
            _ => return Err(self.unexpected(expected("identifier or \"}\""))),
        };
        let is_quoted = label.kind == TokenKind::String;
        let name = if is_quoted { self.unquote(label)? } else { self.text_of(label).to_owned() };
        let op = match self.token.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Op(BinaryOp::Neq) => MatchOp::NotEqual,
            TokenKind::EqlRegex => MatchOp::Regexp,
            TokenKind::NeqRegex => MatchOp::NotRegexp,
            _ if is_quoted => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected(expected("label matching operator"))),
        };
        self.bump();
        if self.token.kind != TokenKind::String {
            return Err(self.unexpected(expected("string")));
        }
        let literal = self.bump();
        let value = self.unquote(literal)?;
        if matches!(op, MatchOp::Regexp | MatchOp::NotRegexp)
            && let Err(error) = regexp::matches_empty(&value)
        {
            return Err(self.error(join(label.span, literal.span), error.to_string()));
        }
        Ok(Matcher::new(name, op, value))
    }

    /// Ranges, subqueries, `offset`, `@`, `anchored` and `smoothed` behind an operand.
    pub(super) fn parse_postfixes(&mut self, mut operand: Expr) -> Parsed<Expr> {
        loop {
            operand = match self.token.kind {
                TokenKind::LeftBracket => self.parse_range(operand)?,
                TokenKind::Keyword(Keyword::Offset) => self.parse_offset(operand)?,
                TokenKind::At => self.parse_at(operand)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.parse_edges(operand, RangeEdges::Anchored)?
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.parse_edges(operand, RangeEdges::Smoothed)?
                }
                _ => return Ok(operand),
            };
        }
    }

    fn parse_range(&mut self, operand: Expr) -> Parsed<Expr> {
        const TIMES: &str = "number, duration, step(), or range()";
        const TIMES_OR_END: &str = "number, duration, step(), range(), or \"]\"";
        const SUBQUERY: &str = "subquery selector";
        self.count_operator()?;
        let open = self.bump();
        let context = "subquery or range selector";
        let range = self.parse_positive_duration(Expected { context, expected: TIMES })?;
        if let Some(close) = self.eat(TokenKind::RightBracket) {
            return self.matrix(operand, range, join(open.span, close.span));
        }
        if self.eat(TokenKind::Colon).is_none() {
            let (context, expected) = ("subquery or range", "\":\" or \"]\"");
            return Err(self.unexpected(Expected { context, expected }));
        }
        let mut step = None;
        if self.token.kind != TokenKind::RightBracket {
            let expected = Expected { context: SUBQUERY, expected: TIMES_OR_END };
            let (duration, span) = self.parse_positive_duration(expected)?;
            if matches!(&duration, Duration::Fixed { ms: 0, .. }) {
                return Err(self.error(span, "subquery step must be at least 1ms"));
            }
            step = Some(duration);
        }
        let Some(close) = self.eat(TokenKind::RightBracket) else {
            return Err(self.unexpected(Expected { context: SUBQUERY, expected: "\"]\"" }));
        };
        let span = join(operand.span, close.span);
        let (range_ms, range) = range.0.split();
        let (step_ms, step) = match step {
            None => (None, None),
            Some(Duration::Fixed { ms, .. }) => (Some(ms), None),
            Some(Duration::Computed(expr)) => (None, Some(expr)),
        };
        let expr = Box::new(operand);
        let kind = ExprKind::Subquery { expr, range_ms, step_ms, offset_ms: 0, at: None };
        Ok(timed(Expr { kind, span }, range, step))
    }

    /// A range selector; `brackets` is where its range stands.
    fn matrix(&self, operand: Expr, range: (Duration, Span), brackets: Span) -> Parsed<Expr> {
        let span = join(operand.span, brackets);
        let (range_ms, range) = range.0.split();
        let selector = match operand.kind {
            ExprKind::Vector(selector) => selector,
            // Only an offset can have made an instant selector a timed one.
            ExprKind::Timed(timed) if matches!(timed.expr.kind, ExprKind::Vector(_)) => {
                return Err(self.error(brackets, "no offset modifiers allowed before range"));
            }
            _ => return Err(self.error(brackets, "ranges only allowed for vector selectors")),
        };
        if selector.offset_ms != 0 {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if matches!(selector.at, Some(At::TimeMs(_))) {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let kind = ExprKind::Matrix { selector, range_ms };
        Ok(timed(Expr { kind, span }, range, None))
    }

    fn parse_offset(&mut self, mut operand: Expr) -> Parsed<Expr> {
        self.bump();
        let (offset, span, offset_sign) = self.parse_offset_duration()?;
        let place = operand.span;
        let end = Span { start: place.start, end: span.end };
        let mut is_set = false;
        if let ExprKind::Timed(timed) = &operand.kind {
            is_set = timed.offset.is_some();
        }
        let Some(times) = operand.times() else {
            let message = "offset modifier must be preceded by an instant vector selector or \
                           range vector selector or a subquery";
            return Err(self.error(place, message));
        };
        if is_set || *times.offset_ms != 0 {
            return Err(self.error(place, "offset may not be set multiple times"));
        }
        let (offset_ms, offset) = offset.split();
        *times.offset_ms = offset_ms;
        operand.set_end(end.end);
        let Some(offset) = offset else { return Ok(operand) };
        if let ExprKind::Timed(timed) = &mut operand.kind {
            timed.offset = Some(offset);
            timed.offset_sign = offset_sign;
            return Ok(operand);
        }
        let span = operand.span;
        let (expr, offset) = (operand, Some(offset));
        let timed = Timed { expr, range: None, step: None, offset, offset_sign };
        Ok(Expr { kind: ExprKind::Timed(Box::new(timed)), span })
    }

    fn parse_at(&mut self, mut operand: Expr) -> Parsed<Expr> {
        self.bump();
        let (at, end) = self.parse_time(operand.span)?;
        let place = operand.span;
        let Some(times) = operand.times() else {
            let message = "@ modifier must be preceded by an instant vector selector or range \
                           vector selector or a subquery";
            return Err(self.error(place, message));
        };
        if times.at.is_some() {
            return Err(self.error(place, "@ <timestamp> may not be set multiple times"));
        }
        *times.at = Some(at);
        operand.set_end(end);
        Ok(operand)
    }

    /// `1234.5`, `start()` or `end()`, and where it ends.
    fn parse_time(&mut self, place: Span) -> Parsed<(At, u32)> {
        const TIMESTAMP: Expected = Expected { context: "@", expected: "timestamp" };
        if let TokenKind::Preprocessor(name @ (Preprocessor::Start | Preprocessor::End)) =
            self.token.kind
        {
            self.bump();
            if self.eat(TokenKind::LeftParen).is_none() {
                return Err(self.unexpected(TIMESTAMP));
            }
            let Some(close) = self.eat(TokenKind::RightParen) else {
                return Err(self.unexpected(TIMESTAMP));
            };
            let at = if name == Preprocessor::Start { At::Start } else { At::End };
            return Ok((at, close.span.end));
        }
        let is_minus = self.eat(TokenKind::Op(BinaryOp::Sub)).is_some();
        if !is_minus {
            self.eat(TokenKind::Op(BinaryOp::Add));
        }
        if !matches!(self.token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected(TIMESTAMP));
        }
        let token = self.bump();
        let (value, _) = self.number_value(token)?;
        let seconds = if is_minus { -value } else { value };
        let ms = (seconds * 1000.0).round();
        if !(ms > -TIME_MS_BOUND && ms < TIME_MS_BOUND) {
            let shown = match seconds {
                _ if seconds.is_nan() => "NaN".to_owned(),
                f64::INFINITY => "+Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                _ => format!("{seconds:.6}"),
            };
            let message = format!("timestamp out of bounds for @ modifier: {shown}");
            return Err(self.error(place, message));
        }
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds of i64")]
        Ok((At::TimeMs(ms as i64), token.span.end))
    }

    fn parse_edges(&mut self, mut operand: Expr, edges: RangeEdges) -> Parsed<Expr> {
        let token = self.bump();
        let (place, name) = (operand.span, edges.as_str());
        if !self.options.extended_selectors {
            let message = format!("{name} modifier is experimental and not enabled");
            return Err(self.unsupported(place, message));
        }
        let selector = match &mut operand.kind {
            ExprKind::Timed(timed) => timed.expr.kind.selector(),
            kind => kind.selector(),
        };
        match selector {
            Ok(selector) if selector.edges.is_some_and(|set| set != edges) => {
                let message = "anchored and smoothed modifiers cannot be used together";
                Err(self.error(place, message))
            }
            Ok(selector) => {
                selector.edges = Some(edges);
                operand.set_end(token.span.end);
                Ok(operand)
            }
            Err(NoSelector::Subquery) => {
                let message = format!("{name} modifier is not supported for subqueries");
                Err(self.error(place, message))
            }
            Err(NoSelector::Other) => {
                Err(self.error(place, format!("{name} modifier not implemented")))
            }
        }
    }
}

/// Beyond this many milliseconds, either way, is no time.
const TIME_MS_BOUND: f64 = 9.2e18;

/// Wraps `expr` if one of its times is an expression.
fn timed(
    expr: Expr,
    range: Option<crate::promql::ast::PlacedDuration>,
    step: Option<crate::promql::ast::PlacedDuration>,
) -> Expr {
    if range.is_none() && step.is_none() {
        return expr;
    }
    let span = expr.span;
    let timed = Timed { expr, range, step, offset: None, offset_sign: OffsetSign::default() };
    Expr { kind: ExprKind::Timed(Box::new(timed)), span }
}

/// The offset and fixed time of a selector or subquery.
struct Times<'a> {
    offset_ms: &'a mut i64,
    at: &'a mut Option<At>,
}

enum NoSelector {
    Subquery,
    Other,
}

impl ExprKind {
    fn selector(&mut self) -> Result<&mut Selector, NoSelector> {
        match self {
            Self::Vector(selector) | Self::Matrix { selector, .. } => Ok(selector),
            Self::Subquery { .. } => Err(NoSelector::Subquery),
            _ => Err(NoSelector::Other),
        }
    }
}

impl Expr {
    fn times(&mut self) -> Option<Times<'_>> {
        let kind = match &mut self.kind {
            ExprKind::Timed(timed) => &mut timed.expr.kind,
            kind => kind,
        };
        match kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                Some(Times { offset_ms: &mut selector.offset_ms, at: &mut selector.at })
            }
            ExprKind::Subquery { offset_ms, at, .. } => Some(Times { offset_ms, at }),
            _ => None,
        }
    }

    /// Moves the end behind a modifier.
    fn set_end(&mut self, end: u32) {
        self.span.end = end;
        if let ExprKind::Timed(timed) = &mut self.kind {
            timed.expr.span.end = end;
        }
    }
}
