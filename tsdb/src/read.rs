//! The read path: matchers to series, series to columns.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::{Histogram, Labels, Matcher};
use m3rs_core::time::TimestampNs;
use parking_lot::Mutex;

use crate::buffer::{Columns, Slot};
use crate::error::TsdbError;
use crate::namespace::{Namespace, Place};
use crate::shard::ReadScratch;

/// Most descriptions of damage that one selection keeps; the rest is counted.
const DAMAGE_TEXTS_MAX: usize = 10;

/// Which samples of a series are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All in the range.
    All,
    /// The last one in the range; others may be there as well.
    Last,
}

/// Which series are wanted, and what of them.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// All of these hold for each series.
    pub matchers: &'a [Matcher],
    /// First and last time of the samples that are wanted.
    pub range: (TimestampNs, TimestampNs),
    /// Names of the labels that are wanted; `None` for all. Without some labels several series may
    /// have the same ones.
    pub labels: Option<&'a [String]>,
    /// Series to take.
    pub series: Most,
}

/// How many series are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// More are an error.
    All(usize),
    /// Of more the first are taken; [`Selection::matched`] tells how many there are.
    First(usize),
}

/// What of each sample is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Its time, and its value or histogram.
    Values,
    /// What it carries as well.
    All,
}

/// Working memory of a thread that reads.
#[derive(Debug, Default)]
struct ReadMemory {
    shard: ReadScratch,
    /// Numbers of the series of a batch, by shard.
    numbers: Vec<Vec<usize>>,
    /// The shards that have some.
    of_batch: Vec<u16>,
    /// Ref and slot of those of a shard.
    slots: Vec<(u32, Slot)>,
}

impl ReadMemory {
    /// Gathers the numbers of series, of which the first has number `first`, by shard.
    fn sort_by_shard(&mut self, places: &[(u32, Place)], first: usize) {
        let Self { numbers, of_batch, .. } = self;
        of_batch.drain(..).for_each(|shard| numbers[usize::from(shard)].clear());
        for ((_, place), number) in places.iter().zip(first..) {
            let shard = usize::from(place.shard);
            if numbers.len() <= shard {
                numbers.resize_with(shard + 1, Vec::new);
            }
            if numbers[shard].is_empty() {
                of_batch.push(place.shard);
            }
            numbers[shard].push(number);
        }
    }
}

thread_local! {
    static MEMORY: RefCell<ReadMemory> = RefCell::default();
}

/// Series that matched. Their samples are read one series at a time, from any thread.
#[derive(Debug)]
pub struct Selection {
    namespace: Arc<Namespace>,
    labels: Vec<Labels>,
    /// By series number, with the ref.
    places: Vec<(u32, Place)>,
    matched: u64,
    range: (i64, i64),
    damage: Mutex<Vec<String>>,
}

impl Selection {
    pub(crate) fn new(
        namespace: Arc<Namespace>,
        select: &Select<'_>,
        range: (i64, i64),
    ) -> Result<Self, TsdbError> {
        let (limit, kept) = match select.series {
            Most::All(max) => (max, max),
            Most::First(max) => (usize::MAX, max),
        };
        let mut found = namespace.find(select.matchers, range, limit)?;
        let matched = found.len() as u64;
        found.truncate(kept);
        let damage = namespace.losses_met(range, select.matchers)?;
        let mut labels = Vec::with_capacity(found.len());
        let mut places = Vec::with_capacity(found.len());
        {
            let of_found = namespace.labels_of((select.matchers, select.labels), &found)?;
            let tables = namespace.registry.read();
            for (series, found) in found.into_iter().zip(of_found) {
                // A series is in the index an instant before it is in the table; it has no
                // samples then.
                if let (Some(place), Some(found)) = (tables.place(series), found) {
                    labels.push(found);
                    places.push((series, place));
                }
            }
        }
        Ok(Self { namespace, labels, places, matched, range, damage: Mutex::new(damage) })
    }

