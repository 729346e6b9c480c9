//! One file out of the layers of a block, series by series.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitvec::bitvec;
use m3rs_core::fs::Fs;
use m3rs_core::model::{Labels, SampleKind};
use m3rs_index::IndexError;

use crate::blocks::{BlockFiles, BlockId, OpenFiles, OpenLayer};
use crate::buffer::{Columns, Slot};
use crate::cache::{MappedFile, ServedFile};
use crate::checkpoint::Written;
use crate::error::{FilesetError, TsdbError};
use crate::fileset::{self, BlockCodec, FilesetInfo, FilesetKind, SeriesBlock};
use crate::namespace::Namespace;
use crate::removal::{Durable, Fate};
use crate::series_block::{BlockDecoder, BlockEncoder, Effort};
use crate::shard::{FilesReader, Shard};

/// Series whose labels are read at a time.
const LABELS_BATCH: usize = 256;

/// A file that is to be written.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    /// Where samples go, at the rate of who writes them.
    pub(crate) fs: &'a dyn Fs,
    pub(crate) path: PathBuf,
    pub(crate) info: FilesetInfo,
}

impl Namespace {
    /// Writes all samples of `files` as one file; `None` if there are none, or none that can be
    /// read. `go_on` is asked at each series, and its error ends the work.
    ///
    /// After an error there is no file, or it stands in the list of removals: one that nobody
    /// knows would be served after a start.
    pub(crate) fn write_block(
        &self,
        shard: &Shard,
        files: &BlockFiles,
        output: &Output<'_>,
        written: &mut Written,
        go_on: impl Fn() -> Result<(), TsdbError>,
    ) -> Result<Option<Arc<ServedFile>>, TsdbError> {
        let Output { path, info, .. } = output;
        let id = BlockId::new(info.block_start_ns, info.block_size_ns);
        let result = self.write_file(shard, files, output, written, go_on);
        let is_served = |path: &Path| {
            let blocks = shard.lock().blocks();
            blocks.get(id).is_some_and(|files| files.files().any(|r| r.path() == path))
        };
        if result.is_err() && !is_served(path) {
            let how = (Fate::Remove, Durable::InTheEnd);
            self.forget(shard, id, [path.clone()], how);
            if let Err(error) = self.settle_block(shard, id) {
                tracing::warn!(%error, "a file that was not finished stays for now");
            }
        }
        result
    }

    fn write_file(
        &self,
        shard: &Shard,
        files: &BlockFiles,
        output: &Output<'_>,
        written: &mut Written,
        go_on: impl Fn() -> Result<(), TsdbError>,
    ) -> Result<Option<Arc<ServedFile>>, TsdbError> {
        let Output { path, info, fs } = output;
        let known = shard.lock().buffer.series();
        // A file that is damaged as a whole is left out, and the caller sets it aside; one that
        // cannot be mapped now is as good as ever, so the merge must not go on without it.
        let open = files.open(|error| match error {
            FilesetError::Damaged(damage) => {
                written.damaged += 1;
                self.counters.damaged_reads.add(1);
                tracing::error!(%damage, "a file is damaged and left out of the merge");
                Ok(())
            }
            other => Err(TsdbError::from(other)),
        })?;
        let all = open.series(known, &mut written.damaged);
        if all.is_empty() {
            return Ok(None);
        }
        let is_compacted = info.block_size_ns > self.block_size_ns();
        let effort = if is_compacted { Effort::Compact } else { Effort::Flush };
        let mut merger = Merger::new(self, &open, info, effort);
        let outcome = fileset::write_fileset(*fs, path, info, |sink| {
            let before = written.series_blocks;
            for batch in all.chunks(LABELS_BATCH) {
                // Neighbours share most labels, so it is cheaper to read several at a time.
                let refs: Vec<u32> = batch.iter().map(|(series, _)| *series).collect();
                for (&(series, slot), labels) in batch.iter().zip(self.index.labels_of(&refs)?) {
                    go_on()?;
                    let Some(labels) = labels else {
                        let path = path.display();
                        tracing::error!(series, %path, "a series without labels is left out");
                        written.damaged += 1;
                        continue;
                    };
                    if merger.push(sink, series, slot, &labels)? {
                        written.series_blocks += 1;
                    }
                }
            }
            // Under its name an empty file would hide the others.
            if written.series_blocks == before { Err(Unwritten::Empty) } else { Ok(()) }
        });
        written.damaged += merger.damaged;
        match outcome {
            Ok(_) => {}
            Err(Unwritten::Empty) => return Ok(None),
            Err(Unwritten::Failed(error)) => return Err(error),
        }
        Ok(Some(self.cache.serve(path)?))
    }
}

/// Why no file was written.
enum Unwritten {
    /// No sample is left.
    Empty,
    Failed(TsdbError),
}

impl From<TsdbError> for Unwritten {
    fn from(error: TsdbError) -> Self {
        Self::Failed(error)
    }
}

