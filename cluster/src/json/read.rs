//! From JSON to the bytes of a message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use m3rs_core::wire::{put_length_prefixed, put_varint};
use serde_json::{Map, Value};

use super::JsonError;
use super::schema::{EnumSchema, FieldSchema, Kind, MessageSchema, enumeration, message};

/// Google's types that hold JSON as it is.
const STRUCT: &str = "google.protobuf.Struct";
const LIST: &str = "google.protobuf.ListValue";
const VALUE: &str = "google.protobuf.Value";

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

/// Appends the message that `value` describes.
///
/// # Errors
/// Unknown fields and enum values, and values of another kind. The depth is bounded by that of
/// `value`.
pub(super) fn put_message(
    schema: &MessageSchema,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    if let Some(inner) = super::wrapped(schema) {
        return put_single(inner, value, out);
    }
    match schema.name.as_str() {
        VALUE => return put_any(value, out),
        STRUCT => return put_map(&schema.fields[0], object(value)?, out),
        LIST => return put_list(&schema.fields[0], value, out),
        _ => {}
    }
    let object = object(value)?;
    for field in &schema.fields {
        let found = object.get(&field.name).or_else(|| object.get(&field.json_name));
        let Some(value) = found.filter(|value| !value.is_null()) else { continue };
        match (field.map_entry(), field.is_repeated) {
            (Some(_), _) => put_map(field, self::object(value)?, out)?,
            (None, true) => put_list(field, value, out)?,
            (None, false) => put_single(field, value, out)?,
        }
    }
    let is_known = |name: &String| {
        schema.fields.iter().any(|field| field.name == *name || field.json_name == *name)
    };
    match object.keys().find(|name| !is_known(name)) {
        Some(name) => Err(JsonError::new(format!("unknown field {name:?} in {}", schema.name))),
        None => Ok(()),
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, JsonError> {
    value.as_object().ok_or_else(|| mismatch(value, "map[string]json.RawMessage"))
}

fn put_list(field: &FieldSchema, value: &Value, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let items = value.as_array().ok_or_else(|| mismatch(value, "[]json.RawMessage"))?;
    items.iter().try_for_each(|item| put_single(field, item, out))
}

fn put_map(
    field: &FieldSchema,
    object: &Map<String, Value>,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let entry = field.map_entry().expect("BUG: the field of a map has entries");
    for (name, value) in object {
        let mut bytes = Vec::new();
        put_tag(entry.fields[0].number, BYTES, &mut bytes);
        put_length_prefixed(&mut bytes, name.as_bytes());
        put_single(&entry.fields[1], value, &mut bytes)?;
        put_tag(field.number, BYTES, out);
        put_length_prefixed(out, &bytes);
    }
    Ok(())
}

/// One value, with its tag. Repeated numbers are not packed, which every reader takes.
fn put_single(field: &FieldSchema, value: &Value, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let number = match &field.kind {
        Kind::Bool => u64::from(value.as_bool().ok_or_else(|| mismatch(value, "bool"))?),
        Kind::Int32 => u64::from_le_bytes(i64::from(integer::<i32>(value, "int32")?).to_le_bytes()),
        Kind::Int64 => u64::from_le_bytes(integer::<i64>(value, "int64")?.to_le_bytes()),
        Kind::Uint32 => u64::from(integer::<u32>(value, "uint32")?),
        Kind::Uint64 => integer::<u64>(value, "uint64")?,
        Kind::Enum(name) => {
            let number = enum_number(enumeration(name), value)?;
            u64::from_le_bytes(i64::from(number).to_le_bytes())
        }
        Kind::Double => {
            put_tag(field.number, FIXED64, out);
            out.extend_from_slice(&double(value)?.to_le_bytes());
            return Ok(());
        }
        Kind::Text => {
            let text = value.as_str().ok_or_else(|| mismatch(value, "string"))?;
            put_tag(field.number, BYTES, out);
            put_length_prefixed(out, text.as_bytes());
            return Ok(());
        }
        Kind::Bytes => {
            let text = value.as_str().ok_or_else(|| mismatch(value, "[]uint8"))?;
            let bytes = STANDARD
                .decode(text)
                .map_err(|error| JsonError::new(format!("illegal base64 data: {error}")))?;
            put_tag(field.number, BYTES, out);
            put_length_prefixed(out, &bytes);
            return Ok(());
        }
        Kind::Message(name) => {
            let mut bytes = Vec::new();
            put_message(message(name), value, &mut bytes)?;
            put_tag(field.number, BYTES, out);
            put_length_prefixed(out, &bytes);
            return Ok(());
        }
    };
    put_tag(field.number, VARINT, out);
    put_varint(out, number);
    Ok(())
}

/// A [`VALUE`]: its fields are null, number, text, bool, object and list, in this order.
fn put_any(value: &Value, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let fields = &message(VALUE).fields;
    let at = match value {
        Value::Null => {
            put_tag(fields[0].number, VARINT, out);
            put_varint(out, 0);
            return Ok(());
        }
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Bool(_) => 3,
        Value::Object(_) => 4,
        Value::Array(_) => 5,
    };
    put_single(&fields[at], value, out)
}

fn put_tag(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

fn enum_number(schema: &EnumSchema, value: &Value) -> Result<i32, JsonError> {
    match value.as_str() {
        Some(name) => schema.number(name).ok_or_else(|| {
            JsonError::new(format!("unknown value {name:?} for enum {}", schema.name))
        }),
        None => integer(value, "int32"),
    }
}

/// A whole number, written as a number or as text.
fn integer<T: std::str::FromStr>(value: &Value, go_type: &str) -> Result<T, JsonError> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return Err(mismatch(value, go_type)),
    };
    text.parse().map_err(|_| {
        let why = format!("json: cannot unmarshal number {text} into Go value of type {go_type}");
        JsonError::new(why)
    })
}

fn double(value: &Value) -> Result<f64, JsonError> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_f64(),
    };
    number.ok_or_else(|| mismatch(value, "float64"))
}

/// PARITY(m3): the text of Go's decoder.
fn mismatch(value: &Value, go_type: &str) -> JsonError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    JsonError::new(format!("json: cannot unmarshal {found} into Go value of type {go_type}"))
}
