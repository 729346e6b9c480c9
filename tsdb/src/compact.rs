//! Compaction: closed blocks become longer ones, so that there are few files, and each series'
//! samples stand together where codecs do best.
//!
//! Lengths form a ladder of which each is a multiple of the one before: a day, then eight days,
//! then thirty-two. A span is compacted when it is past its time, nothing waits to be flushed in
//! it, and it has at least two blocks. So each sample is written once at its flush and once for
//! each rung of the ladder; late samples wait as short blocks over the long one until they are an
//! eighth of it.
//!
//! A compaction reads volumes, which never change, and holds up neither reads nor writes. What it
//! wrote gets its name and is published only if its sources are still what they were; the files of
//! the sources go after that. A crash at any moment leaves files that say the same twice, never
//! less. `tests/flush_versions.rs` is a model of these rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::TEMP_SUFFIX;
use m3rs_core::time::{NS_PER_MS, NS_PER_S};

use crate::blocks::{BlockFiles, BlockId, Blocks, Layer};
use crate::checkpoint::Written;
use crate::error::TsdbError;
use crate::fileset::{FilesetKind, FilesetReader};
use crate::mediator::Stop;
use crate::namespace::Namespace;
use crate::shard::Shard;

const DAY_NS: i64 = 24 * 3600 * NS_PER_S;

/// How many blocks of a rung make one of the next, from a day on.
const LADDER: [i64; 2] = [8, 4];

/// A block that was extended by late samples is compacted again when these are at least one part
/// in so many of it: each sample is written again at most so often for late ones.
const LATE_SHARE: u64 = 8;

/// A block and its volume.
type Source = (BlockId, Arc<FilesetReader>);

/// What a compaction is to do: make one block of these.
#[derive(Debug)]
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
    reader: Option<Arc<FilesetReader>>,
    written: Written,
}

/// What was compacted so far, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompactionReport {
    pub(crate) sources: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
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
    /// The next compaction that is due, if there is one.
    fn next_compaction(&self) -> Option<Compaction> {
        let options = self.options();
        let now = self.clock.now().0;
        // The last block of a span is flushed first, and late samples get a chance.
        let wait = options.buffer_past_ns.saturating_add(options.block_size_ns);
        let closed_before = now.saturating_sub(wait);
        for length in lengths(options.block_size_ns, options.retention_ns) {
            for (number, shard) in self.shards.iter().enumerate() {
                if let Some((span, sources)) = next_span(shard, length, closed_before) {
                    return Some(Compaction { shard: number, span, sources });
                }
            }
        }
        None
    }

    /// Whether a compaction is due.
    pub(crate) fn has_compaction(&self) -> bool {
        self.next_compaction().is_some()
    }

    /// Finds the next compaction, if one is due, and writes its block, which can take long.
    pub(crate) fn compact_next(&self, stop: &Stop) -> Result<Option<Compacted>, TsdbError> {
        let Some(compaction) = self.next_compaction() else { return Ok(None) };
        self.compact(compaction, stop).map(Some)
    }

    fn compact(&self, compaction: Compaction, stop: &Stop) -> Result<Compacted, TsdbError> {
        let shard = &self.shards[compaction.shard];
        let span = compaction.span;
        let own = compaction.sources.first().filter(|(id, _)| *id == span);
        let volume = own.map_or(0, |(_, reader)| reader.info().volume + 1);
        let covered = own.map_or(0, |(_, reader)| reader.info().log_segment);
        let layers = compaction.sources.iter().map(|(_, r)| Layer::File(Arc::clone(r)));
        let files = BlockFiles { volume: None, layers: layers.collect() };
        let path = self.volume_path(shard, span, volume)?;
        let info = self.info(shard, span, FilesetKind::Volume, volume, covered);
        let mut written = Written::default();
        // Under its own name a crash would publish it, though a deletion may have come meanwhile.
        let mut unnamed = path.clone().into_os_string();
        unnamed.push(format!(".compacted{TEMP_SUFFIX}"));
        let unnamed = PathBuf::from(unnamed);
        let go_on = || stop.check();
        let reader = self.write_block(shard, &files, &unnamed, info, &mut written, go_on)?;
        Ok(Compacted { compaction, path, reader, written })
    }

    /// Lets readers see the new block instead of its sources, and removes these; `None` if the
    /// sources are not what they were, and the new block is thrown away.
    ///
    /// The caller holds the maintenance lock, so no flush works on the sources.
    pub(crate) fn publish(
        &self,
        compacted: Compacted,
    ) -> Result<Option<CompactionReport>, TsdbError> {
        let Compacted { compaction, path, reader, written } = compacted;
        let Compaction { shard, span, sources } = compaction;
        let shard = &self.shards[shard];
        // A volume hides older ones and the snapshots that it was merged from. Once it is gone,
        // none of them may come back from a removal that was not durable yet, and lie over newer
        // samples.
        self.sync_block_dirs(shard, sources.iter().map(|(id, _)| *id))?;
        let bytes_written = reader.as_ref().map_or(0, |r| r.file_len());
        let unnamed = reader.as_ref().map(|r| r.path().to_owned());
        if !self.replace(shard, span, &sources, reader, &path)? {
            if let Some(unnamed) = unnamed {
                self.remove_file(&unnamed)?;
            }
            return Ok(None);
        }
        let mut report = CompactionReport { bytes_written, ..CompactionReport::default() };
        for (_, source) in &sources {
            report.sources += 1;
            report.bytes_read += source.file_len();
            if written.is_sound() {
                self.remove_file(source.path())?;
            } else {
                // It has bytes that could not be taken over; they stay for a closer look.
                self.set_aside(source.path())?;
            }
        }
        // A deletion after this is told of the new block alone, so no source may come back.
        self.sync_block_dirs(shard, sources.iter().map(|(id, _)| *id))?;
        Ok(Some(report))
    }

    /// Names the new file and puts it in the place of the sources, if they are still what is
    /// served. Holds the shard's lock for a rename and the sync of a directory.
    fn replace(
        &self,
        shard: &Shard,
        span: BlockId,
        sources: &[Source],
        reader: Option<Arc<FilesetReader>>,
        path: &Path,
    ) -> Result<bool, TsdbError> {
        let mut state = shard.lock();
        if !is_unchanged(&state.blocks(), span, sources) {
            return Ok(false);
        }
        let mut named = None;
        if let Some(reader) = reader {
            let io = |action| move |e| TsdbError::io(action, path, e);
            self.fs.rename(reader.path(), path).map_err(io("name"))?;
            let dir = path.parent().unwrap_or(path);
            self.fs.sync_dir(dir).map_err(io("name"))?;
            named = Some(Arc::new(FilesetReader::open(self.fs.as_ref(), path)?));
        }
        state.edit_blocks(|blocks| {
            for (id, _) in sources {
                let _empty = blocks.remove(*id);
            }
            if let Some(named) = named {
                blocks.entry(span).volume = Some(named);
            }
        });
        Ok(true)
    }
}

