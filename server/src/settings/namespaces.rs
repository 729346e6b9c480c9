//! The section `namespaces` of the configuration file.

use std::collections::BTreeMap;

use m3rs_core::model::{MatchOp, Matcher};
use m3rs_core::time::duration::DurationNs;
use m3rs_query::promql::parse_metric_selector;
use m3rs_tsdb::{
    Aggregation, CachingOptions, ConfiguredNamespace, Downsample, ExtendedOptions, IndexOptions,
    NamespaceOptions, RuntimeOptions, StagingState, TruncateTime, WriteTransforms,
};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// A duration as Prometheus writes it, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nanos(i64);

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DurationNs::parse_prometheus(&text).map(|span| Self(span.0)).map_err(Error::custom)
    }
}

/// One matcher, such as `job="batch"`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OneMatcher(Matcher);

impl<'de> Deserialize<'de> for OneMatcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let inside = text.trim().trim_start_matches('{').trim_end_matches('}');
        // A selector needs a matcher that is not met by nothing at all; one matcher need not be.
        let first = Matcher::new("__name__", MatchOp::Regexp, ".+");
        let all = parse_metric_selector(&format!("{{{first},{inside}}}")).map_err(Error::custom)?;
        match all.as_slice() {
            [_, matcher] => Ok(Self(matcher.clone())),
            _ => Err(Error::custom(format!("{text:?} is not one matcher, such as job=\"batch\""))),
        }
    }
}

/// `block`, or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Truncate(TruncateTime);

impl<'de> Deserialize<'de> for Truncate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "block" {
            return Ok(Self(TruncateTime::BlockStart));
        }
        let span = DurationNs::parse_prometheus(&text).map_err(Error::custom)?;
        Ok(Self(TruncateTime::Unit(span.0)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Staging {
    Unknown,
    Initializing,
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sent {
    All,
    Rules,
}

/// What aggregates a namespace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aggregates {
    /// Absent for samples as they were sent.
    resolution: Option<Nanos>,
    downsample: Option<Sent>,
}

impl From<Aggregates> for Aggregation {
    fn from(aggregates: Aggregates) -> Self {
        let Some(Nanos(resolution_ns)) = aggregates.resolution else { return Self::Unaggregated };
        let downsample = match aggregates.downsample {
            Some(Sent::Rules) => Downsample::ByRules,
            Some(Sent::All) | None => Downsample::All,
        };
        Self::Aggregated { resolution_ns, downsample }
    }
}

/// Options of a plug-in of M3.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extended {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    value: String,
}

/// One entry of the section, as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NamespaceSection {
    name: String,
    retention: Option<Nanos>,
    future_retention: Option<Nanos>,
    block_size: Option<Nanos>,
    buffer_past: Option<Nanos>,
    buffer_future: Option<Nanos>,
    shards: Option<u16>,
    cold_writes: Option<bool>,
    bootstrap: Option<bool>,
    flush: Option<bool>,
    snapshot: Option<bool>,
    cleanup: Option<bool>,
    repair: Option<bool>,
    commit_log: Option<bool>,
    index: Option<bool>,
    index_block_size: Option<Nanos>,
    do_not_index: Vec<OneMatcher>,
    truncate_time: Option<Truncate>,
    force_value: Option<f64>,
    aggregations: Option<Vec<Aggregates>>,
    staging: Option<Staging>,
    cache_blocks_on_retrieve: Option<bool>,
    block_data_expiry: Option<bool>,
    block_data_expiry_after: Option<Nanos>,
    write_indexing_per_cpu: Option<f64>,
    flush_indexing_per_cpu: Option<f64>,
    extended: Option<Extended>,
    schema_options: Option<IgnoredAny>,
    series_max: Option<u32>,
    new_series_per_second_max: Option<u32>,
}

#[cfg(test)]
pub(super) const KEYS: [&str; 30] = [
    "name",
    "retention",
    "future_retention",
    "block_size",
    "buffer_past",
    "buffer_future",
    "shards",
    "cold_writes",
    "bootstrap",
    "flush",
    "snapshot",
    "cleanup",
    "repair",
    "commit_log",
    "index",
    "index_block_size",
    "do_not_index",
    "truncate_time",
    "force_value",
    "aggregations",
    "staging",
    "cache_blocks_on_retrieve",
    "block_data_expiry",
    "block_data_expiry_after",
    "write_indexing_per_cpu",
    "flush_indexing_per_cpu",
    "extended",
    "schema_options",
    "series_max",
    "new_series_per_second_max",
];

