//! Sets of documents, by ordinal inside one segment.
//!
//! Long sets are roaring bitmaps that are shared by reference count, short and sparse ones sorted
//! arrays. Both are snapshots: what is added to a list later does not show.

mod list;
mod stored;

use std::sync::Arc;

use roaring::{MultiOps, RoaringBitmap};

pub(crate) use list::List;
pub(crate) use stored::{Stored, decode, encode};

/// A sorted set of ordinals.
#[derive(Clone, Debug)]
pub(crate) enum Postings {
    Sorted(Vec<u32>),
    Bitmap(Arc<RoaringBitmap>),
}

impl Postings {
    pub(crate) fn empty() -> Self {
        Self::Sorted(Vec::new())
    }

    /// The ordinals `0..n`.
    pub(crate) fn all(n: u32) -> Self {
        let mut bitmap = RoaringBitmap::new();
        bitmap.insert_range(0..n);
        Self::from(bitmap)
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Sorted(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Sorted(list) => list.is_empty(),
            Self::Bitmap(bitmap) => bitmap.is_empty(),
        }
    }

    fn contains(&self, ordinal: u32) -> bool {
        match self {
            Self::Sorted(list) => list.binary_search(&ordinal).is_ok(),
            Self::Bitmap(bitmap) => bitmap.contains(ordinal),
        }
    }

    /// The members of both.
    pub(crate) fn and(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Sorted(mut list), other) => {
                list.retain(|&o| other.contains(o));
                Self::Sorted(list)
            }
            (Self::Bitmap(bitmap), Self::Sorted(list)) => {
                Self::Sorted(list.iter().copied().filter(|&o| bitmap.contains(o)).collect())
            }
            (Self::Bitmap(left), Self::Bitmap(right)) => Self::from(&*left & &**right),
        }
    }

    /// The members that `other` lacks.
    pub(crate) fn and_not(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Sorted(mut list), other) => {
                list.retain(|&o| !other.contains(o));
                Self::Sorted(list)
            }
            (Self::Bitmap(mut bitmap), Self::Sorted(list)) => {
                let left = Arc::make_mut(&mut bitmap);
                for &ordinal in list {
                    left.remove(ordinal);
                }
                Self::Bitmap(bitmap)
            }
            (Self::Bitmap(left), Self::Bitmap(right)) => Self::from(&*left - &**right),
        }
    }

    /// Whether the sets share a member; stops at the first.
    pub(crate) fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bitmap(left), Self::Bitmap(right)) => !left.is_disjoint(right),
            (Self::Sorted(left), Self::Sorted(right)) if right.len() < left.len() => {
                right.iter().any(|o| left.binary_search(o).is_ok())
            }
            (Self::Sorted(list), set) | (set, Self::Sorted(list)) => {
                list.iter().any(|&o| set.contains(o))
            }
        }
    }

    /// The members below `bound`.
    pub(crate) fn below(self, bound: u32) -> Self {
        match self {
            Self::Sorted(mut list) => {
                list.truncate(list.partition_point(|&o| o < bound));
                Self::Sorted(list)
            }
            Self::Bitmap(mut bitmap) => {
                if bitmap.max().is_some_and(|max| max >= bound) {
                    Arc::make_mut(&mut bitmap).remove_range(bound..);
                }
                Self::Bitmap(bitmap)
            }
        }
    }

    /// The members for which `keep` says so; it is asked in ascending order.
    pub(crate) fn retain(self, mut keep: impl FnMut(u32) -> bool) -> Self {
        match self {
            Self::Sorted(mut list) => {
                list.retain(|&o| keep(o));
                Self::Sorted(list)
            }
            Self::Bitmap(bitmap) => {
                let kept = bitmap.iter().filter(|&o| keep(o));
                let kept = RoaringBitmap::from_sorted_iter(kept);
                Self::from(kept.expect("BUG: a bitmap ascends"))
            }
        }
    }

    /// Calls `visit` with each member, ascending.
    pub(crate) fn for_each(&self, visit: impl FnMut(u32)) {
        match self {
            Self::Sorted(list) => list.iter().copied().for_each(visit),
            Self::Bitmap(bitmap) => bitmap.iter().for_each(visit),
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::Sorted(list) => list.clone(),
            Self::Bitmap(bitmap) => bitmap.iter().collect(),
        }
    }

    /// Bytes on the heap, roughly.
    pub(crate) fn heap_bytes(&self) -> u64 {
        match self {
            Self::Sorted(list) => list.capacity() as u64 * 4,
            Self::Bitmap(bitmap) => bitmap.serialized_size() as u64 + 64,
        }
    }
}

impl From<RoaringBitmap> for Postings {
    fn from(bitmap: RoaringBitmap) -> Self {
        Self::Bitmap(Arc::new(bitmap))
    }
}

/// Ordinals kept apart from the bitmap before they are sorted into it.
const LOOSE_MAX: usize = 64 << 10;

/// Bitmaps that are united at a time.
const WAITING_MAX: usize = 64;

/// Ordinals are put into bits, rather than sorted, where one comes to so many places.
const BITS_PER_ORDINAL: u32 = 512;

/// Fewer ordinals are sorted.
const BITS_MIN: usize = 2_048;

