//! Type, help and unit of metric families, as senders told them last.
//!
//! Kept in memory only: senders repeat metadata every minute or so.

use std::collections::BTreeMap;

use m3rs_core::Corrupt;
use m3rs_core::wire::proto::Fields;
use parking_lot::RwLock;

use crate::limits::MetadataLimits;

/// The type of a metric family; the number is the one of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricType {
    /// Not told.
    Unknown = 0,
    /// Goes up, or restarts.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Counts in buckets.
    Histogram = 3,
    /// A histogram whose counts may fall.
    GaugeHistogram = 4,
    /// Quantiles.
    Summary = 5,
    /// Labels are all it says.
    Info = 6,
    /// One of several states.
    Stateset = 7,
}

impl MetricType {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::Stateset,
    ];

    /// The type with this number; a number of the future is [`MetricType::Unknown`].
    #[must_use]
    pub fn from_wire(number: u64) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|i| Self::ALL.get(i).copied())
            .unwrap_or(Self::Unknown)
    }

    /// The word that Prometheus uses in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::Stateset => "stateset",
        }
    }
}

/// What is known of a metric family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata {
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

impl Metadata {
    /// Reads a `MetricMetadata` message: the family's name and its metadata.
    ///
    /// # Errors
    /// [`Corrupt`] if it is none.
    pub fn from_message(message: &[u8]) -> Result<(&str, Self), Corrupt> {
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
        Ok((family, Self { metric_type, help: help.to_owned(), unit: unit.to_owned() }))
    }
}

/// Metadata of all families, shared by writers and readers.
#[derive(Debug, Default)]
pub struct MetadataStore {
    limits: MetadataLimits,
    families: RwLock<BTreeMap<String, Vec<Metadata>>>,
}

impl MetadataStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: MetadataLimits) -> Self {
        Self { limits, families: RwLock::default() }
    }

    /// Remembers metadata of `family`. Returns whether it is kept: what is over a limit is not.
    pub fn put(&self, family: &str, mut metadata: Metadata) -> bool {
        cut(&mut metadata.help, self.limits.text_bytes_max);
        cut(&mut metadata.unit, self.limits.text_bytes_max);
        if family.is_empty() || family.len() > self.limits.text_bytes_max {
            return false;
        }
        if self.families.read().get(family).is_some_and(|known| known.contains(&metadata)) {
            return true;
        }
        let mut families = self.families.write();
        if !families.contains_key(family) && families.len() >= self.limits.families_max {
            return false;
        }
        let entries = families.entry(family.to_owned()).or_default();
        if !entries.contains(&metadata) {
            // The oldest entry goes: a help text that changed should show.
            if entries.len() >= self.limits.entries_per_family_max {
                entries.remove(0);
            }
            entries.push(metadata);
        }
        true
    }

    /// Families in order of their names with their entries, at most `families_max` of them with at
    /// most `entries_max` each; only `family` if it is given.
    #[must_use]
    pub fn list(
        &self,
        family: Option<&str>,
        families_max: usize,
        entries_max: usize,
    ) -> Vec<(String, Vec<Metadata>)> {
        let families = self.families.read();
        let cut = |(name, entries): (&String, &Vec<Metadata>)| {
            (name.clone(), entries.iter().take(entries_max).cloned().collect())
        };
        match family {
            Some(name) => {
                families.get_key_value(name).map(cut).into_iter().take(families_max).collect()
            }
            None => families.iter().take(families_max).map(cut).collect(),
        }
    }

    /// How many families are known.
    #[must_use]
    pub fn families(&self) -> usize {
        self.families.read().len()
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(help: &str) -> Metadata {
        Metadata { metric_type: MetricType::Gauge, help: help.into(), unit: String::new() }
    }

    #[test]
    fn limits_hold() {
        let limits =
            MetadataLimits { families_max: 2, entries_per_family_max: 2, text_bytes_max: 4 };
        let store = MetadataStore::new(limits);
        assert!(store.put("b", entry("1")));
        assert!(store.put("b", entry("1")));
        assert!(store.put("b", entry("2")));
        assert!(store.put("b", entry("3\u{e9}\u{e9}\u{e9}")));
        assert!(store.put("a", entry("1")));
        assert!(!store.put("c", entry("1")), "a third family");
        assert!(!store.put("", entry("1")), "no name");
        let all = store.list(None, usize::MAX, usize::MAX);
        assert_eq!(
            all,
            [("a".into(), vec![entry("1")]), ("b".into(), vec![entry("2"), entry("3\u{e9}")]),]
        );
        assert_eq!(store.list(None, 1, 9), [("a".into(), vec![entry("1")])]);
        assert_eq!(store.list(Some("b"), 1, 1), [("b".into(), vec![entry("2")])]);
        assert_eq!(store.list(Some("x"), 1, 1), []);
    }

    #[test]
    fn messages_are_read() {
        let message = b"\x08\x04\x12\x02mm\x22\x01h\x2a\x01u\x30\x07";
        let wanted = Metadata {
            metric_type: MetricType::GaugeHistogram,
            help: "h".into(),
            unit: "u".into(),
        };
        assert_eq!(Metadata::from_message(message), Ok(("mm", wanted)));
        assert!(Metadata::from_message(b"\x12\x01\xff").is_err());
        assert_eq!(MetricType::from_wire(99), MetricType::Unknown);
    }
}
