//! Query text to tokens: one pass, no recursion, no allocation.
//!
//! The lexer keeps a little context, as PromQL's words mean different things in braces (label
//! names) and in brackets (durations).

use super::number::{NumberScan, scan_number};
use super::token::{Keyword, Token, TokenKind, keyword};
use crate::promql::ast::{BinaryOp, Span};
use crate::promql::print::quote::quote_char;

/// Reads tokens from a text. After an error it gives [`TokenKind::Error`] for ever.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// The next byte to read.
    at: usize,
    /// Where the token being read starts.
    start: usize,
    paren_depth: u32,
    brace_open: bool,
    bracket_open: bool,
    /// Whether a bracket was opened and no number was read in it yet.
    in_duration: bool,
    got_colon: bool,
    got_duration: bool,
    error: Option<LexError>,
}

/// Text that is no token.
#[derive(Clone, Debug)]
pub(super) struct LexError {
    pub(super) message: String,
    pub(super) span: Span,
}

type Lexed = Result<Option<TokenKind>, String>;

impl<'a> Lexer<'a> {
    /// `text` must be shorter than 4 GiB, which the caller's limit ensures.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            in_duration: false,
            got_colon: false,
            got_duration: false,
            error: None,
        }
    }

    /// The error, once [`Lexer::next_token`] has given [`TokenKind::Error`].
    pub(super) fn error(&self) -> Option<&LexError> {
        self.error.as_ref()
    }

    /// Reads the next token.
    pub(super) fn next_token(&mut self) -> Token {
        while self.error.is_none() {
            self.start = self.at;
            let lexed = if self.in_duration {
                self.lex_duration()
            } else if self.brace_open {
                self.lex_braces()
            } else {
                self.lex_statement()
            };
            match lexed {
                Ok(Some(kind)) => return Token { kind, span: span(self.start, self.at) },
                Ok(None) => {}
                Err(message) => {
                    self.error =
                        Some(LexError { message, span: span(self.start, self.text.len()) });
                }
            }
        }
        Token { kind: TokenKind::Error, span: span(self.start, self.text.len()) }
    }

    /// The byte `ahead` places on, 0 behind the end.
    fn peek_byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next_char(&mut self) -> Option<char> {
        let found = self.text.get(self.at..)?.chars().next()?;
        self.at += found.len_utf8();
        Some(found)
    }

    fn peek_char(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
    }

    fn token_text(&self) -> &'a str {
        self.text.get(self.start..self.at).unwrap_or_default()
    }

    /// An error whose position is behind what was read, as if that had been a token.
    fn error_after(&mut self, message: String) -> Lexed {
        self.start = self.at;
        Err(message)
    }

    fn lex_statement(&mut self) -> Lexed {
        let Some(found) = self.next_char() else {
            return match (self.paren_depth, self.bracket_open) {
                (0, false) => Ok(Some(TokenKind::End)),
                (0, true) => Err("unclosed left bracket".to_owned()),
                _ => Err("unclosed left parenthesis".to_owned()),
            };
        };
        let kind = match found {
            ' ' | '\t' | '\n' | '\r' => return Ok(None),
            '#' => return self.skip_comment(),
            ',' => TokenKind::Comma,
            '*' | '/' | '%' | '+' | '-' | '^' => arithmetic(found),
            '=' | '!' | '<' | '>' => return self.lex_comparison(found),
            '0'..='9' => return self.lex_number(),
            '.' if self.peek_byte(0).is_ascii_digit() => return self.lex_number(),
            '"' | '\'' | '`' => return self.lex_string(found),
            'a'..='z' | 'A'..='Z' | '_' | ':' if self.bracket_open => {
                return self.lex_bracket_word(found);
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => return Ok(Some(self.lex_word())),
            '(' => {
                self.paren_depth += 1;
                TokenKind::LeftParen
            }
            ')' => return self.close_paren(),
            '{' => {
                self.brace_open = true;
                TokenKind::LeftBrace
            }
            '[' => return self.open_bracket(),
            ']' if !self.bracket_open => {
                return Err(format!("unexpected right bracket {}", quote_char(']')));
            }
            ']' => {
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            '@' => TokenKind::At,
            _ => return Err(format!("unexpected character: {}", quote_char(found))),
        };
        Ok(Some(kind))
    }

    fn close_paren(&mut self) -> Lexed {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Ok(Some(TokenKind::RightParen))
            }
            None => self.error_after(format!("unexpected right parenthesis {}", quote_char(')'))),
        }
    }

    fn open_bracket(&mut self) -> Lexed {
        if self.bracket_open {
            return Err(format!("unexpected left bracket {}", quote_char('[')));
        }
        self.got_colon = false;
        self.bracket_open = true;
        self.in_duration = true;
        Ok(Some(TokenKind::LeftBracket))
    }

    fn lex_comparison(&mut self, found: char) -> Lexed {
        let next = self.peek_char();
        let (op, len) = match (found, next) {
            ('=', Some('=')) => (BinaryOp::Eql, 1),
            ('=', Some('~')) => {
                return Err(format!("unexpected character after '=': {}", quote_char('~')));
            }
            ('=', _) => return Ok(Some(TokenKind::Assign)),
            ('!', Some('=')) => (BinaryOp::Neq, 1),
            ('!', _) => {
                let shown = quote_char(next.unwrap_or(char::REPLACEMENT_CHARACTER));
                return Err(format!("unexpected character after '!': {shown}"));
            }
            ('<', Some('=')) => (BinaryOp::Lte, 1),
            ('<', Some('/')) => (BinaryOp::TrimUpper, 1),
            ('<', _) => (BinaryOp::Lss, 0),
            (_, Some('=')) => (BinaryOp::Gte, 1),
            (_, Some('/')) => (BinaryOp::TrimLower, 1),
            _ => (BinaryOp::Gtr, 0),
        };
        self.at += len;
        Ok(Some(TokenKind::Op(op)))
    }

    /// A word between brackets: only the functions of durations and the colon may stand there.
    fn lex_bracket_word(&mut self, found: char) -> Lexed {
        if found == ':' {
            if self.got_colon {
                return Err(format!("unexpected colon {}", quote_char(':')));
            }
            self.got_colon = true;
            return Ok(Some(TokenKind::Colon));
        }
        match self.lex_duration_word(found) {
            Some(kind) => Ok(Some(kind)),
            None => Err(format!("unexpected character: {}, expected ':'", quote_char(found))),
        }
    }

    fn lex_duration_word(&mut self, found: char) -> Option<TokenKind> {
        if !matches!(found.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.take_while(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        use super::token::Preprocessor::{MaxOf, MinOf, Range, Step};
        match keyword(self.token_text()) {
            Some(kind @ TokenKind::Preprocessor(Step | Range | MaxOf | MinOf)) => Some(kind),
            _ => None,
        }
    }

    /// The start of a bracket, up to its first number.
    fn lex_duration(&mut self) -> Lexed {
        let Some(found) = self.next_char() else {
            return Err("unexpected end of input in duration expression".to_owned());
        };
        let kind = match found {
            ' ' | '\t' | '\n' | '\r' => return Ok(None),
            ']' => {
                self.bracket_open = false;
                self.in_duration = false;
                self.got_colon = false;
                TokenKind::RightBracket
            }
            ':' if !self.got_duration => {
                let message = "unexpected colon before duration in duration expression";
                return self.error_after(message.to_owned());
            }
            ':' if self.got_colon => {
                let message = "unexpected repeated colon in duration expression";
                return self.error_after(message.to_owned());
            }
            ':' => {
                self.got_colon = true;
                TokenKind::Colon
            }
            '(' => {
                self.paren_depth += 1;
                TokenKind::LeftParen
            }
            ')' => return self.close_paren(),
            '+' | '-' | '*' | '/' | '%' | '^' => arithmetic(found),
            ',' => TokenKind::Comma,
            _ if found.is_ascii_digit() || (found == '.' && self.peek_byte(0).is_ascii_digit()) => {
                self.got_duration = true;
                self.in_duration = false;
                return self.lex_number();
            }
            _ => match self.lex_duration_word(found) {
                Some(kind) => kind,
                None => {
                    let shown = quote_char(found);
                    return Err(format!("unexpected character in duration expression: {shown}"));
                }
            },
        };
        Ok(Some(kind))
    }

    fn lex_braces(&mut self) -> Lexed {
        let Some(found) = self.next_char() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        let kind = match found {
            ' ' | '\t' | '\n' | '\r' => return Ok(None),
            '#' => return self.skip_comment(),
            'a'..='z' | 'A'..='Z' | '_' => {
                self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' | '`' => return self.lex_string(found),
            '=' if self.peek_byte(0) == b'~' => {
                self.at += 1;
                TokenKind::EqlRegex
            }
            '=' => TokenKind::Assign,
            '!' => match self.next_char() {
                Some('~') => TokenKind::NeqRegex,
                Some('=') => TokenKind::Op(BinaryOp::Neq),
                other => {
                    let shown = quote_char(other.unwrap_or(char::REPLACEMENT_CHARACTER));
                    return Err(format!("unexpected character after '!' inside braces: {shown}"));
                }
            },
            '{' => return Err(format!("unexpected left brace {}", quote_char('{'))),
            '}' => {
                self.brace_open = false;
                TokenKind::RightBrace
            }
            _ => return Err(format!("unexpected character inside braces: {}", quote_char(found))),
        };
        Ok(Some(kind))
    }

    fn skip_comment(&mut self) -> Lexed {
        self.take_while(|byte| byte != b'\n' && byte != b'\r');
        Ok(None)
    }

    fn lex_word(&mut self) -> TokenKind {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
        let word = self.token_text();
        match keyword(word) {
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.is_before_paren() =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        }
    }

    /// Whether the next byte that is no space is a parenthesis.
    fn is_before_paren(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(')
    }

    fn lex_number(&mut self) -> Lexed {
        let scan = scan_number(self.text.as_bytes(), self.start);
        let (kind, end) = match scan {
            NumberScan::Number(end) => (Some(TokenKind::Number), end),
            NumberScan::Duration(end) => (Some(TokenKind::Duration), end),
            NumberScan::Bad(end) => (None, end),
        };
        // A bad number may end within a character that is not ASCII.
        self.at = end.min(self.text.len());
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        match kind {
            Some(kind) => Ok(Some(kind)),
            None => {
                let shown = crate::promql::print::quote::quote(self.token_text());
                Err(format!("bad number or duration syntax: {shown}"))
            }
        }
    }

    fn lex_string(&mut self, quote: char) -> Lexed {
        loop {
            match self.next_char() {
                Some(found) if found == quote => return Ok(Some(TokenKind::String)),
                None if quote == '`' => return Err("unterminated raw string".to_owned()),
                Some('\\') if quote != '`' => self.lex_escape(quote)?,
                None => return Err("unterminated quoted string".to_owned()),
                Some('\n') if quote != '`' => return Err("unterminated quoted string".to_owned()),
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".to_owned()),
                Some(_) => {}
            }
        }
    }

    fn lex_escape(&mut self, quote: char) -> Result<(), String> {
        const UNTERMINATED: &str = "escape sequence not terminated";
        let Some(found) = self.next_char() else { return Err(UNTERMINATED.to_owned()) };
        let (mut value, digits, radix) = match found {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if found == quote => return Ok(()),
            '0'..='7' => (u32::from(found) - u32::from('0'), 2, 8),
            'x' => (0, 2, 16),
            'u' => (0, 4, 16),
            'U' => (0, 8, 16),
            _ => return Err(format!("unknown escape sequence {}", unicode_name(found))),
        };
        for _ in 0..digits {
            let Some(digit) = self.next_char() else { return Err(UNTERMINATED.to_owned()) };
            let Some(number) = digit.to_digit(radix) else {
                let shown = unicode_name(digit);
                return Err(format!("illegal character {shown} in escape sequence"));
            };
            value = value.wrapping_mul(radix).wrapping_add(number);
        }
        let is_byte = radix == 8 || found == 'x';
        if (is_byte && value <= 0xff) || (!is_byte && char::from_u32(value).is_some()) {
            return Ok(());
        }
        Err("escape sequence is an invalid Unicode code point".to_owned())
    }
}

/// `U+0071 'q'`
fn unicode_name(found: char) -> String {
    let quoted = quote_char(found);
    if quoted.starts_with("'\\") && found != '\\' && found != '\'' {
        return format!("U+{:04X}", u32::from(found));
    }
    format!("U+{:04X} '{found}'", u32::from(found))
}

fn arithmetic(found: char) -> TokenKind {
    TokenKind::Op(match found {
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        _ => BinaryOp::Pow,
    })
}

fn span(start: usize, end: usize) -> Span {
    Span {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        end: u32::try_from(end).unwrap_or(u32::MAX),
    }
}
