//! Compaction: closed blocks become longer ones, so that there are few files, and each series'
//! samples stand together where codecs do best; and deleted samples give their space back.
//!
//! Lengths form a ladder of which each is a multiple of the one before: a day, then eight days,
//! then thirty-two. A span is compacted when it is past its time, nothing waits to be flushed in
//! it, and it has at least two blocks. So each sample is written once at its flush and once for
//! each rung of the ladder; late samples wait as short blocks over the long one until they are an
//! eighth of it.
//!
//! A deletion waits as a snapshot over its block until it concerns an eighth of the block's series
//! or is a day old; then the block is written anew without the samples.
//!
//! A compaction reads files, which never change, and holds up neither reads nor writes. What it
//! wrote gets its name and is published only if its sources are still what they were; the files of
//! the sources go after that. A crash at any moment leaves files that say the same twice, never
//! less. `tests/flush_versions.rs` is a model of these rules.
//!
//! A compaction that fails rests, and for longer each time; others go on.

mod publish;
mod rests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use m3rs_core::fs::TEMP_SUFFIX;
use m3rs_core::time::{NS_PER_MS, NS_PER_S};

pub(crate) use rests::Rests;

use crate::blocks::{BlockFiles, BlockId, Layer};
use crate::cache::{self, ServedFile};
use crate::checkpoint::Written;
use crate::error::TsdbError;
use crate::fileset::FilesetKind;
use crate::limits::COMPACTED_SAMPLES_MAX;
use crate::mediator::Stop;
use crate::merge::Output;
use crate::namespace::Namespace;
use crate::shard::Shard;

const DAY_NS: i64 = 24 * 3600 * NS_PER_S;

/// How many blocks of a rung make one of the next, from a day on.
const LADDER: [i64; 2] = [8, 4];

/// A block that was extended by late samples is compacted again when these are at least one part
/// in so many of it: each late sample then costs the writing of at most nine samples.
const LATE_SHARE: u64 = 8;

/// A block is written anew without deleted samples when at least one in so many of its series has
/// lost some.
const DELETED_SHARE: u64 = 8;

/// The longest that deleted samples of a closed block keep their space.
const DELETED_AGE_NS: i64 = DAY_NS;

/// A block whose volume, and perhaps deletions over it, are merged.
#[derive(Clone, Debug)]
struct Source {
    id: BlockId,
    /// Has a volume; its layers are files.
    files: BlockFiles,
}

impl Source {
    fn bytes(&self) -> u64 {
        self.files.files().map(|file| file.file_len()).sum()
    }
}

/// What a compaction is to do: make one block of these.
#[derive(Clone, Debug)]
pub(crate) struct Compaction {
    shard: usize,
    span: BlockId,
    /// The block of that span, if there is one, then shorter ones, from old to new.
    sources: Vec<Source>,
}

/// A block that is written and not published yet.
#[derive(Debug)]
pub(crate) struct Compacted {
    compaction: Compaction,
    /// Its name when it is published; until then it has one that start-up removes.
    path: PathBuf,
    /// Nothing, if no sample was left.
    reader: Option<Arc<ServedFile>>,
    written: Written,
}

/// Lengths of compacted blocks for a namespace, the shortest first.
///
/// A block expires as a whole, so that no block is longer than a tenth of the retention; a day is
/// allowed from four days of retention on. `retention_ns` is 0 for "for ever".
pub(crate) fn lengths(block_size_ns: i64, retention_ns: i64) -> Vec<i64> {
    // Directories name lengths in milliseconds at best.
    if block_size_ns % NS_PER_MS != 0 {
        return Vec::new();
    }
    let mut lengths = Vec::new();
    let mut next = Some(block_size_ns);
    if block_size_ns < DAY_NS {
        let blocks = (DAY_NS + block_size_ns - 1) / block_size_ns;
        next = block_size_ns.checked_mul(blocks);
        lengths.extend(next.filter(|&day| retention_ns == 0 || day <= retention_ns / 4));
    }
    for factor in LADDER {
        next = next.and_then(|length| length.checked_mul(factor));
        lengths.extend(next.filter(|&l| retention_ns == 0 || l <= retention_ns / 10));
    }
    lengths
}

impl Namespace {
    /// The next compaction that is due and does not rest, if there is one.
    fn next_compaction(&self) -> Option<Compaction> {
        let options = self.options();
        let now = self.clock.now().0;
        // The last block of a span is flushed first, and late samples get a chance.
        let wait = options.buffer_past_ns.saturating_add(options.block_size_ns);
        let closed_before = now.saturating_sub(wait);
        let rests = self.compaction_rests.lock();
        let monotonic = self.clock.monotonic();
        for length in lengths(options.block_size_ns, options.retention_ns) {
            for (number, shard) in self.shards.iter().enumerate() {
                let may = |span| !rests.has(number, span, monotonic);
                if let Some((span, sources)) = next_span(shard, length, closed_before, may) {
                    return Some(Compaction { shard: number, span, sources });
                }
            }
        }
        for (number, shard) in self.shards.iter().enumerate() {
            let may = |span| !rests.has(number, span, monotonic);
            if let Some(source) = next_deleted(shard, now, closed_before, may) {
                let span = source.id;
                return Some(Compaction { shard: number, span, sources: vec![source] });
            }
        }
        None
    }

