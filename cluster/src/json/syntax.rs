//! The first JSON value of a body, and why there is none, in the words that M3's clients know.

use m3rs_core::wire::{Ending, check_go_json};
use serde_json::Value;

use super::JsonError;

/// Reads the first value of `text`; what comes after it is not looked at.
///
/// # Errors
/// PARITY(m3): the texts of Go's JSON decoder, without its offsets.
pub(super) fn first_value(text: &[u8]) -> Result<Value, JsonError> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let why = match values.next() {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error.to_string(),
        None => String::new(),
    };
    // What Go would read, such as deeper nesting, has the reader's own words.
    Err(JsonError::new(check_go_json(text, Ending::Stream).err().unwrap_or(why)))
}
