//! Blocks that a start left for later are opened while the database serves.
//!
//! # Why nothing is lost
//! Such a block is in the list of its shard from before anyone can read or write, as pending. What
//! is written or deleted meanwhile lies over it like over any other; its files are put below in one
//! step, under the lock of the shard. Until the last one is open nobody freezes, merges or removes
//! ([`Core::maintain`]), so no file of it comes or goes, and no segment of the log. A crash finds
//! the files as they were, without leftovers that went already.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Core;
use crate::bootstrap::{Pending, in_parallel};
use crate::error::{Damage, TsdbError};
use crate::mediator::{FirstError, Stop};
use crate::namespace::Namespace;

/// Blocks that are opened between two looks whether to stop.
const BATCH: usize = 256;

/// A block that is still to be opened.
#[derive(Debug)]
pub(crate) struct OlderBlock {
    /// Held, so that the files stay if it is removed meanwhile.
    namespace: Arc<Namespace>,
    block: Pending,
}

/// Blocks that are still to be opened, and the damage met in the others.
#[derive(Debug)]
pub(super) struct Older {
    /// The newest last.
    waiting: Mutex<Vec<OlderBlock>>,
    damage: Mutex<Vec<Damage>>,
}

impl OlderBlock {
    pub(crate) fn new(namespace: &Arc<Namespace>, block: Pending) -> Self {
        Self { namespace: Arc::clone(namespace), block }
    }
}

impl Older {
    pub(super) fn new(mut waiting: Vec<OlderBlock>) -> Self {
        waiting.sort_by_key(|older| older.block.id.end());
        Self { waiting: Mutex::new(waiting), damage: Mutex::default() }
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        self.damage.lock().clone()
    }

    fn open(&self, older: &OlderBlock) -> Result<(), TsdbError> {
        let OlderBlock { namespace, block } = older;
        let mut damage = Vec::new();
        let opened = block.open(namespace, &mut damage);
        for found in &damage {
            tracing::error!(path = %found.path.display(), damage = %found, "damage found");
        }
        self.damage.lock().append(&mut damage);
        namespace.put_opened(block, opened?);
        Ok(())
    }
}

impl Core {
    /// Fails if a block is not open yet that the start left for later.
    pub(crate) fn check_opened(&self) -> Result<(), TsdbError> {
        let all = self.all();
        all.iter().try_for_each(|namespace| namespace.check_opened((i64::MIN, i64::MAX)))
    }

    /// Opens all blocks that the start left for later, the newest first. One that cannot be opened
    /// does not hold up the others, and waits for the next call.
    pub(crate) fn open_older(&self, stop: &Stop) -> Result<(), TsdbError> {
        let mut waiting = self.older.waiting.lock();
        let (mut failed, mut first) = (Vec::new(), FirstError::default());
        while !waiting.is_empty() {
            if let Err(closing) = stop.check() {
                first.note(Err::<(), _>(closing));
                break;
            }
            let rest = waiting.len().saturating_sub(BATCH);
            let batch = &waiting[rest..];
            let outcomes = in_parallel("older-blocks", batch.len(), |at| {
                self.older.open(&batch[batch.len() - 1 - at])
            });
            for (older, outcome) in waiting.drain(rest..).rev().zip(outcomes) {
                if first.note(outcome).is_none() {
                    failed.push(older);
                }
            }
        }
        waiting.extend(failed);
        waiting.sort_by_key(|older| older.block.id.end());
        first.into_result()
    }

    /// Makes durable in files what the log does not hold, before the end.
    pub(super) fn save_last(&self) -> Result<(), TsdbError> {
        if !self.all().iter().any(|namespace| namespace.holds_unlogged()) {
            return Ok(());
        }
        // Into files it goes only if all of them are known.
        self.open_older(&Stop::default())?;
        self.save_unlogged()
    }
}
