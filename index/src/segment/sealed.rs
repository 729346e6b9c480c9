//! A segment in a file: mapped, immutable, checked to the last byte before it is used.

mod dictionary;
mod fields;
mod format;
mod inspect;
mod labels;
mod terms;
mod writer;

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use fst::{IntoStreamer, Streamer};
use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, Mapped, map_around};
use m3rs_core::wire::Cursor;

use super::ids::IdList;
use super::{Identity, Ids, Segment, Term, VisitDoc, VisitIdentity, VisitLabels, VisitValue};
use crate::error::IndexError;
use crate::postings::{Postings, Stored, Union, decode};
use crate::regexp::{Budgeted, ValueTest};
use fields::Field;
use format::{
    Fault, Footer, ID_LEN, IDENTITY_LEN, PAGE_DOCS, PAGE_ENTRY_LEN, SHARD_HASH_LEN, Section,
};
use labels::{Encoded, KnownLabels};
use terms::{FieldTerms, Listed};

pub use format::{ENDS_LEN, sums};
pub use inspect::{SectionSize, SegmentSummary, inspect};
pub(crate) use writer::write;

/// Values in a range below which a scan beats any automaton.
const SCAN_MAX: u32 = 1_024;

/// Some bytes of a mapped file, for the dictionaries.
#[derive(Clone, Debug)]
struct MappedPart {
    file: Mapped,
    range: Range<usize>,
}

impl AsRef<[u8]> for MappedPart {
    fn as_ref(&self) -> &[u8] {
        &self.file[self.range.clone()]
    }
}

/// Rows of a page, read up to a document.
#[derive(Debug)]
struct Walk<'a> {
    rows: Cursor<'a>,
    /// The ordinal of the next row.
    next: u32,
}

#[derive(Debug)]
struct StoredIds(MappedPart);

impl IdList for StoredIds {
    fn at(&self, ordinal: u32) -> u32 {
        let at = ordinal as usize * ID_LEN;
        let bytes = self.0.as_ref();
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }
}

/// A sealed segment.
#[derive(Debug)]
pub(crate) struct SealedSegment {
    uid: u64,
    path: PathBuf,
    file: Mapped,
    footer: Footer,
    fields: Vec<Field>,
    shapes: Vec<Box<[u32]>>,
    ids: Ids<StoredIds>,
    automaton_bytes_max: usize,
}

