//! The labels of an operator's rows.

use std::sync::Arc;

use hashbrown::HashSet;
use m3rs_core::model::Labels;

use crate::promql::labelset::{self, Projection};

/// When an operation that makes another quantity of a metric takes its name away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRemoval {
    /// At once.
    AtOnce,
    /// At the end of the query; until then operations see the name.
    AtEnd,
}

/// Rows whose metadata labels go at the end of the query.
#[derive(Clone, Debug)]
enum Pending {
    None,
    All,
    /// By row.
    Some(Arc<Vec<bool>>),
}

/// Labels by row number. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct SeriesList {
    labels: Arc<Vec<Labels>>,
    /// The metadata labels in `labels` do not count: cutting them off waits for the output.
    without_metadata: bool,
    pending: Pending,
    /// Whether no two rows would carry the same labels if metadata labels did not count.
    names_are_alike: bool,
    /// The metric name of all rows, where it is known without their labels.
    one_name: Option<Arc<str>>,
}

impl SeriesList {
    pub(crate) fn new(labels: Vec<Labels>) -> Self {
        Self::shared(Arc::new(labels))
    }

    /// The same, all of one metric; `are_alike` if no other metadata label tells them apart.
    pub(crate) fn of_one_metric(self, name: &str, are_alike: bool) -> Self {
        Self { names_are_alike: are_alike, one_name: Some(name.into()), ..self }
    }

    pub(crate) fn shared(labels: Arc<Vec<Labels>>) -> Self {
        let pending = Pending::None;
        let (without_metadata, names_are_alike) = (false, false);
        Self { labels, without_metadata, pending, names_are_alike, one_name: None }
    }

    /// The same, with whether each row's metadata labels go at the end.
    pub(crate) fn with_pending(self, pending: Vec<bool>) -> Self {
        debug_assert_eq!(pending.len(), self.len(), "BUG: a mark for each row");
        let pending = match pending.iter().any(|p| *p) {
            true => Pending::Some(Arc::new(pending)),
            false => Pending::None,
        };
        Self { pending, ..self }
    }

    /// Whether the metadata labels of a row go at the end.
    pub(crate) fn is_pending(&self, row: usize) -> bool {
        match &self.pending {
            Pending::None => false,
            Pending::All => true,
            Pending::Some(rows) => rows[row],
        }
    }

    /// Whether the metadata labels of any row go at the end.
    pub(crate) fn has_pending(&self) -> bool {
        !matches!(self.pending, Pending::None)
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
        self.labels[row].metric_name().or(self.one_name.as_deref())
    }

    /// The same rows without metadata labels, now or at the end.
    pub(crate) fn drop_metadata(&self, removal: NameRemoval) -> Self {
        match removal {
            NameRemoval::AtOnce => {
                Self { without_metadata: true, pending: Pending::None, ..self.clone() }
            }
            NameRemoval::AtEnd => Self { pending: Pending::All, ..self.clone() },
        }
    }

    /// The same rows at the end of the query.
    pub(crate) fn settled(&self) -> Self {
        let Pending::Some(rows) = &self.pending else {
            return if self.has_pending() {
                self.drop_metadata(NameRemoval::AtOnce)
            } else {
                self.clone()
            };
        };
        let settle = |(row, is_pending): (usize, &bool)| match is_pending {
            true => labelset::without_metadata(&self.labels[row]),
            false => self.labels(row),
        };
        Self::new(rows.iter().enumerate().map(settle).collect())
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
        let pending = match &self.pending {
            Pending::Some(rows) => {
                Pending::Some(Arc::new(order.iter().map(|&r| rows[r]).collect()))
            }
            same => same.clone(),
        };
        Self { labels: Arc::new(labels), pending, ..self.clone() }
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
        assert!(!distinct.drop_metadata(NameRemoval::AtOnce).has_duplicates());
        let alike = list(&[("x", "1"), ("y", "1")]);
        assert!(!alike.has_duplicates());
        assert!(alike.drop_metadata(NameRemoval::AtOnce).has_duplicates());
        assert!(list(&[("x", "1"), ("x", "1")]).has_duplicates());
        let bare = Labels::from_pairs([("a", "1")]).unwrap();
        assert_eq!(alike.drop_metadata(NameRemoval::AtOnce).labels(1), bare);
    }

    #[test]
    fn names_may_wait_for_the_end() {
        let bare = Labels::from_pairs([("a", "1")]).unwrap();
        let all = list(&[("x", "1"), ("y", "1")]).drop_metadata(NameRemoval::AtEnd);
        assert!(all.has_pending() && !all.has_duplicates());
        assert_eq!(all.name(1), Some("y"));
        let settled = all.settled();
        assert!(!settled.has_pending() && settled.has_duplicates());
        assert_eq!(settled.labels(1), bare);
        let some = list(&[("x", "1"), ("y", "1")]).with_pending(vec![false, true]);
        let settled = some.reordered(&[1, 0]).settled();
        assert_eq!(settled.labels(0), bare);
        assert_eq!(settled.labels(1), some.labels(0));
        assert!(!list(&[("x", "1")]).with_pending(vec![false]).has_pending());
    }
}
