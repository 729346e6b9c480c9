//! Native histograms in scripts: `{{schema:1 count:5 sum:2 buckets:[3 2]}}`, comparison, and
//! classic histograms made native.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, Labels, METRIC_NAME, ResetHint,
    SCHEMA_CUSTOM, Span,
};

use super::SeriesDescription;
use super::compare::TOLERANCE;
use super::series::SequenceValue;
use crate::histogram::{Buckets, FloatHistogram};
use crate::promql::function::histogram::is_almost_equal;

/// Reads what stands between double braces: the histogram, and whether it names its hint.
pub(super) fn parse_histogram(text: &str) -> Result<(FloatHistogram, bool), String> {
    let mut h = FloatHistogram::default();
    let mut names_hint = false;
    let (mut offsets, mut sides) = ([0; 2], [Vec::new(), Vec::new()]);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let bad = || format!("{rest:?} describes no part of a histogram");
        let (key, after) = rest.split_once(':').ok_or_else(bad)?;
        let after = after.trim_start();
        let end = match after.strip_prefix('[') {
            Some(_) => after.find(']').ok_or_else(bad)? + 1,
            None => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        let (value, next) = after.split_at(end);
        let number = || number(value).ok_or_else(bad);
        let whole = || value.parse::<i32>().map_err(|_| bad());
        match key.trim() {
            "schema" => h.schema = whole()?,
            "sum" => h.sum = number()?,
            "count" => h.count = number()?,
            "z_bucket" => h.zero_count = number()?,
            "z_bucket_w" => h.zero_threshold = number()?,
            "custom_values" => h.bounds = list(value).ok_or_else(bad)?.into(),
            "buckets" => sides[0] = list(value).ok_or_else(bad)?,
            "offset" => offsets[0] = whole()?,
            "n_buckets" => sides[1] = list(value).ok_or_else(bad)?,
            "n_offset" => offsets[1] = whole()?,
            "counter_reset_hint" => {
                names_hint = true;
                h.hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NoReset,
                    "gauge" => ResetHint::Gauge,
                    _ => return Err(bad()),
                };
            }
            _ => return Err(bad()),
        }
        rest = next.trim_start();
    }
    let [positive, negative] = sides;
    h.positive = side(offsets[0], positive);
    h.negative = side(offsets[1], negative);
    Ok((h, names_hint))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn list(text: &str) -> Option<Vec<f64>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.split_whitespace().map(number).collect()
}

fn side(first: i32, counts: Vec<f64>) -> Buckets {
    let indexes = (first..).take(counts.len()).collect();
    Buckets::new(indexes, counts)
}

/// Whether two histograms are the same within the tolerance of scripts.
pub(super) fn is_same(a: &FloatHistogram, b: &FloatHistogram, hint_counts: bool) -> bool {
    let near = |a: f64, b: f64| is_almost_equal(a, b, TOLERANCE);
    let same_side = |a: &Buckets, b: &Buckets| {
        a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
    };
    let (a, b) = (a.clone().compacted(), b.clone().compacted());
    a.schema == b.schema
        && near(a.count, b.count)
        && near(a.sum, b.sum)
        && a.bounds == b.bounds
        && a.zero_threshold == b.zero_threshold
        && near(a.zero_count, b.zero_count)
        && same_side(&a.positive, &b.positive)
        && same_side(&a.negative, &b.negative)
        && (!hint_counts || a.hint == b.hint)
}

/// The histogram as storage has it.
pub(super) fn to_stored(h: &FloatHistogram) -> Histogram {
    let spans = |side: &Buckets| {
        let mut spans: Vec<Span> = Vec::new();
        let mut end = 0;
        for (index, _) in side.iter() {
            match spans.last_mut() {
                Some(last) if index == end => last.length += 1,
                _ => spans.push(Span { offset: index - end, length: 1 }),
            }
            end = index + 1;
        }
        spans
    };
    let counts = |side: &Buckets| side.iter().map(|(_, count)| count).collect();
    let layout = HistogramLayout {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        positive_spans: spans(&h.positive),
        negative_spans: spans(&h.negative),
        custom_bounds: h.bounds.to_vec(),
    };
    let counts = BucketCounts {
        count: h.count,
        zero: h.zero_count,
        positive: counts(&h.positive),
        negative: counts(&h.negative),
    };
    let layout = Arc::new(layout);
    Histogram { layout, reset_hint: h.hint, sum: h.sum, counts: Counts::Float(counts) }
}

/// Cumulative counts of a classic histogram at one time, by bits of an ordered bound.
#[derive(Default)]
struct Classic {
    buckets: BTreeMap<OrderedBound, f64>,
    count: Option<f64>,
    sum: f64,
}

