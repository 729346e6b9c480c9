//! Writes one segment from one or several others, in the order of their ids.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, FsFile, write_atomic};
use m3rs_core::wire::checksum::Crc32;
use m3rs_core::wire::{put_length_prefixed, put_varint};
use roaring::RoaringBitmap;

use super::format::{
    self, BLOCK_VALUES, FIELD_DOCS_ALL, FIELD_DOCS_BITMAP, FIELD_DOCS_DELTAS, Footer, HEADER_LEN,
    PAGE_DOCS, Part, SECTION_COUNT, Section,
};
use super::terms::{Listed, TermWriter};
use crate::error::IndexError;
use crate::postings::{Postings, encode};
use crate::segment::Segment;

/// Bytes that are kept back until they are written together.
const BUFFER_LEN: usize = 1 << 20;

/// Documents that are copied at a time.
const COPY_DOCS: u32 = 4_096;

/// Writes `sources`, which hold a document or more and whose ids ascend from one to the next, to
/// `path`; when this returns, the file is durable. Documents whose ids are in `gone` are left out,
/// and returned; but for the last one, if no other is left.
///
/// Memory: the term list and 4 bytes for each value and each source, not the postings.
pub(crate) fn write(
    fs: &dyn Fs,
    path: &Path,
    sources: &[&dyn Segment],
    gone: &RoaringBitmap,
) -> Result<RoaringBitmap, IndexError> {
    let dropped = to_drop(sources, gone)?;
    write_atomic(fs, path, |file| {
        let mut writer = Writer::new(file, sources, &dropped)?;
        writer.fields()?;
        writer.docs()?;
        writer.identities()?;
        writer.finish()
    })
    .map_err(|e: WriteError| match e {
        WriteError::Io(e) => IndexError::io(path)(e),
        WriteError::Index(e) => e,
    })?;
    Ok(dropped)
}

/// The ids of `gone` that the sources have, but for the last one if no document would be left.
fn to_drop(sources: &[&dyn Segment], gone: &RoaringBitmap) -> Result<RoaringBitmap, IndexError> {
    let mut dropped = RoaringBitmap::new();
    let mut kept = false;
    for segment in sources {
        let Some((first, last)) = segment.id_range() else { continue };
        let ids = gone.range(first..=last).filter(|&id| segment.ordinal(id).is_some());
        let before = dropped.len();
        dropped.extend(ids);
        kept |= dropped.len() - before < u64::from(segment.doc_count());
    }
    if !kept && let Some(last) = dropped.max() {
        dropped.remove(last);
    }
    Ok(dropped)
}

/// What stops a writer: the disk, or a source that cannot be read.
enum WriteError {
    Io(io::Error),
    Index(IndexError),
}

impl From<io::Error> for WriteError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<IndexError> for WriteError {
    fn from(e: IndexError) -> Self {
        Self::Index(e)
    }
}

/// Appends to the file, section by section.
struct Output<'f> {
    file: &'f mut dyn FsFile,
    buffer: Vec<u8>,
    crc: Crc32,
    len: u64,
    at: u64,
    parts: Vec<Part>,
}

impl<'f> Output<'f> {
    fn new(file: &'f mut dyn FsFile) -> io::Result<Self> {
        file.write_all(&format::header())?;
        let buffer = Vec::with_capacity(BUFFER_LEN + BUFFER_LEN / 8);
        let at = HEADER_LEN as u64;
        Ok(Self { file, buffer, crc: Crc32::default(), len: 0, at, parts: Vec::new() })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.crc.update(&self.buffer);
        self.len += self.buffer.len() as u64;
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER_LEN { self.flush() } else { Ok(()) }
    }

    /// Ends the section that the buffer holds.
    fn end(&mut self, section: Section) -> io::Result<()> {
        assert_eq!(self.parts.len(), section as usize, "BUG: sections are written in order");
        self.flush()?;
        let crc = std::mem::take(&mut self.crc).finish();
        self.parts.push(Part { offset: self.at, len: self.len, crc });
        self.at += self.len;
        self.len = 0;
        Ok(())
    }

