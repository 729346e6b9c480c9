//! Numbers in text, as line formats write them.

use m3rs_core::model::NORMAL_NAN_BITS;

/// What Prometheus makes of a not-a-number in text.
pub(crate) const NAN: f64 = f64::from_bits(NORMAL_NAN_BITS);

/// Powers of ten that a float holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The longest text that is looked at as a float; longer ones have digits that do not count, and
/// nobody sends them.
const FLOAT_BYTES_MAX: usize = 1024;

/// Reads a decimal number, or an infinity or not-a-number in any case, as Prometheus does.
///
/// Budget: 15 ns for up to 15 digits without an exponent.
#[inline]
pub(crate) fn float(text: &[u8]) -> Option<f64> {
    plain(text).or_else(|| any_float(text))
}

/// Digits with at most one point: where both halves of the quotient are exact, so is its rounding.
#[inline]
fn plain(text: &[u8]) -> Option<f64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let (mut number, mut count, mut point) = (0u64, 0usize, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let fraction = point.map_or(0, |at| digits.len() - 1 - at);
    let value = number as f64 / TENS[fraction];
    Some(if is_negative { -value } else { value })
}

fn any_float(text: &[u8]) -> Option<f64> {
    if text.len() > FLOAT_BYTES_MAX {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(if value.is_nan() { NAN } else { value })
}

/// Reads a whole number.
#[inline]
pub(crate) fn int(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = unsigned(digits)?;
    match is_negative {
        true => 0i64.checked_sub_unsigned(magnitude),
        false => i64::try_from(magnitude).ok(),
    }
}

/// Reads digits.
#[inline]
pub(crate) fn unsigned(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// Reads decimal seconds, such as `1520430000.123`, as nanoseconds; further digits do not count.
pub(crate) fn seconds_as_ns(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = digits.split_at(point);
    let fraction = fraction.get(1..).unwrap_or_default();
    if !digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return exponent_seconds_as_ns(text);
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { unsigned(whole)? };
    let mut ns = 0u64;
    for place in 0..9 {
        ns = ns * 10 + u64::from(fraction.get(place).map_or(0, |digit| digit.wrapping_sub(b'0')));
    }
    if fraction.iter().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let all = i64::try_from(whole.checked_mul(1_000_000_000)?.checked_add(ns)?).ok()?;
    Some(if is_negative { -all } else { all })
}

fn exponent_seconds_as_ns(text: &[u8]) -> Option<i64> {
    let ns = float(text)? * 1e9;
    // The nearest floats to the ends of an i64.
    (ns.abs() < 9.2e18).then_some(ns as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_what_is_none() {
        for (text, wanted) in [
            ("0", Some(0.0)),
            ("-1.5", Some(-1.5)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("+3", Some(3.0)),
            ("1e3", Some(1000.0)),
            ("1E-3", Some(0.001)),
            ("+Inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("1e400", Some(f64::INFINITY)),
            ("", None),
            ("-", None),
            (".", None),
            ("1.2.3", None),
            ("0x10", None),
            ("1_000", None),
            ("1 ", None),
            ("t", None),
        ] {
            assert_eq!(float(text.as_bytes()), wanted, "{text}");
        }
        assert_eq!(float(b"-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert_eq!(float(b"-nan").map(f64::to_bits), Some(NAN.to_bits()));
        assert_eq!(float(&[b'1'; 5000]), None);
        assert_eq!(int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(int(b"+7"), Some(7));
        for bad in ["", "-", "9223372036854775808", "1.0", "12a", "--1"] {
            assert_eq!(int(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn seconds_keep_their_digits() {
        for (text, wanted) in [
            ("1520430000.123", Some(1_520_430_000_123_000_000)),
            ("1", Some(1_000_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("0.0000000019", Some(1)),
            (".5", Some(500_000_000)),
            ("1.5e3", Some(1_500_000_000_000)),
            ("1e30", None),
            ("99999999999", None),
            ("NaN", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
        ] {
            assert_eq!(seconds_as_ns(text.as_bytes()), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn floats_are_those_of_the_standard_library(
            bits in any::<u64>(), number in any::<i32>(), places in 0usize..12,
        ) {
            let value = f64::from_bits(bits);
            if !value.is_nan() {
                let text = format!("{value:?}");
                prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), Some(bits));
            }
            let text = format!("{:.places$}", f64::from(number) / 1000.0);
            let want: f64 = text.parse().expect("a number");
            prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), Some(want.to_bits()));
        }
    }
}
