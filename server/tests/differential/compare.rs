//! Two answers, and whether they say the same.

use serde_json::{Map, Value};

use crate::http_client::Answer;
use crate::tree::Order;

/// How far values may be apart, relative to their size, where the last bits are not defined.
const RELATIVE_DIFFERENCE_MAX: f64 = 1e-9;

/// Functions whose last bits differ between mathematical libraries.
const TRANSCENDENTAL: &[&str] = &[
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "atan2", "cos", "cosh", "exp", "ln",
    "log10", "log2", "sin", "sinh", "tan", "tanh", "^",
];

/// What makes a text or a whole number of a value, chooses by it, or leaves nothing of it but what
/// was lost.
const MAGNIFIERS: &[&str] = &[
    "count_values",
    "histogram_quantile",
    "histogram_quantiles",
    "histogram_fraction",
    "quantile",
    "quantile_over_time",
    "limit_ratio",
    "limitk",
    "topk",
    "bottomk",
    "ceil",
    "floor",
    "round",
    "changes",
    "mad_over_time",
    "deriv",
    "predict_linear",
    "delta",
    "idelta",
    "stddev_over_time",
    "stdvar_over_time",
    "double_exponential_smoothing",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
];

/// Aggregations whose sums depend on the order of series, which storage chooses. Everything else
/// is exact.
const SUMS: &[&str] = &["sum", "avg", "stddev", "stdvar"];

/// How answers to a query are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    order: Order,
    exact: bool,
}

impl Rules {
    pub(crate) fn new(query: &str, order: Order) -> Self {
        Self {
            order,
            exact: !words(query).any(|word| TRANSCENDENTAL.contains(&word) || SUMS.contains(&word)),
        }
    }

    /// What differs first; nothing if the answers say the same.
    pub(crate) fn difference(self, expected: &Answer, got: &Answer) -> Option<String> {
        if expected.status != got.status {
            return Some("status".to_owned());
        }
        if expected.body == got.body {
            return None;
        }
        self.difference_of(&expected.json(), &got.json())
    }

    /// As [`Rules::difference`], for bodies.
    pub(crate) fn difference_of(self, expected: &Value, got: &Value) -> Option<String> {
        let (Some(expected), Some(got)) = (expected.as_object(), got.as_object()) else {
            return Some("no object".to_owned());
        };
        let (mut expected, mut got) = (expected.clone(), got.clone());
        for notes in ["warnings", "infos"] {
            for answer in [&mut expected, &mut got] {
                sort_notes(answer, notes);
            }
        }
        let (data, got_data) = (expected.remove("data"), got.remove("data"));
        let keys = expected.keys().chain(got.keys());
        if let Some(key) = keys.into_iter().find(|key| expected.get(*key) != got.get(*key)) {
            return Some(key.clone());
        }
        match (data, got_data) {
            (None, None) => None,
            (Some(expected), Some(got)) => self.data(&expected, &got),
            _ => Some("data".to_owned()),
        }
    }

    /// As [`Rules::difference`], for `data` of both.
    pub(crate) fn data(self, expected: &Value, got: &Value) -> Option<String> {
        if expected.is_string() {
            return (expected != got).then(|| "text".to_owned());
        }
        if expected["resultType"] != got["resultType"] {
            return Some("resultType".to_owned());
        }
        let (expected_result, got_result) = (&expected["result"], &got["result"]);
        match expected["resultType"].as_str() {
            Some("vector") => self.vectors(expected_result, got_result),
            Some("matrix") => self.series(series(expected_result), series(got_result)),
            _ => self.point(expected_result, got_result),
        }
    }

