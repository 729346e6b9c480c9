//! The configuration file of `m3rs server`: the limits that an operator may change, and namespaces.
//!
//! Keys have the names by which errors call the limits. What a file leaves out keeps its default.

mod namespaces;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use m3rs_coordinator::ingest::{
    DeltaTemporality, OtlpConfig, RelabelConfig, Relabeler, TranslationStrategy,
};
use m3rs_coordinator::limits::{Limits, ServeLimits};
use m3rs_core::config::{Environment, from_file};
use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::time::duration::DurationNs;
use m3rs_query::promql::ParseLimits;
use serde::{Deserialize, Deserializer};

pub(crate) use namespaces::NamespaceSections;

use namespaces::NamespaceSection;

/// All limits of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Of the edge.
    pub(crate) edge: Limits,
    /// Of connections.
    pub(crate) serve: ServeLimits,
    /// Of query texts.
    pub(crate) parse: ParseLimits,
    /// Of the query engine.
    pub(crate) query: m3rs_query::limits::Limits,
    /// Of storage.
    pub(crate) storage: m3rs_tsdb::Limits,
    /// Namespaces, and how they keep samples.
    pub(crate) namespaces: NamespaceSections,
    /// What is made of the labels of written series.
    pub(crate) relabel: Vec<RelabelConfig>,
    /// The file as it is written; empty if there is none.
    pub(crate) text: String,
    /// How OTLP becomes series.
    pub(crate) otlp: OtlpConfig,
}

impl Settings {
    /// The rules of relabelling.
    ///
    /// # Errors
    /// The first rule that cannot be.
    pub(crate) fn relabeler(&self) -> anyhow::Result<Relabeler> {
        Relabeler::new(&self.relabel).map_err(|(i, error)| {
            anyhow::Error::new(error)
                .context(format!("ingest.write_relabel_configs, rule {}", i + 1))
        })
    }

    /// Reads `path`; without one these are the defaults.
    ///
    /// # Errors
    /// A file that cannot be read, or a key or value that is not known, with file and line.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let mut settings = Self::default();
        if let Some(path) = path {
            let file: SettingsFile = from_file(&DiskFs, path, &Environment::of_process())?;
            file.apply(&mut settings)?;
            settings.relabeler()?;
            let text =
                DiskFs.read(path).with_context(|| format!("cannot read {}", path.display()))?;
            settings.text = String::from_utf8_lossy(&text).into_owned();
        }
        Ok(settings)
    }
}

/// A file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SettingsFile {
    ingest: Ingest,
    otlp: Otlp,
    metadata: Metadata,
    query: Query,
    read: Read,
    http: Http,
    limits: Storage,
    namespaces: Vec<NamespaceSection>,
}

/// A duration as Prometheus writes it.
#[derive(Clone, Copy, Debug)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = DurationNs::parse_prometheus(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(Duration::from_nanos(span.0.unsigned_abs())))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

/// Declares a section of the file and which limit each of its keys sets.
macro_rules! section {
    ($name:ident { $($key:ident: $kind:ty => $($target:ident).+),+ $(,)? }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct $name { $($key: Option<$kind>),+ }

        impl $name {
            fn apply(self, settings: &mut Settings) {
                $(if let Some(value) = self.$key { settings.$($target).+ = value.into(); })+
            }

            #[cfg(test)]
            const KEYS: &[&str] = &[$(stringify!($key)),+];
        }
    };
}

section!(Ingest {
    body_bytes_max: usize => edge.write.body_bytes_max,
    decoded_bytes_max: usize => edge.write.decoded_bytes_max,
    line_bytes_max: usize => edge.write.line_bytes_max,
    piece_bytes_max: usize => edge.write.piece_bytes_max,
    in_flight_max: usize => edge.write.in_flight_max,
    body_timeout: Span => edge.write.body_timeout,
    refusals_told_max: usize => edge.write.refusals_told_max,
    labels_max: usize => edge.write.labels.labels_max,
    label_name_bytes_max: usize => edge.write.labels.name_bytes_max,
    label_value_bytes_max: usize => edge.write.labels.value_bytes_max,
    label_set_bytes_max: usize => edge.write.labels.set_bytes_max,
    symbols_max: usize => edge.write.labels.symbols_max,
    write_relabel_configs: Vec<RelabelConfig> => relabel,
});

