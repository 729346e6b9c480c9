//! Deletion of samples by matchers and time.
//!
//! A deletion is a layer: it takes away what lies below it in each block, and samples that are
//! written later lie over it. So the order of writes and deletions is that of the layers, on every
//! path. Space comes back when a flush merges the layer into the block's volume.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use m3rs_core::model::Matcher;
use m3rs_core::time::TimestampNs;

use crate::blocks::{Blocks, Layer};
use crate::buffer::{Columns, Slot};
use crate::commitlog::{self, BATCH_SAMPLES_MAX};
use crate::error::TsdbError;
use crate::namespace::Namespace;
use crate::shard::ShardState;
use crate::write::Commit;

/// Series of one shard that lost their samples in a range of time.
#[derive(Debug)]
pub(crate) struct Deletion {
    /// Ascending, each once.
    slots: Vec<Slot>,
    from: i64,
    to: i64,
}

impl Deletion {
    pub(crate) fn new(mut slots: Vec<Slot>, from: i64, to: i64) -> Self {
        slots.sort_unstable();
        slots.dedup();
        Self { slots, from, to }
    }

    /// The range of time, if it concerns `slot`.
    pub(crate) fn range_of(&self, slot: Slot) -> Option<(i64, i64)> {
        self.slots.binary_search(&slot).is_ok().then_some((self.from, self.to))
    }

    /// The series, ascending.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Takes the deleted samples of `slot` out of `columns`.
    pub(crate) fn apply(&self, slot: Slot, columns: &mut Columns) {
        if let Some((from, to)) = self.range_of(slot) {
            columns.delete((from, to));
        }
    }
}

/// What a deletion came to.
#[derive(Debug)]
pub struct Deleted {
    /// Series that matched; some may have had no sample in the range.
    pub series: u64,
    /// Says when the deletion is durable; it is visible already.
    pub commit: Commit,
}

impl Namespace {
    /// Deletes the samples from `start` to `end`, both included, of all series for which any of
    /// the matcher sets holds. Samples that are written afterwards are kept, whatever their time.
    ///
    /// It is as durable as a write: in a namespace that is not logged, a snapshot makes it so.
    /// Readers see it when this returns. Cost: a few bytes for each series and block; the space of
    /// the samples comes back when the blocks are merged.
    ///
    /// # Errors
    /// [`TsdbError::Index`], [`TsdbError::NotIndexed`], and errors of the commit log: a part of the
    /// series may then have lost its samples already, and the same call does the rest.
    pub fn delete(
        &self,
        matcher_sets: &[Vec<Matcher>],
        start: TimestampNs,
        end: TimestampNs,
    ) -> Result<Deleted, TsdbError> {
        let found = self.find_any(matcher_sets, (start.0, end.0))?;
        let mut by_shard: Vec<(Vec<u32>, Vec<Slot>)> = vec![Default::default(); self.shards.len()];
        {
            let tables = self.registry.read();
            for &series in &found {
                // A series without a place has no samples yet.
                let Some(place) = tables.place(series) else { continue };
                let (refs, slots) = &mut by_shard[usize::from(place.shard)];
                refs.push(series);
                slots.push(place.slot);
            }
        }
        let now = self.clock.monotonic();
        let logs = self.options().writes_to_commit_log;
        let mut ticket = None;
        let mut entry = Vec::new();
        for (shard, (refs, slots)) in self.shards.iter().zip(by_shard) {
            let range = (start.0, end.0);
            // One entry at a time, as an append has a most of bytes.
            let batches = refs.chunks(BATCH_SAMPLES_MAX).zip(slots.chunks(BATCH_SAMPLES_MAX));
            for (refs, slots) in batches {
                entry.clear();
                commitlog::encode_deletion(&mut entry, self.id, shard.id, range, refs);
                // As with samples, log and memory change under one hold of the lock.
                let mut state = shard.lock();
                self.check_serving()?;
                // Over samples that are not logged, a logged deletion would be replayed wrongly.
                if logs {
                    ticket = Some(self.log.append(&entry)?);
                } else {
                    self.holds_unlogged.store(true, Ordering::Relaxed);
                }
                // A series that was retired since has no samples, and its slot may be another's.
                let known =
                    refs.iter().zip(slots).filter(|&(&r, &s)| state.buffer.is_slot_of(s, r));
                let slots = known.map(|(_, &slot)| slot).collect();
                state.delete(slots, range, now);
                self.changes.note(start.0);
            }
        }
        let commit = Commit::new(ticket.map(|ticket| self.log.durable(ticket)), 0);
        Ok(Deleted { series: found.len() as u64, commit })
    }
}

impl ShardState {
    /// Deletes the samples of these series in `from..=to` that were written so far.
    pub(crate) fn delete(&mut self, slots: Vec<Slot>, (from, to): (i64, i64), now: Duration) {
        if slots.is_empty() || from > to {
            return;
        }
        let length = self.buffer.block_size_ns();
        // What is in windows has to lie below the deletion.
        self.freeze(now, |start| start <= to && start.saturating_add(length) > from);
        let layer = Layer::Deletion(Arc::new(Deletion::new(slots, from, to)));
        self.edit_blocks(|blocks: &mut Blocks| {
            for (id, files) in blocks.iter_mut() {
                if id.overlaps(from, to) {
                    files.layers.push(layer.clone());
                }
            }
        });
    }
}
