//! Writes a fileset in one pass over its series.

use std::fmt;
use std::io;
use std::path::Path;

use m3rs_core::fs::{Fs, FsFile, write_atomic};
use m3rs_core::model::{Labels, SampleKind};
use m3rs_core::wire::checksum::{Crc32, crc32};
use m3rs_core::wire::header;
use roaring::RoaringBitmap;

use super::format::{
    BLOCK_BYTES_MAX, BLOCK_CRC_LEN, BlockCodec, FOOTER_LEN, FilesetInfo, FilesetTotals, Footer,
    HEADER_LEN, IDENTITY_PAGE_SERIES, IndexEntry, LABEL_BYTES_MAX, MAGIC, NAMESPACE_BYTES_MAX,
    PAGE_SERIES, PageEntry, Section, SectionEntry, VERSION, page_crc, put_info,
};
use super::identities::Rows;
use super::index_page::put_page;
use super::pages::PageWriter;
use super::presence;
use super::times::TimesWriter;
use crate::error::FilesetError;

/// Bytes of series blocks that are gathered for one write.
const BUFFER_LEN: usize = 1 << 20;

/// One series block, to be written.
#[derive(Clone, Copy, Debug)]
pub struct SeriesBlock<'a> {
    /// The series' ref; blocks are pushed in ascending order of it.
    pub series: u32,
    /// The series' labels.
    pub labels: &'a Labels,
    /// How `bytes` is encoded.
    pub codec: BlockCodec,
    /// What the samples are.
    pub kind: SampleKind,
    /// Samples in the block; 0 only in a block of parts, which may hold deletions alone.
    pub count: u32,
    /// Time of the first sample.
    pub first_ns: i64,
    /// Time of the last sample.
    pub last_ns: i64,
    /// The encoded times, which may be shared with other blocks; empty if they are in `bytes`.
    pub times: &'a [u8],
    /// The encoded samples.
    pub bytes: &'a [u8],
}

/// Takes the series blocks of a fileset that is being written.
///
/// Holds one buffer of blocks, the shared times, and the packed index and names of all series: some
/// 12 bytes for each.
pub struct SeriesSink<'a> {
    path: &'a Path,
    file: &'a mut dyn FsFile,
    buffer: Vec<u8>,
    /// File offset of the end of what was pushed.
    at: u64,
    data_crc: Crc32,
    block_start_ns: i64,
    times: TimesWriter,
    /// Finished index pages, and the directory's entries of them.
    index: Vec<u8>,
    directory: Vec<u8>,
    /// Entries of the page that is being filled, and the file offset of their first block.
    page: Vec<IndexEntry>,
    page_base: u64,
    series: RoaringBitmap,
    names: Rows,
    columns: Vec<u8>,
    identities: PageWriter,
    totals: FilesetTotals,
    refused: bool,
}

impl fmt::Debug for SeriesSink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesSink")
            .field("path", &self.path)
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

