//! Metrics of the program as the messages of `io.prometheus.client` in JSON, made of their text.

use serde_json::{Map, Value, json};

/// Families of an OpenMetrics text whose names are wanted, in its order. Names are those that
/// samples have, as in the older text format.
pub(crate) fn families(openmetrics: &str, mut is_wanted: impl FnMut(&str) -> bool) -> Vec<Value> {
    let mut found: Vec<Family> = Vec::new();
    let mut help = String::new();
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help).to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            found.push(Family::new(name, kind, std::mem::take(&mut help)));
        } else if !line.starts_with('#')
            && let (Some(family), Some(sample)) = (found.last_mut(), Sample::parse(line))
        {
            family.add(&sample);
        }
    }
    let wanted = found.into_iter().filter(|family| is_wanted(&family.shown_name()));
    wanted.map(Family::into_json).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Info,
    Histogram,
    Untyped,
}

struct Family {
    name: String,
    kind: Kind,
    help: String,
    /// Labels, and what is known of the metric.
    metrics: Vec<(Value, Metric)>,
}

#[derive(Default)]
struct Metric {
    value: f64,
    buckets: Vec<Value>,
    sum: f64,
    count: String,
}

impl Family {
    fn new(name: &str, kind: &str, help: String) -> Self {
        let kind = match kind {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "info" => Kind::Info,
            "histogram" => Kind::Histogram,
            _ => Kind::Untyped,
        };
        Self { name: name.to_owned(), kind, help, metrics: Vec::new() }
    }

    fn shown_name(&self) -> String {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram | Kind::Untyped => "",
        };
        format!("{}{suffix}", self.name)
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let is_bound = |(name, _): &&(&str, String)| self.kind == Kind::Histogram && *name == "le";
        let bound = sample.labels.iter().find(is_bound).map(|(_, bound)| bound.clone());
        let labels = sample.labels.iter().filter(|label| !is_bound(label));
        let labels: Value = labels.map(|(n, v)| json!({ "name": n, "value": v })).collect();
        if self.metrics.last().is_none_or(|(last, _)| *last != labels) {
            self.metrics.push((labels, Metric::default()));
        }
        let Some((_, metric)) = self.metrics.last_mut() else { return };
        let value = sample.value.parse().unwrap_or(f64::NAN);
        match (self.kind, sample.name.strip_prefix(self.name.as_str()), bound) {
            (Kind::Histogram, Some("_sum"), _) => metric.sum = value,
            (Kind::Histogram, Some("_count"), _) => metric.count = sample.value.to_owned(),
            (Kind::Histogram, _, Some(bound)) => match bound.parse::<f64>() {
                // That is the count.
                Ok(bound) if bound.is_finite() => metric
                    .buckets
                    .push(json!({ "cumulativeCount": sample.value, "upperBound": bound })),
                _ => {}
            },
            _ => metric.value = value,
        }
    }

    fn into_json(self) -> Value {
        let (kind, key) = match self.kind {
            Kind::Counter => ("COUNTER", "counter"),
            Kind::Gauge | Kind::Info => ("GAUGE", "gauge"),
            Kind::Histogram => ("HISTOGRAM", "histogram"),
            Kind::Untyped => ("UNTYPED", "untyped"),
        };
        let name = self.shown_name();
        let metric = |(labels, metric): (Value, Metric)| {
            let mut fields = Map::new();
            if labels.as_array().is_some_and(|labels| !labels.is_empty()) {
                fields.insert("label".to_owned(), labels);
            }
            let value = match self.kind {
                Kind::Histogram => json!({
                    "sampleCount": metric.count,
                    "sampleSum": number(metric.sum),
                    "bucket": metric.buckets,
                }),
                _ => json!({ "value": number(metric.value) }),
            };
            fields.insert(key.to_owned(), value);
            Value::Object(fields)
        };
        let metrics: Vec<Value> = self.metrics.into_iter().map(metric).collect();
        json!({ "name": name, "help": self.help, "type": kind, "metric": metrics })
    }
}

/// What JSON has no number for is a text, as in protobuf's JSON.
fn number(v: f64) -> Value {
    match v {
        _ if v.is_finite() => json!(v),
        _ if v.is_nan() => json!("NaN"),
        _ if v > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// A line.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: &'a str,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (name, after) = rest.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.push((name, value));
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            rest = &rest[1..];
        }
        let value = rest.trim_start().split(' ').next()?;
        Some(Self { name, labels, value })
    }
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_messages() {
        let text = "# HELP a Some help.\n# TYPE a counter\na_total{x=\"q\\\"\\n, }\",y=\"z\"} 1\n\
                    a_total{x=\"b\"} 2.5\n# HELP i I.\n# TYPE i info\ni_info{v=\"1\"} 1\n\
                    # HELP h H.\n# TYPE h histogram\nh_sum{k=\"1\"} 0.5\nh_count{k=\"1\"} 3\n\
                    h_bucket{le=\"0.1\",k=\"1\"} 2\nh_bucket{le=\"+Inf\",k=\"1\"} 3\n\
                    # HELP g G.\n# TYPE g gauge\ng NaN\n# EOF\n";
        let label = |name: &str, value: &str| json!({ "name": name, "value": value });
        let wanted = json!([
            { "name": "a_total", "help": "Some help.", "type": "COUNTER", "metric": [
                { "label": [label("x", "q\"\n, }"), label("y", "z")], "counter": { "value": 1.0 } },
                { "label": [label("x", "b")], "counter": { "value": 2.5 } },
            ] },
            { "name": "i_info", "help": "I.", "type": "GAUGE",
              "metric": [{ "label": [label("v", "1")], "gauge": { "value": 1.0 } }] },
            { "name": "h", "help": "H.", "type": "HISTOGRAM", "metric": [{
                "label": [label("k", "1")],
                "histogram": {
                    "sampleCount": "3", "sampleSum": 0.5,
                    "bucket": [{ "cumulativeCount": "2", "upperBound": 0.1 }],
                },
            }] },
            { "name": "g", "help": "G.", "type": "GAUGE",
              "metric": [{ "gauge": { "value": "NaN" } }] },
        ]);
        assert_eq!(Value::Array(families(text, |_| true)), wanted);
        let some = families(text, |name| name == "i_info");
        assert_eq!(some[0]["name"], "i_info");
        assert_eq!(some.len(), 1);
    }
}
