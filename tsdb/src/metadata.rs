//! Type, help and unit of metric families, as writers told them last.

use std::collections::BTreeMap;

use m3rs_core::model::Metadata;
use parking_lot::RwLock;

/// What is kept of metric metadata, which senders may repeat at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataLimits {
    /// The most metric families (`metadata.families_max`).
    pub families_max: usize,
    /// The most different entries of one family (`metadata.entries_per_family_max`).
    pub entries_per_family_max: usize,
    /// The longest help text or unit that is kept, in bytes; longer ones are cut
    /// (`metadata.text_bytes_max`).
    pub text_bytes_max: usize,
}

impl Default for MetadataLimits {
    fn default() -> Self {
        Self { families_max: 100_000, entries_per_family_max: 8, text_bytes_max: 4096 }
    }
}

/// Metadata of all families of a namespace, shared by writers and readers.
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

    /// Whether [`MetadataStore::put`] would change nothing: it is known, or over a limit.
    #[must_use]
    pub fn knows(&self, family: &str, metadata: &Metadata) -> bool {
        if !self.takes_name(family) {
            return true;
        }
        let (help, unit) = (self.cut(&metadata.help), self.cut(&metadata.unit));
        let is_it = |known: &Metadata| {
            known.metric_type == metadata.metric_type && known.help == help && known.unit == unit
        };
        let families = self.families.read();
        match families.get(family) {
            Some(known) => known.iter().any(is_it),
            None => families.len() >= self.limits.families_max,
        }
    }

    /// Remembers metadata of `family`. Returns whether it is kept: what is over a limit is not.
    pub fn put(&self, family: &str, mut metadata: Metadata) -> bool {
        metadata.help.truncate(self.cut(&metadata.help).len());
        metadata.unit.truncate(self.cut(&metadata.unit).len());
        if !self.takes_name(family) {
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

    fn takes_name(&self, family: &str) -> bool {
        !family.is_empty() && family.len() <= self.limits.text_bytes_max
    }

    /// The text as far as it is kept.
    fn cut<'t>(&self, text: &'t str) -> &'t str {
        &text[..text.floor_char_boundary(self.limits.text_bytes_max)]
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::MetricType;

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
        assert!(store.knows("b", &entry("3\u{e9}\u{e9}\u{e9}")) && !store.knows("b", &entry("1")));
        assert!(store.put("a", entry("1")));
        for (family, why) in [("c", "a third family"), ("", "no name"), ("abcde", "too long")] {
            // It was logged with each request, as it is never known.
            assert!(store.knows(family, &entry("1")), "{why}: nothing would change");
            assert!(!store.put(family, entry("1")), "{why}");
        }
        assert!(!store.knows("a", &entry("2")), "more of a family that is there");
        let all = store.list(None, usize::MAX, usize::MAX);
        assert_eq!(
            all,
            [("a".into(), vec![entry("1")]), ("b".into(), vec![entry("2"), entry("3\u{e9}")]),]
        );
        assert_eq!(store.list(None, 1, 9), [("a".into(), vec![entry("1")])]);
        assert_eq!(store.list(Some("b"), 1, 1), [("b".into(), vec![entry("2")])]);
        assert_eq!(store.list(Some("x"), 1, 1), []);
    }
}
