//! How OTLP metrics become series: the section `otlp` of the configuration, with the names that
//! Prometheus has for it.

use hashbrown::HashSet;
use serde::Deserialize;

/// How names of metrics and attributes become names of series and labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TranslationStrategy {
    /// Letters, digits and underscores; unit and type become suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Letters, digits and underscores; no suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are; unit and type become suffixes.
    NoUTF8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// Whether names are reduced to letters, digits and underscores.
    #[must_use]
    pub fn escapes(self) -> bool {
        use TranslationStrategy::{
            UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes,
        };
        matches!(self, UnderscoreEscapingWithSuffixes | UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether unit and type become suffixes of a metric's name.
    #[must_use]
    pub fn adds_suffixes(self) -> bool {
        use TranslationStrategy::{NoUTF8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | NoUTF8EscapingWithSuffixes)
    }
}

/// What becomes of values that tell the change since the value before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeltaTemporality {
    /// They are added up, and the sums are stored.
    #[default]
    Cumulative,
    /// They are stored as they are.
    AsIs,
    /// They are refused.
    Refuse,
}

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Attributes of a resource that become labels of all its series.
    pub promote_resource_attributes: Vec<String>,
    /// Whether all attributes of a resource do.
    pub promote_all_resource_attributes: bool,
    /// Those that do not, if all others do.
    pub ignore_resource_attributes: Vec<String>,
    /// How names are translated.
    pub translation_strategy: TranslationStrategy,
    /// Whether `target_info` has the attributes that `job` and `instance` are made of.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Whether the scope becomes labels.
    pub promote_scope_metadata: bool,
    /// Whether `key` is put before a label name that begins with one underscore.
    pub label_name_underscore_sanitization: bool,
    /// Whether several underscores in a row stay in a label name.
    pub label_name_preserve_multiple_underscores: bool,
    /// What becomes of delta values.
    pub delta_temporality: DeltaTemporality,
}

/// Why a section cannot be. The texts are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpConfigError {
    /// All attributes, and some of them.
    #[error(
        "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured \
         simultaneously"
    )]
    AllAndSome,
    /// Exceptions from nothing.
    #[error(
        "'ignore_resource_attributes' cannot be configured unless \
         'promote_all_resource_attributes' is true"
    )]
    IgnoredOfNone,
    /// An attribute without a name.
    #[error("invalid '{0}_resource_attributes': empty OTel resource attribute")]
    Empty(&'static str),
    /// An attribute twice.
    #[error("invalid '{0}_resource_attributes': duplicated OTel resource attribute {1:?}")]
    Twice(&'static str, String),
}

impl OtlpConfig {
    /// The section with names of attributes trimmed, if it can be.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn checked(mut self) -> Result<Self, OtlpConfigError> {
        if self.promote_all_resource_attributes {
            if !self.promote_resource_attributes.is_empty() {
                return Err(OtlpConfigError::AllAndSome);
            }
            trim(&mut self.ignore_resource_attributes, "ignore")?;
        } else {
            if !self.ignore_resource_attributes.is_empty() {
                return Err(OtlpConfigError::IgnoredOfNone);
            }
            trim(&mut self.promote_resource_attributes, "promote")?;
        }
        Ok(self)
    }

    /// Whether the attribute `key` of a resource becomes a label of its series.
    pub(super) fn promotes(&self, key: &str) -> bool {
        if self.promote_all_resource_attributes {
            return !self.ignore_resource_attributes.iter().any(|ignored| ignored == key);
        }
        self.promote_resource_attributes.iter().any(|promoted| promoted == key)
    }
}

fn trim(names: &mut [String], what: &'static str) -> Result<(), OtlpConfigError> {
    let mut seen = HashSet::new();
    for name in names {
        *name = name.trim().to_owned();
        if name.is_empty() {
            return Err(OtlpConfigError::Empty(what));
        }
        if !seen.insert(name.clone()) {
            return Err(OtlpConfigError::Twice(what, name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_checked_as_prometheus_does() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let some = OtlpConfig {
            promote_resource_attributes: names(&[" a ", "b"]),
            ..OtlpConfig::default()
        };
        let checked = some.clone().checked().expect("valid");
        assert!(checked.promotes("a") && !checked.promotes("c"));
        let all = OtlpConfig {
            promote_all_resource_attributes: true,
            ignore_resource_attributes: names(&["c"]),
            ..OtlpConfig::default()
        };
        let checked = all.clone().checked().expect("valid");
        assert!(checked.promotes("a") && !checked.promotes("c"));
        let both = OtlpConfig { promote_all_resource_attributes: true, ..some };
        assert_eq!(both.checked(), Err(OtlpConfigError::AllAndSome));
        let none = OtlpConfig { promote_all_resource_attributes: false, ..all };
        assert_eq!(none.checked(), Err(OtlpConfigError::IgnoredOfNone));
        for (list, error) in [
            (names(&["a", " a"]), OtlpConfigError::Twice("promote", "a".into())),
            (names(&[" "]), OtlpConfigError::Empty("promote")),
        ] {
            let config = OtlpConfig { promote_resource_attributes: list, ..OtlpConfig::default() };
            assert_eq!(config.checked(), Err(error));
        }
    }
}
