//! A section of compressed pages: the identities.
//!
//! A page is `{compressed length u32, raw length u32, checksum u32}` and a zstd frame. Behind the
//! pages stands a directory: an offset in the section (u64) for each page, and a checksum. If the
//! directory is damaged, pages are found by walking over their lengths.

use std::sync::OnceLock;

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;
use m3rs_core::wire::checksum::{Crc32, check_crc, crc32};
use zstd::bulk::Compressor;

use super::format::{IDENTITY_PAGE_SERIES, LABEL_BYTES_MAX};

const WHAT: &str = "fileset page";
const LEVEL: i32 = 3;
const HEADER_LEN: usize = 12;
const DIRECTORY_ENTRY_LEN: usize = 8;
const DIRECTORY_CRC_LEN: usize = 4;

/// The most bytes that a page unpacks to: full of the longest labels, with what stands around them.
pub(super) const RAW_BYTES_MAX: usize = 2 * IDENTITY_PAGE_SERIES * LABEL_BYTES_MAX;

fn page_crc(page: usize, compressed_len: u32, raw_len: u32, bytes: &[u8]) -> u32 {
    let mut crc = Crc32::default();
    crc.update(&(page as u64).to_le_bytes());
    crc.update(&compressed_len.to_le_bytes());
    crc.update(&raw_len.to_le_bytes());
    crc.update(bytes);
    crc.finish()
}

/// Packs pages one after the other.
pub(super) struct PageWriter {
    compressor: Compressor<'static>,
    section: Vec<u8>,
    directory: Vec<u8>,
    pages: usize,
}

impl PageWriter {
    /// # Errors
    /// If zstd has no memory.
    pub(super) fn new() -> std::io::Result<Self> {
        let compressor = Compressor::new(LEVEL)?;
        Ok(Self { compressor, section: Vec::new(), directory: Vec::new(), pages: 0 })
    }

    /// # Errors
    /// If zstd has no memory.
    pub(super) fn push(&mut self, raw: &[u8]) -> std::io::Result<()> {
        let bytes = self.compressor.compress(raw)?;
        let lengths = (u32::try_from(bytes.len()), u32::try_from(raw.len()));
        let (Ok(compressed_len), Ok(raw_len)) = lengths else {
            return Err(std::io::Error::other("page above 4 GiB"));
        };
        self.directory.extend_from_slice(&(self.section.len() as u64).to_le_bytes());
        let crc = page_crc(self.pages, compressed_len, raw_len, &bytes);
        self.section.extend_from_slice(&compressed_len.to_le_bytes());
        self.section.extend_from_slice(&raw_len.to_le_bytes());
        self.section.extend_from_slice(&crc.to_le_bytes());
        self.section.extend_from_slice(&bytes);
        self.pages += 1;
        Ok(())
    }

    /// The section's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let crc = crc32(&self.directory);
        self.section.extend_from_slice(&self.directory);
        self.section.extend_from_slice(&crc.to_le_bytes());
        self.section
    }
}

/// What is known of a section of pages beside its bytes.
#[derive(Debug)]
pub(super) struct PageTable {
    pages: usize,
    /// Whether the directory's checksum is right, once that was looked at.
    sound: OnceLock<bool>,
}

impl PageTable {
    pub(super) fn new(pages: usize) -> Self {
        Self { pages, sound: OnceLock::new() }
    }

