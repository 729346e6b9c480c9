//! The open segment: takes new documents and answers searches at the same time.
//!
//! All of it only grows. Readers and writers take the lock for a few hundred values or documents at
//! a time, so neither a long scan nor a large batch holds the others up.

mod field;
mod rows;

use std::collections::HashMap;

use hashbrown::DefaultHashBuilder;
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint};
use parking_lot::RwLock;

use super::{Doc, Identity, Ids, Segment, Term, VisitDoc, VisitIdentity, VisitLabels, VisitValue};
use crate::error::IndexError;
use crate::postings::{Postings, Union};
use crate::regexp::ValueTest;
use field::Field;
use rows::Rows;

/// Values or documents that are read or added under one hold of the lock.
const SLICE: usize = 256;

/// A growing segment.
#[derive(Debug)]
pub(crate) struct MemorySegment {
    uid: u64,
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    ids: Ids<Vec<u32>>,
    fields: Vec<Field>,
    by_name: HashMap<Box<str>, u32, DefaultHashBuilder>,
    shapes: Shapes,
    /// Per document the shape's number and the value numbers of its fields, as varints.
    docs: Rows,
    /// Identities by ordinal, in two arrays without padding.
    labels_hashes: Vec<u128>,
    shard_hashes: Vec<u32>,
    /// Seeded per segment, since names and values come from outside.
    hasher: DefaultHashBuilder,
    scratch: Scratch,
}

/// Distinct lists of fields that documents have; few even among many documents.
#[derive(Debug, Default)]
struct Shapes {
    all: Vec<Box<[u32]>>,
    by_fields: HashMap<Box<[u32]>, u32, DefaultHashBuilder>,
}

impl Shapes {
    fn intern(&mut self, fields: &[u32], guess: u32) -> u32 {
        if self.all.get(guess as usize).is_some_and(|s| **s == *fields) {
            return guess;
        }
        if let Some(&shape) = self.by_fields.get(fields) {
            return shape;
        }
        let shape = u32::try_from(self.all.len()).expect("BUG: fewer shapes than documents");
        self.all.push(fields.into());
        self.by_fields.insert(fields.into(), shape);
        shape
    }
}

impl MemorySegment {
    pub(crate) fn new(uid: u64) -> Self {
        let inner = Inner {
            ids: Ids::new(0, 0, None),
            fields: Vec::new(),
            by_name: HashMap::default(),
            shapes: Shapes::default(),
            docs: Rows::default(),
            labels_hashes: Vec::new(),
            shard_hashes: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            scratch: Scratch::default(),
        };
        Self { uid, inner: RwLock::new(inner) }
    }

    /// Adds documents whose ids ascend and are larger than all in the segment.
    pub(crate) fn insert(&self, docs: &[Doc<'_>]) {
        for slice in docs.chunks(SLICE) {
            let mut inner = self.inner.write();
            let mut scratch = std::mem::take(&mut inner.scratch);
            for doc in slice {
                inner.add(doc, &mut scratch);
            }
            inner.scratch = scratch;
        }
    }
}

/// Buffers, and the shape of the last document as a guess for the next.
#[derive(Debug, Default)]
struct Scratch {
    fields: Vec<u32>,
    values: Vec<u32>,
    row: Vec<u8>,
    shape: u32,
}

impl Inner {
    fn add(&mut self, doc: &Doc<'_>, scratch: &mut Scratch) {
        let ordinal = self.ids.len();
        scratch.fields.clear();
        scratch.values.clear();
        let mut cursor = Cursor::new("labels", doc.labels);
        while !cursor.is_empty() {
            let (name, value) = (take(&mut cursor), take(&mut cursor));
            let shape = self.shapes.all.get(scratch.shape as usize);
            let field = match shape.and_then(|s| s.get(scratch.fields.len())) {
                Some(&field) if self.fields[field as usize].name.as_bytes() == name => {
                    self.fields[field as usize].docs.push(ordinal);
                    field
                }
                _ => self.field_for(name, ordinal),
            };
            let value = self.fields[field as usize].add(value, ordinal, &self.hasher);
            scratch.fields.push(field);
            scratch.values.push(value);
        }
        scratch.shape = self.shapes.intern(&scratch.fields, scratch.shape);
        scratch.row.clear();
        put_varint(&mut scratch.row, u64::from(scratch.shape));
        for &value in &scratch.values {
            put_varint(&mut scratch.row, u64::from(value));
        }
        self.docs.push(&scratch.row);
        self.labels_hashes.push(doc.identity.labels_hash);
        self.shard_hashes.push(doc.identity.shard_hash);
        self.ids.push(doc.id);
    }

    /// The field of that name, made if it is new, with `ordinal` added to its documents.
    fn field_for(&mut self, name: &[u8], ordinal: u32) -> u32 {
        let name = std::str::from_utf8(name).expect("BUG: label names are text");
        if let Some(&field) = self.by_name.get(name) {
            self.fields[field as usize].docs.push(ordinal);
            return field;
        }
        let field = u32::try_from(self.fields.len()).expect("BUG: fewer than 2^32 label names");
        self.fields.push(Field::new(name, ordinal));
        self.by_name.insert(name.into(), field);
        field
    }

    /// Reads a document's row: its shape, and its values into `values`.
    fn doc(&self, ordinal: u32, values: &mut Vec<u32>) -> &[u32] {
        const WHOLE: &str = "BUG: rows are written whole";
        let mut cursor = Cursor::new("index row", self.docs.get(ordinal as usize));
        let shape = &self.shapes.all[cursor.varint().expect(WHOLE) as usize];
        values.clear();
        values.extend(shape.iter().map(|_| cursor.varint().expect(WHOLE) as u32));
        shape
    }

