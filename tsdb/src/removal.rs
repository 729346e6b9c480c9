//! Removal of files that are not served any more, remembered until the disk has done it.
//!
//! Memory forgets a file before the disk does. A file that the disk did not let go would be served
//! again after a start, over what was written or deleted meanwhile. So a removal stands in a list
//! of its shard until it has succeeded, and as long as a block has one there,
//! - nothing is written for that block, so that no name and no volume number is given twice;
//! - no segment of the commit log is removed, so that a start replays what came after.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::blocks::BlockId;
use crate::error::TsdbError;
use crate::mediator::FirstError;
use crate::namespace::Namespace;
use crate::shard::Shard;

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Remove,
    /// It has bytes that could not be taken over; it stays under another name, for a closer look.
    SetAside,
}

/// When a removal has to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Never: as long as the file is there, another one hides it.
    Whenever,
    /// When nothing is left in the list of the block.
    InTheEnd,
    /// Before the next file of the block goes, as it is what hides that one.
    OneByOne,
}

#[derive(Clone, Debug)]
struct Removal {
    path: PathBuf,
    fate: Fate,
    durable: Durable,
}

/// The files of one shard that are to go.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    by_block: BTreeMap<BlockId, VecDeque<Removal>>,
    /// Directories out of which files went, not durably yet.
    unsynced: BTreeSet<PathBuf>,
}

impl Namespace {
    /// Notes that files of a block are to go, in this order. They are not served any more.
    pub(crate) fn forget(
        &self,
        shard: &Shard,
        id: BlockId,
        paths: impl IntoIterator<Item = PathBuf>,
        (fate, durable): (Fate, Durable),
    ) {
        let removals = paths.into_iter().map(|path| Removal { path, fate, durable });
        shard.removals.lock().by_block.entry(id).or_default().extend(removals);
    }

    /// Lets the files go that [`Namespace::forget`] noted for a block, older failures first.
    pub(crate) fn settle_block(&self, shard: &Shard, id: BlockId) -> Result<(), TsdbError> {
        let mut removals = shard.removals.lock();
        self.settle_queue(shard, &mut removals, id)?;
        self.sync_emptied(&mut removals)
    }

    /// Lets all files go that are noted.
    pub(crate) fn settle_removals(&self) -> Result<(), TsdbError> {
        let mut first = FirstError::default();
        for shard in &self.shards {
            let mut removals = shard.removals.lock();
            let ids: Vec<BlockId> = removals.by_block.keys().copied().collect();
            for id in ids {
                first.note(self.settle_queue(shard, &mut removals, id));
            }
            first.note(self.sync_emptied(&mut removals));
        }
        first.into_result()
    }

    fn settle_queue(
        &self,
        shard: &Shard,
        removals: &mut Removals,
        id: BlockId,
    ) -> Result<(), TsdbError> {
        let Removals { by_block, unsynced } = removals;
        let Some(queue) = by_block.get_mut(&id) else { return Ok(()) };
        // What hid others may go now. Those went before, perhaps not durably, and must not come
        // back without it, over samples or deletions that are newer.
        if queue.iter().any(|removal| removal.durable != Durable::Whenever) {
            self.sync_block_dirs(shard, std::iter::once(id))?;
        }
        while let Some(Removal { path, fate, durable }) = queue.front() {
            let dir = path.parent().unwrap_or(path);
            let gone = self.take_away(path, *fate).and_then(|()| match durable {
                Durable::OneByOne => self.sync_dir(dir),
                Durable::Whenever | Durable::InTheEnd => Ok(()),
            });
            if let Err(error) = gone {
                // What hides the others may be gone before the next try.
                let later = queue.iter_mut().filter(|r| r.durable == Durable::Whenever);
                later.for_each(|removal| removal.durable = Durable::InTheEnd);
                return Err(error);
            }
            if *durable == Durable::InTheEnd {
                unsynced.insert(dir.to_owned());
            }
            queue.pop_front();
        }
        by_block.remove(&id);
        Ok(())
    }

    fn sync_emptied(&self, removals: &mut Removals) -> Result<(), TsdbError> {
        while let Some(dir) = removals.unsynced.first() {
            self.sync_dir(dir)?;
            removals.unsynced.pop_first();
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), TsdbError> {
        self.fs.sync_dir(dir).map_err(|e| TsdbError::io("sync", dir, e))
    }

    fn take_away(&self, path: &Path, fate: Fate) -> Result<(), TsdbError> {
        let done = match fate {
            Fate::Remove => self.remove_file(path),
            Fate::SetAside => self.set_aside(path),
        };
        match done {
            // An earlier try did it, or a write failed before there was a file.
            Err(TsdbError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub(crate) fn remove_file(&self, path: &Path) -> Result<(), TsdbError> {
        self.fs.remove_file(path).map_err(|e| TsdbError::io("remove", path, e))
    }
}
