//! Samples that are in no file yet: raw pages in front, encoded streams by window behind.
//!
//! Budget: append at most 70 ns per sample, the encoding of pages included.
//!
//! # Order of arrival
//! Within one buffer every sample of a series that is later than all before it goes to the page
//! and then to the window's stream; every other one goes to the window's list of late arrivals.
//! So for one time a late arrival always came after the stream's sample, and laying the list over
//! the stream keeps "the last write wins" (the `arrivals` test holds it to a model). Histograms
//! follow the same rule with streams of their own, and what a sample carries beside its value is a
//! run of its window, see [`rich`]. A series in such a run has a `block_end` of `i64::MIN`, so that
//! a plain float, which ends the run, takes the slow path; others pay nothing for it.

mod columns;
mod copies;
mod page;
mod rich;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use m3rs_core::Corrupt;
use m3rs_core::time::TimestampNs;
use roaring::RoaringBitmap;

pub use columns::{Columns, Rich, Timed};
use copies::BlockCopy;
pub(crate) use copies::Copies;
use page::{PAGE_SAMPLES, PageId, PageSlab};
use rich::RichWindow;
pub use rich::{RichSample, SampleValue};
use streams::Streams;

use crate::codec::m3tsz::{self, Encoder, EncoderOptions};
use crate::namespace::BlockGrid;

/// Number of a series within its shard; that of a series that is gone is given to another.
pub(crate) type Slot = u32;

/// The ref of a slot without a series.
const NO_SERIES: u32 = u32::MAX;

/// The part of a series' state that each append touches.
#[derive(Clone, Copy, Debug)]
struct Hot {
    /// The latest time ever appended; late samples do not move it.
    last_t: i64,
    /// The window that the streams belong to, `i64::MIN` while there is none.
    block_start: i64,
    /// Where the window ends; `i64::MIN` without a window or a page, and while its samples carry
    /// something.
    block_end: i64,
    page: PageId,
    page_len: u8,
}

impl Hot {
    const NEW: Self = Self {
        last_t: i64::MIN,
        block_start: i64::MIN,
        block_end: i64::MIN,
        page: PageId::NONE,
        page_len: 0,
    };
}

/// The encoded samples of one series in one window.
#[derive(Debug)]
struct Stream {
    encoder: Encoder,
    first_t: i64,
    last_t: i64,
}

/// One block's unflushed samples in one shard.
#[derive(Debug, Default)]
struct Window {
    streams: Streams,
    late: HashMap<Slot, Vec<(i64, f64)>>,
    rich: RichWindow,
    /// Refs of the series with samples here. Readers hold it as it was when they asked.
    refs: Arc<RoaringBitmap>,
    /// Monotonic time of the last change that was noticed (a page drained, a late arrival).
    touched: Duration,
}

/// The unflushed samples of a shard.
#[derive(Debug)]
pub(crate) struct Buffer {
    grid: BlockGrid,
    /// Series ref by slot; [`NO_SERIES`] if it is free.
    refs: Vec<u32>,
    /// Slots without a series.
    free: Vec<Slot>,
    hot: Vec<Hot>,
    pages: PageSlab,
    windows: BTreeMap<i64, Window>,
    /// By slot, the start timestamp that the samples of the stream carry now and all they carry;
    /// 0 for none. Empty until the first one comes.
    starts: Vec<i64>,
}

impl Buffer {
    /// An empty buffer for blocks of `block_size_ns`, which is positive.
    pub(crate) fn new(block_size_ns: i64) -> Self {
        Self {
            grid: BlockGrid::new(block_size_ns),
            refs: Vec::new(),
            free: Vec::new(),
            hot: Vec::new(),
            pages: PageSlab::default(),
            windows: BTreeMap::new(),
            starts: Vec::new(),
        }
    }