section!(Otlp {
    promote_resource_attributes: Vec<String> => otlp.promote_resource_attributes,
    promote_all_resource_attributes: bool => otlp.promote_all_resource_attributes,
    ignore_resource_attributes: Vec<String> => otlp.ignore_resource_attributes,
    translation_strategy: TranslationStrategy => otlp.translation_strategy,
    keep_identifying_resource_attributes: bool => otlp.keep_identifying_resource_attributes,
    convert_histograms_to_nhcb: bool => otlp.convert_histograms_to_nhcb,
    promote_scope_metadata: bool => otlp.promote_scope_metadata,
    label_name_underscore_sanitization: bool => otlp.label_name_underscore_sanitization,
    label_name_preserve_multiple_underscores: bool =>
        otlp.label_name_preserve_multiple_underscores,
    delta_temporality: DeltaTemporality => otlp.delta_temporality,
    delta_state_bytes_max: u64 => edge.otlp.delta_state_bytes_max,
    delta_idle: Span => edge.otlp.delta_idle,
    attribute_depth_max: usize => edge.otlp.attribute_depth_max,
    target_info_samples_max: u64 => edge.otlp.target_info_samples_max,
});

section!(Metadata {
    families_max: usize => storage.metadata.families_max,
    entries_per_family_max: usize => storage.metadata.entries_per_family_max,
    text_bytes_max: usize => storage.metadata.text_bytes_max,
});

section!(Query {
    text_bytes_max: usize => edge.query.text_bytes_max,
    concurrent_max: usize => edge.query.concurrent_max,
    queue_timeout: Span => edge.query.queue_timeout,
    timeout: Span => edge.query.timeout,
    body_bytes_max: usize => edge.query.body_bytes_max,
    selectors_max: usize => edge.query.selectors_max,
    exemplar_series_max: usize => edge.query.exemplar_series_max,
    export_series_max: usize => edge.query.export_series_max,
    federate_series_max: usize => edge.query.federate_series_max,
    result_cache_bytes: u64 => edge.query.result_cache_bytes,
    log_slower_than: Span => edge.query.log_slower_than,
    history_texts_max: usize => edge.query.history_texts_max,
    nesting_max: usize => parse.nesting_max,
    operators_max: usize => parse.operators_max,
    depth_max: usize => query.depth_max,
    steps_max: usize => query.steps_max,
    subquery_steps_max: usize => query.subquery_steps_max,
    series_max: usize => query.series_max,
    samples_max: u64 => query.samples_max,
    memory_max: u64 => query.memory_bytes_max,
});

section!(Read {
    concurrent_max: usize => edge.read.concurrent_max,
    body_bytes_max: usize => edge.read.body_bytes_max,
    queries_max: usize => edge.read.queries_max,
    matchers_max: usize => edge.read.matchers_max,
    series_max: usize => edge.read.series_max,
    samples_max: u64 => edge.read.samples_max,
    frame_bytes_max: usize => edge.read.frame_bytes_max,
});

section!(Http {
    connections_max: usize => serve.connections_max,
    header_timeout: Span => serve.header_timeout,
    headers_max: usize => serve.headers_max,
    read_buffer_bytes_max: usize => serve.read_buffer_bytes_max,
    drain_timeout: Span => serve.drain_timeout,
    streams_max: u32 => serve.streams_max,
    bodies_bytes_max: usize => edge.bodies_bytes_max,
    write_timeout: Span => serve.write_timeout,
});

