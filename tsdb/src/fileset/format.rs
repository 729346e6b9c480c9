//! Bytes of a fileset: header, index entries, info and footer.
//!
//! `docs/formats/fileset.md` draws them; the constants below are that drawing.

use m3rs_core::Corrupt;
use m3rs_core::model::SampleKind;
use m3rs_core::wire::checksum::{Crc32, check_crc, crc32};
use m3rs_core::wire::{Cursor, header, put_varint};

use crate::codec::values::ValueCodec;

/// The first bytes of a fileset.
pub const MAGIC: [u8; 8] = *b"m3rs.set";

/// The newest version of the format, which is the one that is written.
pub const VERSION: u16 = 3;

/// The most bytes of one series block: above what the most samples of a block take, so that a
/// flush never fails for it.
pub const BLOCK_BYTES_MAX: usize = 1 << 30;

/// The most bytes of one series' canonical labels.
pub const LABEL_BYTES_MAX: usize = 128 << 10;

/// The most bytes of a namespace's name.
pub(super) const NAMESPACE_BYTES_MAX: usize = 4096;

/// Bytes before the first section.
pub(super) const HEADER_LEN: usize = header::LEN;

/// Checks a magic, and that the version behind it is [`VERSION`]: no release wrote an older one.
pub(super) fn check_version(cursor: &mut Cursor<'_>, magic: &[u8; 8]) -> Result<(), Corrupt> {
    let at = cursor.position();
    let version = header::check(cursor, magic, VERSION)?;
    if version == VERSION {
        return Ok(());
    }
    Err(Corrupt::new("fileset", at, format!("version {VERSION}"), version.to_string()))
}

/// How a series block is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockCodec {
    /// An M3TSZ stream, which holds its times itself.
    M3tsz,
    /// Times, shared or in the block, and values beside them.
    Sealed(ValueCodec),
    /// Parts with codecs of their own, for samples of mixed kinds.
    Parts,
    /// Times, shared or in the block, and parts beside them: floats that carry something.
    TimedParts,
}

impl BlockCodec {
    /// The tag byte.
    #[must_use]
    pub fn tag(self) -> u8 {
        match self {
            Self::M3tsz => 1,
            Self::Sealed(codec) => codec as u8,
            Self::Parts => 64,
            Self::TimedParts => 65,
        }
    }

    /// Reads the tag byte; `None` for an unknown tag.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::M3tsz),
            64 => Some(Self::Parts),
            65 => Some(Self::TimedParts),
            _ => ValueCodec::from_tag(tag).map(Self::Sealed),
        }
    }
}

/// What a fileset is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FilesetKind {
    /// All that is known of its block; a higher volume replaces it.
    Volume = 0,
    /// Buffered samples that no volume has yet; it lies over the volume.
    Snapshot = 1,
}

impl FilesetKind {
    fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Volume),
            1 => Some(Self::Snapshot),
            _ => None,
        }
    }
}

/// What a fileset says of itself, as its writer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesetInfo {
    /// Volume or snapshot.
    pub kind: FilesetKind,
    /// The namespace's name; at most 4096 bytes.
    pub namespace: String,
    /// The shard.
    pub shard: u16,
    /// How many shards the namespace had.
    pub shard_count: u16,
    /// How series IDs are made of labels, as the namespace persists it.
    pub id_scheme: u8,
    /// Start of the block.
    pub block_start_ns: i64,
    /// Length of the block.
    pub block_size_ns: i64,
    /// The volume; 0 for a snapshot.
    pub volume: u32,
    /// The first commit log segment that this file does not cover; 0 says nothing of the log.
    pub log_segment: u64,
    /// When the file was written.
    pub created_ns: i64,
}

/// What a fileset holds, as its writer counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesetTotals {
    /// Series blocks.
    pub series: u32,
    /// Samples in all of them.
    pub samples: u64,
    /// The lowest series ref; 0 without series.
    pub series_min: u32,
    /// The highest series ref; 0 without series.
    pub series_max: u32,
    /// Time of the earliest sample; 0 without series.
    pub min_ns: i64,
    /// Time of the latest sample; 0 without series.
    pub max_ns: i64,
    /// Columns of times that series blocks share.
    pub time_columns: u32,
}

pub(super) fn put_info(out: &mut Vec<u8>, info: &FilesetInfo, totals: &FilesetTotals) {
    out.extend_from_slice(&[info.kind as u8, info.id_scheme]);
    out.extend_from_slice(&info.shard.to_le_bytes());
    out.extend_from_slice(&info.shard_count.to_le_bytes());
    out.extend_from_slice(&info.volume.to_le_bytes());
    out.extend_from_slice(&info.block_start_ns.to_le_bytes());
    out.extend_from_slice(&info.block_size_ns.to_le_bytes());
    out.extend_from_slice(&info.log_segment.to_le_bytes());
    out.extend_from_slice(&info.created_ns.to_le_bytes());
    out.extend_from_slice(&totals.series.to_le_bytes());
    out.extend_from_slice(&totals.samples.to_le_bytes());
    out.extend_from_slice(&totals.series_min.to_le_bytes());
    out.extend_from_slice(&totals.series_max.to_le_bytes());
    out.extend_from_slice(&totals.min_ns.to_le_bytes());
    out.extend_from_slice(&totals.max_ns.to_le_bytes());
    out.extend_from_slice(&totals.time_columns.to_le_bytes());
    put_varint(out, info.namespace.len() as u64);
    out.extend_from_slice(info.namespace.as_bytes());
}