    /// Whether deletions are in memory that compaction waits for.
    pub(crate) fn holds_deletions(&self) -> bool {
        let waits = |files: &BlockFiles| !files.is_flushed() && files.has_all_samples_in_volume();
        self.options().snapshot_enabled
            && self.shards.iter().any(|shard| {
                let blocks = shard.lock().blocks();
                blocks.iter().any(|(_, files)| waits(files))
            })
    }

    /// Whether a compaction is due.
    pub(crate) fn has_compaction(&self) -> bool {
        self.next_compaction().is_some()
    }

    /// Finds the next compaction, if one is due, and writes its block, which can take long.
    pub(crate) fn compact_next(&self, stop: &Stop) -> Result<Option<Compacted>, TsdbError> {
        while let Some(compaction) = self.next_compaction() {
            let (shard, span) = (compaction.shard, compaction.span);
            if let Some(why) = self.obstacle(&compaction) {
                self.counters.compactions_skipped.add(1);
                let (start_ns, length_ns) = (span.start(), span.length());
                tracing::warn!(
                    namespace = self.name(),
                    shard,
                    start_ns,
                    length_ns,
                    why,
                    "a compaction is not begun for now"
                );
                self.rest(shard, span);
                continue;
            }
            let compacted = self.compact(compaction, stop);
            if let Err(TsdbError::Fileset(error)) = &compacted
                && cache::is_gone(error)
            {
                // A flush replaced a source before it was mapped; a later look finds what is there.
                return Ok(None);
            }
            if !matches!(compacted, Ok(_) | Err(TsdbError::Closing)) {
                self.rest(shard, span);
            }
            return compacted.map(Some);
        }
        Ok(None)
    }

    /// Lets a compaction rest that did not succeed.
    fn rest(&self, shard: usize, span: BlockId) {
        self.compaction_rests.lock().add(shard, span, self.clock.monotonic());
    }

    /// What forbids a compaction, if anything does.
    fn obstacle(&self, compaction: &Compaction) -> Option<String> {
        let needed: u64 = compaction.sources.iter().map(Source::bytes).sum();
        if let Some(room) = self.disk.room().filter(|room| *room < needed) {
            return Some(format!("it may need {needed} bytes, and {room} are free over the floor"));
        }
        let own = compaction.sources.iter().all(|source| source.id == compaction.span);
        let most = if own { 0 } else { self.samples_most(compaction) };
        (most > COMPACTED_SAMPLES_MAX)
            .then(|| format!("a series has {most} samples, more than {COMPACTED_SAMPLES_MAX}"))
    }

    /// The most samples that a series may have in the new block.
    fn samples_most(&self, compaction: &Compaction) -> u64 {
        let files = || compaction.sources.iter().flat_map(|source| source.files.files());
        let all: u64 = files().map(|file| file.totals().samples).sum();
        if all <= COMPACTED_SAMPLES_MAX {
            return all;
        }
        let known = self.shards[compaction.shard].lock().buffer.series();
        let mut counts = vec![0u64; known.len()];
        // What is damaged, or cannot be mapped, is told by the merge.
        for reader in files().filter_map(|file| file.reader().ok()) {
            for entry in reader.entries().flatten() {
                if let Ok(at) = known.binary_search_by_key(&entry.series, |(series, _)| *series) {
                    counts[at] += u64::from(entry.count);
                }
            }
        }
        counts.into_iter().max().unwrap_or(0)
    }

    fn compact(&self, compaction: Compaction, stop: &Stop) -> Result<Compacted, TsdbError> {
        let shard = &self.shards[compaction.shard];
        let span = compaction.span;
        let own = compaction.sources.first().filter(|source| source.id == span);
        let volume = own.and_then(|source| source.files.volume.as_ref());
        let volume = volume.map_or(0, |reader| reader.info().volume + 1);
        let covered = own.into_iter().flat_map(|source| source.files.files());
        let covered = covered.map(|reader| reader.info().log_segment).max().unwrap_or(0);
        let readers = compaction.sources.iter().flat_map(|source| source.files.files());
        let layers = readers.map(|reader| Layer::File(Arc::clone(reader)));
        let files = BlockFiles { layers: layers.collect(), ..BlockFiles::default() };
        let path = self.volume_path(shard, span, volume)?;
        let info = self.info(shard, span, FilesetKind::Volume, volume, covered);
        let mut written = Written::default();
        // Under its own name a crash would publish it, though a deletion may have come meanwhile.
        let mut unnamed = path.clone().into_os_string();
        unnamed.push(format!(".compacted{TEMP_SUFFIX}"));
        let fs = self.compaction_fs.as_ref();
        let output = Output { fs, path: PathBuf::from(unnamed), info };
        let reader = self.write_block(shard, &files, &output, &mut written, || stop.check())?;
        Ok(Compacted { compaction, path, reader, written })
    }
}

