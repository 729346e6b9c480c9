//! Durations as people write them: Prometheus's grammar (`1d12h`), and Go's, which M3 uses
//! (`36h`, `1.5s`).

use std::fmt;

use super::{NS_PER_MS, NS_PER_S};

/// A span of time in nanoseconds; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationNs(pub i64);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: {why}")]
pub struct DurationError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

const NS_PER_MINUTE: i64 = 60 * NS_PER_S;
const NS_PER_HOUR: i64 = 60 * NS_PER_MINUTE;
const NS_PER_DAY: i64 = 24 * NS_PER_HOUR;

/// Units of Prometheus, the largest first; a year has 365 days.
const PROMETHEUS_UNITS: [(&str, i64); 7] = [
    ("y", 365 * NS_PER_DAY),
    ("w", 7 * NS_PER_DAY),
    ("d", NS_PER_DAY),
    ("h", NS_PER_HOUR),
    ("m", NS_PER_MINUTE),
    ("s", NS_PER_S),
    ("ms", NS_PER_MS),
];

/// Units of Go.
const GO_UNITS: [(&str, i64); 8] = [
    ("h", NS_PER_HOUR),
    ("m", NS_PER_MINUTE),
    ("s", NS_PER_S),
    ("ms", NS_PER_MS),
    ("us", 1000),
    ("\u{b5}s", 1000),
    ("\u{3bc}s", 1000),
    ("ns", 1),
];

const TOO_LONG: &str = "it is longer than 292 years";
const NO_NUMBER: &str = "a number is missing";
const NO_UNIT: &str = "a unit is missing";

impl DurationNs {
    /// Reads Prometheus's grammar: whole numbers with units from `y` to `ms`, each unit at most
    /// once, larger ones first; or `0`.
    ///
    /// # Errors
    /// Any other text, the empty one too.
    pub fn parse_prometheus(text: &str) -> Result<Self, DurationError> {
        let fail = |why| DurationError { text: text.to_owned(), why };
        if text == "0" {
            return Ok(Self(0));
        }
        let mut units = PROMETHEUS_UNITS.as_slice();
        let mut rest = text;
        let mut sum = 0_i64;
        loop {
            let (digits, after) = split(rest, |c| c.is_ascii_digit());
            if digits.is_empty() {
                return Err(fail(NO_NUMBER));
            }
            let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
            let at = units.iter().position(|(name, _)| *name == unit);
            let Some((at, (_, ns))) = at.and_then(|at| Some((at, units.get(at)?))) else {
                let why = "its units must be y, w, d, h, m, s, ms, in this order";
                return Err(fail(if unit.is_empty() { NO_UNIT } else { why }));
            };
            let part = digits.parse::<i64>().ok().and_then(|count| count.checked_mul(*ns));
            sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(|| fail(TOO_LONG))?;
            if after.is_empty() {
                return Ok(Self(sum));
            }
            units = units.get(at + 1..).unwrap_or_default();
            rest = after;
        }
    }

    /// Reads Go's grammar: an optional sign, then decimal numbers with units from `h` to `ns` in
    /// any order; or `0`. A fraction below a nanosecond is cut off.
    ///
    /// # Errors
    /// Any other text, the empty one too.
    pub fn parse_go(text: &str) -> Result<Self, DurationError> {
        let fail = |why| DurationError { text: text.to_owned(), why };
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if unsigned == "0" {
            return Ok(Self(0));
        }
        let mut rest = unsigned;
        let mut sum = 0_i128;
        loop {
            let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
            let (unit, after) = split(after, |c| !c.is_ascii_digit() && c != '.');
            let Some((_, ns)) = GO_UNITS.iter().find(|(name, _)| *name == unit) else {
                let why = "its units must be h, m, s, ms, us, ns";
                return Err(fail(if unit.is_empty() { NO_UNIT } else { why }));
            };
            sum += decimal_times(number, *ns).ok_or_else(|| fail(NO_NUMBER))?;
            if sum > i128::from(i64::MAX) + 1 {
                return Err(fail(TOO_LONG));
            }
            if after.is_empty() {
                let signed = if is_negative { -sum } else { sum };
                return i64::try_from(signed).map(Self).map_err(|_| fail(TOO_LONG));
            }
            rest = after;
        }
    }

    /// Shows it in Prometheus's grammar, milliseconds being the smallest unit.
    #[must_use]
    pub fn prometheus(self) -> Prometheus {
        Prometheus(self)
    }

    /// Shows it in Go's grammar, exactly.
    #[must_use]
    pub fn go(self) -> Go {
        Go(self)
    }
}

/// `text` at the first character that is not `inside`.
fn split(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()))
}

