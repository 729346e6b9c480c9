//! Label sets as bytes: grouping, matching and sorting of many series without building strings.
//!
//! Works on the canonical encoding of [`Labels`], whose invariants make its walk safe.

use std::cmp::Ordering;

use m3rs_core::model::{Labels, METRIC_NAME};
use xxhash_rust::xxh3::xxh3_64;

/// Labels that describe what a metric is, which arithmetic makes untrue.
const METADATA: [&[u8]; 3] = [b"__name__", b"__type__", b"__unit__"];

/// Whether the label goes away when a metric's name does.
#[must_use]
pub(crate) fn is_metadata(name: &[u8]) -> bool {
    name.first() == Some(&b'_') && METADATA.contains(&name)
}

/// Whether the labels have companions of the metric's name. Looks at the first labels alone, as
/// companions sort before nearly all names.
#[must_use]
pub(crate) fn has_companions(labels: &[u8]) -> bool {
    let [_, companions @ ..] = METADATA;
    Pairs::new(labels)
        .take_while(|pair| companions.iter().any(|name| pair.name <= *name))
        .any(|pair| companions.contains(&pair.name))
}

/// The labels without the metric's name and its companions.
#[must_use]
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    labels.retain(|name| !is_metadata(name.as_bytes()))
}

/// One label as it stands in the encoding.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The encoding of both.
    pub(crate) bytes: &'a [u8],
}

/// Walks the labels of a canonical encoding.
pub(crate) struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        let bytes = self.rest;
        let (name, rest) = take(bytes)?;
        let (value, rest) = take(rest)?;
        self.rest = rest;
        Some(Pair { name, value, bytes: &bytes[..bytes.len() - rest.len()] })
    }
}

/// Takes a length and as many bytes.
#[inline]
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut len = usize::from(first & 0x7f);
    if first >= 0x80 {
        let mut shift = 7;
        loop {
            let (&byte, next) = rest.split_first()?;
            rest = next;
            len |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
            if shift > 56 {
                return None;
            }
        }
    }
    rest.split_at_checked(len)
}

/// Which labels of a set count.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    /// Sorted.
    names: Vec<Vec<u8>>,
    keeps: bool,
    drops_metadata: bool,
}

impl Projection {
    /// Every label.
    pub(crate) fn all() -> Self {
        Self { names: Vec::new(), keeps: false, drops_metadata: false }
    }

    /// Only `names`.
    pub(crate) fn keeping<S: AsRef<str>>(names: &[S]) -> Self {
        Self { names: sorted(names), keeps: true, drops_metadata: false }
    }

    /// All but `names`.
    pub(crate) fn dropping<S: AsRef<str>>(names: &[S]) -> Self {
        Self { names: sorted(names), keeps: false, drops_metadata: false }
    }

    /// All but `names` and the metric's name.
    pub(crate) fn dropping_with_name<S: AsRef<str>>(names: &[S]) -> Self {
        let mut projection = Self::dropping(names);
        projection.names.push(METRIC_NAME.as_bytes().to_vec());
        projection.names.sort();
        projection
    }

    /// The same without metadata labels, if `drops` is set.
    pub(crate) fn and_metadata(mut self, drops: bool) -> Self {
        self.drops_metadata |= drops;
        self
    }

    /// Whether no label counts.
    pub(crate) fn is_empty(&self) -> bool {
        self.keeps && self.names.is_empty()
    }

    fn counts(&self, name: &[u8]) -> bool {
        if self.drops_metadata && is_metadata(name) {
            return false;
        }
        self.names.iter().any(|n| n == name) == self.keeps
    }

    /// Puts the encoding of the labels that count into `out`, which is cleared first.
    pub(crate) fn apply(&self, labels: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for pair in Pairs::new(labels) {
            if self.counts(pair.name) {
                out.extend_from_slice(pair.bytes);
            }
        }
    }

    /// The labels that count.
    pub(crate) fn labels(&self, labels: &Labels) -> Labels {
        labels.retain(|name| self.counts(name.as_bytes()))
    }
}

fn sorted<S: AsRef<str>>(names: &[S]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = names.iter().map(|n| n.as_ref().as_bytes().to_vec()).collect();
    names.sort();
    names
}

/// Prometheus's order of label sets, on encodings: label by label, name before value.
#[must_use]
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (Pairs::new(a), Pairs::new(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                if x.bytes != y.bytes {
                    return x.name.cmp(y.name).then_with(|| x.value.cmp(y.value));
                }
            }
        }
    }
}

