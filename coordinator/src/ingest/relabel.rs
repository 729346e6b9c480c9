//! Relabelling of series before they are stored, by the rules of Prometheus's
//! `write_relabel_configs`.
//!
//! Rules run when a series is seen for the first time: afterwards its bytes as sent lead to the
//! series that the rules made of it. Source: `model/relabel/relabel.go` of Prometheus 3.14.

use m3rs_core::model::Labels;
use m3rs_core::regexp::{AnchoredRegex, RegexpError};
use md5::{Digest, Md5};
use serde::Deserialize;

/// The pattern of a rule that names none.
const PATTERN_DEFAULT: &str = "(.*)";

/// The replacement of a rule that names none.
const REPLACEMENT_DEFAULT: &str = "$1";

/// What joins the values of the source labels of a rule that names nothing else.
const SEPARATOR_DEFAULT: &str = ";";

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Sets the target label to the replacement if the source matches.
    #[default]
    Replace,
    /// Drops series whose source does not match.
    Keep,
    /// Drops series whose source matches.
    Drop,
    /// Drops series whose source is not equal to the target label.
    KeepEqual,
    /// Drops series whose source is equal to the target label.
    DropEqual,
    /// Sets the target label to the source's hash modulo a number.
    HashMod,
    /// Copies labels whose names match to names made of the replacement.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

impl RelabelAction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

/// A rule as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelabelConfig {
    /// Labels whose values are the source.
    pub source_labels: Vec<String>,
    /// What joins them; `;` by default.
    pub separator: Option<String>,
    /// The pattern, which matches whole texts; `(.*)` by default.
    pub regex: Option<String>,
    /// The modulus of `hashmod`.
    pub modulus: u64,
    /// The label that is set or compared.
    pub target_label: String,
    /// The new value, with groups of the pattern as `$1`, which is also the default.
    pub replacement: Option<String>,
    /// What is done; `replace` by default.
    pub action: RelabelAction,
}

