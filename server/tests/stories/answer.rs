//! Samples out of answers of the query API.

use std::collections::BTreeMap;

use serde_json::Value;

/// Label names and values, in order.
pub(crate) type Labels = BTreeMap<String, String>;

/// Times in milliseconds and the bits of the values.
pub(crate) type Samples = Vec<(i64, u64)>;

/// The series of a matrix or vector. No series may come twice.
pub(crate) fn series(data: &Value) -> BTreeMap<Labels, Samples> {
    let mut all = BTreeMap::new();
    for entry in data["result"].as_array().expect("a result") {
        let samples = match (&entry["values"], &entry["value"]) {
            (Value::Array(values), Value::Null) => values.iter().map(sample).collect(),
            (Value::Null, value) => vec![sample(value)],
            _ => panic!("no samples: {entry}"),
        };
        let labels = labels(&entry["metric"]);
        let before = all.insert(labels.clone(), samples);
        assert!(before.is_none(), "{labels:?} twice");
    }
    all
}

/// A label set.
pub(crate) fn labels(metric: &Value) -> Labels {
    let pairs = metric.as_object().expect("labels");
    pairs.iter().map(|(n, v)| (n.clone(), v.as_str().expect("a value").to_owned())).collect()
}

/// `[seconds, "value"]`.
fn sample(pair: &Value) -> (i64, u64) {
    let seconds = pair[0].as_f64().expect("a time");
    (time_ms(seconds), number(&pair[1]).to_bits())
}

/// Whole milliseconds of a time in seconds.
pub(crate) fn time_ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A number as Prometheus writes it.
pub(crate) fn number(value: &Value) -> f64 {
    parse(value.as_str().expect("a number in quotes"))
}

/// A number as Prometheus writes it.
pub(crate) fn parse(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}
