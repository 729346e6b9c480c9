//! How far the blocks are that a start left for later.

use std::sync::atomic::{AtomicU64, Ordering};

use m3rs_core::time::NS_PER_S;

use super::Namespace;
use crate::blocks::BlockFiles;
use crate::bootstrap::Pending;
use crate::error::TsdbError;

/// Counts of blocks that a start left for later.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    total: AtomicU64,
    opened: AtomicU64,
}

impl Opening {
    /// So many blocks are left for later. Called once, before anyone else knows the namespace.
    pub(crate) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Release);
    }

    /// Blocks that are open by now, and all that were left for later.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let opened = self.opened.load(Ordering::Acquire);
        (opened, self.total.load(Ordering::Acquire))
    }
}

impl Namespace {
    /// Fails if a block with times in `from..=to` is not open yet. Once it does not, no later call
    /// for these times does.
    pub(crate) fn check_opened(&self, (from, to): (i64, i64)) -> Result<(), TsdbError> {
        let (opened, total) = self.opening.counts();
        if opened == total {
            return Ok(());
        }
        let (mut newest, mut is_met) = (i64::MIN, false);
        for shard in &self.shards {
            let blocks = shard.lock().blocks();
            for (id, _) in blocks.iter().filter(|(_, files)| files.is_pending) {
                newest = newest.max(id.end());
                is_met |= id.overlaps(from, to);
            }
        }
        if !is_met {
            return Ok(());
        }
        // Rounded up, as all times from it on are served.
        let before_s = newest.div_euclid(NS_PER_S) + i64::from(newest.rem_euclid(NS_PER_S) > 0);
        Err(TsdbError::StillOpening { before_s, opened, total })
    }

    /// Serves the files of a block that was left for later.
    pub(crate) fn put_opened(&self, block: &Pending, files: BlockFiles) {
        self.shards[usize::from(block.shard)].lock().edit_blocks(|blocks| {
            // A try that was cut off may have opened it before.
            let Some(pending) = blocks.get_mut(block.id).filter(|files| files.is_pending) else {
                return;
            };
            pending.put_below(files);
            if pending.is_empty() {
                let _all_damaged = blocks.remove(block.id);
            }
            self.opening.opened.fetch_add(1, Ordering::Release);
        });
    }
}
