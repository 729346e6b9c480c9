//! A namespace is laid out anew: with another number of shards, or under another number.
//!
//! The old one ends its writes and is put into files. From these the new one is made, and the
//! catalog is replaced; before that the old one is the truth, after it the new one. Both are whole
//! at that moment, so a crash is harmless at any. Reads go on from the old one until they are
//! done. Writes that come meanwhile are refused as unavailable, which senders repeat.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, write_atomic};
use m3rs_core::model::shard_of_hash;

use super::{Core, Database, Extent, persist_one};
use crate::blocks::BlockId;
use crate::cache::{MappedFile, ServedFile};
use crate::checkpoint::Merge;
use crate::error::{Damage, FilesetError, TsdbError};
use crate::fileset::{FilesetEntry, FilesetInfo, FilesetReader, SeriesBlock, write_fileset};
use crate::mediator::JobKind;
use crate::names::parse_compacted_dir;
use crate::namespace::{Catalog, Namespace, NamespaceMeta, NamespaceOptions};

/// The ending of files that were set aside.
const DAMAGED: &str = ".damaged";

/// The endings of files that are no part of an index.
const NOT_INDEX: [&str; 2] = [".tmp", DAMAGED];

/// The shard of a ref that no series has.
const NO_SHARD: u16 = u16::MAX;

impl Database {
    /// Gives a namespace another number of shards; durable when it returns. All samples are
    /// written anew, bit by bit, at the persist rate.
    ///
    /// Reads go on undisturbed. Writes to the namespace are refused as unavailable until it is
    /// done, flushes and changes of all namespaces wait. What is damaged is told in the log and
    /// left out; the file that it was in is kept beside the new ones, with the ending `.damaged`.
    ///
    /// # Errors
    /// [`TsdbError::NoNamespace`], [`TsdbError::Options`], and errors of the file system: the
    /// namespace is then as it was.
    pub fn reshard(&self, name: &str, shard_count: u16) -> Result<(), TsdbError> {
        self.core.reshard(name, shard_count).map(drop)
    }
}

impl Core {
    /// Gives a namespace that is logged options by which it is not.
    ///
    /// It gets another number, so that no start replays what the log says of it over files that
    /// are newer.
    pub(super) fn stop_logging(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<(), TsdbError> {
        self.replace(name, |old, catalog| {
            let segment = self.log.rotate()?;
            persist_one(old, segment, Merge::Due, Extent::Everything)?;
            let mut next = catalog.clone();
            let meta = next.renumber(name, options)?;
            Ok((meta, next))
        })
    }

    /// See [`Database::reshard`]. Returns what was damaged and is left out.
    pub(super) fn reshard(&self, name: &str, shard_count: u16) -> Result<Vec<Damage>, TsdbError> {
        let old = self.serving(name)?.options();
        if old.shard_count == shard_count {
            return Ok(Vec::new());
        }
        let options = NamespaceOptions { shard_count, ..old.as_ref().clone() };
        let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
        options.validate().map_err(wrong)?;
        let mut damage = Vec::new();
        self.jobs.run(JobKind::Reshard, || {
            self.replace(name, |old, catalog| {
                // Options may have changed since they were looked at.
                let now = old.options().as_ref().clone();
                let meta = self.reserve(catalog, name, NamespaceOptions { shard_count, ..now })?;
                damage = self.rewrite(old, &meta)?;
                let mut next = catalog.clone();
                next.remove(name);
                next.adopt(meta.clone());
                Ok((meta, next))
            })
        })?;
        for found in &damage {
            let path = found.path.display();
            tracing::error!(%path, damage = %found, "left out of new shards");
        }
        tracing::info!(namespace = name, shards = shard_count, "namespace has other shards");
        Ok(damage)
    }

    /// Replaces a namespace by what `make` makes of it while it takes no writes. `make` may reserve
    /// a place in the catalog that it is given, and returns the new namespace and the catalog that
    /// lists it.
    fn replace(
        &self,
        name: &str,
        make: impl FnOnce(&Namespace, &mut Catalog) -> Result<(NamespaceMeta, Catalog), TsdbError>,
    ) -> Result<(), TsdbError> {
        let _no_compaction = self.compaction.lock();
        let maintenance = self.maintain()?;
        let mut catalog = self.catalog.lock();
        let old = self.serving(name)?;
        old.retire();
        let made = make(&old, &mut catalog).and_then(|(meta, next)| {
            let keeps_files = meta.dir == old.dir;
            Ok((self.open_made(meta)?, next, keeps_files))
        });
        let (new, next, keeps_files) = match made {
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

    /// Writes all that can be read of the namespace into the shards of `meta`; returns what cannot.
    fn rewrite(&self, old: &Namespace, meta: &NamespaceMeta) -> Result<Vec<Damage>, TsdbError> {
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
        let mut rewrite = Rewrite { old, meta, targets, found: BTreeMap::new() };
        for (id, files) in volumes(old) {
            let files = files.iter().map(|file| file.reader()).collect::<Result<Vec<_>, _>>()?;
            rewrite.block(id, &files)?;
        }
        copy_damaged(old, meta)?;
        for path in rewrite.found.keys() {
            let to = below_new_dir(old, meta, path);
            let mut aside = to.into_os_string();
            aside.push(DAMAGED);
            copy_into(old.fs.as_ref(), path, Path::new(&aside))?;
        }
        Ok(rewrite.found.into_values().flatten().collect())
    }
}

/// All volumes of a namespace by block, those of its shards together.
fn volumes(namespace: &Namespace) -> Vec<(BlockId, Vec<Arc<ServedFile>>)> {
    let mut all = BTreeMap::<BlockId, Vec<Arc<ServedFile>>>::new();
    for shard in &namespace.shards {
        let blocks = shard.lock().blocks();
        for (id, files) in blocks.iter() {
            assert!(files.layers.is_empty(), "BUG: nothing is written and all was flushed");
            all.entry(id).or_default().extend(files.volume.clone());
        }
    }
    all.into_iter().collect()
}

/// The work of writing all volumes anew.
struct Rewrite<'a> {
    old: &'a Namespace,
    meta: &'a NamespaceMeta,
    /// The new shard of each ref.
    targets: Vec<u16>,
    /// Damage by file.
    found: BTreeMap<PathBuf, Vec<Damage>>,
}

impl Rewrite<'_> {
    /// Writes the series of one block into the volumes of their new shards.
    fn block(&mut self, id: BlockId, files: &[Arc<MappedFile>]) -> Result<(), TsdbError> {
        let mut entries: Vec<(u16, FilesetEntry, usize)> = Vec::new();
        for (file, reader) in files.iter().enumerate() {
            for entry in reader.entries() {
                let Some(entry) = self.sound(reader, entry)? else { continue };
                let target = self.targets.get(entry.series as usize).copied().unwrap_or(NO_SHARD);
                match target {
                    NO_SHARD => self.lost_name(reader, &entry),
                    target => entries.push((target, entry, file)),
                }
            }
        }
        entries.sort_unstable_by_key(|(target, entry, _)| (*target, entry.series));
        for of_shard in entries.chunk_by(|a, b| a.0 == b.0) {
            self.volume(id, files, of_shard)?;
        }
        Ok(())
    }

    fn volume(
        &mut self,
        id: BlockId,
        files: &[Arc<MappedFile>],
        of_shard: &[(u16, FilesetEntry, usize)],
    ) -> Result<(), TsdbError> {
        let (old, meta) = (self.old, self.meta);
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
        let totals = write_fileset(old.fs.as_ref(), &path, &info, |sink| {
            for (_, entry, file) in of_shard {
                let reader = &files[*file];
                let Some(times) = self.sound(reader, reader.times(entry))? else { continue };
                let Some(bytes) = self.sound(reader, reader.block(entry))? else { continue };
                let Some(labels) = old.index.labels(entry.series)? else {
                    self.lost_name(reader, entry);
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
                    times,
                    bytes,
                })?;
            }
            Ok::<(), TsdbError>(())
        })?;
        if totals.series == 0 {
            // None of it could be read.
            old.remove_file(&path)?;
        }
        Ok(())
    }

