//! Start-up: lock, catalog, files of samples, indexes, series, commit log, in this order.
//!
//! Cost: the index segments and file footers are read, files are mapped, and only the log since
//! the last snapshot is replayed. Files are opened, and the log is replayed, on all cores.

mod catalog;
mod files;
mod rebuild;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::{Fs, FsLock, SharedFs, TEMP_SUFFIX, map_around};
use m3rs_core::spawn::{ThreadCount, fork};
use m3rs_index::{Identity, Index};

use crate::activity::ActiveSets;
use crate::cache::ReadCache;
use crate::commitlog::{self, CommitLog, CommitLogOptions};
use crate::database::{DatabaseOptions, OlderBlock};
use crate::error::{Damage, TsdbError};
use crate::limits::{DiskFloor, Limits, PersistRate, RuntimeLimits};
use crate::losses::Losses;
use crate::names::Layout;
use crate::namespace::{Catalog, Namespace, NamespaceMeta, Parts, Secret};
use crate::progress::{Progress, Stage};
use files::Files;
pub(crate) use files::Pending;

/// Series that get their places at a time.
const LOAD_BATCH: usize = 1 << 16;

/// A loaded data directory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) dir: PathBuf,
    pub(crate) lock: Box<dyn FsLock>,
    pub(crate) namespaces: BTreeMap<String, Arc<Namespace>>,
    pub(crate) catalog: Catalog,
    pub(crate) opener: Opener,
    pub(crate) persist_rate: PersistRate,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) damage: Vec<Damage>,
    /// Blocks that are left for later.
    pub(crate) older: Vec<OlderBlock>,
    /// Bytes of log that were replayed.
    pub(crate) replayed_bytes: u64,
}

/// What every namespace of a data directory is opened with.
#[derive(Debug)]
pub(crate) struct Opener {
    /// Not held to the persist rate.
    pub(crate) fs: SharedFs,
    persist_rate: PersistRate,
    pub(crate) layout: Layout,
    clock: SharedClock,
    log: Arc<CommitLog>,
    /// What is known to be lost of it.
    pub(crate) log_losses: Arc<Losses>,
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<RuntimeLimits>,
    pub(crate) disk: Arc<DiskFloor>,
    pub(crate) cache: Arc<ReadCache>,
    pub(crate) active: Arc<ActiveSets>,
    secret: Secret,
}

/// What the files of a namespace hold, before it takes part in anything.
#[derive(Debug)]
struct OnDisk {
    meta: NamespaceMeta,
    files: Files,
    index: Index,
    /// The largest ref that may have been given to a series, as far as files tell.
    last_ref: Option<u32>,
}

/// Loads everything under `options.dir`.
pub(crate) fn load(options: DatabaseOptions, progress: &Progress) -> Result<Loaded, TsdbError> {
    let fs = Arc::clone(&options.fs);
    let dir = options.dir.clone();
    fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
    let layout = Layout::new(&dir);
    let lock = lock(fs.as_ref(), &dir, &layout)?;
    let mut damage = Vec::new();
    let catalog = catalog::load(fs.as_ref(), &layout, &options, &mut damage)?;
    let cache = Arc::new(ReadCache::new(Arc::clone(&fs), &options.limits));
    let first_after = first_after(&options, &catalog);
    let on_disk = read(&cache, &layout, &catalog.live, first_after, progress, &mut damage)?;
    let log_dir = layout.commitlog();
    let newest_in_files = on_disk.iter().map(|n| n.files.newest_segment).max().unwrap_or(0);
    let log = Arc::new(open_log(&fs, &log_dir, &options, newest_in_files)?);
    let clock = Arc::clone(&options.clock);
    let log_losses = Arc::new(Losses::of_log(fs.as_ref(), &log_dir, clock.now().0)?);
    let rate = options.limits.persist_bytes_per_second_max;
    let persist_rate = PersistRate::new(&clock, rate);
    let floor = options.limits.disk_floor_bytes_max;
    let opener = Opener {
        persist_rate: persist_rate.clone(),
        disk: Arc::new(DiskFloor::new(Arc::clone(&fs), dir.clone(), floor)),
        cache,
        fs,
        layout,
        clock,
        log: Arc::clone(&log),
        log_losses,
        limits: options.limits,
        runtime: Arc::new(RuntimeLimits::new(&options.limits)),
        active: Arc::new(ActiveSets::new(options.limits.active_sets_bytes)),
        secret: Secret::new(options.secret),
    };
    progress.enter(Stage::Series, on_disk.iter().map(|n| n.index.len()).sum());
    let mut namespaces = BTreeMap::new();
    let mut older = Vec::new();
    for mut one in on_disk {
        let pending = std::mem::take(&mut one.files.pending);
        let namespace = Arc::new(opener.make(one, progress, &mut damage)?);
        namespace.opening.expect(pending.len() as u64);
        older.extend(pending.into_iter().map(|block| OlderBlock::new(&namespace, block)));
        namespaces.insert(namespace.name().to_owned(), namespace);
    }
    let fs = opener.fs.as_ref();
    let mut of_log = Vec::new();
    let replayed_bytes =
        replay::replay(fs, &log_dir, &namespaces, catalog.next_id, progress, &mut of_log)?;
    opener.log_losses.note_log(&log_dir, &of_log, opener.clock.now().0);
    if let Err(error) = opener.log_losses.record(fs) {
        tracing::error!(%error, "a note of lost log is not written yet; a checkpoint tries again");
    }
    damage.append(&mut of_log);
    for found in &damage {
        tracing::error!(path = %found.path.display(), damage = %found, "damage found at start");
    }
    let loaded = Loaded {
        dir,
        lock,
        namespaces,
        catalog,
        opener,
        persist_rate,
        log,
        damage,
        older,
        replayed_bytes,
    };
    Ok(loaded)
}

