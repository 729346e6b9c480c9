//! A list that documents are appended to.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Postings;

/// Entries before a list may become a bitmap.
const FEW_MAX: usize = 64;

/// A list becomes a bitmap once its members lie closer than this on average: 32 members in one
/// container of 65,536 repay the container's header.
const SPREAD_MAX: u32 = 2_048;

/// Ascending ordinals; grows at its end only.
#[derive(Debug)]
pub(crate) enum List {
    /// Most values of a unique label have one document: no allocation for these.
    One(u32),
    /// Two or more that follow each other: labels that all documents have, and runs of one target.
    Run {
        first: u32,
        last: u32,
    },
    Few(Vec<u32>),
    /// Shared with snapshots: an append copies the bitmap if one is held at that moment.
    Bitmap(Arc<RoaringBitmap>),
}

impl List {
    /// Appends `ordinal`, which is larger than all before it.
    pub(crate) fn push(&mut self, ordinal: u32) {
        match self {
            Self::One(first) if ordinal == *first + 1 => {
                *self = Self::Run { first: *first, last: ordinal };
            }
            Self::One(first) => {
                let mut list = Vec::with_capacity(4);
                list.extend([*first, ordinal]);
                *self = Self::Few(list);
            }
            Self::Run { last, .. } if ordinal == *last + 1 => *last = ordinal,
            Self::Run { first, last } if (*last - *first) as usize <= FEW_MAX => {
                *self = Self::Few((*first..=*last).chain([ordinal]).collect());
            }
            Self::Run { first, last } => {
                let mut bitmap = range(*first, *last);
                push(&mut bitmap, ordinal);
                *self = Self::Bitmap(Arc::new(bitmap));
            }
            Self::Few(list) => {
                if list.len() == list.capacity() && list.len() >= FEW_MAX && is_dense(list) {
                    let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                    push(&mut bitmap, ordinal);
                    *self = Self::Bitmap(Arc::new(bitmap));
                } else {
                    list.push(ordinal);
                }
            }
            Self::Bitmap(bitmap) => push(Arc::make_mut(bitmap), ordinal),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Run { first, last } => u64::from(last - first) + 1,
            Self::Few(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    /// The list as it stands.
    pub(crate) fn snapshot(&self) -> Postings {
        match self {
            Self::One(ordinal) => Postings::Sorted(vec![*ordinal]),
            Self::Run { first, last } if (last - first) as usize <= FEW_MAX => {
                Postings::Sorted((*first..=*last).collect())
            }
            Self::Run { first, last } => Postings::from(range(*first, *last)),
            Self::Few(list) => Postings::Sorted(list.clone()),
            Self::Bitmap(bitmap) => Postings::Bitmap(Arc::clone(bitmap)),
        }
    }
}

fn range(first: u32, last: u32) -> RoaringBitmap {
    let mut bitmap = RoaringBitmap::new();
    bitmap.insert_range(first..=last);
    bitmap
}

fn is_dense(list: &[u32]) -> bool {
    match (list.first(), list.last()) {
        (Some(first), Some(last)) => (last - first) / list.len() as u32 <= SPREAD_MAX,
        _ => false,
    }
}

fn push(bitmap: &mut RoaringBitmap, ordinal: u32) {
    bitmap.try_push(ordinal).expect("BUG: ordinals are appended in ascending order");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs, short steps, and gaps so wide that a list is not dense; each several times.
    fn steps() -> impl Strategy<Value = Vec<(u32, usize)>> {
        let step = prop_oneof![
            6 => (1u32..2, 1usize..90),
            2 => (1u32..9, 1usize..20),
            1 => (1u32..9_000, 1usize..9),
        ];
        proptest::collection::vec(step, 0..12)
    }

    proptest! {
        #[test]
        fn a_list_is_what_was_appended(first in 0u32..100_000, steps in steps()) {
            let (mut list, mut want) = (List::One(first), vec![first]);
            let mut last = first;
            for (step, times) in steps {
                for _ in 0..times {
                    last += step;
                    list.push(last);
                    want.push(last);
                }
                prop_assert_eq!(list.len(), want.len() as u64);
                prop_assert_eq!(list.snapshot().to_vec(), want.clone());
            }
        }
    }

    #[test]
    fn forms_follow_what_comes() {
        let mut list = List::One(5);
        (6..100_000).for_each(|ordinal| list.push(ordinal));
        assert!(matches!(list, List::Run { first: 5, last: 99_999 }), "{list:?}");
        let before = list.snapshot();
        list.push(100_001);
        assert!(matches!(list, List::Bitmap(_)));
        assert_eq!((before.len(), list.len()), (99_995, 99_996));
        let mut sparse = List::One(0);
        (1..500).for_each(|i| sparse.push(i * 5_000));
        assert!(matches!(sparse, List::Few(_)), "a sparse list repays no bitmap");
    }
}
