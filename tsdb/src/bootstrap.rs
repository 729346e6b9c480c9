//! Start-up: lock, index, filesets, snapshots, commit log, in this order.
//!
//! Cost: the index segments and file footers are read, files are mapped, and only the log since
//! the last snapshot is replayed.

mod catalog;
mod rebuild;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::{Fs, FsLock, SharedFs, TEMP_SUFFIX};
use m3rs_index::{Identity, Index};

use crate::blocks::{BlockId, Blocks, Layer};
use crate::commitlog::{self, CommitLog, CommitLogOptions};
use crate::database::DatabaseOptions;
use crate::error::{Damage, FilesetError, TsdbError};
use crate::fileset::{self, FilesetReader};
use crate::limits::{DiskFloor, Limits, PersistRate};
use crate::names::{Layout, parse_compacted_dir, parse_snapshot};
use crate::namespace::{Catalog, Namespace, NamespaceMeta, Parts, Secret};
use crate::progress::{Progress, Stage};

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
    pub(crate) limits: Limits,
    pub(crate) disk: Arc<DiskFloor>,
    secret: Secret,
}

/// Loads everything under `options.dir`.
pub(crate) fn load(options: DatabaseOptions, progress: &Progress) -> Result<Loaded, TsdbError> {
    let fs = Arc::clone(&options.fs);
    let dir = options.dir.clone();
    fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
    let layout = Layout::new(&dir);
    let lock = lock(fs.as_ref(), &dir, &layout)?;
    let mut damage = Vec::new();
    progress.enter(Stage::Index, 0);
    let catalog = catalog::load(fs.as_ref(), &layout, &options, &mut damage)?;
    let log_dir = layout.commitlog();
    let log = Arc::new(open_log(&fs, &log_dir, &options)?);
    let clock = Arc::clone(&options.clock);
    let rate = options.limits.persist_bytes_per_second_max;
    let persist_rate = PersistRate::new(&clock, rate);
    let floor = options.limits.disk_floor_bytes_max;
    let opener = Opener {
        persist_rate: persist_rate.clone(),
        disk: Arc::new(DiskFloor::new(Arc::clone(&fs), dir.clone(), floor)),
        fs,
        layout,
        clock,
        log: Arc::clone(&log),
        limits: options.limits,
        secret: Secret::new(options.secret),
    };
    let mut namespaces = BTreeMap::new();
    for meta in &catalog.live {
        let namespace = opener.open(meta.clone(), progress, &mut damage)?;
        namespaces.insert(meta.name.clone(), Arc::new(namespace));
    }
    let fs = opener.fs.as_ref();
    let replayed_bytes =
        replay::replay(fs, &log_dir, &namespaces, catalog.next_id, progress, &mut damage)?;
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
        replayed_bytes,
    };
    Ok(loaded)
}

fn open_log(fs: &SharedFs, dir: &Path, options: &DatabaseOptions) -> Result<CommitLog, TsdbError> {
    let newest = commitlog::list_segments(fs.as_ref(), dir)?.last().copied().unwrap_or(0);
    let log_options = CommitLogOptions {
        sync: options.sync,
        pending_bytes_max: options.limits.log_pending_bytes_max as u64,
        ..CommitLogOptions::default()
    };
    Ok(CommitLog::open(Arc::clone(fs), dir, log_options, newest + 1)?)
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
    let bytes = fs.read(&path).map_err(|e| TsdbError::io("read", &path, e))?;
    if let Err(corrupt) = namespace.side.load(&bytes) {
        damage.push(Damage::of_corrupt(&path, 0, bytes.len() as u64, corrupt));
        namespace.set_aside(&path)?;
    }
    Ok(())
}

fn remove_temporary(fs: &dyn Fs, dir: &Path) -> Result<(), TsdbError> {
    for path in fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))? {
        if path.to_string_lossy().ends_with(TEMP_SUFFIX) {
            fs.remove_file(&path).map_err(|e| TsdbError::io("remove", &path, e))?;
        }
    }
    Ok(())
}

impl Opener {
    /// Opens a namespace with its index and files; its series get their shards and slots.
    pub(crate) fn open(
        &self,
        meta: NamespaceMeta,
        progress: &Progress,
        damage: &mut Vec<Damage>,
    ) -> Result<Namespace, TsdbError> {
        let (fs, layout) = (&self.fs, &self.layout);
        let index_dir = layout.index(&meta.dir);
        let (mut index, reports) = Index::open(fs, &index_dir, Default::default())?;
        let named = rebuild::last_named(fs.as_ref(), layout, &meta)?;
        // The index is durable before any file with samples, so a file knows no more than it.
        if !reports.is_empty() || named > index.last_id() {
            damage.extend(reports.into_iter().map(Damage::from));
            index = rebuild::rebuild_index(fs, layout, &meta, &index)?;
        }
        let namespace = Namespace::new(Parts {
            meta,
            limits: self.limits,
            disk: Arc::clone(&self.disk),
            fs: self.persist_rate.fs_of_checkpoints(&self.fs),
            compaction_fs: self.persist_rate.fs_of_compaction(&self.fs),
            layout: layout.clone(),
            clock: Arc::clone(&self.clock),
            log: Arc::clone(&self.log),
            index,
            secret: self.secret.clone(),
        });
        progress.enter(Stage::Index, namespace.index.len());
        namespace.load_series(progress)?;
        if let Some(named) = named {
            // Whatever is lost, no new series gets the samples of an old one.
            namespace.registry.reserve(named);
        }
        open_side(&namespace, damage)?;
        progress.enter(Stage::Files, u64::from(namespace.shard_count()));
        for shard in 0..namespace.shard_count() {
            open_files(&namespace, shard, damage)?;
            progress.advance(1);
        }
        Ok(namespace)
    }
}