/// Why a rule cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelabelError {
    /// The pattern is wrong.
    #[error(transparent)]
    Pattern(#[from] RegexpError),
    /// `hashmod` without a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    NoModulus,
    /// No target label.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(&'static str),
    /// A replacement that has no effect.
    #[error("'replacement' can not be set for {0} action")]
    NeedlessReplacement(&'static str),
    /// A field that has no effect.
    #[error("{action} action requires only {needs}, and no other fields")]
    NeedlessField {
        /// The action.
        action: &'static str,
        /// What it goes by.
        needs: &'static str,
    },
    /// A replacement that is no label name.
    #[error("{0:?} is invalid 'replacement' for labelmap action")]
    Replacement(String),
}

#[derive(Debug)]
struct Rule {
    source_labels: Vec<String>,
    separator: String,
    pattern: AnchoredRegex,
    modulus: u64,
    target: String,
    replacement: String,
    action: RelabelAction,
}

impl Rule {
    fn compile(config: &RelabelConfig) -> Result<Self, RelabelError> {
        config.check()?;
        let or = |text: &Option<String>, default: &str| text.as_deref().unwrap_or(default).into();
        let pattern: String = or(&config.regex, PATTERN_DEFAULT);
        Ok(Self {
            source_labels: config.source_labels.clone(),
            separator: or(&config.separator, SEPARATOR_DEFAULT),
            pattern: AnchoredRegex::new(&pattern)?,
            modulus: config.modulus,
            target: config.target_label.clone(),
            replacement: or(&config.replacement, REPLACEMENT_DEFAULT),
            action: config.action,
        })
    }

    /// Whether the series stays.
    fn apply(&self, labels: &mut LabelEditor) -> bool {
        let source = || labels.joined(&self.source_labels, &self.separator);
        match self.action {
            RelabelAction::Keep => self.pattern.is_match(&source()),
            RelabelAction::Drop => !self.pattern.is_match(&source()),
            RelabelAction::KeepEqual => labels.get(&self.target) == source(),
            RelabelAction::DropEqual => labels.get(&self.target) != source(),
            _ => {
                self.edit(labels);
                true
            }
        }
    }

    fn edit(&self, labels: &mut LabelEditor) {
        match self.action {
            RelabelAction::LabelMap => {
                for (name, value) in labels.0.clone() {
                    if let Some(name) = self.pattern.expand(&name, &self.replacement) {
                        labels.set(&name, value);
                    }
                }
            }
            RelabelAction::LabelDrop => labels.0.retain(|(name, _)| !self.pattern.is_match(name)),
            RelabelAction::LabelKeep => labels.0.retain(|(name, _)| self.pattern.is_match(name)),
            _ => self.set(labels),
        }
    }

    fn set(&self, labels: &mut LabelEditor) {
        let source = labels.joined(&self.source_labels, &self.separator);
        match self.action {
            RelabelAction::Lowercase => labels.set(&self.target, source.to_lowercase()),
            RelabelAction::Uppercase => labels.set(&self.target, source.to_uppercase()),
            RelabelAction::HashMod => {
                labels.set(&self.target, (hash(&source) % self.modulus).to_string());
            }
            _ => {
                let target = self.pattern.expand(&source, &self.target);
                let value = self.pattern.expand(&source, &self.replacement);
                if let (Some(target), Some(value)) = (target, value)
                    && !target.is_empty()
                {
                    labels.set(&target, value);
                }
            }
        }
    }
}

impl RelabelConfig {
    fn check(&self) -> Result<(), RelabelError> {
        use RelabelAction as Action;
        let action = self.action.as_str();
        if self.action == Action::HashMod && self.modulus == 0 {
            return Err(RelabelError::NoModulus);
        }
        let needs_target = !matches!(
            self.action,
            Action::Keep | Action::Drop | Action::LabelMap | Action::LabelDrop | Action::LabelKeep
        );
        if needs_target && self.target_label.is_empty() {
            return Err(RelabelError::NoTarget(action));
        }
        let is_default = |text: &Option<String>, default| {
            text.as_deref().is_none_or(|text: &str| text == default)
        };
        let is_replacement_default = is_default(&self.replacement, REPLACEMENT_DEFAULT);
        let is_separator_default = is_default(&self.separator, SEPARATOR_DEFAULT);
        match self.action {
            Action::Lowercase | Action::Uppercase if !is_replacement_default => {
                Err(RelabelError::NeedlessReplacement(action))
            }
            Action::KeepEqual | Action::DropEqual
                if !is_replacement_default
                    || !is_separator_default
                    || self.modulus != 0
                    || !is_default(&self.regex, PATTERN_DEFAULT) =>
            {
                let needs = "'source_labels' and 'target_label'";
                Err(RelabelError::NeedlessField { action, needs })
            }
            Action::LabelDrop | Action::LabelKeep
                if !is_replacement_default
                    || !is_separator_default
                    || self.modulus != 0
                    || !self.source_labels.is_empty()
                    || !self.target_label.is_empty() =>
            {
                Err(RelabelError::NeedlessField { action, needs: "'regex'" })
            }
            Action::LabelMap if self.replacement.as_deref() == Some("") => {
                Err(RelabelError::Replacement(String::new()))
            }
            _ => Ok(()),
        }
    }
}

/// The last eight bytes of the MD5 digest, big-endian.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().skip(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Labels that rules change, in no order.
struct LabelEditor(Vec<(String, String)>);

impl LabelEditor {
    /// The value of a label; empty if it is absent.
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Sets a label; an empty value removes it.
    fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(n, _)| n != name);
        if !value.is_empty() {
            self.0.push((name.to_owned(), value));
        }
    }

    fn joined(&self, names: &[String], separator: &str) -> String {
        let values: Vec<&str> = names.iter().map(|name| self.get(name)).collect();
        values.join(separator)
    }
}

/// Rules in their order. Without any, labels stay as they are and cost nothing.
#[derive(Debug, Default)]
pub struct Relabeler(Vec<Rule>);