    /// Gives a series a slot.
    pub(crate) fn add_series(&mut self, series: u32) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.refs[slot as usize] = series;
            return slot;
        }
        let slot = u32::try_from(self.refs.len()).expect("BUG: a shard holds at most u32 series");
        self.refs.push(series);
        self.hot.push(Hot::NEW);
        slot
    }

    /// Lets another series have a slot. Its series has nothing in any window.
    pub(crate) fn free_slot(&mut self, slot: Slot) {
        let at = slot as usize;
        debug_assert!(self.hot[at].page.is_none(), "BUG: a page of a series without a window");
        self.refs[at] = NO_SERIES;
        self.hot[at] = Hot::NEW;
        if let Some(carried) = self.starts.get_mut(at) {
            *carried = 0;
        }
        self.free.push(slot);
    }

    /// Whether a slot is that of the series.
    #[inline]
    pub(crate) fn is_slot_of(&self, slot: Slot, series: u32) -> bool {
        self.refs.get(slot as usize) == Some(&series)
    }

    /// All series with their slots, ascending by ref.
    pub(crate) fn series(&self) -> Vec<(u32, Slot)> {
        let slots = self.refs.iter().zip(0..);
        let mut all: Vec<(u32, Slot)> =
            slots.filter(|(series, _)| **series != NO_SERIES).map(|(&r, slot)| (r, slot)).collect();
        all.sort_unstable();
        all
    }

    #[cfg(test)]
    pub(crate) fn slot_count(&self) -> usize {
        self.refs.len()
    }

    /// Length of a window, in nanoseconds.
    pub(crate) fn block_size_ns(&self) -> i64 {
        self.grid.size_ns()
    }

    /// The start of the block that holds `t`.
    pub(crate) fn block_start(&self, t: i64) -> i64 {
        self.grid.start_of(t)
    }

    /// The number of windows with samples.
    pub(crate) fn window_count(&self) -> usize {
        self.windows.len()
    }

    /// Starts of the windows with samples, and when each was last seen to change.
    pub(crate) fn windows(&self) -> impl Iterator<Item = (i64, Duration)> + '_ {
        self.windows.iter().map(|(&start, w)| (start, w.touched))
    }

    /// Start and series of each window that has times in `from..=to`.
    pub(crate) fn active(
        &self,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, &Arc<RoaringBitmap>)> + '_ {
        let size = self.grid.size_ns();
        let reached = move |start: i64| start <= to && start.saturating_add(size) > from;
        self.windows
            .iter()
            .filter(move |(start, _)| reached(**start))
            .map(|(&start, w)| (start, &w.refs))
    }

    /// Adds one sample of a known slot. `now` is monotonic time.
    #[inline]
    pub(crate) fn append(&mut self, slot: Slot, t: i64, v: f64, now: Duration) {
        let hot = &mut self.hot[slot as usize];
        if t > hot.last_t && t < hot.block_end {
            let page = &mut self.pages[hot.page];
            let at = usize::from(hot.page_len);
            page.set(at, t, v);
            hot.last_t = t;
            hot.page_len += 1;
            if usize::from(hot.page_len) == PAGE_SAMPLES {
                self.drain_page(slot, now);
            }
            return;
        }
        self.append_slow(slot, t, v, now);
    }

    #[inline(never)]
    fn append_slow(&mut self, slot: Slot, t: i64, v: f64, now: Duration) {
        let hot = self.hot[slot as usize];
        if t == hot.last_t && t < hot.block_end && hot.page_len > 0 {
            let page = &mut self.pages[hot.page];
            let last = usize::from(hot.page_len) - 1;
            if page.samples(last + 1)[last].0 == t {
                page.set(last, t, v);
                return;
            }
        }
        let start = self.block_start(t);
        if t <= hot.last_t {
            let window = self.windows.entry(start).or_default();
            window.enter(self.refs[slot as usize], now);
            window.late.entry(slot).or_default().push((t, v));
            return;
        }
        let window = self.enter_window(slot, start, now);
        window.rich.carry_nothing(slot, t);
        let block_end = start.saturating_add(self.grid.size_ns());
        self.hot[slot as usize].block_end = block_end;
        if let Some(carried) = self.starts.get_mut(slot as usize) {
            *carried = 0;
        }
        self.push_to_page(slot, t, v, now);
    }

    /// Adds one float that carries a start timestamp; `start_ns` is not 0.
    #[inline]
    pub(crate) fn append_started(
        &mut self,
        slot: Slot,
        t: i64,
        v: f64,
        start_ns: i64,
        now: Duration,
    ) {
        let hot = &self.hot[slot as usize];
        let goes_on = t > hot.last_t
            && self.starts.get(slot as usize) == Some(&start_ns)
            && t < hot.block_start.saturating_add(self.grid.size_ns());
        if goes_on {
            return self.push_to_page(slot, t, v, now);
        }
        let sample = RichSample { start_ns, ..RichSample::float(v) };
        self.append_rich(slot, t, &sample, now);
    }

    /// Adds one sample of any kind.
    #[inline(never)]
    pub(crate) fn append_rich(&mut self, slot: Slot, t: i64, sample: &RichSample, now: Duration) {
        let start = self.block_start(t);
        let hot = &mut self.hot[slot as usize];
        if t <= hot.last_t {
            if t == hot.last_t {
                // A plain float of this time must not replace the one in the page any more.
                hot.block_end = i64::MIN;
            }
            let window = self.windows.entry(start).or_default();
            window.enter(self.refs[slot as usize], now);
            let after = window.late.get(&slot).map_or(0, Vec::len);
            window.rich.push_late(slot, t, after, sample.clone());
            return;
        }
        let window = self.enter_window(slot, start, now);
        window.rich.carry(slot, t, sample);
        if let SampleValue::Histogram(h) = &sample.value {
            window.rich.push_histogram(slot, t, h);
        }
        self.set_carried(slot, start, sample);
        match sample.value {
            SampleValue::Float(v) => self.push_to_page(slot, t, v, now),
            SampleValue::Histogram(_) => self.hot[slot as usize].last_t = t,
        }
    }

    /// Remembers what samples of the stream carry, so that the next one need not look.
    fn set_carried(&mut self, slot: Slot, block_start: i64, sample: &RichSample) {
        let carries = sample.start_ns != 0 || sample.annotation.is_some();
        let block_end = block_start.saturating_add(self.grid.size_ns());
        let hot = &mut self.hot[slot as usize];
        // INVARIANT: whoever is sent to the page by `block_end` has one.
        hot.block_end = if carries || hot.page.is_none() { i64::MIN } else { block_end };
        if self.starts.len() < self.hot.len() {
            self.starts.resize(self.hot.len(), 0);
        }
        let alone = if sample.annotation.is_none() { sample.start_ns } else { 0 };
        self.starts[slot as usize] = alone;
    }

    /// Makes the window at `start` the one of the series' streams, and returns it.
    fn enter_window(&mut self, slot: Slot, start: i64, now: Duration) -> &mut Window {
        if self.hot[slot as usize].block_start != start {
            self.drain_page(slot, now);
            self.hot[slot as usize].block_start = start;
        }
        let window = self.windows.entry(start).or_default();
        window.enter(self.refs[slot as usize], now);
        window
    }

    /// Puts a float that is later than all before it to the page of the series' window.
    #[inline]
    fn push_to_page(&mut self, slot: Slot, t: i64, v: f64, now: Duration) {
        let hot = &mut self.hot[slot as usize];
        if hot.page.is_none() {
            hot.page = self.pages.take();
        }
        let page = &mut self.pages[hot.page];
        let at = usize::from(hot.page_len);
        page.set(at, t, v);
        hot.last_t = t;
        hot.page_len += 1;
        if usize::from(hot.page_len) == PAGE_SAMPLES {
            self.drain_page(slot, now);
        }
    }

    /// Encodes the page of `slot` into its window's stream and empties it.
    fn drain_page(&mut self, slot: Slot, now: Duration) {
        let hot = &mut self.hot[slot as usize];
        let count = usize::from(hot.page_len);
        if count == 0 {
            return;
        }
        hot.page_len = 0;
        let (ts, vs) = self.pages[hot.page].columns();
        let (ts, vs) = (&ts[..count], &vs[..count]);
        let window = self.windows.entry(hot.block_start).or_default();
        window.touched = now;
        let stream = window.streams.get_or_insert_with(slot, || Stream {
            encoder: Encoder::new(TimestampNs(hot.block_start), EncoderOptions::default()),
            first_t: ts[0],
            last_t: ts[0],
        });
        match stream.encoder.push_all(ts, vs) {
            Ok(()) => stream.last_t = ts[count - 1],
            // A time that the stream cannot hold: the list of late arrivals takes any.
            Err(_) => {
                let late = window.late.entry(slot).or_default();
                window.rich.floats_become_late(slot, ts, vs, late);
            }
        }
    }

    /// Takes out the windows that `wanted` names by their start; their series start new streams
    /// with the next sample. Cost under the shard's lock: one page of each series in them.
    pub(crate) fn freeze(
        &mut self,
        now: Duration,
        mut wanted: impl FnMut(i64) -> bool,
    ) -> Vec<(i64, Frozen)> {
        let starts: Vec<i64> = self.windows.keys().copied().filter(|&s| wanted(s)).collect();
        if starts.is_empty() {
            return Vec::new();
        }
        for slot in 0..self.hot.len() {
            if starts.binary_search(&self.hot[slot].block_start).is_ok() {
                self.drain_page(slot as Slot, now);
                let hot = &mut self.hot[slot];
                if !hot.page.is_none() {
                    self.pages.give(hot.page);
                }
                *hot = Hot { last_t: hot.last_t, ..Hot::NEW };
                if let Some(carried) = self.starts.get_mut(slot) {
                    *carried = 0;
                }
            }
        }
        let taken = starts.iter().filter_map(|start| {
            let window = self.windows.remove(start)?;
            Some((*start, Frozen { window }))
        });
        taken.collect()
    }

    /// Drops the windows that end at or before `horizon`, with their samples.
    pub(crate) fn expire(&mut self, horizon: i64, now: Duration) {
        let size = self.grid.size_ns();
        drop(self.freeze(now, |start| start.saturating_add(size) <= horizon));
    }

    /// The last sample of `slot` of all times, if it lies in `from..=to`, is a plain float, and the
    /// end of the series' stream tells it. Decodes nothing.
    pub(crate) fn last_of_all(&self, slot: Slot, from: i64, to: i64) -> Option<(i64, f64)> {
        let hot = self.hot.get(slot as usize).filter(|hot| (from..=to).contains(&hot.last_t))?;
        let window = self.windows.get(&hot.block_start)?;
        if !window.rich.is_plain(slot) {
            return None;
        }
        let last = match hot.page_len.checked_sub(1) {
            Some(last) => self.pages[hot.page].samples(PAGE_SAMPLES)[usize::from(last)],
            None => {
                let (t, v) = window.streams.get(slot)?.encoder.last()?;
                (t.0, v)
            }
        };
        // A late arrival of the same time is newer.
        let is_newest = |late: &Vec<(i64, f64)>| late.iter().all(|(t, _)| *t != last.0);
        let is_last = last.0 == hot.last_t && window.late.get(&slot).is_none_or(is_newest);
        is_last.then_some(last)
    }

    /// Copies the samples of `slot` that may fall in `from..=to`, by block, as they are stored.
    ///
    /// Called under the shard's lock: it copies bytes and decodes nothing.
    pub(crate) fn copy_series(&self, slot: Slot, from: i64, to: i64, out: &mut Copies) {
        if let Some(hot) = self.hot.get(slot as usize)
            && from <= to
        {
            let first = self.block_start(from);
            for (&start, window) in self.windows.range(first..=to) {
                let page = match hot.block_start == start && hot.page_len > 0 {
                    true => self.pages[hot.page].samples(usize::from(hot.page_len)),
                    false => &[],
                };
                window.copy_series(slot, (from, to), (start, page), out);
            }
        }
        out.series_ends.push(out.blocks.len());
    }
}

