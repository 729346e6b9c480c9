//! Two answers of the query API, and whether they say the same.

use serde_json::Value;

use crate::answer::{Labels, labels, number};

/// How far values may be apart, relative to their size: sums have an order, which is free.
const RELATIVE_DIFFERENCE_MAX: f64 = 1e-12;

/// How many differences of one answer are told.
const TOLD_MAX: usize = 5;

/// Differences of two `data` objects; nothing if they are the same.
///
/// The order of a matrix counts, and of a vector if `ordered`; then ties may stand in any order.
pub(super) fn differences(expected: &Value, got: &Value, ordered: bool) -> Vec<String> {
    if expected["resultType"] != got["resultType"] {
        return vec![format!("type {} against {}", expected["resultType"], got["resultType"])];
    }
    let mut found = match expected["resultType"].as_str() {
        Some("scalar" | "string") => {
            point_difference(&expected["result"], &got["result"]).into_iter().collect::<Vec<_>>()
        }
        Some("vector") => vectors(&expected["result"], &got["result"], ordered),
        Some("matrix") => matrices(&expected["result"], &got["result"]),
        other => panic!("result type {other:?}"),
    };
    if found.len() > TOLD_MAX {
        let more = found.len() - TOLD_MAX;
        found.truncate(TOLD_MAX);
        found.push(format!("and {more} more"));
    }
    found
}

type Entry<'a> = (Labels, &'a Value);

fn entries(result: &Value) -> Vec<Entry<'_>> {
    let entries = result.as_array().expect("a list of series");
    entries.iter().map(|entry| (labels(&entry["metric"]), entry)).collect()
}

fn vectors(expected: &Value, got: &Value, ordered: bool) -> Vec<String> {
    let (mut expected, mut got) = (entries(expected), entries(got));
    let mut found = Vec::new();
    if ordered && expected.len() == got.len() {
        for ((_, e), (_, g)) in expected.iter().zip(&got) {
            found.extend(point_difference(&e["value"], &g["value"]).map(|d| format!("order: {d}")));
        }
    }
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    got.sort_by(|a, b| a.0.cmp(&b.0));
    found.extend(pairwise(&expected, &got, |e, g| {
        point_difference(&e["value"], &g["value"]).into_iter().collect()
    }));
    found
}

fn matrices(expected: &Value, got: &Value) -> Vec<String> {
    pairwise(&entries(expected), &entries(got), |e, g| {
        let points = |entry: &Value| entry["values"].as_array().expect("points").clone();
        let (e, g) = (points(e), points(g));
        if e.len() != g.len() {
            return vec![format!("{} points against {}", e.len(), g.len())];
        }
        e.iter().zip(&g).filter_map(|(e, g)| point_difference(e, g)).collect()
    })
}

fn pairwise(
    expected: &[Entry<'_>],
    got: &[Entry<'_>],
    compare: impl Fn(&Value, &Value) -> Vec<String>,
) -> Vec<String> {
    let mut found = Vec::new();
    if expected.len() != got.len() {
        found.push(format!("{} series against {}", expected.len(), got.len()));
    }
    for ((expected_labels, e), (got_labels, g)) in expected.iter().zip(got) {
        if expected_labels != got_labels {
            found.push(format!("series {expected_labels:?} against {got_labels:?}"));
            // What follows is only shifted.
            break;
        }
        found.extend(compare(e, g).into_iter().map(|d| format!("{expected_labels:?}: {d}")));
    }
    found
}

/// `[seconds, "value"]` against the same.
fn point_difference(expected: &Value, got: &Value) -> Option<String> {
    if expected == got {
        return None;
    }
    let told = format!("{expected} against {got}");
    let is_text = |point: &Value| point[1].as_str().is_some_and(|t| t.parse::<f64>().is_err());
    if expected[0] != got[0] || is_text(expected) || is_text(got) {
        return Some(told);
    }
    let (e, g) = (number(&expected[1]), number(&got[1]));
    let size = e.abs().max(g.abs());
    let near = (e.is_nan() && g.is_nan())
        || e == g
        || (size.is_finite() && (e - g).abs() <= RELATIVE_DIFFERENCE_MAX * size);
    (!near).then_some(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vector(values: &[(&str, &str)]) -> Value {
        let entries: Vec<Value> = values
            .iter()
            .map(|(name, value)| json!({"metric": {"a": name}, "value": [1.5, value]}))
            .collect();
        json!({"resultType": "vector", "result": entries})
    }

    #[test]
    fn tells_what_differs() {
        let base = vector(&[("x", "1"), ("y", "NaN")]);
        let other_order = vector(&[("y", "NaN"), ("x", "1.0000000000000002")]);
        assert!(differences(&base, &other_order, false).is_empty());
        assert!(!differences(&base, &other_order, true).is_empty());
        for wrong in [
            vector(&[("x", "1"), ("y", "2")]),
            vector(&[("x", "1.00000000001"), ("y", "NaN")]),
            vector(&[("x", "1"), ("z", "NaN")]),
            vector(&[("x", "1")]),
            vector(&[("x", "1"), ("y", "NaN"), ("z", "1")]),
            json!({"resultType": "matrix", "result": []}),
        ] {
            assert!(!differences(&base, &wrong, false).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn points_of_a_matrix_count_with_their_times() {
        let matrix = |values: Value| {
            let series = json!([{"metric": {}, "values": values}]);
            json!({"resultType": "matrix", "result": series})
        };
        let base = matrix(json!([[1, "1"], [2, "+Inf"]]));
        assert!(differences(&base, &base.clone(), false).is_empty());
        for wrong in
            [json!([[1, "1"]]), json!([[1, "1"], [3, "+Inf"]]), json!([[1, "1"], [2, "-Inf"]])]
        {
            assert!(!differences(&base, &matrix(wrong), false).is_empty());
        }
    }
}
