//! The term list: per field the values in order, in blocks of sixteen, each value without the
//! bytes that it shares with the one before it in the block.

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_varint};

use super::format::{BLOCK_ENTRY_LEN, BLOCK_VALUES};
use crate::postings::Stored;

const WHAT: &str = "index terms";

/// Where a value's documents are listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    /// Offset in the postings section.
    pub(super) offset: u64,
    pub(super) stored: Stored,
}

/// Writes the list.
#[derive(Debug, Default)]
pub(super) struct TermWriter {
    pub(super) terms: Vec<u8>,
    pub(super) blocks: Vec<u8>,
    last: Vec<u8>,
    in_field: u32,
}

impl TermWriter {
    /// Begins a field; returns the number of its first block.
    pub(super) fn begin_field(&mut self) -> u64 {
        self.in_field = 0;
        (self.blocks.len() / BLOCK_ENTRY_LEN) as u64
    }

    /// Appends the field's next value.
    pub(super) fn push(&mut self, value: &[u8], listed: &Listed) {
        if self.in_field.is_multiple_of(BLOCK_VALUES) {
            self.blocks.extend_from_slice(&(self.terms.len() as u64).to_le_bytes());
            self.blocks.extend_from_slice(&listed.offset.to_le_bytes());
            self.last.clear();
        }
        let shared = self.last.iter().zip(value).take_while(|(a, b)| a == b).count();
        let suffix = &value[shared..];
        put_varint(&mut self.terms, shared as u64);
        put_varint(&mut self.terms, suffix.len() as u64);
        self.terms.extend_from_slice(suffix);
        put_varint(&mut self.terms, listed.stored.count);
        let form = u64::from(listed.stored.is_bitmap);
        put_varint(&mut self.terms, (listed.stored.len << 1) | form);
        self.last.truncate(shared);
        self.last.extend_from_slice(suffix);
        self.in_field += 1;
    }
}

/// The sections of the list, and one field's place in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldTerms<'a> {
    pub(super) terms: &'a [u8],
    pub(super) blocks: &'a [u8],
    pub(super) first_block: u64,
    pub(super) value_count: u32,
    pub(super) doc_count: u32,
}

impl<'a> FieldTerms<'a> {
    pub(super) fn block_count(&self) -> u32 {
        self.value_count.div_ceil(BLOCK_VALUES)
    }

    /// A cursor that stands before `value`, or at the end if there is no such value.
    pub(super) fn cursor(&self, value: u32) -> Result<TermCursor<'a>, Corrupt> {
        let last = self.value_count.saturating_sub(1);
        let mut cursor = self.block(value.min(last) / BLOCK_VALUES)?;
        while cursor.next < value && cursor.advance()?.is_some() {}
        Ok(cursor)
    }

    /// Puts the text of `value` into `text`, whose memory is used again.
    pub(super) fn text(&self, value: u32, text: &mut Vec<u8>) -> Result<(), Corrupt> {
        let mut cursor = self.block(value / BLOCK_VALUES)?;
        cursor.text = std::mem::take(text);
        while cursor.next <= value && cursor.advance()?.is_some() {}
        *text = cursor.text;
        Ok(())
    }

    fn block(&self, block: u32) -> Result<TermCursor<'a>, Corrupt> {
        let (terms_at, offset) = self.block_entry(block)?;
        let rest = usize::try_from(terms_at).ok().and_then(|at| self.terms.get(at..));
        let Some(rest) = rest else {
            let got = terms_at.to_string();
            return Err(Corrupt::new(WHAT, 0, format!("an offset to {}", self.terms.len()), got));
        };
        let next = block * BLOCK_VALUES;
        let bytes = Cursor::new(WHAT, rest);
        let (end, doc_count) = (self.value_count, self.doc_count);
        Ok(TermCursor { bytes, text: Vec::new(), offset, next, end, doc_count })
    }

    fn block_entry(&self, block: u32) -> Result<(u64, u64), Corrupt> {
        let number = self.first_block + u64::from(block);
        let at = usize::try_from(number).ok().and_then(|n| n.checked_mul(BLOCK_ENTRY_LEN));
        let entry = at.and_then(|at| self.blocks.get(at..at + BLOCK_ENTRY_LEN));
        let Some(entry) = entry else {
            let got = format!("{} bytes", self.blocks.len());
            return Err(Corrupt::new("index blocks", 0, format!("block {number}"), got));
        };
        let mut cursor = Cursor::new(WHAT, entry);
        Ok((cursor.u64()?, cursor.u64()?))
    }

    /// A block from which a walk meets every value that is `text` or larger.
    fn block_before(&self, text: &[u8]) -> Result<u32, Corrupt> {
        let (mut low, mut high) = (0, self.block_count());
        while low < high {
            let middle = low + (high - low) / 2;
            let mut head = self.block(middle)?;
            head.advance()?;
            if head.text.as_slice() < text {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// A cursor that stands before the first value that is `text` or larger.
    pub(super) fn seek(&self, text: &[u8]) -> Result<TermCursor<'a>, Corrupt> {
        let block = self.block_before(text)?;
        let mut cursor = self.block(block)?;
        let mut value = cursor.next;
        while let Some(found) = cursor.advance()? {
            if cursor.text.as_slice() >= text {
                break;
            }
            value = found.0 + 1;
        }
        if value >= self.value_count {
            return Ok(TermCursor { end: 0, ..cursor });
        }
        self.cursor(value)
    }
}

/// Walks values in order.
#[derive(Debug)]
pub(super) struct TermCursor<'a> {
    bytes: Cursor<'a>,
    /// The value that [`TermCursor::advance`] returned last.
    pub(super) text: Vec<u8>,
    offset: u64,
    next: u32,
    end: u32,
    doc_count: u32,
}

