//! Which series matchers find: those of the index, but for those that it is not to hold.
//!
//! The labels of every series are stored either way, as files refer to them. So options of the
//! index take effect at once and both ways, on old series too.

use std::borrow::Cow;
use std::sync::Arc;

use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_core::time::TimestampNs;
use m3rs_index::{IndexError, Limited};
use roaring::RoaringBitmap;

use super::{IndexOptions, Namespace};
use crate::activity::Activity;
use crate::error::TsdbError;
use crate::read::{Most, Select, Selection};

impl Namespace {
    /// Finds the series for which all matchers hold; their samples are read afterwards.
    ///
    /// A series that is not indexed is found if the matchers are equalities with all of its
    /// labels.
    ///
    /// # Errors
    /// [`TsdbError::Index`] for a bad regular expression or more than `series_max` series;
    /// [`TsdbError::NotIndexed`]; [`TsdbError::StillOpening`] for times that a start left for
    /// later.
    pub fn select(
        self: &Arc<Self>,
        matchers: &[Matcher],
        start: TimestampNs,
        end: TimestampNs,
        series_max: usize,
    ) -> Result<Selection, TsdbError> {
        let (range, series) = ((start, end), Most::All(series_max));
        self.select_some(&Select { matchers, range, labels: None, series })
    }

    /// As [`Namespace::select`], with a choice of what is wanted.
    ///
    /// # Errors
    /// As [`Namespace::select`].
    pub fn select_some(self: &Arc<Self>, select: &Select<'_>) -> Result<Selection, TsdbError> {
        let (start, end) = select.range;
        let range = (start.0.max(self.horizon().0), end.0);
        self.check_opened(range)?;
        Selection::new(Arc::clone(self), select, range)
    }

    /// Refs of the series that [`Namespace::select`] finds, ascending. Those that have no samples
    /// in blocks of the range are left out, and do not count; if a block is not open yet, none are.
    pub(crate) fn find(
        &self,
        matchers: &[Matcher],
        range: (i64, i64),
        series_max: usize,
    ) -> Result<Vec<u32>, TsdbError> {
        let options = self.options();
        let index = &options.index;
        if index.enabled && index.do_not_index.is_empty() {
            let found = self.index.find(matchers)?;
            return Activity::of(self, range).among(&found, series_max);
        }
        let exact = match exact_labels(matchers) {
            Some(labels) => Some(self.registry.find(&labels, &self.index)?),
            None => None,
        };
        if !index.enabled {
            let found = exact.ok_or_else(|| self.not_indexed())?;
            return Ok(found.into_iter().collect());
        }
        let active = Activity::of(self, range).refs();
        let sets = seen(index, matchers);
        let mut found = self.index.series(&sets, active.as_ref(), usize::MAX)?.items;
        if let Some(series) = exact.flatten()
            && let Err(at) = found.binary_search(&series)
        {
            found.insert(at, series);
        }
        if found.len() > series_max {
            let matched = found.len() as u64;
            return Err(IndexError::TooMany { matched, limit: series_max }.into());
        }
        Ok(found)
    }

    /// Refs of the series that [`Namespace::select`] finds by any of the sets, ascending.
    pub(crate) fn find_any(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: (i64, i64),
    ) -> Result<Vec<u32>, TsdbError> {
        let mut all = Vec::new();
        for matchers in matcher_sets {
            all.append(&mut self.find(matchers, range, usize::MAX)?);
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Names of labels of the series for which any of the matcher sets holds and which have
    /// samples in blocks between `start` and `end`; a limit of 0 is none.
    ///
    /// # Errors
    /// [`TsdbError::Index`], [`TsdbError::NotIndexed`], [`TsdbError::StillOpening`].
    pub fn label_names(
        &self,
        matcher_sets: &[Vec<Matcher>],
        (start, end): (TimestampNs, TimestampNs),
        limit: usize,
    ) -> Result<Limited<String>, TsdbError> {
        let sets = self.seen_sets(matcher_sets, NoSets::MeansAll)?;
        let active = self.active_between(start, end)?;
        Ok(self.index.label_names(&sets, active.as_ref(), count_max(limit))?)
    }

    /// Values of the label `name`, as [`Namespace::label_names`].
    ///
    /// # Errors
    /// As [`Namespace::label_names`].
    pub fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        (start, end): (TimestampNs, TimestampNs),
        limit: usize,
    ) -> Result<Limited<String>, TsdbError> {
        let sets = self.seen_sets(matcher_sets, NoSets::MeansAll)?;
        let active = self.active_between(start, end)?;
        Ok(self.index.label_values(name, &sets, active.as_ref(), count_max(limit))?)
    }

    /// Label sets of series, as [`Namespace::label_names`].
    ///
    /// # Errors
    /// As [`Namespace::label_names`].
    pub fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        (start, end): (TimestampNs, TimestampNs),
        limit: usize,
    ) -> Result<Limited<Labels>, TsdbError> {
        let sets = self.seen_sets(matcher_sets, NoSets::MeansNone)?;
        let active = self.active_between(start, end)?;
        let found = self.index.series(&sets, active.as_ref(), count_max(limit))?;
        let labels = match &*sets {
            [matchers] => self.labels_of((matchers, None), &found.items)?,
            _ => self.index.labels_of(&found.items)?,
        };
        let items = sorted(labels.into_iter().flatten().collect());
        Ok(Limited { items, truncated: found.truncated })
    }

