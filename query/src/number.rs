//! Numbers and times as Go writes them, which is how Prometheus's API shows them.
//!
//! Budget: at most 36 ns for a point of time and value.

/// Appends a sample value as the API shows it: shortest digits that read back to the same bits,
/// plain notation, exponents below 1e-6 and from 1e21 on; `NaN`, `+Inf`, `-Inf`.
#[inline]
pub fn write_float(out: &mut Vec<u8>, v: f64) {
    let abs = v.abs();
    if abs < 1e15 && v as i64 as f64 == v && (v != 0.0 || v.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(v as i64).as_bytes());
    } else if !v.is_finite() {
        out.extend_from_slice(special(v));
    } else if let Some(hundredths) = hundredths(v) {
        write_hundredths(out, v.is_sign_negative(), hundredths);
    } else if (1e-4..1e15).contains(&abs) {
        // A fraction without exponent.
        out.extend_from_slice(zmij::Buffer::new().format_finite(v).as_bytes());
    } else {
        write_shortest(out, v, abs != 0.0 && !(1e-6..1e21).contains(&abs));
    }
}

/// The size of a number that has two decimals at most, in hundredths; many a gauge does.
///
/// Such a number of up to 15 digits is the only one of so few digits that reads back to `v`, so
/// that its digits are the shortest.
#[inline]
fn hundredths(v: f64) -> Option<u64> {
    let hundredths = v.abs() * 100.0 + 0.5;
    if hundredths >= 1e15 {
        return None;
    }
    let hundredths = hundredths as i64;
    (hundredths != 0 && hundredths as f64 / 100.0 == v.abs()).then_some(hundredths as u64)
}

