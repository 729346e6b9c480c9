//! Native histograms among the values of rows.

use std::ops::Range;
use std::sync::Arc;

use crate::histogram::FloatHistogram;

/// Native histograms among the values of some rows, by cell: the number of the row times the
/// number of steps, plus the step. The value of such a cell is absent.
///
/// Most queries have none, which costs them nothing.
#[derive(Clone, Debug, Default)]
#[must_use]
pub(crate) struct Histograms {
    /// Ascending by cell.
    cells: Vec<(usize, Arc<FloatHistogram>)>,
}

impl Histograms {
    /// No histogram.
    pub(crate) const NONE: Self = Self { cells: Vec::new() };

    /// Sorts cells that came in any order.
    pub(crate) fn from_unsorted(mut cells: Vec<(usize, Arc<FloatHistogram>)>) -> Self {
        cells.sort_by_key(|(cell, _)| *cell);
        Self { cells }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Adds a histogram behind all others.
    pub(crate) fn push(&mut self, cell: usize, h: Arc<FloatHistogram>) {
        debug_assert!(self.cells.last().is_none_or(|(last, _)| *last < cell), "BUG: unsorted");
        self.cells.push((cell, h));
    }

    /// Adds the histograms of rows that come behind all others; their cells count from `first`.
    pub(crate) fn append(&mut self, other: Self, first: usize) {
        if self.cells.is_empty() && first == 0 {
            *self = other;
            return;
        }
        self.cells.extend(other.cells.into_iter().map(|(cell, h)| (first + cell, h)));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        self.cells.iter().map(|(cell, h)| (*cell, h))
    }

    /// The histogram of a cell.
    pub(crate) fn get(&self, cell: usize) -> Option<&Arc<FloatHistogram>> {
        let at = self.cells.binary_search_by_key(&cell, |(cell, _)| *cell).ok()?;
        Some(&self.cells[at].1)
    }

    /// Those of some cells.
    pub(crate) fn within(
        &self,
        cells: Range<usize>,
    ) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        let start = self.cells.partition_point(|(cell, _)| *cell < cells.start);
        let end = self.cells.partition_point(|(cell, _)| *cell < cells.end);
        self.cells[start..end.max(start)].iter().map(|(cell, h)| (*cell, h))
    }

    /// Keeps those that `keeps` says.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(usize, &FloatHistogram) -> bool) {
        self.cells.retain(|(cell, h)| keeps(*cell, h));
    }

    /// Replaces each one, or takes it out.
    pub(crate) fn map(
        self,
        mut f: impl FnMut(usize, Arc<FloatHistogram>) -> Option<Arc<FloatHistogram>>,
    ) -> Self {
        let map = |(cell, h)| f(cell, h).map(|h| (cell, h));
        Self { cells: self.cells.into_iter().filter_map(map).collect() }
    }

    /// Bytes that they take in memory, where nobody shares them.
    pub(crate) fn bytes(&self) -> u64 {
        let of = |(_, h): &(usize, Arc<FloatHistogram>)| h.bytes() + size_of::<usize>();
        self.cells.iter().map(of).sum::<usize>() as u64
    }

    /// How many samples they count for: PARITY(prometheus), one for each 16 bytes.
    pub(crate) fn samples(&self) -> usize {
        usize::try_from(self.bytes() / 16).unwrap_or(usize::MAX)
    }
}

impl IntoIterator for Histograms {
    type Item = (usize, Arc<FloatHistogram>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.cells.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found() {
        let h = || Arc::new(FloatHistogram::default());
        let mut all = Histograms::NONE;
        all.push(2, h());
        let mut more = Histograms::from_unsorted(vec![(3, h()), (0, h())]);
        more.retain(|cell, _| cell < 9);
        all.append(more, 10);
        assert_eq!(all.iter().map(|(cell, _)| cell).collect::<Vec<_>>(), [2, 10, 13]);
        assert!(all.get(10).is_some() && all.get(11).is_none());
        assert_eq!(all.within(3..13).map(|(cell, _)| cell).collect::<Vec<_>>(), [10]);
        let kept = all.map(|cell, h| (cell != 10).then_some(h));
        assert_eq!(kept.into_iter().map(|(cell, _)| cell).collect::<Vec<_>>(), [2, 13]);
    }
}
