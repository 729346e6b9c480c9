//! Exemplars of data points.

use m3rs_core::Corrupt;
use m3rs_core::model::Labels;
use m3rs_core::wire::proto::Fields;

use crate::ingest::otlp::attributes::{key_value, text_of};
use crate::ingest::otlp::points::ms;
use crate::ingest::remote_write::exemplar_labels;

/// The most characters that an exemplar's labels may have for its attributes to be among them.
///
/// PARITY(prometheus): `maxExemplarRunes`, after OpenMetrics 1.0.
const CHARACTERS_MAX: usize = 128;

/// One exemplar.
#[derive(Debug, PartialEq)]
pub(super) struct PointExemplar {
    /// Milliseconds since 1970; the point's if there is none.
    pub(super) t_ms: i64,
    pub(super) value: f64,
    /// `None` if they are no label set.
    pub(super) labels: Option<Labels>,
}

/// Reads an `Exemplar` of a point at `point_ms`; `None` if it has no value.
///
/// # Errors
/// [`Corrupt`] if it is none.
pub(super) fn parse_exemplar(
    message: &[u8],
    point_ms: i64,
    depth_max: usize,
) -> Result<Option<PointExemplar>, Corrupt> {
    const WHAT: &str = "Exemplar";
    let (mut t_ns, mut value) = (0, None);
    let (mut trace, mut span, mut attributes) = (&[][..], &[][..], Vec::new());
    let mut fields = Fields::new(WHAT, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            2 => t_ns = field.double(WHAT)?.to_bits(),
            3 => value = Some(field.double(WHAT)?),
            4 => span = field.bytes(WHAT)?,
            5 => trace = field.bytes(WHAT)?,
            6 => value = Some(field.double(WHAT)?.to_bits() as i64 as f64),
            7 => attributes.push(key_value(field.bytes(WHAT)?)?),
            _ => {}
        }
    }
    let Some(value) = value else { return Ok(None) };
    let t_ms = if ms(t_ns) == 0 { point_ms } else { ms(t_ns) };
    let labels = labels_of(trace, span, &attributes, depth_max);
    Ok(Some(PointExemplar { t_ms, value, labels }))
}

fn labels_of(
    trace: &[u8],
    span: &[u8],
    attributes: &[(&str, &[u8])],
    depth_max: usize,
) -> Option<Labels> {
    let mut pairs = Vec::new();
    for (name, id) in [("trace_id", trace), ("span_id", span)] {
        // An id of zeros is none.
        if id.iter().any(|byte| *byte != 0) {
            pairs.push((name, hex(id)));
        }
    }
    let own = pairs.len();
    for (key, value) in attributes {
        pairs.push((key, text_of(value, depth_max).ok()?.into_owned()));
    }
    let characters = |(name, value): &(&str, String)| name.chars().count() + value.chars().count();
    if pairs.iter().map(characters).sum::<usize>() > CHARACTERS_MAX {
        pairs.truncate(own);
    }
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    exemplar_labels(&pairs)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use m3rs_core::wire::put_length_prefixed;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        put_length_prefixed(&mut out, bytes);
        out
    }

    fn attribute(key: &str, text: &str) -> Vec<u8> {
        let value = field(1, text.as_bytes());
        field(7, &[field(1, key.as_bytes()), field(2, &value)].concat())
    }

    fn fixed(number: u8, bits: u64) -> Vec<u8> {
        [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
    }

    #[test]
    fn ids_and_attributes_are_labels() {
        let base =
            [fixed(2, 5_000_000), fixed(6, 7), field(5, &[0xab; 16]), field(4, &[0; 8])].concat();
        let message = [&base[..], &attribute("k", "v")].concat();
        let exemplar = parse_exemplar(&message, 9, 4).expect("sound").expect("a value");
        assert_eq!((exemplar.t_ms, exemplar.value), (5, 7.0));
        let labels = exemplar.labels.expect("labels");
        assert_eq!(labels.get("trace_id"), Some("ab".repeat(16).as_str()));
        assert_eq!((labels.get("k"), labels.get("span_id")), (Some("v"), None));
        let long = [&base[..], &attribute("k", &"v".repeat(200))].concat();
        let exemplar = parse_exemplar(&long, 9, 4).expect("sound").expect("a value");
        let labels = exemplar.labels.expect("labels");
        assert!(labels.get("k").is_none() && labels.get("trace_id").is_some());
        assert_eq!(parse_exemplar(&fixed(2, 1), 9, 4), Ok(None));
        let bare = parse_exemplar(&fixed(3, 0), 9, 4).expect("sound").expect("a value");
        assert_eq!((bare.t_ms, bare.value.to_bits()), (9, 0));
        let twice = [fixed(3, 0), attribute("k", "1"), attribute("k", "2")].concat();
        let exemplar = parse_exemplar(&twice, 9, 4).expect("sound").expect("a value");
        assert_eq!(exemplar.labels, None);
        assert!(parse_exemplar(&[0x2a, 9], 9, 4).is_err());
    }
}
