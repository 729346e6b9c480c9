//! OTLP as JSON, written as protobuf, so that there is one walk for both.
//!
//! Fields are known by their name in camel or snake case, numbers of 64 bits may be texts, ids are
//! hexadecimal. Fields that are not known are left out, as the specification demands.
//!
//! Nesting is bounded by `serde_json`, which refuses more than 128 levels.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use m3rs_core::wire::{put_length_prefixed, put_varint, zigzag};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::ingest::WriteFailure;

/// A kind of field.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// Bytes, as hexadecimal digits.
    Hex,
    /// Bytes, in base 64.
    Base64,
    Bool,
    Double,
    Fixed64,
    SignedFixed64,
    Varint,
    Zigzag,
    /// A number, or its name, which ends with one of these words.
    Enum(&'static [(&'static str, u64)]),
    Message(&'static [Spec]),
}

struct Spec {
    name: &'static str,
    number: u8,
    kind: Kind,
}

const fn field(name: &'static str, number: u8, kind: Kind) -> Spec {
    Spec { name, number, kind }
}

static REQUEST: [Spec; 1] = [field("resourceMetrics", 1, Kind::Message(&RESOURCE_METRICS))];

static RESOURCE_METRICS: [Spec; 3] = [
    field("resource", 1, Kind::Message(&RESOURCE)),
    field("scopeMetrics", 2, Kind::Message(&SCOPE_METRICS)),
    field("schemaUrl", 3, Kind::Text),
];

static RESOURCE: [Spec; 1] = [field("attributes", 1, Kind::Message(&KEY_VALUE))];

static SCOPE_METRICS: [Spec; 3] = [
    field("scope", 1, Kind::Message(&SCOPE)),
    field("metrics", 2, Kind::Message(&METRIC)),
    field("schemaUrl", 3, Kind::Text),
];

static SCOPE: [Spec; 3] = [
    field("name", 1, Kind::Text),
    field("version", 2, Kind::Text),
    field("attributes", 3, Kind::Message(&KEY_VALUE)),
];

static METRIC: [Spec; 8] = [
    field("name", 1, Kind::Text),
    field("description", 2, Kind::Text),
    field("unit", 3, Kind::Text),
    field("gauge", 5, Kind::Message(&GAUGE)),
    field("sum", 7, Kind::Message(&SUM)),
    field("histogram", 9, Kind::Message(&HISTOGRAM)),
    field("exponentialHistogram", 10, Kind::Message(&EXPONENTIAL)),
    field("summary", 11, Kind::Message(&SUMMARY)),
];

const TEMPORALITY: Kind = Kind::Enum(&[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
]);

static GAUGE: [Spec; 1] = [field("dataPoints", 1, Kind::Message(&NUMBER_POINT))];

static SUM: [Spec; 3] = [
    field("dataPoints", 1, Kind::Message(&NUMBER_POINT)),
    field("aggregationTemporality", 2, TEMPORALITY),
    field("isMonotonic", 3, Kind::Bool),
];

static HISTOGRAM: [Spec; 2] = [
    field("dataPoints", 1, Kind::Message(&HISTOGRAM_POINT)),
    field("aggregationTemporality", 2, TEMPORALITY),
];

static EXPONENTIAL: [Spec; 2] = [
    field("dataPoints", 1, Kind::Message(&EXPONENTIAL_POINT)),
    field("aggregationTemporality", 2, TEMPORALITY),
];

static SUMMARY: [Spec; 1] = [field("dataPoints", 1, Kind::Message(&SUMMARY_POINT))];

static NUMBER_POINT: [Spec; 7] = [
    field("startTimeUnixNano", 2, Kind::Fixed64),
    field("timeUnixNano", 3, Kind::Fixed64),
    field("asDouble", 4, Kind::Double),
    field("exemplars", 5, Kind::Message(&EXEMPLAR)),
    field("asInt", 6, Kind::SignedFixed64),
    field("attributes", 7, Kind::Message(&KEY_VALUE)),
    field("flags", 8, Kind::Varint),
];

static HISTOGRAM_POINT: [Spec; 9] = [
    field("startTimeUnixNano", 2, Kind::Fixed64),
    field("timeUnixNano", 3, Kind::Fixed64),
    field("count", 4, Kind::Fixed64),
    field("sum", 5, Kind::Double),
    field("bucketCounts", 6, Kind::Fixed64),
    field("explicitBounds", 7, Kind::Double),
    field("exemplars", 8, Kind::Message(&EXEMPLAR)),
    field("attributes", 9, Kind::Message(&KEY_VALUE)),
    field("flags", 10, Kind::Varint),
];

