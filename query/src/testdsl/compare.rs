//! Compares results with expectations.

use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::model::Labels;

use super::expect::Expectation;
use super::histogram::is_same;
use super::series::SequenceValue;
use crate::histogram::FloatHistogram;
use crate::promql::function::histogram::is_almost_equal;
use crate::result::{InstantVector, Matrix, Value};
use crate::step::StepGrid;

/// By how much values may differ, relative to the sum of their sizes.
pub(super) const TOLERANCE: f64 = 1e-6;

/// Compares a result. `times` are those of the expected values of a matrix.
pub(super) fn check_value(
    value: &Value,
    expect: &Expectation,
    times: Option<StepGrid>,
) -> Result<(), String> {
    match value {
        Value::Scalar { v, .. } => check_scalar(*v, expect),
        Value::String { text, .. } => match &expect.string {
            Some(expected) if expected == text => Ok(()),
            expected => Err(format!("expected the text {expected:?}, got {text:?}")),
        },
        Value::Vector(vector) => check_vector(vector, expect),
        Value::Matrix(matrix) => check_matrix(matrix, expect, times),
    }
}

fn check_scalar(v: f64, expect: &Expectation) -> Result<(), String> {
    match expect.scalar {
        Some(expected) if is_almost_equal(expected, v, TOLERANCE) => Ok(()),
        Some(expected) => Err(format!("expected the scalar {expected}, got {v}")),
        None => Err(format!("expected series, got the scalar {v}")),
    }
}

/// Expected series by labels, with their position; the last of equal ones counts.
fn by_labels(expect: &Expectation) -> HashMap<&Labels, (usize, &[SequenceValue])> {
    let with_position = expect.series.iter().enumerate();
    with_position.map(|(at, (labels, values))| (labels, (at, values.as_slice()))).collect()
}

fn check_vector(vector: &InstantVector, expect: &Expectation) -> Result<(), String> {
    if expect.scalar.is_some() {
        return Err(format!("expected a scalar, got {} series", vector.labels.len()));
    }
    let mut missing = by_labels(expect);
    for (at, (labels, v)) in vector.labels.iter().zip(&vector.values).enumerate() {
        let Some((expected_at, values)) = missing.remove(labels) else {
            return Err(format!("unexpected series {labels} with {v}"));
        };
        if expect.is_ordered && expected_at != at {
            return Err(format!("expected {labels} at place {expected_at}, it is at {at}"));
        }
        let h = vector.histograms.iter().find(|(series, _)| *series == at).map(|(_, h)| h);
        match (values.first(), h) {
            (Some(SequenceValue::Float(expected)), None)
                if is_almost_equal(*expected, *v, TOLERANCE) => {}
            (Some(SequenceValue::Histogram { h: expected, names_hint }), Some(h))
                if is_same(expected, h, *names_hint) => {}
            (expected, Some(h)) => {
                return Err(format!("expected {expected:?} for {labels}, got {h:?}"));
            }
            (expected, None) => {
                return Err(format!("expected {expected:?} for {labels}, got {v}"));
            }
        }
    }
    check_missing(&missing)
}

fn check_missing(missing: &HashMap<&Labels, (usize, &[SequenceValue])>) -> Result<(), String> {
    match missing.keys().min() {
        Some(labels) => Err(format!("expected series {labels} is missing")),
        None => Ok(()),
    }
}

fn check_matrix(
    matrix: &Matrix,
    expect: &Expectation,
    times: Option<StepGrid>,
) -> Result<(), String> {
    if expect.is_ordered {
        return Err("expected an ordered result, got a matrix".to_owned());
    }
    if expect.scalar.is_some() {
        return Err(format!("expected a scalar, got a matrix of {} series", matrix.series.len()));
    }
    let Some(times) = times else {
        return Err("expected an instant vector, got a matrix".to_owned());
    };
    check_sorted(matrix)?;
    let mut missing = by_labels(expect);
    for series in &matrix.series {
        let labels = &series.labels;
        let found: Vec<(i64, f64)> = series.samples(&matrix.grid).collect();
        let Some((_, values)) = missing.remove(labels) else {
            return Err(format!("unexpected series {labels} with {found:?}"));
        };
        if values.len() > times.count {
            return Err(format!("more values for {labels} than the range has steps"));
        }
        let expected: Vec<(i64, f64)> = values
            .iter()
            .enumerate()
            .filter_map(|(step, value)| match value {
                SequenceValue::Float(v) => Some((times.time_ms(step), *v)),
                SequenceValue::Omitted | SequenceValue::Histogram { .. } => None,
            })
            .collect();
        let is_same =
            |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && is_almost_equal(a.1, b.1, TOLERANCE);
        if expected.len() != found.len() || !expected.iter().zip(&found).all(is_same) {
            return Err(format!("expected {expected:?} for {labels}, got {found:?}"));
        }
        check_histograms(values, &series.histograms, times)
            .map_err(|why| format!("{why} for {labels}"))?;
    }
    check_missing(&missing)
}