    /// The labels of series that the matchers found, ascending; those with `names`, if there are
    /// some.
    pub(crate) fn labels_of(
        &self,
        (matchers, names): (&[Matcher], Option<&[String]>),
        found: &[u32],
    ) -> Result<Vec<Option<Labels>>, IndexError> {
        self.cache.labels.get(self.id, (matchers, names), found, |unknown| match names {
            None => self.index.labels_of(unknown),
            Some(names) => self.index.some_labels_of(unknown, names),
        })
    }

    /// The series with samples in blocks of the range, as far as retention keeps them; `None` for
    /// all.
    fn active_between(
        &self,
        start: TimestampNs,
        end: TimestampNs,
    ) -> Result<Option<RoaringBitmap>, TsdbError> {
        let range = (start.0.max(self.horizon().0), end.0);
        self.check_opened(range)?;
        Ok(Activity::of(self, range).refs())
    }

    /// The sets of matchers with conditions that leave out what is not indexed.
    fn seen_sets<'a>(
        &self,
        sets: &'a [Vec<Matcher>],
        no_sets: NoSets,
    ) -> Result<Cow<'a, [Vec<Matcher>]>, TsdbError> {
        let options = self.options();
        let index = &options.index;
        if !index.enabled {
            return Err(self.not_indexed());
        }
        if index.do_not_index.is_empty() {
            return Ok(Cow::Borrowed(sets));
        }
        if sets.is_empty() && no_sets == NoSets::MeansAll {
            return Ok(Cow::Owned(seen(index, &[])));
        }
        Ok(Cow::Owned(sets.iter().flat_map(|matchers| seen(index, matchers)).collect()))
    }

    fn not_indexed(&self) -> TsdbError {
        TsdbError::NotIndexed { name: self.name().to_owned() }
    }
}

/// What an empty list of matcher sets stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoSets {
    MeansAll,
    MeansNone,
}

/// Sets of matchers for the series that are not hidden. Those are hidden for which all of some
/// matchers hold; so each set has the opposite of one of these.
fn seen(index: &IndexOptions, matchers: &[Matcher]) -> Vec<Vec<Matcher>> {
    let opposite = |op| match op {
        MatchOp::Equal => MatchOp::NotEqual,
        MatchOp::NotEqual => MatchOp::Equal,
        MatchOp::Regexp => MatchOp::NotRegexp,
        MatchOp::NotRegexp => MatchOp::Regexp,
    };
    let shown = |m: &Matcher| Matcher::new(m.name.clone(), opposite(m.op), m.value.clone());
    let with = |m| matchers.iter().cloned().chain([shown(m)]).collect();
    index.do_not_index.iter().map(with).collect()
}

/// The only labels that a series for which all these hold can have, if they are to be all of its
/// labels.
fn exact_labels(matchers: &[Matcher]) -> Option<Labels> {
    if matchers.is_empty() || matchers.iter().any(|m| m.op != MatchOp::Equal) {
        return None;
    }
    Labels::from_pairs(matchers.iter().map(|m| (&m.name, &m.value))).ok()
}

/// Sorts labels by keys whose bytes are in the order of the labels: a comparison of labels walks
/// over all that two of them have in common.
fn sorted(all: Vec<Labels>) -> Vec<Labels> {
    let mut keys = Vec::new();
    let mut ends = Vec::with_capacity(all.len());
    for labels in &all {
        let mut rest = labels.iter();
        while let Some((name, value)) = rest.next_bytes() {
            put_key(name, &mut keys);
            put_key(value, &mut keys);
        }
        ends.push(keys.len());
    }
    let key = |number: usize| {
        let start = number.checked_sub(1).map_or(0, |before| ends[before]);
        &keys[start..ends[number]]
    };
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
    order.into_iter().map(|number| all[number].clone()).collect()
}

/// Appends a text such that it is before all that begin with it: its end is two zeros, a zero in it
/// is one before the largest byte.
fn put_key(text: &[u8], out: &mut Vec<u8>) {
    for (number, piece) in text.split(|byte| *byte == 0).enumerate() {
        if number > 0 {
            out.extend_from_slice(&[0, 0xff]);
        }
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&[0, 0]);
}

/// A limit of 0 is none.
fn count_max(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_labels(
            sets in prop::collection::vec(
                prop::collection::btree_map("[a\\x00\u{ff}]{1,3}", "[a\\x00\u{ff}]{1,3}", 0..3),
                0..20),
        ) {
            let labels = sets.iter().map(|set| Labels::from_pairs(set.iter()).expect("valid"));
            let all: Vec<Labels> = labels.collect();
            let mut want = all.clone();
            want.sort();
            prop_assert_eq!(sorted(all), want);
        }
    }
}