static EXPONENTIAL_POINT: [Spec; 11] = [
    field("attributes", 1, Kind::Message(&KEY_VALUE)),
    field("startTimeUnixNano", 2, Kind::Fixed64),
    field("timeUnixNano", 3, Kind::Fixed64),
    field("count", 4, Kind::Fixed64),
    field("sum", 5, Kind::Double),
    field("scale", 6, Kind::Zigzag),
    field("zeroCount", 7, Kind::Fixed64),
    field("positive", 8, Kind::Message(&BUCKETS)),
    field("negative", 9, Kind::Message(&BUCKETS)),
    field("flags", 10, Kind::Varint),
    field("exemplars", 11, Kind::Message(&EXEMPLAR)),
];

static BUCKETS: [Spec; 2] =
    [field("offset", 1, Kind::Zigzag), field("bucketCounts", 2, Kind::Varint)];

static SUMMARY_POINT: [Spec; 7] = [
    field("startTimeUnixNano", 2, Kind::Fixed64),
    field("timeUnixNano", 3, Kind::Fixed64),
    field("count", 4, Kind::Fixed64),
    field("sum", 5, Kind::Double),
    field("quantileValues", 6, Kind::Message(&QUANTILE)),
    field("attributes", 7, Kind::Message(&KEY_VALUE)),
    field("flags", 8, Kind::Varint),
];

static QUANTILE: [Spec; 2] = [field("quantile", 1, Kind::Double), field("value", 2, Kind::Double)];

static EXEMPLAR: [Spec; 6] = [
    field("timeUnixNano", 2, Kind::Fixed64),
    field("asDouble", 3, Kind::Double),
    field("spanId", 4, Kind::Hex),
    field("traceId", 5, Kind::Hex),
    field("asInt", 6, Kind::SignedFixed64),
    field("filteredAttributes", 7, Kind::Message(&KEY_VALUE)),
];

static KEY_VALUE: [Spec; 2] =
    [field("key", 1, Kind::Text), field("value", 2, Kind::Message(&ANY_VALUE))];

static ANY_VALUE: [Spec; 7] = [
    field("stringValue", 1, Kind::Text),
    field("boolValue", 2, Kind::Bool),
    field("intValue", 3, Kind::Varint),
    field("doubleValue", 4, Kind::Double),
    field("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    field("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
    field("bytesValue", 7, Kind::Base64),
];

static ARRAY_VALUE: [Spec; 1] = [field("values", 1, Kind::Message(&ANY_VALUE))];

static KEY_VALUE_LIST: [Spec; 1] = [field("values", 1, Kind::Message(&KEY_VALUE))];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Writes an `ExportMetricsServiceRequest` in JSON as protobuf of at most `limit` bytes.
///
/// # Errors
/// [`WriteFailure::Json`] with line and column, or [`WriteFailure::TooLarge`].
pub fn json_to_protobuf(json: &[u8], limit: usize) -> Result<Vec<u8>, WriteFailure> {
    let mut out = Output { bytes: Vec::with_capacity(json.len().min(limit) / 2), limit };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = Object { fields: &REQUEST, out: &mut out }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(out.bytes),
        Err(_) if out.bytes.len() > limit => {
            Err(WriteFailure::TooLarge { len: out.bytes.len(), limit })
        }
        Err(error) => Err(WriteFailure::Json(error.to_string())),
    }
}

struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    fn tag(&mut self, number: u8, wire_type: u64) {
        put_varint(&mut self.bytes, u64::from(number) << 3 | wire_type);
    }

    fn varint(&mut self, number: u8, value: u64) {
        self.tag(number, 0);
        put_varint(&mut self.bytes, value);
    }

    fn fixed(&mut self, number: u8, bits: u64) {
        self.tag(number, 1);
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    fn put_bytes(&mut self, number: u8, bytes: &[u8]) {
        self.tag(number, 2);
        put_length_prefixed(&mut self.bytes, bytes);
    }

    /// Begins a message whose length is not known; see [`Self::end`].
    fn begin(&mut self, number: u8) -> usize {
        self.tag(number, 2);
        // Most messages are short, and their length takes this byte.
        self.bytes.push(0);
        self.bytes.len()
    }

    fn end(&mut self, start: usize) {
        let mut length = Vec::with_capacity(5);
        put_varint(&mut length, (self.bytes.len() - start) as u64);
        self.bytes.splice(start - 1..start, length);
    }

    fn check<E: Error>(&self) -> Result<(), E> {
        if self.bytes.len() > self.limit {
            return Err(E::custom("too large as protobuf"));
        }
        Ok(())
    }
}