impl Relabeler {
    /// Compiles rules.
    ///
    /// # Errors
    /// The first rule that cannot be, by its place in the list.
    pub fn new(configs: &[RelabelConfig]) -> Result<Self, (usize, RelabelError)> {
        let compile = |(i, config)| Rule::compile(config).map_err(|error| (i, error));
        configs.iter().enumerate().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Applies all rules in their order; `None` if one of them drops the series.
    #[must_use]
    pub fn apply(&self, labels: Labels) -> Option<Labels> {
        if self.0.is_empty() {
            return Some(labels);
        }
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut editor = LabelEditor(pairs.collect());
        if !self.0.iter().all(|rule| rule.apply(&mut editor)) {
            return None;
        }
        let labels = Labels::from_pairs(editor.0);
        Some(labels.expect("BUG: names are unique and not empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(yaml: &str) -> RelabelConfig {
        serde_json::from_str(yaml).expect("a rule")
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).expect("valid")
    }

    fn made(pairs: &[(&str, &str)], rules: &[&str]) -> Option<Labels> {
        let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
        Relabeler::new(&rules).expect("valid").apply(labels(pairs))
    }

    /// Cases of the rules' documentation and of Prometheus's own tests, in other words.
    #[test]
    fn rules_do_what_they_do_in_prometheus() {
        let from = &[("a", "foo"), ("b", "bar"), ("c", "baz")];
        for (rules, wanted) in [
            (
                &[r#"{"source_labels":["a"],"regex":"f(.*)","target_label":"d",
                     "separator":";","replacement":"ch${1}-ch${1}"}"#][..],
                Some(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "choo-choo")][..]),
            ),
            (
                &[
                    r#"{"source_labels":["a","b"],"regex":"f(.*);(.*)r","target_label":"a",
                       "replacement":"b${1}${2}m"}"#,
                    r#"{"source_labels":["c","a"],"regex":"(b).*b(.*)ba(.*)","target_label":"d",
                       "replacement":"$1$2$2$3"}"#,
                ],
                Some(&[("a", "boobam"), ("b", "bar"), ("c", "baz"), ("d", "boooom")]),
            ),
            (&[r#"{"source_labels":["a"],"regex":".*o.*","action":"drop"}"#], None),
            (
                &[r#"{"source_labels":["a"],"regex":".*o","action":"keep"}"#],
                Some(&[("a", "foo"), ("b", "bar"), ("c", "baz")]),
            ),
            (
                &[r#"{"source_labels":["b"],"regex":".*b.*","target_label":"${1}",
                         "replacement":"x"}"#],
                Some(&[("a", "foo"), ("b", "bar"), ("c", "baz")]),
            ),
            (
                &[r#"{"source_labels":["c"],"target_label":"d",
                         "action":"hashmod","modulus":1000}"#],
                Some(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "976")]),
            ),
            (
                &[r#"{"regex":"(b.*)","replacement":"bar_${1}","action":"labelmap"}"#],
                Some(&[("a", "foo"), ("b", "bar"), ("bar_b", "bar"), ("c", "baz")]),
            ),
            (&[r#"{"regex":"(b|c)","action":"labeldrop"}"#], Some(&[("a", "foo")])),
            (&[r#"{"regex":"b","action":"labelkeep"}"#], Some(&[("b", "bar")])),
            (
                &[r#"{"source_labels":["a"],"target_label":"a","action":"uppercase"}"#],
                Some(&[("a", "FOO"), ("b", "bar"), ("c", "baz")]),
            ),
            (&[r#"{"source_labels":["a"],"target_label":"b","action":"keepequal"}"#], None),
            (
                &[r#"{"source_labels":["a"],"target_label":"b","action":"dropequal"}"#],
                Some(&[("a", "foo"), ("b", "bar"), ("c", "baz")]),
            ),
            (&[r#"{"target_label":"a","replacement":""}"#], Some(&[("b", "bar"), ("c", "baz")])),
        ] {
            assert_eq!(made(from, rules), wanted.map(labels), "{rules:?}");
        }
    }

    #[test]
    fn rules_that_cannot_be_are_told_with_their_place() {
        let good = r#"{"target_label":"a"}"#;
        for (bad, told) in [
            (r#"{"action":"hashmod","target_label":"a"}"#, "non-zero modulus"),
            (r#"{"action":"lowercase"}"#, "lowercase action requires 'target_label'"),
            (r#"{}"#, "replace action requires 'target_label'"),
            (r#"{"action":"uppercase","target_label":"a","replacement":"b"}"#, "can not be set"),
            (r#"{"action":"keepequal","target_label":"a","regex":"b"}"#, "no other fields"),
            (r#"{"action":"labeldrop","target_label":"a"}"#, "requires only 'regex'"),
            (r#"{"action":"labelmap","replacement":""}"#, "invalid 'replacement'"),
            (r#"{"action":"drop","regex":"("}"#, "regular expression"),
        ] {
            let (place, error) =
                Relabeler::new(&[rule(good), rule(bad)]).expect_err("it cannot be");
            assert_eq!(place, 1);
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