section!(Storage {
    namespaces_max: usize => storage.namespaces_max,
    series_max: u32 => storage.series_max,
    new_series_per_second_max: u32 => storage.new_series_per_second_max,
    disk_floor_bytes_max: u64 => storage.disk_floor_bytes_max,
    persist_bytes_per_second_max: u64 => storage.persist_bytes_per_second_max,
    scrub_bytes_per_second_max: u64 => storage.scrub_bytes_per_second_max,
    windows_max: usize => storage.windows_max,
    log_pending_bytes_max: usize => storage.log_pending_bytes_max,
    log_uncovered_bytes_max: u64 => storage.log_uncovered_bytes_max,
    encodings_per_series_max: usize => storage.encodings_per_series_max,
    open_filesets_max: usize => storage.open_filesets_max,
    cache_decoded_bytes: u64 => storage.cache_decoded_bytes,
    cache_postings_bytes: u64 => storage.cache_postings_bytes,
    cache_labels_bytes: u64 => storage.cache_labels_bytes,
    active_sets_bytes: u64 => storage.active_sets_bytes,
});

impl SettingsFile {
    fn apply(self, settings: &mut Settings) -> anyhow::Result<()> {
        settings.namespaces = NamespaceSections::new(self.namespaces)?;
        self.ingest.apply(settings);
        self.otlp.apply(settings);
        settings.otlp = std::mem::take(&mut settings.otlp).checked().context("otlp")?;
        self.metadata.apply(settings);
        self.query.apply(settings);
        self.read.apply(settings);
        self.http.apply(settings);
        self.limits.apply(settings);
        // Limits with two holders: the edge refuses early what the others would refuse later.
        settings.query.time_max = settings.edge.query.timeout;
        settings.parse.bytes_max = settings.edge.query.text_bytes_max;
        settings.edge.query.points_max = settings.query.steps_max as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<Settings> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("m3rs.yml");
        DiskFs.create(&path)?.write_all(text.as_bytes())?;
        Settings::load(Some(&path))
    }

