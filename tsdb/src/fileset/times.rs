//! Columns of times that several series blocks share: a section, and a second copy of it.
//!
//! A column is written when its times come for the second time; the first series has them in its
//! own block. Behind the columns stands a directory: for each its end in the section (u32) and a
//! checksum (u32), then a checksum of the directory.

use hashbrown::HashMap;
use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;
use m3rs_core::wire::checksum::{Crc32, check_crc, crc32};
use m3rs_core::wire::put_varint;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const WHAT: &str = "fileset time column";
const DIRECTORY_WHAT: &str = "fileset time directory";
const DIRECTORY_ENTRY_LEN: usize = 8;
const DIRECTORY_CRC_LEN: usize = 4;

/// The most columns of a file; further ones stay in their blocks.
pub(super) const COLUMNS_MAX: u32 = 1 << 16;

/// The most bytes of all columns.
const SECTION_BYTES_MAX: usize = 1 << 30;

/// Columns, and bytes of them, that a writer remembers to compare with; then it forgets all.
const SEEN_MAX: usize = 1 << 14;
const SEEN_BYTES_MAX: usize = 16 << 20;

fn column_crc(number: u32, bytes: &[u8]) -> u32 {
    let mut crc = Crc32::default();
    crc.update(&number.to_le_bytes());
    crc.update(bytes);
    crc.finish()
}

/// Times that came at least once.
#[derive(Debug)]
struct Seen {
    count: u32,
    bytes: Box<[u8]>,
    number: Option<u32>,
}

/// Finds the columns that are shared, and gathers them.
#[derive(Debug, Default)]
pub(super) struct TimesWriter {
    seen: HashMap<u64, Seen>,
    seen_bytes: usize,
    section: Vec<u8>,
    directory: Vec<u8>,
    columns: u32,
}

impl TimesWriter {
    /// The number of the column with these times, if they came before and are shared from now on.
    pub(super) fn share(&mut self, count: u32, times: &[u8]) -> Option<u32> {
        let hash = xxh3_64_with_seed(times, u64::from(count));
        if let Some(seen) = self.seen.get_mut(&hash) {
            if seen.count != count || *seen.bytes != *times {
                return None;
            }
            if seen.number.is_none() && self.columns < COLUMNS_MAX {
                seen.number =
                    put_column(&mut self.section, &mut self.directory, self.columns, seen);
                self.columns += u32::from(seen.number.is_some());
            }
            return seen.number;
        }
        if self.seen.len() >= SEEN_MAX || self.seen_bytes + times.len() > SEEN_BYTES_MAX {
            self.seen.clear();
            self.seen_bytes = 0;
        }
        self.seen_bytes += times.len();
        self.seen.insert(hash, Seen { count, bytes: times.into(), number: None });
        None
    }

    /// How many columns there are.
    pub(super) fn columns(&self) -> u32 {
        self.columns
    }

    /// The section's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let crc = crc32(&self.directory);
        self.section.extend_from_slice(&self.directory);
        self.section.extend_from_slice(&crc.to_le_bytes());
        self.section
    }
}

/// Appends a column; `None` if the section is full.
fn put_column(
    section: &mut Vec<u8>,
    directory: &mut Vec<u8>,
    number: u32,
    seen: &Seen,
) -> Option<u32> {
    let start = section.len();
    if start + seen.bytes.len() > SECTION_BYTES_MAX {
        return None;
    }
    put_varint(section, u64::from(seen.count));
    section.extend_from_slice(&seen.bytes);
    let end = u32::try_from(section.len()).ok()?;
    directory.extend_from_slice(&end.to_le_bytes());
    directory.extend_from_slice(&column_crc(number, &section[start..]).to_le_bytes());
    Some(number)
}

/// Checks the directory of `columns` columns at the end of a section.
///
/// # Errors
/// [`Corrupt`], placed from the section's start.
pub(super) fn check_directory(section: &[u8], columns: u32) -> Result<(), Corrupt> {
    let (at, directory) = directory_of(section, columns)?;
    let mut cursor = Cursor::new(DIRECTORY_WHAT, &section[at + directory.len()..]);
    check_crc(DIRECTORY_WHAT, at, crc32(directory), cursor.u32()?)?;
    let last = columns.checked_sub(1).map_or(Ok(0), |last| column_end(directory, last))?;
    if last != at {
        let (want, got) = (format!("columns that end at {at}"), last.to_string());
        return Err(Corrupt::new(DIRECTORY_WHAT, at, want, got));
    }
    Ok(())
}