/// Blocks that end after this are opened before the database serves; the others while it does.
fn first_after(options: &DatabaseOptions, catalog: &Catalog) -> i64 {
    // What a namespace is laid out anew from must be open.
    let is_replaced = options.configured().iter().any(|(name, one)| {
        catalog.find(name).is_some_and(|meta| {
            let has_shards = one.shard_count.unwrap_or(meta.options.shard_count);
            let ends_log = meta.options.writes_to_commit_log && !one.options.writes_to_commit_log;
            has_shards != meta.options.shard_count || ends_log
        })
    });
    match options.opened_first_ns() {
        Some(ns) if !is_replaced => options.clock.now().0.saturating_sub(ns),
        _ => i64::MIN,
    }
}

/// Opens files and indexes of namespaces; see [`files::open`] for `first_after`.
fn read(
    cache: &Arc<ReadCache>,
    layout: &Layout,
    metas: &[NamespaceMeta],
    first_after: i64,
    progress: &Progress,
    damage: &mut Vec<Damage>,
) -> Result<Vec<OnDisk>, TsdbError> {
    let fs = cache.fs();
    let all_files = files::open(cache, layout, metas, first_after, progress, damage)?;
    let mut dirs = Vec::new();
    let mut bytes = 0;
    for meta in metas {
        let dir = layout.index(&meta.dir);
        bytes += Index::file_bytes(fs.as_ref(), &dir)?;
        dirs.push(dir);
    }
    progress.enter(Stage::Index, bytes);
    let mut on_disk = Vec::new();
    for ((meta, mut files), dir) in metas.iter().zip(all_files).zip(dirs) {
        let is_read = |bytes| progress.advance(Stage::Index, bytes);
        let (mut index, reports) =
            Index::open_with(fs, &dir, (Default::default(), &cache.postings), is_read)?;
        let mut last_ref = files.last_ref();
        let mut unknown = rebuild::unknown_series(&index, &reports, &files);
        if !files.pending.is_empty() && (!reports.is_empty() || !unknown.is_empty()) {
            // To tell what is lost, and to make it anew, every file is needed.
            files.open_pending(cache, damage)?;
            unknown = rebuild::unknown_series(&index, &reports, &files);
        }
        if !reports.is_empty() || !unknown.is_empty() {
            damage.extend(reports.into_iter().map(Damage::from));
            damage.extend(unknown.iter().map(|range| rebuild::damage_of(&dir, range)));
            last_ref = last_ref.max(index.last_id());
            index = rebuild::rebuild_index(cache, layout, meta, &files, &index)?;
        }
        on_disk.push(OnDisk { meta: meta.clone(), files, index, last_ref });
    }
    Ok(on_disk)
}

/// Opens the log at a segment above all that are there, and above those that files tell of: by
/// these numbers a file says which others it was merged from, and snapshots are in order.
fn open_log(
    fs: &SharedFs,
    dir: &Path,
    options: &DatabaseOptions,
    newest_in_files: u64,
) -> Result<CommitLog, TsdbError> {
    let newest = commitlog::list_segments(fs.as_ref(), dir)?.last().copied().unwrap_or(0);
    let log_options = CommitLogOptions {
        sync: options.sync,
        pending_bytes_max: options.limits.log_pending_bytes_max as u64,
        uncovered_bytes_max: options.limits.log_uncovered_bytes_max,
        ..CommitLogOptions::default()
    };
    let first = newest.max(newest_in_files) + 1;
    Ok(CommitLog::open(Arc::clone(fs), dir, log_options, first)?)
}