/// The hash that Prometheus takes of a label set in its default build.
#[must_use]
pub(crate) fn prometheus_hash(labels: &[u8]) -> u64 {
    let mut bytes = Vec::with_capacity(labels.len() + 8);
    for pair in Pairs::new(labels) {
        for text in [pair.name, pair.value] {
            // PARITY(prometheus): lengths under 255 in a byte, others as 255 and three bytes.
            match u8::try_from(text.len()) {
                Ok(len) if len < 255 => bytes.push(len),
                _ => {
                    let len = text.len();
                    bytes.extend([255, len as u8, (len >> 8) as u8, (len >> 16) as u8]);
                }
            }
            bytes.extend_from_slice(text);
        }
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0)
}

/// Numbers for byte strings, in order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    table: hashbrown::HashTable<u32>,
    bytes: Vec<u8>,
    /// The end of each key in `bytes`, and its hash.
    ends: Vec<(usize, u64)>,
}

impl Dictionary {
    /// The number of `key`, a new one if it is new.
    pub(crate) fn number(&mut self, key: &[u8]) -> u32 {
        let Self { table, bytes, ends } = self;
        let hash = xxh3_64(key);
        if let Some(&found) = table.find(hash, |&n| key_at(bytes, ends, n) == key) {
            return found;
        }
        let number = u32::try_from(ends.len()).expect("BUG: more keys than series");
        bytes.extend_from_slice(key);
        ends.push((bytes.len(), hash));
        table.insert_unique(hash, number, |&n| ends[n as usize].1);
        number
    }

    /// The key of a number.
    pub(crate) fn key(&self, number: u32) -> &[u8] {
        key_at(&self.bytes, &self.ends, number)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The label set that a key is.
    pub(crate) fn labels(&self, number: u32) -> Labels {
        Labels::from_canonical(self.key(number)).expect("BUG: keys are cut from label sets")
    }
}

fn key_at<'a>(bytes: &'a [u8], ends: &[(usize, u64)], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1].0 };
    &bytes[start..ends[number].0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn walk_reads_long_values() {
        let long = "x".repeat(300);
        let set = labels(&[("a", &long), ("b", "2")]);
        let walked: Vec<_> = Pairs::new(set.as_bytes()).map(|p| (p.name, p.value)).collect();
        assert_eq!(walked, [(&b"a"[..], long.as_bytes()), (&b"b"[..], &b"2"[..])]);
    }

    #[test]
    fn projections_cut() {
        let set = labels(&[("__name__", "up"), ("__type__", "gauge"), ("a", "1"), ("b", "2")]);
        let mut out = Vec::new();
        Projection::keeping(&["b", "__name__"]).apply(set.as_bytes(), &mut out);
        assert_eq!(out, labels(&[("__name__", "up"), ("b", "2")]).as_bytes());
        Projection::keeping(&["b", "__name__"]).and_metadata(true).apply(set.as_bytes(), &mut out);
        assert_eq!(out, labels(&[("b", "2")]).as_bytes());
        Projection::dropping_with_name(&["a"]).apply(set.as_bytes(), &mut out);
        assert_eq!(out, labels(&[("__type__", "gauge"), ("b", "2")]).as_bytes());
        assert_eq!(without_metadata(&set), labels(&[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn companions_are_found() {
        for (pairs, expected) in [
            (&[("__name__", "up"), ("a", "1")][..], false),
            (&[("__name__", "up"), ("__type__", "gauge")], true),
            (&[("A", "0"), ("__name__", "up"), ("__p", "x"), ("__unit__", "s"), ("a", "1")], true),
            (&[("__unit__", "s")], true),
            (&[("__v", "x"), ("a", "1")], false),
            (&[], false),
        ] {
            assert_eq!(has_companions(labels(pairs).as_bytes()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn order_is_that_of_labels() {
        let sets = [
            labels(&[]),
            labels(&[("a", "b")]),
            labels(&[("a", "aaaa")]),
            labels(&[("a", "aaaa"), ("b", "1")]),
            labels(&[("b", "1")]),
        ];
        for x in &sets {
            for y in &sets {
                assert_eq!(compare(x.as_bytes(), y.as_bytes()), x.cmp(y));
            }
        }
    }

    #[test]
    fn dictionary_numbers_by_first_appearance() {
        let mut dictionary = Dictionary::default();
        assert_eq!(dictionary.number(b"x"), 0);
        assert_eq!(dictionary.number(b""), 1);
        assert_eq!(dictionary.number(b"x"), 0);
        for i in 0..1000u32 {
            assert_eq!(dictionary.number(format!("k{i}").as_bytes()), i + 2);
        }
        assert_eq!(dictionary.key(5), b"k3");
    }
}
