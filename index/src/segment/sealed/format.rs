//! The bytes of a sealed segment; `docs/formats/index-segment.md` draws them.

use std::ops::Range;

use m3rs_core::Corrupt;
use m3rs_core::wire::checksum::{Crc32, Sum, crc32};
use m3rs_core::wire::{Cursor, header};

/// What a segment file starts with.
pub(super) const MAGIC: &[u8; 8] = b"m3rsidx\n";
/// The newest version that this program writes and reads.
pub(super) const VERSION: u16 = 2;
/// What a segment file ends in.
pub(super) const END_MAGIC: &[u8; 8] = b"\nm3rsend";

/// Magic, version, six zero bytes.
pub(super) const HEADER_LEN: usize = header::LEN + 6;
const SECTION_ENTRY_LEN: usize = 8 + 8 + 4;
/// Document count, first id, last id, zero; the section table; checksum; end magic.
pub(super) const FOOTER_LEN: usize = 4 * 4 + SECTION_COUNT * SECTION_ENTRY_LEN + 4 + 8;

const _: () = assert!(HEADER_LEN == 16);
const _: () = assert!(FOOTER_LEN == 248);

/// Values in a block of the term list.
pub(super) const BLOCK_VALUES: u32 = 16;
/// Bytes of a block's entry: offset in the terms, offset in the postings.
pub(super) const BLOCK_ENTRY_LEN: usize = 16;
/// Documents in a page.
pub(super) const PAGE_DOCS: u32 = 16;
/// Bytes of a page's entry: offset in the documents.
pub(super) const PAGE_ENTRY_LEN: usize = 8;
/// Bytes of an identity hash.
pub(super) const IDENTITY_LEN: usize = 16;
/// Bytes of a shard hash.
pub(super) const SHARD_HASH_LEN: usize = 4;
/// Bytes of an id.
pub(super) const ID_LEN: usize = 4;

/// Where a field's documents are listed.
pub(super) const FIELD_DOCS_ALL: u8 = 0;
pub(super) const FIELD_DOCS_DELTAS: u8 = 1;
pub(super) const FIELD_DOCS_BITMAP: u8 = 2;

/// The parts of a file, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Section {
    Postings,
    Terms,
    Blocks,
    Dictionaries,
    Fields,
    Shapes,
    Docs,
    Pages,
    Identities,
    ShardHashes,
    Ids,
}

pub(super) const SECTION_COUNT: usize = 11;

pub(super) const SECTION_NAMES: [&str; SECTION_COUNT] = [
    "postings",
    "terms",
    "blocks",
    "dictionaries",
    "fields",
    "shapes",
    "docs",
    "pages",
    "identities",
    "shard hashes",
    "ids",
];

const WHAT: &str = "index segment";

/// A section's place and checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// The footer: written last, so it is the file's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) doc_count: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) parts: [Part; SECTION_COUNT],
}

/// Why a footer does not count.
#[derive(Debug)]
pub(super) enum Fault {
    Damaged(Corrupt),
    /// Written by a newer program: its checksum is right.
    Version(Corrupt),
}

impl From<Corrupt> for Fault {
    fn from(corrupt: Corrupt) -> Self {
        Self::Damaged(corrupt)
    }
}

pub(super) fn header() -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN);
    header::put(&mut out, MAGIC, VERSION);
    out.resize(HEADER_LEN, 0);
    out
}

