//! Durations outside of queries, and durations as text.

use std::fmt;

use super::number::parse_duration_literal;
use crate::promql::print::quote::quote;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDurationError {
    message: String,
}

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseDurationError {}

/// Parses a duration as in HTTP requests (`step`, `timeout`), in milliseconds: units as in
/// [`parse_units_ms`], or a number of seconds, which may be a float and may have a sign.
///
/// # Errors
/// Prometheus's message: neither of both, or longer than 292 years.
pub fn parse_duration_ms(text: &str) -> Result<i64, ParseDurationError> {
    const NS_MAX: f64 = 9_223_372_036_854_775_807.0;
    let error = |why: &str| ParseDurationError {
        message: format!("cannot parse {} to a valid duration{why}", quote(text)),
    };
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * 1e9;
        if ns.is_nan() || ns.abs() > NS_MAX {
            return Err(error(". It overflows int64"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds of i64")]
        return Ok((ns as i64) / 1_000_000);
    }
    parse_duration_literal(text).map_err(|_| error(""))
}

/// Parses a duration such as `1h30m5ms`, in milliseconds. `0` needs no unit.
///
/// Units are `y`, `w`, `d`, `h`, `m`, `s`, `ms`, largest first, each at most once; a year has 365
/// days.
///
/// # Errors
/// Prometheus's message: no duration, an unknown unit, or longer than 292 years.
pub fn parse_units_ms(text: &str) -> Result<i64, ParseDurationError> {
    parse_duration_literal(text).map_err(|message| ParseDurationError { message })
}

/// The shortest text for a duration of milliseconds, as Prometheus prints it.
///
/// Years and weeks are only used if nothing remains: `90d` is easier to read than `12w6d`.
#[must_use]
pub fn format_duration(ms: i64) -> String {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    let mut rest = ms.unsigned_abs();
    for (unit, unit_ms, is_exact) in UNITS {
        let count = rest / unit_ms;
        if count > 0 && (!is_exact || rest.is_multiple_of(unit_ms)) {
            out.push_str(&count.to_string());
            out.push_str(unit);
            rest %= unit_ms;
        }
    }
    out
}