impl SealedSegment {
    /// Maps a file and checks every byte of it.
    ///
    /// Cost: one pass over the file for its checksums, no pass over terms or documents.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        uid: u64,
        automaton_bytes_max: usize,
    ) -> Result<Self, IndexError> {
        let (file, _) = map_around(fs, path).map_err(IndexError::io(path))?;
        Self::of_file(file, path, uid, automaton_bytes_max).map_err(|fault| match fault {
            Fault::Damaged(corrupt) => corrupt.into(),
            Fault::Version(source) => IndexError::Version { path: path.to_owned(), source },
        })
    }

    fn of_file(
        file: Mapped,
        path: &Path,
        uid: u64,
        automaton_bytes_max: usize,
    ) -> Result<Self, Fault> {
        let footer = Footer::check(&file)?;
        let count = footer.doc_count as usize;
        let exact = [
            (Section::Identities, count * IDENTITY_LEN),
            (Section::ShardHashes, count * SHARD_HASH_LEN),
            (Section::Pages, count.div_ceil(PAGE_DOCS as usize) * PAGE_ENTRY_LEN),
        ];
        for (section, len) in exact {
            expect_len(&footer, section, len)?;
        }
        let fields = fields::read_fields(&file, &footer)?;
        let shapes =
            fields::read_shapes(&file[footer.range(Section::Shapes)], fields.len(), count)?;
        let ids = Self::read_ids(&file, &footer)?;
        let path = path.to_owned();
        Ok(Self { uid, path, file, footer, fields, shapes, ids, automaton_bytes_max })
    }

    fn read_ids(file: &Mapped, footer: &Footer) -> Result<Ids<StoredIds>, Corrupt> {
        let range = footer.range(Section::Ids);
        let count = footer.doc_count;
        if footer.last - footer.first == count - 1 {
            expect_len(footer, Section::Ids, 0)?;
            return Ok(Ids::new(footer.first, count, None));
        }
        expect_len(footer, Section::Ids, count as usize * ID_LEN)?;
        let list = StoredIds(MappedPart { file: file.clone(), range });
        let ascends = (1..count).all(|ordinal| list.at(ordinal - 1) < list.at(ordinal));
        let (first, last) = (list.at(0), list.at(count - 1));
        if !ascends || first < footer.first || last > footer.last {
            let expected = format!("ascending ids in {} to {}", footer.first, footer.last);
            return Err(Corrupt::new("index ids", 0, expected, format!("{first} to {last}")));
        }
        Ok(Ids::new(first, count, Some(list)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(crate) fn file_len(&self) -> u64 {
        self.file.len() as u64
    }

    fn section(&self, section: Section) -> &[u8] {
        &self.file[self.footer.range(section)]
    }

    fn terms(&self, field: u32) -> FieldTerms<'_> {
        let field = &self.fields[field as usize];
        FieldTerms {
            terms: self.section(Section::Terms),
            blocks: self.section(Section::Blocks),
            first_block: field.first_block,
            value_count: field.value_count,
            doc_count: self.footer.doc_count,
        }
    }

    fn postings(&self, listed: &Listed) -> Result<Postings, Corrupt> {
        let section = self.section(Section::Postings);
        let Stored { len, .. } = listed.stored;
        let start = usize::try_from(listed.offset).ok();
        let end = listed.offset.checked_add(len).and_then(|e| usize::try_from(e).ok());
        let bytes = start.zip(end).and_then(|(start, end)| section.get(start..end));
        let Some(bytes) = bytes else {
            let got = format!("{len} bytes at {}", listed.offset);
            let expected = format!("a place in {} bytes", section.len());
            return Err(Corrupt::new("index postings", 0, expected, got));
        };
        decode(bytes, &listed.stored, self.footer.doc_count)
    }

    /// The rows of a page.
    fn page(&self, page: u32) -> Result<Cursor<'_>, Corrupt> {
        const WHAT: &str = "index documents";
        let pages = self.section(Section::Pages);
        let at = page as usize * PAGE_ENTRY_LEN;
        let offset = Cursor::new(WHAT, pages.get(at..).unwrap_or_default()).u64()?;
        let docs = self.section(Section::Docs);
        let rows = usize::try_from(offset).ok().and_then(|at| docs.get(at..));
        let Some(rows) = rows else {
            let expected = format!("an offset to {}", docs.len());
            return Err(Corrupt::new(WHAT, at, expected, offset.to_string()));
        };
        Ok(Cursor::new(WHAT, rows))
    }

    /// A document's row. Rows that follow in a page are read on from where `walk` stands.
    fn row<'a>(&'a self, walk: &mut Option<Walk<'a>>, ordinal: u32) -> Result<&'a [u8], Corrupt> {
        let page = ordinal / PAGE_DOCS;
        let is_ahead = |w: &Walk<'_>| {
            w.next <= ordinal && w.next / PAGE_DOCS == page && !w.next.is_multiple_of(PAGE_DOCS)
        };
        let mut from = match walk.take().filter(is_ahead) {
            Some(walk) => walk,
            None => Walk { rows: self.page(page)?, next: page * PAGE_DOCS },
        };
        for _ in from.next..ordinal {
            from.rows.length_prefixed()?;
        }
        let row = from.rows.length_prefixed()?;
        from.next = ordinal + 1;
        *walk = Some(from);
        Ok(row)
    }

    /// Reads a document's row: its shape, and its values into `values`.
    fn doc(&self, row: &[u8], values: &mut Vec<u32>) -> Result<&[u32], Corrupt> {
        const WHAT: &str = "index document";
        let mut row = Cursor::new(WHAT, row);
        let number = row.varint()?;
        let shape = usize::try_from(number).ok().and_then(|n| self.shapes.get(n));
        let Some(shape) = shape else {
            let expected = format!("a shape below {}", self.shapes.len());
            return Err(Corrupt::new(WHAT, 0, expected, number.to_string()));
        };
        values.clear();
        for &field in shape {
            let value = row.varint()?;
            let value_count = self.fields[field as usize].value_count;
            match u32::try_from(value) {
                Ok(value) if value < value_count => values.push(value),
                _ => {
                    let expected = format!("a value below {value_count}");
                    return Err(Corrupt::new(WHAT, row.position(), expected, value.to_string()));
                }
            }
        }
        if !row.is_empty() {
            let got = format!("{} more bytes", row.remaining());
            return Err(Corrupt::new(WHAT, row.position(), "the end of the row", got));
        }
        Ok(shape)
    }

    /// A document's names and values lie in the file once or more, so labels that are much longer
    /// than the file come from blocks that overlap.
    fn check_labels_len(&self, len: usize) -> Result<(), Corrupt> {
        let max = self.file.len().saturating_mul(2);
        if len <= max {
            return Ok(());
        }
        Err(Corrupt::new("index document", 0, format!("{max} bytes at most"), len.to_string()))
    }

    /// Values that start with `prefix` and pass `test`, in order.
    fn scan_prefix(
        &self,
        field: u32,
        prefix: &str,
        test: &ValueTest,
        selected: &mut Vec<u32>,
    ) -> Result<(), Corrupt> {
        let mut cursor = self.terms(field).seek(prefix.as_bytes())?;
        while let Some((value, _)) = cursor.advance()? {
            if !cursor.text.starts_with(prefix.as_bytes()) {
                break;
            }
            if test.is_match(cursor.text()?) {
                selected.push(value);
            }
        }
        Ok(())
    }

    /// Values that lie between the first that starts with `prefix` and the last, about.
    fn prefix_len(&self, field: u32, prefix: &str) -> Result<u32, Corrupt> {
        let terms = self.terms(field);
        let start = terms.seek(prefix.as_bytes())?.position();
        let mut after = prefix.as_bytes().to_vec();
        after.push(0xff);
        Ok(terms.seek(&after)?.position().saturating_sub(start))
    }

    /// Walks the dictionary with the test's automaton; `None` if a scan is likely cheaper.
    fn walk(&self, field: u32, test: &ValueTest) -> Result<Option<Vec<u32>>, Corrupt> {
        let (ValueTest::Regex(regexp), Some(map)) = (test, &self.fields[field as usize].dictionary)
        else {
            return Ok(None);
        };
        let mut len = 0u32;
        for prefix in test.prefixes() {
            len = len.saturating_add(self.prefix_len(field, prefix)?);
        }
        if len <= SCAN_MAX {
            return Ok(None);
        }
        let Some(automaton) = regexp.automaton(self.automaton_bytes_max) else { return Ok(None) };
        let budgeted = Budgeted::new(automaton, u64::from(len) * 2);
        let mut stream = map.search(&budgeted).into_stream();
        let mut selected = Vec::new();
        while let Some((_, value)) = stream.next() {
            selected.push(u32::try_from(value).unwrap_or(u32::MAX));
        }
        if budgeted.is_spent() {
            return Ok(None);
        }
        let value_count = self.fields[field as usize].value_count;
        let ascends = selected.is_sorted_by(|a, b| a < b);
        if !ascends || selected.last().is_some_and(|&last| last >= value_count) {
            let expected = format!("ascending values below {value_count}");
            return Err(Corrupt::new("index dictionary", 0, expected, "others"));
        }
        Ok(Some(selected))
    }
}

