//! Series descriptions: `metric{a="b"} 1+2x5 _x3 stale {{…}}`.

use std::sync::Arc;

use m3rs_core::model::{Labels, MatchOp, STALE_NAN};

use super::histogram::parse_histogram;
use crate::histogram::FloatHistogram;
use crate::promql::parse::parse_units_ms;
use crate::promql::parse_metric_selector;

/// The most values that one line may describe.
const VALUES_MAX: usize = 1_000_000;

/// A series and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDescription {
    /// The labels.
    pub labels: Labels,
    /// The values, in equal distances.
    pub values: Vec<SequenceValue>,
    /// Start timestamps in milliseconds after the time of each value; empty if none was given.
    pub starts: Vec<Option<i64>>,
}

/// One place of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceValue {
    /// No sample.
    Omitted,
    /// A float; the staleness marker for `stale`.
    Float(f64),
    /// A native histogram.
    Histogram {
        /// The histogram.
        h: Arc<FloatHistogram>,
        /// Whether its description names its hint, which then counts in comparisons.
        names_hint: bool,
    },
}

/// The labels of a series, and how far the start of each of its values is from its time.
type Starts = (Labels, Vec<Option<i64>>);

/// Reads a line of start timestamps for the series on the next line: its labels, and how far each
/// start is from the time of its value. `None` if the line is of another kind.
pub(super) fn parse_starts(line: &str) -> Result<Option<Starts>, String> {
    let (metric, items) = split_metric(line);
    let Some(metric) = metric.strip_suffix("@st") else { return Ok(None) };
    let labels = parse_labels(metric)?;
    let mut starts = Vec::new();
    for item in items.split_whitespace() {
        start_item(item, &mut starts).map_err(|why| format!("invalid @st sequence: {why}"))?;
    }
    Ok(Some((labels, starts)))
}

/// `_`, `_x3`, `-1m`, `-1mx3` or `-30s-1mx3`.
fn start_item(item: &str, starts: &mut Vec<Option<i64>>) -> Result<(), String> {
    let bad = || format!("{item:?} is no start timestamp");
    if let Some(times) = item.strip_prefix('_') {
        let count = parse_times(times).ok_or_else(bad)?.unwrap_or(1);
        return repeat(starts, count, |_| None);
    }
    let (base, rest) = split_duration(item).ok_or_else(bad)?;
    let (step, rest) = match rest.starts_with(['+', '-']) {
        true => split_duration(rest).ok_or_else(bad)?,
        false => (0, rest),
    };
    let count = parse_times(rest).ok_or_else(bad)?.map_or(1, |n| n + 1);
    repeat(starts, count, |index| Some(base.saturating_add(step.saturating_mul(index as i64))))
}

/// A duration in milliseconds at the start of a text, with or without sign, and the rest.
fn split_duration(text: &str) -> Option<(i64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(['x', '+', '-']).unwrap_or(unsigned.len());
    let (duration, rest) = unsigned.split_at(end);
    let ms = parse_units_ms(duration).ok()?;
    Some((if text.starts_with('-') { -ms } else { ms }, rest))
}

/// Reads labels and values.
pub(super) fn parse_series(line: &str) -> Result<SeriesDescription, String> {
    let (metric, values) = split_metric(line);
    let labels = parse_labels(metric)?;
    let values = parse_values(values)?;
    Ok(SeriesDescription { labels, values, starts: Vec::new() })
}

/// Splits at the first white space that is neither in quotes nor in braces.
fn split_metric(line: &str) -> (&str, &str) {
    let mut quote = None;
    let mut is_escaped = false;
    let mut is_braced = false;
    for (at, c) in line.char_indices() {
        if let Some(open) = quote {
            if is_escaped {
                is_escaped = false;
            } else if c == '\\' && open != '`' {
                is_escaped = true;
            } else if c == open {
                quote = None;
            }
            continue;
        }
        match c {
            '"' | '\'' | '`' => quote = Some(c),
            '{' => is_braced = true,
            '}' => is_braced = false,
            _ if c.is_whitespace() && !is_braced => {
                let (metric, rest) = line.split_at(at);
                // A name may stand apart from its braces.
                if rest.trim_start().starts_with('{') && !rest.trim_start().starts_with("{{") {
                    if metric.contains('{') {
                        return (metric, rest);
                    }
                    continue;
                }
                return (metric, rest);
            }
            _ => {}
        }
    }
    (line, "")
}

