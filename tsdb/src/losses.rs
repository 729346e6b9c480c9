//! What is known to be lost, told to every query that it may concern.
//!
//! Damage that a read meets is told by that read. But once a damaged file is out of the way, be it
//! set aside at start or after a merge that took over the rest, no read meets it any more. So what
//! lies under a `.damaged` name is kept in mind, over restarts too:
//!
//! - a **fileset or snapshot** that was set aside: samples of its block, of any series if it does
//!   not open, else of those whose blocks cannot be read;
//! - a **note** about the commit log, which is written before the damaged segment is removed. Which
//!   times its lost bytes held is not known, so it concerns all that could be written until it was
//!   found.
//!
//! A loss is told until retention passes over it, or until an operator removes the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, write_atomic};
use m3rs_core::model::Matcher;
use m3rs_core::time::NS_PER_S;
use parking_lot::Mutex;

use crate::blocks::BlockId;
use crate::buffer::Columns;
use crate::error::{Damage, TsdbError};
use crate::fileset::{self, FilesetReader};
use crate::names::{
    DAMAGED_SUFFIX, damaged_name, parse_compacted_dir, parse_snapshot, undamaged_name,
};
use crate::namespace::Namespace;
use crate::series_block::BlockDecoder;
use crate::shard::overlay_block;

/// Most losses that are described; all of them are told to queries.
const DESCRIBED_MAX: usize = 1000;

/// Most losses that one query is told of one by one; the others are counted.
const TOLD_MAX: usize = 5;

/// Something that is lost, until its file is removed or retention passes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KnownLoss {
    /// The file that was set aside, or the note. Once it is removed, nobody is told any more.
    pub path: PathBuf,
    /// The namespace; `None` for the commit log, which is that of all.
    pub namespace: Option<String>,
    /// `volume`, `snapshot`, `side`, `index` or `log`.
    pub kind: &'static str,
    /// The shard; `None` if it may be any.
    pub shard: Option<u16>,
    /// Start of the block in nanoseconds; `None` if it may be any.
    pub block_start_ns: Option<i64>,
    /// Length of the block in nanoseconds; `None` if it may be any.
    pub block_length_ns: Option<i64>,
    /// How many series lost samples; `None` if it may be any.
    pub series: Option<u64>,
}

/// The times and series that a loss may concern.
#[derive(Debug)]
struct Loss {
    kind: &'static str,
    shard: Option<u16>,
    block: Option<BlockId>,
    /// The series, ascending; `None` if it may be any.
    series: Option<Vec<u32>>,
    /// When damage of the log was found, and the damage in words.
    found: Option<(i64, String)>,
    /// Whether its file is there.
    is_durable: bool,
}

/// The losses of a namespace, or of the commit log.
#[derive(Debug, Default)]
pub(crate) struct Losses(Mutex<BTreeMap<PathBuf, Arc<Loss>>>);

impl Losses {
    /// Reads the notes in the directory of the commit log. One that does not read is taken for a
    /// new one: it then concerns more, never less.
    pub(crate) fn of_log(fs: &dyn Fs, dir: &Path, now: i64) -> Result<Self, TsdbError> {
        let losses = Self::default();
        for path in set_aside_in(fs, dir)? {
            let bytes = fs.read(&path).map_err(|e| TsdbError::io("read", &path, e))?;
            let text = String::from_utf8_lossy(&bytes);
            let (found, what) = text.split_once('\n').unwrap_or((&text, ""));
            let found_ns = found.parse().unwrap_or(now);
            let found = (found_ns, what.trim().to_owned());
            losses.put(path, Loss { is_durable: true, ..Loss::of_log(found) });
        }
        Ok(losses)
    }

    /// Keeps damage of the log in mind; see [`Losses::record`].
    pub(crate) fn note_log(&self, dir: &Path, damage: &[Damage], now: i64) {
        for found in damage {
            let stem = found.path.file_stem().unwrap_or_default().to_string_lossy();
            let path = dir.join(format!("{stem}-{}{DAMAGED_SUFFIX}", found.offset));
            self.put(path, Loss::of_log((now, found.to_string())));
        }
    }

    /// Makes the notes about the log durable. Comes before its segments are removed: until then
    /// each start finds the damage anew.
    pub(crate) fn record(&self, fs: &dyn Fs) -> Result<(), TsdbError> {
        let all: Vec<_> = self.0.lock().iter().map(|(p, l)| (p.clone(), Arc::clone(l))).collect();
        for (path, loss) in all {
            let Loss { found: Some((found_ns, what)), is_durable: false, .. } = &*loss else {
                continue;
            };
            let text = format!("{found_ns}\n{what}\n");
            write_atomic(fs, &path, |file| file.write_all(text.as_bytes()))
                .map_err(|e| TsdbError::io("write", &path, e))?;
            let found = (*found_ns, what.clone());
            self.put(path, Loss { is_durable: true, ..Loss::of_log(found) });
        }
        Ok(())
    }