fn expect_len(footer: &Footer, section: Section, len: usize) -> Result<(), Corrupt> {
    let range = footer.range(section);
    if range.len() == len {
        return Ok(());
    }
    let name = format::SECTION_NAMES[section as usize];
    Err(Corrupt::new(name, range.start, format!("{len} bytes"), range.len().to_string()))
}

impl Segment for SealedSegment {
    fn uid(&self) -> u64 {
        self.uid
    }

    fn is_sealed(&self) -> bool {
        true
    }

    fn doc_count(&self) -> u32 {
        self.footer.doc_count
    }

    fn id_range(&self) -> Option<(u32, u32)> {
        Some((self.footer.first, self.footer.last))
    }

    fn append_ids(&self, ordinals: &Postings, out: &mut Vec<u32>) {
        self.ids.append(ordinals, out);
    }

    fn ordinal(&self, id: u32) -> Option<u32> {
        self.ids.ordinal(id)
    }

    fn field_count(&self) -> u32 {
        self.fields.len() as u32
    }

    fn field(&self, name: &str) -> Option<u32> {
        self.fields.binary_search_by(|f| (*f.name).cmp(name)).ok().map(|f| f as u32)
    }

    fn field_name(&self, field: u32) -> String {
        self.fields[field as usize].name.to_string()
    }

    fn field_len(&self, field: u32) -> u64 {
        match &self.fields[field as usize].docs {
            Some(listed) => listed.stored.count,
            None => u64::from(self.footer.doc_count),
        }
    }

    fn field_postings(&self, field: u32) -> Result<Postings, IndexError> {
        match &self.fields[field as usize].docs {
            Some(listed) => Ok(self.postings(listed)?),
            None => Ok(Postings::all(self.footer.doc_count)),
        }
    }

    fn value_count(&self, field: u32) -> u32 {
        self.fields[field as usize].value_count
    }

    fn term(&self, field: u32, value: &str) -> Result<Option<Term>, IndexError> {
        let Some(map) = &self.fields[field as usize].dictionary else {
            let mut cursor = self.terms(field).cursor(0)?;
            while let Some((number, listed)) = cursor.advance()? {
                if cursor.text == value.as_bytes() {
                    return Ok(Some(Term { value: number, len: listed.stored.count }));
                }
            }
            return Ok(None);
        };
        let Some(number) = map.get(value) else { return Ok(None) };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let mut cursor = self.terms(field).cursor(number)?;
        match cursor.advance()? {
            Some((number, listed)) if cursor.text == value.as_bytes() => {
                Ok(Some(Term { value: number, len: listed.stored.count }))
            }
            _ => {
                let expected = format!("the number of {value:?}");
                Err(Corrupt::new("index dictionary", 0, expected, number.to_string()).into())
            }
        }
    }

