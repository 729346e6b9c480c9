//! Samples that are in no file yet: raw pages in front, encoded streams by window behind.
//!
//! Budget: append at most 70 ns per sample, the encoding of pages included.
//!
//! # Order of arrival
//! Within one buffer every sample of a series that is later than all before it goes to the page
//! and then to the window's stream; every other one goes to the window's list of late arrivals.
//! So for one time a late arrival always came after the stream's sample, and laying the list over
//! the stream keeps "the last write wins" (the `arrivals` test holds it to a model).

mod columns;
mod page;
mod streams;

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;
use m3rs_core::Corrupt;
use m3rs_core::time::TimestampNs;

pub use columns::Columns;
use page::{PAGE_SAMPLES, PageId, PageSlab};
use streams::Streams;

use crate::codec::m3tsz::{self, Encoder, EncoderOptions};

/// Number of a series within its shard, dense, in order of arrival.
pub(crate) type Slot = u32;

/// The part of a series' state that each append touches.
#[derive(Clone, Copy, Debug)]
struct Hot {
    /// The latest time ever appended; late samples do not move it.
    last_t: i64,
    /// The window that the page belongs to; `block_end` is `i64::MIN` while there is none.
    block_start: i64,
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
    /// Monotonic time of the last change that was noticed (a page drained, a late arrival).
    touched: Duration,
}

/// The unflushed samples of a shard.
#[derive(Debug)]
pub(crate) struct Buffer {
    block_size_ns: i64,
    hot: Vec<Hot>,
    pages: PageSlab,
    windows: BTreeMap<i64, Window>,
}

impl Buffer {
    /// An empty buffer for blocks of `block_size_ns`, which is positive.
    pub(crate) fn new(block_size_ns: i64) -> Self {
        assert!(block_size_ns > 0, "BUG: block size {block_size_ns}");
        Self {
            block_size_ns,
            hot: Vec::new(),
            pages: PageSlab::default(),
            windows: BTreeMap::new(),
        }
    }

    /// Makes room for series up to and including `slot`.
    pub(crate) fn ensure_slot(&mut self, slot: Slot) {
        let wanted = slot as usize + 1;
        if self.hot.len() < wanted {
            self.hot.resize(wanted, Hot::NEW);
        }
    }

    /// Length of a window, in nanoseconds.
    pub(crate) fn block_size_ns(&self) -> i64 {
        self.block_size_ns
    }

    /// The start of the block that holds `t`.
    pub(crate) fn block_start(&self, t: i64) -> i64 {
        t - t.rem_euclid(self.block_size_ns)
    }

    /// The number of windows with samples.
    pub(crate) fn window_count(&self) -> usize {
        self.windows.len()
    }

    /// Starts of the windows with samples, and when each was last seen to change.
    pub(crate) fn windows(&self) -> impl Iterator<Item = (i64, Duration)> + '_ {
        self.windows.iter().map(|(&start, w)| (start, w.touched))
    }

    /// Adds one sample of a known slot. `now` is monotonic time.
    #[inline]
    pub(crate) fn append(&mut self, slot: Slot, t: i64, v: f64, now: Duration) {
        let hot = &mut self.hot[slot as usize];
        if t > hot.last_t && t < hot.block_end {
            let page = &mut self.pages[hot.page];
            let at = usize::from(hot.page_len);
            page.ts[at] = t;
            page.vs[at] = v;
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
        if t == hot.last_t && hot.page_len > 0 {
            self.pages[hot.page].vs[usize::from(hot.page_len) - 1] = v;
            return;
        }
        let start = self.block_start(t);
        if t <= hot.last_t {
            let window = self.windows.entry(start).or_default();
            window.touched = now;
            window.late.entry(slot).or_default().push((t, v));
            return;
        }
        self.drain_page(slot, now);
        self.windows.entry(start).or_default().touched = now;
        let hot = &mut self.hot[slot as usize];
        if hot.page.is_none() {
            hot.page = self.pages.take();
        }
        hot.block_start = start;
        hot.block_end = start.saturating_add(self.block_size_ns);
        hot.last_t = t;
        hot.page_len = 1;
        let page = &mut self.pages[hot.page];
        page.ts[0] = t;
        page.vs[0] = v;
    }

    /// Encodes the page of `slot` into its window's stream and empties it.
    fn drain_page(&mut self, slot: Slot, now: Duration) {
        let hot = &mut self.hot[slot as usize];
        let count = usize::from(hot.page_len);
        if count == 0 {
            return;
        }
        hot.page_len = 0;
        let page = &self.pages[hot.page];
        let (ts, vs) = (&page.ts[..count], &page.vs[..count]);
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
                late.extend(ts.iter().copied().zip(vs.iter().copied()));
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
        let size = self.block_size_ns;
        drop(self.freeze(now, |start| start.saturating_add(size) <= horizon));
    }

    /// Copies the samples of `slot` that may fall in `from..=to`, by block, as they are stored.
    ///
    /// Called under the shard's lock: it copies bytes and decodes nothing.
    pub(crate) fn copy_series(&self, slot: Slot, from: i64, to: i64, out: &mut Vec<BlockCopy>) {
        let first = self.block_start(from);
        let Some(hot) = self.hot.get(slot as usize) else { return };
        for (&start, window) in self.windows.range(first..=to) {
            let mut copy = BlockCopy { block_start: start, ..BlockCopy::default() };
            window.copy_series(slot, from, to, &mut copy);
            if hot.page_len > 0 && hot.block_start == start {
                let page = &self.pages[hot.page];
                let count = usize::from(hot.page_len);
                for (&t, &v) in page.ts[..count].iter().zip(&page.vs[..count]) {
                    if (from..=to).contains(&t) {
                        copy.page.push(t, v);
                    }
                }
            }
            if !copy.is_empty() {
                out.push(copy);
            }
        }
    }
}

