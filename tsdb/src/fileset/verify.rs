//! Reads a whole fileset and reports every damaged byte range in it.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;
use m3rs_core::wire::checksum::{Sum, check_crc, crc32};

use super::format::{
    BLOCK_CRC_LEN, FOOTER_LEN, Footer, FooterFault, IDENTITY_PAGE_SERIES, MAGIC, PAGE_SERIES,
    Section, SectionEntry, check_version, page_count, page_held,
};
use super::iterators::read_labels;
use super::reader::{FilesetReader, check_index_directory};
use super::times::{check_directory, read_column};
use crate::error::{Damage, FilesetError};

/// Bytes at either end of a file that [`sums`] asks for.
pub(crate) const ENDS_LEN: usize = 2 * FOOTER_LEN;

impl FilesetReader {
    /// Checks every byte of the file: header, footers, infos, both copies of the index and of the
    /// shared times, all blocks and names, and that the parts agree. Empty if all is well.
    ///
    /// Reads the whole file; memory is that of one page.
    #[must_use]
    pub fn verify(&self) -> Vec<Damage> {
        let mut found = Vec::new();
        if let Err(corrupt) = self.check_header() {
            found.push(self.damage(0, 0, corrupt));
        }
        self.verify_footers(&mut found);
        for copy in [Section::Info, Section::InfoCopy] {
            match Self::read_info_copy(&self.bytes, &self.footer, copy) {
                Ok((info, totals)) if info == *self.info() && totals == self.totals() => {}
                Ok(_) => {
                    let text = ("the same in both copies", "another");
                    let corrupt = Corrupt::new("fileset info", 0, text.0, text.1);
                    found.push(self.damage(self.footer.section(copy).offset, 0, corrupt));
                }
                Err(corrupt) => found.push(self.damage(0, 0, corrupt)),
            }
        }
        self.verify_times(&mut found);
        self.verify_index(&mut found);
        self.verify_presence(&mut found);
        self.verify_blocks(&mut found);
        self.verify_identities(&mut found);
        if found.is_empty() {
            self.verify_sections(&mut found);
        }
        found
    }

    fn damage(&self, base: u64, lost: u64, corrupt: Corrupt) -> Damage {
        Damage::of_corrupt(&self.path, base, lost, corrupt)
    }

    fn verify_footers(&self, found: &mut Vec<Damage>) {
        let len = self.bytes.len();
        for at in [len - 2 * FOOTER_LEN, len - FOOTER_LEN] {
            let fault = match Footer::read(&self.bytes[at..], len as u64) {
                Ok(footer) if footer == self.footer => continue,
                Ok(_) => Corrupt::new("fileset footer", 0, "the same in both copies", "another"),
                Err(FooterFault::Damaged(corrupt) | FooterFault::Version(corrupt)) => corrupt,
            };
            found.push(self.damage(at as u64, 0, fault));
        }
    }

    fn verify_times(&self, found: &mut Vec<Damage>) {
        let columns = self.totals().time_columns;
        for copy in [Section::Times, Section::TimesCopy] {
            let (offset, section) = (self.footer.section(copy).offset, self.section_bytes(copy));
            if let Err(corrupt) = check_directory(section, columns) {
                found.push(self.damage(offset, 0, corrupt));
                continue;
            }
            for number in 0..columns {
                if let Err(corrupt) = read_column(section, columns, number) {
                    found.push(self.damage(offset, 0, corrupt));
                }
            }
        }
        self.verify_copies(Section::Times, Section::TimesCopy, found);
    }

    fn verify_index(&self, found: &mut Vec<Damage>) {
        for copy in [Section::Index, Section::IndexCopy] {
            let (offset, section) = (self.footer.section(copy).offset, self.section_bytes(copy));
            if let Err(corrupt) = check_index_directory(section, self.totals().series) {
                found.push(self.damage(offset, 0, corrupt));
            }
            for page in 0..page_count(self.totals().series, PAGE_SERIES) {
                if let Err(corrupt) = self.page_bytes(page, copy) {
                    found.push(self.damage(offset, 0, corrupt));
                }
            }
        }
        self.verify_copies(Section::Index, Section::IndexCopy, found);
    }

    fn verify_presence(&self, found: &mut Vec<Damage>) {
        let offset = self.footer.section(Section::Presence).offset;
        match self.read_series_set() {
            Err(corrupt) => found.push(self.damage(offset, 0, corrupt)),
            Ok(set) if found.is_empty() => {
                let mut entries = self.entries().map_while(Result::ok).map(|entry| entry.series);
                if !set.iter().eq(entries.by_ref()) {
                    let want = "the series that the index has";
                    let corrupt = Corrupt::new("fileset series set", 0, want, "others");
                    found.push(self.damage(offset, 0, corrupt));
                }
            }
            Ok(_) => {}
        }
    }

