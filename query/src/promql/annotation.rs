//! Warnings and infos that accompany a result, in Prometheus's words, with positions.

use std::collections::BTreeMap;

use super::ast::{AggregateOp, BinaryOp, Span};
use super::function::native::RangeNote;
use super::print::quote::quote;
use crate::histogram::Skew;
use crate::number::general;

/// Something the user should know about the result, at a place in the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Note<'a> {
    /// A quantile outside of 0..=1.
    InvalidQuantile(f64),
    /// A ratio outside of -1..=1 and what it was taken for.
    InvalidRatio(f64, f64),
    /// A series of a classic histogram without a usable bound.
    BadBucketLabel {
        /// The metric, or nothing.
        name: &'a str,
        /// The value of the label.
        le: &'a str,
    },
    /// `sort` in a range query.
    SortInRangeQuery,
    /// `rate` of a metric that is not named like a counter.
    PossibleNonCounter(&'a str),
    /// A group of an aggregation holds floats and histograms.
    MixedKindsInAggregation,
    /// Series of a classic and a native histogram have the same labels.
    MixedClassicAndNative {
        /// The metric, or nothing.
        name: &'a str,
    },
    /// Something about the native histograms of a metric.
    Range {
        /// What it is.
        what: RangeNote,
        /// The metric.
        name: &'a str,
    },
    /// An operator between exponential and custom buckets.
    IncompatibleLayouts(BinaryOp),
    /// An operator between kinds of values that it is not for.
    IncompatibleKinds {
        /// The left kind.
        lhs: ValueKind,
        /// The operator.
        op: BinaryOp,
        /// The right kind.
        rhs: ValueKind,
    },
    /// An aggregation of floats that left histograms out.
    IgnoredInAggregation(AggregateOp),
    /// What NaN among observations did to a result.
    Skewed {
        /// What it did.
        skew: Skew,
        /// The metric, or nothing.
        name: &'a str,
    },
}

/// The kind of a sample's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Float,
    Histogram,
}

impl ValueKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Histogram => "histogram",
        }
    }
}

impl Note<'_> {
    /// Whether it is a warning, and its text.
    fn text(&self) -> (bool, String) {
        match *self {
            Self::InvalidQuantile(q) => {
                (true, format!("quantile value should be between 0 and 1, got {}", general(q)))
            }
            Self::InvalidRatio(got, capped) => {
                let (got, capped) = (general(got), general(capped));
                let text = "ratio value should be between -1 and 1, got";
                (true, format!("{text} {got}, capping to {capped}"))
            }
            Self::BadBucketLabel { name, le } => {
                let le = quote(le);
                let text = "bucket label \"le\" is missing or has a malformed value of";
                (true, format!("{text} {le}{}", of_metric(name)))
            }
            Self::SortInRangeQuery => {
                let text = "sort is ineffective for range queries since results are always \
                            ordered by labels";
                (true, text.to_owned())
            }
            Self::PossibleNonCounter(name) => {
                let text = "metric might not be a counter, name does not end in \
                            _total/_sum/_count/_bucket:";
                (false, format!("{text} {}", quote(name)))
            }
            Self::MixedKindsInAggregation => {
                (true, "encountered a mix of histograms and floats for aggregation".to_owned())
            }
            Self::MixedClassicAndNative { name } => {
                let text = "vector contains a mix of classic and native histograms";
                (true, format!("{text}{}", of_metric(name)))
            }
            Self::Range { what, name } => of_range(what, name),
            Self::IncompatibleLayouts(op) => {
                let text = "incompatible bucket layout encountered for binary operator";
                (true, format!("{text} {}", op.as_str()))
            }
            Self::IncompatibleKinds { lhs, op, rhs } => {
                let (lhs, op, rhs) = (lhs.as_str(), op.as_str(), rhs.as_str());
                let text = "incompatible sample types encountered for binary operator";
                (false, format!("{text} \"{op}\": {lhs} {op} {rhs}"))
            }
            Self::IgnoredInAggregation(op) => {
                (false, format!("ignored histogram in {} aggregation", op.as_str()))
            }
            Self::Skewed { skew, name } => {
                let text = match skew {
                    Skew::QuantileIsNan => {
                        "input to histogram_quantile has NaN observations, result is NaN"
                    }
                    Skew::QuantileIsHigher => {
                        "input to histogram_quantile has NaN observations, result is skewed higher"
                    }
                    Skew::NotInShares => {
                        "input to histogram_fraction has NaN observations, which are excluded \
                         from all fractions"
                    }
                };
                (false, format!("{text}{}", of_metric(name)))
            }
        }
    }
}