    /// Writes a section that was made in memory.
    fn whole(&mut self, section: Section, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(BUFFER_LEN) {
            self.buffer.extend_from_slice(piece);
            self.flush_if_full()?;
        }
        self.end(section)
    }
}

/// How one source's numbers become the new ones.
struct Source<'s> {
    segment: &'s dyn Segment,
    /// What is added to its ordinals.
    base: u32,
    doc_count: u32,
    /// New number of each ordinal, if some are left out, which have [`LEFT_OUT`].
    ordinals: Option<Vec<u32>>,
    /// New number of each field.
    fields: Vec<u32>,
    /// New number of each value, by old field.
    values: Vec<Vec<u32>>,
}

/// The number of a document that is left out.
const LEFT_OUT: u32 = u32::MAX;

impl<'s> Source<'s> {
    /// `base` is what is added to its ordinals.
    fn new(segment: &'s dyn Segment, base: u32, dropped: &RoaringBitmap) -> Self {
        let doc_count = segment.doc_count();
        let field_count = segment.field_count() as usize;
        let (fields, values) = (vec![0; field_count], vec![Vec::new(); field_count]);
        let (first, last) = segment.id_range().unwrap_or((0, 0));
        let mut ordinals = None;
        if dropped.range_cardinality(first..=last) > 0 {
            let mut ids = Vec::new();
            segment.append_ids(&Postings::all(doc_count), &mut ids);
            let mut next = 0;
            let numbered = ids.into_iter().map(|id| {
                if dropped.contains(id) {
                    return LEFT_OUT;
                }
                next += 1;
                next - 1
            });
            ordinals = Some(numbered.collect());
        }
        Self { segment, base, doc_count, ordinals, fields, values }
    }

    /// The number of a document in the file.
    fn new_ordinal(&self, ordinal: u32) -> Option<u32> {
        let Some(ordinals) = &self.ordinals else { return Some(self.base + ordinal) };
        let new = ordinals[ordinal as usize];
        (new != LEFT_OUT).then(|| self.base + new)
    }

    /// Documents that are not left out.
    fn kept(&self) -> u32 {
        let kept = |all: &Vec<u32>| all.iter().filter(|&&o| o != LEFT_OUT).count() as u32;
        self.ordinals.as_ref().map_or(self.doc_count, kept)
    }

    /// Appends the new numbers of documents.
    fn append(&self, postings: &Postings, ordinals: &mut Vec<u32>) {
        postings.for_each(|ordinal| ordinals.extend(self.new_ordinal(ordinal)));
    }

    /// Whether a document with the field is kept.
    fn has(&self, field: u32) -> Result<bool, IndexError> {
        if self.ordinals.is_none() {
            return Ok(true);
        }
        let mut kept = false;
        let of_field = self.segment.field_postings(field)?;
        of_field.for_each(|ordinal| kept |= self.new_ordinal(ordinal).is_some());
        Ok(kept)
    }
}

struct Writer<'s, 'f> {
    out: Output<'f>,
    sources: Vec<Source<'s>>,
    /// Names in order, with the field's number in each source.
    names: Vec<(String, Vec<Option<u32>>)>,
    doc_count: u32,
    /// Bytes of the postings section so far.
    postings_len: u64,
    scratch: Vec<u8>,
}

