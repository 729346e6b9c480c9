//! A namespace is laid out anew: with another number of shards, or under another number.
//!
//! The old one ends its writes and is put into files. From these the new one is made, and the
//! catalog is replaced; before that the old one is the truth, after it the new one. Both are whole
//! at that moment, so a crash is harmless at any. Reads go on from the old one until they are
//! done. Writes that come meanwhile are refused as unavailable, which senders repeat.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::{Fs, write_atomic};
use m3rs_core::model::shard_of_hash;

use super::{Core, Database, Extent, persist_one};
use crate::blocks::BlockId;
use crate::checkpoint::Merge;
use crate::error::TsdbError;
use crate::fileset::{FilesetEntry, FilesetInfo, FilesetReader, SeriesBlock, write_fileset};
use crate::mediator::JobKind;
use crate::namespace::{Catalog, ConfiguredNamespace, Namespace, NamespaceMeta, NamespaceOptions};
use crate::progress::{Progress, Stage};

/// The endings of files that are no part of an index.
const NOT_INDEX: [&str; 2] = [".tmp", ".damaged"];

/// The shard of a ref that no series has.
const NO_SHARD: u16 = u16::MAX;

impl Database {
    /// Gives a namespace another number of shards; durable when it returns. All samples are
    /// written anew, bit by bit, at the persist rate.
    ///
    /// Reads go on undisturbed. Writes to the namespace are refused as unavailable until it is
    /// done, flushes and changes of all namespaces wait.
    ///
    /// # Errors
    /// [`TsdbError::NoNamespace`], [`TsdbError::Options`], damage of a file, and errors of the file
    /// system: the namespace is then as it was.
    pub fn reshard(&self, name: &str, shard_count: u16) -> Result<(), TsdbError> {
        self.core.reshard(name, shard_count)
    }

    /// Gives a namespace that is logged options by which it is not.
    ///
    /// It gets another number, so that no start replays what the log says of it over files that
    /// are newer.
    pub(super) fn stop_logging(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<(), TsdbError> {
        self.core.replace(name, |old, next| {
            let segment = self.core.log.rotate()?;
            persist_one(old, segment, Merge::Due, Extent::Everything)?;
            next.renumber(name, options)
        })
    }
}

impl Core {
    /// See [`Database::reshard`].
    pub(super) fn reshard(&self, name: &str, shard_count: u16) -> Result<(), TsdbError> {
        let old = self.serving(name)?.options();
        if old.shard_count == shard_count {
            return Ok(());
        }
        let options = NamespaceOptions { shard_count, ..old.as_ref().clone() };
        let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
        options.validate().map_err(wrong)?;
        self.jobs.run(JobKind::Reshard, || {
            self.replace(name, |old, next| {
                next.remove(name);
                // Options may have changed since they were looked at.
                let now = old.options().as_ref().clone();
                let meta = next.add(name, NamespaceOptions { shard_count, ..now });
                self.rewrite(old, &meta)?;
                Ok(meta)
            })
        })?;
        tracing::info!(namespace = name, shards = shard_count, "namespace has other shards");
        Ok(())
    }

    /// Gives namespaces the number of shards that configuration says, at start.
    pub(super) fn reshard_configured(
        &self,
        configured: &BTreeMap<String, ConfiguredNamespace>,
        progress: &Progress,
    ) -> Result<(), TsdbError> {
        let wanted = configured.iter().filter_map(|(name, c)| Some((name, c.shard_count?)));
        let mut due = Vec::new();
        for (name, shard_count) in wanted {
            if self.serving(name)?.shard_count() != shard_count {
                due.push((name, shard_count));
            }
        }
        if !due.is_empty() {
            progress.enter(Stage::Reshard, due.len() as u64);
        }
        for (name, shard_count) in due {
            self.reshard(name, shard_count)?;
            progress.advance(Stage::Reshard, 1);
        }
        Ok(())
    }

    /// Replaces a namespace by what `make` makes of it while it takes no writes.
    fn replace(
        &self,
        name: &str,
        make: impl FnOnce(&Namespace, &mut Catalog) -> Result<NamespaceMeta, TsdbError>,
    ) -> Result<(), TsdbError> {
        let _no_compaction = self.compaction.lock();
        let maintenance = self.maintenance.lock();
        let mut catalog = self.catalog.lock();
        let old = self.serving(name)?;
        old.retire();
        let mut next = catalog.clone();
        let made = make(&old, &mut next).and_then(|meta| {
            let keeps_files = meta.dir == old.dir;
            Ok((self.open_made(meta)?, keeps_files))
        });
        let (new, keeps_files) = match made {
            Ok(made) => made,
            Err(error) => {
                old.reinstate();
                return Err(error);
            }
        };
        self.retire(name, &catalog, &next)?;
        self.namespaces.write().insert(name.to_owned(), new);
        *catalog = next;
        match keeps_files {
            true => self.count_gone(&old),
            false => self.keep_until_free(old),
        }
        drop(catalog);
        if let Err(error) = self.purge(&maintenance) {
            tracing::warn!(%error, "files of a replaced namespace stay for now");
        }
        Ok(())
    }