    fn vectors(self, expected: &Value, got: &Value) -> Option<String> {
        let (mut expected, mut got) = (series(expected), series(got));
        if self.order == Order::ByValue {
            // INVARIANT: the places of the values count, those of series of equal value do not.
            let places = expected.iter().zip(&got);
            let wrong = places.map(|(e, g)| self.point(&e["value"], &g["value"]));
            if let Some(difference) = wrong.flatten().next() {
                return Some(format!("order: {difference}"));
            }
        }
        if self.order != Order::Exact {
            expected.sort_by_cached_key(|series| series["metric"].to_string());
            got.sort_by_cached_key(|series| series["metric"].to_string());
        }
        self.series(expected, got)
    }

    fn series(self, expected: Vec<&Value>, got: Vec<&Value>) -> Option<String> {
        for (e, g) in expected.iter().zip(&got) {
            if e["metric"] != g["metric"] {
                return Some(format!("series {} against {}", e["metric"], g["metric"]));
            }
            for (one, many) in [("value", "values"), ("histogram", "histograms")] {
                if let Some(difference) = self.points(e, g, one, many) {
                    return Some(format!("{}: {difference}", e["metric"]));
                }
            }
        }
        (expected.len() != got.len())
            .then(|| format!("{} series against {}", expected.len(), got.len()))
    }

    fn points(self, expected: &Value, got: &Value, one: &str, many: &str) -> Option<String> {
        let points = |series: &Value| -> Vec<Value> {
            match &series[many] {
                Value::Array(points) => points.clone(),
                _ if series[one].is_null() => Vec::new(),
                _ => vec![series[one].clone()],
            }
        };
        let (expected, got) = (points(expected), points(got));
        let differing = expected.iter().zip(&got).find_map(|(e, g)| self.point(e, g));
        differing.or_else(|| {
            (expected.len() != got.len())
                .then(|| format!("{} {many} against {}", expected.len(), got.len()))
        })
    }

    /// `[seconds, "value"]`, or a histogram instead of the value, against the same.
    fn point(self, expected: &Value, got: &Value) -> Option<String> {
        let same = expected == got || expected[0] == got[0] && self.value(&expected[1], &got[1]);
        (!same).then(|| format!("{expected} against {got}"))
    }

    fn value(self, expected: &Value, got: &Value) -> bool {
        match (expected, got) {
            (Value::String(expected), Value::String(got)) => {
                expected == got || !self.exact && near(expected, got)
            }
            (Value::Array(expected), Value::Array(got)) => {
                expected.len() == got.len()
                    && expected.iter().zip(got).all(|(e, g)| self.value(e, g))
            }
            (Value::Object(expected), Value::Object(got)) => {
                expected.len() == got.len()
                    && expected
                        .iter()
                        .all(|(key, e)| got.get(key).is_some_and(|g| self.value(e, g)))
            }
            (expected, got) => expected == got,
        }
    }
}

/// Whether two texts are numbers that are almost the same.
fn near(expected: &str, got: &str) -> bool {
    let (Ok(expected), Ok(got)) = (expected.parse::<f64>(), got.parse::<f64>()) else {
        return false;
    };
    let size = expected.abs().max(got.abs());
    size.is_finite() && (expected - got).abs() <= RELATIVE_DIFFERENCE_MAX * size
}

/// Whether the last bits of a transcendental function decide about more than last bits: it is the
/// argument of another one, or becomes a text or a whole number. Such queries prove nothing, as
/// Prometheus's own last bits differ between processors.
pub(crate) fn magnifies_last_bits(query: &str) -> bool {
    let inexact = |word: &&str| TRANSCENDENTAL.contains(word);
    match words(query).filter(inexact).count() {
        0 => false,
        1 => words(query).any(|word| MAGNIFIERS.contains(&word)) || query.contains('%'),
        _ => true,
    }
}

fn words(query: &str) -> impl Iterator<Item = &str> {
    let names = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    names.chain(query.matches('^'))
}

fn sort_notes(answer: &mut Map<String, Value>, notes: &str) {
    if let Some(Value::Array(notes)) = answer.get_mut(notes) {
        notes.sort_by_cached_key(ToString::to_string);
    }
}

fn series(result: &Value) -> Vec<&Value> {
    result.as_array().into_iter().flatten().collect()
}
