//! What reads keep between queries, for the whole process: which filesets are mapped, decoded
//! pieces of long blocks ([`pieces`]), last samples of blocks ([`lasts`]), labels of series
//! ([`labels`]), and what regular expressions found in the indexes.
//!
//! Linux allows a process 65,530 mappings, and a node with many shards and a long retention has
//! more files than that. So of a served fileset only a few numbers are held; it is mapped when
//! somebody reads it, and the least useful mapping goes when there are too many. Who reads holds
//! the mapping, whatever the cache does meanwhile.

mod labels;
mod lasts;
mod pieces;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use labels::LabelsCache;
pub(crate) use lasts::LastSamples;
use lasts::Lasts;
use m3rs_core::fs::SharedFs;
use m3rs_index::PostingsCache;
use pieces::{Division, Pieces};
use quick_cache::sync::Cache;

use crate::buffer::{Columns, Slot};
use crate::error::FilesetError;
use crate::fileset::{FilesetEntry, FilesetInfo, FilesetReader, FilesetTotals};
use crate::limits::Limits;
use crate::namespace::Counter;

/// The part of the bytes for decoded samples that is for last samples of blocks.
const LASTS_SHARE: u64 = 4;

/// Caches of one process.
#[derive(Debug)]
pub(crate) struct ReadCache {
    fs: SharedFs,
    mapped: Cache<u64, Arc<MappedFile>>,
    pub(crate) pieces: Arc<Pieces>,
    pub(crate) lasts: Arc<Lasts>,
    pub(crate) postings: PostingsCache,
    pub(crate) labels: LabelsCache,
    next_file: AtomicU64,
    /// Files that a read found mapped.
    pub(crate) mapped_hits: Counter,
    /// Files that a read had to map.
    pub(crate) mapped_misses: Counter,
}

impl ReadCache {
    pub(crate) fn new(fs: SharedFs, limits: &Limits) -> Self {
        let lasts_bytes = limits.cache_decoded_bytes / LASTS_SHARE;
        Self {
            fs,
            mapped: Cache::new(limits.open_filesets_max.max(1)),
            pieces: Arc::new(Pieces::new(limits.cache_decoded_bytes - lasts_bytes)),
            lasts: Arc::new(Lasts::new(lasts_bytes)),
            postings: PostingsCache::new(limits.cache_postings_bytes),
            labels: LabelsCache::new(limits.cache_labels_bytes),
            next_file: AtomicU64::new(0),
            mapped_hits: Counter::default(),
            mapped_misses: Counter::default(),
        }
    }

    /// Where the files are.
    pub(crate) fn fs(&self) -> &SharedFs {
        &self.fs
    }

    /// Files that are mapped and not only held by those who read them.
    pub(crate) fn mapped(&self) -> u64 {
        self.mapped.len() as u64
    }

    /// Bytes of decoded samples.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        self.pieces.bytes() + self.lasts.bytes()
    }

    /// Opens a fileset to be served. It is checked as [`FilesetReader::open`] does.
    ///
    /// # Errors
    /// As [`FilesetReader::open`].
    pub(crate) fn serve(self: &Arc<Self>, path: &Path) -> Result<Arc<ServedFile>, FilesetError> {
        let reader = FilesetReader::open(self.fs.as_ref(), path)?;
        let id = self.next_file.fetch_add(1, Ordering::Relaxed);
        let file = ServedFile {
            id,
            path: path.to_owned(),
            info: reader.info().clone(),
            totals: reader.totals(),
            file_len: reader.file_len(),
            is_unsure: AtomicBool::new(false),
            cache: Arc::clone(self),
        };
        self.mapped.insert(id, file.with(reader));
        Ok(Arc::new(file))
    }
}

/// A fileset that is served: what is known of it without its mapping.
#[derive(Debug)]
pub(crate) struct ServedFile {
    /// Given to no other file of the process.
    id: u64,
    path: PathBuf,
    info: FilesetInfo,
    totals: FilesetTotals,
    file_len: u64,
    /// Whether the disk failed to read some of it back.
    is_unsure: AtomicBool,
    cache: Arc<ReadCache>,
}