/// `number * ns`, cut to whole nanoseconds; large numbers saturate far beyond the range of `i64`.
fn decimal_times(number: &str, ns: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let unit = i128::from(ns);
    let mut sum = 0_i128;
    for digit in whole.bytes() {
        sum = (sum * 10 + i128::from(digit - b'0')).min(1 << 64);
    }
    sum *= unit;
    // The smallest fraction that counts is a nanosecond of an hour: 13 digits.
    let mut scale = 1_i128;
    let mut numerator = 0_i128;
    for digit in fraction.bytes().take(18) {
        numerator = numerator * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    Some(sum + numerator * unit / scale)
}

/// Shows a duration in Prometheus's grammar.
#[derive(Clone, Copy, Debug)]
pub struct Prometheus(DurationNs);

impl fmt::Display for Prometheus {
    /// PARITY(prometheus): years and weeks appear only when nothing smaller is left over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0;
        let mut ms = (ns / NS_PER_MS).unsigned_abs();
        if ms == 0 {
            return f.write_str("0s");
        }
        if ns < 0 {
            f.write_str("-")?;
        }
        for (unit, unit_ns) in PROMETHEUS_UNITS {
            let unit_ms = (unit_ns / NS_PER_MS).unsigned_abs();
            let must_be_exact = matches!(unit, "y" | "w");
            if must_be_exact && !ms.is_multiple_of(unit_ms) {
                continue;
            }
            if ms / unit_ms > 0 {
                write!(f, "{}{unit}", ms / unit_ms)?;
            }
            ms %= unit_ms;
        }
        Ok(())
    }
}

/// Shows a duration in Go's grammar.
#[derive(Clone, Copy, Debug)]
pub struct Go(DurationNs);

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0.unsigned_abs();
        if ns == 0 {
            return f.write_str("0s");
        }
        if self.0.0 < 0 {
            f.write_str("-")?;
        }
        let small = |unit_ns: u64, digits: usize| Fraction { value: ns, unit_ns, digits };
        match ns {
            1..1000 => return write!(f, "{ns}ns"),
            1000..1_000_000 => return write!(f, "{}\u{b5}s", small(1000, 3)),
            1_000_000..1_000_000_000 => return write!(f, "{}ms", small(1_000_000, 6)),
            _ => {}
        }
        let seconds = ns / 1_000_000_000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let rest = Fraction { value: ns % 60_000_000_000, unit_ns: 1_000_000_000, digits: 9 };
        write!(f, "{rest}s")
    }
}

/// A decimal number without zeros at its end.
struct Fraction {
    value: u64,
    unit_ns: u64,
    digits: usize,
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.value / self.unit_ns, self.value % self.unit_ns);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:0width$}", width = self.digits);
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prometheus(text: &str) -> Option<i64> {
        DurationNs::parse_prometheus(text).ok().map(|d| d.0)
    }

    fn go(text: &str) -> Option<i64> {
        DurationNs::parse_go(text).ok().map(|d| d.0)
    }

    #[test]
    fn reads_what_prometheus_reads() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("324ms", 324),
            ("3s", 3000),
            ("5m", 300_000),
            ("1h30m5ms", 5_400_005),
            ("4d", 345_600_000),
            ("4d1h", 349_200_000),
            ("3w", 1_814_400_000),
            ("10y", 315_360_000_000),
            ("3w2d1h", 1_990_800_000),
        ] {
            assert_eq!(prometheus(text), Some(ms * NS_PER_MS), "{text}");
        }
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        let refused =
            ["", "1", "1y1m1d", "-1w", "1.5d", "d", "294y", "200y10400w", "1h1h", "1 h", "5us"];
        for text in refused {
            assert_eq!(prometheus(text), None, "{text}");
        }
        let error = DurationNs::parse_prometheus("1m1h").expect_err("wrong order");
        assert!(error.to_string().starts_with("\"1m1h\" is not a duration: its units"), "{error}");
    }

    #[test]
    fn reads_what_go_reads() {
        for (text, ns) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5 * NS_PER_S),
            ("1.004s", 1_004_000_000),
            (".5s", 500_000_000),
            ("1.s", NS_PER_S),
            ("48h", 48 * NS_PER_HOUR),
            ("1h30m", 90 * NS_PER_MINUTE),
            ("-1m30s", -90 * NS_PER_S),
            ("+10ns", 10),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("3us2ms", 2_003_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(go(text), Some(ns), "{text}");
        }
        for text in ["", "3", "-", "s", ".", "1..5s", ".s", "9223372036854775808ns", "1d", "1h 2m"]
        {
            assert_eq!(go(text), None, "{text}");
        }
    }

    #[test]
    fn prints_as_prometheus_prints() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (90_000, "1m30s"),
            (7 * 86_400_000, "1w"),
            (8 * 86_400_000, "8d"),
            (365 * 86_400_000, "1y"),
            (366 * 86_400_000, "366d"),
            (-60_000, "-1m"),
        ] {
            assert_eq!(DurationNs(ms * NS_PER_MS).prometheus().to_string(), text);
        }
    }

    #[test]
    fn prints_as_go_prints() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245 * NS_PER_S, "4m5s"),
            (48 * NS_PER_HOUR, "48h0m0s"),
            (5 * NS_PER_HOUR + 7_001_000_000, "5h0m7.001s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(DurationNs(ns).go().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(ns in any::<i64>()) {
            let duration = DurationNs(ns);
            prop_assert_eq!(DurationNs::parse_go(&duration.go().to_string()), Ok(duration));
            let ms = DurationNs((ns / NS_PER_MS).saturating_abs() * NS_PER_MS);
            prop_assert_eq!(DurationNs::parse_prometheus(&ms.prometheus().to_string()), Ok(ms));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+.0-9a-z\u{b5}]{0,40}") {
            let _ = DurationNs::parse_go(&text);
            let _ = DurationNs::parse_prometheus(&text);
        }
    }
}
