//! Raw pages: the newest samples of a series, not encoded yet.

use std::ops::{Index, IndexMut};

/// Samples in a page. Encoding in runs keeps the encoder's state in registers and pays its cache
/// misses once per run.
pub(crate) const PAGE_SAMPLES: usize = 16;

/// Pages per slab chunk: 1 MiB, so that growing never copies.
const CHUNK_PAGES: usize = 4096;

/// Up to [`PAGE_SAMPLES`] samples, ascending by time. Time and value stand side by side, so that
/// an append to one of many series touches one cache line of the page, not two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page([(i64, f64); PAGE_SAMPLES]);

impl Page {
    #[inline]
    pub(crate) fn set(&mut self, at: usize, t: i64, v: f64) {
        self.0[at] = (t, v);
    }

    /// The first `count` samples.
    #[inline]
    pub(crate) fn samples(&self, count: usize) -> &[(i64, f64)] {
        &self.0[..count]
    }

    /// All samples, times apart from values; those behind the page's length are left over.
    #[inline]
    pub(crate) fn columns(&self) -> ([i64; PAGE_SAMPLES], [f64; PAGE_SAMPLES]) {
        (self.0.map(|(t, _)| t), self.0.map(|(_, v)| v))
    }
}

/// Handle of a page in a [`PageSlab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageId(u32);

impl PageId {
    /// "No page".
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// All pages of a shard, in chunks that never move.
#[derive(Debug, Default)]
pub(crate) struct PageSlab {
    chunks: Vec<Box<[Page]>>,
    free: Vec<PageId>,
    used: u32,
}

impl PageSlab {
    /// Takes a page; its contents are left over from its last use.
    pub(crate) fn take(&mut self) -> PageId {
        if let Some(id) = self.free.pop() {
            return id;
        }
        let id = PageId(self.used);
        if self.used as usize == self.chunks.len() * CHUNK_PAGES {
            let empty = Page([(0, 0.0); PAGE_SAMPLES]);
            self.chunks.push(vec![empty; CHUNK_PAGES].into_boxed_slice());
        }
        self.used += 1;
        id
    }

    /// Gives a page back.
    pub(crate) fn give(&mut self, id: PageId) {
        self.free.push(id);
    }
}

impl Index<PageId> for PageSlab {
    type Output = Page;

    #[inline]
    fn index(&self, id: PageId) -> &Page {
        let i = id.0 as usize;
        &self.chunks[i / CHUNK_PAGES][i % CHUNK_PAGES]
    }
}

impl IndexMut<PageId> for PageSlab {
    #[inline]
    fn index_mut(&mut self, id: PageId) -> &mut Page {
        let i = id.0 as usize;
        &mut self.chunks[i / CHUNK_PAGES][i % CHUNK_PAGES]
    }
}
