//! Why a query text was refused, and where.

use std::fmt;

use m3rs_core::ErrorKind;

use super::ast::Span;

/// What sort of fault a [`ParseError`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorCause {
    /// The text is no PromQL.
    Syntax,
    /// The text is PromQL, but its types or its matching do not fit.
    Type,
    /// The text is larger or deeper than the limits allow.
    Limit,
    /// The text uses a feature that the options switch off.
    Unsupported,
    /// A fault that Prometheus finds when it evaluates the query, and tells without its place.
    Evaluation,
}

/// A refused query text. The messages are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    cause: ParseErrorCause,
    message: String,
    span: Span,
    /// Line and column, both from 1; `None` if the text is empty.
    place: Option<(u32, u32)>,
}

impl ParseError {
    pub(crate) fn new(
        cause: ParseErrorCause,
        text: &str,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self { cause, message: message.into(), span, place: place_of(text, span.start) }
    }

    /// What sort of fault it is.
    #[must_use]
    pub fn cause(&self) -> ParseErrorCause {
        self.cause
    }

    /// The kind: always [`ErrorKind::Invalid`], as Prometheus answers 400 to any text that it does
    /// not take, a too long one included. [`ParseError::cause`] tells limits apart.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The message without position.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The bytes of the text that the error is about.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The line of the first byte, from 1; 0 if the text is empty.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.place.map_or(0, |(line, _)| line)
    }

    /// The column of the first byte, in bytes from 1; 0 if the text is empty.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.place.map_or(0, |(_, column)| column)
    }
}

/// `line:column: parse error: message`, as Prometheus writes it.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{line}:{column}: ")?,
            None => f.write_str("unknown position: ")?,
        }
        write!(f, "parse error: {}", self.message)
    }
}

impl std::error::Error for ParseError {}

/// Line and column of a byte, as annotations and errors print them: both from 1, columns in bytes.
///
/// `None` if the text is empty or `offset` lies behind it.
#[must_use]
pub fn place_of(text: &str, offset: u32) -> Option<(u32, u32)> {
    if text.is_empty() {
        return None;
    }
    let before = text.as_bytes().get(..usize::try_from(offset).ok()?)?;
    let mut line = 1;
    let mut line_start = 0;
    for (index, byte) in before.iter().enumerate() {
        if *byte == b'\n' {
            line += 1;
            line_start = index + 1;
        }
    }
    Some((line, u32::try_from(before.len() - line_start + 1).ok()?))
}
