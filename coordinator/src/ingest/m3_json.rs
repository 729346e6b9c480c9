//! M3's JSON write: one sample as `{"tags":{…},"timestamp":"…","value":…}`.
//!
//! PARITY(m3): keys in any case, unknown ones skipped; of a tag that is given twice the last one
//! counts, a value that is absent is 0, and what follows the object is not looked at. Errors of
//! JSON have the words of Go's decoder, which M3's users know.

use std::borrow::Cow;
use std::fmt;

use m3rs_core::wire::Ending;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::ingest::go_json::{Scalar, go_error};
use crate::ingest::intake::{Intake, SampleTime};
use crate::ingest::labels::LabelPolicy;
use crate::ingest::number::seconds_as_ns;
use crate::ingest::time_layout::TimeLayout;
use crate::ingest::{Refusals, WalkCounts, WalkError};
use crate::write::WriteSession;

/// Writes the sample of `body`.
///
/// # Errors
/// [`WalkError::Json`] with what is wrong, or a store that cannot write.
pub fn walk_m3_json<W: WriteSession>(
    body: &[u8],
    session: &mut W,
    policy: &LabelPolicy,
    refusals: &mut Refusals,
) -> Result<WalkCounts, WalkError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let query = WriteQuery::deserialize(&mut reader)
        .map_err(|error| WalkError::Json(go_error(body, Ending::Stream, &error)))?;
    let timestamp = &query.timestamp;
    let t_ns = seconds_as_ns(timestamp.as_bytes())
        .or_else(|| TimeLayout::rfc3339().parse(timestamp).map(|t| t.0))
        .ok_or_else(|| WalkError::Json(format!("invalid timestamp for {timestamp}")))?;
    if query.tags.is_empty() {
        return Err(WalkError::Json("no tags".to_owned()));
    }
    let mut intake = Intake::new(session, policy, refusals);
    intake.counts().series += 1;
    intake.counts().samples += 1;
    intake.begin();
    for (name, value) in &query.tags {
        intake.label(name.as_bytes(), value.as_bytes());
    }
    if let Some(series) = intake.series(1)? {
        intake.float(series, SampleTime::of_ns(t_ns), query.value, 0)?;
    }
    Ok(*intake.counts())
}

/// A request.
#[derive(Debug, Default, PartialEq)]
struct WriteQuery<'a> {
    /// In order of their first mention.
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    timestamp: Cow<'a, str>,
    value: f64,
}

impl<'de> Deserialize<'de> for WriteQuery<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(QueryVisitor)
    }
}

struct QueryVisitor;

impl<'de> Visitor<'de> for QueryVisitor {
    type Value = WriteQuery<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Go value of type json.WriteQuery")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut query = WriteQuery::default();
        while let Some(Text(key)) = map.next_key()? {
            if key.eq_ignore_ascii_case("tags") {
                if let Some(Tags(tags)) = map.next_value()? {
                    query.tags = tags;
                }
            } else if key.eq_ignore_ascii_case("timestamp") {
                let scalar: Scalar<'de> = map.next_value()?;
                query.timestamp = scalar.text("struct field WriteQuery.timestamp")?;
            } else if key.eq_ignore_ascii_case("value") {
                let scalar: Scalar<'de> = map.next_value()?;
                query.value = scalar.number("struct field WriteQuery.value")?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(query)
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Tags<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de> Deserialize<'de> for Tags<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TagsVisitor)
    }
}

struct TagsVisitor;

impl<'de> Visitor<'de> for TagsVisitor {
    type Value = Tags<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Go struct field WriteQuery.tags of type map[string]string")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tags: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
        while let Some((Text(name), value)) = map.next_entry::<_, Scalar<'de>>()? {
            let value = value.text("struct field WriteQuery.tags")?;
            match tags.iter_mut().find(|(known, _)| *known == name) {
                Some(tag) => tag.1 = value,
                None => tags.push((name, value)),
            }
        }
        Ok(Tags(tags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WriteQuery<'_>, String> {
        let mut reader = serde_json::Deserializer::from_str(text);
        WriteQuery::deserialize(&mut reader)
            .map_err(|error| go_error(text.as_bytes(), Ending::Stream, &error))
    }

    #[test]
    fn requests_are_read_as_go_reads_them() {
        let query = read(
            r#"{"Tags":{"a":"1","b":"\u00e9","a":"2","n":null},"zz":[{}],
                "TIMESTAMP":"5","value":2} x"#,
        )
        .expect("sound");
        let tags: Vec<(&str, &str)> = query.tags.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(tags, [("a", "2"), ("b", "\u{e9}"), ("n", "")]);
        assert_eq!((&*query.timestamp, query.value), ("5", 2.0));
        let absent = read(r#"{"tags":null,"timestamp":null,"value":null}"#);
        assert_eq!(absent, Ok(WriteQuery::default()));
    }

    #[test]
    fn errors_have_the_words_of_go() {
        for (text, error) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            ("", "EOF"),
            (r#"{"value":NaN}"#, "invalid character 'N' looking for beginning of value"),
            (
                r#"{"tags":{"a":1}}"#,
                "json: cannot unmarshal number into Go struct field WriteQuery.tags of type string",
            ),
        ] {
            assert_eq!(read(text), Err(error.to_owned()), "{text}");
        }
    }
}
