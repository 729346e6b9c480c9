//! JSON as Go reads it: what is wrong with a text or a type has the words of Go's decoder, which
//! users of M3 know.
//!
//! PARITY(go): `encoding/json`.

use std::borrow::Cow;
use std::fmt;

use m3rs_core::wire::{Ending, check_go_json};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The error of a reader that failed with `error` on `text`.
pub(crate) fn go_error(text: &[u8], ending: Ending, error: &serde_json::Error) -> String {
    if let Err(error) = check_go_json(text, ending) {
        return error;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let told = error.to_string();
    told.strip_suffix(&place).map_or_else(|| told.clone(), str::to_owned)
}

/// A value that is no more than a number or a text, or what it is instead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool,
    Number(f64),
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl<'a> Scalar<'a> {
    /// The text; `null` is an empty one. `what` names the place in the words of Go.
    ///
    /// # Errors
    /// A value of another type.
    pub(crate) fn text<E: de::Error>(self, what: &str) -> Result<Cow<'a, str>, E> {
        match self {
            Self::Null => Ok(Cow::default()),
            Self::Text(text) => Ok(text),
            other => Err(other.refuse(what, "string")),
        }
    }

    /// The number; `null` is 0.
    ///
    /// # Errors
    /// A value of another type.
    pub(crate) fn number<E: de::Error>(self, what: &str) -> Result<f64, E> {
        match self {
            Self::Null => Ok(0.0),
            Self::Number(number) => Ok(number),
            other => Err(other.refuse(what, "float64")),
        }
    }

    fn refuse<E: de::Error>(&self, what: &str, wanted: &str) -> E {
        let got = match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array => "array",
            Self::Object => "object",
        };
        E::custom(format_args!("json: cannot unmarshal {got} into Go {what} of type {wanted}"))
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Scalar<'de>, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Scalar<'de>, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}
