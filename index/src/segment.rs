//! One run of consecutive series with its dictionaries and postings.
//!
//! A segment numbers its documents `0..n` in the order of their ids (the *ordinal*), its label
//! names (the *field*), and the values of each name (the *value number*). A document has at most
//! one value per name, so the postings of the values of one field do not overlap.

mod ids;
mod memory;
mod sealed;

use std::fmt;
use std::ops::ControlFlow;

use m3rs_core::model::{LabelsIter, shard_hash};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::IndexError;
use crate::postings::{Postings, Union};
use crate::regexp::ValueTest;

pub(crate) use ids::Ids;
pub(crate) use memory::MemorySegment;
pub use sealed::{ENDS_LEN, SectionSize, SegmentSummary, inspect, sums};
pub(crate) use sealed::{SealedSegment, write};

/// What tells a series from others, and where it lives, without its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// XXH3-128 with seed 0 of the canonical label bytes.
    pub labels_hash: u128,
    /// Murmur3 of M3's quoted ID: its remainder by the number of shards is the shard.
    pub shard_hash: u32,
}

impl Identity {
    /// Of canonical label bytes; `scratch` is cleared and reused.
    #[must_use]
    pub fn of(canonical: &[u8], scratch: &mut Vec<u8>) -> Self {
        Self::of_hashed(canonical, xxh3_128(canonical), scratch)
    }

    /// As [`Identity::of`], for callers that have the labels' hash already.
    #[must_use]
    pub fn of_hashed(canonical: &[u8], labels_hash: u128, scratch: &mut Vec<u8>) -> Self {
        let shard_hash = shard_hash(LabelsIter::over(canonical), scratch);
        Self { labels_hash, shard_hash }
    }
}

/// A series to be indexed.
#[derive(Clone, Copy, Debug)]
pub struct Doc<'a> {
    /// Its id.
    pub id: u32,
    /// Its canonical label bytes, which the caller has checked.
    pub labels: &'a [u8],
    /// The identity of these labels.
    pub identity: Identity,
}

/// A value of a field that some document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// Its number in the field.
    pub(crate) value: u32,
    /// Documents that have it.
    pub(crate) len: u64,
}

/// What [`Segment::for_each_value`] calls: value number, text, documents. Like every visitor it
/// must not call the segment, which may be locked for reading.
pub(crate) type VisitValue<'v> = &'v mut dyn FnMut(u32, &str, u64) -> ControlFlow<()>;

/// What [`Segment::for_each_doc`] calls: ordinal, its fields by name, its value in each.
pub(crate) type VisitDoc<'v> = &'v mut dyn FnMut(u32, &[u32], &[u32]);

/// What [`Segment::for_each_labels`] calls: ordinal, canonical label bytes.
pub(crate) type VisitLabels<'v> = &'v mut dyn FnMut(u32, &[u8]);

/// What [`Segment::for_each_identity`] calls: id and identity.
pub(crate) type VisitIdentity<'v> = &'v mut dyn FnMut(u32, Identity);

/// Reads a segment. A memory segment may grow meanwhile: numbers once seen keep their meaning, and
/// a caller that cuts every answer at the [`Segment::doc_count`] of its start sees one moment.
pub(crate) trait Segment: Send + Sync + fmt::Debug {
    /// A number that no other segment of this process has.
    fn uid(&self) -> u64;

    /// Whether nothing can be added any more.
    fn is_sealed(&self) -> bool;

    /// Documents, so ordinals are `0..doc_count`.
    fn doc_count(&self) -> u32;

    /// The first and the last id that it stands for; `None` without documents.
    fn id_range(&self) -> Option<(u32, u32)>;

    /// Appends the ids of `ordinals` to `out`.
    fn append_ids(&self, ordinals: &Postings, out: &mut Vec<u32>);

    /// The ordinal of a document.
    fn ordinal(&self, id: u32) -> Option<u32>;

    /// Fields, numbered `0..field_count`.
    fn field_count(&self) -> u32;

    /// The number of a label name.
    fn field(&self, name: &str) -> Option<u32>;

    /// The name of a field.
    fn field_name(&self, field: u32) -> String;

    /// Documents that have the field.
    fn field_len(&self, field: u32) -> u64;

    /// The documents that have the field.
    fn field_postings(&self, field: u32) -> Result<Postings, IndexError>;

    /// Values of the field, numbered `0..value_count`.
    fn value_count(&self, field: u32) -> u32;

    /// Finds a value.
    fn term(&self, field: u32, value: &str) -> Result<Option<Term>, IndexError>;

    /// Appends the text of a value to `out`.
    fn append_value(&self, field: u32, value: u32, out: &mut Vec<u8>) -> Result<(), IndexError>;

    /// The documents that have a value.
    fn value_postings(&self, field: u32, value: u32) -> Result<Postings, IndexError>;

    /// Adds the documents of several values, whose numbers ascend, to `union`.
    fn unite(&self, field: u32, values: &[u32], union: &mut Union) -> Result<(), IndexError>;

    /// Calls `visit` for each value from number `from` on.
    fn for_each_value(
        &self,
        field: u32,
        from: u32,
        visit: VisitValue<'_>,
    ) -> Result<(), IndexError>;

    /// Numbers, ascending, of the values from `from` on that pass `test`.
    fn select(&self, field: u32, from: u32, test: &ValueTest) -> Result<Vec<u32>, IndexError>;

    /// Value numbers in the order of their texts.
    fn sorted_values(&self, field: u32) -> Vec<u32>;

    /// Calls `visit` for each ordinal, in the order given.
    fn for_each_doc(&self, ordinals: &[u32], visit: VisitDoc<'_>) -> Result<(), IndexError>;

    /// Calls `visit` for each ordinal, in the order given.
    fn for_each_labels(&self, ordinals: &[u32], visit: VisitLabels<'_>) -> Result<(), IndexError>;

    /// Calls `visit` with the identity of each document, in the order of ids.
    fn for_each_identity(&self, visit: VisitIdentity<'_>) -> Result<(), IndexError>;
}
