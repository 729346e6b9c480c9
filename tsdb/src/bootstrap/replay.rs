//! The commit log, put back into series and buffers on every core.
//!
//! Four steps. Segments are **scanned**: checksums, and whose each entry is. Label sets are checked
//! and **hashed**. Series are **placed** in the order of the log. Then the index takes the series
//! while each shard's batches are **applied**, in the order of the log.
//!
//! INVARIANT: all samples of a series stand in batches of its shard, and one thread applies these
//! in order; so of several samples of one time the last write wins, as it did when they came.
//!
//! Cost: the log's bytes are read twice, from the page cache the second time. Memory: 48 bytes for
//! each series in the log and 24 for each batch, until the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, Mapped};
use m3rs_core::model::Labels;
use m3rs_core::wire::Cursor;
use m3rs_index::{Doc, Identity};
use parking_lot::Mutex;

use super::in_parallel;
use crate::buffer::{Buffer, Slot};
use crate::commitlog::{
    self, Entry, EntryDecoder, Head, SegmentReader, SegmentReport, missing_seals, next_head,
};
use crate::error::{CommitLogError, Damage, TsdbError};
use crate::namespace::Namespace;
use crate::progress::{Progress, Stage};

/// Series that the index takes at a time.
const INDEX_BATCH: usize = 1024;

/// Series that a thread hashes at a time.
const HASH_BATCH: usize = 4096;

/// A series that the log names.
#[derive(Debug)]
struct Named {
    namespace: u32,
    series: u32,
    labels_at: usize,
    labels_len: u32,
    /// `None` for labels that no writer of ours made, and before they are hashed.
    identity: Option<Identity>,
}

/// An entry with samples of one shard.
#[derive(Clone, Copy, Debug)]
struct Batch {
    segment: u32,
    len: u32,
    at: usize,
}

/// Batches by namespace and shard, in the order of the log.
type Batches = BTreeMap<(u32, u16), Vec<Batch>>;

/// A segment whose checksums were checked.
#[derive(Debug)]
struct Scanned {
    path: PathBuf,
    bytes: Mapped,
    sealed_before: Option<u64>,
    names: Vec<Named>,
    batches: Batches,
    report: SegmentReport,
}

/// Replays the log into series and buffers; returns how many bytes were read.
///
/// Entries of namespaces that were removed or replaced are passed over: those of numbers below
/// `next_id` that no namespace has.
pub(super) fn replay(
    fs: &dyn Fs,
    dir: &Path,
    namespaces: &BTreeMap<String, Arc<Namespace>>,
    next_id: u32,
    progress: &Progress,
    damage: &mut Vec<Damage>,
) -> Result<u64, TsdbError> {
    let mut total = 0;
    let mut paths = Vec::new();
    let segments = commitlog::list_segments(fs, dir)?;
    for &segment in &segments {
        let path = commitlog::segment_path(dir, segment);
        total += fs.file_len(&path).map_err(|e| TsdbError::io("read", &path, e))?;
        paths.push(path);
    }
    // Each byte is checked, then applied.
    progress.enter(Stage::CommitLog, total * 2);
    let mut log = Vec::new();
    for scanned in
        in_parallel("replay-scan", paths.len(), |i| scan(fs, &paths[i], i as u32, progress))
    {
        log.push(scanned?);
    }
    let by_id: BTreeMap<u32, &Arc<Namespace>> = namespaces.values().map(|n| (n.id, n)).collect();
    hash_names(&mut log, &by_id);
    let (mut unknown, fresh) = place(&log, &by_id, next_id);
    let mut batches = Batches::new();
    for scanned in &mut log {
        for (owner, mut list) in std::mem::take(&mut scanned.batches) {
            if !by_id.contains_key(&owner.0) && owner.0 < next_id {
                continue;
            }
            batches.entry(owner).or_default().append(&mut list);
        }
    }
    let replay = Replay { log: &log, by_id: &by_id, progress };
    let applied = replay.apply(&fresh, &batches)?;
    unknown += applied.unknown;
    damage.extend(log.iter().flat_map(|s| s.report.damages.iter().cloned()));
    damage.extend(applied.damages);
    // Older segments are gone because files cover them.
    let sealed_before = |s: &Scanned| s.sealed_before.filter(|before| segments[0] <= *before);
    damage.extend(missing_seals(dir, log.iter().map(|s| (sealed_before(s), &s.report))));
    if unknown > 0 {
        damage.push(Damage {
            path: dir.to_owned(),
            offset: 0,
            lost_bytes: 0,
            what: "commit log entries",
            expected: "series that the log or the index names".to_owned(),
            got: format!("{unknown} samples of series whose names are lost"),
        });
    }
    Ok(total)
}

