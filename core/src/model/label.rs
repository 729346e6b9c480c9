//! Label sets in one allocation.
//!
//! The canonical encoding, which is also a series' identity, is a run of labels sorted by name:
//! `varint(len name) name varint(len value) value`. It is used in memory and in files alike.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::wire::{Cursor, put_varint};

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Why a label set was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A label without a name.
    #[error("empty label name")]
    EmptyName,
    /// A label with an empty value, where the encoding must not hold one.
    #[error("label {0:?} has an empty value")]
    EmptyValue(String),
    /// The same name twice.
    #[error("duplicate label name {0:?}")]
    Duplicate(String),
    /// Names out of order.
    #[error("label {0:?} is out of order")]
    Unsorted(String),
    /// Bytes that are not UTF-8.
    #[error("label bytes are not valid UTF-8")]
    NotUtf8,
    /// Bytes that end inside a label.
    #[error("label bytes end early")]
    Truncated,
}

/// A sorted set of labels with unique names and non-empty values.
///
/// Cloning costs one reference count. Ordering is Prometheus's: label by label, name before value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    /// The set without labels.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Builds a set from pairs in any order; labels with empty values are left out.
    ///
    /// # Errors
    /// [`LabelError::EmptyName`] and [`LabelError::Duplicate`].
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, LabelError> {
        let mut all: Vec<(N, V)> = pairs.into_iter().collect();
        all.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let text_len = |(n, v): &(N, V)| n.as_ref().len() + v.as_ref().len() + 2;
        let mut bytes = Vec::with_capacity(all.iter().map(text_len).sum());
        let mut last: Option<&str> = None;
        for (name, value) in &all {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.is_empty() {
                return Err(LabelError::EmptyName);
            }
            if last == Some(name) {
                return Err(LabelError::Duplicate(name.to_owned()));
            }
            last = Some(name);
            if !value.is_empty() {
                push_pair(&mut bytes, name, value);
            }
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// Takes canonical bytes after checking every invariant of the type.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelError> {
        Self::check_canonical(bytes)?;
        Ok(Self(Arc::from(bytes)))
    }

    /// Checks that bytes are canonical, without an allocation.
    ///
    /// # Errors
    /// As [`Labels::from_canonical`].
    pub fn check_canonical(bytes: &[u8]) -> Result<(), LabelError> {
        // Pieces of ASCII are UTF-8; one look at all bytes is cheaper than one at each piece.
        let is_ascii = bytes.is_ascii();
        let text = |bytes| if is_ascii { Ok(()) } else { as_text(bytes).map(drop) };
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut cursor = Cursor::new("labels", bytes);
        let mut last: &[u8] = &[];
        while !cursor.is_empty() {
            let name = read_bytes(&mut cursor)?;
            text(name)?;
            let value = read_bytes(&mut cursor)?;
            text(value)?;
            if name.is_empty() {
                return Err(LabelError::EmptyName);
            }
            if value.is_empty() {
                return Err(LabelError::EmptyValue(lossy(name)));
            }
            // An empty text has no address, and a comparison that looks there takes 90 ns.
            let order = if last.is_empty() { Ordering::Less } else { last.cmp(name) };
            match order {
                Ordering::Equal => return Err(LabelError::Duplicate(lossy(name))),
                Ordering::Greater => return Err(LabelError::Unsorted(lossy(name))),
                Ordering::Less => last = name,
            }
        }
        Ok(())
    }

    /// The canonical encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Labels in order of their names.
    #[must_use]
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.0 }
    }

    /// The value of `name`; `None` if it is absent. Linear in the number of labels.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The metric name, if there is one.
    #[must_use]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// The number of labels. Linear.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether the set has no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A builder that starts from this set.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// The set without the metric name; shares the allocation when there is none to drop.
    #[must_use]
    pub fn without_name(&self) -> Self {
        self.retain(|n| n != METRIC_NAME)
    }

    /// The labels whose name satisfies `keep`; shares the allocation when all do.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                push_pair(&mut bytes, name, value);
            }
        }
        if bytes.len() == self.0.len() { self.clone() } else { Self(Arc::from(bytes)) }
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // What is equal in front is skipped by lengths alone, and texts are ordered as their bytes.
        let (a, b) = (self.as_bytes(), other.as_bytes());
        let same = same_len(a, b);
        let mut at = 0;
        // Most texts are short: their length is one byte.
        while let Some(&len @ 0..0x80) = a.get(at) {
            let end = at + 1 + usize::from(len);
            if end > same {
                break;
            }
            at = end;
        }
        while let Some((text, end)) = text_at(a, at) {
            if end > same {
                return text_at(b, at).map_or(Ordering::Greater, |(other, _)| text.cmp(other));
            }
            at = end;
        }
        a.len().cmp(&b.len())
    }
}

