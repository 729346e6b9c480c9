//! Quoting of strings as Prometheus prints them (the rules of Go's `strconv.Quote`).

use std::fmt::Write as _;

/// The text in double quotes, with escapes for what is not printable.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// The same for bytes; those that are not UTF-8 become escapes.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|found| push_escaped(&mut out, found, '"'));
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("BUG: writing to a String cannot fail");
        }
    }
    out.push('"');
    out
}

/// Appends the text in double quotes.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for found in text.chars() {
        push_escaped(out, found, '"');
    }
    out.push('"');
}

/// The character in single quotes.
pub(crate) fn quote_char(found: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, found, '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, found: char, quote: char) {
    match found {
        '\\' => out.push_str("\\\\"),
        _ if found == quote => {
            out.push('\\');
            out.push(found);
        }
        ' '..='~' => out.push(found),
        '\u{07}' => out.push_str("\\a"),
        '\u{08}' => out.push_str("\\b"),
        '\u{0c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{0b}' => out.push_str("\\v"),
        _ if is_printable(found) => out.push(found),
        _ => {
            let code = u32::from(found);
            let written = match code {
                0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
                0x80..=0xffff => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            written.expect("BUG: writing to a String cannot fail");
        }
    }
}

/// Whether a character is a letter, mark, number, punctuation or symbol.
///
/// The standard library knows, but shows it only through `escape_debug`: behind the first
/// character of a string that escapes exactly what is not printable.
fn is_printable(found: char) -> bool {
    let mut buffer = [b'a'; 5];
    let len = 1 + found.encode_utf8(&mut buffer[1..]).len();
    match std::str::from_utf8(&buffer[..len]) {
        Ok(text) => text.escape_debug().nth(1) == Some(found),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, expected) in [
            ("", r#""""#),
            ("a\"b'c\\", r#""a\"b'c\\""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\u{0}\u{1f}\u{7f}", r#""\x00\x1f\x7f""#),
            ("\u{80}\u{a0}\u{2028}\u{e000}", r#""\u0080\u00a0\u2028\ue000""#),
            ("\u{e9}\u{301}\u{1f600}", "\"\u{e9}\u{301}\u{1f600}\""),
            ("\u{10ffff}", r#""\U0010ffff""#),
        ] {
            assert_eq!(quote(text), expected);
        }
        assert_eq!(quote_bytes(b"a\xc5z\n\xe9"), r#""a\xc5z\n\xe9""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
    }
}
