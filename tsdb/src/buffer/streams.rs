//! The streams of a window, by slot.
//!
//! A window that most series write to has an array of numbers by slot; one that few write to, as
//! late samples make them, has a table. Streams lie in chunks that never move: a table of them
//! would hold up to twice their memory, and copy all when it grows.

use hashbrown::HashMap;

use super::{Slot, Stream};

/// Streams in a chunk.
const CHUNK_STREAMS: usize = 256;

/// Slots for each stream, below which an array of all slots is no larger than a table.
const ARRAY_SLOTS_PER_STREAM: usize = 4;

/// Slots for each stream, above which an array wastes too much. Far from the other bound, so that
/// a window does not go to and fro.
const TABLE_SLOTS_PER_STREAM: usize = 16;

/// Streams by slot.
#[derive(Debug, Default)]
pub(super) struct Streams {
    chunks: Vec<Vec<Stream>>,
    /// The slot of each stream, in the order in which they came.
    slots: Vec<Slot>,
    numbers: Numbers,
    slot_max: Slot,
}

/// Number of the stream of each slot.
#[derive(Debug)]
enum Numbers {
    Table(HashMap<Slot, u32>),
    /// One more than the number; 0 for none.
    Array(Vec<u32>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Table(HashMap::new())
    }
}

impl Numbers {
    #[inline]
    fn get(&self, slot: Slot) -> Option<usize> {
        match self {
            Self::Table(table) => table.get(&slot).map(|&n| n as usize),
            Self::Array(array) => {
                let number = *array.get(slot as usize)?;
                number.checked_sub(1).map(|n| n as usize)
            }
        }
    }

    fn insert(&mut self, slot: Slot, number: u32) {
        match self {
            Self::Table(table) => {
                table.insert(slot, number);
            }
            Self::Array(array) => {
                if array.len() <= slot as usize {
                    array.resize(slot as usize + 1, 0);
                }
                array[slot as usize] = number + 1;
            }
        }
    }
}

impl Streams {
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&Stream> {
        let number = self.numbers.get(slot)?;
        self.chunks[number / CHUNK_STREAMS].get(number % CHUNK_STREAMS)
    }

    /// The stream of `slot`, made by `new` if there is none.
    #[inline]
    pub(super) fn get_or_insert_with(
        &mut self,
        slot: Slot,
        new: impl FnOnce() -> Stream,
    ) -> &mut Stream {
        let number = match self.numbers.get(slot) {
            Some(number) => number,
            None => self.insert(slot, new()),
        };
        &mut self.chunks[number / CHUNK_STREAMS][number % CHUNK_STREAMS]
    }

    fn insert(&mut self, slot: Slot, stream: Stream) -> usize {
        let number = self.slots.len();
        if number == self.chunks.len() * CHUNK_STREAMS {
            // The first chunk grows as it must: most windows of late samples stay small.
            let room = if number == 0 { 0 } else { CHUNK_STREAMS };
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks[number / CHUNK_STREAMS].push(stream);
        self.slots.push(slot);
        self.slot_max = self.slot_max.max(slot);
        let (len, slot_max) = (self.slots.len(), self.slot_max as usize);
        match &self.numbers {
            Numbers::Table(_)
                if len >= CHUNK_STREAMS && slot_max < len * ARRAY_SLOTS_PER_STREAM =>
            {
                self.renumber(Numbers::Array(Vec::with_capacity(slot_max + 1)));
            }
            Numbers::Array(_) if slot_max > len * TABLE_SLOTS_PER_STREAM => {
                self.renumber(Numbers::default());
            }
            _ => self.numbers.insert(slot, number as u32),
        }
        number
    }

    fn renumber(&mut self, empty: Numbers) {
        self.numbers = empty;
        for (number, &slot) in self.slots.iter().enumerate() {
            self.numbers.insert(slot, number as u32);
        }
    }

    /// Slots with a stream, in the order in which they came.
    #[cfg(test)]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::time::TimestampNs;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::m3tsz::{Encoder, EncoderOptions};

    fn stream(first_t: i64) -> Stream {
        let encoder = Encoder::new(TimestampNs(0), EncoderOptions::default());
        Stream { encoder, first_t, last_t: 0 }
    }

    proptest! {
        /// Few and many slots, near and far: both forms and the way between them.
        #[test]
        fn streams_are_found_by_slot(
            runs in prop::collection::vec((0u32..100_000, 1u32..600, 1u32..5), 1..6),
        ) {
            let (mut streams, mut model) = (Streams::default(), BTreeMap::new());
            for (first, len, step) in runs {
                for slot in (first..first + len * step).step_by(step as usize) {
                    let number = model.len() as i64;
                    let want = *model.entry(slot).or_insert(number);
                    let got = streams.get_or_insert_with(slot, || stream(number)).first_t;
                    prop_assert_eq!(got, want);
                }
            }
            let mut slots = streams.slots().to_vec();
            slots.sort_unstable();
            prop_assert!(slots.iter().eq(model.keys()));
            for slot in (0..110_000).step_by(7).chain(model.keys().copied()) {
                let got = streams.get(slot).map(|s| s.first_t);
                prop_assert_eq!(got, model.get(&slot).copied());
            }
        }
    }
}