    /// Forgets the losses whose files an operator removed, and removes notes about the log from
    /// before `oldest`, which no retention reaches any more.
    pub(crate) fn refresh(&self, fs: &dyn Fs, oldest: i64) -> Result<(), TsdbError> {
        let all: Vec<_> = self.0.lock().iter().map(|(p, l)| (p.clone(), Arc::clone(l))).collect();
        for (path, loss) in all.into_iter().filter(|(_, loss)| loss.is_durable) {
            let mut is_there = fs.exists(&path);
            if is_there && loss.found.as_ref().is_some_and(|(found_ns, _)| *found_ns < oldest) {
                fs.remove_file(&path).map_err(|e| TsdbError::io("remove", &path, e))?;
                is_there = false;
            }
            if !is_there {
                self.0.lock().remove(&path);
                tracing::info!(path = %path.display(), "a loss is told no more");
            }
        }
        Ok(())
    }

    /// Descriptions, in the order of the paths.
    pub(crate) fn described(&self, namespace: Option<&Namespace>) -> Vec<KnownLoss> {
        let horizon = namespace.map_or(i64::MIN, |n| n.horizon().0);
        let all = self.0.lock();
        let told = all.iter().filter(|(_, l)| l.block.is_none_or(|block| block.end() > horizon));
        let described = told.take(DESCRIBED_MAX).map(|(path, loss)| KnownLoss {
            path: path.clone(),
            namespace: namespace.map(|n| n.name().to_owned()),
            kind: loss.kind,
            shard: loss.shard,
            block_start_ns: loss.block.map(BlockId::start),
            block_length_ns: loss.block.map(BlockId::length),
            series: loss.series.as_ref().map(|s| s.len() as u64),
        });
        described.collect()
    }

    fn put(&self, path: PathBuf, loss: Loss) {
        self.0.lock().insert(path, Arc::new(loss));
    }

    fn all(&self) -> Vec<(PathBuf, Arc<Loss>)> {
        self.0.lock().iter().map(|(p, l)| (p.clone(), Arc::clone(l))).collect()
    }

    /// The series that lost samples of blocks; `None` if it may be any.
    pub(crate) fn series(&self) -> Option<Vec<u32>> {
        let mut all = Vec::new();
        for (_, loss) in self.all().iter().filter(|(_, loss)| loss.block.is_some()) {
            all.extend(loss.series.as_ref()?);
        }
        Some(all)
    }
}

impl Loss {
    fn of_log(found: (i64, String)) -> Self {
        Self {
            kind: "log",
            shard: None,
            block: None,
            series: None,
            found: Some(found),
            is_durable: false,
        }
    }

    /// Whether it may concern any of the series. The shard says nothing of them: the namespace may
    /// have got other shards since.
    fn concerns(&self, found: &[u32]) -> bool {
        match &self.series {
            Some(lost) => found.iter().any(|series| lost.binary_search(series).is_ok()),
            None => !found.is_empty(),
        }
    }

    /// The warning of a query that it may concern.
    fn warning(&self, path: &Path) -> String {
        let path = path.display();
        if let Some((found_ns, what)) = &self.found {
            let found_s = found_ns.div_euclid(NS_PER_S);
            return format!(
                "{path}: the commit log was damaged: samples of any time that were written before \
                 {found_s} (seconds since 1970) may be missing: {what}"
            );
        }
        let series = match &self.series {
            Some(series) => format!("{} series", series.len()),
            None => "any series".to_owned(),
        };
        let shard = self.shard.map(|shard| format!(" of shard {shard}")).unwrap_or_default();
        let times = self.block.map_or_else(String::new, |block| {
            let [from, to] = [block.start(), block.end()].map(|ns| ns.div_euclid(NS_PER_S));
            format!(" from {from} to {to} (seconds since 1970)")
        });
        format!("{path} was set aside as damaged: samples of {series}{shard}{times} may be missing")
    }
}

/// Files of a directory that were set aside.
fn set_aside_in(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, TsdbError> {
    let all = fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))?;
    Ok(all.into_iter().filter(|p| p.to_string_lossy().ends_with(DAMAGED_SUFFIX)).collect())
}

