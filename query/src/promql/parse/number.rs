//! Numbers and durations: where they end in the text, and what they are worth.

use crate::promql::print::quote::quote;

/// What stands at a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberScan {
    /// A number up to this byte.
    Number(usize),
    /// A duration up to this byte.
    Duration(usize),
    /// Neither; an error message shows the text up to this byte.
    Bad(usize),
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next_is(&self, wanted: &[u8]) -> bool {
        self.peek().is_some_and(|byte| wanted.contains(&byte))
    }

    fn accept(&mut self, wanted: &[u8]) -> bool {
        let found = self.next_is(wanted);
        self.at += usize::from(found);
        found
    }

    fn accept_run(&mut self, wanted: &[u8]) {
        while self.accept(wanted) {}
    }

    fn next_is_word(&self) -> bool {
        self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    /// Decimal and hexadecimal integers, floats with exponents, single underscores between digits.
    ///
    /// PARITY(prometheus): a hexadecimal number takes an `e` for an exponent, so `0x1ee` is bad.
    fn number(&mut self) -> bool {
        const DECIMAL: &[u8] = b"0123456789";
        const HEXADECIMAL: &[u8] = b"0123456789abcdefABCDEF";
        let start = self.at;
        let mut digits = DECIMAL;
        if self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = HEXADECIMAL;
        }
        self.accept(b".");
        self.accept(digits);
        let mut has_dot = false;
        let mut has_exponent = false;
        while self.next_is(digits) || self.next_is(b"._eE") {
            if (has_dot && self.accept(b".")) || (has_exponent && self.accept(b"eE")) {
                return false;
            }
            if self.accept(b".") {
                has_dot = true;
                if self.accept(b"_.") || digits == HEXADECIMAL {
                    return false;
                }
            } else if self.accept(b"eE") {
                has_exponent = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept(b"_") {
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                self.accept_run(digits);
            }
        }
        self.at > start && !self.next_is_word()
    }

    /// The rest of a duration, from its first unit on. Whether the units are real ones, and in
    /// order, shows when the duration is parsed.
    fn duration(&mut self) -> bool {
        const DIGITS: &[u8] = b"0123456789";
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept(DIGITS) {
            self.accept_run(DIGITS);
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        let is_word = self.next_is_word();
        self.at += usize::from(is_word);
        !is_word
    }
}

/// Finds the end of the number or duration that starts at `start`.
pub(super) fn scan_number(bytes: &[u8], start: usize) -> NumberScan {
    let mut scanner = Scanner { bytes, at: start };
    if scanner.number() {
        NumberScan::Number(scanner.at)
    } else if scanner.duration() {
        NumberScan::Duration(scanner.at)
    } else {
        NumberScan::Bad(scanner.at)
    }
}

/// The value of a number as written. The error is the message.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    let bad = |why: &str| {
        format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text))
    };
    match text.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    if !is_underscore_ok(text) {
        return Err(bad("invalid syntax"));
    }
    let digits = text.replace('_', "");
    if let Some(integer) = parse_integer(&digits) {
        #[expect(clippy::cast_precision_loss, reason = "integers become the nearest float")]
        return Ok(integer as f64);
    }
    if digits.starts_with("0x") || digits.starts_with("0X") {
        return Err(bad("invalid syntax"));
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(bad("value out of range")),
        Err(_) => Err(bad("invalid syntax")),
    }
}

/// An integer of 64 bits: decimal, hexadecimal after `0x`, octal after `0`.
fn parse_integer(digits: &str) -> Option<i64> {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// Underscores may only stand between digits, or between a prefix and a digit.
fn is_underscore_ok(text: &str) -> bool {
    let (body, is_hex) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(body) => (body, true),
        None => (text, false),
    };
    let mut after_digit = is_hex;
    let mut after_underscore = false;
    for byte in body.bytes() {
        let is_digit = byte.is_ascii_digit() || (is_hex && byte.is_ascii_hexdigit());
        if byte == b'_' {
            if !after_digit {
                return false;
            }
        } else if after_underscore && !is_digit {
            return false;
        }
        after_underscore = byte == b'_';
        after_digit = is_digit;
    }
    !after_underscore
}

const NS_PER_MS: u64 = 1_000_000;

/// Units with their nanoseconds, largest first: the order in which they must be written.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000 * NS_PER_MS),
    ("w", 7 * 86_400_000 * NS_PER_MS),
    ("d", 86_400_000 * NS_PER_MS),
    ("h", 3_600_000 * NS_PER_MS),
    ("m", 60_000 * NS_PER_MS),
    ("s", 1_000 * NS_PER_MS),
    ("ms", NS_PER_MS),
];

/// A duration literal such as `1h30m`, in milliseconds. The error is the message.
pub(super) fn parse_duration_literal(text: &str) -> Result<i64, String> {
    const OUT_OF_RANGE: &str = "duration out of range";
    const NS_MAX: u64 = i64::MAX.unsigned_abs();
    let bad = || format!("not a valid duration string: {}", quote(text));
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let mut rest = text;
    let mut total_ns = 0_u64;
    let mut units = UNITS.as_slice();
    while !rest.is_empty() {
        let digits_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, tail) = rest.split_at(digits_len);
        let unit_len = tail.find(|found: char| found.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let count: u64 = digits.parse().map_err(|_| bad())?;
        if unit.is_empty() {
            return Err(bad());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        }
        let position = units.iter().position(|(name, _)| *name == unit).ok_or_else(bad)?;
        let (_, unit_ns) = units[position];
        units = &units[position + 1..];
        total_ns = count
            .checked_mul(unit_ns)
            .and_then(|ns| total_ns.checked_add(ns))
            .filter(|ns| *ns <= NS_MAX)
            .ok_or(OUT_OF_RANGE)?;
        rest = tail;
    }
    i64::try_from(total_ns / NS_PER_MS).map_err(|_| OUT_OF_RANGE.to_owned())
}
