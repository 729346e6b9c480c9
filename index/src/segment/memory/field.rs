//! One label name of a memory segment: its values and their documents.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::rows::Rows;
use crate::postings::List;

/// Values are numbered in order of arrival.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) values: Rows,
    pub(super) lists: Vec<List>,
    /// All documents that have the field.
    pub(super) docs: List,
    by_text: HashTable<u32>,
    /// The value of the document that came last: often that of the next one too.
    last: u32,
}

impl Field {
    /// A field that its first document, `ordinal`, brings.
    pub(super) fn new(name: &str, ordinal: u32) -> Self {
        Self {
            name: name.into(),
            values: Rows::default(),
            lists: Vec::new(),
            docs: List::One(ordinal),
            by_text: HashTable::new(),
            last: 0,
        }
    }

    pub(super) fn find(&self, value: &str, hasher: &DefaultHashBuilder) -> Option<u32> {
        let hash = hasher.hash_one(value.as_bytes());
        self.by_text.find(hash, |&v| self.values.get(v as usize) == value.as_bytes()).copied()
    }

    /// Adds a document to a value's list, and the value if it is new; returns its number.
    pub(super) fn add(&mut self, value: &[u8], ordinal: u32, hasher: &DefaultHashBuilder) -> u32 {
        let Self { values, lists, by_text, last, .. } = self;
        if let Some(list) = lists.get_mut(*last as usize)
            && values.get(*last as usize) == value
        {
            list.push(ordinal);
            return *last;
        }
        let hash = hasher.hash_one(value);
        if let Some(&number) = by_text.find(hash, |&v| values.get(v as usize) == value) {
            lists[number as usize].push(ordinal);
            *last = number;
            return number;
        }
        let number = u32::try_from(lists.len()).expect("BUG: fewer values than documents");
        values.push(value);
        lists.push(List::One(ordinal));
        by_text.insert_unique(hash, number, |&v| hasher.hash_one(values.get(v as usize)));
        *last = number;
        number
    }
}