#[inline]
fn write_hundredths(out: &mut Vec<u8>, is_negative: bool, hundredths: u64) {
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    if is_negative {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    let digits = [b'.', digit(rest / 10), digit(rest)];
    let len = match (rest, rest % 10) {
        (0, _) => 0,
        (_, 0) => 2,
        _ => 3,
    };
    out.extend_from_slice(&digits[..len]);
}

/// Appends a value in plain notation whatever its size, as `count_values` writes it into labels.
pub fn write_plain(out: &mut Vec<u8>, v: f64) {
    if v.is_finite() {
        write_shortest(out, v, false);
    } else {
        out.extend_from_slice(special(v));
    }
}

/// A value as Go's `%g` and `%v` show it: exponents below 1e-4 and from 1e6 on.
#[must_use]
pub fn general(v: f64) -> String {
    let mut out = Vec::with_capacity(24);
    let abs = v.abs();
    if v.is_finite() {
        write_shortest(&mut out, v, abs != 0.0 && !(1e-4..1e6).contains(&abs));
    } else {
        out.extend_from_slice(special(v));
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A value as OpenMetrics writes it into labels: whole numbers with one decimal.
#[must_use]
pub fn open_metrics(v: f64) -> String {
    // PARITY(prometheus): zero has no sign here.
    let mut text = general(if v == 0.0 { 0.0 } else { v });
    if v.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

/// Appends a time in seconds as samples show it: without decimals, or with three.
pub fn write_time(out: &mut Vec<u8>, ms: i64) {
    let len = if ms % 1000 == 0 { 0 } else { 4 };
    write_seconds(out, ms, len);
}

/// Appends a time in seconds as scalars and strings show it: with as many decimals, up to three,
/// as its milliseconds need.
pub fn write_short_time(out: &mut Vec<u8>, ms: i64) {
    let len = match ms.unsigned_abs() % 1000 {
        0 => 0,
        fraction if fraction.is_multiple_of(100) => 2,
        fraction if fraction.is_multiple_of(10) => 3,
        _ => 4,
    };
    write_seconds(out, ms, len);
}

/// Appends whole seconds, and the first `len` characters of the point and three decimals.
fn write_seconds(out: &mut Vec<u8>, ms: i64, len: usize) {
    if ms < 0 {
        out.push(b'-');
    }
    let abs = ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(abs / 1000).as_bytes());
    let fraction = abs % 1000;
    let digits = [b'.', digit(fraction / 100), digit(fraction / 10), digit(fraction)];
    out.extend_from_slice(&digits[..len]);
}

fn digit(n: u64) -> u8 {
    b'0' + (n % 10) as u8
}

fn special(v: f64) -> &'static [u8] {
    if v.is_nan() {
        b"NaN"
    } else if v > 0.0 {
        b"+Inf"
    } else {
        b"-Inf"
    }
}

/// Appends the shortest digits of a finite number in exponent or plain notation.
fn write_shortest(out: &mut Vec<u8>, v: f64, with_exponent: bool) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(v).as_bytes();
    let text = text.strip_suffix(b".0").unwrap_or(text);
    let e = text.iter().position(|&b| b == b'e');
    if e.is_none() && !with_exponent {
        out.extend_from_slice(text);
        return;
    }
    let decimal = Decimal::parse(text, e);
    if with_exponent {
        decimal.write_exponent(out);
    } else {
        decimal.write_plain(out);
    }
}

/// Significant digits and the place of the decimal point.
struct Decimal {
    is_negative: bool,
    digits: [u8; 32],
    len: usize,
    /// The point stands before digit number `point`; may lie outside of the digits.
    point: i32,
}

impl Decimal {
    /// Takes apart `[-]digits[.digits][e[+-]digits]`.
    fn parse(text: &[u8], e: Option<usize>) -> Self {
        let (mantissa, exponent) = match e {
            Some(at) => (&text[..at], parse_int(&text[at + 1..])),
            None => (text, 0),
        };
        let is_negative = mantissa.first() == Some(&b'-');
        let mut out = Self { is_negative, digits: [b'0'; 32], len: 0, point: 0 };
        let mut point = None;
        for &b in &mantissa[usize::from(is_negative)..] {
            if b == b'.' {
                point = Some(out.len as i32);
            } else if out.len < out.digits.len() {
                out.digits[out.len] = b;
                out.len += 1;
            }
        }
        out.point = point.unwrap_or(out.len as i32) + exponent;
        let zeros = out.digits[..out.len].iter().take_while(|&&b| b == b'0').count();
        out.digits.copy_within(zeros..out.len, 0);
        out.len -= zeros;
        out.point -= zeros as i32;
        while out.len > 0 && out.digits[out.len - 1] == b'0' {
            out.len -= 1;
        }
        out
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        if self.is_negative {
            out.push(b'-');
        }
        let digits = &self.digits[..self.len];
        if self.point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', self.point.unsigned_abs() as usize));
            out.extend_from_slice(digits);
            return;
        }
        let whole = self.point as usize;
        if whole >= digits.len() {
            out.extend_from_slice(digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }

    fn write_exponent(&self, out: &mut Vec<u8>) {
        if self.is_negative {
            out.push(b'-');
        }
        let digits = &self.digits[..self.len];
        out.extend_from_slice(&digits[..digits.len().min(1)]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = self.point - 1;
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        let abs = exponent.unsigned_abs();
        if abs < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(abs).as_bytes());
    }
}

fn parse_int(text: &[u8]) -> i32 {
    let (is_negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let abs = digits.iter().fold(0, |n, b| n * 10 + i32::from(b - b'0'));
    if is_negative { -abs } else { abs }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(v: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    fn plain(v: f64) -> String {
        let mut out = Vec::new();
        write_plain(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    /// Two decimals are written by themselves, with the digits that the shortest search finds.
    #[test]
    fn hundredths_are_shortest() {
        let mut state = 88_172_645_463_325_252_u64;
        for i in 0..200_000_u64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let near = (state >> (14 + i % 50)) as f64 / 100.0;
            let wide = (state >> 12) as f64 * 10f64.powi(i as i32 % 40 - 32);
            let nears = [near, -near, near.next_up(), near.next_down()];
            for v in nears.into_iter().chain([i as f64 / 1000.0, wide, -wide]) {
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                write_float(&mut out, v);
                let abs = v.abs();
                write_shortest(&mut expected, v, abs != 0.0 && !(1e-6..1e21).contains(&abs));
                assert_eq!(out, expected, "{v:e}");
            }
        }
    }

    #[test]
    fn values_are_written_as_go_writes_them() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (123456789.125, "123456789.125"),
            (1e15, "1000000000000000"),
            (123456789012345680.0, "123456789012345680"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (0.000001, "0.000001"),
            (0.00000123, "0.00000123"),
            (9.99e-7, "9.99e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.3333333333333333, "0.3333333333333333"),
            (2.5e16, "25000000000000000"),
        ] {
            assert_eq!(float(v), text);
        }
    }

    #[test]
    fn plain_notation_has_no_exponent() {
        assert_eq!(plain(1e21), "1000000000000000000000");
        assert_eq!(plain(1.25e-7), "0.000000125");
        assert_eq!(plain(-2.5e22), "-25000000000000000000000");
        assert_eq!(plain(0.0), "0");
        assert_eq!(plain(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn general_notation_switches_at_1e_minus_4_and_1e6() {
        assert_eq!(general(123456.5), "123456.5");
        assert_eq!(general(1_234_567.0), "1.234567e+06");
        assert_eq!(open_metrics(1e6), "1e+06");
        assert_eq!(general(0.0001), "0.0001");
        assert_eq!(general(0.00001), "1e-05");
        assert_eq!(general(-1.1), "-1.1");
        assert_eq!(general(f64::NAN), "NaN");
        assert_eq!(general(1e21), "1e+21");
        assert_eq!(open_metrics(1.0), "1.0");
        assert_eq!(open_metrics(0.95), "0.95");
        assert_eq!(open_metrics(f64::NAN), "NaN");
    }

    #[test]
    fn times_have_three_decimals_or_as_many_as_needed() {
        for (ms, text, short) in [
            (0, "0", "0"),
            (1_435_781_451_781, "1435781451.781", "1435781451.781"),
            (1_435_781_451_780, "1435781451.780", "1435781451.78"),
            (1_435_781_451_700, "1435781451.700", "1435781451.7"),
            (1_000, "1", "1"),
            (1, "0.001", "0.001"),
            (20, "0.020", "0.02"),
            (-1, "-0.001", "-0.001"),
            (-1_500, "-1.500", "-1.5"),
            (i64::MIN, "-9223372036854775.808", "-9223372036854775.808"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            let mut out = Vec::new();
            write_short_time(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), short);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bits_read_back(bits: u64) {
            let v = f64::from_bits(bits);
            let back: f64 = float(v).parse().unwrap();
            let plain_back: f64 = plain(v).parse().unwrap();
            proptest::prop_assert!(v.is_nan() == back.is_nan());
            if !v.is_nan() {
                proptest::prop_assert_eq!(v.to_bits(), back.to_bits());
                proptest::prop_assert_eq!(v.to_bits(), plain_back.to_bits());
            }
        }
    }
}