    /// The raw bytes of `page`; `section` is the section's bytes.
    ///
    /// # Errors
    /// [`Corrupt`], placed from the section's start.
    pub(super) fn read(&self, section: &[u8], page: usize) -> Result<Vec<u8>, Corrupt> {
        let at = self.find(section, page)?;
        let place = |mut e: Corrupt| {
            e.at += at as u64;
            e
        };
        let mut cursor = Cursor::new(WHAT, section.get(at..).unwrap_or_default());
        let read = (|| {
            let (compressed_len, raw_len, crc) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            let bytes = cursor.take(usize::try_from(compressed_len).unwrap_or(usize::MAX))?;
            check_crc(WHAT, 0, page_crc(page, compressed_len, raw_len, bytes), crc)?;
            Ok((bytes, usize::try_from(raw_len).unwrap_or(usize::MAX)))
        })();
        let (bytes, raw_len) = read.map_err(place)?;
        if raw_len > RAW_BYTES_MAX {
            let want = format!("at most {RAW_BYTES_MAX} bytes");
            return Err(place(Corrupt::new(WHAT, 4, want, raw_len.to_string())));
        }
        let raw = zstd::bulk::decompress(bytes, raw_len)
            .map_err(|e| place(Corrupt::new(WHAT, HEADER_LEN, "a zstd frame", e.to_string())))?;
        if raw.len() != raw_len {
            let (want, got) = (format!("{raw_len} bytes"), raw.len().to_string());
            return Err(place(Corrupt::new(WHAT, HEADER_LEN, want, got)));
        }
        Ok(raw)
    }

    /// Checks the directory.
    ///
    /// # Errors
    /// [`Corrupt`], placed from the section's start.
    pub(super) fn check_directory(&self, section: &[u8]) -> Result<(), Corrupt> {
        let directory_len = self.pages * DIRECTORY_ENTRY_LEN;
        let at = self.directory_at(section)?;
        let mut cursor = Cursor::new("fileset page directory", &section[at..]);
        let directory = cursor.take(directory_len)?;
        check_crc("fileset page directory", at, crc32(directory), cursor.u32()?)
    }

    fn directory_at(&self, section: &[u8]) -> Result<usize, Corrupt> {
        let len = self.pages * DIRECTORY_ENTRY_LEN + DIRECTORY_CRC_LEN;
        section.len().checked_sub(len).ok_or_else(|| {
            let (want, got) = (format!("at least {len} bytes"), section.len().to_string());
            Corrupt::new("fileset page directory", 0, want, got)
        })
    }

    fn find(&self, section: &[u8], page: usize) -> Result<usize, Corrupt> {
        let directory_at = self.directory_at(section)?;
        if *self.sound.get_or_init(|| self.check_directory(section).is_ok()) {
            let at = directory_at + page * DIRECTORY_ENTRY_LEN;
            let offset = Cursor::new("fileset page directory", &section[at..]).u64()?;
            return Ok(usize::try_from(offset).unwrap_or(usize::MAX).min(directory_at));
        }
        let mut cursor = Cursor::new(WHAT, &section[..directory_at]);
        for _ in 0..page {
            let compressed_len = cursor.u32()?;
            cursor.take(HEADER_LEN - 4)?;
            cursor.take(usize::try_from(compressed_len).unwrap_or(usize::MAX))?;
        }
        Ok(cursor.position())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(pages: &[&[u8]]) -> Vec<u8> {
        let mut writer = PageWriter::new().expect("memory");
        for page in pages {
            writer.push(page).expect("memory");
        }
        writer.finish()
    }

    #[test]
    fn every_flip_costs_at_most_one_page() {
        let pages: [&[u8]; 3] = [b"one one one one", b"", b"three"];
        let bytes = section(&pages);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let table = PageTable::new(pages.len());
            let read: Vec<_> = (0..3).map(|page| table.read(&flipped, page)).collect();
            let lost = read.iter().filter(|r| r.is_err()).count();
            assert!(lost == 1 || (lost == 0 && table.check_directory(&flipped).is_err()));
            for (got, want) in read.into_iter().zip(pages) {
                assert!(got.is_err() || got.expect("checked") == want);
            }
        }
    }

    #[test]
    fn an_empty_section_has_no_pages() {
        let bytes = section(&[]);
        assert_eq!(PageTable::new(0).check_directory(&bytes), Ok(()));
        assert!(PageTable::new(1).read(&bytes, 0).is_err());
    }
}
