//! Warnings and infos that accompany a result, in Prometheus's words, with positions.

use std::collections::BTreeMap;

use super::ast::Span;
use super::print::quote::quote;
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
}

/// Buckets that were made monotonic, over all series and steps of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForcedMonotonicity {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) bucket_min: f64,
    pub(crate) bucket_max: f64,
    pub(crate) diff_max: f64,
    pub(crate) count: u64,
}

impl ForcedMonotonicity {
    pub(crate) fn merge(&mut self, other: Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.bucket_min = self.bucket_min.min(other.bucket_min);
        self.bucket_max = self.bucket_max.max(other.bucket_max);
        self.diff_max = self.diff_max.max(other.diff_max);
        self.count += other.count;
    }
}

/// The annotations of one query, each once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeMap<(u32, String), ()>,
    infos: BTreeMap<(u32, String), ()>,
    forced: BTreeMap<(u32, String), ForcedMonotonicity>,
    /// How many windows held start timestamps that overlap, by place and metric.
    overlaps: BTreeMap<(u32, String), u64>,
    source_warnings: Vec<String>,
}

impl Annotations {
    pub(crate) fn add(&mut self, span: Span, note: Note<'_>) {
        let (is_warning, text) = match note {
            Note::InvalidQuantile(q) => {
                (true, format!("quantile value should be between 0 and 1, got {}", general(q)))
            }
            Note::InvalidRatio(got, capped) => (
                true,
                format!(
                    "ratio value should be between -1 and 1, got {}, capping to {}",
                    general(got),
                    general(capped)
                ),
            ),
            Note::BadBucketLabel { name, le } => {
                let le = quote(le);
                let text = "bucket label \"le\" is missing or has a malformed value of";
                (true, format!("{text} {le}{}", of_metric(name)))
            }
            Note::SortInRangeQuery => (
                true,
                "sort is ineffective for range queries since results are always ordered by labels"
                    .to_owned(),
            ),
            Note::PossibleNonCounter(name) => (
                false,
                format!(
                    "metric might not be a counter, name does not end in \
                     _total/_sum/_count/_bucket: {}",
                    quote(name)
                ),
            ),
        };
        let list = if is_warning { &mut self.warnings } else { &mut self.infos };
        list.insert((span.start, text), ());
    }

    /// `name` is that of the metric, or nothing.
    pub(crate) fn add_forced(&mut self, span: Span, name: &str, forced: ForcedMonotonicity) {
        let key = (span.start, name.to_owned());
        self.forced.entry(key).and_modify(|f| f.merge(forced)).or_insert(forced);
    }

    /// `count` windows of the metric hold samples that started before the sample before them.
    pub(crate) fn add_overlap(&mut self, span: Span, name: &str, count: u64) {
        *self.overlaps.entry((span.start, name.to_owned())).or_default() += count;
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
                .into_keys()
                .map(|(start, note)| format!("PromQL warning: {note} ({})", place(start))),
        );
        warnings.extend(self.overlaps.into_iter().map(|((start, name), count)| {
            let times = if count > 1 { format!(" ({count} occurrences)") } else { String::new() };
            format!(
                "PromQL warning: sample has start time that overlaps with previous sample \
                 timestamp for metric {}{times} ({})",
                quote(&name),
                place(start)
            )
        }));
        let mut infos: Vec<String> = self
            .infos
            .into_keys()
            .map(|(start, note)| format!("PromQL info: {note} ({})", place(start)))
            .collect();
        infos.extend(self.forced.into_iter().map(|((start, name), f)| {
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
                place(start)
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
