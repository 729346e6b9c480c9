//! The labels of an OTLP series: what it is found by, and what is made of that once.
//!
//! A series is found by bytes that stand for its labels: those that its resource gives when it has
//! none of that name, those that its resource and scope set in any case, those of the metric, and
//! then the attributes of the data point as they were sent. Each of the first three is a length and
//! pairs of name and value. So equal bytes are equal labels, and a known series costs a copy and a
//! hash.

use std::collections::BTreeMap;

use m3rs_core::wire::proto::Fields;
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint};

use crate::ingest::labels::{LabelRefusal, push_bounded};
use crate::ingest::otlp::attributes::{AttributeError, key_value, text_of};
use crate::ingest::otlp::config::OtlpConfig;
use crate::ingest::otlp::names::label_name;
use crate::limits::OtlpLimits;

/// What these bytes begin with; neither gathered labels nor those of Remote Write 1.0 do.
pub(super) const SERIES_MARK: u8 = 1;

const WHAT: &str = "attributes";

/// The key under which an attribute is never taken, as it is the metric's name.
const METRIC_NAME: &str = "__name__";

/// Pairs of name and value, in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(Vec<u8>);

impl Pairs {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        put_length_prefixed(&mut self.0, name);
        put_length_prefixed(&mut self.0, value);
    }

    /// As [`Self::push`], with a value in two parts.
    pub(super) fn push_parts(&mut self, name: &str, [head, tail]: [&str; 2]) {
        put_length_prefixed(&mut self.0, name.as_bytes());
        put_varint(&mut self.0, (head.len() + tail.len()) as u64);
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(tail.as_bytes());
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes labels of the bytes of a series that is seen for the first time: name and value of each,
/// in order, as `LabelPolicy::parse_canonical` takes them.
///
/// PARITY(prometheus): `createAttributes`. Keys that become one name have their values joined by
/// `;` in the order of the keys.
///
/// # Errors
/// The first attribute that cannot be a label.
pub(super) fn translate(
    series: &[u8],
    config: &OtlpConfig,
    limits: &OtlpLimits,
) -> Result<Vec<u8>, LabelRefusal> {
    let mut cursor = Cursor::new(WHAT, series);
    let weak = cursor.length_prefixed()?;
    let strong = cursor.length_prefixed()?;
    let metric = cursor.length_prefixed()?;
    let mut labels = attribute_labels(cursor.rest(), config, limits)?;
    each_pair(weak, |name, value| {
        let label = labels.entry(name.to_owned()).or_default();
        if label.is_empty() {
            value.clone_into(label);
        }
    })?;
    for run in [strong, metric] {
        each_pair(run, |name, value| {
            labels.insert(name.to_owned(), value.to_owned());
        })?;
    }
    let mut out = Pairs::default();
    for (name, value) in &labels {
        // An empty value is no label, whatever its name is.
        if !value.is_empty() {
            out.push(name, value);
        }
    }
    Ok(out.0)
}

type LabelMap = BTreeMap<Vec<u8>, Vec<u8>>;

fn attribute_labels(
    raw: &[u8],
    config: &OtlpConfig,
    limits: &OtlpLimits,
) -> Result<LabelMap, LabelRefusal> {
    let refused = |error: AttributeError| LabelRefusal::Attribute(error.to_string());
    let mut attributes = Vec::new();
    let mut fields = Fields::new(WHAT, raw);
    while let Some(field) = fields.next_field()? {
        let (key, value) = key_value(field.bytes(WHAT)?)?;
        if key != METRIC_NAME {
            attributes.push((key, text_of(value, limits.attribute_depth_max).map_err(refused)?));
        }
    }
    attributes.sort_by_key(|(key, _)| *key);
    let mut labels = LabelMap::new();
    for (key, value) in attributes {
        let name = match config.translation_strategy.escapes() {
            true => label_name(key, config).map_err(LabelRefusal::Attribute)?,
            false if key.is_empty() => return Err(LabelRefusal::EmptyName),
            false if labels.contains_key(key.as_bytes()) => {
                return Err(LabelRefusal::Duplicate(key.to_owned()));
            }
            false => key.to_owned(),
        };
        let label = labels.entry(name.into_bytes()).or_default();
        if !label.is_empty() {
            label.push(b';');
        }
        label.extend_from_slice(value.as_bytes());
    }
    Ok(labels)
}

fn each_pair(run: &[u8], mut put: impl FnMut(&[u8], &[u8])) -> Result<(), LabelRefusal> {
    let mut cursor = Cursor::new(WHAT, run);
    while !cursor.is_empty() {
        let (name, value) = (cursor.length_prefixed()?, cursor.length_prefixed()?);
        if name.is_empty() {
            return Err(LabelRefusal::EmptyName);
        }
        put(name, value);
    }
    Ok(())
}

/// Writes the bytes of a series for people, as far as they can be read, its attributes by their
/// keys. The text is bounded.
pub(super) fn describe(series: &[u8]) -> String {
    let mut text = String::from("{");
    let mut cursor = Cursor::new(WHAT, series);
    let mut runs = [&[][..]; 3];
    for run in &mut runs {
        *run = cursor.length_prefixed().unwrap_or_default();
    }
    let mut has_room = true;
    let [weak, strong, metric] = runs;
    for run in [metric, strong, weak] {
        // A run that cannot be read ends early here and is refused elsewhere.
        let _read = each_pair(run, |name, value| {
            has_room = has_room && push_bounded(&mut text, name, value);
        });
    }
    let mut fields = Fields::new(WHAT, cursor.rest());
    while has_room && let Ok(Some(field)) = fields.next_field() {
        let pair = field.bytes(WHAT).and_then(key_value);
        let Ok((key, value)) = pair else {
            push_bounded(&mut text, b"?", b"?");
            break;
        };
        let value = text_of(value, 1).unwrap_or("?".into());
        has_room = push_bounded(&mut text, key.as_bytes(), value.as_bytes());
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::otlp::TranslationStrategy;

    fn attribute(key: &str, text: &str) -> Vec<u8> {
        let field = |number: u8, bytes: &[u8]| {
            let mut out = vec![number << 3 | 2];
            put_length_prefixed(&mut out, bytes);
            out
        };
        let value = field(1, text.as_bytes());
        field(7, &[field(1, key.as_bytes()), field(2, &value)].concat())
    }

    fn series(runs: [&[(&str, &str)]; 3], attributes: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for run in runs {
            let mut pairs = Pairs::default();
            for (name, value) in run {
                pairs.push(name.as_bytes(), value.as_bytes());
            }
            put_length_prefixed(&mut out, pairs.as_bytes());
        }
        for (key, text) in attributes {
            out.extend_from_slice(&attribute(key, text));
        }
        out
    }

    fn labels(series: &[u8], config: &OtlpConfig) -> Result<Vec<(String, String)>, LabelRefusal> {
        let translated = translate(series, config, &OtlpLimits::default())?;
        let mut all = Vec::new();
        each_pair(&translated, |name, value| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            all.push((text(name), text(value)));
        })?;
        Ok(all)
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn labels_take_precedence_as_in_prometheus() {
        let config = OtlpConfig::default();
        let bytes = series(
            [
                &[("zone", "weak"), ("host", "weak"), ("empty", "weak")],
                &[("job", "strong"), ("gone", "")],
                &[("__name__", "m"), ("le", "1")],
            ],
            &[
                ("zone", "own"),
                ("job", "own"),
                ("gone", "own"),
                ("le", "own"),
                ("a.b", "2"),
                ("a-b", "1"),
                ("empty", ""),
                ("__name__", "own"),
            ],
        );
        let wanted = owned(&[
            ("__name__", "m"),
            ("a_b", "1;2"),
            ("empty", "weak"),
            ("host", "weak"),
            ("job", "strong"),
            ("le", "1"),
            ("zone", "own"),
        ]);
        assert_eq!(labels(&bytes, &config), Ok(wanted));
        let text = describe(&bytes);
        assert!(text.starts_with(r#"{__name__="m", le="1", job="strong""#), "{text}");
        assert!(text.contains(r#"a.b="2""#), "{text}");
    }

    #[test]
    fn names_may_stay_as_they_are() {
        let config = OtlpConfig {
            translation_strategy: TranslationStrategy::NoTranslation,
            ..OtlpConfig::default()
        };
        let of =
            |attributes| labels(&series([&[], &[], &[("__name__", "m")]], attributes), &config);
        let wanted = owned(&[("__name__", "m"), ("a-b", "1"), ("a.b", "2")]);
        assert_eq!(of(&[("a.b", "2"), ("a-b", "1")]), Ok(wanted));
        let twice = of(&[("a", "1"), ("a", "1")]);
        assert_eq!(twice, Err(LabelRefusal::Duplicate("a".into())));
        assert_eq!(of(&[("", "1")]), Err(LabelRefusal::EmptyName));
    }

    #[test]
    fn what_cannot_be_a_label_is_refused() {
        let config = OtlpConfig::default();
        let of =
            |attributes: &[(&str, &str)]| labels(&series([&[], &[], &[]], attributes), &config);
        for name in ["", "_", "\u{e4}"] {
            assert!(matches!(of(&[(name, "1")]), Err(LabelRefusal::Attribute(_))), "{name}");
        }
        let mut cut = series([&[], &[], &[]], &[("a", "1")]);
        cut.pop();
        assert!(matches!(labels(&cut, &config), Err(LabelRefusal::Malformed(_))));
        assert_eq!(describe(&cut), "{}");
        assert_eq!(describe(b"\xff\xff"), "{}");
    }
}