impl Namespace {
    /// Renames a damaged file, so that its name is free and its bytes stay for a closer look.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<(), TsdbError> {
        let aside = damaged_name(self.fs.as_ref(), path);
        self.fs.rename(path, &aside).map_err(|e| TsdbError::io("rename", path, e))?;
        self.note_set_aside(aside);
        Ok(())
    }

    /// Finds what was set aside before this start.
    pub(crate) fn load_losses(&self) -> Result<(), TsdbError> {
        let fs = self.fs.as_ref();
        let mut dirs = vec![self.index_dir()];
        dirs.extend(self.layout.side(&self.dir).parent().map(Path::to_owned));
        // Those of shards that a namespace had before it got other ones, too.
        for root in [self.layout.data_root(&self.dir), self.layout.snapshots_root(&self.dir)] {
            let list = |dir: &Path| fs.list(dir).map_err(|e| TsdbError::io("list", dir, e));
            for shard_dir in list(&root)? {
                let inside = list(&shard_dir)?;
                dirs.extend(inside.into_iter().filter(|p| parse_compacted_dir(p).is_some()));
                dirs.push(shard_dir);
            }
        }
        for dir in dirs {
            for path in set_aside_in(fs, &dir)? {
                self.note_set_aside(path);
            }
        }
        Ok(())
    }

    /// Keeps in mind what a file that was set aside has lost.
    fn note_set_aside(&self, path: PathBuf) {
        let Some(loss) = self.loss_of(&path) else { return };
        tracing::warn!(
            namespace = self.name(),
            kind = loss.kind,
            shard = loss.shard,
            block_start_ns = loss.block.map(BlockId::start),
            block_length_ns = loss.block.map(BlockId::length),
            series = loss.series.as_ref().map(Vec::len),
            path = %path.display(),
            "a damaged file was set aside; queries that it concerns warn until it is removed"
        );
        self.losses.put(path, loss);
    }

    /// What a file that was set aside has lost; `None` if nothing.
    fn loss_of(&self, path: &Path) -> Option<Loss> {
        let name = path.file_name()?.to_str()?;
        let name = Path::new(undamaged_name(name));
        let dir = path.parent()?;
        let length = parse_compacted_dir(dir);
        let shard_dir = if length.is_some() { dir.parent()? } else { dir };
        let shard = || shard_dir.file_name()?.to_str()?.parse().ok();
        let of_block = |kind, start| {
            let block = BlockId::new(start, length.unwrap_or(self.block_size_ns()));
            Loss { kind, shard: shard(), block: Some(block), ..Loss::of_file(kind) }
        };
        let mut loss = match (fileset::parse_file_name(name), parse_snapshot(name)) {
            (Some((start, _)), _) => of_block("volume", start),
            (None, Some((start, _))) => of_block("snapshot", start),
            (None, None) if name.extension().is_some_and(|e| e == "side") => Loss::of_file("side"),
            (None, None) => Loss::of_file("index"),
        };
        if loss.block.is_some() {
            loss.series = self.lost_series(path);
        }
        // A merge sets all of its sources aside, sound ones too.
        let is_sound = loss.series.as_ref().is_some_and(Vec::is_empty);
        (!is_sound).then_some(loss)
    }

    /// The series whose samples in a fileset cannot be read; `None` if it may be any.
    fn lost_series(&self, path: &Path) -> Option<Vec<u32>> {
        let reader = FilesetReader::open_unsure(self.fs.as_ref(), path).ok()?;
        let (mut decoder, mut columns) = (BlockDecoder::default(), Columns::default());
        let mut lost = Vec::new();
        for entry in reader.entries() {
            let entry = entry.ok()?;
            // No merge could take over a series whose name is lost, and no query finds it.
            self.registry.read().place(entry.series)?;
            columns.clear();
            let all = (i64::MIN, i64::MAX);
            let decoded = overlay_block(&reader, &entry, all, &mut decoder, &mut columns);
            lost.extend(decoded.is_err().then_some(entry.series));
        }
        Some(lost)
    }

    /// Warnings of a query for the series that match, in these times.
    ///
    /// A series whose samples are lost is not active where they were, so the series are those of
    /// all times. Without a loss in the range they are not looked for.
    pub(crate) fn losses_met(
        &self,
        (from, to): (i64, i64),
        matchers: &[Matcher],
    ) -> Result<Vec<String>, TsdbError> {
        let mut met = Vec::new();
        let of_blocks = self.losses.all().into_iter();
        let mut of_range = of_blocks
            .filter(|(_, loss)| loss.block.is_some_and(|block| block.overlaps(from, to)))
            .peekable();
        if of_range.peek().is_some() {
            let matching = self.find(matchers, (i64::MIN, i64::MAX), usize::MAX)?;
            for (path, loss) in of_range.filter(|(_, loss)| loss.concerns(&matching)) {
                met.push(loss.warning(&path));
            }
        }
        for found in self.index.known_damage() {
            let found = Damage::from(found);
            met.push(format!(
                "{found}: the index is damaged: series may be missing or wrong until the next \
                 start makes it anew"
            ));
        }
        let ahead = self.ahead_ns();
        for (path, loss) in self.log_losses.all() {
            if loss.found.as_ref().is_some_and(|(found, _)| from <= found.saturating_add(ahead)) {
                met.push(loss.warning(&path));
            }
        }
        if met.len() > TOLD_MAX {
            let more = met.len() - TOLD_MAX;
            met.truncate(TOLD_MAX);
            met.push(format!("{more} more losses are known: the status lists them"));
        }
        Ok(met)
    }

    /// How far in the future a sample may be when it is written.
    pub(crate) fn ahead_ns(&self) -> i64 {
        let options = self.options();
        options.buffer_future_ns.max(options.future_retention_ns)
    }
}

impl Loss {
    fn of_file(kind: &'static str) -> Self {
        Self { kind, shard: None, block: None, series: None, found: None, is_durable: true }
    }
}