impl Footer {
    /// The bytes of the footer; its checksum covers the header too.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        for number in [self.doc_count, self.first, self.last, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for part in &self.parts {
            out.extend_from_slice(&part.offset.to_le_bytes());
            out.extend_from_slice(&part.len.to_le_bytes());
            out.extend_from_slice(&part.crc.to_le_bytes());
        }
        let crc = checksum(&header(), &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(END_MAGIC);
        out
    }

    /// Checks every byte of a file: header, footer, the place and the checksum of each section.
    pub(super) fn check(bytes: &[u8]) -> Result<Self, Fault> {
        let footer_at = bytes.len().checked_sub(FOOTER_LEN).filter(|&at| at >= HEADER_LEN);
        let Some(footer_at) = footer_at else {
            let expected = format!("{} bytes or more", HEADER_LEN + FOOTER_LEN);
            return Err(Corrupt::new(WHAT, 0, expected, bytes.len().to_string()).into());
        };
        let (body, footer_bytes) = bytes.split_at(footer_at);
        let footer = Self::check_frame(&body[..HEADER_LEN], footer_bytes, footer_at)?;
        for (part, name) in footer.parts.iter().zip(SECTION_NAMES) {
            let got = crc32(&body[part.offset as usize..(part.offset + part.len) as usize]);
            if got != part.crc {
                return Err(crc_error(name, part.offset as usize, part.crc, got).into());
            }
        }
        Ok(footer)
    }

    /// Checks header and footer, and that the sections lie back to back between them.
    fn check_frame(head: &[u8], footer_bytes: &[u8], footer_at: usize) -> Result<Self, Fault> {
        check_ends(head, footer_bytes, footer_at)?;
        header::check(&mut Cursor::new(WHAT, head), MAGIC, VERSION).map_err(Fault::Version)?;
        let footer = Self::parse(footer_bytes, footer_at)?;
        let mut end = HEADER_LEN as u64;
        for (part, name) in footer.parts.iter().zip(SECTION_NAMES) {
            let next = part.offset.checked_add(part.len).filter(|&n| n <= footer_at as u64);
            let (true, Some(next)) = (part.offset == end, next) else {
                let got = format!("{} bytes at {}", part.len, part.offset);
                return Err(
                    Corrupt::new(name, footer_at, format!("a section at {end}"), got).into()
                );
            };
            end = next;
        }
        if end == footer_at as u64 {
            Ok(footer)
        } else {
            let got = format!("it is at {footer_at}");
            Err(Corrupt::new(WHAT, end as usize, "the footer", got).into())
        }
    }

    fn parse(bytes: &[u8], at: usize) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let [doc_count, first, last, zero] =
            [cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?];
        let mut parts = [Part::default(); SECTION_COUNT];
        for part in &mut parts {
            *part = Part { offset: cursor.u64()?, len: cursor.u64()?, crc: cursor.u32()? };
        }
        let is_sound = zero == 0 && doc_count > 0 && first <= last && last - first >= doc_count - 1;
        if !is_sound {
            let got = format!("{doc_count} documents from {first} to {last}");
            return Err(Corrupt::new(WHAT, at, "a range that holds its documents", got));
        }
        Ok(Self { doc_count, first, last, parts })
    }

    /// The bytes of a section; the footer was checked against this file.
    pub(super) fn range(&self, section: Section) -> Range<usize> {
        let part = self.parts[section as usize];
        part.offset as usize..(part.offset + part.len) as usize
    }
}

/// Bytes at either end of a file that [`sums`] asks for.
pub const ENDS_LEN: usize = FOOTER_LEN;

/// Checksums of everything between the first bytes of a segment file, `head`, and the last ones,
/// `tail`; both are [`ENDS_LEN`] bytes, or all of a shorter file. These two are checked here.
///
/// # Errors
/// [`Corrupt`] if header or footer are damaged, or of a newer version.
pub fn sums(head: &[u8], tail: &[u8], file_len: u64) -> Result<Vec<Sum>, Corrupt> {
    let footer_at = usize::try_from(file_len).ok().and_then(|len| len.checked_sub(FOOTER_LEN));
    let parts = (head.get(..HEADER_LEN), tail.last_chunk::<FOOTER_LEN>(), footer_at);
    let (Some(head), Some(footer), Some(footer_at)) = parts else {
        let expected = format!("{} bytes or more", HEADER_LEN + FOOTER_LEN);
        return Err(Corrupt::new(WHAT, 0, expected, file_len.to_string()));
    };
    let footer = Footer::check_frame(head, footer, footer_at);
    let footer = footer.map_err(|(Fault::Damaged(corrupt) | Fault::Version(corrupt))| corrupt)?;
    let sum = |p: &Part| Sum { range: p.offset..p.offset + p.len, crc: p.crc };
    Ok(footer.parts.iter().map(sum).collect())
}

/// Checks what every version has: magics and the checksum of header and footer.
fn check_ends(head: &[u8], footer: &[u8], at: usize) -> Result<(), Corrupt> {
    const COVERED_LEN: usize = FOOTER_LEN - 4 - END_MAGIC.len();
    let (covered, rest) = footer.split_at(COVERED_LEN);
    let mut rest = Cursor::new(WHAT, rest);
    let (want, end) = (rest.u32()?, rest.array::<8>()?);
    for (got, magic, at) in [(&head[..8], MAGIC, 0), (&end[..], END_MAGIC, at + FOOTER_LEN - 8)] {
        if got != magic {
            return Err(Corrupt::new(WHAT, at, format!("{magic:?}"), format!("{got:?}")));
        }
    }
    match checksum(head, covered) {
        got if got == want => Ok(()),
        got => Err(crc_error("index segment footer", at, want, got)),
    }
}

fn checksum(head: &[u8], footer: &[u8]) -> u32 {
    let mut crc = Crc32::default();
    crc.update(head);
    crc.update(footer);
    crc.finish()
}

fn crc_error(what: &'static str, at: usize, want: u32, got: u32) -> Corrupt {
    Corrupt::new(what, at, format!("checksum {want:08x}"), format!("{got:08x}"))
}