/// A note on the native histograms of a metric.
fn of_range(what: RangeNote, name: &str) -> (bool, String) {
    let of_name = |text: &str| format!("{text} {}", quote(name));
    match what {
        RangeNote::MixedKinds => {
            (true, of_name("encountered a mix of histograms and floats for metric name"))
        }
        RangeNote::MixedBuckets => (
            true,
            of_name(
                "vector contains a mix of histograms with exponential and custom buckets schemas \
                 for metric name",
            ),
        ),
        RangeNote::NotCounter => (true, of_name("this native histogram metric is not a counter:")),
        RangeNote::NotGauge => (true, of_name("this native histogram metric is not a gauge:")),
        RangeNote::Ignored => (
            false,
            of_name(
                "ignored histograms in a range containing both floats and histograms for metric \
                 name",
            ),
        ),
        RangeNote::ResetCollision(of) => {
            (true, format!("conflicting counter resets during histogram {}", of.as_str()))
        }
        RangeNote::Reconciled(of) => {
            (false, format!("mismatched custom buckets were reconciled during {}", of.as_str()))
        }
        RangeNote::StartOverlap => (true, format!("{OVERLAP} {}", quote(name))),
    }
}

/// How the warning of start timestamps that overlap starts.
const OVERLAP: &str =
    "sample has start time that overlaps with previous sample timestamp for metric";

/// Which of two notes of the same text is shown: the one that Prometheus comes to last, as the
/// parts of an expression are evaluated before the whole, and from left to right.
fn is_later(a: Span, b: Span) -> bool {
    let is_around = |a: Span, b: Span| a.start <= b.start && a.end >= b.end;
    match (is_around(a, b), is_around(b, a)) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => a.start > b.start,
    }
}

/// Buckets that were made monotonic, over all series and steps of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForcedMonotonicity {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) bucket_min: f64,
    pub(crate) bucket_max: f64,
    pub(crate) diff_max: f64,
    pub(crate) count: i64,
}

impl ForcedMonotonicity {
    pub(crate) fn merge(&mut self, other: Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.bucket_min = self.bucket_min.min(other.bucket_min);
        self.bucket_max = self.bucket_max.max(other.bucket_max);
        self.diff_max = self.diff_max.max(other.diff_max);
        self.count = self.count.wrapping_add(other.count);
    }
}

/// The annotations of one query, each text once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeMap<String, Span>,
    infos: BTreeMap<String, Span>,
    /// By metric.
    forced: BTreeMap<String, (Span, ForcedMonotonicity)>,
    /// How many windows held start timestamps that overlap, by metric.
    overlaps: BTreeMap<String, (Span, u64)>,
    source_warnings: Vec<String>,
}

impl Annotations {
    pub(crate) fn add(&mut self, span: Span, note: Note<'_>) {
        if let Note::Range { what: RangeNote::StartOverlap, name } = note {
            return self.add_overlap(span, name, 1);
        }
        let (is_warning, text) = note.text();
        let list = if is_warning { &mut self.warnings } else { &mut self.infos };
        let shown = list.entry(text).or_insert(span);
        if is_later(span, *shown) {
            *shown = span;
        }
    }

    /// `name` is that of the metric, or nothing.
    ///
    /// PARITY(prometheus): unlike other notes, this one is shown where it came up first.
    pub(crate) fn add_forced(&mut self, span: Span, name: &str, forced: ForcedMonotonicity) {
        match self.forced.get_mut(name) {
            Some((shown, all)) => {
                all.merge(forced);
                if !is_later(span, *shown) {
                    *shown = span;
                }
            }
            None => {
                self.forced.insert(name.to_owned(), (span, forced));
            }
        }
    }

    /// `count` windows of the metric hold samples that started before the sample before them.
    pub(crate) fn add_overlap(&mut self, span: Span, name: &str, count: u64) {
        let (shown, all) = self.overlaps.entry(name.to_owned()).or_insert((span, 0));
        *all += count;
        if !is_later(span, *shown) {
            *shown = span;
        }
    }

    /// A warning of the storage, as it is.
    pub(crate) fn add_source_warning(&mut self, text: String) {
        if !self.source_warnings.contains(&text) {
            self.source_warnings.push(text);
        }
    }

