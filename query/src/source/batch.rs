//! Samples of several series.

use super::SampleColumns;

/// Samples of several series, row by row. Its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct SampleBatch {
    /// Those behind the first `len` are memory alone.
    rows: Vec<SampleColumns>,
    len: usize,
}

impl SampleBatch {
    /// Makes `rows` rows without samples.
    pub fn reset(&mut self, rows: usize) {
        if self.rows.len() < rows {
            self.rows.resize_with(rows, SampleColumns::default);
        }
        self.rows[..rows].iter_mut().for_each(SampleColumns::clear);
        self.len = rows;
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[SampleColumns] {
        &self.rows[..self.len]
    }

    /// The rows, to be filled or taken.
    pub fn rows_mut(&mut self) -> &mut [SampleColumns] {
        &mut self.rows[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_empty_again_after_a_reset() {
        let mut batch = SampleBatch::default();
        assert!(batch.rows().is_empty());
        batch.reset(3);
        for row in batch.rows_mut() {
            row.ts.push(1);
            row.vs.push(1.0);
        }
        batch.reset(1);
        assert_eq!(batch.rows().len(), 1);
        batch.reset(3);
        assert!(batch.rows().iter().all(SampleColumns::is_empty));
        batch.reset(0);
        assert!(batch.rows_mut().is_empty());
    }
}