    /// Writes all that the namespace holds into the shards of `meta`.
    fn rewrite(&self, old: &Namespace, meta: &NamespaceMeta) -> Result<(), TsdbError> {
        // What an attempt that was cut off left.
        self.remove_dirs(&meta.dir)?;
        let segment = self.log.rotate()?;
        old.settle_series();
        old.freeze_all();
        old.seal_index()?;
        old.persist_frozen(segment, Merge::All, &[])?;
        old.persist_side()?;
        copy_side(old, meta)?;
        copy_index(old, meta)?;
        let mut targets = Vec::new();
        old.index.for_each_identity(|series, identity| {
            let at = series as usize;
            if targets.len() <= at {
                targets.resize(at + 1, NO_SHARD);
            }
            targets[at] = shard_of_hash(identity.shard_hash, meta.options.shard_count);
        })?;
        for (id, files) in volumes(old) {
            rewrite_block(old, meta, id, &files, &targets)?;
        }
        Ok(())
    }
}

/// All volumes of a namespace by block, those of its shards together.
fn volumes(namespace: &Namespace) -> Vec<(BlockId, Vec<Arc<FilesetReader>>)> {
    let mut all = BTreeMap::<BlockId, Vec<Arc<FilesetReader>>>::new();
    for shard in &namespace.shards {
        let blocks = shard.lock().blocks();
        for (id, files) in blocks.iter() {
            assert!(files.layers.is_empty(), "BUG: nothing is written and all was flushed");
            all.entry(id).or_default().extend(files.volume.clone());
        }
    }
    all.into_iter().collect()
}

/// Writes the series of one block into the volumes of their new shards.
fn rewrite_block(
    old: &Namespace,
    meta: &NamespaceMeta,
    id: BlockId,
    files: &[Arc<FilesetReader>],
    targets: &[u16],
) -> Result<(), TsdbError> {
    let mut entries: Vec<(u16, FilesetEntry, usize)> = Vec::new();
    for (file, reader) in files.iter().enumerate() {
        for entry in reader.entries() {
            let entry = entry?;
            let target = targets.get(entry.series as usize).copied().unwrap_or(NO_SHARD);
            if target == NO_SHARD {
                let path = reader.path().display();
                tracing::error!(series = entry.series, %path, "a series is not known and left out");
                continue;
            }
            entries.push((target, entry, file));
        }
    }
    entries.sort_unstable_by_key(|(target, entry, _)| (*target, entry.series));
    for of_shard in entries.chunk_by(|a, b| a.0 == b.0) {
        let shard = of_shard[0].0;
        let path = old.new_volume_path(&meta.dir, shard, id)?;
        let info = FilesetInfo {
            shard,
            shard_count: meta.options.shard_count,
            volume: 0,
            // The log of the old number is no concern of the new one.
            log_segment: 0,
            created_ns: old.clock.now().0,
            ..files[of_shard[0].2].info().clone()
        };
        write_fileset(old.fs.as_ref(), &path, &info, |sink| {
            for (_, entry, file) in of_shard {
                let reader = &files[*file];
                let Some(labels) = old.index.labels(entry.series)? else {
                    let path = reader.path().display();
                    tracing::error!(series = entry.series, %path, "BUG: series without labels");
                    continue;
                };
                sink.push(&SeriesBlock {
                    series: entry.series,
                    labels: &labels,
                    codec: entry.codec,
                    kind: entry.kind,
                    count: entry.count,
                    first_ns: entry.first_ns,
                    last_ns: entry.last_ns,
                    times: reader.times(entry)?,
                    bytes: reader.block(entry)?,
                })?;
            }
            Ok::<(), TsdbError>(())
        })?;
    }
    Ok(())
}

/// Gives the new directory metadata and exemplars, if there are any.
fn copy_side(old: &Namespace, meta: &NamespaceMeta) -> Result<(), TsdbError> {
    let (from, to) = (old.layout.side(&old.dir), old.layout.side(&meta.dir));
    if !old.fs.exists(&from) {
        return Ok(());
    }
    let dir = to.parent().unwrap_or(&to);
    old.fs.create_dir_all(dir).map_err(|e| TsdbError::io("create", dir, e))?;
    copy_file(old.fs.as_ref(), &from, &to)
}

fn copy_file(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), TsdbError> {
    let bytes = fs.map(from).map_err(|e| TsdbError::io("read", from, e))?;
    write_atomic(fs, to, |file| file.write_all(&bytes)).map_err(|e| TsdbError::io("write", to, e))
}

/// Gives the new directory the index of the old one, as it was just sealed.
fn copy_index(old: &Namespace, meta: &NamespaceMeta) -> Result<(), TsdbError> {
    let fs = old.fs.as_ref();
    let (from, to) = (old.index_dir(), old.layout.index(&meta.dir));
    fs.create_dir_all(&to).map_err(|e| TsdbError::io("create", &to, e))?;
    for path in fs.list(&from).map_err(|e| TsdbError::io("list", &from, e))? {
        let Some(name) = path.file_name() else { continue };
        if NOT_INDEX.iter().any(|ending| name.to_string_lossy().ends_with(ending)) {
            continue;
        }
        copy_file(fs, &path, &to.join(name))?;
    }
    Ok(())
}
