//! The labels of an operator's rows.

use std::sync::Arc;

use hashbrown::HashSet;
use m3rs_core::model::Labels;

use crate::promql::labelset::{self, Projection};

/// Labels by row number. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct SeriesList {
    labels: Arc<Vec<Labels>>,
    /// The metadata labels in `labels` do not count: cutting them off waits for the output.
    without_metadata: bool,
    /// Whether no two rows would carry the same labels if metadata labels did not count.
    names_are_alike: bool,
}

impl SeriesList {
    pub(crate) fn new(labels: Vec<Labels>) -> Self {
        Self { labels: Arc::new(labels), without_metadata: false, names_are_alike: false }
    }

    /// Series that all have the same metric name.
    pub(crate) fn of_one_metric(labels: Arc<Vec<Labels>>) -> Self {
        Self { labels, without_metadata: false, names_are_alike: true }
    }

    pub(crate) fn shared(labels: Arc<Vec<Labels>>) -> Self {
        Self { labels, without_metadata: false, names_are_alike: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The labels of a row, as they are shown.
    pub(crate) fn labels(&self, row: usize) -> Labels {
        if self.without_metadata {
            labelset::without_metadata(&self.labels[row])
        } else {
            self.labels[row].clone()
        }
    }

    /// The encoding of a row's labels; metadata labels may stand there without counting.
    pub(crate) fn raw(&self, row: usize) -> &[u8] {
        self.labels[row].as_bytes()
    }

    /// Restricts a projection to the labels that count here.
    pub(crate) fn project(&self, projection: Projection) -> Projection {
        projection.and_metadata(self.without_metadata)
    }

    /// The metric name of a row, unless an operation cut it off.
    pub(crate) fn name(&self, row: usize) -> Option<&str> {
        if self.without_metadata {
            return None;
        }
        self.labels[row].metric_name()
    }

    /// The same rows without metadata labels.
    pub(crate) fn drop_metadata(&self) -> Self {
        Self { without_metadata: true, ..self.clone() }
    }

    /// Whether two rows carry the same labels.
    pub(crate) fn has_duplicates(&self) -> bool {
        if !self.without_metadata || self.names_are_alike || self.len() < 2 {
            return !self.without_metadata && self.has_equal_raw();
        }
        let projection = self.project(Projection::all());
        let mut seen: HashSet<u128> = HashSet::with_capacity(self.len());
        let mut key = Vec::new();
        (0..self.len()).any(|row| {
            projection.apply(self.raw(row), &mut key);
            !seen.insert(xxhash_rust::xxh3::xxh3_128(&key))
        })
    }

    fn has_equal_raw(&self) -> bool {
        if self.names_are_alike || self.len() < 2 {
            return false;
        }
        let mut seen: HashSet<u128> = HashSet::with_capacity(self.len());
        (0..self.len()).any(|row| !seen.insert(xxhash_rust::xxh3::xxh3_128(self.raw(row))))
    }

    /// All labels as they are shown.
    pub(crate) fn shown(&self) -> Vec<Labels> {
        (0..self.len()).map(|row| self.labels(row)).collect()
    }

    /// The rows of `order`, in that order.
    pub(crate) fn reordered(&self, order: &[usize]) -> Self {
        let labels = order.iter().map(|&row| self.labels[row].clone()).collect();
        Self { labels: Arc::new(labels), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(pairs: &[(&str, &str)]) -> SeriesList {
        SeriesList::new(
            pairs
                .iter()
                .map(|(name, a)| Labels::from_pairs([("__name__", *name), ("a", *a)]).unwrap())
                .collect(),
        )
    }

    #[test]
    fn duplicates_appear_when_names_go() {
        let distinct = list(&[("x", "1"), ("x", "2")]);
        assert!(!distinct.has_duplicates());
        assert!(!distinct.drop_metadata().has_duplicates());
        let alike = list(&[("x", "1"), ("y", "1")]);
        assert!(!alike.has_duplicates());
        assert!(alike.drop_metadata().has_duplicates());
        assert!(list(&[("x", "1"), ("x", "1")]).has_duplicates());
        assert_eq!(alike.drop_metadata().labels(1), Labels::from_pairs([("a", "1")]).unwrap());
    }
}
