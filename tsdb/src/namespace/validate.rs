//! What options of a namespace fit together. Every refusal names option, value and rule.

use m3rs_core::model::MatchOp;
use m3rs_core::regexp::AnchoredRegex;
use m3rs_core::time::duration::{DurationNs, Prometheus};

use super::options::{Aggregation, ConfiguredNamespace, NamespaceOptions, TruncateTime};

/// Most bytes of a namespace's name.
pub const NAME_BYTES_MAX: usize = 128;
/// The longest span that an option takes: 100 years.
const SPAN_MAX_NS: i64 = 100 * 365 * 24 * 3600 * m3rs_core::time::NS_PER_S;
/// Most aggregations, and most matchers of series that are not indexed.
const LIST_LEN_MAX: usize = 100;
/// Most bytes of a text within the options.
const TEXT_BYTES_MAX: usize = 65_535;

/// An option that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option {option} is {value}: {rule}")]
pub struct OptionsError {
    /// The option, as configuration names it.
    pub option: &'static str,
    /// What it was set to.
    pub value: String,
    /// What holds for it.
    pub rule: String,
}

impl OptionsError {
    fn new(option: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self { option, value: value.to_string(), rule: rule.into() }
    }

    fn span(option: &'static str, value_ns: i64, rule: impl Into<String>) -> Self {
        Self::new(option, DurationNs(value_ns).go(), rule)
    }
}

/// A span as configuration has it.
fn span(ns: i64) -> Prometheus {
    DurationNs(ns).prometheus()
}

/// Checks a namespace's name, which is also that of directories.
pub(crate) fn check_name(name: &str) -> Result<(), OptionsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') {
        let rule = format!("it has 1 to {NAME_BYTES_MAX} bytes and does not begin with a dot");
        return Err(OptionsError::new("name", format!("{name:?}"), rule));
    }
    if !name.chars().all(fits) {
        let rule = "it is made of ASCII letters, digits, '_', '-', '.' and ':'";
        return Err(OptionsError::new("name", format!("{name:?}"), rule));
    }
    Ok(())
}

impl NamespaceOptions {
    /// Checks that the options fit together.
    ///
    /// # Errors
    /// The first option that does not.
    pub fn validate(&self) -> Result<(), OptionsError> {
        self.check_blocks()?;
        self.check_windows()?;
        self.check_future()?;
        self.check_index()?;
        self.check_hidden()?;
        self.check_rest()
    }

    /// Checks what does not depend on the block size.
    fn check_any_blocks(&self) -> Result<(), OptionsError> {
        self.check_future()?;
        self.check_hidden()?;
        self.check_rest()
    }

    fn check_blocks(&self) -> Result<(), OptionsError> {
        let block = self.block_size_ns;
        if block <= 0 || block > SPAN_MAX_NS {
            let rule = format!("it is above 0 and at most {}", span(SPAN_MAX_NS));
            return Err(OptionsError::span("block_size", block, rule));
        }
        let retention = self.retention_ns;
        if retention != 0 && retention < block {
            let rule = format!("it is at least block_size, {}, or 0 for ever", span(block));
            return Err(OptionsError::span("retention", retention, rule));
        }
        Ok(())
    }

    fn check_future(&self) -> Result<(), OptionsError> {
        let future = self.future_retention_ns;
        if !(0..=SPAN_MAX_NS).contains(&future) {
            let rule = format!("it is from 0 to {}", span(SPAN_MAX_NS));
            return Err(OptionsError::span("future_retention", future, rule));
        }
        if future > 0 && !self.cold_writes_enabled {
            let rule = "only cold writes may be so far ahead, and cold_writes is false";
            return Err(OptionsError::span("future_retention", future, rule));
        }
        Ok(())
    }

    fn check_windows(&self) -> Result<(), OptionsError> {
        let block = self.block_size_ns;
        for (option, value) in
            [("buffer_past", self.buffer_past_ns), ("buffer_future", self.buffer_future_ns)]
        {
            if value < 0 || value >= block {
                let rule = format!("it is from 0 to less than block_size, {}", span(block));
                return Err(OptionsError::span(option, value, rule));
            }
        }
        Ok(())
    }

    fn check_index(&self) -> Result<(), OptionsError> {
        const OPTION: &str = "index_block_size";
        let (index, block) = (self.index_block_size_ns(), self.block_size_ns);
        if index < block || index % block != 0 || index > SPAN_MAX_NS {
            let rule = format!("it is a multiple of block_size, {}", span(block));
            return Err(OptionsError::span(OPTION, index, rule));
        }
        for (other, most) in
            [("retention", self.retention_ns), ("future_retention", self.future_retention_ns)]
        {
            if most != 0 && index > most {
                let rule = format!("it is at most {other}, {}", span(most));
                return Err(OptionsError::span(OPTION, index, rule));
            }
        }
        Ok(())
    }

