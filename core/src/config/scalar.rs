//! What a scalar of YAML means for who knows its type, by the rules of YAML 1.1, which M3 follows.

/// A scalar as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scalar {
    /// Its text, without quotes and escapes.
    pub text: String,
    /// Whether it may mean something else than text: it has no quotes and no tag of texts.
    pub is_plain: bool,
}

impl Scalar {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.is_plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// A truth value: `true`, `yes`, `on`, `y` and their opposites, in small letters, in capitals,
    /// or with one capital.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match &*self.text {
            _ if !self.is_plain => None,
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
                Some(true)
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n"
            | "N" => Some(false),
            _ => None,
        }
    }

    /// A whole number: decimal, `0x`, `0o`, `0b`, or octal with a leading 0; `_` between digits. A
    /// float counts too if it is whole.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        self.digits().or_else(|| {
            let float = self.float()?;
            let is_whole = float.fract() == 0.0 && float.abs() < 9.0e18;
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            is_whole.then_some(float as i64)
        })
    }

    fn digits(&self) -> Option<i64> {
        if !self.is_plain || self.text.starts_with('_') {
            return None;
        }
        let text = self.text.replace('_', "");
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0o", 8), ("0", 8)];
        let (digits, radix) = prefixes
            .iter()
            .find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)))
            .filter(|(rest, _)| !rest.is_empty())
            .unwrap_or((digits, 10));
        if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
            return None;
        }
        let number = i128::from_str_radix(digits, radix).ok()?;
        i64::try_from(if is_negative { -number } else { number }).ok()
    }

    /// A number, `.inf` or `.nan`.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match &*self.text {
            _ if !self.is_plain => None,
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
            ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
            text => {
                let text = text.replace('_', "");
                let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
                if text.starts_with(is_number)
                    && text.chars().all(|c| is_number(c) || "eE".contains(c))
                {
                    text.parse().ok()
                } else {
                    None
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), is_plain: true }
    }

    #[test]
    fn truth_values_are_those_of_yaml_1_1() {
        for (text, want) in [
            ("True", Some(true)),
            ("on", Some(true)),
            ("NO", Some(false)),
            ("n", Some(false)),
            ("tRUE", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(plain(text).bool(), want, "{text}");
        }
        assert_eq!(Scalar { text: "true".into(), is_plain: false }.bool(), None);
    }

    #[test]
    fn numbers() {
        for (text, int, float) in [
            ("0", Some(0), Some(0.0)),
            ("-12_000", Some(-12_000), Some(-12_000.0)),
            ("0x10", Some(16), None),
            ("0b11", Some(3), None),
            ("0755", Some(0o755), Some(755.0)),
            ("1e3", Some(1000), Some(1000.0)),
            ("1.5", None, Some(1.5)),
            (".5", None, Some(0.5)),
            (".inf", None, Some(f64::INFINITY)),
            ("9223372036854775807", Some(i64::MAX), Some(9.223_372_036_854_776e18)),
            ("9223372036854775808", None, Some(9.223_372_036_854_776e18)),
            ("infinity", None, None),
            ("1s", None, None),
            ("--1", None, None),
            ("0x-1", None, None),
            ("0x", None, None),
            ("", None, None),
        ] {
            assert_eq!((plain(text).int(), plain(text).float()), (int, float), "{text}");
        }
        let quoted = Scalar { text: "5".into(), is_plain: false };
        assert_eq!((quoted.int(), quoted.float()), (None, None));
    }

    #[test]
    fn nothing() {
        for text in ["", "~", "null", "NULL"] {
            assert!(plain(text).is_null(), "{text}");
        }
        assert!(!Scalar::default().is_null());
        assert!(!plain("nil").is_null());
    }
}
