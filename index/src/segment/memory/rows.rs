//! Byte strings that are appended and read by number.

/// Rows in a chunk: a chunk grows by doubling, the whole by chunks, so no append copies all.
const CHUNK_ROWS: usize = 1_024;

/// An append-only list of byte strings, without an allocation for each.
#[derive(Debug, Default)]
pub(super) struct Rows {
    chunks: Vec<Chunk>,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Rows {
    pub(super) fn push(&mut self, row: &[u8]) {
        if self.chunks.last().is_none_or(|c| c.ends.len() == CHUNK_ROWS) {
            self.chunks.push(Chunk::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.bytes.extend_from_slice(row);
            let end = u32::try_from(chunk.bytes.len());
            chunk.ends.push(end.expect("BUG: a label set is checked against its limit"));
        }
    }

    pub(super) fn get(&self, row: usize) -> &[u8] {
        let chunk = &self.chunks[row / CHUNK_ROWS];
        let at = row % CHUNK_ROWS;
        let start = if at == 0 { 0 } else { chunk.ends[at - 1] };
        &chunk.bytes[start as usize..chunk.ends[at] as usize]
    }

    /// The row as text; the caller put text in.
    pub(super) fn text(&self, row: usize) -> &str {
        std::str::from_utf8(self.get(row)).expect("BUG: label values are text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_across_chunks() {
        let mut rows = Rows::default();
        const ROWS: usize = CHUNK_ROWS * 2 + 3;
        for i in 0..ROWS {
            rows.push("x".repeat(i % 5).as_bytes());
        }
        for i in 0..ROWS {
            assert_eq!(rows.text(i), "x".repeat(i % 5));
        }
    }
}