/// The set of many ordinals, in any order, that do not lie far apart.
fn bits(ordinals: &[u32]) -> Option<RoaringBitmap> {
    const WORD: u32 = u64::BITS;
    let (&least, &most) = (ordinals.iter().min()?, ordinals.iter().max()?);
    let first = least - least % WORD;
    let words = ((most - first) / WORD + 1) as usize;
    let room = ordinals.len().saturating_mul((BITS_PER_ORDINAL / WORD) as usize);
    if ordinals.len() < BITS_MIN || words > room {
        return None;
    }
    let mut bytes = vec![0u8; words * size_of::<u64>()];
    for &ordinal in ordinals {
        let at = ordinal - first;
        bytes[(at / u8::BITS) as usize] |= 1 << (at % u8::BITS);
    }
    Some(RoaringBitmap::from_lsb0_bytes(first, &bytes))
}

/// Collects the union of many sets.
#[derive(Debug, Default)]
pub(crate) struct Union {
    loose: Vec<u32>,
    waiting: Vec<Arc<RoaringBitmap>>,
    whole: RoaringBitmap,
}

impl Union {
    pub(crate) fn add(&mut self, postings: Postings) {
        match postings {
            Postings::Sorted(list) if self.loose.is_empty() => self.loose = list,
            Postings::Sorted(list) => self.add_ordinals(&list),
            Postings::Bitmap(bitmap) => {
                self.waiting.push(bitmap);
                if self.waiting.len() >= WAITING_MAX {
                    self.merge_bitmaps();
                }
            }
        }
    }

    pub(crate) fn add_ordinals(&mut self, ordinals: &[u32]) {
        self.loose.extend_from_slice(ordinals);
        if self.loose.len() >= LOOSE_MAX {
            self.merge_loose();
        }
    }

    fn merge_bitmaps(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.whole |= waiting.iter().map(|b| &**b).union();
    }

    fn merge_loose(&mut self) {
        match bits(&self.loose) {
            Some(bits) => {
                self.whole |= bits;
                self.loose.clear();
            }
            None => {
                self.loose.sort_unstable();
                self.loose.dedup();
                self.whole.extend(self.loose.drain(..));
            }
        }
    }

    pub(crate) fn finish(mut self) -> Postings {
        if self.waiting.is_empty() && self.whole.is_empty() {
            // One list is in order as it came.
            if !self.loose.is_sorted_by(|a, b| a < b) {
                if let Some(bits) = bits(&self.loose) {
                    return Postings::from(bits);
                }
                self.loose.sort_unstable();
                self.loose.dedup();
            }
            return Postings::Sorted(self.loose);
        }
        if self.waiting.len() == 1 && self.whole.is_empty() && self.loose.is_empty() {
            return Postings::Bitmap(self.waiting.remove(0));
        }
        self.merge_loose();
        self.merge_bitmaps();
        Postings::from(self.whole)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn both(set: &BTreeSet<u32>) -> [Postings; 2] {
        [
            Postings::Sorted(set.iter().copied().collect()),
            Postings::from(set.iter().copied().collect::<RoaringBitmap>()),
        ]
    }

    proptest! {
        #[test]
        fn sets_behave_like_sets(
            left in proptest::collection::btree_set(0u32..200_000, 0..60),
            right in proptest::collection::btree_set(0u32..200_000, 0..60),
            common in proptest::collection::btree_set(0u32..200_000, 0..20),
            bound in 0u32..200_000,
        ) {
            let left: BTreeSet<u32> = left.union(&common).copied().collect();
            let right: BTreeSet<u32> = right.union(&common).copied().collect();
            for a in both(&left) {
                prop_assert_eq!(
                    a.clone().below(bound).to_vec(),
                    left.range(..bound).copied().collect::<Vec<_>>()
                );
                for b in both(&right) {
                    let and: Vec<u32> = left.intersection(&right).copied().collect();
                    let not: Vec<u32> = left.difference(&right).copied().collect();
                    let or: Vec<u32> = left.union(&right).copied().collect();
                    prop_assert_eq!(a.intersects(&b), !and.is_empty());
                    let kept = a.clone().retain(|o| right.contains(&o));
                    prop_assert_eq!(kept.to_vec(), and.clone());
                    prop_assert_eq!(a.clone().and(&b).to_vec(), and);
                    prop_assert_eq!(a.clone().and_not(&b).to_vec(), not);
                    let mut union = Union::default();
                    union.add(a.clone());
                    union.add(b.clone());
                    prop_assert_eq!(union.finish().to_vec(), or);
                }
            }
        }
    }

    #[test]
    fn a_union_of_lists_is_one_set_wherever_they_lie() {
        const LEN: u32 = 1_500;
        for (first, step) in [(0, 1), (1, 3), (63, 100), (70_001, 511), (4, 900), (9, 2_000_000)] {
            let list = |from: u32| (0..LEN).map(|i| from + i * step).collect::<Vec<_>>();
            let mut union = Union::default();
            union.add(Postings::Sorted(list(first + step / 2)));
            union.add(Postings::Sorted(list(first)));
            let mut all = [list(first), list(first + step / 2)].concat();
            all.sort_unstable();
            all.dedup();
            assert_eq!(union.finish().to_vec(), all, "from {first} by {step}");
        }
    }

    #[test]
    fn a_union_of_many_sets_is_whole() {
        let mut union = Union::default();
        for i in 0..300u32 {
            let ordinals: Vec<u32> = (0..500).map(|k| k * 300 + i).collect();
            if i % 2 == 0 {
                union.add(Postings::Sorted(ordinals));
            } else {
                union.add(Postings::from(ordinals.into_iter().collect::<RoaringBitmap>()));
            }
        }
        assert_eq!(union.finish().to_vec(), (0..150_000).collect::<Vec<_>>());
    }
}