fn parse_labels(metric: &str) -> Result<Labels, String> {
    let matchers = parse_metric_selector(metric).map_err(|error| error.to_string())?;
    if let Some(other) = matchers.iter().find(|m| m.op != MatchOp::Equal) {
        return Err(format!("a series cannot be described by {other}"));
    }
    let pairs = matchers.iter().map(|m| (m.name.as_str(), m.value.as_str()));
    Labels::from_pairs(pairs).map_err(|error| error.to_string())
}

fn parse_values(mut text: &str) -> Result<Vec<SequenceValue>, String> {
    let mut values = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(values);
        }
        let end = item_end(text);
        let (item, rest) = text.split_at(end);
        parse_item(item, &mut values)?;
        text = rest;
    }
}

/// Where an item ends: at white space outside of double braces.
fn item_end(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn parse_item(item: &str, values: &mut Vec<SequenceValue>) -> Result<(), String> {
    let bad = || format!("{item:?} is no series value");
    if item.starts_with("{{") {
        return histogram_item(item, values).map_err(|why| format!("{}: {why}", bad()));
    }
    if let Some(times) = item.strip_prefix('_') {
        let count = parse_times(times).ok_or_else(bad)?.unwrap_or(1);
        return repeat(values, count, |_| SequenceValue::Omitted);
    }
    if let Some(times) = item.strip_prefix("stale") {
        let count = parse_times(times).ok_or_else(bad)?.map_or(1, |n| n + 1);
        return repeat(values, count, |_| SequenceValue::Float(STALE_NAN));
    }
    let (mut value, rest) = split_number(item).ok_or_else(bad)?;
    let (step, rest) = match rest.starts_with(['+', '-']) {
        true => split_number(rest).ok_or_else(bad)?,
        false => (0.0, rest),
    };
    let has_step = step != 0.0 || rest.len() < item.len() && item.contains(['+', '-']);
    let count = parse_times(rest).ok_or_else(bad)?.map_or(1, |n| n + 1);
    repeat(values, count, |index| {
        if index > 0 && has_step {
            value += step;
        }
        SequenceValue::Float(value)
    })
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3` or `{{…}}-{{…}}x3`.
fn histogram_item(item: &str, values: &mut Vec<SequenceValue>) -> Result<(), String> {
    let take = |text: &str| {
        let inner = text.strip_prefix("{{").ok_or("a histogram starts with two braces")?;
        let close = inner.find("}}").ok_or("a histogram ends with two braces")?;
        let (h, names_hint) = parse_histogram(&inner[..close])?;
        Ok::<_, String>((h, names_hint, text.len() - (inner.len() - close - 2)))
    };
    let (first, mut names_hint, end) = take(item)?;
    let mut rest = &item[end..];
    let mut step = None;
    if let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let (h, names, end) = take(&rest[1..])?;
        names_hint = names;
        rest = &rest[1 + end..];
        step = Some((sign, h));
    }
    let count = parse_times(rest).ok_or("a number of times is expected")?.map_or(1, |n| n + 1);
    let mut h = first;
    let mut fault = None;
    repeat(values, count, |index| {
        if let (true, Some((sign, step))) = (index > 0, &step) {
            let combined = if *sign == '+' { h.add(step) } else { h.subtract(step) };
            fault = fault.or(combined.err());
        }
        SequenceValue::Histogram { h: Arc::new(h.clone()), names_hint }
    })?;
    match fault {
        Some(_) => Err("exponential and custom buckets do not add up".to_owned()),
        None => Ok(()),
    }
}

fn repeat<T>(
    values: &mut Vec<T>,
    count: usize,
    mut value: impl FnMut(usize) -> T,
) -> Result<(), String> {
    if count > VALUES_MAX - values.len().min(VALUES_MAX) {
        return Err(format!("a line describes more than {VALUES_MAX} values"));
    }
    values.extend((0..count).map(&mut value));
    Ok(())
}

/// The number after `x`: `None` if there is something else, `Some(None)` if there is nothing.
fn parse_times(text: &str) -> Option<Option<usize>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.strip_prefix('x')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // Numbers beyond the address space are beyond the limit, too.
    is_number.then(|| Some(digits.parse().unwrap_or(usize::MAX - 1)))
}

/// A decimal number at the start of a text, with or without sign, and the rest.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign_len = text.len() - unsigned.len();
    let word = unsigned
        .get(..3)
        .filter(|w| w.eq_ignore_ascii_case("inf") || w.eq_ignore_ascii_case("nan"));
    let len = match word {
        Some(word) => word.len(),
        None => number_len(unsigned.as_bytes()),
    };
    let (number, rest) = text.split_at(sign_len + len);
    Some((number.parse().ok()?, rest))
}

/// How many bytes of a decimal number without sign stand at the start.
fn number_len(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = if len + 1 + sign <= bytes.len() { digits(len + 1 + sign) } else { 0 };
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<SequenceValue> {
        parse_series(&format!("m {text}")).expect("valid").values
    }

    fn floats(text: &str) -> Vec<f64> {
        let float = |v: &SequenceValue| match v {
            SequenceValue::Float(v) => *v,
            other => panic!("{other:?} is no float"),
        };
        values(text).iter().map(float).collect()
    }

    #[test]
    fn sequences_expand() {
        assert_eq!(floats("1 2.5 -3e2"), [1.0, 2.5, -300.0]);
        assert_eq!(floats("1+2x3"), [1.0, 3.0, 5.0, 7.0]);
        assert_eq!(floats("10-2.5x2 7x1"), [10.0, 7.5, 5.0, 7.0, 7.0]);
        assert_eq!(floats("-1-1x1"), [-1.0, -2.0]);
        assert_eq!(floats("1e3+1e1x1"), [1000.0, 1010.0]);
        assert_eq!(
            floats("Inf -Inf +Infx1"),
            [f64::INFINITY, -f64::INFINITY, f64::INFINITY, f64::INFINITY]
        );
        assert!(floats("NaN")[0].is_nan());
        assert_eq!(floats("stale")[0].to_bits(), STALE_NAN.to_bits());
    }

    #[test]
    fn gaps_and_histograms_keep_their_place() {
        use SequenceValue::{Float, Histogram, Omitted};
        assert_eq!(values("_ 1 _x2 2"), [Omitted, Float(1.0), Omitted, Omitted, Float(2.0)]);
        let found = values(
            "{{schema:1 sum:3 buckets:[5 10]}} {{count:1}}x1 4 {{}}+{{sum:1}}x2 {{}}-{{sum:1}}x1",
        );
        let sums: Vec<f64> = found
            .iter()
            .map(|value| match value {
                Float(v) => *v,
                Histogram { h, .. } => h.sum,
                Omitted => f64::NAN,
            })
            .collect();
        assert_eq!(sums, [3.0, 0.0, 0.0, 4.0, 0.0, 1.0, 2.0, 0.0, -1.0]);
    }

    #[test]
    fn labels_may_be_quoted_and_spaced() {
        let labels = |line: &str| parse_series(line).expect("valid").labels.to_string();
        assert_eq!(labels("up{job=\"a b\", le='{'} 1"), r#"{__name__="up", job="a b", le="{"}"#);
        assert_eq!(labels("{} 1"), "{}");
        assert_eq!(labels("{\"a.b\", c=\"d\"} 1"), r#"{__name__="a.b", c="d"}"#);
        assert_eq!(labels("up {job=\"a\"} 1"), r#"{__name__="up", job="a"}"#);
        assert_eq!(labels("up{} {{count:1}}"), r#"{__name__="up"}"#);
        assert_eq!(labels("up {{count:1}}"), r#"{__name__="up"}"#);
    }

    #[test]
    fn faults_are_reported() {
        for line in
            ["m 1y", "m 1x", "m 1+x3", "m {{", "m{a=~\"b\"} 1", "m{a=\"b\",a=\"c\"} 1", "m -"]
        {
            assert!(parse_series(line).is_err(), "{line}");
        }
        assert!(parse_series("m 1x999999").is_ok());
        assert!(parse_series("m 1x1000000").is_err());
        assert!(parse_series("m 1x99999999999999999999999").is_err());
    }

    #[test]
    fn start_times_are_told_apart() {
        let starts = |line: &str| parse_starts(line).expect("valid").map(|(_, starts)| starts);
        let minute = Some(-60_000);
        assert_eq!(
            starts("m{a=\"b\"}@st _ -1mx1 0-1msx1 _x2 +5s"),
            Some(vec![None, minute, minute, Some(0), Some(-1), None, None, Some(5000)])
        );
        assert_eq!(starts("m{a=\"b@st\"} 1"), None);
        assert!(parse_starts("m@st 1y-").is_err());
    }
}