impl Window {
    /// Notes a change, and that the series has samples here.
    fn enter(&mut self, series: u32, now: Duration) {
        self.touched = now;
        if !self.refs.contains(series) {
            Arc::make_mut(&mut self.refs).insert(series);
        }
    }

    /// Copies what the window that starts at `start` has of a series; its page is at hand.
    fn copy_series(
        &self,
        slot: Slot,
        (from, to): (i64, i64),
        (start, page): (i64, &[(i64, f64)]),
        out: &mut Copies,
    ) {
        let stream_at = out.streams.len();
        if let Some(stream) = self.streams.get(slot)
            && stream.first_t <= to
            && stream.last_t >= from
        {
            stream.encoder.snapshot(&mut out.streams);
        }
        let page_at = out.samples.len();
        out.samples.extend(page.iter().filter(|(t, _)| (from..=to).contains(t)));
        let late_at = out.samples.len();
        if let Some(late) = self.late.get(&slot) {
            out.samples.extend_from_slice(late);
        }
        let copy = BlockCopy {
            block_start: start,
            stream: stream_at..out.streams.len(),
            page: page_at..late_at,
            late: late_at..out.samples.len(),
            rich: self.rich.copy_series(slot, from, to),
        };
        if !copy.is_empty() {
            out.blocks.push(copy);
        }
    }
}

