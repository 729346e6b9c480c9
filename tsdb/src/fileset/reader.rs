//! Reads series blocks out of a mapped fileset.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, Mapped, map_around};
use m3rs_core::model::{Labels, SampleKind};
use m3rs_core::wire::Cursor;
use m3rs_core::wire::checksum::{check_crc, crc32};
use roaring::RoaringBitmap;

use super::finder::Finder;
use super::format::{
    BLOCK_CRC_LEN, BlockCodec, DIRECTORY_CRC_LEN, FOOTER_LEN, FilesetInfo, FilesetTotals, Footer,
    FooterFault, HEADER_LEN, IDENTITY_PAGE_SERIES, IndexEntry, MAGIC, PAGE_ENTRY_LEN, PAGE_SERIES,
    PageEntry, Section, check_version, page_count, page_crc, page_held, read_info, read_tags,
};
use super::identities::read_rows;
use super::index_page::{IndexPage, Spot};
use super::iterators::{Entries, Identities, read_labels};
use super::pages::PageTable;
use super::presence::{self, Presence};
use super::times::{check_directory, read_column};
use crate::error::{Damage, FilesetError};

const UNCHECKED: u8 = 0;
const SOUND: u8 = 1;
const BROKEN: u8 = 2;

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
    /// The shared column of times, if the block does not hold its times itself.
    pub time_column: Option<u32>,
    /// Where the block stands in the file.
    pub offset: u64,
    /// Bytes of the block without its checksum.
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
    /// Which copy's directory of the index is used; it is sound.
    directory: Section,
    /// Whether the directory of each copy of the shared columns is sound.
    times_sound: [bool; 2],
    /// What is known of each page of the first copy of the index.
    page_states: Box<[AtomicU8]>,
    presence: Presence,
    pub(super) identities: PageTable,
}

impl FilesetReader {
    /// Maps a fileset and checks its footer, info and directories. One sound copy of each suffices;
    /// [`FilesetReader::verify`] tells of the other. The index is checked page by page, when read.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] without a sound footer, info or directory of the index: then
    /// there is no fileset;
    /// [`FilesetError::Version`] for one of a newer program; [`FilesetError::Io`].
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Self, FilesetError> {
        let bytes =
            fs.map(path).map_err(|source| FilesetError::Io { path: path.to_owned(), source })?;
        Self::of_bytes(path, bytes)
    }

    /// As [`FilesetReader::open`], of a file that the disk may not read back everywhere. If it does
    /// not, the file is held in memory with zeros for these bytes: a mapping would end the process.
    ///
    /// # Errors
    /// As [`FilesetReader::open`].
    pub(crate) fn open_unsure(fs: &dyn Fs, path: &Path) -> Result<Self, FilesetError> {
        let read = map_around(fs, path);
        let (bytes, _) =
            read.map_err(|source| FilesetError::Io { path: path.to_owned(), source })?;
        Self::of_bytes(path, bytes)
    }

    /// As [`FilesetReader::open`], over bytes at hand; `path` only names them in reports.
    ///
    /// # Errors
    /// As [`FilesetReader::open`].
    pub fn of_bytes(path: &Path, bytes: Mapped) -> Result<Self, FilesetError> {
        let (footer, info, totals) = Self::read_head(path, &bytes)?;
        let section_of = |section| {
            let entry = footer.section(section);
            slice(&bytes, entry.offset, entry.len)
        };
        let copies = [Section::Index, Section::IndexCopy];
        let mut sound = copies
            .into_iter()
            .map(|copy| check_index_directory(section_of(copy), totals.series).map(|()| copy));
        let directory = match sound.next() {
            Some(Err(first)) => sound.next().and_then(Result::ok).ok_or(first),
            found => found.unwrap_or(Ok(Section::Index)),
        };
        let at = footer.section(Section::Index).offset;
        let directory = directory.map_err(|corrupt| whole_damage(path, &bytes, at, corrupt))?;
        let times_sound = [Section::Times, Section::TimesCopy]
            .map(|copy| check_directory(section_of(copy), totals.time_columns).is_ok());
        let pages = page_count(totals.series, PAGE_SERIES);
        Ok(Self {
            path: path.to_owned(),
            bytes,
            footer,
            info,
            totals,
            directory,
            times_sound,
            page_states: (0..pages).map(|_| AtomicU8::new(UNCHECKED)).collect(),
            presence: Presence::default(),
            identities: PageTable::new(page_count(totals.series, IDENTITY_PAGE_SERIES)),
        })
    }

