//! `label_replace` and `label_join`: what they do to one label set.
//!
//! The engine applies them to every series and then merges series whose labels became equal.

use m3rs_core::model::Labels;
use m3rs_core::regexp::AnchoredRegex;

/// Why the arguments of a label function were refused; the texts are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelFunctionError {
    /// The expression does not parse, or is too large.
    #[error("invalid regular expression in label_replace(): {0}")]
    Regexp(String),
    /// The label to write cannot have that name.
    #[error("invalid destination label name in {function}(): {name}")]
    Destination {
        /// The function.
        function: &'static str,
        /// The name.
        name: String,
    },
    /// A label to read cannot have that name.
    #[error("invalid source label name in {function}(): {name}")]
    Source {
        /// The function.
        function: &'static str,
        /// The name.
        name: String,
    },
}

/// `label_replace(v, dst, replacement, src, regex)`, compiled.
#[derive(Clone, Debug)]
pub struct LabelReplace {
    regex: AnchoredRegex,
    dst: String,
    src: String,
    replacement: String,
}

impl LabelReplace {
    /// Compiles the arguments. `regex` matches whole values, and its dot matches newlines.
    ///
    /// # Errors
    /// [`LabelFunctionError::Regexp`] and [`LabelFunctionError::Destination`].
    pub fn new(
        dst: &str,
        replacement: &str,
        src: &str,
        regex: &str,
    ) -> Result<Self, LabelFunctionError> {
        let regex =
            AnchoredRegex::new(regex).map_err(|_| LabelFunctionError::Regexp(regex.to_owned()))?;
        if dst.is_empty() {
            let function = "label_replace";
            return Err(LabelFunctionError::Destination { function, name: dst.to_owned() });
        }
        let [dst, src, replacement] = [dst, src, replacement].map(str::to_owned);
        Ok(Self { regex, dst, src, replacement })
    }

    /// The label that is written.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.dst
    }

    /// The new labels; `None` if the expression does not match and nothing is to be done.
    #[must_use]
    pub fn apply(&self, labels: &Labels) -> Option<Labels> {
        let source = labels.get(&self.src).unwrap_or("");
        let value = self.regex.expand(source, &self.replacement)?;
        let mut builder = labels.to_builder();
        builder.set(&self.dst, &value);
        Some(builder.build())
    }
}

/// `label_join(v, dst, separator, src, …)`, checked.
#[derive(Clone, Debug)]
pub struct LabelJoin {
    dst: String,
    separator: String,
    sources: Vec<String>,
}

impl LabelJoin {
    /// Checks the arguments.
    ///
    /// # Errors
    /// [`LabelFunctionError::Source`] and [`LabelFunctionError::Destination`].
    pub fn new(dst: &str, separator: &str, sources: &[&str]) -> Result<Self, LabelFunctionError> {
        let function = "label_join";
        if let Some(name) = sources.iter().find(|s| s.is_empty()) {
            return Err(LabelFunctionError::Source { function, name: (*name).to_owned() });
        }
        if dst.is_empty() {
            return Err(LabelFunctionError::Destination { function, name: dst.to_owned() });
        }
        Ok(Self {
            dst: dst.to_owned(),
            separator: separator.to_owned(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
        })
    }

    /// The label that is written.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.dst
    }

    /// The new labels.
    #[must_use]
    pub fn apply(&self, labels: &Labels) -> Labels {
        let values: Vec<&str> =
            self.sources.iter().map(|name| labels.get(name).unwrap_or("")).collect();
        let mut builder = labels.to_builder();
        builder.set(&self.dst, &values.join(&self.separator));
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).expect("valid")
    }

    fn replace(dst: &str, replacement: &str, src: &str, regex: &str) -> Option<Labels> {
        let source = labels(&[("src", "source-value-10"), ("dst", "original")]);
        LabelReplace::new(dst, replacement, src, regex).expect("valid").apply(&source)
    }

    fn dst_of(replacement: &str, regex: &str) -> String {
        let replaced = replace("dst", replacement, "src", regex).expect("match");
        replaced.get("dst").unwrap_or("").to_owned()
    }

    #[test]
    fn groups_are_inserted() {
        assert_eq!(dst_of("value-$1", "source-value-(.*)"), "value-10");
        assert_eq!(dst_of("${1}x", "source-value-(.*)"), "10x");
        assert_eq!(dst_of("$1x", "source-value-(.*)"), "");
        assert_eq!(dst_of("$name!", "source-value-(?P<name>.*)"), "10!");
        assert_eq!(dst_of("$2$01|", "(.*)"), "|");
        assert_eq!(dst_of("$$1 $ ${ ${x", "(.*)"), "$1 $ ${ ${x");
        assert_eq!(dst_of("$", "(.*)"), "$");
    }

    #[test]
    fn only_whole_values_match() {
        assert_eq!(replace("dst", "x", "src", "value"), None);
        assert_eq!(replace("dst", "x", "src", "source|value"), None);
        assert!(replace("dst", "x", "nope", "").is_some());
        let replaced = replace("dst", "", "src", ".*").expect("match");
        assert_eq!(replaced.get("dst"), None);
    }

    #[test]
    fn bad_arguments_are_refused() {
        let error = LabelReplace::new("dst", "", "src", "(.*").expect_err("no parse");
        assert_eq!(error.to_string(), "invalid regular expression in label_replace(): (.*");
        let error = LabelReplace::new("", "", "src", "(.*)").expect_err("empty");
        assert_eq!(error.to_string(), "invalid destination label name in label_replace(): ");
        let error = LabelJoin::new("", "-", &["a"]).expect_err("empty");
        assert_eq!(error.to_string(), "invalid destination label name in label_join(): ");
        let error = LabelJoin::new("dst", "-", &["a", ""]).expect_err("empty");
        assert_eq!(error.to_string(), "invalid source label name in label_join(): ");
    }

    #[test]
    fn values_are_joined() {
        let source = labels(&[("a", "1"), ("b", "2"), ("dst", "old")]);
        let join = |names: &[&str]| LabelJoin::new("dst", "-", names).expect("valid");
        assert_eq!(join(&["a", "b", "c"]).apply(&source).get("dst"), Some("1-2-"));
        assert_eq!(join(&[]).apply(&source).get("dst"), None);
    }
}
