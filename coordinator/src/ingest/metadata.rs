//! Metric metadata as Remote Write 1.0 sends it, and the seam to where metadata are listed.

use m3rs_core::Corrupt;
use m3rs_core::model::{Metadata, MetricType};
use m3rs_core::wire::proto::Fields;
use m3rs_tsdb::MetadataStore;

/// Where metadata of metric families are listed from.
pub trait MetadataSource: Send + Sync {
    /// Families in order of their names with their entries, at most `families_max` of them with at
    /// most `entries_max` each; only `family` if it is given.
    fn list(
        &self,
        family: Option<&str>,
        families_max: usize,
        entries_max: usize,
    ) -> Vec<(String, Vec<Metadata>)>;

    /// How many families are known.
    fn families(&self) -> usize;
}

impl MetadataSource for MetadataStore {
    fn list(
        &self,
        family: Option<&str>,
        families_max: usize,
        entries_max: usize,
    ) -> Vec<(String, Vec<Metadata>)> {
        self.list(family, families_max, entries_max)
    }

    fn families(&self) -> usize {
        self.families()
    }
}

/// Reads a `MetricMetadata` message: the family's name and its metadata.
///
/// # Errors
/// [`Corrupt`] if it is none.
pub(super) fn parse_metadata(message: &[u8]) -> Result<(&str, Metadata), Corrupt> {
    const WHAT: &str = "metric metadata";
    let (mut family, mut help, mut unit) = ("", "", "");
    let mut metric_type = MetricType::Unknown;
    let mut fields = Fields::new(WHAT, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => metric_type = MetricType::from_wire(field.varint(WHAT)?),
            2 => family = field.text(WHAT)?,
            4 => help = field.text(WHAT)?,
            5 => unit = field.text(WHAT)?,
            _ => {}
        }
    }
    Ok((family, Metadata { metric_type, help: help.to_owned(), unit: unit.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let message = b"\x08\x04\x12\x02mm\x22\x01h\x2a\x01u\x30\x07";
        let wanted = Metadata {
            metric_type: MetricType::GaugeHistogram,
            help: "h".into(),
            unit: "u".into(),
        };
        assert_eq!(parse_metadata(message), Ok(("mm", wanted)));
        assert!(parse_metadata(b"\x12\x01\xff").is_err());
        assert_eq!(MetricType::from_wire(99), MetricType::Unknown);
    }
}