impl<'s, 'f> Writer<'s, 'f> {
    fn new(
        file: &'f mut dyn FsFile,
        segments: &[&'s dyn Segment],
        dropped: &RoaringBitmap,
    ) -> Result<Self, WriteError> {
        let mut by_name: BTreeMap<String, Vec<Option<u32>>> = BTreeMap::new();
        let mut sources = Vec::with_capacity(segments.len());
        let mut doc_count = 0;
        for (at, &segment) in segments.iter().enumerate() {
            let source = Source::new(segment, doc_count, dropped);
            for field in 0..segment.field_count() {
                if !source.has(field)? {
                    continue;
                }
                let numbers = by_name.entry(segment.field_name(field)).or_default();
                numbers.resize(segments.len(), None);
                numbers[at] = Some(field);
            }
            doc_count += source.kept();
            sources.push(source);
        }
        let names: Vec<_> = by_name.into_iter().collect();
        for (new, (_, numbers)) in names.iter().enumerate() {
            for (source, old) in sources.iter_mut().zip(numbers) {
                if let Some(old) = *old {
                    source.fields[old as usize] = new as u32;
                }
            }
        }
        let out = Output::new(file)?;
        Ok(Self { out, sources, names, doc_count, postings_len: 0, scratch: Vec::new() })
    }

    /// Writes all that is kept per field: postings, terms, blocks, dictionaries, the field table.
    fn fields(&mut self) -> Result<(), WriteError> {
        let mut terms = TermWriter::default();
        let mut dictionaries = Vec::new();
        let mut table = Vec::new();
        put_varint(&mut table, self.names.len() as u64);
        let names = std::mem::take(&mut self.names);
        for (name, numbers) in &names {
            put_length_prefixed(&mut table, name.as_bytes());
            let first_block = terms.begin_field();
            let dictionary_at = dictionaries.len();
            let value_count = self.values(numbers, &mut terms, &mut dictionaries)?;
            put_varint(&mut table, u64::from(value_count));
            put_varint(&mut table, first_block);
            put_varint(&mut table, dictionary_at as u64);
            put_varint(&mut table, (dictionaries.len() - dictionary_at) as u64);
            self.field_docs(numbers, &mut table)?;
        }
        self.out.end(Section::Postings)?;
        self.out.whole(Section::Terms, &terms.terms)?;
        self.out.whole(Section::Blocks, &terms.blocks)?;
        self.out.whole(Section::Dictionaries, &dictionaries)?;
        self.out.whole(Section::Fields, &table)?;
        Ok(())
    }

    /// Writes the values of one field, merged from all sources; returns their number.
    fn values(
        &mut self,
        numbers: &[Option<u32>],
        terms: &mut TermWriter,
        dictionaries: &mut Vec<u8>,
    ) -> Result<u32, WriteError> {
        let mut cursors = Vec::new();
        for (at, number) in numbers.iter().enumerate() {
            if let Some(field) = *number {
                cursors.push(ValueCursor::new(at, self.sources[at].segment, field)?);
            }
        }
        let mut texts = FstTexts::default();
        let (mut count, mut ordinals, mut text) = (0u32, Vec::new(), Vec::new());
        let mut is_first = true;
        while let Some(smallest) = cursors.iter().filter_map(ValueCursor::text).min() {
            if !is_first && smallest <= text.as_slice() {
                let (expected, got) = (format!("values after {text:?}"), format!("{smallest:?}"));
                return Err(IndexError::from(Corrupt::new("index terms", 0, expected, got)).into());
            }
            is_first = false;
            text.clear();
            text.extend_from_slice(smallest);
            ordinals.clear();
            for cursor in cursors.iter_mut().filter(|c| c.text() == Some(&text)) {
                let source = &mut self.sources[cursor.source];
                let old = cursor.value();
                let renumbered = &mut source.values[cursor.field as usize];
                renumbered.resize(cursor.order.len(), 0);
                renumbered[old as usize] = count;
                let postings = source.segment.value_postings(cursor.field, old)?;
                source.append(&postings, &mut ordinals);
                cursor.advance(source.segment)?;
            }
            if ordinals.is_empty() {
                continue;
            }
            let listed = self.list(&ordinals)?;
            terms.push(&text, &listed);
            texts.push(&text);
            count += 1;
        }
        if count > BLOCK_VALUES {
            texts.write(dictionaries)?;
        }
        Ok(count)
    }

    /// Appends ordinals to the postings section.
    fn list(&mut self, ordinals: &[u32]) -> Result<Listed, WriteError> {
        let stored = encode(ordinals, &mut self.scratch, &mut self.out.buffer);
        let offset = self.postings_len;
        self.postings_len += stored.len;
        self.out.flush_if_full()?;
        Ok(Listed { offset, stored })
    }

    /// Writes the documents of one field, and where they are to its entry in the table.
    fn field_docs(
        &mut self,
        numbers: &[Option<u32>],
        table: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let mut ordinals = Vec::new();
        for (source, number) in self.sources.iter().zip(numbers) {
            if let Some(field) = *number {
                source.append(&source.segment.field_postings(field)?, &mut ordinals);
            }
        }
        if ordinals.len() == self.doc_count as usize {
            table.push(FIELD_DOCS_ALL);
            return Ok(());
        }
        let listed = self.list(&ordinals)?;
        let is_bitmap = listed.stored.is_bitmap;
        table.push(if is_bitmap { FIELD_DOCS_BITMAP } else { FIELD_DOCS_DELTAS });
        put_varint(table, listed.stored.count);
        put_varint(table, listed.offset);
        put_varint(table, listed.stored.len);
        Ok(())
    }

    /// Writes shapes, documents and pages.
    fn docs(&mut self) -> Result<(), WriteError> {
        let mut rows = Rows::default();
        for source in &self.sources {
            for start in (0..source.doc_count).step_by(COPY_DOCS as usize) {
                let end = source.doc_count.min(start + COPY_DOCS);
                let kept = |o: &u32| source.new_ordinal(*o).is_some();
                let ordinals: Vec<u32> = (start..end).filter(kept).collect();
                source.segment.for_each_doc(&ordinals, &mut |_, fields, values| {
                    rows.push(source, fields, values);
                })?;
            }
        }
        self.out.whole(Section::Shapes, &rows.shape_table())?;
        self.out.whole(Section::Docs, &rows.docs)?;
        self.out.whole(Section::Pages, &rows.pages)?;
        Ok(())
    }

    /// Writes identities, and ids if there are gaps between them.
    fn identities(&mut self) -> Result<(), WriteError> {
        let mut ids = Vec::with_capacity(self.doc_count as usize);
        let mut hashes = Vec::with_capacity(self.doc_count as usize * format::IDENTITY_LEN);
        let mut shards = Vec::with_capacity(self.doc_count as usize * format::SHARD_HASH_LEN);
        for source in &self.sources {
            let mut ordinal = 0;
            source.segment.for_each_identity(&mut |id, identity| {
                ordinal += 1;
                if source.new_ordinal(ordinal - 1).is_none() {
                    return;
                }
                ids.push(id);
                hashes.extend_from_slice(&identity.labels_hash.to_le_bytes());
                shards.extend_from_slice(&identity.shard_hash.to_le_bytes());
            })?;
        }
        assert_eq!(ids.len(), self.doc_count as usize, "BUG: a source does not grow while read");
        assert!(ids.is_sorted_by(|a, b| a < b), "BUG: sources are in the order of their ids");
        self.out.whole(Section::Identities, &hashes)?;
        self.out.whole(Section::ShardHashes, &shards)?;
        // The file stands for the ids that it leaves out, too.
        let range = |source: Option<&Source<'_>>| source.and_then(|s| s.segment.id_range());
        let first = range(self.sources.first()).map_or(0, |(first, _)| first);
        let last = range(self.sources.last()).map_or(0, |(_, last)| last);
        let mut listed = Vec::new();
        if (last - first) as usize + 1 != ids.len() {
            listed.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        }
        self.out.whole(Section::Ids, &listed)?;
        let parts: [Part; SECTION_COUNT] =
            std::mem::take(&mut self.out.parts).try_into().expect("BUG: every section was written");
        let footer = Footer { doc_count: self.doc_count, first, last, parts };
        self.out.buffer = footer.encode();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }
}

/// Walks the values of a source's field in order.
struct ValueCursor {
    source: usize,
    field: u32,
    order: Vec<u32>,
    at: usize,
    text: Vec<u8>,
}

impl ValueCursor {
    fn new(source: usize, segment: &dyn Segment, field: u32) -> Result<Self, IndexError> {
        let order = segment.sorted_values(field);
        let mut cursor = Self { source, field, order, at: 0, text: Vec::new() };
        cursor.load(segment)?;
        Ok(cursor)
    }