    fn check_hidden(&self) -> Result<(), OptionsError> {
        let hidden = &self.index.do_not_index;
        if hidden.len() > LIST_LEN_MAX {
            let rule = format!("there are at most {LIST_LEN_MAX} matchers");
            return Err(OptionsError::new("do_not_index", hidden.len(), rule));
        }
        for matcher in hidden {
            let long = matcher.name.len().max(matcher.value.len()) > TEXT_BYTES_MAX;
            if matcher.name.is_empty() || long {
                let rule = format!("a matcher has a name, and {TEXT_BYTES_MAX} bytes at most");
                return Err(OptionsError::new("do_not_index", matcher, rule));
            }
            if matches!(matcher.op, MatchOp::Regexp | MatchOp::NotRegexp)
                && let Err(error) = AnchoredRegex::new(&matcher.value)
            {
                let rule = format!("the regular expression is wrong: {error}");
                return Err(OptionsError::new("do_not_index", matcher, rule));
            }
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), OptionsError> {
        if self.shard_count == 0 {
            return Err(OptionsError::new("shards", 0, "there is at least 1"));
        }
        if let Some(TruncateTime::Unit(unit)) = self.transforms.truncate_time
            && (unit <= 0 || unit > SPAN_MAX_NS)
        {
            let rule = format!("it is above 0 and at most {}", span(SPAN_MAX_NS));
            return Err(OptionsError::span("truncate_time", unit, rule));
        }
        if self.aggregations.len() > LIST_LEN_MAX {
            let rule = format!("there are at most {LIST_LEN_MAX}");
            return Err(OptionsError::new("aggregations", self.aggregations.len(), rule));
        }
        for aggregation in &self.aggregations {
            if let Aggregation::Aggregated { resolution_ns, .. } = *aggregation
                && (resolution_ns <= 0 || resolution_ns > SPAN_MAX_NS)
            {
                let rule = "the resolution of aggregates is above 0";
                return Err(OptionsError::span("aggregations", resolution_ns, rule));
            }
        }
        let runtime = self.runtime;
        for share in [runtime.write_indexing_per_cpu, runtime.flush_indexing_per_cpu] {
            if let Some(share) = share
                && !(share.is_finite() && share > 0.0)
            {
                return Err(OptionsError::new("runtime", share, "a share of cores is above 0"));
            }
        }
        if self.caching.block_data_expiry_after_ns < 0 {
            let after = self.caching.block_data_expiry_after_ns;
            return Err(OptionsError::span("block_data_expiry_after", after, "it is at least 0"));
        }
        if let Some(extended) = &self.extended
            && extended.type_name.len().max(extended.value.len()) > TEXT_BYTES_MAX
        {
            let rule = format!("type and value have {TEXT_BYTES_MAX} bytes each at most");
            return Err(OptionsError::new("extended", extended.value.len(), rule));
        }
        Ok(())
    }

    /// Checks that `self` may become `new` without data being moved.
    pub(crate) fn check_change(&self, new: &Self) -> Result<(), OptionsError> {
        const RULE: &str = "it was fixed when the namespace was made, at ";
        if self.block_size_ns != new.block_size_ns {
            let rule = format!("{RULE}{}", span(self.block_size_ns));
            return Err(OptionsError::span("block_size", new.block_size_ns, rule));
        }
        if self.shard_count != new.shard_count {
            let rule = format!("{RULE}{}", self.shard_count);
            return Err(OptionsError::new("shards", new.shard_count, rule));
        }
        Ok(())
    }
}

impl ConfiguredNamespace {
    /// Checks what can be checked before it is known which namespaces there are. What depends on
    /// the block size is left for the opening, if configuration does not say one.
    ///
    /// # Errors
    /// The first option that does not fit.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let options = self.resolve(None);
        match self.block_size_ns {
            Some(_) => options.validate(),
            None => options.check_any_blocks(),
        }
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::Matcher;
    use m3rs_core::time::NS_PER_S;

    use super::super::options::{Downsample, ExtendedOptions, RuntimeOptions};
    use super::*;

    const HOUR: i64 = 3600 * NS_PER_S;

    type Edit = fn(&mut NamespaceOptions);