    fn append_labels(&self, ordinal: u32, values: &mut Vec<u32>, out: &mut Vec<u8>) {
        for (&field, &value) in self.doc(ordinal, values).iter().zip(values.iter()) {
            let field = &self.fields[field as usize];
            put_length_prefixed(out, field.name.as_bytes());
            put_length_prefixed(out, field.values.get(value as usize));
        }
    }
}

/// The next text of a label set. It is not checked again to be UTF-8: that would cost as much as
/// all else that is done with a known value.
fn take<'a>(labels: &mut Cursor<'a>) -> &'a [u8] {
    labels.length_prefixed().expect("BUG: label sets are canonical")
}

impl Segment for MemorySegment {
    fn uid(&self) -> u64 {
        self.uid
    }

    fn is_sealed(&self) -> bool {
        false
    }

    fn doc_count(&self) -> u32 {
        self.inner.read().ids.len()
    }

    fn id_range(&self) -> Option<(u32, u32)> {
        self.inner.read().ids.range()
    }

    fn append_ids(&self, ordinals: &Postings, out: &mut Vec<u32>) {
        self.inner.read().ids.append(ordinals, out);
    }

    fn ordinal(&self, id: u32) -> Option<u32> {
        self.inner.read().ids.ordinal(id)
    }

    fn field_count(&self) -> u32 {
        self.inner.read().fields.len() as u32
    }

    fn field(&self, name: &str) -> Option<u32> {
        self.inner.read().by_name.get(name).copied()
    }

    fn field_name(&self, field: u32) -> String {
        self.inner.read().fields[field as usize].name.to_string()
    }

    fn field_len(&self, field: u32) -> u64 {
        self.inner.read().fields[field as usize].docs.len()
    }

    fn field_postings(&self, field: u32) -> Result<Postings, IndexError> {
        Ok(self.inner.read().fields[field as usize].docs.snapshot())
    }

    fn value_count(&self, field: u32) -> u32 {
        self.inner.read().fields[field as usize].lists.len() as u32
    }

    fn term(&self, field: u32, value: &str) -> Result<Option<Term>, IndexError> {
        let inner = self.inner.read();
        let field = &inner.fields[field as usize];
        let found = field.find(value, &inner.hasher);
        Ok(found.map(|value| Term { value, len: field.lists[value as usize].len() }))
    }

    fn append_value(&self, field: u32, value: u32, out: &mut Vec<u8>) -> Result<(), IndexError> {
        let inner = self.inner.read();
        out.extend_from_slice(inner.fields[field as usize].values.get(value as usize));
        Ok(())
    }

    fn value_postings(&self, field: u32, value: u32) -> Result<Postings, IndexError> {
        Ok(self.inner.read().fields[field as usize].lists[value as usize].snapshot())
    }

    fn unite(&self, field: u32, values: &[u32], union: &mut Union) -> Result<(), IndexError> {
        for slice in values.chunks(SLICE) {
            let inner = self.inner.read();
            let lists = &inner.fields[field as usize].lists;
            for &value in slice {
                union.add(lists[value as usize].snapshot());
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
        let end = self.value_count(field);
        for start in (from..end).step_by(SLICE) {
            let inner = self.inner.read();
            let field = &inner.fields[field as usize];
            for value in start..end.min(start + SLICE as u32) {
                let at = value as usize;
                if visit(value, field.values.text(at), field.lists[at].len()).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn select(&self, field: u32, from: u32, test: &ValueTest) -> Result<Vec<u32>, IndexError> {
        let mut selected = Vec::new();
        let end = self.value_count(field);
        for start in (from..end).step_by(SLICE) {
            let inner = self.inner.read();
            let values = &inner.fields[field as usize].values;
            for value in start..end.min(start + SLICE as u32) {
                let at = value as usize;
                if test.may_match(values.get(at)) && test.is_match(values.text(at)) {
                    selected.push(value);
                }
            }
        }
        Ok(selected)
    }

    fn sorted_values(&self, field: u32) -> Vec<u32> {
        let inner = self.inner.read();
        let field = &inner.fields[field as usize];
        let mut order: Vec<u32> = (0..field.lists.len() as u32).collect();
        order.sort_unstable_by_key(|&v| field.values.get(v as usize));
        order
    }

    fn for_each_doc(&self, ordinals: &[u32], visit: VisitDoc<'_>) -> Result<(), IndexError> {
        let mut values = Vec::new();
        for slice in ordinals.chunks(SLICE) {
            let inner = self.inner.read();
            for &ordinal in slice {
                let fields = inner.doc(ordinal, &mut values);
                visit(ordinal, fields, &values);
            }
        }
        Ok(())
    }

    fn for_each_labels(&self, ordinals: &[u32], visit: VisitLabels<'_>) -> Result<(), IndexError> {
        let (mut values, mut bytes) = (Vec::new(), Vec::new());
        for slice in ordinals.chunks(SLICE) {
            let inner = self.inner.read();
            for &ordinal in slice {
                bytes.clear();
                inner.append_labels(ordinal, &mut values, &mut bytes);
                visit(ordinal, &bytes);
            }
        }
        Ok(())
    }

    fn for_each_identity(&self, visit: VisitIdentity<'_>) -> Result<(), IndexError> {
        let end = self.doc_count();
        for start in (0..end).step_by(SLICE) {
            let inner = self.inner.read();
            for ordinal in start..end.min(start + SLICE as u32) {
                let at = ordinal as usize;
                let (labels_hash, shard_hash) = (inner.labels_hashes[at], inner.shard_hashes[at]);
                visit(inner.ids.id(ordinal), Identity { labels_hash, shard_hash });
            }
        }
        Ok(())
    }
}