/// Runs `work` for `0..count` on as many threads as there are cores; results in order.
pub(crate) fn in_parallel<T: Send>(
    name: &str,
    count: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let threads = ThreadCount::new(ThreadCount::of_machine().get().min(count));
    let parts = fork(name, threads, |_| {
        let mine = std::iter::from_fn(|| {
            let i = next.fetch_add(1, Ordering::Relaxed);
            (i < count).then(|| (i, work(i)))
        });
        mine.collect::<Vec<_>>()
    });
    let mut all: Vec<(usize, T)> = parts.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, result)| result).collect()
}

fn lock(fs: &dyn Fs, dir: &Path, layout: &Layout) -> Result<Box<dyn FsLock>, TsdbError> {
    let path = layout.lock_file();
    fs.lock(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => TsdbError::Locked { path: dir.to_owned() },
        _ => TsdbError::io("lock", &path, e),
    })
}

/// Reads metadata and exemplars; a damaged file is reported and set aside.
fn open_side(namespace: &Namespace, damage: &mut Vec<Damage>) -> Result<(), TsdbError> {
    let path = namespace.layout.side(&namespace.dir);
    let fs = namespace.fs.as_ref();
    if let Some(dir) = path.parent() {
        remove_temporary(fs, dir)?;
    }
    if !fs.exists(&path) {
        return Ok(());
    }
    let (bytes, _) = map_around(fs, &path).map_err(|e| TsdbError::io("read", &path, e))?;
    if let Err(corrupt) = namespace.side.load(&bytes) {
        damage.push(Damage::of_corrupt(&path, 0, bytes.len() as u64, corrupt));
        namespace.set_aside(&path)?;
    }
    Ok(())
}

/// Removes what was never finished; returns what else the directory has.
fn remove_temporary(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, TsdbError> {
    let mut kept = Vec::new();
    for path in fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))? {
        if path.to_string_lossy().ends_with(TEMP_SUFFIX) {
            fs.remove_file(&path).map_err(|e| TsdbError::io("remove", &path, e))?;
        } else {
            kept.push(path);
        }
    }
    Ok(kept)
}

impl Opener {
    /// Opens a namespace with its index and files; its series get their shards and slots.
    pub(crate) fn open(
        &self,
        meta: NamespaceMeta,
        progress: &Progress,
        damage: &mut Vec<Damage>,
    ) -> Result<Namespace, TsdbError> {
        let mut on_disk = read(&self.cache, &self.layout, &[meta], i64::MIN, progress, damage)?;
        let one = on_disk.pop().expect("BUG: one was asked for");
        self.make(one, progress, damage)
    }

    /// Makes a namespace of what its files hold.
    fn make(
        &self,
        on_disk: OnDisk,
        progress: &Progress,
        damage: &mut Vec<Damage>,
    ) -> Result<Namespace, TsdbError> {
        let OnDisk { meta, files, index, last_ref } = on_disk;
        let namespace = Namespace::new(Parts {
            meta,
            limits: self.limits,
            runtime: Arc::clone(&self.runtime),
            disk: Arc::clone(&self.disk),
            cache: Arc::clone(&self.cache),
            fs: self.persist_rate.fs_of_checkpoints(&self.fs),
            compaction_fs: self.persist_rate.fs_of_compaction(&self.fs),
            layout: self.layout.clone(),
            clock: Arc::clone(&self.clock),
            log: Arc::clone(&self.log),
            log_losses: Arc::clone(&self.log_losses),
            index,
            active: Arc::clone(&self.active),
            secret: self.secret.clone(),
        });
        namespace.load_series(progress)?;
        if let Some(last_ref) = last_ref {
            // Whatever is lost, no new series gets the samples of an old one.
            namespace.registry.reserve(last_ref);
        }
        namespace.load_losses()?;
        open_side(&namespace, damage)?;
        for (shard, blocks) in namespace.shards.iter().zip(files.shards) {
            shard.lock().edit_blocks(|all| *all = blocks);
        }
        Ok(namespace)
    }
}

impl Namespace {
    /// Gives every series of the index its shard and slot. Reads arrays, no labels.
    fn load_series(&self, progress: &Progress) -> Result<(), TsdbError> {
        let mut batch = Vec::with_capacity(LOAD_BATCH);
        let place = |batch: &mut Vec<(u32, Identity)>| {
            self.place_series(batch.iter().copied());
            progress.advance(Stage::Series, batch.len() as u64);
            batch.clear();
        };
        self.index.for_each_identity(|series, identity| {
            batch.push((series, identity));
            if batch.len() == LOAD_BATCH {
                place(&mut batch);
            }
        })?;
        place(&mut batch);
        Ok(())
    }
}
