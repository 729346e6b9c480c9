//! The moment in which readers see the new block instead of its sources.
//!
//! The caller holds the maintenance lock, so that only writes and deletions may change the blocks
//! meanwhile: what they add lies over the sources as they were, and then over the new block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Compacted, Compaction, Source};
use crate::blocks::{BlockFiles, BlockId, Blocks, Layer};
use crate::cache::ServedFile;
use crate::delete::Deletion;
use crate::error::TsdbError;
use crate::namespace::Namespace;
use crate::removal::{Durable, Fate};
use crate::shard::Shard;

impl Namespace {
    /// Lets readers see the new block instead of its sources, and removes these; says whether the
    /// sources were still what they had been, or else the new block is thrown away.
    ///
    /// The caller holds the maintenance lock, so no flush works on the sources.
    ///
    /// # Errors
    /// Errors of the file system. If it was the removal of sources that failed, the new block is
    /// published all the same.
    pub(crate) fn publish(&self, compacted: Compacted) -> Result<bool, TsdbError> {
        let (shard, span) = (compacted.compaction.shard, compacted.compaction.span);
        let published = self.publish_block(compacted);
        match &published {
            Ok(_) => self.compaction_rests.lock().end(shard, span),
            Err(_) => self.rest(shard, span),
        }
        published
    }

    fn publish_block(&self, compacted: Compacted) -> Result<bool, TsdbError> {
        let Compacted { compaction, path, reader, written } = compacted;
        let Compaction { shard, span, sources } = compaction;
        let shard = &self.shards[shard];
        let unnamed = reader.as_ref().map(|r| r.path().to_owned());
        let named = self.name_block(shard, span, &sources, reader, &path);
        if !matches!(named, Ok(Some(_))) {
            let how = (Fate::Remove, Durable::InTheEnd);
            let leftovers = unnamed.into_iter().chain(named.is_err().then_some(path));
            self.forget(shard, span, leftovers, how);
            if let Err(error) = self.settle_block(shard, span) {
                tracing::warn!(%error, "a block that is not published stays for now");
            }
        }
        let Some(named) = named? else { return Ok(false) };
        let is_empty = named.reader.is_none();
        let counters = &self.counters;
        counters.compactions.add(1);
        counters.compaction_read_bytes.add(sources.iter().map(Source::bytes).sum());
        counters.compaction_written_bytes.add(named.reader.as_ref().map_or(0, |r| r.file_len()));
        swap(shard, span, &sources, named);
        // It has bytes that could not be taken over; they stay for a closer look.
        let fate = if written.is_sound() { Fate::Remove } else { Fate::SetAside };
        for Source { id, files } in &sources {
            // A file of the span hides its older ones. Nothing else does, so that deletions go
            // after what they hide.
            let hides = !files.layers.is_empty() && (is_empty || *id != span);
            let durable = if hides { Durable::OneByOne } else { Durable::InTheEnd };
            self.forget(shard, *id, files.paths(), (fate, durable));
        }
        // A deletion after this is told of the new block alone, so no source may come back.
        sources.iter().try_for_each(|source| self.settle_block(shard, source.id))?;
        Ok(true)
    }

    /// Gives the new file its name, durably, if the sources are still what is served.
    fn name_block(
        &self,
        shard: &Shard,
        span: BlockId,
        sources: &[Source],
        reader: Option<Arc<ServedFile>>,
        path: &Path,
    ) -> Result<Option<Named>, TsdbError> {
        let mut blocks = sources.iter().map(|source| source.id).chain([span]);
        blocks.try_for_each(|id| self.settle_block(shard, id))?;
        if !is_unchanged(&shard.lock().blocks(), span, sources) {
            return Ok(None);
        }
        let Some(reader) = reader else { return Ok(Some(Named { reader: None })) };
        let io = |e| TsdbError::io("name", path, e);
        self.fs.rename(reader.path(), path).map_err(io)?;
        let dir = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        self.fs.sync_dir(&dir).map_err(io)?;
        Ok(Some(Named { reader: Some(self.cache.serve(path)?) }))
    }
}

/// A new block that may be served; nothing, if no sample was left.
struct Named {
    reader: Option<Arc<ServedFile>>,
}

/// Whether the sources are all that is served of the span, and nothing lies over them.
fn is_unchanged(blocks: &Blocks, span: BlockId, sources: &[Source]) -> bool {
    let is_same = |source: &Source| {
        // A layer may delete what the new block has.
        blocks.get(source.id).is_some_and(|files| same_files(files, &source.files))
    };
    // A block of the span that came meanwhile would be hidden.
    let own = blocks.get(span).is_some_and(|files| !files.is_empty());
    let own_is_source = sources.first().is_some_and(|source| source.id == span);
    sources.iter().all(is_same) && own == own_is_source
}

fn same_files(now: &BlockFiles, then: &BlockFiles) -> bool {
    now.layers.len() == then.layers.len()
        && now.files().count() == then.files().count()
        && now.files().zip(then.files()).all(|(now, then)| Arc::ptr_eq(now, then))
}

/// Puts the new block in the place of the sources. What came over them since they were found
/// unchanged stays; deletions among it lie over the new block, too.
fn swap(shard: &Shard, span: BlockId, sources: &[Source], named: Named) {
    let mut deletions: Vec<Arc<Deletion>> = Vec::new();
    let note = |deletions: &mut Vec<Arc<Deletion>>, layer: &Layer| {
        if let Layer::Deletion(deletion) = layer
            && !deletions.iter().any(|known| Arc::ptr_eq(known, deletion))
        {
            deletions.push(Arc::clone(deletion));
        }
    };
    let mut state = shard.lock();
    state.edit_blocks(|blocks| {
        for Source { id, files: merged } in sources {
            let Some(files) = blocks.get_mut(*id) else { continue };
            files.volume = None;
            files.layers.drain(..merged.layers.len());
            files.layers.iter().for_each(|layer| note(&mut deletions, layer));
            if files.is_empty() {
                let _empty = blocks.remove(*id);
            }
        }
        let Some(reader) = named.reader else { return };
        let block = blocks.entry(span);
        block.volume = Some(reader);
        // A source of the span has them already.
        if block.layers.is_empty() {
            block.layers.extend(deletions.into_iter().map(Layer::Deletion));
        }
    });
}