impl Window {
    fn copy_series(&self, slot: Slot, from: i64, to: i64, copy: &mut BlockCopy) {
        if let Some(stream) = self.streams.get(slot)
            && stream.first_t <= to
            && stream.last_t >= from
        {
            stream.encoder.snapshot(&mut copy.stream);
        }
        if let Some(late) = self.late.get(&slot) {
            copy.late.extend_from_slice(late);
        }
    }
}

/// What a buffer holds of one series in one block, still encoded.
#[derive(Debug, Default)]
pub(crate) struct BlockCopy {
    pub(crate) block_start: i64,
    stream: Vec<u8>,
    page: Columns,
    late: Vec<(i64, f64)>,
}

impl BlockCopy {
    fn is_empty(&self) -> bool {
        self.stream.is_empty() && self.page.is_empty() && self.late.is_empty()
    }

    /// Lays the samples in `from..=to` over `out`.
    pub(crate) fn overlay_on(
        &self,
        from: i64,
        to: i64,
        scratch: &mut Columns,
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        overlay_stream(&self.stream, from, to, scratch, out)?;
        out.overlay(&self.page);
        if !self.late.is_empty() {
            scratch.set_from_arrivals(&self.late, from, to);
            out.overlay(scratch);
        }
        Ok(())
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
    if out.is_empty() {
        let result = m3tsz::decode_range_into(stream, true, from, to, &mut out.ts, &mut out.vs);
        if result.is_err() {
            out.clear();
        }
        return result;
    }
    scratch.clear();
    m3tsz::decode_range_into(stream, true, from, to, &mut scratch.ts, &mut scratch.vs)?;
    out.overlay(scratch);
    Ok(())
}

/// A window that takes no more samples and waits to become a file. Readers still see it.
#[derive(Debug)]
pub(crate) struct Frozen {
    window: Window,
}

impl Frozen {
    /// Slots with samples, ascending.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> =
            self.window.streams.slots().iter().chain(self.window.late.keys()).copied().collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Lays the samples of `slot` in `from..=to` over `out`.
    pub(crate) fn overlay_on(
        &self,
        slot: Slot,
        (from, to): (i64, i64),
        scratch: &mut Columns,
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        let mut copy = BlockCopy::default();
        self.window.copy_series(slot, from, to, &mut copy);
        copy.overlay_on(from, to, scratch, out)
    }

    /// The finished stream of `slot`, with the times of its first and last sample and their
    /// number, if the stream is all that there is of it.
    pub(crate) fn sole_stream(&self, slot: Slot) -> Option<(Vec<u8>, i64, i64, u32)> {
        if self.window.late.contains_key(&slot) {
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
        let mut copies = Vec::new();
        buffer.copy_series(slot, from, to, &mut copies);
        let (mut out, mut scratch) = (Columns::default(), Columns::default());
        for copy in &copies {
            copy.overlay_on(from, to, &mut scratch, &mut out).expect("sound");
        }
        out
    }

    proptest! {
        /// Any order of times, with repeats, over several windows, equals a map.
        #[test]
        fn arrivals(samples in prop::collection::vec((0u32..2, 0i64..400, any::<f64>()), 0..300)) {
            let mut buffer = Buffer::new(100);
            buffer.ensure_slot(1);
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
            }
        }
    }

    #[test]
    fn a_frozen_window_is_seen_by_its_own_readers_only() {
        let mut buffer = Buffer::new(100);
        buffer.ensure_slot(0);
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
