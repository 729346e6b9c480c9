//! Retention: blocks that are older go, as whole files.
//!
//! A wall clock that jumps ahead must not cost data: files go only while [`StepWatch`] trusts it.
//! What is older by the clock is not served meanwhile, and is again when the clock is right again.

mod step_watch;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

pub(crate) use step_watch::StepWatch;

use crate::blocks::BlockId;
use crate::error::TsdbError;
use crate::fileset;
use crate::mediator::FirstError;
use crate::names::{parse_compacted_dir, parse_snapshot};
use crate::namespace::Namespace;
use crate::removal::{Durable, Fate};

impl Namespace {
    /// Before this time samples may be dropped for good; `None` while the clock is not trusted.
    pub(crate) fn removal_horizon(&self) -> Option<i64> {
        let is_steady = self.step_watch.is_steady();
        self.expiry_held.store(!is_steady, Ordering::Relaxed);
        is_steady.then(|| self.horizon().0)
    }

    /// Removes blocks that are older than retention; returns how many files.
    pub(crate) fn expire(&self) -> Result<u64, TsdbError> {
        let horizon = self.removal_horizon();
        let options = self.options();
        let Some(horizon) = horizon else { return Ok(0) };
        if options.retention_ns == 0 || !options.cleanup_enabled {
            return Ok(0);
        }
        let now = self.clock.monotonic();
        let mut removed = 0;
        let mut first = FirstError::default();
        for shard in &self.shards {
            let mut gone = Vec::new();
            {
                let mut state = shard.lock();
                state.buffer.expire(horizon, now);
                state.edit_blocks(|blocks| {
                    blocks.retain(|id, files| {
                        let expired = id.end() <= horizon;
                        if expired {
                            gone.push((id, std::mem::take(files)));
                        }
                        !expired
                    });
                });
            }
            for (id, files) in gone {
                let paths = files.paths();
                removed += paths.len() as u64;
                // A disk may count their space as free only then.
                self.forget(shard, id, paths, (Fate::Remove, Durable::InTheEnd));
                first.note(self.settle_block(shard, id));
            }
        }
        removed += first.note(self.expire_set_aside(horizon)).unwrap_or(0);
        first.into_result().map(|()| removed)
    }

    /// Removes damaged files that were set aside, once their blocks are older than retention.
    fn expire_set_aside(&self, horizon: i64) -> Result<u64, TsdbError> {
        // The directories are listed once for each block that passes.
        let block = self.grid.start_of(horizon);
        if self.set_aside_expired_to.load(Ordering::Relaxed) == block {
            return Ok(0);
        }
        let mut removed = 0;
        for shard in &self.shards {
            let roots =
                [self.layout.data(&self.dir, shard.id), self.layout.snapshots(&self.dir, shard.id)];
            for root in roots {
                let inside = self.list(&root)?;
                removed += self.expire_in(&inside, self.block_size_ns(), horizon)?;
                for dir in &inside {
                    let Some(length) = parse_compacted_dir(dir) else { continue };
                    removed += self.expire_in(&self.list(dir)?, length, horizon)?;
                }
            }
        }
        self.set_aside_expired_to.store(block, Ordering::Relaxed);
        Ok(removed)
    }

    fn expire_in(&self, paths: &[PathBuf], length: i64, horizon: i64) -> Result<u64, TsdbError> {
        let mut removed = 0;
        for path in paths {
            let block = set_aside_start(path).map(|start| BlockId::new(start, length));
            if block.is_some_and(|id| id.end() <= horizon) {
                self.remove_file(path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>, TsdbError> {
        self.fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))
    }
}

/// The block start of a file with samples that was set aside; `None` for any other file.
fn set_aside_start(path: &Path) -> Option<i64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".damaged")?;
    // One of several of a name has a number.
    let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let name = match name.rsplit_once('.') {
        Some((name, number)) if is_number(number) => name,
        _ => name,
    };
    let volume = fileset::parse_file_name(Path::new(name)).map(|(start, _)| start);
    volume.or_else(|| parse_snapshot(Path::new(name)).map(|(start, _)| start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_set_aside_tell_their_block() {
        for (name, start) in [
            ("7200-0.fileset.damaged", Some(7200)),
            ("-7200-3.fileset.12.damaged", Some(-7200)),
            ("7200-0000000004.snapshot.damaged", Some(7200)),
            ("7200-0.fileset", None),
            ("metadata-exemplars.side.damaged", None),
            ("7200-0.fileset.tmp.damaged", None),
        ] {
            assert_eq!(set_aside_start(Path::new(name)), start, "{name}");
        }
    }
}