impl From<FilesetError> for Unwritten {
    fn from(error: FilesetError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<IndexError> for Unwritten {
    fn from(error: IndexError) -> Self {
        Self::Failed(error.into())
    }
}

/// Merges the samples of one series after the other.
struct Merger<'a> {
    namespace: &'a Namespace,
    files: &'a OpenFiles,
    reader: FilesReader<'a>,
    id: BlockId,
    kind: FilesetKind,
    effort: Effort,
    /// Blocks that could not be read.
    damaged: u64,
    all: Columns,
    decoder: BlockDecoder,
    encoder: BlockEncoder,
}

impl<'a> Merger<'a> {
    fn new(
        namespace: &'a Namespace,
        files: &'a OpenFiles,
        info: &FilesetInfo,
        effort: Effort,
    ) -> Self {
        let id = BlockId::new(info.block_start_ns, info.block_size_ns);
        Self {
            namespace,
            files,
            reader: FilesReader::new(files),
            id,
            kind: info.kind,
            effort,
            damaged: 0,
            all: Columns::default(),
            decoder: BlockDecoder::default(),
            encoder: BlockEncoder::default(),
        }
    }

    /// Adds the series' samples to the file; says whether there were any.
    fn push(
        &mut self,
        sink: &mut fileset::SeriesSink<'_>,
        series: u32,
        slot: Slot,
        labels: &Labels,
    ) -> Result<bool, TsdbError> {
        // A snapshot is soon replaced, so its streams are copied as they are.
        if self.kind == FilesetKind::Snapshot
            && let (None, [OpenLayer::Memory(frozen)]) =
                (&self.files.volume, &self.files.layers[..])
            && let Some((bytes, first_ns, last_ns, count)) = frozen.sole_stream(slot)
        {
            sink.push(&SeriesBlock {
                series,
                labels,
                codec: BlockCodec::M3tsz,
                kind: SampleKind::Float,
                count,
                first_ns,
                last_ns,
                times: &[],
                bytes: &bytes,
            })?;
            return Ok(true);
        }
        self.all.clear();
        let (reader, damaged, all) = (&mut self.reader, &mut self.damaged, &mut self.all);
        reader.read((slot, series), (i64::MIN, i64::MAX), &mut self.decoder, all, |error| {
            *damaged += 1;
            self.namespace.counters.damaged_reads.add(1);
            tracing::error!(%error, "a block is damaged and left out of the merge");
        });
        settle_deletions(&mut self.all.rich.deleted, self.kind, self.id);
        let encoded = self.encoder.encode(&self.all, self.effort);
        let Some(block) = encoded.map_err(TsdbError::Encode)? else { return Ok(false) };
        sink.push(&SeriesBlock {
            series,
            labels,
            codec: block.codec,
            kind: block.kind,
            count: block.count,
            first_ns: block.first_ns,
            last_ns: block.last_ns,
            times: block.times,
            bytes: block.bytes,
        })?;
        Ok(true)
    }
}

/// A volume needs no deletions, as nothing lies below it; a snapshot those within its block.
fn settle_deletions(deleted: &mut Vec<(i64, i64)>, kind: FilesetKind, id: BlockId) {
    match kind {
        FilesetKind::Volume => deleted.clear(),
        FilesetKind::Snapshot => {
            for (from, to) in deleted {
                *from = (*from).max(id.start());
                *to = (*to).min(id.end() - 1);
            }
        }
    }
}

impl OpenFiles {
    /// The files among volume and layers, oldest first.
    fn readers(&self) -> impl Iterator<Item = &Arc<MappedFile>> {
        let layers = self.layers.iter().filter_map(|layer| match layer {
            OpenLayer::File(file) => Some(file),
            OpenLayer::Memory(_) | OpenLayer::Deletion(_) => None,
        });
        self.volume.iter().chain(layers)
    }

    /// All series with samples or deletions here, ascending by ref, with their slots. What cannot
    /// be read or has no name any more is counted in `damaged`.
    fn series(&self, known: Vec<(u32, Slot)>, damaged: &mut u64) -> Vec<(u32, Slot)> {
        let mut present = bitvec![0; known.len()];
        let place = |series: u32| known.binary_search_by_key(&series, |(series, _)| *series);
        for file in self.readers() {
            for entry in file.entries() {
                let found = entry.map(|entry| (entry.series, place(entry.series)));
                match found {
                    Ok((_, Ok(at))) => present.set(at, true),
                    Ok((series, Err(_))) => {
                        *damaged += 1;
                        let path = file.path().display();
                        tracing::error!(series, %path, "a series is not known and left out");
                    }
                    Err(error) => {
                        *damaged += 1;
                        tracing::error!(%error, "a damaged page is left out of the merge");
                    }
                }
            }
        }
        let mut deleted: Vec<Slot> = Vec::new();
        for layer in &self.layers {
            match layer {
                OpenLayer::Memory(frozen) => {
                    let places = frozen.refs().iter().filter_map(|series| place(series).ok());
                    places.for_each(|at| present.set(at, true));
                }
                OpenLayer::Deletion(deletion) => deleted.extend(deletion.slots()),
                OpenLayer::File(_) => {}
            }
        }
        deleted.sort_unstable();
        let is_wanted = |(at, (_, slot)): &(usize, (u32, Slot))| {
            present[*at] || deleted.binary_search(slot).is_ok()
        };
        known.into_iter().enumerate().filter(is_wanted).map(|(_, series)| series).collect()
    }
}
