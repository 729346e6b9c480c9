//! Walks over the entries and the labels of a fileset.

use m3rs_core::Corrupt;
use m3rs_core::model::Labels;
use m3rs_core::wire::Cursor;

use super::format::{IDENTITY_PAGE_SERIES, LABEL_BYTES_MAX, PAGE_SERIES};
use super::index_page::IndexPage;
use super::reader::{FilesetEntry, FilesetReader};
use crate::error::FilesetError;

/// Iterates over the entries of a fileset.
#[derive(Debug)]
pub struct Entries<'a> {
    reader: &'a FilesetReader,
    position: usize,
    /// The page of the entry before, if it is sound, and the file offset of its first block.
    page: Option<(IndexPage<'a>, u64)>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(reader: &'a FilesetReader) -> Self {
        Self { reader, position: 0, page: None }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<FilesetEntry, FilesetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position;
        if position >= self.reader.len() {
            return None;
        }
        self.position += 1;
        let (number, at) = (position / PAGE_SERIES, position % PAGE_SERIES);
        if at == 0 {
            self.page = None;
        }
        let page = match self.page.take() {
            Some(page) => Ok(page),
            None => self.reader.page(number),
        };
        Some(page.and_then(|page| {
            let (page, base) = self.page.insert(page);
            self.reader.place(number, page, *base, at)
        }))
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

impl<'a> Identities<'a> {
    pub(super) fn new(reader: &'a FilesetReader) -> Self {
        Self { reader, position: 0, page: Vec::new(), at: 0 }
    }
}

impl Iterator for Identities<'_> {
    type Item = Result<(usize, Labels), FilesetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position;
        if position >= self.reader.len() {
            return None;
        }
        let page = position / IDENTITY_PAGE_SERIES;
        let skip = |this: &mut Self| this.position = (page + 1) * IDENTITY_PAGE_SERIES;
        if position.is_multiple_of(IDENTITY_PAGE_SERIES) {
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
