//! Attributes: a key and a value of any kind, and the text that a label has of it.
//!
//! PARITY(prometheus): `pcommon.Value.AsString` of the collector's `pdata`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use m3rs_core::Corrupt;
use m3rs_core::wire::proto::{Fields, Value};
use m3rs_query::render::{Escaping, write_text};

const KEY_VALUE: &str = "KeyValue";
const ANY_VALUE: &str = "AnyValue";

/// Why an attribute has no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AttributeError {
    /// It is no message of an attribute.
    #[error("malformed attribute: {0}")]
    Malformed(#[from] Corrupt),
    /// Lists within lists within lists.
    #[error("an attribute is nested more than {limit} deep (otlp.attribute_depth_max)")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}

/// The key of a `KeyValue` message, and its value as a message.
///
/// # Errors
/// [`Corrupt`] if it is none, or if the key is not UTF-8.
pub(super) fn key_value(message: &[u8]) -> Result<(&str, &[u8]), Corrupt> {
    let (mut key, mut value) = ("", &[][..]);
    let mut fields = Fields::new(KEY_VALUE, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => key = field.text(KEY_VALUE)?,
            2 => value = field.bytes(KEY_VALUE)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// One value, as its message says; of several the last one counts.
enum Any<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Integer(i64),
    Double(f64),
    List(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Any<'a> {
    fn of(message: &'a [u8]) -> Result<Self, Corrupt> {
        let mut any = Self::Empty;
        let mut fields = Fields::new(ANY_VALUE, message);
        while let Some(field) = fields.next_field()? {
            any = match field.number {
                1 => Self::Text(field.text(ANY_VALUE)?),
                2 => Self::Bool(field.varint(ANY_VALUE)? != 0),
                3 => Self::Integer(field.varint(ANY_VALUE)? as i64),
                4 => Self::Double(field.double(ANY_VALUE)?),
                5 => Self::List(field.bytes(ANY_VALUE)?),
                6 => Self::Map(field.bytes(ANY_VALUE)?),
                7 => Self::Bytes(field.bytes(ANY_VALUE)?),
                _ => any,
            };
        }
        Ok(any)
    }
}

/// The text of the value in the `AnyValue` message, whose lists may be `depth_max` deep.
///
/// # Errors
/// Every kind of [`AttributeError`].
pub(super) fn text_of(message: &[u8], depth_max: usize) -> Result<Cow<'_, str>, AttributeError> {
    Ok(match Any::of(message)? {
        Any::Empty => Cow::Borrowed(""),
        Any::Text(text) => Cow::Borrowed(text),
        Any::Bool(true) => Cow::Borrowed("true"),
        Any::Bool(false) => Cow::Borrowed("false"),
        Any::Integer(v) => Cow::Owned(v.to_string()),
        Any::Double(v) => Cow::Owned(double_text(v)),
        Any::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        Any::List(_) | Any::Map(_) => {
            let mut json = Json { out: Vec::new(), depth_max, is_sound: true };
            json.put(message, 0)?;
            // PARITY(prometheus): JSON has no NaN, and Go then writes nothing at all.
            let out = if json.is_sound { json.out } else { Vec::new() };
            Cow::Owned(String::from_utf8_lossy(&out).into_owned())
        }
    })
}

struct Json {
    out: Vec<u8>,
    depth_max: usize,
    is_sound: bool,
}

impl Json {
    fn put(&mut self, message: &[u8], depth: usize) -> Result<(), AttributeError> {
        if depth > self.depth_max {
            return Err(AttributeError::TooDeep { limit: self.depth_max });
        }
        match Any::of(message)? {
            Any::Empty => self.out.extend_from_slice(b"null"),
            Any::Text(text) => write_text(&mut self.out, text, Escaping::Json),
            Any::Bool(v) => self.out.extend_from_slice(if v { b"true" } else { b"false" }),
            Any::Integer(v) => self.out.extend_from_slice(v.to_string().as_bytes()),
            Any::Double(v) => {
                self.is_sound &= v.is_finite();
                self.out.extend_from_slice(double_text(v).as_bytes());
            }
            Any::Bytes(bytes) => {
                write_text(&mut self.out, &STANDARD.encode(bytes), Escaping::Json);
            }
            Any::List(list) => {
                let values = messages(list)?;
                self.joined(b"[]", values, |json, value| json.put(value, depth + 1))?;
            }
            Any::Map(list) => {
                // By key, and of equal keys the last one, as a map of Go is written.
                let mut map = BTreeMap::new();
                for pair in messages(list)? {
                    let (key, value) = key_value(pair)?;
                    map.insert(key, value);
                }
                self.joined(b"{}", map, |json, (key, value)| {
                    write_text(&mut json.out, key, Escaping::Json);
                    json.out.push(b':');
                    json.put(value, depth + 1)
                })?;
            }
        }
        Ok(())
    }

    fn joined<T>(
        &mut self,
        around: &[u8; 2],
        items: impl IntoIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T) -> Result<(), AttributeError>,
    ) -> Result<(), AttributeError> {
        self.out.push(around[0]);
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            put(self, item)?;
        }
        self.out.push(around[1]);
        Ok(())
    }
}

