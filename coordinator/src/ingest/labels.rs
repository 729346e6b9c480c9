//! The labels of a remote-write series: from protobuf fields to a checked [`Labels`].
//!
//! This runs for new series only; a known series is found by its raw bytes.

use m3rs_core::Corrupt;
use m3rs_core::model::{LabelError, Labels};
use m3rs_core::wire::Cursor;
use m3rs_core::wire::proto::Fields;

use crate::ingest::relabel::Relabeler;
use crate::limits::LabelLimits;

/// The longest description of a series in an answer, in bytes of labels.
const DESCRIPTION_BYTES_MAX: usize = 512;

/// Why a label set was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelRefusal {
    /// A label field is no protobuf message of a label.
    #[error("malformed label: {0}")]
    Malformed(#[from] Corrupt),
    /// A name or value is not UTF-8.
    #[error("label {0} is not valid UTF-8")]
    NotUtf8(String),
    /// A label without a name.
    #[error("empty label name")]
    EmptyName,
    /// The same name twice.
    #[error("duplicate label name {0:?}")]
    Duplicate(String),
    /// An attribute of a format that has further kinds of value, or an unusual name.
    #[error("{0}")]
    Attribute(String),
    /// No metric name.
    #[error("the label __name__ is missing")]
    NoMetricName,
    /// A rule of relabelling drops the series, which is no fault of the sender's.
    #[error("dropped by a rule (ingest.write_relabel_configs)")]
    Dropped,
    /// Too many labels.
    #[error("{count} labels, the limit is {limit} (ingest.labels_max)")]
    TooMany {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A name that is too long.
    #[error("a label name has {len} bytes, the limit is {limit} (ingest.label_name_bytes_max)")]
    NameTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// A value that is too long.
    #[error(
        "the value of label {name:?} has {len} bytes, the limit is {limit} \
         (ingest.label_value_bytes_max)"
    )]
    ValueTooLong {
        /// The label.
        name: String,
        /// The value's length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// All labels together are too long.
    #[error("the labels take {len} bytes, the limit is {limit} (ingest.label_set_bytes_max)")]
    SetTooLong {
        /// Their length as sent, in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

/// What labels may be, and what is made of them.
#[derive(Debug, Default)]
pub struct LabelPolicy {
    limits: LabelLimits,
    relabel: Relabeler,
}

impl From<LabelLimits> for LabelPolicy {
    fn from(limits: LabelLimits) -> Self {
        Self::new(limits, Relabeler::default())
    }
}

impl LabelPolicy {
    /// Limits for labels as sent, and the rules that are applied to what keeps them.
    #[must_use]
    pub fn new(limits: LabelLimits, relabel: Relabeler) -> Self {
        Self { limits, relabel }
    }

    /// The most labels of a series.
    pub(super) fn labels_max(&self) -> usize {
        self.limits.labels_max
    }

    /// Checks the length of what a format gathered for the labels of a series, which is at most
    /// twice that of the labels: a format may wrap them. Many series may share long labels, so it
    /// is checked before these are looked at.
    ///
    /// # Errors
    /// [`LabelRefusal::SetTooLong`].
    #[inline]
    pub(super) fn check_gathered_len(&self, len: usize) -> Result<(), LabelRefusal> {
        match self.limits.set_bytes_max {
            limit if len > limit.saturating_mul(2) => Err(LabelRefusal::SetTooLong { len, limit }),
            _ => Ok(()),
        }
    }

    /// The most symbols of a request.
    pub(super) fn symbols_max(&self) -> usize {
        self.limits.symbols_max
    }

    /// Checks the length of all labels of a series.
    ///
    /// # Errors
    /// [`LabelRefusal::SetTooLong`].
    pub(super) fn check_set_len(&self, len: usize) -> Result<(), LabelRefusal> {
        check_set_len(len, &self.limits)
    }

    /// Parses a run of label fields of a `TimeSeries` message and applies the rules.
    ///
    /// # Errors
    /// As [`parse_labels`], and [`LabelRefusal::Dropped`].
    pub(super) fn parse_fields(&self, raw: &[u8]) -> Result<Labels, LabelRefusal> {
        self.finish(parse_labels(raw, &self.limits)?)
    }

    /// Parses labels that stand in any order as varint length and name, varint length and value,
    /// and applies the rules.
    ///
    /// # Errors
    /// As [`Self::parse_fields`].
    pub(super) fn parse_canonical(&self, raw: &[u8]) -> Result<Labels, LabelRefusal> {
        self.finish(parse_canonical(raw, &self.limits)?)
    }

    fn finish(&self, labels: Labels) -> Result<Labels, LabelRefusal> {
        let labels = self.relabel.apply(labels).ok_or(LabelRefusal::Dropped)?;
        match labels.metric_name() {
            Some(_) => Ok(labels),
            None => Err(LabelRefusal::NoMetricName),
        }
    }
}

/// Parses a run of label fields of a `TimeSeries` message; a metric name may be missing.
///
/// Labels may come in any order. A label with an empty value is an absent label, as in Prometheus.
///
/// # Errors
/// The first rule that does not hold.
pub fn parse_labels(raw: &[u8], limits: &LabelLimits) -> Result<Labels, LabelRefusal> {
    check_set_len(raw.len(), limits)?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(16);
    let mut fields = Fields::new("series labels", raw);
    while let Some(field) = fields.next_field()? {
        let (name, value) = label_bytes(field.bytes("series labels")?)?;
        pairs.push(check_label(name, value, limits)?);
    }
    labels_of(pairs, limits)
}

fn parse_canonical(raw: &[u8], limits: &LabelLimits) -> Result<Labels, LabelRefusal> {
    check_set_len(raw.len(), limits)?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(16);
    let mut cursor = Cursor::new("series labels", raw);
    while !cursor.is_empty() {
        let (name, value) = (cursor.length_prefixed()?, cursor.length_prefixed()?);
        pairs.push(check_label(name, value, limits)?);
    }
    labels_of(pairs, limits)
}

fn check_set_len(len: usize, limits: &LabelLimits) -> Result<(), LabelRefusal> {
    match limits.set_bytes_max {
        limit if len > limit => Err(LabelRefusal::SetTooLong { len, limit }),
        _ => Ok(()),
    }
}

fn labels_of(pairs: Vec<(&str, &str)>, limits: &LabelLimits) -> Result<Labels, LabelRefusal> {
    if pairs.len() > limits.labels_max {
        return Err(LabelRefusal::TooMany { count: pairs.len(), limit: limits.labels_max });
    }
    Labels::from_pairs(pairs).map_err(|error| match error {
        LabelError::Duplicate(name) => LabelRefusal::Duplicate(name),
        LabelError::EmptyName => LabelRefusal::EmptyName,
        other => unreachable!("BUG: from_pairs does not answer {other}"),
    })
}

/// The name and value of a `Label` message. A field that is absent is empty; of several the last
/// one counts.
pub(super) fn label_bytes(message: &[u8]) -> Result<(&[u8], &[u8]), Corrupt> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut fields = Fields::new("label", message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => name = field.bytes("label name")?,
            2 => value = field.bytes("label value")?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn check_label<'a>(
    name: &'a [u8],
    value: &'a [u8],
    limits: &LabelLimits,
) -> Result<(&'a str, &'a str), LabelRefusal> {
    if name.is_empty() {
        return Err(LabelRefusal::EmptyName);
    }
    if name.len() > limits.name_bytes_max {
        return Err(LabelRefusal::NameTooLong { len: name.len(), limit: limits.name_bytes_max });
    }
    let not_utf8 =
        || LabelRefusal::NotUtf8(format!("{}=\"{}\"", name.escape_ascii(), value.escape_ascii()));
    if value.len() > limits.value_bytes_max {
        return Err(LabelRefusal::ValueTooLong {
            name: String::from_utf8_lossy(name).into_owned(),
            len: value.len(),
            limit: limits.value_bytes_max,
        });
    }
    let name = std::str::from_utf8(name).map_err(|_| not_utf8())?;
    let value = std::str::from_utf8(value).map_err(|_| not_utf8())?;
    Ok((name, value))
}

/// Writes label fields for people, as far as they can be read: `{__name__="up", job="a"}`.
///
/// Works on label fields that were refused, too. The text is bounded.
#[must_use]
pub fn describe_series(raw: &[u8]) -> String {
    let mut text = String::from("{");
    let mut fields = Fields::new("series labels", raw);
    while let Ok(Some(field)) = fields.next_field() {
        let label = field.bytes("series labels").and_then(label_bytes);
        let Ok((name, value)) = label else {
            push_label(&mut text, b"?", b"?");
            break;
        };
        if !push_bounded(&mut text, name, value) {
            break;
        }
    }
    text.push('}');
    text
}

/// As [`describe_series`], for the bytes that [`parse_canonical`] takes.
pub(super) fn describe_canonical(raw: &[u8]) -> String {
    let mut text = String::from("{");
    let mut cursor = Cursor::new("series labels", raw);
    while let (Ok(name), Ok(value)) = (cursor.length_prefixed(), cursor.length_prefixed()) {
        if !push_bounded(&mut text, name, value) {
            break;
        }
    }
    text.push('}');
    text
}

/// Adds a label; says whether there is room for more.
pub(super) fn push_bounded(text: &mut String, name: &[u8], value: &[u8]) -> bool {
    if text.len() + name.len() + value.len() > DESCRIPTION_BYTES_MAX {
        let room = DESCRIPTION_BYTES_MAX.saturating_sub(text.len());
        push_label(text, name.get(..room).unwrap_or(name), b"\xe2\x80\xa6");
        return false;
    }
    push_label(text, name, value);
    true
}

fn push_label(text: &mut String, name: &[u8], value: &[u8]) {
    if text.len() > 1 {
        text.push_str(", ");
    }
    text.push_str(&String::from_utf8_lossy(name));
    text.push_str(&format!("={:?}", String::from_utf8_lossy(value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(labels: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in labels {
            let mut label = vec![0x0a];
            m3rs_core::wire::put_varint(&mut label, name.len() as u64);
            label.extend_from_slice(name);
            label.push(0x12);
            m3rs_core::wire::put_varint(&mut label, value.len() as u64);
            label.extend_from_slice(value);
            out.push(0x0a);
            m3rs_core::wire::put_varint(&mut out, label.len() as u64);
            out.extend_from_slice(&label);
        }
        out
    }

    fn parse(labels: &[(&[u8], &[u8])]) -> Result<Labels, LabelRefusal> {
        LabelPolicy::default().parse_fields(&raw(labels))
    }

    #[test]
    fn labels_are_sorted_and_empty_values_are_absent() {
        let labels = parse(&[(b"b", b"2"), (b"__name__", b"up"), (b"a", b""), (b"Z", b"1")]);
        let wanted = Labels::from_pairs([("Z", "1"), ("__name__", "up"), ("b", "2")]);
        assert_eq!(labels, Ok(wanted.expect("valid")));
    }

    #[test]
    fn bad_label_sets_are_refused_with_their_reason() {
        assert_eq!(parse(&[]), Err(LabelRefusal::NoMetricName));
        assert_eq!(parse(&[(b"__name__", b"")]), Err(LabelRefusal::NoMetricName));
        assert_eq!(parse(&[(b"__name__", b"a"), (b"", b"b")]), Err(LabelRefusal::EmptyName));
        assert_eq!(
            parse(&[(b"__name__", b"a"), (b"x", b"1"), (b"x", b"2")]),
            Err(LabelRefusal::Duplicate("x".into()))
        );
        assert_eq!(
            parse(&[(b"__name__", b"a"), (b"x", b"\xff")]),
            Err(LabelRefusal::NotUtf8("x=\"\\xff\"".into()))
        );
        let malformed = parse_labels(&[0x0a, 1, 0x0a], &LabelLimits::default());
        assert!(matches!(malformed, Err(LabelRefusal::Malformed(_))), "{malformed:?}");
    }

    #[test]
    fn each_limit_holds_at_its_number_and_refuses_the_next() {
        let labels: [(&[u8], &[u8]); 3] = [(b"__name__", b"up"), (b"ab", b"cde"), (b"x", b"y")];
        let bytes = raw(&labels);
        let fits = LabelLimits {
            labels_max: 3,
            name_bytes_max: 8,
            value_bytes_max: 3,
            set_bytes_max: bytes.len(),
            ..LabelLimits::default()
        };
        assert!(parse_labels(&bytes, &fits).is_ok());
        let refused = |limits: LabelLimits| parse_labels(&bytes, &limits).expect_err("over");
        assert_eq!(
            refused(LabelLimits { labels_max: 2, ..fits }),
            LabelRefusal::TooMany { count: 3, limit: 2 }
        );
        assert_eq!(
            refused(LabelLimits { name_bytes_max: 7, ..fits }),
            LabelRefusal::NameTooLong { len: 8, limit: 7 }
        );
        assert_eq!(
            refused(LabelLimits { value_bytes_max: 2, ..fits }),
            LabelRefusal::ValueTooLong { name: "ab".into(), len: 3, limit: 2 }
        );
        let len = bytes.len();
        assert_eq!(
            refused(LabelLimits { set_bytes_max: len - 1, ..fits }),
            LabelRefusal::SetTooLong { len, limit: len - 1 }
        );
    }

    #[test]
    fn descriptions_are_bounded_and_never_fail() {
        assert_eq!(describe_series(&raw(&[(b"a", b"\"q\""), (b"b", b"")])), r#"{a="\"q\"", b=""}"#);
        assert_eq!(describe_series(&[0x0a, 5, 1]), "{}");
        assert_eq!(describe_series(&[0x0a, 1, 0x0a]), r#"{?="?"}"#);
        let long = describe_series(&raw(&[(b"a", &[b'x'; 5000]), (b"b", b"c")]));
        assert!(long.len() < 600, "{long}");
    }
}