impl ServedFile {
    /// The mapped file.
    ///
    /// # Errors
    /// As [`FilesetReader::open`]; see [`is_gone`] for a file that was replaced meanwhile.
    pub(crate) fn reader(&self) -> Result<Arc<MappedFile>, FilesetError> {
        if let Some(reader) = self.cache.mapped.get(&self.id) {
            self.cache.mapped_hits.add(1);
            return Ok(reader);
        }
        self.cache.mapped_misses.add(1);
        self.cache.mapped.get_or_insert_with(&self.id, || Ok(self.with(self.map()?)))
    }

    /// Maps the file for one use, which is not remembered.
    ///
    /// # Errors
    /// As [`ServedFile::reader`].
    pub(crate) fn map(&self) -> Result<FilesetReader, FilesetError> {
        let fs = self.cache.fs.as_ref();
        let reader = match self.is_unsure.load(Ordering::Relaxed) {
            true => FilesetReader::open_unsure(fs, &self.path)?,
            false => FilesetReader::open(fs, &self.path)?,
        };
        if *reader.info() == self.info && reader.totals() == self.totals {
            return Ok(reader);
        }
        // Another file has its name now.
        let source = std::io::ErrorKind::NotFound.into();
        Err(FilesetError::Io { path: self.path.clone(), source })
    }

    /// Serves the file from a copy in memory from now on, without what the disk does not read back.
    pub(crate) fn distrust(&self) {
        self.is_unsure.store(true, Ordering::Relaxed);
        self.cache.mapped.remove(&self.id);
    }

    fn with(&self, reader: FilesetReader) -> Arc<MappedFile> {
        let (pieces, lasts) = (Arc::clone(&self.cache.pieces), Arc::clone(&self.cache.lasts));
        Arc::new(MappedFile { id: self.id, reader, pieces, lasts })
    }

    /// A number that no other file of the process has.
    pub(crate) fn uid(&self) -> u64 {
        self.id
    }

    /// What the writer counted.
    pub(crate) fn totals(&self) -> FilesetTotals {
        self.totals
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn info(&self) -> &FilesetInfo {
        &self.info
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }
}

impl Drop for ServedFile {
    fn drop(&mut self) {
        // The file is perhaps removed, and its mapping would keep its bytes on the disk.
        self.cache.mapped.remove(&self.id);
    }
}

/// A served fileset that is mapped.
#[derive(Debug)]
pub(crate) struct MappedFile {
    id: u64,
    reader: FilesetReader,
    pieces: Arc<Pieces>,
    lasts: Arc<Lasts>,
}

impl Deref for MappedFile {
    type Target = FilesetReader;

    fn deref(&self) -> &FilesetReader {
        &self.reader
    }
}

impl MappedFile {
    /// The last samples of its blocks around a slot, as far as they are known.
    pub(crate) fn last_samples(&self, slot: Slot) -> LastSamples {
        self.lasts.around(self.id, slot)
    }

    /// As [`Pieces::divide`].
    pub(crate) fn divide(&self, entry: &FilesetEntry, range: (i64, i64)) -> Option<Division> {
        self.pieces.divide(entry, range)
    }

    /// As [`Pieces::read`], for a block of this file.
    pub(crate) fn read_pieces<E>(
        &self,
        entry: &FilesetEntry,
        division: &Division,
        range: (i64, i64),
        out: &mut Columns,
        decode: impl FnOnce((i64, i64), &mut Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pieces.read((self.id, entry.offset), division, range, out, decode)
    }
}

/// Whether a file could not be opened because it is served no more: it was merged into another
/// one, or expired, after the list of blocks was looked at. A new look finds what replaced it.
pub(crate) fn is_gone(error: &FilesetError) -> bool {
    match error {
        FilesetError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}
