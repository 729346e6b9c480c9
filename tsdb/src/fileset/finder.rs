//! Finds the blocks of many series in one file, one after the other.
//!
//! The page of the index in which the last one was found stays open, with the place in it. So of
//! series that ascend and lie close to each other, as those of a query do, most cost a step instead
//! of a search (`benches/records/2026-11-30-index.md`).

use super::format::PAGE_SERIES;
use super::index_page::{IndexPage, Spot};
use super::reader::{FilesetEntry, FilesetReader};
use crate::error::FilesetError;

/// Finds series in a file.
#[derive(Debug)]
pub struct Finder<'a> {
    file: &'a FilesetReader,
    open: Option<Open<'a>>,
}

/// A page, and the place where the last series was found in it.
#[derive(Debug)]
struct Open<'a> {
    number: usize,
    page: IndexPage<'a>,
    /// Where the page's first block stands in the file.
    base: u64,
    /// No series from here on is in this page.
    end: u64,
    spot: Spot,
}

impl<'a> Finder<'a> {
    /// Finds series in `file`.
    #[must_use]
    pub fn new(file: &'a FilesetReader) -> Self {
        Self { file, open: None }
    }

    /// The entry of a series; `None` if the file does not have it. In any order; ascending ones are
    /// found fastest.
    ///
    /// # Errors
    /// [`FilesetError::Damaged`] if the page where the series would be is damaged in both copies.
    pub fn find(&mut self, series: u32) -> Result<Option<FilesetEntry>, FilesetError> {
        let is_here = |open: &Open<'_>| {
            (u64::from(open.page.first_ref())..open.end).contains(&u64::from(series))
        };
        if !self.open.as_ref().is_some_and(is_here) {
            let Some(number) = self.file.page_of(series)? else { return Ok(None) };
            let (page, base) = self.file.page(number)?;
            let end = page_end(self.file, number)?;
            self.open = Some(Open { number, page, base, end, spot: Spot::default() });
        }
        let Some(Open { number, page, base, spot, .. }) = &mut self.open else { return Ok(None) };
        if !page.seek(series, spot) {
            return Ok(None);
        }
        self.file.place_at(*number, page, *base, *spot).map(Some)
    }
}

/// A ref from which on no series is in a page.
fn page_end(file: &FilesetReader, page: usize) -> Result<u64, FilesetError> {
    if (page + 1) * PAGE_SERIES >= file.len() {
        return Ok(u64::MAX);
    }
    let next = file.page_place(page + 1).map_err(|corrupt| file.index_damage(corrupt))?;
    Ok(u64::from(next.1.first_ref))
}
