//! Times and durations as the API writes them.

use std::fmt;

/// The earliest time that has a name: `-292273086-05-16T16:47:06Z`.
pub(crate) const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;

/// The latest time that has a name: `292277025-08-18T07:12:54.999999999Z`.
pub(crate) const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Why a text is no time or no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeError {
    NoTimestamp(String),
    NoDuration(String),
    DurationOverflow(String),
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTimestamp(text) => write!(f, "cannot parse {text:?} to a valid timestamp"),
            Self::NoDuration(text) => write!(f, "cannot parse {text:?} to a valid duration"),
            Self::DurationOverflow(text) => {
                write!(f, "cannot parse {text:?} to a valid duration. It overflows int64")
            }
        }
    }
}

/// Reads seconds since 1970 as a decimal number, RFC 3339, or one of the two named times, in
/// milliseconds.
///
/// PARITY(prometheus): the fraction is rounded to three digits, then cut, by the same arithmetic.
///
/// # Errors
/// Any other text; not-a-number and infinities too.
pub(crate) fn parse_time(text: &str) -> Result<i64, TimeError> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        let fraction = (seconds.fract() * 1000.0).round() / 1000.0;
        let ns = (fraction * 1e9) as i64;
        let whole = seconds.trunc() as i64;
        return Ok(whole.saturating_mul(1000).saturating_add(ns.div_euclid(1_000_000)));
    }
    match text {
        MIN_TIME_TEXT => Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => Ok(MAX_TIME_MS),
        _ => parse_rfc3339(text).ok_or_else(|| TimeError::NoTimestamp(text.to_owned())),
    }
}

/// Reads `2006-01-02T15:04:05.999Z` or with an offset such as `+02:00`, in milliseconds.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, [4, 2, 2], b'-')?;
    let [hour, minute, second] = numbers(time, [2, 2, 2], b':')?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (rest.get(..digits).filter(|d| !d.is_empty())?, rest.get(digits..)?)
        }
        None => ("", rest),
    };
    let days = days_of(year, month, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - zone_seconds(zone)?;
    Some(seconds * 1000 + ms)
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let [hours, minutes] = numbers(zone.get(1..)?, [2, 2], b':')?;
    (hours <= 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Numbers of exactly these widths, with `separator` between them.
fn numbers<const N: usize>(text: &str, widths: [usize; N], separator: u8) -> Option<[i64; N]> {
    let mut parts = text.split(char::from(separator));
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=month_days).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day last; 719,468 days lie between 0000-03-01 and
    // 1970-01-01.
    let y = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    Some(y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468)
}

/// A time in milliseconds as RFC 3339 in UTC, with as many digits of the fraction as there are, as
/// Go writes it.
pub(crate) fn rfc3339_ms(ms: i64) -> String {
    let mut text = date_and_time(ms.div_euclid(1000));
    let fraction = format!(".{:03}", ms.rem_euclid(1000));
    text.push_str(fraction.trim_end_matches('0').trim_end_matches('.'));
    text.push('Z');
    text
}

/// Seconds since 1970 as `2006-01-02T15:04:05`.
pub(crate) fn date_and_time(seconds: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The date of the Gregorian calendar that is `days` after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Years that begin in March, in eras of 400 years, put the leap day last.
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Reads a duration: a decimal number of seconds, or Prometheus's `1h30m`, in nanoseconds.
///
/// # Errors
/// Any other text, and durations over 292 years.
pub(crate) fn parse_duration_param(text: &str) -> Result<i64, TimeError> {
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.is_nan() {
            // PARITY(prometheus): as a number of nanoseconds it is the least one.
            return Ok(i64::MIN);
        }
        let ns = seconds * 1e9;
        return if (i64::MIN as f64..i64::MAX as f64).contains(&ns) {
            Ok(ns as i64)
        } else {
            Err(TimeError::DurationOverflow(text.to_owned()))
        };
    }
    parse_units(text).ok_or_else(|| TimeError::NoDuration(text.to_owned()))
}

/// `1y2w3d4h5m6s7ms`: each unit at most once, larger before smaller; or `0`.
fn parse_units(text: &str) -> Option<i64> {
    const UNITS_MS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut total_ms = 0i64;
    let mut units = UNITS_MS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (_, unit_ms) = units.find(|(name, _)| rest.get(..letters) == Some(*name))?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then_some(total_ms)?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_prometheus_does() {
        for (text, wanted) in [
            ("0", 0),
            ("4", 4000),
            ("1435781451.781", 1_435_781_451_781),
            ("1435781451.7815", 1_435_781_451_782),
            ("-1.5", -1500),
            ("-0.001", -1),
            ("1e3", 1_000_000),
            ("1970-01-01T00:00:00Z", 0),
            ("2015-06-03T13:21:58.555Z", 1_433_337_718_555),
            ("2015-06-03T13:21:58.5559999Z", 1_433_337_718_555),
            ("2015-06-03T14:21:58.555+01:00", 1_433_337_718_555),
            ("2015-06-03T11:51:58.555-01:30", 1_433_337_718_555),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            (MIN_TIME_TEXT, MIN_TIME_MS),
            (MAX_TIME_TEXT, MAX_TIME_MS),
        ] {
            assert_eq!(parse_time(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "30s",
            "NaN",
            "inf",
            "2015-06-03T21:58:555Z",
            "2015-06-03",
            "2001-02-29T00:00:00Z",
            "2015-13-03T00:00:00Z",
            "2015-06-03T24:00:00Z",
            "2015-06-03T00:00:00",
            "2015-06-03T00:00:00.Z",
            "2015-06-03T00:00:00+1:00",
            "2015-06-03t00:00:00Z",
            "0x10",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_prometheus_does() {
        for (text, wanted_ms) in [
            ("0", 0),
            ("15", 15_000),
            ("0.5", 500),
            ("-1", -1000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("5ms", 5),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
        ] {
            assert_eq!(parse_duration_param(text), Ok(wanted_ms * 1_000_000), "{text}");
        }
        for text in ["", "1x", "m", "1m1h", "1m1m", "1.5m", "-1m", "inf", "1e300", "1000y"] {
            assert!(parse_duration_param(text).is_err(), "{text}");
        }
    }
}
