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
    Few(Vec<u32>),
    /// Shared with snapshots: an append copies the bitmap if one is held at that moment.
    Bitmap(Arc<RoaringBitmap>),
}

impl List {
    /// Appends `ordinal`, which is larger than all before it.
    pub(crate) fn push(&mut self, ordinal: u32) {
        match self {
            Self::One(first) => {
                let mut list = Vec::with_capacity(4);
                list.extend([*first, ordinal]);
                *self = Self::Few(list);
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
            Self::Few(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    /// The list as it stands.
    pub(crate) fn snapshot(&self) -> Postings {
        match self {
            Self::One(ordinal) => Postings::Sorted(vec![*ordinal]),
            Self::Few(list) => Postings::Sorted(list.clone()),
            Self::Bitmap(bitmap) => Postings::Bitmap(Arc::clone(bitmap)),
        }
    }
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