/// Compares the native histograms of a series.
fn check_histograms(
    values: &[SequenceValue],
    found: &[(i64, Arc<FloatHistogram>)],
    times: StepGrid,
) -> Result<(), String> {
    let expected = values.iter().enumerate().filter_map(|(step, value)| match value {
        SequenceValue::Histogram { h, names_hint } => Some((times.time_ms(step), h, *names_hint)),
        SequenceValue::Omitted | SequenceValue::Float(_) => None,
    });
    let mut rest = found.iter();
    for (t_ms, h, names_hint) in expected {
        match rest.next() {
            Some((t, found)) if *t == t_ms && is_same(h, found, names_hint) => {}
            other => return Err(format!("expected {h:?} at {t_ms} ms, got {other:?}")),
        }
    }
    match rest.next() {
        Some(other) => Err(format!("unexpected {other:?}")),
        None => Ok(()),
    }
}

/// The series of a matrix always come in the order of their labels.
pub(super) fn check_sorted(matrix: &Matrix) -> Result<(), String> {
    match matrix.series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        Some(pair) => Err(format!("{} comes before {}", pair[0].labels, pair[1].labels)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)]).expect("valid")
    }

    fn expectation(series: &[(&str, f64)]) -> Expectation {
        let one = |(name, v): &(&str, f64)| (labels(name), vec![SequenceValue::Float(*v)]);
        Expectation { series: series.iter().map(one).collect(), ..Expectation::default() }
    }

    fn vector(series: &[(&str, f64)]) -> Value {
        Value::Vector(InstantVector {
            t_ms: 0,
            labels: series.iter().map(|s| labels(s.0)).collect(),
            values: series.iter().map(|s| s.1).collect(),
            histograms: Vec::new(),
        })
    }

    #[test]
    fn vectors_are_compared_by_labels() {
        let expect = expectation(&[("a", 1.0), ("b", f64::NAN)]);
        let check = |series: &[(&str, f64)]| check_value(&vector(series), &expect, None);
        assert_eq!(check(&[("b", f64::NAN), ("a", 1.0 + 1e-7)]), Ok(()));
        assert!(check(&[("b", f64::NAN), ("a", 1.0 + 1e-5)]).is_err());
        assert!(check(&[("a", 1.0)]).is_err());
        assert!(check(&[("a", 1.0), ("b", f64::NAN), ("c", 1.0)]).is_err());
        assert!(check(&[("a", 1.0), ("a", 1.0), ("b", f64::NAN)]).is_err());
        let ordered = Expectation { is_ordered: true, ..expect };
        let reversed = vector(&[("b", f64::NAN), ("a", 1.0)]);
        assert!(check_value(&reversed, &ordered, None).is_err());
    }

    #[test]
    fn scalars_and_texts_need_their_own_expectation() {
        let scalar = Value::Scalar { t_ms: 0, v: 2.0 };
        let expect = Expectation { scalar: Some(2.0), ..Expectation::default() };
        assert_eq!(check_value(&scalar, &expect, None), Ok(()));
        assert!(check_value(&scalar, &Expectation::default(), None).is_err());
        assert!(check_value(&vector(&[]), &expect, None).is_err());
        let text = Value::String { t_ms: 0, text: "a".to_owned() };
        let expect = Expectation { string: Some("a".to_owned()), ..Expectation::default() };
        assert_eq!(check_value(&text, &expect, None), Ok(()));
        assert!(check_value(&text, &Expectation::default(), None).is_err());
    }
}