    /// What was read of a file; damage is noted, and then it is nothing.
    fn sound<T>(
        &mut self,
        reader: &FilesetReader,
        read: Result<T, FilesetError>,
    ) -> Result<Option<T>, TsdbError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(FilesetError::Damaged(damage)) => {
                self.note(reader, damage);
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// A page that is damaged says so for each of its entries.
    fn note(&mut self, reader: &FilesetReader, damage: Damage) {
        let of_file = self.found.entry(reader.path().to_owned()).or_default();
        if of_file.last() != Some(&damage) {
            of_file.push(damage);
        }
    }

    fn lost_name(&mut self, reader: &FilesetReader, entry: &FilesetEntry) {
        self.note(
            reader,
            Damage {
                path: reader.path().to_owned(),
                offset: entry.offset,
                lost_bytes: u64::from(entry.len),
                what: "series of a fileset",
                expected: "a series that the index names".to_owned(),
                got: format!("ref {}", entry.series),
            },
        );
    }
}

/// Where a file of the old namespace stands below the new one's directory of the same kind.
fn below_new_dir(old: &Namespace, meta: &NamespaceMeta, path: &Path) -> PathBuf {
    let parts = old.layout.parts();
    let part = parts.iter().find(|part| path.starts_with(part.join(&old.dir)));
    let part = part.expect("BUG: a file of a namespace is below its directories");
    let inside = path.strip_prefix(part.join(&old.dir)).expect("BUG: it was found by that");
    part.join(&meta.dir).join(inside)
}

/// Takes along what was set aside earlier, which would go with the old directories.
fn copy_damaged(old: &Namespace, meta: &NamespaceMeta) -> Result<(), TsdbError> {
    let fs = old.fs.as_ref();
    let shards = 0..old.shard_count();
    let roots =
        shards.flat_map(|s| [old.layout.data(&old.dir, s), old.layout.snapshots(&old.dir, s)]);
    let mut dirs: Vec<PathBuf> = roots.collect();
    while let Some(dir) = dirs.pop() {
        for path in fs.list(&dir).map_err(|e| TsdbError::io("list", &dir, e))? {
            if parse_compacted_dir(&path).is_some() {
                dirs.push(path);
            } else if path.to_string_lossy().ends_with(DAMAGED) {
                copy_into(fs, &path, &below_new_dir(old, meta, &path))?;
            }
        }
    }
    Ok(())
}

/// Gives the new directory metadata and exemplars, if there are any.
fn copy_side(old: &Namespace, meta: &NamespaceMeta) -> Result<(), TsdbError> {
    let (from, to) = (old.layout.side(&old.dir), old.layout.side(&meta.dir));
    if !old.fs.exists(&from) {
        return Ok(());
    }
    copy_into(old.fs.as_ref(), &from, &to)
}

/// Copies a file into a directory, which is made if it is not there.
fn copy_into(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), TsdbError> {
    let dir = to.parent().unwrap_or(to);
    fs.create_dir_all(dir).map_err(|e| TsdbError::io("create", dir, e))?;
    copy_file(fs, from, to)
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
