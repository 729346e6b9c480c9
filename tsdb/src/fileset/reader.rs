//! Reads series blocks out of a mapped fileset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, Mapped};
use m3rs_core::model::{Labels, SampleKind};
use m3rs_core::wire::checksum::{check_crc, crc32};
use m3rs_core::wire::{Cursor, header};
use parking_lot::Mutex;

use super::format::{
    BLOCK_CRC_AT, BLOCK_HEADER_LEN, BlockCodec, ENTRY_LEN, FOOTER_LEN, FilesetInfo, FilesetTotals,
    Footer, FooterFault, HEADER_LEN, IndexEntry, LABEL_BYTES_MAX, MAGIC, PAGE_SERIES, Section,
    VERSION, block_header, check_page, page_count, page_range, read_info, read_tags,
};
use super::lookup::{entry_series, interpolate, position_in};
use super::pages::PageTable;
use crate::error::{Damage, FilesetError};

const UNCHECKED: u8 = 0;
const SOUND: u8 = 1;
const BROKEN: u8 = 2;

/// Bytes of a page's body before its entries.
const BASE_LEN: usize = 8;

/// What the index says of a series block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesetEntry {
    /// The series' ref.
    pub series: u32,
    /// The place among the file's series, from 0.
    pub position: u32,
    /// How the block is encoded.
    pub codec: BlockCodec,
    /// What the samples are.
    pub kind: SampleKind,
    /// Samples in the block.
    pub count: u32,
    /// Time of the first sample.
    pub first_ns: i64,
    /// Time of the last sample.
    pub last_ns: i64,
    /// Where the block's header stands in the file.
    pub offset: u64,
    /// Bytes of the block without its header.
    pub len: u32,
}

/// An open fileset.
///
/// Shared by any number of readers. The mapping stays valid when the file is removed.
#[derive(Debug)]
pub struct FilesetReader {
    pub(super) path: PathBuf,
    pub(super) bytes: Mapped,
    pub(super) footer: Footer,
    info: FilesetInfo,
    totals: FilesetTotals,
    /// What is known of each page of the first copy of the index.
    page_states: Box<[AtomicU8]>,
    /// Pages that came from the second copy.
    recovered: Mutex<BTreeMap<usize, Arc<[u8]>>>,
    pub(super) index_copy: PageTable,
    pub(super) identities: PageTable,
}

impl FilesetReader {
    /// Maps a fileset and checks its footer and info. One sound copy of each suffices;
    /// [`FilesetReader::verify`] tells of the other. The index is checked page by page, when read.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] without a sound footer or info: then there is no fileset;
    /// [`FilesetError::Version`] for one of a newer program; [`FilesetError::Io`].
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Self, FilesetError> {
        let bytes =
            fs.map(path).map_err(|source| FilesetError::Io { path: path.to_owned(), source })?;
        Self::of_bytes(path, bytes)
    }

