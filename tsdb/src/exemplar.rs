//! Exemplars: examples of what was counted, such as a trace, a bounded number of the latest ones.

use std::collections::VecDeque;

use hashbrown::HashMap;
use m3rs_core::model::Labels;
use parking_lot::Mutex;

use crate::limits::{EXEMPLARS_MAX, EXEMPLARS_PER_SERIES_MAX};

/// One example of what a series counted.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// When it was observed, in nanoseconds since 1970.
    pub t: i64,
    /// What was observed.
    pub value: f64,
    /// Labels of its own, such as a trace's id.
    pub labels: Labels,
}

/// Equality by bits.
impl PartialEq for Exemplar {
    fn eq(&self, other: &Self) -> bool {
        let same_value = self.value.to_bits() == other.value.to_bits();
        self.t == other.t && same_value && self.labels == other.labels
    }
}

/// The latest exemplars of a namespace: at most [`EXEMPLARS_PER_SERIES_MAX`] of one series and
/// [`EXEMPLARS_MAX`] in all. The ones that came first go first.
#[derive(Debug, Default)]
pub(crate) struct ExemplarStore(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By series ref, in order of arrival, each with the number of its arrival.
    series: HashMap<u32, VecDeque<(u64, Exemplar)>>,
    /// Series by arrival; an entry whose exemplar is gone is passed over.
    arrivals: VecDeque<(u64, u32)>,
    next: u64,
    held: usize,
}

impl ExemplarStore {
    /// Adds exemplars in their order; one that its series holds already is passed over.
    pub(crate) fn put(&self, refs: &[u32], exemplars: &[Exemplar]) {
        let mut inner = self.0.lock();
        for (&series, exemplar) in refs.iter().zip(exemplars) {
            inner.put(series, exemplar, EXEMPLARS_PER_SERIES_MAX, EXEMPLARS_MAX);
        }
    }

    /// Exemplars of a series in `from..=to`, ascending by time.
    pub(crate) fn of_series(&self, series: u32, (from, to): (i64, i64)) -> Vec<Exemplar> {
        let inner = self.0.lock();
        let all = inner.series.get(&series).into_iter().flatten().map(|(_, e)| e);
        let mut found: Vec<Exemplar> =
            all.filter(|e| (from..=to).contains(&e.t)).cloned().collect();
        found.sort_by_key(|e| e.t);
        found
    }

    /// Drops the exemplars of series that are gone.
    pub(crate) fn forget(&self, refs: &[u32]) {
        let mut inner = self.0.lock();
        for series in refs {
            let dropped = inner.series.remove(series).map_or(0, |list| list.len());
            inner.held -= dropped;
        }
    }

    /// All exemplars at or after `oldest`, in order of arrival.
    pub(crate) fn all(&self, oldest: i64) -> (Vec<u32>, Vec<Exemplar>) {
        let inner = self.0.lock();
        let mut all: Vec<(u64, u32, &Exemplar)> = Vec::with_capacity(inner.held);
        for (&series, list) in &inner.series {
            all.extend(list.iter().map(|(arrival, e)| (*arrival, series, e)));
        }
        all.sort_unstable_by_key(|(arrival, ..)| *arrival);
        let kept = all.into_iter().filter(|(_, _, e)| e.t >= oldest);
        kept.map(|(_, series, e)| (series, e.clone())).unzip()
    }
}

impl Inner {
    fn put(&mut self, series: u32, exemplar: &Exemplar, per_series_max: usize, max: usize) {
        let list = self.series.entry(series).or_default();
        if list.iter().any(|(_, known)| known == exemplar) {
            return;
        }
        list.push_back((self.next, exemplar.clone()));
        self.arrivals.push_back((self.next, series));
        self.next += 1;
        self.held += 1;
        if list.len() > per_series_max {
            list.pop_front();
            self.held -= 1;
        }
        while self.held > max {
            self.drop_oldest();
        }
        // Entries of exemplars that are gone do not pile up.
        if self.arrivals.len() > 2 * max.max(self.held) {
            let series = &self.series;
            self.arrivals.retain(|(arrival, of)| {
                let first = series.get(of).and_then(|list| list.front());
                first.is_some_and(|(first, _)| first <= arrival)
            });
        }
    }

    fn drop_oldest(&mut self) {
        let Some((arrival, series)) = self.arrivals.pop_front() else { return };
        let Some(list) = self.series.get_mut(&series) else { return };
        if list.front().is_some_and(|(first, _)| *first == arrival) {
            list.pop_front();
            self.held -= 1;
        }
        if list.is_empty() {
            self.series.remove(&series);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(t: i64) -> Exemplar {
        let labels = Labels::from_pairs([("trace", t.to_string())]).expect("valid");
        Exemplar { t, value: -0.0, labels }
    }

    #[test]
    fn both_limits_hold_and_the_first_go_first() {
        let mut inner = Inner::default();
        for t in 0..5 {
            inner.put(1, &exemplar(t), 3, 5);
            inner.put(1, &exemplar(t), 3, 5);
        }
        assert_eq!((inner.held, inner.series[&1].len()), (3, 3));
        for series in 2..5 {
            inner.put(series, &exemplar(9), 3, 5);
        }
        assert_eq!(inner.held, 5);
        let left: Vec<i64> = inner.series[&1].iter().map(|(_, e)| e.t).collect();
        assert_eq!(left, [3, 4]);
        for t in 0..1000 {
            inner.put(7, &exemplar(t), 3, 5);
        }
        assert!(inner.arrivals.len() <= 10, "{} arrivals", inner.arrivals.len());
        assert!(inner.held <= 5);
    }

    #[test]
    fn a_series_is_read_by_time() {
        let store = ExemplarStore::default();
        store.put(&[1, 1, 2], &[exemplar(5), exemplar(3), exemplar(4)]);
        assert_eq!(store.of_series(1, (0, 9)), [exemplar(3), exemplar(5)]);
        assert_eq!(store.of_series(1, (4, 5)), [exemplar(5)]);
        assert_eq!(store.of_series(9, (0, 9)), []);
        assert_eq!(store.all(4), (vec![1, 2], vec![exemplar(5), exemplar(4)]));
    }
}
