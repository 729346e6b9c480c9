//! Character classes and escapes.

use super::Fault;

/// A class without members.
pub(super) const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

const BAD_ESCAPE: Fault = "invalid escape sequence";
const BAD_RANGE: Fault = "invalid character class range";
const BAD_CLASS: Fault = "invalid character class";

/// Posix classes and the inside of a bracket that means the same.
const POSIX: &[(&str, &str)] = &[
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", r"\x{0}-\x{7F}"),
    ("blank", r"\x{9}\x{20}"),
    ("cntrl", r"\x{0}-\x{1F}\x{7F}"),
    ("digit", "0-9"),
    ("graph", r"\x{21}-\x{7E}"),
    ("lower", "a-z"),
    ("print", r"\x{20}-\x{7E}"),
    ("punct", r"\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}"),
    ("space", r"\x{9}-\x{D}\x{20}"),
    ("upper", "A-Z"),
    ("word", "0-9A-Za-z_"),
    ("xdigit", "0-9A-Fa-f"),
];

/// Reads a bracketed class; returns it rewritten, and what follows.
pub(super) fn bracketed(text: &str) -> Result<(String, &str), Fault> {
    const OPEN: Fault = "missing closing ]";
    let mut rest = text.strip_prefix('[').ok_or(OPEN)?;
    let mut out = String::from("[");
    if let Some(tail) = rest.strip_prefix('^') {
        out.push('^');
        rest = tail;
    }
    let members = out.len();
    let mut is_first = true;
    loop {
        match rest.strip_prefix(']') {
            Some(tail) if !is_first => {
                if out.len() == members {
                    out.push_str(NOTHING);
                }
                out.push(']');
                return Ok((out, tail));
            }
            _ if rest.is_empty() => return Err(OPEN),
            _ => is_first = false,
        }
        if let Some((class, tail)) = posix(rest)? {
            out.push_str(&class);
            rest = tail;
        } else if let Some((class, tail)) = named(rest)? {
            out.push_str(&class);
            rest = tail;
        } else {
            rest = range(rest, &mut out)?;
        }
    }
}

/// Reads a character or a range of them inside a bracket.
fn range<'t>(text: &'t str, out: &mut String) -> Result<&'t str, Fault> {
    let (low, mut rest) = member(text)?;
    let mut high = low;
    if let Some(tail) = rest.strip_prefix('-')
        && !tail.is_empty()
        && !tail.starts_with(']')
    {
        (high, rest) = member(tail)?;
    }
    if high < low {
        return Err(BAD_RANGE);
    }
    // Surrogates occur in no text, so a bound inside their gap moves to its edge.
    let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
    let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
    if low <= high {
        out.push_str(&format!(r"\x{{{low:X}}}-\x{{{high:X}}}"));
    }
    Ok(rest)
}

fn member(text: &str) -> Result<(u32, &str), Fault> {
    if text.starts_with('\\') {
        return escaped(text);
    }
    let c = text.chars().next().ok_or("missing closing ]")?;
    Ok((u32::from(c), &text[c.len_utf8()..]))
}

/// Reads `[:name:]` inside a bracket, if there is one.
fn posix(text: &str) -> Result<Option<(String, &str)>, Fault> {
    let Some(body) = text.strip_prefix("[:") else { return Ok(None) };
    let Some((name, rest)) = body.split_once(":]") else { return Ok(None) };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, "^"),
        None => (name, ""),
    };
    let (_, members) = POSIX.iter().find(|(n, _)| *n == name).ok_or(BAD_RANGE)?;
    Ok(Some((format!("[{negated}{members}]"), rest)))
}

/// Reads `\d`, `\pN`, `\p{Name}` and their like, if there is one.
pub(super) fn named(text: &str) -> Result<Option<(String, &str)>, Fault> {
    let mut chars = text.chars();
    if chars.next() != Some('\\') {
        return Ok(None);
    }
    let perl = match chars.next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\x{9}\x{A}\x{C}\x{D}\x{20}]",
        Some('S') => r"[^\x{9}\x{A}\x{C}\x{D}\x{20}]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some(p @ ('p' | 'P')) => return unicode(chars.as_str(), p == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((perl.to_owned(), chars.as_str())))
}

/// Reads the name after `\p` or `\P`.
fn unicode(text: &str, mut is_negated: bool) -> Result<(String, &str), Fault> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(body) => body.split_once('}').ok_or(BAD_CLASS)?,
        None => {
            let c = text.chars().next().ok_or(BAD_CLASS)?;
            text.split_at(c.len_utf8())
        }
    };
    let name = match name.strip_prefix('^') {
        Some(name) => {
            is_negated = !is_negated;
            name
        }
        None => name,
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
        return Err(BAD_CLASS);
    }
    let p = if is_negated { 'P' } else { 'p' };
    Ok((format!(r"\{p}{{{name}}}"), rest))
}

/// Reads an escape that stands for one code point, which may be a surrogate.
pub(super) fn escaped(text: &str) -> Result<(u32, &str), Fault> {
    let mut chars = text.chars();
    if chars.next() != Some('\\') {
        return Err(BAD_ESCAPE);
    }
    let c = chars.next().ok_or("trailing backslash at end of expression")?;
    let rest = chars.as_str();
    let code = match c {
        '0'..='7' => return octal(c, rest),
        'x' => return hexadecimal(rest),
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return Err(BAD_ESCAPE),
    };
    Ok((code, rest))
}

/// Up to three octal digits; a single one but zero would be a back-reference.
fn octal(first: char, rest: &str) -> Result<(u32, &str), Fault> {
    let more = rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
    if first != '0' && more == 0 {
        return Err(BAD_ESCAPE);
    }
    let (digits, rest) = rest.split_at(more);
    let code = digits.bytes().fold(u32::from(first) - 48, |n, b| n * 8 + u32::from(b - b'0'));
    Ok((code, rest))
}

fn hexadecimal(rest: &str) -> Result<(u32, &str), Fault> {
    let (digits, rest) = match rest.strip_prefix('{') {
        Some(body) => body.split_once('}').ok_or(BAD_ESCAPE)?,
        None => rest.split_at_checked(2).ok_or(BAD_ESCAPE)?,
    };
    let significant = digits.trim_start_matches('0');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) || significant.len() > 6
    {
        return Err(BAD_ESCAPE);
    }
    let code = if significant.is_empty() {
        0
    } else {
        u32::from_str_radix(significant, 16).map_err(|_| BAD_ESCAPE)?
    };
    if code > 0x10_ffff { Err(BAD_ESCAPE) } else { Ok((code, rest)) }
}
