//! Takes series out that have no samples any more.
//!
//! A series is idle if no file, window or layer has anything of it. It may be written to at any
//! moment, so it goes in steps, all under the maintenance lock, so that no file comes or goes:
//!
//! 1. Idle series are **doomed**. What requests remember of them is forgotten, a slice at a time;
//!    whoever remembers one anew saves it.
//! 2. Batch by batch, while no series can be made, those that are still doomed and of which the
//!    shard still has nothing are **retired**: their labels lead nowhere, their slots are free.
//!
//! A request that resolved a series before that finds under the shard's lock that the slot is not
//! the series' any more, and is refused as unavailable; sent again, it makes the series anew, with
//! another ref. A reader finds the same and reads nothing.
//!
//! The index loses retired series when its segments are written anew. After a crash before that
//! they come back, and are retired again. What the log says of a ref that lies in the range of a
//! sealed segment without being there was of a retired series, and is passed over.

use roaring::RoaringBitmap;

use super::Activity;
use crate::blocks::{BlockId, Layer};
use crate::buffer::Slot;
use crate::error::TsdbError;
use crate::namespace::Namespace;
use crate::shard::ShardState;

/// Series that are retired under one hold of the locks.
const BATCH: usize = 256;

/// What the last run that succeeded looked at, so that the next one need not.
#[derive(Debug, Default)]
pub(crate) struct Retiring {
    /// Files that there were.
    files: Vec<u64>,
    /// The next ref at that time: younger series may still wait for their first sample.
    next_ref: u32,
}

impl Namespace {
    /// Retires series without samples; returns how many. The caller holds the maintenance lock.
    ///
    /// # Errors
    /// Errors of the file system, when directories are synced or segments written anew.
    pub(crate) fn retire_series(&self) -> Result<u64, TsdbError> {
        // Queries for a series that lost samples must find it to warn.
        let Some(lost) = self.losses.series() else { return Ok(0) };
        let everything = Activity::of(self, (i64::MIN, i64::MAX));
        let files = everything.files();
        let oldest_new = {
            let last = self.retiring.lock();
            if last.files == files {
                return Ok(0);
            }
            last.next_ref
        };
        let next_ref = self.registry.next_ref();
        let mut held = everything.union();
        held.extend(lost);
        let idle = self.registry.idle(&held, oldest_new);
        let retired = self.retire_idle(&idle)?;
        // Also what an earlier run could not write.
        self.index.compact(self.fs.as_ref(), &self.index_dir())?;
        *self.retiring.lock() = Retiring { files, next_ref };
        Ok(retired)
    }

    /// Retires those of the series that nobody writes to meanwhile; returns how many.
    fn retire_idle(&self, idle: &RoaringBitmap) -> Result<u64, TsdbError> {
        if idle.is_empty() {
            return Ok(0);
        }
        // A file whose removal a crash undoes would name series that nobody knows.
        for shard in &self.shards {
            let blocks = shard.lock().blocks();
            let lengths = blocks.lengths().chain([self.block_size_ns()]);
            self.sync_block_dirs(shard, lengths.map(|length| BlockId::new(0, length)))?;
        }
        self.registry.doom(idle.clone());
        let idle: Vec<u32> = idle.iter().collect();
        let mut count = 0;
        for batch in idle.chunks(BATCH) {
            let retired = {
                let _no_twin = self.hold_creation();
                self.check_serving()?;
                self.registry.retire(batch, |series, place| {
                    let mut state = self.shards[usize::from(place.shard)].lock();
                    state.retire(series, place.slot, || self.count_retirement())
                })
            };
            self.index.forget(&retired);
            self.side.exemplars.forget(&retired);
            count += retired.len() as u64;
        }
        Ok(count)
    }
}

impl ShardState {
    /// Frees the slot of a series that has nothing in windows and layers; says whether it did.
    /// `retired` is called before the slot can be another series'.
    fn retire(&mut self, series: u32, slot: Slot, retired: impl FnOnce()) -> bool {
        let has_window =
            self.buffer.active(i64::MIN, i64::MAX).any(|(_, refs)| refs.contains(series));
        let in_layer = |layer: &Layer| match layer {
            Layer::Memory(frozen) => frozen.refs().contains(series),
            Layer::Deletion(deletion) => deletion.range_of(slot).is_some(),
            // Files do not change while this runs.
            Layer::File(_) => false,
        };
        let blocks = self.blocks();
        if has_window || blocks.iter().any(|(_, files)| files.layers.iter().any(in_layer)) {
            return false;
        }
        retired();
        self.buffer.free_slot(slot);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use m3rs_core::clock::Clock;
    use m3rs_core::model::Labels;
    use m3rs_core::time::NS_PER_S;
    use m3rs_sim::clock::SimClock;
    use m3rs_sim::disk::SimFs;

    use crate::{DEFAULT_NAMESPACE, Database, DatabaseOptions, Progress};

    const HOUR: i64 = 3600 * NS_PER_S;

    /// Two hundred rounds of new series, of which the last few rounds live.
    #[test]
    fn slots_and_rows_do_not_grow_with_all_series_that_ever_were() {
        let clock = Arc::new(SimClock::at(1_700_000_000 * NS_PER_S));
        let fs = Arc::new(SimFs::new(0));
        let mut options = DatabaseOptions::new(fs, clock.clone(), PathBuf::from("/data"), [7; 192]);
        options.background = false;
        options.namespace.retention_ns = 12 * HOUR;
        let database = Database::open(options, Arc::new(Progress::new())).expect("opens");
        let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
        let mut ever = 0u32;
        for _ in 0..200 {
            let mut session = namespace.writer();
            for _ in 0..60 {
                ever += 1;
                let pairs = [("__name__", "m".to_owned()), ("series", ever.to_string())];
                let labels = Labels::from_pairs(pairs).expect("valid");
                let raw = ever.to_le_bytes();
                let resolved = session.resolve(&raw, || Ok::<_, ()>(labels)).expect("resolved");
                session.push(resolved, clock.now(), 1.0).expect("inside");
            }
            drop(session.commit().expect("committed"));
            database.flush_all().expect("flushed");
            clock.pass(3 * HOUR);
            database.tick().expect("ticks");
            let slots: usize = namespace.shards.iter().map(|s| s.lock().buffer.slot_count()).sum();
            assert!(slots <= 900, "{slots} slots after {ever} series");
        }
        assert!(namespace.series_count() <= 480, "{}", namespace.series_count());
        assert!(namespace.registry.chunks_held() <= 2, "of {ever} refs");
        assert!(namespace.index.len() <= 800, "{} documents", namespace.index.len());
    }
}