    #[test]
    fn keys_set_their_limits() {
        let text = "ingest:\n  labels_max: 7\nquery:\n  timeout: 90s\n  series_max: 5\n\
                    limits:\n  series_max: 9\nhttp:\n  drain_timeout: 1m30s\n";
        let settings = load(text).expect("valid");
        assert_eq!(settings.edge.write.labels.labels_max, 7);
        assert_eq!(settings.edge.query.timeout, Duration::from_secs(90));
        assert_eq!(settings.query.time_max, Duration::from_secs(90));
        assert_eq!((settings.query.series_max, settings.storage.series_max), (5, 9));
        assert_eq!(settings.serve.drain_timeout, Duration::from_secs(90));
        assert_eq!(settings.edge.write.body_bytes_max, Limits::default().write.body_bytes_max);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, place, told) in [
            ("query:\n  serie_max: 5\n", "m3rs.yml:2:", "serie_max"),
            ("query:\n  timeout: soon\n", "m3rs.yml:2:", "soon"),
            ("limits:\n  series_max: -1\n", "m3rs.yml:2:15: ", "u32"),
            ("ingest:\n  write_relabel_configs:\n    - acton: drop\n", "m3rs.yml:3:", "acton"),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(place) && error.contains(told), "{error}");
        }
        assert!(Settings::load(Some(Path::new("/none/such.yml"))).is_err());
    }

    #[test]
    fn otlp_is_read_and_checked() {
        let text = "otlp:\n  translation_strategy: NoUTF8EscapingWithSuffixes\n\
                    \x20 promote_resource_attributes: [k8s.pod.name]\n\
                    \x20 delta_temporality: as_is\n  delta_idle: 5m\n";
        let settings = load(text).expect("valid");
        let strategy = TranslationStrategy::NoUTF8EscapingWithSuffixes;
        assert_eq!(settings.otlp.translation_strategy, strategy);
        assert_eq!(settings.otlp.promote_resource_attributes, ["k8s.pod.name"]);
        assert_eq!(settings.otlp.delta_temporality, DeltaTemporality::AsIs);
        assert_eq!(settings.edge.otlp.delta_idle, Duration::from_secs(300));
        for (text, told) in [
            ("  ignore_resource_attributes: [a]\n", "cannot be configured unless"),
            ("  translation_strategy: Underscores\n", "Underscores"),
            ("  delta: as_is\n", "delta"),
        ] {
            let error = format!("{:#}", load(&format!("otlp:\n{text}")).expect_err(text));
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn namespaces_are_read_and_checked() {
        let text = "namespaces:\n  - name: default\n    retention: 90d\n\
                    \x20 - name: hourly:1y\n    retention: 1y\n    block_size: 1d\n    shards: 8\n\
                    \x20   cold_writes: false\n    commit_log: false\n    truncate_time: 1m\n\
                    \x20   do_not_index: ['job!=\"x\"', '{a=~\"b.*\"}']\n\
                    \x20   aggregations: [{resolution: 1h, downsample: rules}]\n\
                    \x20   staging: ready\n    extended: {type: t, value: \"{}\"}\n\
                    \x20 - name: short\n    retention: 1h\n    buffer_past: 1m\n";
        let settings = load(text).expect("valid");
        let base = m3rs_tsdb::NamespaceOptions { retention_ns: 7, ..Default::default() };
        let all = settings.namespaces.configured(&base);
        let day = 24 * 3600 * 1_000_000_000;
        assert_eq!(all["default"].options.retention_ns, 90 * day);
        assert_eq!((all["default"].block_size_ns, all["default"].shard_count), (None, None));
        let hourly = &all["hourly:1y"];
        assert_eq!((hourly.block_size_ns, hourly.shard_count), (Some(day), Some(8)));
        let options = &hourly.options;
        assert!(!options.cold_writes_enabled && !options.writes_to_commit_log);
        assert!(options.flush_enabled && options.index.enabled);
        let hidden: Vec<String> =
            options.index.do_not_index.iter().map(ToString::to_string).collect();
        assert_eq!(hidden, ["job!=\"x\"", "a=~\"b.*\""]);
        let truncate = options.transforms.truncate_time;
        assert_eq!(truncate, Some(m3rs_tsdb::TruncateTime::Unit(60 * 1_000_000_000)));
        let aggregation = m3rs_tsdb::Aggregation::Aggregated {
            resolution_ns: day / 24,
            downsample: m3rs_tsdb::Downsample::ByRules,
        };
        assert_eq!(options.aggregations, [aggregation]);
        assert_eq!(options.staging_state, m3rs_tsdb::StagingState::Ready);
        let extended = options.extended.as_ref().expect("it is said");
        assert_eq!((extended.type_name.as_str(), &extended.value[..]), ("t", &b"{}"[..]));
        // Less than a new namespace's block, but the one that is there may have shorter ones.
        assert_eq!(all["short"].options.retention_ns, day / 24);
        for (text, told) in [
            ("  - retention: 1d\n", "no name"),
            ("  - name: a\n  - name: a\n", "twice"),
            ("  - name: a\n    block_size: 2h\n    retention: 1h\n", "block_size, 2h"),
            ("  - name: a\n    shards: 0\n", "shards"),
            ("  - name: a\n    do_not_index: ['a=~\"(\"']\n", "parsing regexp"),
            ("  - name: a\n    schema_options: {}\n", "protobuf messages"),
            ("  - name: a\n    do_not_index: ['a=\"b\",c=\"d\"']\n", "not one matcher"),
            ("  - name: a\n    retentoin: 1h\n", "retentoin"),
            ("  - name: a\n    staging: soon\n", "soon"),
        ] {
            let error = format!("{:#}", load(&format!("namespaces:\n{text}")).expect_err(text));
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn every_key_is_documented() {
        let read = |name: &str| {
            let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).join(name);
            String::from_utf8(DiskFs.read(&page).expect("the page")).expect("text")
        };
        // What is no limit stands where the protocol does.
        let page = read("operate/limits.md") + &read("api/http.md");
        for key in namespaces::KEYS {
            assert!(page.contains(&format!("| `{key}` |")), "namespaces: {key}");
        }
        for (section, keys) in [
            ("ingest", Ingest::KEYS),
            ("otlp", Otlp::KEYS),
            ("metadata", Metadata::KEYS),
            ("query", Query::KEYS),
            ("read", Read::KEYS),
            ("http", Http::KEYS),
            ("limits", Storage::KEYS),
        ] {
            for key in keys {
                assert!(page.contains(&format!("`{section}.{key}`")), "{section}.{key}");
            }
        }
    }
}