    fn load(&mut self, segment: &dyn Segment) -> Result<(), IndexError> {
        self.text.clear();
        match self.order.get(self.at) {
            Some(&value) => segment.append_value(self.field, value, &mut self.text),
            None => Ok(()),
        }
    }

    fn value(&self) -> u32 {
        self.order[self.at]
    }

    fn text(&self) -> Option<&[u8]> {
        (self.at < self.order.len()).then_some(&self.text)
    }

    fn advance(&mut self, segment: &dyn Segment) -> Result<(), IndexError> {
        self.at += 1;
        self.load(segment)
    }
}

/// The texts of a field until it is known whether they are enough for a dictionary.
#[derive(Default)]
struct FstTexts {
    waiting: Vec<Vec<u8>>,
    builder: Option<fst::MapBuilder<Vec<u8>>>,
    count: u64,
}

const FST_ORDER: &str = "BUG: values are written in ascending order, to memory";

impl FstTexts {
    fn push(&mut self, text: &[u8]) {
        if self.count < u64::from(BLOCK_VALUES) {
            self.waiting.push(text.to_vec());
        } else {
            let waiting = &mut self.waiting;
            let builder = self.builder.get_or_insert_with(|| {
                let mut builder = fst::MapBuilder::memory();
                for (number, text) in waiting.drain(..).enumerate() {
                    builder.insert(text, number as u64).expect(FST_ORDER);
                }
                builder
            });
            builder.insert(text, self.count).expect(FST_ORDER);
        }
        self.count += 1;
    }