/// A bound in the order of numbers; never NaN.
#[derive(Clone, Copy, PartialEq)]
struct OrderedBound(f64);

impl Eq for OrderedBound {}

impl PartialOrd for OrderedBound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedBound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The native histograms with custom buckets that the classic ones among some series are, by
/// labels and by place in the sequence.
pub(super) fn natives_of(
    series: &[SeriesDescription],
) -> Vec<(Labels, Vec<(usize, FloatHistogram)>)> {
    let mut found: HashMap<Labels, BTreeMap<usize, Classic>> = HashMap::new();
    for one in series {
        let Some((base, part)) = part_of(&one.labels) else { continue };
        let places = found.entry(base).or_default();
        for (place, value) in one.values.iter().enumerate() {
            let SequenceValue::Float(v) = value else { continue };
            let classic = places.entry(place).or_default();
            match part {
                Part::Bucket(bound) => {
                    classic.buckets.entry(OrderedBound(bound)).or_insert(*v);
                }
                Part::Count => classic.count = Some(*v),
                Part::Sum => classic.sum = *v,
            }
        }
    }
    let native = |(labels, places): (Labels, BTreeMap<usize, Classic>)| {
        (labels, places.into_iter().map(|(place, classic)| (place, classic.native())).collect())
    };
    found.into_iter().map(native).collect()
}

/// What a series of a classic histogram holds.
#[derive(Clone, Copy)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

fn part_of(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.metric_name()?;
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        let bound: f64 = labels.get("le")?.parse().ok()?;
        (base, Part::Bucket(bound).filter_nan()?)
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, base).remove("le");
    Some((builder.build(), part))
}

impl Part {
    fn filter_nan(self) -> Option<Self> {
        match self {
            Self::Bucket(bound) if bound.is_nan() => None,
            part => Some(part),
        }
    }
}

impl Classic {
    fn native(mut self) -> FloatHistogram {
        let highest = self.buckets.values().next_back().copied();
        let count = self.count.or(highest).unwrap_or(0.0);
        self.buckets.entry(OrderedBound(f64::INFINITY)).or_insert(count);
        let mut before = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for cumulative in self.buckets.values() {
            counts.push(cumulative - before);
            before = *cumulative;
        }
        let bounds = self.buckets.keys().map(|bound| bound.0).filter(|bound| bound.is_finite());
        let h = FloatHistogram {
            schema: SCHEMA_CUSTOM,
            count,
            sum: self.sum,
            positive: side(0, counts),
            bounds: bounds.collect(),
            ..FloatHistogram::default()
        };
        h.compacted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read() {
        let text = "schema:1 count:5 sum:-2.5 z_bucket:1 z_bucket_w:0.5 buckets:[3 0 1] offset:-1 \
                    n_buckets:[7] n_offset:2 counter_reset_hint:gauge";
        let (h, names_hint) = parse_histogram(text).expect("valid");
        assert!(names_hint);
        assert_eq!(h.positive.iter().collect::<Vec<_>>(), [(-1, 3.0), (0, 0.0), (1, 1.0)]);
        assert_eq!(h.negative.iter().collect::<Vec<_>>(), [(2, 7.0)]);
        assert_eq!((h.schema, h.zero_count, h.zero_threshold, h.sum), (1, 1.0, 0.5, -2.5));
        assert_eq!(h.hint, ResetHint::Gauge);
        for bad in ["schema", "schema:x", "buckets:[1", "width:3", "counter_reset_hint:no"] {
            assert!(parse_histogram(bad).is_err(), "{bad}");
        }
        let mut converter = crate::histogram::Converter::default();
        assert_eq!(converter.convert(&to_stored(&h)), h);
    }

    #[test]
    fn classic_ones_become_native() {
        let series = |line: &str| super::super::series::parse_series(line).expect("valid");
        let natives = natives_of(&[
            series("h_bucket{a=\"b\",le=\"1\"} 2 3"),
            series("h_bucket{a=\"b\",le=\"+Inf\"} 5 5"),
            series("h_sum{a=\"b\"} 7 8"),
            series("other 1"),
        ]);
        assert_eq!(natives.len(), 1);
        let (labels, values) = &natives[0];
        assert_eq!(labels.to_string(), r#"{__name__="h", a="b"}"#);
        let (expected, _) =
            parse_histogram("schema:-53 count:5 sum:7 custom_values:[1] buckets:[2 3]")
                .expect("valid");
        assert_eq!(values[0], (0, expected));
    }
}