/// Whether the sources are all that is served of the span, and nothing lies over them.
fn is_unchanged(blocks: &Blocks, span: BlockId, sources: &[Source]) -> bool {
    let is_same = |(id, source): &Source| {
        let files = blocks.get(*id);
        // A layer may delete what the new block has, and would not lie over it any more.
        files.is_some_and(|f| {
            f.layers.is_empty() && f.volume.as_ref().is_some_and(|v| Arc::ptr_eq(v, source))
        })
    };
    // A block of the span that came meanwhile would be hidden.
    let own = blocks.get(span).is_some_and(|files| !files.is_empty());
    let own_is_source = sources.first().is_some_and(|(id, _)| *id == span);
    sources.iter().all(is_same) && own == own_is_source
}

/// The first span of `length` in a shard that is due, with the volumes in it from old to new.
fn next_span(shard: &Shard, length: i64, closed_before: i64) -> Option<(BlockId, Vec<Source>)> {
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
        let is_flushed = held.iter().all(|(_, f)| f.layers.is_empty() && f.volume.is_some());
        let is_nested = held.iter().all(|(id, _)| id.end() <= span.end());
        if is_busy || !is_closed || !is_flushed || !is_nested {
            return None;
        }
        let sources: Vec<Source> =
            held.into_iter().filter_map(|(id, f)| Some((id, f.volume.clone()?))).collect();
        is_worth(span, &sources).then_some((span, sources))
    })
}

fn is_worth(span: BlockId, sources: &[Source]) -> bool {
    let bytes =
        |sources: &[Source]| -> u64 { sources.iter().map(|(_, reader)| reader.file_len()).sum() };
    match sources {
        [(id, own), late @ ..] if *id == span => {
            !late.is_empty() && bytes(late).saturating_mul(LATE_SHARE) >= own.file_len()
        }
        shorter => shorter.len() >= 2,
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