/// The messages in the only field of an `ArrayValue` or `KeyValueList`.
fn messages(list: &[u8]) -> Result<Vec<&[u8]>, Corrupt> {
    let mut all = Vec::new();
    let mut fields = Fields::new(ANY_VALUE, list);
    while let Some(field) = fields.next_field()? {
        if let (1, Value::Bytes(message)) = (field.number, field.value) {
            all.push(message);
        }
    }
    Ok(all)
}

/// A number as JavaScript writes it.
fn double_text(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = v.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return v.to_string();
    }
    let text = format!("{v:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// A number as bounds and quantiles are written in labels: digits and a point, no exponent.
///
/// PARITY(prometheus): `strconv.FormatFloat(v, 'f', -1, 64)`.
pub(super) fn put_bound(out: &mut String, v: f64) {
    let _never_fails = match v {
        f64::INFINITY => out.write_str("+Inf"),
        f64::NEG_INFINITY => out.write_str("-Inf"),
        v => write!(out, "{v}"),
    };
}

#[cfg(test)]
mod tests {
    use m3rs_core::wire::{put_length_prefixed, put_varint};

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        put_length_prefixed(&mut out, bytes);
        out
    }

    fn double(v: f64) -> Vec<u8> {
        [&[0x21][..], &v.to_le_bytes()].concat()
    }

    fn integer(v: i64) -> Vec<u8> {
        let mut out = vec![0x18];
        put_varint(&mut out, v as u64);
        out
    }

    fn pair(key: &str, value: &[u8]) -> Vec<u8> {
        [field(1, key.as_bytes()), field(2, value)].concat()
    }

    #[test]
    fn values_are_written_as_the_collector_writes_them() {
        let list = [field(1, &integer(-1)), field(1, &field(1, b"<a>")), field(1, b"")].concat();
        let map = [
            field(1, &pair("z", &double(1.5))),
            field(1, &pair("a", &field(7, b"\x01\x02"))),
            field(1, &pair("z", &[0x10, 1])),
        ]
        .concat();
        for (message, wanted) in [
            (field(1, b"text"), "text"),
            (vec![0x10, 1], "true"),
            (vec![0x10, 0], "false"),
            (integer(i64::MIN), "-9223372036854775808"),
            (double(0.1), "0.1"),
            (double(5.0), "5"),
            (double(1e21), "1e+21"),
            (double(1.5e-7), "1.5e-7"),
            (double(-1e20), "-100000000000000000000"),
            (double(f64::NAN), "NaN"),
            (double(f64::NEG_INFINITY), "-Infinity"),
            (field(5, &list), r#"[-1,"<a>",null]"#),
            (field(6, &map), r#"{"a":"AQI=","z":true}"#),
            (field(5, &field(1, &double(f64::NAN))), ""),
            (field(7, b"\xff"), "/w=="),
            (Vec::new(), ""),
            ([field(1, b"first"), vec![0x10, 1]].concat(), "true"),
        ] {
            assert_eq!(text_of(&message, 4).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn hostile_values_are_refused() {
        let mut deep = field(1, b"x");
        for _ in 0..100_000 {
            deep = field(5, &field(1, &deep));
            if deep.len() > 1 << 16 {
                break;
            }
        }
        assert_eq!(text_of(&deep, 32), Err(AttributeError::TooDeep { limit: 32 }));
        for message in [&[0x0a, 5, 1][..], &[0x0a, 1, 0xff], &[0x08, 1], &[0x22, 1, 1]] {
            assert!(text_of(message, 4).is_err(), "{message:x?}");
        }
        assert!(key_value(&[0x0a, 1, 0xff]).is_err());
    }

    #[test]
    fn bounds_have_no_exponent() {
        let text = |v| {
            let mut out = String::new();
            put_bound(&mut out, v);
            out
        };
        for (v, wanted) in
            [(0.005, "0.005"), (10.0, "10"), (1e21, "1000000000000000000000"), (-0.5, "-0.5")]
        {
            assert_eq!(text(v), wanted);
        }
        assert_eq!((text(f64::INFINITY), text(f64::NAN)), ("+Inf".into(), "NaN".into()));
    }
}
