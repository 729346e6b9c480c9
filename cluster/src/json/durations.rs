//! Keys that end in `Duration` instead of `Nanos`: people write `"2h"`, messages hold nanoseconds.

use m3rs_core::time::duration::DurationNs;
use serde_json::{Map, Value};

use super::{JsonError, syntax};

const DURATION: &str = "Duration";
const NANOS: &str = "Nanos";

/// Reads a JSON object whose keys may end in `Duration` anywhere in it; such a key becomes one
/// that ends in `Nanos`, and its value a number.
///
/// # Errors
/// PARITY(m3): what is no JSON object, and values that are no duration.
pub fn to_nanos(text: &[u8]) -> Result<Value, JsonError> {
    let decoding = |why: JsonError| JsonError::new(format!("error decoding JSON: {why}"));
    let value = syntax::first_value(text).map_err(decoding)?;
    if !value.is_object() && !value.is_null() {
        let why = "json: cannot unmarshal value into Go value of type map[string]interface {}";
        return Err(decoding(JsonError::new(why)));
    }
    let converting =
        |why: JsonError| JsonError::new(format!("error converting duration to nanos: {why}"));
    let value = if value.is_null() { Value::Object(Map::new()) } else { value };
    rename(value, (DURATION, NANOS), &nanos).map_err(converting)
}

/// Turns the keys of a JSON text that end in `Nanos` into ones that end in `Duration`, and their
/// numbers into Go's text of a duration. Keys come out sorted.
///
/// # Errors
/// A text that is no JSON, and values that are no number.
pub fn to_durations(text: &str) -> Result<String, JsonError> {
    let value = syntax::first_value(text.as_bytes())?;
    rename(value, (NANOS, DURATION), &duration).map(|value| value.to_string())
}

fn rename(
    value: Value,
    (from, to): (&str, &str),
    convert: &dyn Fn(&Value) -> Result<Value, JsonError>,
) -> Result<Value, JsonError> {
    Ok(match value {
        Value::Object(object) => {
            let mut renamed = Map::new();
            for (name, value) in object {
                if name.ends_with(from) {
                    renamed.insert(name.replacen(from, to, 1), convert(&value)?);
                } else {
                    renamed.insert(name, rename(value, (from, to), convert)?);
                }
            }
            Value::Object(renamed)
        }
        Value::Array(items) => {
            let items = items.into_iter().map(|item| rename(item, (from, to), convert));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        other => other,
    })
}

fn nanos(value: &Value) -> Result<Value, JsonError> {
    match value {
        Value::String(text) => match DurationNs::parse_go(text) {
            Ok(duration) => Ok(duration.0.into()),
            Err(_) => Err(JsonError::new(invalid_duration(text))),
        },
        Value::Number(number) => number.as_i64().map(Value::from).ok_or_else(not_a_duration),
        _ => Err(not_a_duration()),
    }
}

fn duration(value: &Value) -> Result<Value, JsonError> {
    let ns = match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_i64(),
    };
    let ns = DurationNs(ns.ok_or_else(not_a_duration)?);
    Ok(Value::String(ns.go().to_string()))
}

/// PARITY(m3): Go's text for a text that is no duration.
pub(crate) fn invalid_duration(text: &str) -> String {
    format!("time: invalid duration {text:?}")
}

fn not_a_duration() -> JsonError {
    JsonError::new("invalid duration type")
}