    fn write(self, out: &mut Vec<u8>) -> Result<(), IndexError> {
        if let Some(builder) = self.builder {
            out.extend_from_slice(&builder.into_inner().expect(FST_ORDER));
        }
        Ok(())
    }
}

/// Documents on their way to the file.
#[derive(Default)]
struct Rows {
    docs: Vec<u8>,
    pages: Vec<u8>,
    count: u32,
    shapes: Vec<Box<[u32]>>,
    by_fields: HashMap<Box<[u32]>, u32>,
    fields: Vec<u32>,
    row: Vec<u8>,
}

impl Rows {
    fn push(&mut self, source: &Source<'_>, fields: &[u32], values: &[u32]) {
        if self.count.is_multiple_of(PAGE_DOCS) {
            self.pages.extend_from_slice(&(self.docs.len() as u64).to_le_bytes());
        }
        self.count += 1;
        self.fields.clear();
        self.fields.extend(fields.iter().map(|&f| source.fields[f as usize]));
        let shape = self.shape();
        self.row.clear();
        put_varint(&mut self.row, u64::from(shape));
        for (&field, &value) in fields.iter().zip(values) {
            let new = source.values[field as usize][value as usize];
            put_varint(&mut self.row, u64::from(new));
        }
        put_length_prefixed(&mut self.docs, &self.row);
    }

    fn shape(&mut self) -> u32 {
        if let Some(&shape) = self.by_fields.get(self.fields.as_slice()) {
            return shape;
        }
        let shape = self.shapes.len() as u32;
        let fields: Box<[u32]> = self.fields.as_slice().into();
        self.shapes.push(fields.clone());
        self.by_fields.insert(fields, shape);
        shape
    }

    /// Number of shapes, then of each the number of its fields and the fields, each as the
    /// distance to the one before.
    fn shape_table(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.shapes.len() as u64);
        for shape in &self.shapes {
            put_varint(&mut out, shape.len() as u64);
            let mut last = 0;
            for &field in shape {
                put_varint(&mut out, u64::from(field - last));
                last = field;
            }
        }
        out
    }
}
