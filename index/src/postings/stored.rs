//! Postings as bytes: a varint, varint deltas, or a serialised roaring bitmap.
//!
//! Which of the two long forms is used depends on their size alone. The number of members and the
//! form are kept with the term, not here.

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_varint};
use roaring::RoaringBitmap;

use super::Postings;

const WHAT: &str = "index postings";

/// Where a stored set lies, and its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Bytes.
    pub(crate) len: u64,
    /// Members.
    pub(crate) count: u64,
    pub(crate) is_bitmap: bool,
}

/// Appends `ordinals` (ascending) to `out`; `scratch` is reused between calls.
pub(crate) fn encode(ordinals: &[u32], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Stored {
    let start = out.len();
    let count = ordinals.len() as u64;
    scratch.clear();
    let mut last = 0;
    for &ordinal in ordinals {
        put_varint(scratch, u64::from(ordinal - last));
        last = ordinal;
    }
    // A bitmap has a header of 16 bytes or more, so short lists need not be tried.
    let bitmap = (scratch.len() > 24).then(|| {
        let mut bitmap = RoaringBitmap::from_sorted_iter(ordinals.iter().copied())
            .expect("BUG: postings are written in ascending order");
        bitmap.optimize();
        bitmap
    });
    let is_bitmap = match bitmap {
        Some(bitmap) if bitmap.serialized_size() < scratch.len() => {
            bitmap.serialize_into(&mut *out).expect("BUG: writing to memory does not fail");
            true
        }
        _ => {
            out.extend_from_slice(scratch);
            false
        }
    };
    Stored { len: (out.len() - start) as u64, count, is_bitmap }
}

/// Reads a set of ordinals below `bound`.
pub(crate) fn decode(bytes: &[u8], stored: &Stored, bound: u32) -> Result<Postings, Corrupt> {
    if stored.is_bitmap {
        let mut rest = bytes;
        let bitmap = RoaringBitmap::deserialize_from(&mut rest)
            .map_err(|e| Corrupt::new(WHAT, 0, "a roaring bitmap", e.to_string()))?;
        let is_whole = rest.is_empty()
            && bitmap.len() == stored.count
            && bitmap.max().is_none_or(|max| max < bound);
        if !is_whole {
            let got = format!("{} of maximum {:?}", bitmap.len(), bitmap.max());
            return Err(Corrupt::new(WHAT, 0, expected(stored, bound), got));
        }
        return Ok(Postings::from(bitmap));
    }
    let mut cursor = Cursor::new(WHAT, bytes);
    let mut list = Vec::with_capacity(bytes.len().min(stored.count as usize));
    let mut last = 0u64;
    while !cursor.is_empty() {
        let ahead = take_short(&bytes[cursor.position()..], &mut last, bound, &mut list);
        cursor.take(ahead)?;
        if cursor.is_empty() {
            break;
        }
        let at = cursor.position();
        let delta = cursor.varint()?;
        let next = last.checked_add(delta).filter(|&n| n < u64::from(bound));
        match next {
            Some(next) if delta > 0 || list.is_empty() => {
                list.push(next as u32);
                last = next;
            }
            _ => {
                let got = format!("{delta} after {last}");
                return Err(Corrupt::new(WHAT, at, expected(stored, bound), got));
            }
        }
    }
    if list.len() as u64 != stored.count {
        let got = format!("{} ordinals", list.len());
        return Err(Corrupt::new(WHAT, 0, expected(stored, bound), got));
    }
    Ok(Postings::Sorted(list))
}

/// Reads steps of one byte, which most are, up to one that is longer or wrong; returns how many.
fn take_short(bytes: &[u8], last: &mut u64, bound: u32, list: &mut Vec<u32>) -> usize {
    let before = list.len();
    let mut ordinal = *last as u32;
    for &step in bytes {
        let next = ordinal.saturating_add(u32::from(step));
        if step == 0 || step >= 0x80 || next >= bound {
            break;
        }
        ordinal = next;
        list.push(ordinal);
    }
    *last = u64::from(ordinal);
    list.len() - before
}

fn expected(stored: &Stored, bound: u32) -> String {
    format!("{} ascending ordinals below {bound}", stored.count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(ordinals: &[u32]) -> Stored {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        let stored = encode(ordinals, &mut scratch, &mut out);
        let bound = ordinals.last().map_or(0, |&l| l + 1);
        assert_eq!(decode(&out, &stored, bound).expect("valid").to_vec(), ordinals);
        if bound > 0 {
            assert!(decode(&out, &stored, bound - 1).is_err(), "an ordinal past the end");
        }
        let short = Stored { count: stored.count + 1, ..stored };
        assert!(decode(&out, &short, bound).is_err(), "a wrong count");
        stored
    }

    #[test]
    fn the_smaller_form_is_chosen() {
        assert!(!check(&[]).is_bitmap);
        assert_eq!(check(&[0]).len, 1);
        assert!(!check(&(0..10).map(|i| i * 10_000).collect::<Vec<_>>()).is_bitmap);
        assert!(check(&(0..10_000).collect::<Vec<_>>()).is_bitmap);
        assert!(check(&(0..10_000).map(|i| i * 2).collect::<Vec<_>>()).is_bitmap);
    }

    proptest! {
        #[test]
        fn any_set_comes_back(set in proptest::collection::btree_set(0u32..1_000_000, 0..400)) {
            check(&set.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            count in 0u64..100,
            is_bitmap: bool,
        ) {
            let stored = Stored { len: bytes.len() as u64, count, is_bitmap };
            if let Ok(postings) = decode(&bytes, &stored, 1_000) {
                prop_assert_eq!(postings.len(), count);
            }
        }
    }
}
