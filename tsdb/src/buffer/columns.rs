//! Samples in columns, and how newer ones are laid over older ones.

use std::sync::Arc;

use m3rs_core::model::{Histogram, Sample};
use m3rs_core::time::TimestampNs;

use super::rich::{LateSample, RichSample, SampleValue};

/// Samples of one series, ascending by time, each time once; times in nanoseconds.
///
/// A time is in `ts` or in `rich.histograms`, never in both.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Times of the floats, in nanoseconds since 1970.
    pub ts: Vec<i64>,
    /// Values of the floats.
    pub vs: Vec<f64>,
    /// `ts` in milliseconds since 1970, if a read knows them and each is there once; else empty.
    pub millis: Vec<i64>,
    /// What is not a plain float. Empty for most series, and costs nothing then.
    pub rich: Rich,
    /// Whether reads into this leave out what samples carry beside their value, which costs time.
    pub values_only: bool,
}

/// Histograms, and what samples carry beside their value.
#[derive(Clone, Debug, Default)]
pub struct Rich {
    /// Native histograms.
    pub histograms: Timed<Arc<Histogram>>,
    /// Start timestamps in nanoseconds, by the time of the sample that carries each.
    pub starts: Timed<i64>,
    /// Annotations, by the time of the sample that carries each.
    pub annotations: Timed<Arc<[u8]>>,
    /// First and last times of ranges in which all older samples are deleted. Layers have them;
    /// what a query gets does not.
    pub(crate) deleted: Vec<(i64, i64)>,
}

/// Values by time, ascending, each time once.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    /// Times in nanoseconds since 1970.
    pub ts: Vec<i64>,
    /// A value for each time.
    pub values: Vec<T>,
}

impl<T> Default for Timed<T> {
    fn default() -> Self {
        Self { ts: Vec::new(), values: Vec::new() }
    }
}

impl<T> Timed<T> {
    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// The value at a time. Logarithmic.
    #[must_use]
    pub fn at(&self, t: i64) -> Option<&T> {
        self.ts.binary_search(&t).ok().and_then(|i| self.values.get(i))
    }

    fn clear(&mut self) {
        self.ts.clear();
        self.values.clear();
    }

    pub(crate) fn push(&mut self, t: i64, value: T) {
        self.ts.push(t);
        self.values.push(value);
    }
}

impl Rich {
    /// Whether there is nothing but plain floats.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.histograms.is_empty()
            && self.starts.is_empty()
            && self.annotations.is_empty()
            && self.deleted.is_empty()
    }
}

impl Columns {
    /// Plain floats.
    #[must_use]
    pub fn of_floats(ts: Vec<i64>, vs: Vec<f64>) -> Self {
        Self { ts, vs, ..Self::default() }
    }

