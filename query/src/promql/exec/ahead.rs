//! Samples that were read before their row is due.

use std::ops::Range;

use crate::error::QueryError;
use crate::source::{SampleBatch, SampleColumns, SeriesReader};

/// Rows of one selection that a worker read at once, and gives out one after the other.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    batch: SampleBatch,
    /// The selection's number within the query.
    selection: usize,
    /// The first row that was not given out, and the end of those that were read.
    rest: Range<usize>,
}

impl Ahead {
    /// Puts the samples of the first of `rows` into `out`; the others will be asked for next.
    pub(crate) fn read(
        &mut self,
        (selection, reader): (usize, &dyn SeriesReader),
        rows: Range<usize>,
        out: &mut SampleColumns,
    ) -> Result<(), QueryError> {
        if self.selection != selection || self.rest.is_empty() || self.rest.start != rows.start {
            self.rest = 0..0;
            reader.read_batch(rows.clone(), &mut self.batch)?;
            let count = self.batch.rows().len();
            if count == 0 || count > rows.len() || !self.is_sound() {
                let message = "a source's samples are not what they should be".to_owned();
                return Err(QueryError::Internal(message));
            }
            self.selection = selection;
            self.rest = rows.start..rows.start + count;
        }
        let read = self.batch.rows_mut();
        let at = read.len() - self.rest.len();
        std::mem::swap(&mut read[at], out);
        self.rest.start += 1;
        Ok(())
    }

    fn is_sound(&self) -> bool {
        self.batch.rows().iter().all(SampleColumns::is_sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceError;

    /// Series whose only value is their number, given out by three.
    struct ByThree(f64);

    impl SeriesReader for ByThree {
        fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError> {
            out.clear();
            out.ts.push(1);
            out.vs.push(self.0 + index as f64);
            Ok(())
        }

        fn read_batch(
            &self,
            indexes: Range<usize>,
            out: &mut SampleBatch,
        ) -> Result<(), SourceError> {
            out.reset(indexes.len().min(3));
            indexes.zip(out.rows_mut()).try_for_each(|(index, row)| self.read(index, row))
        }
    }

    #[test]
    fn each_row_is_its_own_whatever_was_read_before() {
        let readers = [ByThree(0.0), ByThree(100.0)];
        let mut ahead = Ahead::default();
        let mut out = SampleColumns::default();
        let asked = [(0, 0..8), (0, 1..8), (1, 2..8), (0, 2..8), (0, 3..8), (0, 3..8), (0, 4..5)];
        for (selection, rows) in asked.into_iter().chain((5..8).map(|row| (1, row..8))) {
            let want = readers[selection].0 + rows.start as f64;
            ahead.read((selection, &readers[selection]), rows, &mut out).unwrap();
            assert_eq!(out.vs, [want]);
        }
    }

    /// Gives as many rows as it was told to, whatever was asked for.
    struct Unsound(usize, Vec<f64>);

    impl SeriesReader for Unsound {
        fn read(&self, _: usize, _: &mut SampleColumns) -> Result<(), SourceError> {
            Ok(())
        }

        fn read_batch(&self, _: Range<usize>, out: &mut SampleBatch) -> Result<(), SourceError> {
            out.reset(self.0);
            out.rows_mut().iter_mut().for_each(|row| row.vs.clone_from(&self.1));
            Ok(())
        }
    }

    #[test]
    fn a_source_that_is_wrong_is_found_out() {
        let mut out = SampleColumns::default();
        for unsound in [Unsound(0, vec![]), Unsound(3, vec![]), Unsound(1, vec![1.0])] {
            let read = Ahead::default().read((0, &unsound), 0..2, &mut out);
            assert!(matches!(read, Err(QueryError::Internal(_))), "{read:?}");
        }
    }
}