    /// Two copies that are both sound have the same bytes.
    fn verify_copies(&self, first: Section, copy: Section, found: &mut Vec<Damage>) {
        if found.is_empty() && self.section_bytes(first) != self.section_bytes(copy) {
            let corrupt = Corrupt::new("fileset section", 0, "the same in both copies", "another");
            found.push(self.damage(self.footer.section(copy).offset, 0, corrupt));
        }
    }

    fn verify_blocks(&self, found: &mut Vec<Damage>) {
        let mut last = None;
        let mut samples = 0u64;
        let mut end = Some(self.footer.section(Section::Data).offset);
        let mut position = 0;
        while position < self.len() {
            let entry = match self.entry(position) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    // One report for the page, whose entries cannot be told apart.
                    found.extend(error.into_damage());
                    position = (position / PAGE_SERIES + 1) * PAGE_SERIES;
                    (last, end) = (None, None);
                    continue;
                }
            };
            if last.is_some_and(|last| entry.series <= last) {
                let got = format!("series {} after {last:?}", entry.series);
                let corrupt = Corrupt::new("fileset index entry", 0, "ascending series", got);
                found.push(self.damage(entry.offset, 0, corrupt));
            }
            if end.is_some_and(|end| end != entry.offset) {
                let got = format!("a block at {}", entry.offset);
                let want = format!("a block at {end:?}");
                found.push(self.damage(
                    entry.offset,
                    0,
                    Corrupt::new("fileset data", 0, want, got),
                ));
            }
            match self.block(&entry) {
                Ok(block) => end = Some(entry.offset + (block.len() + BLOCK_CRC_LEN) as u64),
                Err(error) => {
                    found.extend(error.into_damage());
                    end = None;
                }
            }
            samples = samples.saturating_add(u64::from(entry.count));
            last = Some(entry.series);
            position += 1;
        }
        let counted = self.totals().samples;
        if found.is_empty() && samples != counted {
            let text = (format!("{counted} samples"), samples.to_string());
            found.push(self.damage(0, 0, Corrupt::new("fileset info", 0, text.0, text.1)));
        }
    }

    fn verify_identities(&self, found: &mut Vec<Damage>) {
        let section = self.footer.section(Section::Identities);
        let bytes = self.section_bytes(Section::Identities);
        if let Err(corrupt) = self.identities.check_directory(bytes) {
            found.push(self.damage(section.offset, 0, corrupt));
        }
        for page in 0..page_count(self.totals().series, IDENTITY_PAGE_SERIES) {
            let held = page_held(page, self.totals().series, IDENTITY_PAGE_SERIES);
            let checked = self.identity_page(page).and_then(|raw| {
                check_names(&raw, held).map_err(|corrupt| {
                    FilesetError::Damaged(self.damage(section.offset, 0, corrupt))
                })
            });
            if let Err(error) = checked {
                found.extend(error.into_damage());
            }
        }
    }

    /// The sections' own checksums, which see what no finer one covers.
    fn verify_sections(&self, found: &mut Vec<Damage>) {
        let sections = [
            Section::Data,
            Section::Times,
            Section::TimesCopy,
            Section::Index,
            Section::IndexCopy,
            Section::Presence,
            Section::Identities,
        ];
        for section in sections {
            let entry = self.footer.section(section);
            let computed = crc32(self.section_bytes(section));
            if let Err(corrupt) = check_crc("fileset section", 0, computed, entry.crc) {
                found.push(self.damage(entry.offset, 0, corrupt));
            }
        }
    }
}

/// Checksums of everything between the first bytes of a file, `head`, and the last ones, `tail`;
/// both are [`ENDS_LEN`] bytes, or all of a shorter file. These two are checked here.
pub(crate) fn sums(head: &[u8], tail: &[u8], file_len: u64) -> Result<Vec<Sum>, Corrupt> {
    check_version(&mut Cursor::new("fileset header", head), &MAGIC)?;
    let footers = tail.split_at_checked(tail.len().wrapping_sub(2 * FOOTER_LEN));
    let footers = footers.map_or(tail, |(_, footers)| footers);
    let [first, second] = [0, FOOTER_LEN].map(|at| {
        let footer = Footer::read(footers.get(at..).unwrap_or_default(), file_len);
        footer.map_err(|(FooterFault::Damaged(corrupt) | FooterFault::Version(corrupt))| corrupt)
    });
    let (first, second) = (first?, second?);
    if first != second {
        return Err(Corrupt::new("fileset footer", 0, "the same in both copies", "another"));
    }
    let sum = |s: &SectionEntry| Sum { range: s.offset..s.offset + s.len, crc: s.crc };
    Ok(first.table.iter().map(sum).collect())
}

/// A page of names holds `held` label sets and nothing else.
fn check_names(raw: &[u8], held: usize) -> Result<(), Corrupt> {
    let mut cursor = Cursor::new("fileset identities", raw);
    for _ in 0..held {
        read_labels(&mut cursor)?;
    }
    if cursor.is_empty() {
        return Ok(());
    }
    let got = format!("{} more bytes", cursor.remaining());
    Err(Corrupt::new("fileset identities", cursor.position(), "the end of the page", got))
}