    #[test]
    fn what_does_not_fit_is_told_by_option_value_and_rule() {
        let cases: [(Edit, &str, &str); 22] = [
            (|o| o.block_size_ns = 0, "block_size", "0"),
            (|o| o.block_size_ns = -HOUR, "block_size", "1h"),
            (|o| o.block_size_ns = i64::MAX, "block_size", "100y"),
            (|o| o.shard_count = 0, "shards", "0"),
            (|o| o.retention_ns = 2 * HOUR - 1, "retention", "2h"),
            (|o| o.retention_ns = -1, "retention", "2h"),
            (|o| o.future_retention_ns = -1, "future_retention", "0"),
            (
                |o| (o.future_retention_ns, o.cold_writes_enabled) = (9 * HOUR, false),
                "future_retention",
                "cold_writes",
            ),
            (|o| o.buffer_past_ns = 2 * HOUR, "buffer_past", "2h"),
            (|o| o.buffer_past_ns = -1, "buffer_past", "2h"),
            (|o| o.buffer_future_ns = 2 * HOUR, "buffer_future", "2h"),
            (|o| o.buffer_future_ns = -1, "buffer_future", "2h"),
            (|o| o.index.block_size_ns = 3 * HOUR, "index_block_size", "3h"),
            (|o| o.index.block_size_ns = HOUR, "index_block_size", "1h"),
            (|o| o.index.block_size_ns = 722 * HOUR, "index_block_size", "retention, 30d"),
            (
                |o| (o.index.block_size_ns, o.future_retention_ns) = (8 * HOUR, 7 * HOUR),
                "index_block_size",
                "future_retention, 7h",
            ),
            (|o| o.index.do_not_index = vec![Matcher::equal("", "x")], "do_not_index", "name"),
            (
                |o| o.index.do_not_index = vec![Matcher::new("a", MatchOp::Regexp, "(")],
                "do_not_index",
                "regular expression",
            ),
            (
                |o| o.transforms.truncate_time = Some(TruncateTime::Unit(0)),
                "truncate_time",
                "above 0",
            ),
            (
                |o| {
                    let downsample = Downsample::All;
                    o.aggregations = vec![Aggregation::Aggregated { resolution_ns: 0, downsample }];
                },
                "aggregations",
                "above 0",
            ),
            (
                |o| {
                    let write_indexing_per_cpu = Some(0.0);
                    o.runtime = RuntimeOptions { write_indexing_per_cpu, ..o.runtime };
                },
                "runtime",
                "above 0",
            ),
            (
                |o| {
                    let value = vec![0; TEXT_BYTES_MAX + 1];
                    o.extended = Some(ExtendedOptions { type_name: "x".to_owned(), value });
                },
                "extended",
                "65535",
            ),
        ];
        for (number, (edit, option, told)) in cases.into_iter().enumerate() {
            let mut options = NamespaceOptions::default();
            edit(&mut options);
            let error = options.validate().expect_err(option);
            assert_eq!(error.option, option, "case {number}: {error}");
            assert!(error.to_string().contains(told), "case {number}: {error}");
        }
    }

    #[test]
    fn bounds_are_taken() {
        let edits: [Edit; 8] = [
            |_| (),
            |o| o.retention_ns = 0,
            |o| o.retention_ns = 2 * HOUR,
            |o| (o.buffer_past_ns, o.buffer_future_ns) = (2 * HOUR - 1, 0),
            |o| o.index.block_size_ns = 720 * HOUR,
            |o| (o.index.block_size_ns, o.future_retention_ns) = (8 * HOUR, 8 * HOUR),
            |o| o.block_size_ns = 7 * 24 * HOUR,
            |o| o.aggregations = Vec::new(),
        ];
        for (number, edit) in edits.into_iter().enumerate() {
            let mut options = NamespaceOptions::default();
            edit(&mut options);
            assert_eq!(options.validate(), Ok(()), "case {number}");
        }
    }

    #[test]
    fn names_are_those_of_directories() {
        for name in ["default", "aggregated_10s:30d", "a", "A-1.b", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", ".a", "a/b", "a b", "a@2", "\u{e4}", "a\0", &"x".repeat(129)] {
            let error = check_name(name).expect_err(name);
            assert_eq!(error.option, "name");
        }
    }

    #[test]
    fn layout_never_changes() {
        let old = NamespaceOptions::default();
        let blocks = NamespaceOptions { block_size_ns: HOUR, ..old.clone() };
        let shards = NamespaceOptions { shard_count: 5, ..old.clone() };
        let other = NamespaceOptions { retention_ns: 0, flush_enabled: false, ..old.clone() };
        assert_eq!(old.check_change(&blocks).expect_err("fixed").option, "block_size");
        assert_eq!(old.check_change(&shards).expect_err("fixed").option, "shards");
        assert_eq!(old.check_change(&other), Ok(()));
    }
}