    /// Warnings and infos as Prometheus's API shows them; `text` is the query.
    pub(crate) fn into_texts(self, text: &str) -> (Vec<String>, Vec<String>) {
        let mut warnings = self.source_warnings;
        let place = |start: u32| place(text, start);
        warnings.extend(
            self.warnings
                .into_iter()
                .map(|(note, span)| format!("PromQL warning: {note} ({})", place(span.start))),
        );
        warnings.extend(self.overlaps.into_iter().map(|(name, (span, count))| {
            let times = if count > 1 { format!(" ({count} occurrences)") } else { String::new() };
            format!("PromQL warning: {OVERLAP} {}{times} ({})", quote(&name), place(span.start))
        }));
        let mut infos: Vec<String> = self
            .infos
            .into_iter()
            .map(|(note, span)| format!("PromQL info: {note} ({})", place(span.start)))
            .collect();
        infos.extend(self.forced.into_iter().map(|(name, (span, f))| {
            format!(
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity \
                 (see https://prometheus.io/docs/prometheus/latest/querying/functions/\
                 #histogram_quantile){}, from buckets {} to {}, with a max diff of {}, \
                 over {} samples from {} to {} ({})",
                of_metric(&name),
                general(f.bucket_min),
                general(f.bucket_max),
                two_digits(f.diff_max),
                f.count,
                rfc3339(f.first_ms),
                rfc3339(f.last_ms),
                place(span.start)
            )
        }));
        (warnings, infos)
    }
}

/// The words that name a metric, if there is a name.
fn of_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", quote(name)) }
}

/// Line and column, both from 1, of a byte of the query.
fn place(text: &str, start: u32) -> String {
    if text.is_empty() {
        return "unknown position".to_owned();
    }
    let Some(before) = text.as_bytes().get(..start as usize) else {
        return "invalid position".to_owned();
    };
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let column = match before.iter().rposition(|&b| b == b'\n') {
        Some(at) => before.len() - at,
        None => before.len() + 1,
    };
    format!("{line}:{column}")
}

/// A number with two significant digits, as Go's `%.2g`.
fn two_digits(v: f64) -> String {
    if !v.is_finite() || v == 0.0 {
        return general(v);
    }
    let scientific = format!("{v:.1e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..2).contains(&exponent) {
        let plain = format!("{v:.*}", usize::try_from(1 - exponent).unwrap_or(0));
        if !plain.contains('.') {
            return plain;
        }
        return plain.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A time to the second, as RFC 3339 writes it in UTC.
fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000))
        .map_or_else(|_| ms.to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_once_with_their_place() {
        let mut notes = Annotations::default();
        let span = Span { start: 9, end: 12 };
        notes.add(span, Note::InvalidQuantile(f64::NAN));
        notes.add(span, Note::InvalidQuantile(f64::NAN));
        notes.add(span, Note::PossibleNonCounter("foo"));
        notes.add_source_warning("a block is damaged".to_owned());
        let (warnings, infos) = notes.into_texts("quantile\n(NaN, foo)");
        assert_eq!(
            warnings,
            [
                "a block is damaged",
                "PromQL warning: quantile value should be between 0 and 1, got NaN (2:1)"
            ]
        );
        assert_eq!(
            infos,
            ["PromQL info: metric might not be a counter, name does not end in \
              _total/_sum/_count/_bucket: \"foo\" (2:1)"]
        );
    }

    #[test]
    fn one_place_is_shown_for_each_text() {
        let shown = |spans: [(u32, u32); 2]| {
            let mut notes = Annotations::default();
            for (start, end) in spans {
                notes.add(Span { start, end }, Note::PossibleNonCounter("x"));
            }
            let (_, infos) = notes.into_texts("0123456789");
            assert_eq!(infos.len(), 1);
            infos[0].clone()
        };
        for spans in [[(1, 3), (5, 8)], [(5, 8), (1, 3)]] {
            assert!(shown(spans).ends_with("(1:6)"), "the later of two siblings");
        }
        for spans in [[(0, 9), (5, 8)], [(5, 8), (0, 9)]] {
            assert!(shown(spans).ends_with("(1:1)"), "the whole after its part");
        }
    }

    #[test]
    fn forced_monotonicity_covers_its_range() {
        let mut notes = Annotations::default();
        let one = ForcedMonotonicity {
            first_ms: 60_000,
            last_ms: 60_000,
            bucket_min: 1.0,
            bucket_max: 2.5,
            diff_max: 0.01234,
            count: 1,
        };
        notes.add_forced(Span::default(), "", one);
        notes.add_forced(Span::default(), "", ForcedMonotonicity { last_ms: 120_000, ..one });
        notes.add_forced(Span::default(), "x", one);
        let (_, infos) = notes.into_texts("x");
        assert!(infos[0].ends_with(
            "from buckets 1 to 2.5, with a max diff of 0.012, over 2 samples from \
             1970-01-01T00:01:00Z to 1970-01-01T00:02:00Z (1:1)"
        ));
        assert!(infos[1].contains(" for metric name \"x\", from buckets 1 to 2.5"));
    }

    #[test]
    fn two_digits_are_those_of_go() {
        for (v, text) in
            [(0.5, "0.5"), (1.0, "1"), (12.3, "12"), (123.0, "1.2e+02"), (1.2e-7, "1.2e-07")]
        {
            assert_eq!(two_digits(v), text);
        }
    }
}