/// The next span of `length` in a shard that is due and that `may` be compacted, with the blocks in
/// it from old to new.
fn next_span(
    shard: &Shard,
    length: i64,
    closed_before: i64,
    may: impl Fn(BlockId) -> bool,
) -> Option<(BlockId, Vec<Source>)> {
    let (blocks, windows) = {
        let state = shard.lock();
        let windows: Vec<i64> = state.buffer.windows().map(|(start, _)| start).collect();
        (state.blocks(), windows)
    };
    let span_of = |start: i64| BlockId::new(shard.align(start, length), length);
    let mut spans: BTreeMap<BlockId, Vec<(BlockId, &BlockFiles)>> = BTreeMap::new();
    for (id, files) in blocks.iter().filter(|(id, _)| id.length() <= length) {
        spans.entry(span_of(id.start())).or_default().push((id, files));
    }
    spans.into_iter().find_map(|(span, held)| {
        let is_busy = windows.iter().any(|&start| span_of(start) == span);
        let is_closed = span.end() <= closed_before;
        let is_flushed = held.iter().all(|(_, files)| files.is_flushed());
        let is_nested = held.iter().all(|(id, _)| id.end() <= span.end());
        if is_busy || !is_closed || !is_flushed || !is_nested {
            return None;
        }
        let sources: Vec<Source> =
            held.into_iter().map(|(id, files)| Source { id, files: files.clone() }).collect();
        (is_worth(span, &sources) && may(span)).then_some((span, sources))
    })
}

fn is_worth(span: BlockId, sources: &[Source]) -> bool {
    match sources {
        [own, late @ ..] if own.id == span => {
            let late_bytes: u64 = late.iter().map(Source::bytes).sum();
            !late.is_empty() && late_bytes.saturating_mul(LATE_SHARE) >= own.bytes()
        }
        shorter => shorter.len() >= 2,
    }
}

/// The next block of a shard that is to be written anew without deleted samples.
fn next_deleted(
    shard: &Shard,
    now: i64,
    closed_before: i64,
    may: impl Fn(BlockId) -> bool,
) -> Option<Source> {
    let blocks = shard.lock().blocks();
    let mut closed = blocks.iter().filter(|(id, _)| id.end() <= closed_before);
    let found =
        closed.find(|(id, files)| files.is_flushed() && has_deleted(files, now) && may(*id));
    found.map(|(id, files)| Source { id, files: files.clone() })
}

/// Whether a flushed block has enough deletions over it, or one for long enough.
fn has_deleted(files: &BlockFiles, now: i64) -> bool {
    let Some(volume) = &files.volume else { return false };
    let deletions = || files.files().skip(1);
    let series: u64 = deletions().map(|file| u64::from(file.totals().series)).sum();
    let is_old =
        |file: &Arc<ServedFile>| file.info().created_ns <= now.saturating_sub(DELETED_AGE_NS);
    series.saturating_mul(DELETED_SHARE) >= u64::from(volume.totals().series).max(1)
        || deletions().any(is_old)
}

impl BlockFiles {
    /// Whether over its volume are deletions alone.
    pub(crate) fn has_all_samples_in_volume(&self) -> bool {
        let is_deletions = |layer: &Layer| match layer {
            Layer::File(file) => file.totals().samples == 0,
            Layer::Deletion(_) => true,
            Layer::Memory(_) => false,
        };
        self.volume.is_some() && self.layers.iter().all(is_deletions)
    }

    /// As [`BlockFiles::has_all_samples_in_volume`], and the deletions are in files.
    fn is_flushed(&self) -> bool {
        let is_file = |layer: &Layer| matches!(layer, Layer::File(_));
        self.has_all_samples_in_volume() && self.layers.iter().all(is_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * NS_PER_S;

    #[test]
    fn lengths_follow_the_retention() {
        let of = |block, retention| -> Vec<i64> {
            let lengths = lengths(block * HOUR, retention * HOUR);
            lengths.into_iter().map(|l| l / HOUR).collect()
        };
        assert_eq!(of(2, 0), [24, 192, 768]);
        assert_eq!(of(2, 365 * 24), [24, 192, 768]);
        assert_eq!(of(2, 100 * 24), [24, 192]);
        assert_eq!(of(2, 30 * 24), [24]);
        assert_eq!(of(2, 95), [0i64; 0]);
        assert_eq!(of(2, 96), [24]);
        assert_eq!(of(7, 0), [28, 224, 896]);
        assert_eq!(of(24, 0), [192, 768]);
        assert_eq!(lengths(1_500_001, 0), [0i64; 0]);
        assert_eq!(lengths(i64::MAX / NS_PER_MS * NS_PER_MS, 0), [0i64; 0]);
    }
}