pub(super) fn read_info(bytes: &[u8]) -> Result<(FilesetInfo, FilesetTotals), Corrupt> {
    let what = "fileset info";
    let mut cursor = Cursor::new(what, bytes);
    let kind = cursor.u8()?;
    let kind = FilesetKind::from_tag(kind)
        .ok_or_else(|| Corrupt::new(what, 0, "a known kind", kind.to_string()))?;
    let id_scheme = cursor.u8()?;
    let (shard, shard_count, volume) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
    let (block_start_ns, block_size_ns) = (cursor.i64()?, cursor.i64()?);
    let (log_segment, created_ns) = (cursor.u64()?, cursor.i64()?);
    let totals = FilesetTotals {
        series: cursor.u32()?,
        samples: cursor.u64()?,
        series_min: cursor.u32()?,
        series_max: cursor.u32()?,
        min_ns: cursor.i64()?,
        max_ns: cursor.i64()?,
        time_columns: cursor.u32()?,
    };
    let at = cursor.position();
    let namespace = cursor.length_prefixed()?;
    let namespace = std::str::from_utf8(namespace)
        .map_err(|e| Corrupt::new(what, at, "a name in UTF-8", e.to_string()))?
        .to_owned();
    if !cursor.is_empty() {
        let got = format!("{} more bytes", cursor.remaining());
        return Err(Corrupt::new(what, cursor.position(), "the end of the info", got));
    }
    let info = FilesetInfo {
        kind,
        namespace,
        shard,
        shard_count,
        id_scheme,
        block_start_ns,
        block_size_ns,
        volume,
        log_segment,
        created_ns,
    };
    Ok((info, totals))
}

/// What the index holds of a series block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) series: u32,
    pub(super) codec: u8,
    pub(super) kind: u8,
    pub(super) count: u32,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    /// 0 if the block holds its times itself, else the number of a shared column, from 1.
    pub(super) time_column: u32,
    /// Of the block without its checksum.
    pub(super) len: u32,
}

/// Bytes behind each series block: its checksum.
pub(super) const BLOCK_CRC_LEN: usize = 4;

impl IndexEntry {
    /// The checksum of the block: over its bytes and over all that the index says of it, so that
    /// a block can neither stand in for another one nor be read with another's entry.
    pub(super) fn block_crc<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        let mut fields = [0; 34];
        fields[..4].copy_from_slice(&self.series.to_le_bytes());
        fields[4..6].copy_from_slice(&[self.codec, self.kind]);
        fields[6..10].copy_from_slice(&self.count.to_le_bytes());
        fields[10..18].copy_from_slice(&self.first_ns.to_le_bytes());
        fields[18..26].copy_from_slice(&self.last_ns.to_le_bytes());
        fields[26..30].copy_from_slice(&self.time_column.to_le_bytes());
        fields[30..].copy_from_slice(&self.len.to_le_bytes());
        let mut crc = Crc32::default();
        crc.update(&fields);
        pieces.into_iter().for_each(|bytes| crc.update(bytes));
        crc.finish()
    }
}

/// The tags of codec and kind, if this program knows both.
pub(super) fn read_tags(codec: u8, kind: u8) -> Option<(BlockCodec, SampleKind)> {
    Some((BlockCodec::from_tag(codec)?, SampleKind::from_tag(kind)?))
}

/// Series in a page of the index; the last page may have fewer.
pub(super) const PAGE_SERIES: usize = 128;

/// Series in a page of the identities; the last page may have fewer.
pub(super) const IDENTITY_PAGE_SERIES: usize = 1024;

/// How many pages of `each` series `series` series take.
pub(super) fn page_count(series: u32, each: usize) -> usize {
    (series as usize).div_ceil(each)
}

/// How many of `series` series page `page` holds.
pub(super) fn page_held(page: usize, series: u32, each: usize) -> usize {
    (series as usize).saturating_sub(page * each).min(each)
}

/// What the directory of the index says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageEntry {
    /// The ref of the page's first series.
    pub(super) first_ref: u32,
    /// Where the page ends in the section; it starts where the one before ends.
    pub(super) end: u32,
    /// File offset of the page's first block.
    pub(super) data_offset: u64,
    /// Checksum of the page, bound to its number.
    pub(super) crc: u32,
}

/// Bytes of an entry of the directory.
pub(super) const PAGE_ENTRY_LEN: usize = 20;

/// Bytes of the directory's checksum, behind it.
pub(super) const DIRECTORY_CRC_LEN: usize = 4;

