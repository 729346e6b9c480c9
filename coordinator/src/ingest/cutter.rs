//! Cuts a stream of bytes into pieces of whole lines.

use memchr::{memchr, memrchr};

/// What a [`LineCutter`] keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutLimits {
    /// The longest line in bytes.
    pub(crate) line_bytes_max: usize,
    /// Whole lines of this many bytes are a piece.
    pub(crate) piece_bytes_max: usize,
}

/// Bytes that came, as far as they are not handed on.
///
/// INVARIANT: holds less than a piece of whole lines, the longest line, and what came last.
#[derive(Debug)]
pub(crate) struct LineCutter {
    buffer: Vec<u8>,
    /// The length of the whole lines at its start.
    whole: usize,
    /// Whether the rest of a line that is too long is to be dropped.
    skips: bool,
    limits: CutLimits,
}

impl LineCutter {
    /// A cutter of nothing yet.
    #[must_use]
    pub(crate) fn new(limits: CutLimits) -> Self {
        Self { buffer: Vec::new(), whole: 0, skips: false, limits }
    }

    /// Adds bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if self.skips {
            let Some(end) = memchr(b'\n', bytes) else { return };
            self.skips = false;
            bytes = &bytes[end + 1..];
        }
        if let Some(last) = memrchr(b'\n', bytes) {
            self.whole = self.buffer.len() + last + 1;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes it holds.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there is a piece.
    #[must_use]
    pub(crate) fn has_piece(&self) -> bool {
        self.whole >= self.limits.piece_bytes_max.max(1)
    }

    /// Whether the line that has no end yet is too long.
    #[must_use]
    pub(crate) fn is_overlong(&self) -> bool {
        self.buffer.len() - self.whole > self.limits.line_bytes_max
    }

    /// The whole lines.
    #[must_use]
    pub(crate) fn whole_lines(&self) -> &[u8] {
        &self.buffer[..self.whole]
    }

    /// Drops the whole lines.
    pub(crate) fn drop_lines(&mut self) {
        self.buffer.drain(..self.whole);
        self.whole = 0;
    }

    /// Drops the line that has no end yet, the part of it that will come too.
    pub(crate) fn skip_line(&mut self) {
        self.buffer.truncate(self.whole);
        self.skips = true;
    }

    /// Takes the last line as a whole one, as nothing follows it.
    pub(crate) fn finish(&mut self) {
        self.whole = self.buffer.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CutLimits = CutLimits { line_bytes_max: 8, piece_bytes_max: 10 };

    /// Pieces, with a mark for each line that is too long.
    fn cut(text: &[u8], step: usize) -> Vec<String> {
        let mut cutter = LineCutter::new(LIMITS);
        let mut all = Vec::new();
        let mut hand = |cutter: &mut LineCutter| {
            if !cutter.whole_lines().is_empty() {
                all.push(String::from_utf8_lossy(cutter.whole_lines()).into_owned());
                cutter.drop_lines();
            }
        };
        for bytes in text.chunks(step) {
            cutter.push(bytes);
            if cutter.has_piece() || cutter.is_overlong() {
                hand(&mut cutter);
            }
            if cutter.is_overlong() {
                cutter.skip_line();
                cutter.push(b"");
            }
        }
        cutter.finish();
        hand(&mut cutter);
        all
    }

    #[test]
    fn lines_stay_whole() {
        let text = b"one\ntwo\nthree\nfour\nfive";
        for step in 1..text.len() {
            let all = cut(text, step);
            assert_eq!(all.concat().as_bytes(), text, "{step}");
            let (_, before) = all.split_last().expect("some");
            assert!(before.iter().all(|piece| piece.ends_with('\n')), "{all:?}");
        }
        assert_eq!(cut(b"", 1), Vec::<String>::new());
    }

    #[test]
    fn a_line_at_the_limit_is_kept_and_one_above_is_dropped() {
        assert_eq!(cut(b"12345678", 1).concat(), "12345678");
        assert_eq!(cut(b"123456789", 1).concat(), "");
        assert_eq!(cut(b"a\n123456789012345\nb\n", 1).concat(), "a\nb\n");
        assert_eq!(cut(b"a\n123456789012345", 3).concat(), "a\n");
    }
}