/// Column `number` of a section whose directory is sound: the number of times, and their bytes.
///
/// # Errors
/// [`Corrupt`], placed from the section's start.
pub(super) fn read_column(
    section: &[u8],
    columns: u32,
    number: u32,
) -> Result<(u32, &[u8]), Corrupt> {
    if number >= columns {
        let (want, got) = (format!("a column below {columns}"), number.to_string());
        return Err(Corrupt::new(WHAT, 0, want, got));
    }
    let (_, directory) = directory_of(section, columns)?;
    let start = number.checked_sub(1).map_or(Ok(0), |before| column_end(directory, before))?;
    let end = column_end(directory, number)?;
    let Some(bytes) = section.get(start..end) else {
        let (want, got) = (format!("at most {} bytes", section.len()), format!("{start}..{end}"));
        return Err(Corrupt::new(WHAT, start, want, got));
    };
    let crc_at = number as usize * DIRECTORY_ENTRY_LEN + 4;
    let stored = Cursor::new(DIRECTORY_WHAT, &directory[crc_at..]).u32()?;
    check_crc(WHAT, start, column_crc(number, bytes), stored)?;
    let mut cursor = Cursor::new(WHAT, bytes);
    let count = cursor.varint()?;
    let count = u32::try_from(count)
        .map_err(|_| Corrupt::new(WHAT, start, "a count of 32 bits", count.to_string()))?;
    Ok((count, cursor.rest()))
}

fn directory_of(section: &[u8], columns: u32) -> Result<(usize, &[u8]), Corrupt> {
    let len = columns as usize * DIRECTORY_ENTRY_LEN;
    let at = section.len().checked_sub(len + DIRECTORY_CRC_LEN).ok_or_else(|| {
        let want = format!("a directory of {columns} columns");
        Corrupt::new(DIRECTORY_WHAT, 0, want, format!("{} bytes", section.len()))
    })?;
    Ok((at, &section[at..at + len]))
}

fn column_end(directory: &[u8], number: u32) -> Result<usize, Corrupt> {
    let at = number as usize * DIRECTORY_ENTRY_LEN;
    let end = Cursor::new(DIRECTORY_WHAT, directory.get(at..).unwrap_or_default()).u32()?;
    Ok(usize::try_from(end).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> (Vec<u8>, u32) {
        let mut writer = TimesWriter::default();
        assert_eq!(writer.share(2, b"abc"), None);
        assert_eq!(writer.share(2, b"other"), None);
        assert_eq!(writer.share(2, b"abc"), Some(0));
        assert_eq!(writer.share(3, b"abc"), None, "another number of times");
        assert_eq!(writer.share(2, b"abc"), Some(0));
        assert_eq!(writer.share(3, b"abc"), Some(1));
        let columns = writer.columns();
        (writer.finish(), columns)
    }

    #[test]
    fn what_comes_twice_is_shared() {
        let (section, columns) = section();
        assert_eq!(columns, 2);
        check_directory(&section, 2).expect("sound");
        assert_eq!(read_column(&section, 2, 0).expect("sound"), (2, &b"abc"[..]));
        assert_eq!(read_column(&section, 2, 1).expect("sound"), (3, &b"abc"[..]));
        assert!(read_column(&section, 2, 2).is_err());
        assert!(check_directory(&section, 1).is_err() && check_directory(&section, 9).is_err());
        assert!(check_directory(&TimesWriter::default().finish(), 0).is_ok());
    }

    #[test]
    fn every_flip_is_seen() {
        let (section, columns) = section();
        for at in 0..section.len() {
            let mut flipped = section.clone();
            flipped[at] ^= 4;
            let read: Vec<_> = (0..columns).map(|n| read_column(&flipped, columns, n)).collect();
            let lost = read.iter().filter(|r| r.is_err()).count();
            let directory = check_directory(&flipped, columns).is_err();
            assert!(lost == 1 || directory, "byte {at}");
        }
    }

    #[test]
    fn a_writer_forgets_rather_than_grows() {
        let mut writer = TimesWriter::default();
        for i in 0..3 * SEEN_MAX as u32 {
            assert_eq!(writer.share(1, &i.to_le_bytes()), None);
            assert!(writer.seen.len() <= SEEN_MAX);
        }
        assert_eq!(writer.columns(), 0);
        assert_eq!(writer.share(1, &(3 * SEEN_MAX as u32 - 1).to_le_bytes()), Some(0));
    }
}