    /// What a fileset says of itself, from its last bytes alone: whether it opens is not known.
    ///
    /// # Errors
    /// As [`FilesetReader::open`], but for the directory of the index.
    pub(crate) fn head(
        fs: &dyn Fs,
        path: &Path,
    ) -> Result<(FilesetInfo, FilesetTotals), FilesetError> {
        let bytes =
            fs.map(path).map_err(|source| FilesetError::Io { path: path.to_owned(), source })?;
        Self::read_head(path, &bytes).map(|(_, info, totals)| (info, totals))
    }

    fn read_head(
        path: &Path,
        bytes: &[u8],
    ) -> Result<(Footer, FilesetInfo, FilesetTotals), FilesetError> {
        let damaged = |base, corrupt| whole_damage(path, bytes, base, corrupt);
        if bytes.len() < HEADER_LEN + 2 * FOOTER_LEN {
            let want = format!("at least {} bytes", HEADER_LEN + 2 * FOOTER_LEN);
            let corrupt = Corrupt::new("fileset", 0, want, format!("{} bytes", bytes.len()));
            return Err(damaged(0, corrupt));
        }
        let footer = Self::read_footer(bytes).map_err(|(base, fault)| match fault {
            FooterFault::Damaged(corrupt) => damaged(base as u64, corrupt),
            FooterFault::Version(source) => FilesetError::Version { path: path.to_owned(), source },
        })?;
        let (info, totals) = Self::read_one_info(bytes, &footer).map_err(|c| damaged(0, c))?;
        Ok((footer, info, totals))
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
        let (number, at) = (position / PAGE_SERIES, position % PAGE_SERIES);
        let (page, base) = self.page(number)?;
        self.place(number, &page, base, at).map(Some)
    }

    /// The entry of a series; `None` if the file does not have it.
    ///
    /// Asks the set of series first; then searches the directory, then one page. [`Finder`] is
    /// faster for many.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if the page where the series would be is damaged in both copies.
    pub fn find(&self, series: u32) -> Result<Option<FilesetEntry>, FilesetError> {
        Finder::new(self).find(series)
    }

