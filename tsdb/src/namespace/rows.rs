//! What is known of each ref.
//!
//! Refs are given in order and never again. So of series that come and go, the old refs are gone
//! one day: rows lie in chunks, and a chunk goes with the last of its series.

use super::registry::Place;

/// Refs of a chunk.
const CHUNK: usize = 4096;

/// One ref.
#[derive(Clone, Copy, Debug)]
struct Row {
    place: Place,
    /// Half the hash of its labels.
    hash: u64,
}

const GAP: Row = Row { place: Place::GAP, hash: 0 };

#[derive(Debug)]
struct Chunk {
    rows: Box<[Row]>,
    /// Series among them.
    live: usize,
}

/// All refs that were given.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// `None` where no ref has a series.
    chunks: Vec<Option<Chunk>>,
    len: u32,
    live: u64,
}

impl Rows {
    /// Refs that were given.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Series.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    fn row(&self, series: u32) -> Option<&Row> {
        let at = series as usize;
        let row = &self.chunks.get(at / CHUNK)?.as_ref()?.rows[at % CHUNK];
        (row.place != Place::GAP).then_some(row)
    }

    /// Where a series lives; `None` for a ref that no series has.
    #[inline]
    pub(super) fn place(&self, series: u32) -> Option<Place> {
        self.row(series).map(|row| row.place)
    }

    /// Half the hash of a series' labels; 0 for a ref that no series has.
    #[inline]
    pub(super) fn hash(&self, series: u32) -> u64 {
        self.row(series).map_or(0, |row| row.hash)
    }

    /// Adds a series. Refs that were passed over become gaps.
    pub(super) fn push(&mut self, series: u32, place: Place, hash: u64) {
        assert!(series >= self.len, "BUG: series ref {series} given twice");
        self.reserve(series);
        let at = series as usize;
        let chunk = self.chunks[at / CHUNK]
            .get_or_insert_with(|| Chunk { rows: vec![GAP; CHUNK].into_boxed_slice(), live: 0 });
        chunk.rows[at % CHUNK] = Row { place, hash };
        chunk.live += 1;
        self.live += 1;
    }

    /// Gives refs up to `series` to nobody, if they were not given yet.
    pub(super) fn reserve(&mut self, series: u32) {
        self.len = self.len.max(series.saturating_add(1));
        let wanted = (self.len as usize).div_ceil(CHUNK);
        if self.chunks.len() < wanted {
            self.chunks.resize_with(wanted, || None);
        }
    }

    /// Takes a series out; its ref is a gap from now on.
    pub(super) fn remove(&mut self, series: u32) {
        let at = series as usize;
        let Some(slot) = self.chunks.get_mut(at / CHUNK) else { return };
        let Some(chunk) = slot else { return };
        let row = &mut chunk.rows[at % CHUNK];
        if row.place == Place::GAP {
            return;
        }
        *row = GAP;
        chunk.live -= 1;
        self.live -= 1;
        if chunk.live == 0 {
            *slot = None;
        }
    }

    /// Series in `range` of refs, ascending.
    pub(super) fn live_in(&self, range: std::ops::Range<u32>) -> impl Iterator<Item = u32> + '_ {
        range.filter(|&series| self.row(series).is_some())
    }

    /// Chunks that are held, for tests.
    #[cfg(test)]
    pub(super) fn chunks_held(&self) -> usize {
        self.chunks.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_with_their_series() {
        let mut rows = Rows::default();
        let place = |slot| Place { shard: 1, slot };
        for series in (0..20_000).filter(|s| s % 7 != 0) {
            rows.push(series, place(series + 1), u64::from(series));
        }
        rows.reserve(30_000);
        assert_eq!((rows.len(), rows.chunks_held()), (30_001, 5));
        assert_eq!((rows.place(8), rows.hash(8)), (Some(place(9)), 8));
        assert_eq!((rows.place(7), rows.place(29_000), rows.place(u32::MAX)), (None, None, None));
        assert_eq!(rows.live_in(0..9).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8]);
        let before = rows.live();
        for series in 0..8192 {
            rows.remove(series);
            rows.remove(series);
        }
        assert_eq!((rows.live(), rows.chunks_held()), (before - 7021, 3));
        assert_eq!((rows.place(8), rows.hash(8), rows.len()), (None, 0, 30_001));
        rows.push(40_000, place(0), 1);
        assert_eq!((rows.len(), rows.place(40_000)), (40_001, Some(place(0))));
    }
}
