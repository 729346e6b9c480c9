//! From the bytes of a message to JSON.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use m3rs_core::error::Corrupt;
use m3rs_core::wire::proto::{Field, Fields, Value};

use super::Defaults;
use super::schema::{FieldSchema, Kind, MessageSchema, enumeration, message};

const WHAT: &str = "protobuf message";

/// Appends `bytes`, a message of `schema`, as JSON. Maps are sorted by key.
///
/// # Errors
/// Bytes that are no such message. The depth is bounded by that of the schema, and by prost for
/// the one type that contains itself.
pub(super) fn write_message(
    schema: &MessageSchema,
    bytes: &[u8],
    defaults: Defaults,
    out: &mut String,
) -> Result<(), Corrupt> {
    let found = fields(bytes)?;
    if let Some(inner) = super::wrapped(schema) {
        return write_single(inner, last(inner, &found), defaults, out);
    }
    match schema.name.as_str() {
        "google.protobuf.Struct" => return write_map(&schema.fields[0], &found, defaults, out),
        "google.protobuf.ListValue" => {
            return write_list(&schema.fields[0], &found, defaults, out);
        }
        "google.protobuf.Value" => return write_any(schema, &found, defaults, out),
        _ => {}
    }
    out.push('{');
    let mut comma = "";
    for field in &schema.fields {
        if defaults == Defaults::LeftOut && is_default(field, &found) {
            continue;
        }
        out.push_str(comma);
        comma = ",";
        write_text(&field.json_name, out);
        out.push(':');
        match (field.map_entry(), field.is_repeated) {
            (Some(_), _) => write_map(field, &found, defaults, out)?,
            (None, true) => write_list(field, &found, defaults, out)?,
            (None, false) => write_single(field, last(field, &found), defaults, out)?,
        }
    }
    out.push('}');
    Ok(())
}

fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, Corrupt> {
    let mut fields = Fields::new(WHAT, bytes);
    std::iter::from_fn(|| fields.next_field().transpose()).collect()
}

fn all<'f, 'a>(field: &FieldSchema, found: &'f [Field<'a>]) -> impl Iterator<Item = &'f Field<'a>> {
    let number = field.number;
    found.iter().filter(move |candidate| candidate.number == number)
}

fn last<'f, 'a>(field: &FieldSchema, found: &'f [Field<'a>]) -> Option<&'f Field<'a>> {
    all(field, found).last()
}

/// Numbers and texts of protobuf 3 are not written when they are zero or empty.
fn is_default(field: &FieldSchema, found: &[Field<'_>]) -> bool {
    last(field, found).is_none()
}

fn write_list(
    field: &FieldSchema,
    found: &[Field<'_>],
    defaults: Defaults,
    out: &mut String,
) -> Result<(), Corrupt> {
    out.push('[');
    for (at, item) in all(field, found).enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_single(field, Some(item), defaults, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_map(
    field: &FieldSchema,
    found: &[Field<'_>],
    defaults: Defaults,
    out: &mut String,
) -> Result<(), Corrupt> {
    let entry = field.map_entry().expect("BUG: the field of a map has entries");
    let [key, value] = &entry.fields[..] else { unreachable!("BUG: an entry has two fields") };
    let mut entries = Vec::new();
    for item in all(field, found) {
        let parts = fields(item.bytes(WHAT)?)?;
        let name = last(key, &parts).map_or(Ok(""), |name| name.text(WHAT))?;
        entries.push((name, parts.clone()));
    }
    entries.sort_by_key(|(name, _)| *name);
    out.push('{');
    for (at, (name, parts)) in entries.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        match (last(value, parts), &value.kind) {
            // An entry whose message is empty has no value on the wire.
            (None, Kind::Message(name)) => write_message(message(name), &[], defaults, out)?,
            (found, _) => write_single(value, found, defaults, out)?,
        }
    }
    out.push('}');
    Ok(())
}

/// A value, or what stands for one that is not there.
fn write_single(
    field: &FieldSchema,
    found: Option<&Field<'_>>,
    defaults: Defaults,
    out: &mut String,
) -> Result<(), Corrupt> {
    match &field.kind {
        Kind::Message(name) => match found {
            Some(found) => return write_message(message(name), found.bytes(WHAT)?, defaults, out),
            None => out.push_str("null"),
        },
        Kind::Text => write_text(found.map_or(Ok(""), |found| found.text(WHAT))?, out),
        Kind::Bytes => {
            let bytes = found.map_or(Ok(&[][..]), |found| found.bytes(WHAT))?;
            write_text(&STANDARD.encode(bytes), out);
        }
        Kind::Double => write_double(found.map_or(Ok(0.0), |found| found.double(WHAT))?, out),
        Kind::Bool => out.push_str(if varint(found)? != 0 { "true" } else { "false" }),
        Kind::Int64 => push(out, format_args!("\"{}\"", signed(varint(found)?))),
        Kind::Uint64 => push(out, format_args!("\"{}\"", varint(found)?)),
        Kind::Int32 => push(out, format_args!("{}", low_half(varint(found)?))),
        Kind::Uint32 => push(out, format_args!("{}", varint(found)? & u64::from(u32::MAX))),
        Kind::Enum(name) => {
            let number = low_half(varint(found)?);
            match enumeration(name).value_name(number) {
                Some(name) => write_text(name, out),
                None => push(out, format_args!("{number}")),
            }
        }
    }
    Ok(())
}

/// A `Value` of Google: the one field that is there.
fn write_any(
    schema: &MessageSchema,
    found: &[Field<'_>],
    defaults: Defaults,
    out: &mut String,
) -> Result<(), Corrupt> {
    let set = schema.fields.iter().find_map(|field| Some((field, last(field, found)?)));
    match set {
        Some((field, value)) if !matches!(field.kind, Kind::Enum(_)) => {
            write_single(field, Some(value), defaults, out)
        }
        _ => {
            out.push_str("null");
            Ok(())
        }
    }
}

fn varint(found: Option<&Field<'_>>) -> Result<u64, Corrupt> {
    match found {
        None => Ok(0),
        Some(Field { value: Value::Varint(number), .. }) => Ok(*number),
        Some(field) => field.varint(WHAT),
    }
}

fn signed(number: u64) -> i64 {
    i64::from_le_bytes(number.to_le_bytes())
}

/// An `int32` of the wire is sign-extended to 64 bits.
fn low_half(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("BUG: a String takes every text");
}

/// PARITY(m3): Go's text of a number; words for those that JSON does not have.
fn write_double(number: f64, out: &mut String) {
    let size = number.abs();
    if number.is_nan() {
        out.push_str("\"NaN\"");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        let has_sign = text.contains("e-");
        out.push_str(&if has_sign { text } else { text.replace('e', "e+") });
    } else {
        push(out, format_args!("{number}"));
    }
}

/// PARITY(m3): Go's text of a string, which is safe inside of HTML.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                push(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