impl NamespaceSection {
    fn into_configured(self, base: &NamespaceOptions) -> ConfiguredNamespace {
        let ns = |span: Option<Nanos>, base: i64| span.map_or(base, |span| span.0);
        let staging = self.staging.map(|staging| match staging {
            Staging::Unknown => StagingState::Unknown,
            Staging::Initializing => StagingState::Initializing,
            Staging::Ready => StagingState::Ready,
        });
        let aggregations = self.aggregations.map(|all| all.into_iter().map(Into::into).collect());
        let options = NamespaceOptions {
            retention_ns: ns(self.retention, base.retention_ns),
            future_retention_ns: ns(self.future_retention, base.future_retention_ns),
            buffer_past_ns: ns(self.buffer_past, base.buffer_past_ns),
            buffer_future_ns: ns(self.buffer_future, base.buffer_future_ns),
            cold_writes_enabled: self.cold_writes.unwrap_or(base.cold_writes_enabled),
            bootstrap_enabled: self.bootstrap.unwrap_or(base.bootstrap_enabled),
            flush_enabled: self.flush.unwrap_or(base.flush_enabled),
            snapshot_enabled: self.snapshot.unwrap_or(base.snapshot_enabled),
            cleanup_enabled: self.cleanup.unwrap_or(base.cleanup_enabled),
            repair_enabled: self.repair.unwrap_or(base.repair_enabled),
            writes_to_commit_log: self.commit_log.unwrap_or(base.writes_to_commit_log),
            index: IndexOptions {
                enabled: self.index.unwrap_or(base.index.enabled),
                block_size_ns: ns(self.index_block_size, base.index.block_size_ns),
                do_not_index: self.do_not_index.into_iter().map(|matcher| matcher.0).collect(),
            },
            transforms: WriteTransforms {
                truncate_time: self.truncate_time.map(|truncate| truncate.0),
                force_value: self.force_value,
            },
            aggregations: aggregations.unwrap_or_else(|| base.aggregations.clone()),
            staging_state: staging.unwrap_or(base.staging_state),
            caching: CachingOptions {
                cache_blocks_on_retrieve: self
                    .cache_blocks_on_retrieve
                    .unwrap_or(base.caching.cache_blocks_on_retrieve),
                block_data_expiry: self.block_data_expiry.unwrap_or(base.caching.block_data_expiry),
                block_data_expiry_after_ns: ns(
                    self.block_data_expiry_after,
                    base.caching.block_data_expiry_after_ns,
                ),
            },
            runtime: RuntimeOptions {
                write_indexing_per_cpu: self.write_indexing_per_cpu,
                flush_indexing_per_cpu: self.flush_indexing_per_cpu,
            },
            extended: match self.extended {
                Some(Extended { type_name, value }) => {
                    Some(ExtendedOptions { type_name, value: value.into_bytes() })
                }
                None => base.extended.clone(),
            },
            series_max: self.series_max.unwrap_or(base.series_max),
            new_series_per_second_max: self
                .new_series_per_second_max
                .unwrap_or(base.new_series_per_second_max),
            ..base.clone()
        };
        let block_size_ns = self.block_size.map(|span| span.0);
        ConfiguredNamespace { options, block_size_ns, shard_count: self.shards }
    }
}

/// The namespaces of configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamespaceSections(Vec<NamespaceSection>);

impl NamespaceSections {
    /// # Errors
    /// A name that stands twice, or not at all.
    pub(super) fn new(sections: Vec<NamespaceSection>) -> anyhow::Result<Self> {
        for (at, section) in sections.iter().enumerate() {
            let name = &section.name;
            if name.is_empty() {
                anyhow::bail!("namespaces: entry {} has no name", at + 1);
            }
            if sections[..at].iter().any(|other| other.name == *name) {
                anyhow::bail!("namespaces: {name:?} stands there twice");
            }
            if section.schema_options.is_some() {
                anyhow::bail!(
                    "namespaces: {name:?}: schema_options: namespaces of protobuf messages are \
                     not supported"
                );
            }
            // Wrong options end the start before anything is opened.
            let options = section.clone().into_configured(&NamespaceOptions::default());
            options.validate().map_err(|e| anyhow::anyhow!("namespaces: {name:?}: {e}"))?;
        }
        Ok(Self(sections))
    }

    /// By name; what an entry leaves out is as `base` has it.
    pub(crate) fn configured(
        &self,
        base: &NamespaceOptions,
    ) -> BTreeMap<String, ConfiguredNamespace> {
        let all = self.0.iter().cloned();
        all.map(|section| (section.name.clone(), section.into_configured(base))).collect()
    }
}