/// How many bytes in front are the same.
fn same_len(a: &[u8], b: &[u8]) -> usize {
    let (whole_a, whole_b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let same = 16 * whole_a.iter().zip(whole_b).take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// The name or value at a place of canonical bytes, and where it ends; `None` at their end.
fn text_at(canonical: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = canonical.get(at..).filter(|rest| !rest.is_empty())?;
    let mut cursor = Cursor::new("labels", rest);
    let text = read_bytes(&mut cursor).ok()?;
    Some((text, at + cursor.position()))
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Writes the set as PromQL does: `name{a="b", c="d"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{}={:?}", if i == 0 { "" } else { ", " }, name, value)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterates over `(name, value)` of a [`Labels`].
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl<'a> LabelsIter<'a> {
    /// Iterates over canonical bytes; it ends early at bytes that are not.
    #[must_use]
    pub fn over(canonical: &'a [u8]) -> Self {
        Self { rest: canonical }
    }

    /// The next label as bytes, which spares the look at whether they are UTF-8.
    pub fn next_bytes(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.take_bytes()?, self.take_bytes()?))
    }

    #[inline]
    fn take_bytes(&mut self) -> Option<&'a [u8]> {
        // Most texts are short: their length is one byte.
        if let [len @ 0..0x80, rest @ ..] = self.rest
            && let Some((text, rest)) = rest.split_at_checked(usize::from(*len))
        {
            self.rest = rest;
            return Some(text);
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut cursor = Cursor::new("labels", self.rest);
        let text = read_bytes(&mut cursor).ok()?;
        self.rest = cursor.rest();
        Some(text)
    }
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, value) = self.next_bytes()?;
        Some((as_text(name).ok()?, as_text(value).ok()?))
    }
}

/// Edits a label set: set, remove, then build.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes the label, as in Prometheus.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.remove(name);
        }
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes `name` if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The value of `name` as it stands.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The finished set. Names are unique by construction; an empty name is dropped.
    #[must_use]
    pub fn build(mut self) -> Labels {
        self.pairs.sort();
        let mut bytes = Vec::new();
        for (name, value) in self.pairs.iter().filter(|(n, _)| !n.is_empty()) {
            push_pair(&mut bytes, name, value);
        }
        Labels(Arc::from(bytes))
    }
}

fn push_pair(bytes: &mut Vec<u8>, name: &str, value: &str) {
    put_varint(bytes, name.len() as u64);
    bytes.extend_from_slice(name.as_bytes());
    put_varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value.as_bytes());
}

fn read_bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], LabelError> {
    // Most texts are short: their length is one byte.
    if let [len @ 0..0x80, rest @ ..] = cursor.rest()
        && let Some(text) = rest.get(..usize::from(*len))
    {
        let taken = cursor.take(1 + text.len()).map_err(|_| LabelError::Truncated)?;
        return Ok(&taken[1..]);
    }
    cursor.length_prefixed().map_err(|_| LabelError::Truncated)
}

fn as_text(bytes: &[u8]) -> Result<&str, LabelError> {
    std::str::from_utf8(bytes).map_err(|_| LabelError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_dropped() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", "")]).expect("valid");
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(Labels::from_canonical(labels.as_bytes()), Ok(labels));
    }

    #[test]
    fn bad_sets_are_named() {
        assert_eq!(
            Labels::from_pairs([("a", "1"), ("a", "2")]),
            Err(LabelError::Duplicate("a".into()))
        );
        assert_eq!(Labels::from_pairs([("", "1")]), Err(LabelError::EmptyName));
        assert_eq!(Labels::from_canonical(&[1, b'a']), Err(LabelError::Truncated));
        assert_eq!(Labels::from_canonical(&[1, 0xff, 1, b'a']), Err(LabelError::NotUtf8));
        assert_eq!(
            Labels::from_canonical(&[1, b'b', 1, b'1', 1, b'a', 1, b'1']),
            Err(LabelError::Unsorted("a".into()))
        );
    }

    #[test]
    fn order_is_by_label_not_by_bytes() {
        let short = Labels::from_pairs([("a", "b")]).expect("valid");
        let long = Labels::from_pairs([("a", "aaaa")]).expect("valid");
        assert!(long < short);
    }

    proptest! {
        /// Names and values that begin alike, are empty ends of each other, or are long.
        #[test]
        fn order_is_that_of_the_pairs(
            sets in prop::collection::vec(
                prop::collection::btree_map("[ab]{1,3}|a{126,130}", "[ab]{1,3}|b{126,130}", 0..4),
                2),
        ) {
            let [a, b] = [0, 1].map(|i| Labels::from_pairs(sets[i].iter()).expect("valid"));
            prop_assert_eq!(a.cmp(&b), a.iter().cmp(b.iter()));
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        }
    }
}
