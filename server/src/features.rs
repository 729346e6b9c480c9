//! Features that `--enable-feature` and `--disable-feature` switch, by Prometheus's names.
//!
//! What Prometheus calls experimental in PromQL is on here, unless it is switched off.

use std::collections::BTreeMap;

use m3rs_query::engine::EngineOptions;
use m3rs_query::promql::{ParseLimits, ParseOptions, functions};

/// What can be switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    experimental_functions: bool,
    extended_range_selectors: bool,
    fill_modifiers: bool,
    delayed_name_removal: bool,
    start_timestamps: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            delayed_name_removal: false,
            start_timestamps: true,
        }
    }
}

/// Prometheus's features that are always on here.
const ALWAYS_ON: &[&str] = &[
    "exemplar-storage",
    "metadata-wal-records",
    "native-histograms",
    "ooo-native-histograms",
    "promql-duration-expr",
    "promql-per-step-stats",
    "st-storage",
];

/// Prometheus's features about what is not here, or is done in another way.
const WITHOUT_MEANING: &[&str] = &[
    "auto-reload-config",
    "concurrent-rule-eval",
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "extra-scrape-metrics",
    "fast-startup",
    "histograms-st-encoding",
    "memory-snapshot-on-shutdown",
    "old-ui",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "search-api",
    "st-synthesis",
    "type-and-unit-labels",
    "use-uncached-io",
    "xor2-encoding",
];

/// Prometheus's features of the HTTP API that are here.
const API: &[&str] = &[
    "exclude_alerts",
    "label_values_match",
    "query_stats",
    "query_warnings",
    "remote_write_receiver",
    "time_range_labels",
    "time_range_series",
];

/// Prometheus's features of queries that nothing switches off.
const PROMQL: &[&str] = &[
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "end",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "per_step_stats",
    "start",
    "subqueries",
    "without",
];

/// What is to be told of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is on whatever one says.
    AlwaysOn,
    /// It changes nothing.
    WithoutMeaning,
    /// Nobody knows it.
    Unknown,
}

impl Features {
    /// The defaults, with some features switched on and then some switched off. Names are separated
    /// by commas. `tell` is told of each name that switches nothing, with its flag.
    pub(crate) fn new(
        enabled: &[String],
        disabled: &[String],
        mut tell: impl FnMut(Notice, &'static str, &str),
    ) -> Self {
        let mut features = Self::default();
        let lists = [(enabled, "--enable-feature", true), (disabled, "--disable-feature", false)];
        for (list, flag, value) in lists {
            let names = list.iter().flat_map(|names| names.split(','));
            for name in names.map(str::trim).filter(|name| !name.is_empty()) {
                match features.switch(name) {
                    Some(switch) => *switch = value,
                    None => tell(notice(name), flag, name),
                }
            }
        }
        features
    }

    fn switch(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "promql-experimental-functions" => &mut self.experimental_functions,
            "promql-extended-range-selectors" => &mut self.extended_range_selectors,
            "promql-binop-fill-modifiers" => &mut self.fill_modifiers,
            "promql-delayed-name-removal" => &mut self.delayed_name_removal,
            "use-start-timestamps" => &mut self.start_timestamps,
            _ => return None,
        })
    }

    /// Prometheus's features by category, as its API tells them; those that are about what m3rs
    /// does not do are off.
    pub(crate) fn told(self) -> BTreeMap<&'static str, BTreeMap<&'static str, bool>> {
        let on = |names: &[&'static str]| -> BTreeMap<&'static str, bool> {
            names.iter().map(|name| (*name, true)).collect()
        };
        let mut api = on(API);
        api.extend([("admin", false), ("lifecycle", false), ("search", false)]);
        let mut promql = on(PROMQL);
        promql.extend([
            ("anchored", self.extended_range_selectors),
            ("smoothed", self.extended_range_selectors),
            ("fill", self.fill_modifiers),
            ("fill_left", self.fill_modifiers),
            ("fill_right", self.fill_modifiers),
            ("delayed_name_removal", self.delayed_name_removal),
            ("type_and_unit_labels", false),
        ]);
        let functions = functions()
            .map(|(name, is_experimental)| (name, !is_experimental || self.experimental_functions));
        let tsdb = on(&["exemplar_storage", "native_histograms", "st_storage"]);
        [
            ("api", api),
            ("promql", promql),
            ("promql_functions", functions.collect()),
            ("tsdb", tsdb),
        ]
        .into()
    }

    /// What the parser takes.
    pub(crate) fn parse_options(self, limits: ParseLimits) -> ParseOptions {
        ParseOptions {
            limits,
            experimental_functions: self.experimental_functions,
            extended_selectors: self.extended_range_selectors,
            fill_modifiers: self.fill_modifiers,
            ..ParseOptions::default()
        }
    }

    /// How the engine evaluates.
    pub(crate) fn apply(self, options: EngineOptions) -> EngineOptions {
        EngineOptions {
            delays_name_removal: self.delayed_name_removal,
            uses_start_timestamps: self.start_timestamps,
            ..options
        }
    }
}