    /// The number of samples of any kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ts.len() + self.rich.histograms.ts.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty() && self.rich.histograms.is_empty()
    }

    /// Times of the first and the last sample; `None` if there is none.
    #[must_use]
    pub fn bounds(&self) -> Option<(i64, i64)> {
        let of = |ts: &[i64]| Some((*ts.first()?, *ts.last()?));
        match (of(&self.ts), of(&self.rich.histograms.ts)) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        }
    }

    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.vs.clear();
        self.millis.clear();
        self.rich.histograms.clear();
        self.rich.starts.clear();
        self.rich.annotations.clear();
        self.rich.deleted.clear();
    }

    /// Appends one plain float that is later than all other samples.
    pub fn push(&mut self, t: i64, v: f64) {
        self.ts.push(t);
        self.vs.push(v);
    }

    /// Appends one sample of any kind that is later than all others.
    pub fn push_rich(&mut self, t: i64, sample: &RichSample) {
        match &sample.value {
            SampleValue::Float(v) => self.push(t, *v),
            SampleValue::Histogram(h) => self.rich.histograms.push(t, Arc::clone(h)),
        }
        if sample.start_ns != 0 {
            self.rich.starts.push(t, sample.start_ns);
        }
        if let Some(annotation) = &sample.annotation {
            self.rich.annotations.push(t, Arc::clone(annotation));
        }
    }

    /// The floats one by one.
    pub fn iter(&self) -> impl Iterator<Item = Sample> + '_ {
        self.ts.iter().zip(&self.vs).map(|(&t, &v)| Sample { t: TimestampNs(t), v })
    }

    /// Times of all samples, ascending.
    #[must_use]
    pub fn times(&self) -> Vec<i64> {
        let mut times = Vec::with_capacity(self.len());
        let (floats, histograms) = (&self.ts, &self.rich.histograms.ts);
        let mut next = 0;
        for &t in floats {
            let before = histograms[next..].partition_point(|&h| h < t);
            times.extend_from_slice(&histograms[next..next + before]);
            next += before;
            times.push(t);
        }
        times.extend_from_slice(&histograms[next..]);
        times
    }

    /// Lays `newer` over this: where both have a time, `newer` wins, whatever the kinds are.
    ///
    /// Costs a copy of `newer` when it starts after the end of this, else of both.
    pub fn overlay(&mut self, newer: &Columns) {
        if !self.rich.is_empty() || !newer.rich.is_empty() {
            return self.overlay_any_kind(newer);
        }
        let Some(&first) = newer.ts.first() else { return };
        if self.ts.last().is_none_or(|&last| last < first) {
            self.ts.extend_from_slice(&newer.ts);
            self.vs.extend_from_slice(&newer.vs);
            return;
        }
        let keep = self.ts.partition_point(|&t| t < first);
        let old = Columns::of_floats(self.ts.split_off(keep), self.vs.split_off(keep));
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

    /// As [`Columns::overlay`], with floats that ascend by time. `scratch` is working memory.
    pub(crate) fn overlay_samples(&mut self, newer: &[(i64, f64)], scratch: &mut Columns) {
        let Some(&(first, _)) = newer.first() else { return };
        let is_after = self.ts.last().is_none_or(|&last| last < first);
        if is_after && self.rich.is_empty() {
            self.ts.extend(newer.iter().map(|(t, _)| t));
            self.vs.extend(newer.iter().map(|(_, v)| v));
            return;
        }
        scratch.clear();
        scratch.ts.extend(newer.iter().map(|(t, _)| t));
        scratch.vs.extend(newer.iter().map(|(_, v)| v));
        self.overlay(scratch);
    }

    #[cold]
    fn overlay_any_kind(&mut self, newer: &Columns) {
        newer.rich.deleted.iter().for_each(|&range| self.delete(range));
        let Some((first, _)) = newer.bounds() else { return };
        // Each column loses the times of all newer samples, of whatever kind they are.
        let taken = match self.bounds() {
            Some((_, last)) if last >= first => newer.times(),
            _ => Vec::new(),
        };
        let (rich, more) = (&mut self.rich, &newer.rich);
        lay((&mut self.ts, &mut self.vs), &taken, (&newer.ts, &newer.vs));
        rich.histograms.lay(&taken, &more.histograms);
        rich.starts.lay(&taken, &more.starts);
        rich.annotations.lay(&taken, &more.annotations);
    }

    /// Deletes what is in the range, here and in whatever this is laid over.
    pub(crate) fn delete(&mut self, (from, to): (i64, i64)) {
        self.remove_range(from, to);
        if !self.rich.deleted.contains(&(from, to)) {
            self.rich.deleted.push((from, to));
        }
    }

    /// Removes the samples in `from..=to`.
    fn remove_range(&mut self, from: i64, to: i64) {
        remove_range((&mut self.ts, &mut self.vs), from, to);
        self.rich.histograms.remove_range(from, to);
        self.rich.starts.remove_range(from, to);
        self.rich.annotations.remove_range(from, to);
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

    /// As [`Columns::set_from_arrivals`], with samples of other kinds among them.
    pub(super) fn set_from_mixed_arrivals(
        &mut self,
        plain: &[(i64, f64)],
        rich: &[LateSample],
        (from, to): (i64, i64),
    ) {
        self.clear();
        // An arrival's rank is odd for plain ones, so that each rich one fits between two.
        let rich =
            rich.iter().map(|late| (late.t, 2 * late.after as usize, Some(&late.sample), 0.0));
        let plain = plain.iter().enumerate().map(|(i, &(t, v))| (t, 2 * i + 1, None, v));
        let mut all: Vec<_> = rich.chain(plain).filter(|(t, ..)| (from..=to).contains(t)).collect();
        all.sort_by_key(|&(t, rank, ..)| (t, rank));
        let mut all = all.into_iter().peekable();
        while let Some((t, _, sample, v)) = all.next() {
            if all.peek().is_some_and(|next| next.0 == t) {
                continue;
            }
            match sample {
                Some(sample) => self.push_rich(t, sample),
                None => self.push(t, v),
            }
        }
    }
}

/// Removes the times in `from..=to` from a column.
fn remove_range<T>((ts, values): (&mut Vec<i64>, &mut Vec<T>), from: i64, to: i64) {
    let first = ts.partition_point(|&t| t < from);
    let behind = ts.partition_point(|&t| t <= to).max(first);
    ts.drain(first..behind);
    values.drain(first..behind);
}

impl<T> Timed<T> {
    fn remove_range(&mut self, from: i64, to: i64) {
        remove_range((&mut self.ts, &mut self.values), from, to);
    }
}

impl<T: Clone> Timed<T> {
    fn lay(&mut self, taken: &[i64], newer: &Self) {
        lay((&mut self.ts, &mut self.values), taken, (&newer.ts, &newer.values));
    }
}

/// Removes the times in `taken` from a column and merges `newer` in, whose times are among those
/// unless it begins after the column's end.
fn lay<T: Clone>(
    (ts, values): (&mut Vec<i64>, &mut Vec<T>),
    taken: &[i64],
    (newer_ts, newer_values): (&[i64], &[T]),
) {
    let first = taken.first().copied().unwrap_or(i64::MAX);
    let keep = ts.partition_point(|&t| t < first);
    let old_ts = ts.split_off(keep);
    let old_values = values.split_off(keep);
    let mut newer = newer_ts.iter().zip(newer_values).peekable();
    for (t, value) in old_ts.into_iter().zip(old_values) {
        while let Some((&newer_t, newer_value)) = newer.next_if(|(newer_t, _)| **newer_t <= t) {
            ts.push(newer_t);
            values.push(newer_value.clone());
        }
        if taken.binary_search(&t).is_err() {
            ts.push(t);
            values.push(value);
        }
    }
    for (&t, value) in newer {
        ts.push(t);
        values.push(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn columns(map: &BTreeMap<i64, f64>) -> Columns {
        Columns::of_floats(map.keys().copied().collect(), map.values().copied().collect())
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