    /// The page in which a series is, if it is there; `None` if it is not in the file.
    pub(super) fn page_of(&self, series: u32) -> Result<Option<usize>, FilesetError> {
        let totals = &self.totals;
        if self.is_empty() || !(totals.series_min..=totals.series_max).contains(&series) {
            return Ok(None);
        }
        let (set, read) = (self.section_bytes(Section::Presence), || self.read_series_set());
        if self.presence.contains(set, series, read) == Some(false) {
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.page_states.len());
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.page_entry(middle).map_err(|corrupt| self.index_damage(corrupt))?;
            if entry.first_ref <= series { low = middle + 1 } else { high = middle }
        }
        Ok(low.checked_sub(1))
    }

    /// The refs of all series of the file.
    ///
    /// Reads the set that stands in the file, or the whole index if that set is damaged.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if a page of the index is damaged in both copies as well.
    pub fn series_set(&self) -> Result<RoaringBitmap, FilesetError> {
        if let Ok(set) = self.read_series_set() {
            return Ok(set);
        }
        self.entries().map(|entry| entry.map(|entry| entry.series)).collect()
    }

    /// The set of series as it stands in the file.
    pub(super) fn read_series_set(&self) -> Result<RoaringBitmap, Corrupt> {
        let bytes = self.section_bytes(Section::Presence);
        presence::read(bytes, self.footer.section(Section::Presence).crc, &self.totals)
    }

    /// What the directory says of a page.
    fn page_entry(&self, page: usize) -> Result<PageEntry, Corrupt> {
        let section = self.section_bytes(self.directory);
        let pages = self.page_states.len();
        let at = index_directory_at(section, pages)? + page * PAGE_ENTRY_LEN;
        PageEntry::read(&section[at..])
    }

    /// Where a page stands in its section, in either copy, with its entry of the directory.
    pub(super) fn page_place(&self, page: usize) -> Result<(usize, PageEntry), Corrupt> {
        let start = match page.checked_sub(1) {
            Some(before) => to_usize(u64::from(self.page_entry(before)?.end)),
            None => 0,
        };
        Ok((start, self.page_entry(page)?))
    }

    /// The bytes of a page in one copy, if they are what was written.
    pub(super) fn page_bytes(&self, page: usize, copy: Section) -> Result<&[u8], Corrupt> {
        let (start, entry) = self.page_place(page)?;
        let bytes = self.page_span(copy, start, &entry)?;
        check_crc("fileset index page", start, page_crc(page, bytes), entry.crc)?;
        Ok(bytes)
    }

    fn page_span(&self, copy: Section, start: usize, entry: &PageEntry) -> Result<&[u8], Corrupt> {
        let section = self.section_bytes(copy);
        let end = to_usize(u64::from(entry.end));
        section.get(start..end).ok_or_else(|| {
            let got = format!("a page from {start} to {end} of {} bytes", section.len());
            Corrupt::new("fileset index directory", 0, "a page inside the index", got)
        })
    }

    /// An index page from whichever copy is sound, and the file offset of its first block.
    pub(super) fn page(&self, number: usize) -> Result<(IndexPage<'_>, u64), FilesetError> {
        self.read_page(number).map_err(|corrupt| self.index_damage(corrupt))
    }

    fn read_page(&self, number: usize) -> Result<(IndexPage<'_>, u64), Corrupt> {
        let (start, entry) = self.page_place(number)?;
        let state = &self.page_states[number];
        if state.load(Ordering::Relaxed) == UNCHECKED {
            let is_sound = self.page_bytes(number, Section::Index).is_ok();
            state.store(if is_sound { SOUND } else { BROKEN }, Ordering::Relaxed);
        }
        let bytes = if state.load(Ordering::Relaxed) == SOUND {
            self.page_span(Section::Index, start, &entry)?
        } else {
            self.page_bytes(number, Section::IndexCopy)?
        };
        let held = page_held(number, self.totals.series, PAGE_SERIES);
        let page = IndexPage::read(bytes, held, entry.first_ref, self.info.block_start_ns)?;
        Ok((page, entry.data_offset))
    }

    pub(super) fn index_damage(&self, corrupt: Corrupt) -> FilesetError {
        let offset = self.footer.section(Section::Index).offset;
        FilesetError::Damaged(Damage::of_corrupt(&self.path, offset, 0, corrupt))
    }

    /// The entry `at` of a page, with its place in the file.
    pub(super) fn place(
        &self,
        number: usize,
        page: &IndexPage<'_>,
        base: u64,
        at: usize,
    ) -> Result<FilesetEntry, FilesetError> {
        self.place_at(number, page, base, page.spot(at))
    }

    /// The entry at a place of a page, with its place in the file.
    pub(super) fn place_at(
        &self,
        number: usize,
        page: &IndexPage<'_>,
        base: u64,
        spot: Spot,
    ) -> Result<FilesetEntry, FilesetError> {
        let position = number * PAGE_SERIES + spot.at;
        self.place_entry(position, &page.entry(spot), base.checked_add(spot.offset))
            .map_err(|corrupt| self.index_damage(corrupt))
    }

    fn place_entry(
        &self,
        position: usize,
        entry: &IndexEntry,
        offset: Option<u64>,
    ) -> Result<FilesetEntry, Corrupt> {
        let what = "fileset index entry";
        let end = offset.and_then(|o| o.checked_add(u64::from(entry.len) + BLOCK_CRC_LEN as u64));
        let data = self.footer.section(Section::Data);
        let inside = offset >= Some(data.offset)
            && end.is_some_and(|end| end <= data.offset.saturating_add(data.len));
        let (Some(offset), true) = (offset, inside) else {
            let got = format!("{offset:?} to {end:?}");
            return Err(Corrupt::new(what, 0, "a block inside the data section", got));
        };
        let Some((codec, kind)) = read_tags(entry.codec, entry.kind) else {
            let got = format!("codec {}, kind {}", entry.codec, entry.kind);
            return Err(Corrupt::new(what, 0, "a known codec and kind", got));
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
            time_column: entry.time_column.checked_sub(1),
            offset,
            len: entry.len,
        })
    }

    /// A series block, without its checksum. Verified at each call.
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
        let len = u64::from(entry.len) + BLOCK_CRC_LEN as u64;
        let mut cursor = Cursor::new("series block", slice(&self.bytes, entry.offset, len));
        let bytes = cursor.take(to_usize(u64::from(entry.len)))?;
        let crc = IndexEntry {
            series: entry.series,
            codec: entry.codec.tag(),
            kind: entry.kind as u8,
            count: entry.count,
            first_ns: entry.first_ns,
            last_ns: entry.last_ns,
            time_column: entry.time_column.map_or(0, |number| number.saturating_add(1)),
            len: entry.len,
        }
        .block_crc([bytes]);
        check_crc("series block", 0, crc, cursor.u32()?)?;
        Ok(bytes)
    }

    /// The times that the block shares with others, encoded; empty if it holds them itself.
    /// Verified at each call, and taken from whichever copy is sound.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if the column is damaged in both copies, or is none of the block.
    pub fn times(&self, entry: &FilesetEntry) -> Result<&[u8], FilesetError> {
        let Some(number) = entry.time_column else { return Ok(&[]) };
        let read = self.read_times(number).and_then(|(count, bytes)| {
            if count == entry.count {
                return Ok(bytes);
            }
            let want = format!("{} times in column {number}", entry.count);
            Err(Corrupt::new("fileset time column", 0, want, count.to_string()))
        });
        read.map_err(|corrupt| {
            let offset = self.footer.section(Section::Times).offset;
            FilesetError::Damaged(Damage::of_corrupt(&self.path, offset, 0, corrupt))
        })
    }

    fn read_times(&self, number: u32) -> Result<(u32, &[u8]), Corrupt> {
        let mut first = None;
        for (copy, sound) in [Section::Times, Section::TimesCopy].into_iter().zip(self.times_sound)
        {
            let section = self.section_bytes(copy);
            let columns = self.totals.time_columns;
            let read = if sound {
                read_column(section, columns, number)
            } else {
                check_directory(section, columns)
                    .and_then(|()| read_column(section, columns, number))
            };
            match read {
                Ok(column) => return Ok(column),
                Err(corrupt) => drop(first.get_or_insert(corrupt)),
            }
        }
        Err(first.expect("BUG: there are two copies"))
    }

    /// The labels of the series at `position`. Unpacks the names of up to 1,024 series: to read
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
        let (page, at) = (position / IDENTITY_PAGE_SERIES, position % IDENTITY_PAGE_SERIES);
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
        Entries::new(self)
    }

    /// All positions and labels; unpacks each page once. A damaged page gives one error.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities::new(self)
    }

    /// The label sets of a page as rows: varint length and canonical bytes each.
    pub(super) fn identity_page(&self, page: usize) -> Result<Vec<u8>, FilesetError> {
        let section = self.footer.section(Section::Identities);
        let bytes = slice(&self.bytes, section.offset, section.len);
        let packed = self.identities.read(bytes, page).map_err(|corrupt| {
            FilesetError::Damaged(Damage::of_corrupt(&self.path, section.offset, 0, corrupt))
        })?;
        let held = page_held(page, self.totals.series, IDENTITY_PAGE_SERIES);
        read_rows(&packed, held).map_err(|corrupt| self.identity_damage(page, corrupt))
    }

    /// A page that unpacks but does not hold what it should.
    pub(super) fn identity_damage(&self, page: usize, corrupt: Corrupt) -> FilesetError {
        let offset = self.footer.section(Section::Identities).offset;
        let got = format!("{} at byte {} of page {page}", corrupt.got, corrupt.at);
        let corrupt = Corrupt { at: 0, got, ..corrupt };
        FilesetError::Damaged(Damage::of_corrupt(&self.path, offset, 0, corrupt))
    }

    pub(super) fn section_bytes(&self, section: Section) -> &[u8] {
        let entry = self.footer.section(section);
        slice(&self.bytes, entry.offset, entry.len)
    }

    /// Checks the first bytes of the file, which nothing depends on.
    pub(super) fn check_header(&self) -> Result<(), Corrupt> {
        let mut cursor = Cursor::new("fileset header", &self.bytes);
        check_version(&mut cursor, &MAGIC)
    }
}

/// Damage for which there is no fileset.
fn whole_damage(path: &Path, bytes: &[u8], base: u64, corrupt: Corrupt) -> FilesetError {
    FilesetError::Damaged(Damage::of_corrupt(path, base, bytes.len() as u64, corrupt))
}

/// Where the directory of the index stands in its section.
fn index_directory_at(section: &[u8], pages: usize) -> Result<usize, Corrupt> {
    let len = pages * PAGE_ENTRY_LEN + DIRECTORY_CRC_LEN;
    section.len().checked_sub(len).ok_or_else(|| {
        let (want, got) = (format!("at least {len} bytes"), section.len().to_string());
        Corrupt::new("fileset index directory", 0, want, got)
    })
}

/// Checks the directory of the index for `series` series.
pub(super) fn check_index_directory(section: &[u8], series: u32) -> Result<(), Corrupt> {
    let pages = page_count(series, PAGE_SERIES);
    let at = index_directory_at(section, pages)?;
    let (directory, stored) = section[at..].split_at(pages * PAGE_ENTRY_LEN);
    let stored = Cursor::new("fileset index directory", stored).u32()?;
    check_crc("fileset index directory", at, crc32(directory), stored)
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