/// Writes a fileset; when this returns `Ok`, it is durable under its name.
///
/// `fill` pushes the series blocks in ascending order of their refs. The directory must exist.
/// After an error there is no file, or the old one.
///
/// # Errors
/// [`FilesetError::Io`], what [`SeriesSink::push`] refused, and what `fill` says.
pub fn write_fileset<E: From<FilesetError>>(
    fs: &dyn Fs,
    path: &Path,
    info: &FilesetInfo,
    fill: impl FnOnce(&mut SeriesSink<'_>) -> Result<(), E>,
) -> Result<FilesetTotals, E> {
    if info.namespace.len() > NAMESPACE_BYTES_MAX {
        let (what, bytes) = ("a namespace's name", info.namespace.len() as u64);
        return Err(FilesetError::TooLarge { what, bytes, max: NAMESPACE_BYTES_MAX as u64 }.into());
    }
    let mut totals = FilesetTotals::default();
    write_atomic(fs, path, |file| {
        let mut sink = SeriesSink::start(path, file, info.block_start_ns)?;
        fill(&mut sink).map_err(WriteFailure::Caller)?;
        totals = sink.finish(info)?;
        Ok(())
    })
    .map_err(|failure| match failure {
        WriteFailure::Io(source) => E::from(FilesetError::Io { path: path.to_owned(), source }),
        WriteFailure::Fileset(error) => E::from(error),
        WriteFailure::Caller(error) => error,
    })?;
    Ok(totals)
}

/// Why a write ended early, before the path is known to the error.
enum WriteFailure<E> {
    Io(io::Error),
    Fileset(FilesetError),
    Caller(E),
}

impl<E> From<io::Error> for WriteFailure<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<E> From<FilesetError> for WriteFailure<E> {
    fn from(error: FilesetError) -> Self {
        Self::Fileset(error)
    }
}

impl<'a> SeriesSink<'a> {
    fn start(path: &'a Path, file: &'a mut dyn FsFile, block_start_ns: i64) -> io::Result<Self> {
        let mut buffer = Vec::with_capacity(BUFFER_LEN);
        header::put(&mut buffer, &MAGIC, VERSION);
        file.write_all(&buffer)?;
        buffer.clear();
        Ok(Self {
            path,
            file,
            buffer,
            at: HEADER_LEN as u64,
            data_crc: Crc32::default(),
            block_start_ns,
            times: TimesWriter::default(),
            index: Vec::new(),
            directory: Vec::new(),
            page: Vec::with_capacity(PAGE_SERIES),
            page_base: 0,
            series: RoaringBitmap::new(),
            names: Rows::default(),
            columns: Vec::new(),
            identities: PageWriter::new()?,
            totals: FilesetTotals::default(),
            refused: false,
        })
    }

    /// Adds a series block. Its bytes are written now or with the next ones.
    ///
    /// # Errors
    /// [`FilesetError::Invalid`] for a ref that is not above the last one, no samples, or times
    /// out of order; [`FilesetError::TooLarge`] above [`BLOCK_BYTES_MAX`] or [`LABEL_BYTES_MAX`];
    /// [`FilesetError::Io`]. After an error the fileset cannot be finished.
    pub fn push(&mut self, block: &SeriesBlock<'_>) -> Result<(), FilesetError> {
        let pushed = self.check(block).and_then(|()| {
            self.add(block)
                .map_err(|source| FilesetError::Io { path: self.path.to_owned(), source })
        });
        self.refused |= pushed.is_err();
        pushed
    }

    fn check(&self, block: &SeriesBlock<'_>) -> Result<(), FilesetError> {
        let series = block.series;
        let last = (self.totals.series > 0).then_some(self.totals.series_max);
        if last.is_some_and(|last| series <= last) {
            return Err(FilesetError::Invalid(format!("series {series} after {last:?}")));
        }
        // A block of parts may hold deletions alone.
        let is_empty = block.count == 0 && block.codec != BlockCodec::Parts;
        if is_empty || block.first_ns > block.last_ns {
            let SeriesBlock { count, first_ns, last_ns, .. } = block;
            let text = format!("series {series}: {count} samples from {first_ns} to {last_ns}");
            return Err(FilesetError::Invalid(text));
        }
        let sizes = [
            ("a series block", block.times.len() + block.bytes.len(), BLOCK_BYTES_MAX),
            ("a series' labels", block.labels.as_bytes().len(), LABEL_BYTES_MAX),
        ];
        for (what, bytes, max) in sizes {
            if bytes > max {
                let (bytes, max) = (bytes as u64, max as u64);
                return Err(FilesetError::TooLarge { what, bytes, max });
            }
        }
        Ok(())
    }

    fn add(&mut self, block: &SeriesBlock<'_>) -> io::Result<()> {
        if self.page.len() == PAGE_SERIES {
            self.finish_page()?;
        }
        if self.names.len() == IDENTITY_PAGE_SERIES {
            self.finish_names()?;
        }
        if self.page.is_empty() {
            self.page_base = self.at;
        }
        let shared =
            if block.times.is_empty() { None } else { self.times.share(block.count, block.times) };
        let times = if shared.is_some() { &[] } else { block.times };
        let entry = IndexEntry {
            series: block.series,
            codec: block.codec.tag(),
            kind: block.kind as u8,
            count: block.count,
            first_ns: block.first_ns,
            last_ns: block.last_ns,
            time_column: shared.map_or(0, |number| number + 1),
            len: u32::try_from(times.len() + block.bytes.len()).expect("BUG: blocks are limited"),
        };
        self.page.push(entry);
        self.series.insert(block.series);
        self.names.push(block.labels.as_bytes());
        let crc = entry.block_crc([times, block.bytes]);
        self.write_data(times)?;
        self.write_data(block.bytes)?;
        self.write_data(&crc.to_le_bytes())?;
        self.count(block);
        Ok(())
    }

    fn count(&mut self, block: &SeriesBlock<'_>) {
        let totals = &mut self.totals;
        if totals.series == 0 {
            totals.series_min = block.series;
            (totals.min_ns, totals.max_ns) = (block.first_ns, block.last_ns);
        }
        totals.series += 1;
        totals.samples += u64::from(block.count);
        totals.series_max = block.series;
        totals.min_ns = totals.min_ns.min(block.first_ns);
        totals.max_ns = totals.max_ns.max(block.last_ns);
    }

    fn write_data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.data_crc.update(bytes);
        self.at += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER_LEN {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        if bytes.len() > BUFFER_LEN {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts the page that is being filled into the index.
    fn finish_page(&mut self) -> io::Result<()> {
        let Some(first) = self.page.first() else { return Ok(()) };
        let number = (self.totals.series as usize - 1) / PAGE_SERIES;
        let start = self.index.len();
        put_page(&self.page, self.block_start_ns, &mut self.index);
        let end = u32::try_from(self.index.len())
            .map_err(|_| io::Error::other("an index above 4 GiB"))?;
        let crc = page_crc(number, &self.index[start..]);
        let entry = PageEntry { first_ref: first.series, end, data_offset: self.page_base, crc };
        entry.put(&mut self.directory);
        self.page.clear();
        Ok(())
    }

    /// Packs the names that are gathered.
    fn finish_names(&mut self) -> io::Result<()> {
        if self.names.len() == 0 {
            return Ok(());
        }
        self.columns.clear();
        self.names.put_columns(&mut self.columns).map_err(io::Error::other)?;
        self.identities.push(&self.columns)?;
        self.names.clear();
        Ok(())
    }

    fn finish(self, info: &FilesetInfo) -> Result<FilesetTotals, FilesetError> {
        if self.refused {
            let text = "a series block was refused, the file cannot be finished".to_owned();
            return Err(FilesetError::Invalid(text));
        }
        let path = self.path;
        self.write_rest(info).map_err(|source| FilesetError::Io { path: path.to_owned(), source })
    }

    fn write_rest(mut self, info: &FilesetInfo) -> io::Result<FilesetTotals> {
        self.finish_page()?;
        self.finish_names()?;
        self.file.write_all(&self.buffer)?;
        let directory_crc = crc32(&self.directory);
        self.index.extend_from_slice(&self.directory);
        self.index.extend_from_slice(&directory_crc.to_le_bytes());
        self.totals.time_columns = self.times.columns();
        let times = self.times.finish();
        let mut footer = Footer::new();
        let data_len = self.at - HEADER_LEN as u64;
        footer.table[Section::Data as usize] =
            SectionEntry { offset: HEADER_LEN as u64, len: data_len, crc: self.data_crc.finish() };
        let mut info_bytes = Vec::new();
        put_info(&mut info_bytes, info, &self.totals);
        let presence = presence::put(self.series)?;
        let identities = self.identities.finish();
        let sections = [
            (Section::Times, &times),
            (Section::TimesCopy, &times),
            (Section::Index, &self.index),
            (Section::IndexCopy, &self.index),
            (Section::Presence, &presence),
            (Section::Identities, &identities),
            (Section::Info, &info_bytes),
            (Section::InfoCopy, &info_bytes),
        ];
        let mut at = self.at;
        for (section, bytes) in sections {
            let len = bytes.len() as u64;
            self.file.write_all(bytes)?;
            footer.table[section as usize] = SectionEntry { offset: at, len, crc: crc32(bytes) };
            at += len;
        }
        footer.file_len = at + 2 * FOOTER_LEN as u64;
        let mut footers = Vec::new();
        footer.put(&mut footers);
        footer.put(&mut footers);
        self.file.write_all(&footers)?;
        Ok(self.totals)
    }
}

const _: () = assert!(BLOCK_CRC_LEN == size_of::<u32>());