impl TermCursor<'_> {
    /// The number of the value that the next step reads.
    pub(super) fn position(&self) -> u32 {
        self.next
    }

    /// Reads the next value into `text`; `None` at the end of the field.
    pub(super) fn advance(&mut self) -> Result<Option<(u32, Listed)>, Corrupt> {
        if self.next >= self.end {
            return Ok(None);
        }
        if self.next.is_multiple_of(BLOCK_VALUES) {
            self.text.clear();
        }
        let at = self.bytes.position();
        let shared = self.bytes.varint()?;
        let suffix = self.bytes.length_prefixed()?;
        let Some(shared) = usize::try_from(shared).ok().filter(|&s| s <= self.text.len()) else {
            let expected = format!("{} shared bytes at most", self.text.len());
            return Err(Corrupt::new(WHAT, at, expected, shared.to_string()));
        };
        self.text.truncate(shared);
        self.text.extend_from_slice(suffix);
        let count = self.bytes.varint()?;
        if count == 0 || count > u64::from(self.doc_count) {
            let expected = format!("1 to {} documents", self.doc_count);
            return Err(Corrupt::new(WHAT, at, expected, count.to_string()));
        }
        let form = self.bytes.varint()?;
        let stored = Stored { len: form >> 1, count, is_bitmap: form & 1 == 1 };
        let listed = Listed { offset: self.offset, stored };
        let value = self.next;
        self.next += 1;
        self.offset = self.offset.saturating_add(stored.len);
        Ok(Some((value, listed)))
    }

    /// The value read last, as text.
    pub(super) fn text(&self) -> Result<&str, Corrupt> {
        std::str::from_utf8(&self.text)
            .map_err(|e| Corrupt::new(WHAT, self.bytes.position(), "UTF-8", e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_found_by_number_and_by_text(
            values in proptest::collection::btree_set("[ab]{0,6}", 1..120),
            wanted in "[ab]{0,6}",
        ) {
            let mut writer = TermWriter::default();
            let stored = Stored { len: 3, count: 2, is_bitmap: true };
            let skipped = Listed { offset: 0, stored };
            writer.begin_field();
            writer.push(b"another field", &skipped);
            let first_block = writer.begin_field();
            for (i, value) in values.iter().enumerate() {
                let stored = Stored { len: 2, count: i as u64 + 1, is_bitmap: false };
                writer.push(value.as_bytes(), &Listed { offset: 3 + 2 * i as u64, stored });
            }
            let (terms, blocks) = (&writer.terms[..], &writer.blocks[..]);
            let value_count = values.len() as u32;
            let doc_count = value_count;
            let field = FieldTerms { terms, blocks, first_block, value_count, doc_count };
            for (i, value) in values.iter().enumerate() {
                let mut cursor = field.cursor(i as u32).expect("valid");
                let (number, listed) = cursor.advance().expect("valid").expect("a value");
                prop_assert_eq!(number as usize, i);
                prop_assert_eq!(cursor.text().expect("text"), value);
                let mut text = b"left over".to_vec();
                field.text(i as u32, &mut text).expect("valid");
                prop_assert_eq!(text, value.as_bytes());
                prop_assert_eq!(listed.offset, 3 + 2 * i as u64);
                prop_assert_eq!(listed.stored.count, i as u64 + 1);
            }
            let mut past = field.cursor(value_count + 17).expect("valid");
            prop_assert!(past.advance().expect("valid").is_none());
            let mut cursor = field.seek(wanted.as_bytes()).expect("valid");
            let mut rest = BTreeSet::new();
            while cursor.advance().expect("valid").is_some() {
                rest.insert(cursor.text().expect("text").to_owned());
            }
            prop_assert_eq!(rest, values.range(wanted..).cloned().collect::<BTreeSet<_>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            terms in proptest::collection::vec(0u8..20, 0..100),
            blocks in proptest::collection::vec(0u8..3, 0..64),
        ) {
            let (terms, blocks) = (&terms[..], &blocks[..]);
            let (value_count, doc_count) = (50, 60);
            let field = FieldTerms { terms, blocks, first_block: 0, value_count, doc_count };
            for value in [0, 16, 40, 50, u32::MAX] {
                if let Ok(mut cursor) = field.cursor(value) {
                    while let Ok(Some((value, listed))) = cursor.advance() {
                        prop_assert!(value < value_count);
                        prop_assert!((1..=u64::from(doc_count)).contains(&listed.stored.count));
                    }
                }
            }
            let _outcome = field.seek(b"ab");
        }
    }
}