/// Opens the files of a shard: the newest sound volume of each block, and the snapshots over it.
fn open_files(
    namespace: &Namespace,
    shard: u16,
    damage: &mut Vec<Damage>,
) -> Result<(), TsdbError> {
    let mut blocks = Blocks::default();
    for (dir, length) in block_dirs(namespace, namespace.layout.data(&namespace.dir, shard))? {
        open_volumes(namespace, &dir, length, &mut blocks, damage)?;
    }
    let snapshots = namespace.layout.snapshots(&namespace.dir, shard);
    for (dir, length) in block_dirs(namespace, snapshots)? {
        open_snapshots(namespace, &dir, length, &mut blocks, damage)?;
    }
    blocks.retain(|_, files| !files.is_empty());
    namespace.shards[usize::from(shard)].lock().edit_blocks(|all| *all = blocks);
    Ok(())
}

/// A shard's directory and those of its compacted blocks, each with the length of its blocks.
fn block_dirs(namespace: &Namespace, dir: PathBuf) -> Result<Vec<(PathBuf, i64)>, TsdbError> {
    let fs = namespace.fs.as_ref();
    let inside = fs.list(&dir).map_err(|e| TsdbError::io("list", &dir, e))?;
    let compacted = inside.into_iter().filter_map(|path| {
        let length = parse_compacted_dir(&path)?;
        Some((path, length))
    });
    Ok(std::iter::once((dir, namespace.block_size_ns())).chain(compacted).collect())
}

fn open_volumes(
    namespace: &Namespace,
    dir: &Path,
    length: i64,
    blocks: &mut Blocks,
    damage: &mut Vec<Damage>,
) -> Result<(), TsdbError> {
    let fs = namespace.fs.as_ref();
    remove_temporary(fs, dir)?;
    let mut volumes = Vec::new();
    for path in fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))? {
        if let Some((start, volume)) = fileset::parse_file_name(&path) {
            volumes.push((start, volume, path));
        }
    }
    volumes.sort();
    // Newest first: the first that opens is served, older ones are leftovers of a flush.
    for (start, _, path) in volumes.into_iter().rev() {
        let block = blocks.entry(BlockId::new(start, length));
        if block.volume.is_some() {
            namespace.remove_file(&path)?;
        } else if let Some(reader) = open_or_set_aside(namespace, &path, damage)? {
            block.volume = Some(reader);
        }
    }
    Ok(())
}

fn open_snapshots(
    namespace: &Namespace,
    dir: &Path,
    length: i64,
    blocks: &mut Blocks,
    damage: &mut Vec<Damage>,
) -> Result<(), TsdbError> {
    let fs = namespace.fs.as_ref();
    remove_temporary(fs, dir)?;
    let mut snapshots = Vec::new();
    for path in fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))? {
        if let Some((start, segment)) = parse_snapshot(&path) {
            snapshots.push((start, segment, path));
        }
    }
    snapshots.sort();
    for (start, segment, path) in snapshots {
        let block = blocks.entry(BlockId::new(start, length));
        if block.volume.as_ref().is_some_and(|v| v.info().log_segment >= segment) {
            // The volume was merged from it; a crash kept it from being removed.
            namespace.remove_file(&path)?;
        } else if let Some(reader) = open_or_set_aside(namespace, &path, damage)? {
            block.layers.push(Layer::File(reader));
        }
    }
    Ok(())
}

/// Opens a file; a damaged one is reported and renamed, so that its name is free and its bytes
/// stay for a closer look.
fn open_or_set_aside(
    namespace: &Namespace,
    path: &Path,
    damage: &mut Vec<Damage>,
) -> Result<Option<Arc<FilesetReader>>, TsdbError> {
    let fs = namespace.fs.as_ref();
    match FilesetReader::open(fs, path) {
        Ok(reader) => Ok(Some(Arc::new(reader))),
        Err(FilesetError::Damaged(found)) => {
            damage.push(found);
            namespace.set_aside(path)?;
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

impl Namespace {
    /// Gives every series of the index its shard and slot. Reads arrays, no labels.
    fn load_series(&self, progress: &Progress) -> Result<(), TsdbError> {
        let mut batch = Vec::with_capacity(LOAD_BATCH);
        let place = |batch: &mut Vec<(u32, Identity)>| {
            self.place_series(batch.iter().copied());
            progress.advance(batch.len() as u64);
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
