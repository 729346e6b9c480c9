//! Selectors with their matchers.

use super::Grammar;
use crate::tree::{Kind, Node};

/// Metrics, the frequent ones more than once.
const METRICS: &[&str] = &[
    "requests_total",
    "requests_total",
    "errors_total",
    "temperature",
    "temperature",
    "queue",
    "queue",
    "wild",
    "special",
    "owner",
    "target_info",
    "build_info",
    "sort",
    "odd_bucket",
    "no_inf_bucket",
    "latency_bucket",
    "latency_sum",
    "latency_count",
    "no_such_metric",
];

/// Metrics of native histograms.
const HISTOGRAMS: &[&str] =
    &["native", "native_float", "native_gauge", "native_custom", "native_mixed"];

/// Labels and their values.
const VALUES: &[(&str, &[&str])] = &[
    ("job", &["api", "web", ""]),
    ("instance", &["a", "b", "c"]),
    ("code", &["200", "500", ""]),
    ("kind", &["x", "y", "z"]),
    ("le", &["1", "+Inf", "0.5"]),
    ("id", &["v1", "v10", ""]),
    ("none", &["", "x"]),
];

/// Regular expressions that match some of the values.
const PATTERNS: &[&str] = &[
    ".*", ".+", "a|b", "a.*", "[ab]", "api|web", "w?eb|x", "", "200|", "(?i)API", "v\\\\d+",
    "x|y|", "[^a]", "..", "a|b|c|d",
];

impl Grammar<'_> {
    /// An instant selector with its modifiers.
    pub(super) fn selector(&mut self) -> Node {
        let (name, matchers) = (self.metric(), self.matchers());
        let modifiers = self.modifiers();
        Node::leaf(Kind::Vector, name).optional(matchers).optional(modifiers)
    }

    /// A range selector with its modifiers.
    pub(super) fn range_selector(&mut self) -> Node {
        let (name, matchers, range) = (self.metric(), self.matchers(), self.range());
        let modifiers = self.modifiers();
        let edges = match self.dice.below(20) {
            0 => " anchored",
            1 => " smoothed",
            _ => "",
        };
        Node::leaf(Kind::Matrix, name)
            .optional(matchers)
            .text(format!("[{range}]"))
            .optional(edges)
            .optional(modifiers)
    }

    /// A metric by its name, or by a matcher of names.
    fn metric(&mut self) -> String {
        if self.dice.one_in(4) {
            return self.dice.pick(HISTOGRAMS).to_owned();
        }
        match self.dice.below(30) {
            0 => "{__name__=~\"queue|owner\"}".to_owned(),
            1 => "{\"http.requests\"}".to_owned(),
            2 => "{\"http.requests\", \"server.name\"!=\"a\"}".to_owned(),
            3 => "{__name__=~\".*_total\", job=\"api\"}".to_owned(),
            4 => "{job=\"api\"}".to_owned(),
            5 if self.dice.one_in(4) => "{}".to_owned(),
            6 if self.dice.one_in(4) => "{job=~\".*\"}".to_owned(),
            _ => self.dice.pick(METRICS).to_owned(),
        }
    }

    /// `{...}`, or nothing.
    fn matchers(&mut self) -> String {
        if self.dice.below(5) < 3 {
            return String::new();
        }
        let count = 1 + self.dice.below(2);
        let matchers: Vec<String> = (0..count).map(|_| self.matcher()).collect();
        let comma = if self.dice.one_in(20) { "," } else { "" };
        format!("{{{}{comma}}}", matchers.join(", "))
    }

    fn matcher(&mut self) -> String {
        let (name, values) = VALUES[self.dice.below(VALUES.len())];
        let name = if self.dice.one_in(20) { format!("\"{name}\"") } else { name.to_owned() };
        let op = self.dice.pick(&["=", "=", "!=", "=~", "!~"]);
        let value =
            if op.ends_with('~') { self.dice.pick(PATTERNS) } else { self.dice.pick(values) };
        format!("{name}{op}\"{value}\"")
    }
}