    /// As [`FilesetReader::open`], over bytes at hand; `path` only names them in reports.
    ///
    /// # Errors
    /// As [`FilesetReader::open`].
    pub fn of_bytes(path: &Path, bytes: Mapped) -> Result<Self, FilesetError> {
        let damaged = |base: usize, corrupt: Corrupt| {
            let lost = bytes.len() as u64;
            FilesetError::Damaged(Damage::of_corrupt(path, base as u64, lost, corrupt))
        };
        if bytes.len() < HEADER_LEN + 2 * FOOTER_LEN {
            let want = format!("at least {} bytes", HEADER_LEN + 2 * FOOTER_LEN);
            let corrupt = Corrupt::new("fileset", 0, want, format!("{} bytes", bytes.len()));
            return Err(damaged(0, corrupt));
        }
        let footer = Self::read_footer(&bytes).map_err(|(base, fault)| match fault {
            FooterFault::Damaged(corrupt) => damaged(base, corrupt),
            FooterFault::Version(source) => FilesetError::Version { path: path.to_owned(), source },
        })?;
        let (info, totals) = Self::read_one_info(&bytes, &footer).map_err(|c| damaged(0, c))?;
        let pages = page_count(totals.series);
        let index = footer.section(Section::Index);
        let want_len = pages.checked_sub(1).map_or(0, |p| page_range(p, totals.series).end as u64);
        if index.len != want_len {
            let want = format!("{want_len} bytes for {} series", totals.series);
            let corrupt = Corrupt::new("fileset index", 0, want, index.len.to_string());
            return Err(damaged(to_usize(index.offset), corrupt));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            footer,
            info,
            totals,
            page_states: (0..pages).map(|_| AtomicU8::new(UNCHECKED)).collect(),
            recovered: Mutex::new(BTreeMap::new()),
            index_copy: PageTable::new(pages),
            identities: PageTable::new(pages),
        })
    }

    /// Either footer; the fault is the last one's.
    fn read_footer(bytes: &[u8]) -> Result<Footer, (usize, FooterFault)> {
        let len = bytes.len() as u64;
        let (first, last) = (bytes.len() - 2 * FOOTER_LEN, bytes.len() - FOOTER_LEN);
        match Footer::read(&bytes[last..], len) {
            Err(FooterFault::Damaged(corrupt)) => Footer::read(&bytes[first..last], len)
                .map_err(|_| (last, FooterFault::Damaged(corrupt))),
            other => other.map_err(|fault| (last, fault)),
        }
    }

    /// Either info; the error is the first one's, placed in the file.
    fn read_one_info(
        bytes: &[u8],
        footer: &Footer,
    ) -> Result<(FilesetInfo, FilesetTotals), Corrupt> {
        Self::read_info_copy(bytes, footer, Section::Info)
            .or_else(|e| Self::read_info_copy(bytes, footer, Section::InfoCopy).map_err(|_| e))
    }

    pub(super) fn read_info_copy(
        bytes: &[u8],
        footer: &Footer,
        copy: Section,
    ) -> Result<(FilesetInfo, FilesetTotals), Corrupt> {
        let section = footer.section(copy);
        let place = |mut e: Corrupt| {
            e.at += section.offset;
            e
        };
        let bytes = slice(bytes, section.offset, section.len);
        check_crc("fileset info", 0, crc32(bytes), section.crc).map_err(place)?;
        read_info(bytes).map_err(place)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the writer said of the fileset.
    #[must_use]
    pub fn info(&self) -> &FilesetInfo {
        &self.info
    }

    /// What the writer counted.
    #[must_use]
    pub fn totals(&self) -> FilesetTotals {
        self.totals
    }

    /// Series blocks in the file.
    #[must_use]
    pub fn len(&self) -> usize {
        self.totals.series as usize
    }

    /// Whether the file has no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.totals.series == 0
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The entry at `position`; `None` behind the last one.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if the entry's page is damaged in both copies.
    pub fn entry(&self, position: usize) -> Result<Option<FilesetEntry>, FilesetError> {
        if position >= self.len() {
            return Ok(None);
        }
        let (page, at) = (position / PAGE_SERIES, position % PAGE_SERIES);
        self.with_page(page, |body| self.decode(page, body, at)).map(Some)
    }

    /// The entry of a series; `None` if the file does not have it.
    ///
    /// Interpolates between refs, which are dense, so that one or two pages are touched.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if the page where the series would be is damaged in both copies.
    pub fn find(&self, series: u32) -> Result<Option<FilesetEntry>, FilesetError> {
        let totals = &self.totals;
        if self.is_empty() || !(totals.series_min..=totals.series_max).contains(&series) {
            return Ok(None);
        }
        match self.search(series) {
            Err(FilesetError::Damaged(_)) => self.scan(series),
            found => found,
        }
    }

    /// The search over sound pages.
    fn search(&self, series: u32) -> Result<Option<FilesetEntry>, FilesetError> {
        // INVARIANT: if the series is there, its page is in `pages`, and `refs` spans the refs
        // that may be in those pages.
        let mut pages = 0..self.page_states.len();
        let mut refs = u64::from(self.totals.series_min)..u64::from(self.totals.series_max) + 1;
        let wanted = u64::from(series);
        let mut guess = true;
        while !pages.is_empty() {
            let width = pages.len();
            let step = if guess { interpolate(wanted, refs.clone(), width) } else { width / 2 };
            guess = !guess;
            let page = pages.start + step;
            let (first, last, found) = self.with_page(page, |body| {
                let entries = entries_of(body);
                let first = entry_series(entries, 0);
                let last = entry_series(entries, entries.len() / ENTRY_LEN - 1);
                let found = if (first..=last).contains(&series) {
                    match position_in(entries, series) {
                        Some(at) => Some(self.decode(page, body, at)?),
                        None => None,
                    }
                } else {
                    None
                };
                Ok((first, last, found))
            })?;
            if series < first {
                pages.end = page;
                refs.end = u64::from(first);
            } else if series > last {
                pages.start = page + 1;
                refs.start = u64::from(last) + 1;
            } else {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Looks into each page, so that a damaged one hides only what is in it.
    fn scan(&self, series: u32) -> Result<Option<FilesetEntry>, FilesetError> {
        let mut hidden = None;
        for page in 0..self.page_states.len() {
            let looked = self.with_page(page, |body| {
                let entries = entries_of(body);
                let first = entry_series(entries, 0);
                if first > series {
                    return Ok((true, None));
                }
                match position_in(entries, series) {
                    Some(at) => Ok((true, Some(self.decode(page, body, at)?))),
                    None => Ok((false, None)),
                }
            });
            match looked {
                Ok((_, Some(entry))) => return Ok(Some(entry)),
                // What is behind this page is above the series.
                Ok((true, None)) => break,
                Ok((false, None)) => hidden = None,
                Err(error) => hidden = Some(error),
            }
        }
        hidden.map_or(Ok(None), Err)
    }

    /// A series block, without its header. Verified at each call.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`], which says nothing of the other blocks.
    pub fn block(&self, entry: &FilesetEntry) -> Result<&[u8], FilesetError> {
        self.check_block(entry).map_err(|corrupt| {
            let lost = u64::from(entry.len);
            FilesetError::Damaged(Damage::of_corrupt(&self.path, entry.offset, lost, corrupt))
        })
    }

    fn check_block(&self, entry: &FilesetEntry) -> Result<&[u8], Corrupt> {
        let len = BLOCK_HEADER_LEN as u64 + u64::from(entry.len);
        let mut cursor = Cursor::new("series block", slice(&self.bytes, entry.offset, len));
        let header: [u8; BLOCK_HEADER_LEN] = cursor.array()?;
        let bytes = cursor.take(to_usize(u64::from(entry.len)))?;
        let (codec, kind) = (entry.codec as u8, entry.kind as u8);
        let crc = IndexEntry {
            series: entry.series,
            codec,
            kind,
            count: entry.count,
            first_ns: entry.first_ns,
            last_ns: entry.last_ns,
            offset: 0,
            len: entry.len,
        }
        .block_crc(bytes);
        let want = block_header(codec, kind, entry.len, crc);
        let (fields, stored) = header.split_at(BLOCK_CRC_AT);
        let (wanted, computed) = want.split_at(BLOCK_CRC_AT);
        if fields != wanted {
            let (want, got) = (format!("header {wanted:02x?}"), format!("{fields:02x?}"));
            return Err(Corrupt::new("series block", 0, want, got));
        }
        if stored != computed {
            let (want, got) = (format!("checksum {stored:02x?}"), format!("{computed:02x?}"));
            return Err(Corrupt::new("series block", 0, want, got));
        }
        Ok(bytes)
    }

    /// The labels of the series at `position`. Unpacks the names of up to 128 series: to read
    /// many, use [`FilesetReader::identities`].
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if the page is damaged, and [`FilesetError::Invalid`] for a
    /// position behind the last one.
    pub fn labels(&self, position: usize) -> Result<Labels, FilesetError> {
        if position >= self.len() {
            let text = format!("position {position} of {} series", self.len());
            return Err(FilesetError::Invalid(text));
        }
        let (page, at) = (position / PAGE_SERIES, position % PAGE_SERIES);
        let raw = self.identity_page(page)?;
        let mut cursor = Cursor::new("fileset identities", &raw);
        let read = (|| {
            for _ in 0..at {
                cursor.length_prefixed()?;
            }
            read_labels(&mut cursor)
        })();
        read.map_err(|corrupt| self.identity_damage(page, corrupt))
    }

    /// All entries, in the order of their refs. A damaged page gives one error for each entry.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries { reader: self, position: 0 }
    }

    /// All positions and labels; unpacks each page once. A damaged page gives one error.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities { reader: self, position: 0, page: Vec::new(), at: 0 }
    }

    pub(super) fn identity_page(&self, page: usize) -> Result<Vec<u8>, FilesetError> {
        let section = self.footer.section(Section::Identities);
        let bytes = slice(&self.bytes, section.offset, section.len);
        self.identities.read(bytes, page).map_err(|corrupt| {
            FilesetError::Damaged(Damage::of_corrupt(&self.path, section.offset, 0, corrupt))
        })
    }

    /// A page that unpacks but does not hold what it should.
    fn identity_damage(&self, page: usize, corrupt: Corrupt) -> FilesetError {
        let offset = self.footer.section(Section::Identities).offset;
        let got = format!("{} at byte {} of page {page}", corrupt.got, corrupt.at);
        let corrupt = Corrupt { at: 0, got, ..corrupt };
        FilesetError::Damaged(Damage::of_corrupt(&self.path, offset, 0, corrupt))
    }

    pub(super) fn section_bytes(&self, section: Section) -> &[u8] {
        let entry = self.footer.section(section);
        slice(&self.bytes, entry.offset, entry.len)
    }

    /// Gives `read` the body of an index page, from whichever copy is sound.
    fn with_page<T>(
        &self,
        page: usize,
        read: impl FnOnce(&[u8]) -> Result<T, FilesetError>,
    ) -> Result<T, FilesetError> {
        let bytes = &self.section_bytes(Section::Index)[page_range(page, self.totals.series)];
        let state = &self.page_states[page];
        if state.load(Ordering::Relaxed) == UNCHECKED {
            let found = if check_page(page, bytes).is_ok() { SOUND } else { BROKEN };
            state.store(found, Ordering::Relaxed);
        }
        if state.load(Ordering::Relaxed) == SOUND {
            return read(&bytes[bytes.len() - self.body_len(page)..]);
        }
        let body = self.recover(page)?;
        read(&body)
    }

    pub(super) fn body_len(&self, page: usize) -> usize {
        BASE_LEN + (self.len() - page * PAGE_SERIES).min(PAGE_SERIES) * ENTRY_LEN
    }

    /// The body of a page from the second copy.
    fn recover(&self, page: usize) -> Result<Arc<[u8]>, FilesetError> {
        if let Some(body) = self.recovered.lock().get(&page) {
            return Ok(body.clone());
        }
        let body = self.read_page_copy(page).map_err(|corrupt| {
            let section = self.footer.section(Section::IndexCopy);
            let lost = self.body_len(page) as u64;
            FilesetError::Damaged(Damage::of_corrupt(&self.path, section.offset, lost, corrupt))
        })?;
        let body: Arc<[u8]> = Arc::from(body);
        self.recovered.lock().insert(page, body.clone());
        Ok(body)
    }

    pub(super) fn read_page_copy(&self, page: usize) -> Result<Vec<u8>, Corrupt> {
        let body = self.index_copy.read(self.section_bytes(Section::IndexCopy), page)?;
        let want = self.body_len(page);
        if body.len() != want {
            let got = body.len().to_string();
            return Err(Corrupt::new("fileset index page", 0, format!("{want} bytes"), got));
        }
        Ok(body)
    }

    /// The entry `at` of a page's body.
    pub(super) fn decode(
        &self,
        page: usize,
        body: &[u8],
        at: usize,
    ) -> Result<FilesetEntry, FilesetError> {
        let position = page * PAGE_SERIES + at;
        self.decode_entry(position, body, at).map_err(|corrupt| {
            let index = self.footer.section(Section::Index).offset;
            let base = index + page_range(page, self.totals.series).start as u64;
            FilesetError::Damaged(Damage::of_corrupt(&self.path, base, 0, corrupt))
        })
    }

    fn decode_entry(
        &self,
        position: usize,
        body: &[u8],
        at: usize,
    ) -> Result<FilesetEntry, Corrupt> {
        let what = "fileset index entry";
        let base = Cursor::new(what, body).u64()?;
        let start = BASE_LEN + at * ENTRY_LEN;
        let entry = IndexEntry::read(body.get(start..).unwrap_or_default())?;
        let offset = base.checked_add(u64::from(entry.offset));
        let end =
            offset.and_then(|o| o.checked_add(BLOCK_HEADER_LEN as u64 + u64::from(entry.len)));
        let data = self.footer.section(Section::Data);
        let inside = offset >= Some(data.offset)
            && end.is_some_and(|end| end <= data.offset.saturating_add(data.len));
        let (Some(offset), true) = (offset, inside) else {
            let got = format!("{offset:?} to {end:?}");
            return Err(Corrupt::new(what, start, "a block inside the data section", got));
        };
        let Some((codec, kind)) = read_tags(entry.codec, entry.kind) else {
            let got = format!("codec {}, kind {}", entry.codec, entry.kind);
            return Err(Corrupt::new(what, start, "a known codec and kind", got));
        };
        let position = u32::try_from(position).expect("BUG: series are counted in 32 bits");
        Ok(FilesetEntry {
            series: entry.series,
            position,
            codec,
            kind,
            count: entry.count,
            first_ns: entry.first_ns,
            last_ns: entry.last_ns,
            offset,
            len: entry.len,
        })
    }

    /// Checks the first bytes of the file, which nothing depends on.
    pub(super) fn check_header(&self) -> Result<(), Corrupt> {
        let mut cursor = Cursor::new("fileset header", &self.bytes);
        header::check(&mut cursor, &MAGIC, VERSION).map(drop)
    }
}

/// Iterates over the entries of a fileset.
#[derive(Debug)]
pub struct Entries<'a> {
    reader: &'a FilesetReader,
    position: usize,
}