/// Checks a segment, and finds whose its entries are.
fn scan(
    fs: &dyn Fs,
    path: &Path,
    number: u32,
    progress: &Progress,
) -> Result<Scanned, CommitLogError> {
    let reader = SegmentReader::open(fs, path)?;
    let (bytes, sealed_before) = (reader.bytes(), reader.sealed_before());
    let (mut names, mut batches) = (Vec::new(), Batches::new());
    let report = reader.read_chunks(|chunk| {
        progress.advance(Stage::CommitLog, chunk.len() as u64);
        let mut payload = Cursor::new("log entry", &bytes[chunk.clone()]);
        let mut entries = 0;
        loop {
            let head = match next_head(&mut payload) {
                Ok(Some(head)) => head,
                Ok(None) => return Ok::<_, CommitLogError>((entries, None)),
                Err(corrupt) => return Ok((entries, Some((payload.remaining(), corrupt)))),
            };
            entries += 1;
            let end = chunk.start + payload.position();
            match head {
                Head::Series { namespace, series_ref, labels } => names.push(Named {
                    namespace,
                    series: series_ref,
                    labels_at: end - labels.len(),
                    labels_len: len_u32(labels),
                    identity: None,
                }),
                Head::Batch { namespace, shard, entry } => {
                    let list = batches.entry((namespace, shard)).or_default();
                    let len = len_u32(entry);
                    list.push(Batch { segment: number, len, at: end - entry.len() });
                }
            }
        }
    })?;
    Ok(Scanned { path: path.to_owned(), bytes, sealed_before, names, batches, report })
}

/// Drops the names of series that the index knows, and checks and hashes the labels of others.
fn hash_names(log: &mut [Scanned], by_id: &BTreeMap<u32, &Arc<Namespace>>) {
    let next_refs: BTreeMap<u32, u32> =
        by_id.iter().map(|(id, n)| (*id, n.registry.next_ref())).collect();
    for scanned in log {
        let Scanned { names, bytes, .. } = scanned;
        names.retain(|n| next_refs.get(&n.namespace).is_none_or(|&next| n.series >= next));
        let parts: Vec<_> = names.chunks_mut(HASH_BATCH).map(Mutex::new).collect();
        in_parallel("replay-hash", parts.len(), |part| {
            let mut scratch = Vec::new();
            for named in parts[part].lock().iter_mut() {
                let labels = &bytes[named.labels_at..named.labels_at + named.labels_len as usize];
                if Labels::check_canonical(labels).is_ok() {
                    named.identity = Some(Identity::of(labels, &mut scratch));
                }
            }
        });
    }
}

fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("BUG: an entry is shorter than its chunk")
}

/// New series by namespace: segment and place in its names.
type Fresh = BTreeMap<u32, Vec<(u32, u32)>>;

/// Gives the series that the log alone names their places, in the order of the log. Returns how
/// many have lost their names, and which the index must take.
fn place(log: &[Scanned], by_id: &BTreeMap<u32, &Arc<Namespace>>, next_id: u32) -> (u64, Fresh) {
    let (mut unknown, mut fresh) = (0, Fresh::new());
    for (at, scanned) in log.iter().enumerate() {
        for (&id, namespace) in by_id {
            let mut next = namespace.registry.next_ref();
            let fresh = fresh.entry(id).or_default();
            let mut placed = Vec::new();
            for (i, named) in scanned.names.iter().enumerate() {
                if named.namespace != id || named.series < next {
                    continue;
                }
                next = named.series.saturating_add(1);
                match named.identity {
                    Some(identity) => {
                        placed.push((named.series, identity));
                        fresh.push((at as u32, i as u32));
                    }
                    None => unknown += 1,
                }
            }
            namespace.place_series(placed.into_iter());
            if next > 0 {
                // A ref whose name is lost is given to no other series.
                namespace.registry.reserve(next - 1);
            }
        }
        let is_foreign = |n: &&Named| n.namespace >= next_id && !by_id.contains_key(&n.namespace);
        let foreign = scanned.names.iter().filter(is_foreign);
        unknown += foreign.count() as u64;
    }
    (unknown, fresh)
}

/// What applying came to.
#[derive(Debug, Default)]
struct Applied {
    unknown: u64,
    damages: Vec<Damage>,
}

struct Replay<'a> {
    log: &'a [Scanned],
    by_id: &'a BTreeMap<u32, &'a Arc<Namespace>>,
    progress: &'a Progress,
}