/// Decodes an M3TSZ stream in `from..=to` and lays it over `out`; an empty stream has no sample.
pub(crate) fn overlay_stream(
    stream: &[u8],
    from: i64,
    to: i64,
    scratch: &mut Columns,
    out: &mut Columns,
) -> Result<(), Corrupt> {
    if stream.is_empty() {
        return Ok(());
    }
    let begin = out.ts.len();
    let last = out.bounds().map(|(_, last)| last);
    let result = m3tsz::decode_range_into(stream, true, from, to, &mut out.ts, &mut out.vs);
    let is_after = out.ts.get(begin).is_none_or(|&first| last.is_none_or(|last| last < first));
    if result.is_ok() && is_after {
        return Ok(());
    }
    // What was appended is laid over the rest, or was broken off and does not count.
    scratch.clear();
    scratch.ts.extend(out.ts.drain(begin..));
    scratch.vs.extend(out.vs.drain(begin..));
    result?;
    out.overlay(scratch);
    Ok(())
}

/// A window that takes no more samples and waits to become a file. Readers still see it.
#[derive(Debug)]
pub(crate) struct Frozen {
    window: Window,
}

impl Frozen {
    /// Refs of the series with samples.
    pub(crate) fn refs(&self) -> &Arc<RoaringBitmap> {
        &self.window.refs
    }