impl Iterator for Entries<'_> {
    type Item = Result<FilesetEntry, FilesetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.reader.entry(self.position).transpose()?;
        self.position += 1;
        Some(entry)
    }
}

/// Iterates over the labels of a fileset.
#[derive(Debug)]
pub struct Identities<'a> {
    reader: &'a FilesetReader,
    position: usize,
    page: Vec<u8>,
    at: usize,
}

impl Iterator for Identities<'_> {
    type Item = Result<(usize, Labels), FilesetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position;
        if position >= self.reader.len() {
            return None;
        }
        let page = position / PAGE_SERIES;
        let skip = |this: &mut Self| this.position = (page + 1) * PAGE_SERIES;
        if position.is_multiple_of(PAGE_SERIES) {
            self.at = 0;
            match self.reader.identity_page(page) {
                Ok(raw) => self.page = raw,
                Err(error) => {
                    skip(self);
                    return Some(Err(error));
                }
            }
        }
        let rest = self.page.get(self.at..).unwrap_or_default();
        let mut cursor = Cursor::new("fileset identities", rest);
        match read_labels(&mut cursor) {
            Ok(labels) => {
                self.at += cursor.position();
                self.position += 1;
                Some(Ok((position, labels)))
            }
            Err(corrupt) => {
                skip(self);
                Some(Err(self.reader.identity_damage(page, corrupt)))
            }
        }
    }
}

pub(super) fn read_labels(cursor: &mut Cursor<'_>) -> Result<Labels, Corrupt> {
    let at = cursor.position();
    let bytes = cursor.length_prefixed()?;
    if bytes.len() > LABEL_BYTES_MAX {
        let want = format!("at most {LABEL_BYTES_MAX} bytes of labels");
        return Err(Corrupt::new("fileset identities", at, want, bytes.len().to_string()));
    }
    Labels::from_canonical(bytes)
        .map_err(|e| Corrupt::new("fileset identities", at, "canonical labels", e.to_string()))
}

/// The entries of a page's body.
fn entries_of(body: &[u8]) -> &[u8] {
    body.get(BASE_LEN..).unwrap_or_default()
}

/// `len` bytes from `offset`, as many of them as there are.
pub(super) fn slice(bytes: &[u8], offset: u64, len: u64) -> &[u8] {
    let start = to_usize(offset).min(bytes.len());
    let end = to_usize(offset.saturating_add(len)).min(bytes.len());
    &bytes[start..end]
}

/// A file offset as an index; beyond every slice if it does not fit.
pub(super) fn to_usize(v: u64) -> usize {
    usize::try_from(v).unwrap_or(usize::MAX)
}