fn notice(name: &str) -> Notice {
    if ALWAYS_ON.contains(&name) {
        Notice::AlwaysOn
    } else if WITHOUT_MEANING.contains(&name) {
        Notice::WithoutMeaning
    } else {
        Notice::Unknown
    }
}

/// Logs a name that switches nothing. PARITY(prometheus): unknown names do not end the start.
pub(crate) fn log(notice: Notice, flag: &'static str, name: &str) {
    match notice {
        Notice::AlwaysOn => tracing::warn!(option = name, "Option for {flag} is always on"),
        Notice::WithoutMeaning => {
            tracing::warn!(option = name, "Option for {flag} has no meaning in m3rs");
        }
        Notice::Unknown => tracing::warn!(option = name, "Unknown option for {flag}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use m3rs_core::fs::{DiskFs, Fs};

    use super::*;

    fn features(enabled: &str, disabled: &str) -> (Features, Vec<(Notice, &'static str, String)>) {
        let mut told = Vec::new();
        let lists = [[enabled.to_owned()], [disabled.to_owned()]];
        let features = Features::new(&lists[0], &lists[1], |notice, flag, name| {
            told.push((notice, flag, name.to_owned()));
        });
        (features, told)
    }

    #[test]
    fn names_switch_what_they_name() {
        assert_eq!(features("", ""), (Features::default(), vec![]));
        let all = "promql-experimental-functions,promql-extended-range-selectors,\
                   promql-binop-fill-modifiers, promql-delayed-name-removal,use-start-timestamps";
        let (on, told) = features(all, "");
        assert!(on.delayed_name_removal && on.experimental_functions && told.is_empty());
        let (off, told) = features(all, all);
        assert!(told.is_empty());
        let options = off.parse_options(ParseLimits::default());
        assert!(!options.experimental_functions && !options.extended_selectors);
        assert!(!options.fill_modifiers && options.duration_expressions);
        let engine = off.apply(EngineOptions::default());
        assert!(!engine.delays_name_removal && !engine.uses_start_timestamps);
    }

    #[test]
    fn every_name_is_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/features.md");
        let page = DiskFs.read(Path::new(page)).expect("the page");
        let page = String::from_utf8(page).expect("text");
        for name in ALWAYS_ON.iter().chain(WITHOUT_MEANING) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut count = 0;
        for name in rows {
            assert!(Features::default().switch(name).is_some(), "{name}");
            count += 1;
        }
        assert_eq!(count, 5);
    }

    #[test]
    fn names_that_switch_nothing_are_told() {
        let (same, told) = features("exemplar-storage,nope", "old-ui,promql-duration-expr");
        assert_eq!(same, Features::default());
        let (on, off) = ("--enable-feature", "--disable-feature");
        let wanted = [
            (Notice::AlwaysOn, on, "exemplar-storage"),
            (Notice::Unknown, on, "nope"),
            (Notice::WithoutMeaning, off, "old-ui"),
            (Notice::AlwaysOn, off, "promql-duration-expr"),
        ];
        assert_eq!(told, wanted.map(|(notice, flag, name)| (notice, flag, name.to_owned())));
    }
}