/// Reads an object as the fields of a message.
struct Object<'o> {
    fields: &'static [Spec],
    out: &'o mut Output,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(known) = map.next_key_seed(Name(self.fields))? {
            match known {
                Some(spec) => map.next_value_seed(Put { spec, in_list: false, out: self.out })?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
            self.out.check()?;
        }
        Ok(())
    }
}

/// Reads the name of a field.
struct Name(&'static [Spec]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Spec>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Spec>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|spec| spec.name == key || is_snake_of(key, spec.name)))
    }
}

/// Whether `key` is `name`, which is in camel case, in snake case.
fn is_snake_of(key: &str, name: &str) -> bool {
    let mut key = key.bytes();
    let same = name.bytes().all(|letter| match letter.is_ascii_uppercase() {
        true => key.next() == Some(b'_') && key.next() == Some(letter.to_ascii_lowercase()),
        false => key.next() == Some(letter),
    });
    same && key.next().is_none()
}

/// Puts a value as a field; a list as a field for each of its items.
struct Put<'o> {
    spec: &'static Spec,
    in_list: bool,
    out: &'o mut Output,
}

impl Put<'_> {
    fn wrong<E: Error>(&self, got: impl fmt::Display) -> E {
        E::custom(format!("{}: {got} is not what stands here", self.spec.name))
    }

    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let number = self.spec.number;
        let unsigned = u64::try_from(value);
        let signed = i64::try_from(value);
        match (self.spec.kind, unsigned, signed) {
            (Kind::Fixed64, Ok(v), _) => self.out.fixed(number, v),
            (Kind::SignedFixed64, _, Ok(v)) => self.out.fixed(number, v as u64),
            (Kind::Double, ..) => self.out.fixed(number, (value as f64).to_bits()),
            (Kind::Varint | Kind::Enum(_), Ok(v), _) => self.out.varint(number, v),
            (Kind::Varint, _, Ok(v)) => self.out.varint(number, v as u64),
            (Kind::Zigzag, _, Ok(v)) if i32::try_from(v).is_ok() => {
                self.out.varint(number, zigzag(v));
            }
            _ => return Err(self.wrong(value)),
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Put<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Put<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of OTLP")
    }

    /// A value that is null is absent.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.spec.kind {
            Kind::Bool => self.out.varint(self.spec.number, u64::from(value)),
            _ => return Err(self.wrong(value)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.spec.kind {
            Kind::Double => self.out.fixed(self.spec.number, value.to_bits()),
            _ => return Err(self.wrong(value)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let number = self.spec.number;
        match self.spec.kind {
            Kind::Text => self.out.put_bytes(number, text.as_bytes()),
            Kind::Hex => {
                let bytes = unhex(text).ok_or_else(|| self.wrong(text))?;
                self.out.put_bytes(number, &bytes);
            }
            Kind::Base64 => {
                let bytes = BASE64.decode(text).map_err(|_| self.wrong(text))?;
                self.out.put_bytes(number, &bytes);
            }
            Kind::Enum(names) => match names.iter().find(|(name, _)| *name == text) {
                Some((_, value)) => self.out.varint(number, *value),
                None => return Err(self.wrong(text)),
            },
            Kind::Double => {
                let value = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    text => text.parse().map_err(|_| self.wrong(text))?,
                };
                self.out.fixed(number, value.to_bits());
            }
            Kind::Fixed64 | Kind::SignedFixed64 | Kind::Varint | Kind::Zigzag => {
                let value: i128 = text.parse().map_err(|_| self.wrong(text))?;
                self.integer(value)?;
            }
            Kind::Bool | Kind::Message(_) => return Err(self.wrong(text)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.in_list {
            return Err(self.wrong("a list in a list"));
        }
        loop {
            let item = Put { spec: self.spec, in_list: true, out: self.out };
            if list.next_element_seed(item)?.is_none() {
                return Ok(());
            }
            self.out.check()?;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(fields) = self.spec.kind else { return Err(self.wrong("an object")) };
        let start = self.out.begin(self.spec.number);
        Object { fields, out: self.out }.visit_map(map)?;
        self.out.end(start);
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn failure(json: &str) -> String {
        json_to_protobuf(json.as_bytes(), LIMIT).expect_err(json).to_string()
    }

    #[test]
    fn names_numbers_and_ids_are_read_in_all_their_forms() {
        let camel = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m",
            "sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{
                "timeUnixNano":"18446744073709551615","startTimeUnixNano":7,"asInt":"-3",
                "exemplars":[{"asDouble":1,"traceId":"0AfF","spanId":""}],
                "attributes":[{"key":"k","value":{"intValue":"-1"}}]}]}}]}]}]}"#;
        let snake = r#"{"resource_metrics":[{"scope_metrics":[{"metrics":[{"name":"m","extra":[{}],
            "sum":{"is_monotonic":true,"aggregation_temporality":
                "AGGREGATION_TEMPORALITY_CUMULATIVE","data_points":[{
                "time_unix_nano":18446744073709551615,"start_time_unix_nano":"7","as_int":-3,
                "flags":null,"exemplars":[{"as_double":1.0,"trace_id":"0aff","span_id":""}],
                "attributes":[{"key":"k","value":{"int_value":-1}}]}]}}]}]}]}"#;
        let bytes = json_to_protobuf(camel.as_bytes(), LIMIT).expect("valid");
        assert_eq!(bytes, json_to_protobuf(snake.as_bytes(), LIMIT).expect("valid"));
        let exemplar = [&[0x19][..], &1.0f64.to_le_bytes(), &[0x2a, 2, 0x0a, 0xff, 0x22, 0]];
        let exemplar = exemplar.concat();
        assert!(bytes.windows(exemplar.len()).any(|window| window == exemplar), "{bytes:x?}");
        assert!(!bytes.is_empty() && json_to_protobuf(b"{}", LIMIT).expect("empty").is_empty());
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        let json = format!(
            r#"{{"resourceMetrics":[{{"schemaUrl":"{}"}},{{"schemaUrl":"a"}}]}}"#,
            "x".repeat(300)
        );
        let bytes = json_to_protobuf(json.as_bytes(), LIMIT).expect("valid");
        let mut wanted = vec![0x0a, 0xaf, 0x02, 0x1a, 0xac, 0x02];
        wanted.extend([b'x'; 300]);
        wanted.extend([0x0a, 3, 0x1a, 1, b'a']);
        assert_eq!(bytes, wanted);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let point = |field: &str| {
            format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":
                {{"dataPoints":[{{{field}}}]}}}}]}}]}}]}}"#
            )
        };
        for (field, told) in [
            (r#""asInt":1.5"#, "asInt: 1.5"),
            (r#""asInt":"x""#, "asInt: x"),
            (r#""asInt":9223372036854775808"#, "asInt: 9223372036854775808"),
            (r#""timeUnixNano":-1"#, "timeUnixNano: -1"),
            (r#""asDouble":true"#, "asDouble: true"),
            (r#""attributes":[[]]"#, "attributes: a list in a list"),
            (r#""attributes":7"#, "attributes: 7"),
            (r#""exemplars":[{"traceId":"abc"}]"#, "traceId: abc"),
            (r#""exemplars":[{"traceId":"zz"}]"#, "traceId: zz"),
            (r#""flags":{}"#, "flags: an object"),
        ] {
            let failure = failure(&point(field));
            assert!(failure.contains(told) && failure.contains("line 2"), "{failure}");
        }
        for text in ["", "[]", "{", "{} x", "nul", "{\"resourceMetrics\":\"\"}"] {
            failure(text);
        }
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        let deep = format!("{{\"resourceMetrics\":{}", "[{\"resource\":".repeat(100_000));
        failure(&deep);
        let value = "{\"arrayValue\":{\"values\":[".repeat(100_000);
        let head = "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":";
        let told = failure(&format!("{head}{value}"));
        assert!(told.contains("recursion limit"), "{told}");
        let list = vec!["0"; 1000].join(",");
        let json = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":
            {{"dataPoints":[{{"bucketCounts":[{list}]}}]}}}}]}}]}}]}}"#
        );
        let failed = json_to_protobuf(json.as_bytes(), 5000).expect_err("too large");
        assert!(matches!(failed, WriteFailure::TooLarge { limit: 5000, .. }), "{failed}");
        assert!(json_to_protobuf(json.as_bytes(), 10_000).is_ok());
    }
}
