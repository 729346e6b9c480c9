//! The first JSON value of a body, and why there is none, in the words that M3's clients know.

use serde_json::Value;
use serde_json::error::Category;

use super::JsonError;

/// Reads the first value of `text`; what comes after it is not looked at.
///
/// # Errors
/// PARITY(m3): the texts of Go's JSON decoder, without its offsets.
pub(super) fn first_value(text: &[u8]) -> Result<Value, JsonError> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        None => Err(JsonError::new("EOF")),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.classify() == Category::Eof => {
            Err(JsonError::new("unexpected EOF"))
        }
        Some(Err(error)) => Err(explain(text, &error)),
    }
}

fn explain(text: &[u8], error: &serde_json::Error) -> JsonError {
    let why = error.to_string();
    let place = [
        ("key must be a string", "looking for beginning of object key string"),
        ("trailing comma", "looking for beginning of object key string"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("expected value", "looking for beginning of value"),
        ("expected ident", "in literal"),
        ("invalid number", "in numeric literal"),
        ("control character", "in string literal"),
        ("invalid escape", "in string escape code"),
    ];
    let place = place.iter().find(|(start, _)| why.starts_with(start));
    match (place, byte_at(text, error)) {
        (Some((_, place)), Some(byte)) => {
            let shown = char::from(byte).escape_default().to_string();
            JsonError::new(format!("invalid character '{shown}' {place}"))
        }
        _ => JsonError::new(why),
    }
}

/// The byte that the error names by line and column, both from one.
fn byte_at(text: &[u8], error: &serde_json::Error) -> Option<u8> {
    let line = text.split(|byte| *byte == b'\n').nth(error.line().checked_sub(1)?)?;
    line.get(error.column().checked_sub(1)?).copied()
}