    fn append_value(&self, field: u32, value: u32, out: &mut Vec<u8>) -> Result<(), IndexError> {
        let mut cursor = self.terms(field).cursor(value)?;
        cursor.advance()?;
        out.extend_from_slice(&cursor.text);
        Ok(())
    }

    fn value_postings(&self, field: u32, value: u32) -> Result<Postings, IndexError> {
        match self.terms(field).cursor(value)?.advance()? {
            Some((_, listed)) => Ok(self.postings(&listed)?),
            None => Ok(Postings::empty()),
        }
    }

    fn unite(&self, field: u32, values: &[u32], union: &mut Union) -> Result<(), IndexError> {
        /// Values that a cursor steps over rather than seek anew.
        const STEP_MAX: u32 = 8;
        let terms = self.terms(field);
        let Some(&first) = values.first() else { return Ok(()) };
        let mut cursor = terms.cursor(first)?;
        for &value in values {
            if value < cursor.position() || value - cursor.position() > STEP_MAX {
                cursor = terms.cursor(value)?;
            }
            while cursor.position() < value && cursor.advance()?.is_some() {}
            if let Some((_, listed)) = cursor.advance()? {
                union.add(self.postings(&listed)?);
            }
        }
        Ok(())
    }

    fn for_each_value(
        &self,
        field: u32,
        from: u32,
        visit: VisitValue<'_>,
    ) -> Result<(), IndexError> {
        if from >= self.value_count(field) {
            return Ok(());
        }
        let mut cursor = self.terms(field).cursor(from)?;
        while let Some((value, listed)) = cursor.advance()? {
            if let ControlFlow::Break(()) = visit(value, cursor.text()?, listed.stored.count) {
                break;
            }
        }
        Ok(())
    }

    fn select(&self, field: u32, from: u32, test: &ValueTest) -> Result<Vec<u32>, IndexError> {
        let mut selected = Vec::new();
        if test.prefixes().is_empty() {
            self.for_each_value(field, from, &mut |value, text, _| {
                if test.is_match(text) {
                    selected.push(value);
                }
                ControlFlow::Continue(())
            })?;
            return Ok(selected);
        }
        match self.walk(field, test)? {
            Some(walked) => selected = walked,
            None => {
                for prefix in test.prefixes() {
                    self.scan_prefix(field, prefix, test, &mut selected)?;
                }
            }
        }
        selected.retain(|&value| value >= from);
        Ok(selected)
    }

    fn sorted_values(&self, field: u32) -> Vec<u32> {
        (0..self.value_count(field)).collect()
    }

    fn for_each_doc(&self, ordinals: &[u32], visit: VisitDoc<'_>) -> Result<(), IndexError> {
        let (mut values, mut walk) = (Vec::new(), None);
        for &ordinal in ordinals {
            let fields = self.doc(self.row(&mut walk, ordinal)?, &mut values)?;
            visit(ordinal, fields, &values);
        }
        Ok(())
    }

    fn for_each_labels(&self, ordinals: &[u32], visit: VisitLabels<'_>) -> Result<(), IndexError> {
        let (mut values, mut walk) = (Vec::new(), None);
        let (mut labels, mut before) = (Encoded::default(), Encoded::default());
        let mut known = KnownLabels::for_documents(ordinals.len());
        for &ordinal in ordinals {
            std::mem::swap(&mut labels, &mut before);
            labels.clear();
            let fields = self.doc(self.row(&mut walk, ordinal)?, &mut values)?;
            for (&field, &value) in fields.iter().zip(&values) {
                if !labels.copy_from(&before, field, value) {
                    let of_field = || (&*self.fields[field as usize].name, self.terms(field));
                    labels.push(field, value, known.get(field, value, of_field)?);
                }
                self.check_labels_len(labels.bytes.len())?;
            }
            visit(ordinal, &labels.bytes);
        }
        Ok(())
    }

    fn for_each_identity(&self, visit: VisitIdentity<'_>) -> Result<(), IndexError> {
        let (of_labels, _) = self.section(Section::Identities).as_chunks::<IDENTITY_LEN>();
        let (of_shards, _) = self.section(Section::ShardHashes).as_chunks::<SHARD_HASH_LEN>();
        for (ordinal, (labels, shard)) in of_labels.iter().zip(of_shards).enumerate() {
            let identity = Identity {
                labels_hash: u128::from_le_bytes(*labels),
                shard_hash: u32::from_le_bytes(*shard),
            };
            visit(self.ids.id(ordinal as u32), identity);
        }
        Ok(())
    }
}