impl Replay<'_> {
    /// Indexes new series, and applies the batches of each shard.
    fn apply(&self, fresh: &Fresh, batches: &Batches) -> Result<Applied, TsdbError> {
        // The index comes first, as it takes longest.
        let fresh: Vec<_> = fresh.iter().collect();
        let shards: Vec<_> = batches.iter().collect();
        let results = in_parallel("replay", fresh.len() + shards.len(), |i| match fresh.get(i) {
            Some((id, names)) => self.index(**id, names),
            None => {
                let ((id, shard), list) = shards[i - fresh.len()];
                Ok(self.shard(*id, *shard, list))
            }
        });
        let mut all = Applied::default();
        for result in results {
            let part = result?;
            all.unknown += part.unknown;
            all.damages.extend(part.damages);
        }
        Ok(all)
    }

    fn index(&self, id: u32, names: &[(u32, u32)]) -> Result<Applied, TsdbError> {
        let Some(namespace) = self.by_id.get(&id) else { return Ok(Applied::default()) };
        let mut docs = Vec::with_capacity(INDEX_BATCH);
        for batch in names.chunks(INDEX_BATCH) {
            docs.clear();
            let mut bytes = 0;
            for &(segment, at) in batch {
                let scanned = &self.log[segment as usize];
                let named = &scanned.names[at as usize];
                let end = named.labels_at + named.labels_len as usize;
                bytes += u64::from(named.labels_len);
                docs.extend(named.identity.map(|identity| Doc {
                    id: named.series,
                    labels: &scanned.bytes[named.labels_at..end],
                    identity,
                }));
            }
            namespace.index.insert_docs(&docs)?;
            self.progress.advance(Stage::CommitLog, bytes);
        }
        Ok(Applied::default())
    }

    fn shard(&self, id: u32, shard: u16, list: &[Batch]) -> Applied {
        let mut applied = Applied::default();
        let Some(namespace) = self.by_id.get(&id) else {
            applied.unknown = list.len() as u64;
            return applied;
        };
        let mut decoder = EntryDecoder::new();
        let now = namespace.clock.monotonic();
        for batch in list {
            let scanned = &self.log[batch.segment as usize];
            let bytes = &scanned.bytes[batch.at..batch.at + batch.len as usize];
            match decoder.next(&mut Cursor::new("log entry", bytes)) {
                Ok(Some(Entry::Samples { refs, ts, vs, starts, .. })) => {
                    applied.unknown += namespace.replay_samples(shard, refs, |buffer, slot, i| {
                        match starts.get(i).copied().unwrap_or(0) {
                            0 => buffer.append(slot, ts[i], vs[i], now),
                            start => buffer.append_started(slot, ts[i], vs[i], start, now),
                        }
                    });
                }
                Ok(Some(Entry::RichSamples { refs, ts, samples, .. })) => {
                    applied.unknown += namespace.replay_samples(shard, refs, |buffer, slot, i| {
                        buffer.append_rich(slot, ts[i], &samples[i], now);
                    });
                }
                Ok(Some(Entry::Deletion { from, to, refs, .. })) => {
                    applied.unknown += namespace.replay_deletion(shard, (from, to), refs);
                }
                Ok(Some(entry @ (Entry::Metadata { .. } | Entry::Exemplars { .. }))) => {
                    namespace.side.apply(&entry);
                }
                Ok(Some(Entry::Series { .. }) | None) => {}
                Err(corrupt) => {
                    let (at, lost) = (batch.at as u64, u64::from(batch.len));
                    let damage = Damage::of_corrupt(&scanned.path, at, lost, corrupt);
                    applied.damages.push(damage);
                }
            }
            self.progress.advance(Stage::CommitLog, u64::from(batch.len));
        }
        applied
    }
}

impl Namespace {
    /// Appends samples of one shard, whatever their time, as the clock may be wrong; returns how
    /// many have no series.
    fn replay_samples(
        &self,
        shard: u16,
        refs: &[u32],
        append: impl Fn(&mut Buffer, Slot, usize),
    ) -> u64 {
        let Some(home) = self.shards.get(usize::from(shard)) else { return refs.len() as u64 };
        let mut unknown = 0;
        let mut highest = 0;
        {
            let tables = self.registry.read();
            let mut state = home.lock();
            for (i, &series) in refs.iter().enumerate() {
                match tables.place(series) {
                    Some(place) if place.shard == shard => {
                        append(&mut state.buffer, place.slot, i);
                    }
                    // It was retired, when its samples were deleted or outside retention.
                    None if self.index.is_forgotten(series) => {}
                    _ => {
                        unknown += 1;
                        highest = highest.max(series);
                    }
                }
            }
        }
        if unknown > 0 {
            // INVARIANT: a ref that a file names is never given to another series.
            self.registry.reserve(highest);
        }
        unknown
    }

    /// Deletes samples of one shard; returns how many series are not known.
    fn replay_deletion(&self, shard: u16, range: (i64, i64), refs: &[u32]) -> u64 {
        let Some(home) = self.shards.get(usize::from(shard)) else { return refs.len() as u64 };
        let tables = self.registry.read();
        let is_known = |series: &&u32| !self.index.is_forgotten(**series);
        let refs: Vec<u32> = refs.iter().filter(is_known).copied().collect();
        let places = refs.iter().filter_map(|&series| tables.place(series));
        let slots: Vec<_> = places.filter(|p| p.shard == shard).map(|p| p.slot).collect();
        let unknown = refs.len() - slots.len();
        home.lock().delete(slots, range, self.clock.monotonic());
        unknown as u64
    }
}
