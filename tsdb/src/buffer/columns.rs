//! Samples as two columns, and how newer ones are laid over older ones.

use m3rs_core::model::Sample;
use m3rs_core::time::TimestampNs;

/// Samples of one series, ascending by time, each time once; times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Times in nanoseconds since 1970.
    pub ts: Vec<i64>,
    /// Values.
    pub vs: Vec<f64>,
}

impl Columns {
    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ts.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.vs.clear();
    }

    /// Appends one sample that is later than all others.
    pub fn push(&mut self, t: i64, v: f64) {
        self.ts.push(t);
        self.vs.push(v);
    }

    /// The samples one by one.
    pub fn iter(&self) -> impl Iterator<Item = Sample> + '_ {
        self.ts.iter().zip(&self.vs).map(|(&t, &v)| Sample { t: TimestampNs(t), v })
    }

    /// Lays `newer` over this: where both have a time, `newer` wins.
    ///
    /// Costs a copy of `newer` when it starts after the end of this, else of both.
    pub fn overlay(&mut self, newer: &Columns) {
        let Some(&first) = newer.ts.first() else { return };
        if self.ts.last().is_none_or(|&last| last < first) {
            self.ts.extend_from_slice(&newer.ts);
            self.vs.extend_from_slice(&newer.vs);
            return;
        }
        let keep = self.ts.partition_point(|&t| t < first);
        let old = Columns { ts: self.ts.split_off(keep), vs: self.vs.split_off(keep) };
        let (mut i, mut j) = (0, 0);
        while i < old.len() && j < newer.len() {
            if old.ts[i] < newer.ts[j] {
                self.push(old.ts[i], old.vs[i]);
                i += 1;
            } else {
                i += usize::from(old.ts[i] == newer.ts[j]);
                self.push(newer.ts[j], newer.vs[j]);
                j += 1;
            }
        }
        self.ts.extend_from_slice(&old.ts[i..]);
        self.vs.extend_from_slice(&old.vs[i..]);
        self.ts.extend_from_slice(&newer.ts[j..]);
        self.vs.extend_from_slice(&newer.vs[j..]);
    }

    /// Removes the samples in `from..=to`.
    pub fn remove_range(&mut self, from: i64, to: i64) {
        let first = self.ts.partition_point(|&t| t < from);
        let behind = self.ts.partition_point(|&t| t <= to).max(first);
        self.ts.drain(first..behind);
        self.vs.drain(first..behind);
    }

    /// Fills this from samples in order of arrival: sorted by time, the last arrival of a time
    /// wins. Only times in `from..=to` are taken.
    pub fn set_from_arrivals(&mut self, arrivals: &[(i64, f64)], from: i64, to: i64) {
        self.clear();
        let mut sorted: Vec<(i64, f64)> =
            arrivals.iter().copied().filter(|(t, _)| (from..=to).contains(t)).collect();
        sorted.sort_by_key(|&(t, _)| t);
        for (t, v) in sorted {
            if self.ts.last() == Some(&t) {
                self.vs.pop();
                self.vs.push(v);
            } else {
                self.push(t, v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn columns(map: &BTreeMap<i64, f64>) -> Columns {
        Columns { ts: map.keys().copied().collect(), vs: map.values().copied().collect() }
    }

    proptest! {
        #[test]
        fn overlay_is_map_extension(
            old in prop::collection::btree_map(0i64..40, 0.0f64..9.0, 0..20),
            newer in prop::collection::btree_map(0i64..40, 10.0f64..19.0, 0..20),
        ) {
            let mut got = columns(&old);
            got.overlay(&columns(&newer));
            let mut want = old;
            want.extend(newer);
            prop_assert_eq!(got.ts, want.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(got.vs, want.values().copied().collect::<Vec<_>>());
        }

        #[test]
        fn arrivals_keep_the_last(
            arrivals in prop::collection::vec((0i64..20, 0.0f64..9.0), 0..40),
        ) {
            let mut got = Columns::default();
            got.set_from_arrivals(&arrivals, 5, 15);
            let want: BTreeMap<i64, f64> =
                arrivals.into_iter().filter(|(t, _)| (5..=15).contains(t)).collect();
            prop_assert_eq!(got.ts, want.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(got.vs, want.values().copied().collect::<Vec<_>>());
        }
    }
}