    /// Labels by series number.
    #[must_use]
    pub fn labels(&self) -> &[Labels] {
        &self.labels
    }

    /// Series that matched; those that a limit cut off count.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.matched
    }

    /// Takes the labels out; series numbers stay what they are.
    #[must_use]
    pub fn take_labels(&mut self) -> Vec<Labels> {
        std::mem::take(&mut self.labels)
    }

    /// Reads the samples of series `number` in the selected range into `out`, which is cleared.
    ///
    /// Damaged blocks are left out; [`Selection::damage`] tells of them.
    pub fn read(&self, number: usize, out: &mut Columns) {
        let Some(&(series, place)) = self.places.get(number) else { return out.clear() };
        let shard = &self.namespace.shards[usize::from(place.shard)];
        MEMORY.with_borrow_mut(|ReadMemory { shard: scratch, .. }| {
            scratch.out.values_only = out.values_only;
            let take = |_, found: &mut Columns| std::mem::swap(found, out);
            let what = (self.range, Wanted::All);
            shard.read(&[(series, place.slot)], what, scratch, take, |e| self.note_damage(&e));
        });
    }

    /// The last sample of series `number` before the selected range, if it is a histogram and at
    /// most `within_ns` before the range.
    #[must_use]
    pub fn histogram_before(&self, number: usize, within_ns: i64) -> Option<Arc<Histogram>> {
        let &(series, place) = self.places.get(number)?;
        let shard = &self.namespace.shards[usize::from(place.shard)];
        let (start, _) = self.range;
        let range = (start.saturating_sub(within_ns), start.saturating_sub(1));
        let mut before = None;
        MEMORY.with_borrow_mut(|ReadMemory { shard: scratch, .. }| {
            scratch.out.values_only = true;
            let take = |_, found: &mut Columns| {
                let histograms = &found.rich.histograms;
                let last = histograms.ts.last().zip(histograms.values.last());
                let is_last = |t| found.ts.last().is_none_or(|float| float < t);
                before = last.filter(|(t, _)| is_last(*t)).map(|(_, h)| Arc::clone(h));
            };
            let what = (range, Wanted::Last);
            shard.read(&[(series, place.slot)], what, scratch, take, |e| self.note_damage(&e));
        });
        before
    }

    /// Reads the samples of several series in the selected range, and gives each to `take` by its
    /// number; those of one shard come one after the other. Series of a shard are seen as of one
    /// moment. `take` may keep the columns and leave others in their place; it must not read
    /// itself.
    ///
    /// Damaged blocks are left out; [`Selection::damage`] tells of them.
    pub fn read_many(
        &self,
        numbers: Range<usize>,
        (wanted, detail): (Wanted, Detail),
        mut take: impl FnMut(usize, &mut Columns),
    ) {
        let first = numbers.start;
        let Some(places) = self.places.get(numbers) else { return };
        MEMORY.with_borrow_mut(|memory| {
            memory.sort_by_shard(places, first);
            let ReadMemory { shard: scratch, numbers, of_batch, slots } = memory;
            scratch.out.values_only = detail == Detail::Values;
            for shard in of_batch.iter().map(|&shard| usize::from(shard)) {
                let of_shard = &numbers[shard];
                slots.clear();
                slots.extend(of_shard.iter().map(|&number| {
                    let (series, place) = self.places[number];
                    (series, place.slot)
                }));
                let shard = &self.namespace.shards[shard];
                let take = |number: usize, found: &mut Columns| take(of_shard[number], found);
                shard.read(slots, (self.range, wanted), scratch, take, |e| self.note_damage(&e));
            }
        });
    }

    /// What could not be read so far, for the user.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        self.damage.lock().clone()
    }

    fn note_damage(&self, error: &TsdbError) {
        self.namespace.counters.damaged_reads.add(1);
        let mut texts = self.damage.lock();
        if texts.len() < DAMAGE_TEXTS_MAX {
            let text = error.to_string();
            tracing::warn!(namespace = self.namespace.name(), error = %text, "block left out");
            texts.push(text);
        }
    }
}