impl PageEntry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.first_ref.to_le_bytes());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&self.data_offset.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        debug_assert_eq!(out.len() - start, PAGE_ENTRY_LEN, "BUG: entries have a fixed width");
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new("fileset index directory", bytes);
        Ok(Self {
            first_ref: cursor.u32()?,
            end: cursor.u32()?,
            data_offset: cursor.u64()?,
            crc: cursor.u32()?,
        })
    }
}

/// Checksum of an index page, bound to its number.
pub(super) fn page_crc(page: usize, bytes: &[u8]) -> u32 {
    let mut crc = Crc32::default();
    crc.update(&(page as u64).to_le_bytes());
    crc.update(bytes);
    crc.finish()
}

/// Sections in the order in which they stand in the file, back to back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Section {
    Data,
    Times,
    TimesCopy,
    Index,
    IndexCopy,
    Presence,
    Identities,
    Info,
    InfoCopy,
}

const SECTIONS: usize = Section::InfoCopy as usize + 1;

/// Where a section lies, and the checksum of all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SectionEntry {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// Of an entry in the footer: length and checksum. Sections stand back to back.
const SECTION_ENTRY_LEN: usize = 8 + 4;

/// The bytes before the footer's table.
const FOOTER_MAGIC: [u8; 8] = *b"m3rs.end";
const FILE_LEN_AT: usize = header::LEN;
const TABLE_AT: usize = FILE_LEN_AT + 8;
const TABLE_LEN: usize = SECTIONS * SECTION_ENTRY_LEN;

/// Bytes of a footer, in every version from 2 on; the file ends with two of them.
pub(super) const FOOTER_LEN: usize = 182;
const FOOTER_CRC_AT: usize = FOOTER_LEN - 4;

/// Bytes behind the table, which are 0: a later version has room for more sections.
const FREE_AT: usize = TABLE_AT + TABLE_LEN;
const FREE_LEN: usize = FOOTER_CRC_AT - FREE_AT;
const _: () = assert!(FREE_LEN == 52, "the document says 52");

/// The last bytes of the file, which say that it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) file_len: u64,
    pub(super) table: [SectionEntry; SECTIONS],
}

/// What is wrong with a footer.
#[derive(Debug)]
pub(super) enum FooterFault {
    /// Written by another program: its checksum is right.
    Version(Corrupt),
    /// Not what was written.
    Damaged(Corrupt),
}

impl Footer {
    pub(super) fn new() -> Self {
        Self { file_len: 0, table: [SectionEntry::default(); SECTIONS] }
    }

    pub(super) fn section(&self, section: Section) -> SectionEntry {
        self.table[section as usize]
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        header::put(out, &FOOTER_MAGIC, VERSION);
        out.extend_from_slice(&self.file_len.to_le_bytes());
        for entry in &self.table {
            out.extend_from_slice(&entry.len.to_le_bytes());
            out.extend_from_slice(&entry.crc.to_le_bytes());
        }
        out.extend_from_slice(&[0; FREE_LEN]);
        let crc = crc32(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the footer at the start of `bytes`, of a file of `file_len` bytes.
    pub(super) fn read(bytes: &[u8], file_len: u64) -> Result<Self, FooterFault> {
        let mut cursor = Cursor::new("fileset footer", bytes);
        let bytes = cursor.array::<FOOTER_LEN>().map_err(FooterFault::Damaged)?;
        let mut crc = Cursor::new("fileset footer", &bytes[FOOTER_CRC_AT..]);
        let stored = crc.u32().map_err(FooterFault::Damaged)?;
        check_crc("fileset footer", 0, crc32(&bytes[..FOOTER_CRC_AT]), stored)
            .map_err(FooterFault::Damaged)?;
        let mut cursor = Cursor::new("fileset footer", &bytes);
        check_version(&mut cursor, &FOOTER_MAGIC).map_err(FooterFault::Version)?;
        Self::read_table(&mut cursor, file_len).map_err(FooterFault::Damaged)
    }

    /// Reads lengths, which fill the file between header and footers.
    fn read_table(cursor: &mut Cursor<'_>, file_len: u64) -> Result<Self, Corrupt> {
        let what = "fileset footer";
        let mut footer = Self { file_len: cursor.u64()?, ..Self::new() };
        if footer.file_len != file_len {
            let want = format!("a file of {} bytes", footer.file_len);
            return Err(Corrupt::new(what, FILE_LEN_AT, want, file_len.to_string()));
        }
        let mut at = Some(HEADER_LEN as u64);
        for entry in &mut footer.table {
            *entry = SectionEntry {
                offset: at.unwrap_or(u64::MAX),
                len: cursor.u64()?,
                crc: cursor.u32()?,
            };
            at = at.and_then(|at| at.checked_add(entry.len));
        }
        let end = at.and_then(|at| at.checked_add(2 * FOOTER_LEN as u64));
        if end != Some(file_len) {
            let got = format!("{at:?} of {file_len} bytes");
            return Err(Corrupt::new(what, TABLE_AT, "sections up to the footers", got));
        }
        if cursor.take(FREE_LEN)?.iter().any(|byte| *byte != 0) {
            return Err(Corrupt::new(what, FREE_AT, "zeros behind the table", "other bytes"));
        }
        Ok(footer)
    }
}