    /// Lays the samples of `slot` in `from..=to` over `out`.
    pub(crate) fn overlay_on(
        &self,
        slot: Slot,
        (from, to): (i64, i64),
        scratch: &mut Columns,
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        let mut copies = Copies::default();
        self.window.copy_series(slot, (from, to), (0, &[]), &mut copies);
        copies.blocks.iter().try_for_each(|b| copies.overlay_on(b, (from, to), scratch, out))
    }

    /// The finished stream of `slot`, with the times of its first and last sample and their
    /// number, if the stream is all that there is of it.
    pub(crate) fn sole_stream(&self, slot: Slot) -> Option<(Vec<u8>, i64, i64, u32)> {
        if self.window.late.contains_key(&slot) || !self.window.rich.is_plain(slot) {
            return None;
        }
        let stream = self.window.streams.get(slot)?;
        let mut bytes = Vec::new();
        stream.encoder.snapshot(&mut bytes);
        let count = u32::try_from(stream.encoder.len()).ok()?;
        Some((bytes, stream.first_t, stream.last_t, count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(buffer: &Buffer, slot: Slot, from: i64, to: i64) -> Columns {
        let mut copies = Copies::default();
        buffer.copy_series(slot, from, to, &mut copies);
        let (mut out, mut scratch) = (Columns::default(), Columns::default());
        for copy in copies.of_series(0) {
            copies.overlay_on(copy, (from, to), &mut scratch, &mut out).expect("sound");
        }
        out
    }

    proptest! {
        /// Any order of times, with repeats, over several windows, equals a map.
        #[test]
        fn arrivals(samples in prop::collection::vec((0u32..2, 0i64..400, any::<f64>()), 0..300)) {
            let mut buffer = Buffer::new(100);
            buffer.add_series(0);
            buffer.add_series(1);
            let mut model = [BTreeMap::new(), BTreeMap::new()];
            for (slot, t, v) in samples {
                buffer.append(slot, t, v, Duration::ZERO);
                model[slot as usize].insert(t, v.to_bits());
            }
            for slot in 0..2 {
                let got = read(&buffer, slot, 50, 333);
                let got: Vec<_> = got.iter().map(|s| (s.t.0, s.v.to_bits())).collect();
                let want: Vec<_> =
                    model[slot as usize].range(50..=333).map(|(&t, &v)| (t, v)).collect();
                prop_assert_eq!(got, want);
                prop_assert!(read(&buffer, slot, 333, 50).is_empty());
            }
        }
    }

    /// A sample by kind: 0 a plain float, 1 a float with a start, 2 a histogram, 3 an annotation.
    fn sample_of(kind: u8, v: u8) -> RichSample {
        let float = RichSample::float(f64::from(v));
        match kind {
            0 => float,
            1 => RichSample { start_ns: i64::from(v % 3), ..float },
            2 => {
                let sum = f64::from(v);
                let h = m3rs_core::model::Histogram { sum, ..m3rs_core::model::Histogram::stale() };
                RichSample { start_ns: i64::from(v % 2), ..RichSample::histogram(h.into()) }
            }
            _ => RichSample { annotation: Some([v % 2 + 1].as_slice().into()), ..float },
        }
    }

    type AnyKind = BTreeMap<i64, RichSample>;

    fn append_any(buffer: &mut Buffer, t: i64, sample: &RichSample) {
        match sample {
            RichSample { value: SampleValue::Float(v), start_ns: 0, annotation: None } => {
                buffer.append(0, t, *v, Duration::ZERO);
            }
            RichSample { value: SampleValue::Float(v), start_ns, annotation: None } => {
                buffer.append_started(0, t, *v, *start_ns, Duration::ZERO);
            }
            other => buffer.append_rich(0, t, other, Duration::ZERO),
        }
    }

    fn any_kind(columns: &Columns) -> AnyKind {
        let rich = &columns.rich;
        let value = |t: i64| match rich.histograms.at(t) {
            Some(h) => SampleValue::Histogram(h.clone()),
            None => {
                let at = columns.ts.binary_search(&t).expect("one of both has the time");
                SampleValue::Float(columns.vs[at])
            }
        };
        let sample = |t: i64| {
            let start_ns = rich.starts.at(t).copied().unwrap_or(0);
            let annotation = rich.annotations.at(t).cloned();
            (t, RichSample { value: value(t), start_ns, annotation })
        };
        columns.times().into_iter().map(sample).collect()
    }

    proptest! {
        /// Samples of all kinds in any order, with freezes between them, equal a map.
        #[test]
        fn arrivals_of_all_kinds(
            steps in prop::collection::vec(
                (prop_oneof![4 => 0i64..3, 1 => -40i64..60], 0u8..4, any::<u8>(), 0u8..50), 0..400),
            wide in any::<bool>(),
        ) {
            let mut buffer = Buffer::new(if wide { i64::MAX / 2 } else { 100 });
            buffer.add_series(0);
            let mut model = AnyKind::new();
            let mut layers = Vec::new();
            let mut t = 0;
            for (step, kind, v, freeze) in steps {
                t = (t + step).max(0);
                let sample = sample_of(kind, v);
                append_any(&mut buffer, t, &sample);
                model.insert(t, sample);
                if freeze == 0 {
                    layers.extend(buffer.freeze(Duration::ZERO, |_| true));
                }
            }
            let (mut got, mut scratch) = (Columns::default(), Columns::default());
            for (_, layer) in &layers {
                prop_assert_eq!(layer.refs().iter().collect::<Vec<_>>(), [0]);
                layer.overlay_on(0, (10, 333), &mut scratch, &mut got).expect("sound");
            }
            got.overlay(&read(&buffer, 0, 10, 333));
            prop_assert!(got.ts.is_sorted_by(|a, b| a < b));
            let want: AnyKind = model.range(10..=333).map(|(t, s)| (*t, s.clone())).collect();
            prop_assert_eq!(any_kind(&got), want);
        }
    }

    #[test]
    fn a_frozen_window_is_seen_by_its_own_readers_only() {
        let mut buffer = Buffer::new(100);
        buffer.add_series(0);
        for t in 0..50 {
            buffer.append(0, t, t as f64, Duration::ZERO);
        }
        let frozen = buffer.freeze(Duration::ZERO, |_| true);
        assert_eq!(frozen.len(), 1);
        assert!(read(&buffer, 0, 0, 99).is_empty());
        let (mut out, mut scratch) = (Columns::default(), Columns::default());
        frozen[0].1.overlay_on(0, (10, 20), &mut scratch, &mut out).expect("sound");
        assert_eq!(out.ts, (10..=20).collect::<Vec<_>>());
        buffer.append(0, 50, 1.0, Duration::ZERO);
        buffer.append(0, 7, 2.0, Duration::ZERO);
        assert_eq!(read(&buffer, 0, 0, 99).ts, [7, 50]);
    }
}
