//! Checks a dictionary before the automaton library reads it: the library trusts its bytes, and
//! would panic at an address or a size that cannot be.
//!
//! A dictionary is an fst of version 3. Its nodes lie one after the other and are read backwards,
//! from the last byte of each, which is the node's address. Their transitions lead to nodes before
//! them. So one pass from the end meets every node, and knows at the end whether each transition
//! led to one.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

const WHAT: &str = "index dictionary";

/// The library's version of the bytes.
const VERSION: u64 = 3;
/// Version and type: the first node starts here.
const HEADER_LEN: usize = 16;
/// Number of keys, address of the root, checksum of the library.
const TRAILER_LEN: usize = 8 + 8 + 4;
/// A node of more transitions has a table of 256 bytes that finds them.
const TABLE_MIN: usize = 32;
/// Bytes of the widest packed number.
const PACKED_LEN_MAX: usize = 8;

/// Checks that `bytes` can be walked from any key, and yields numbers below 2^32 only.
///
/// Cost: one pass, a bit of memory for each byte.
pub(super) fn check(bytes: &[u8], value_count: u32) -> Result<(), Corrupt> {
    let bad = |at: usize, expected: &str, got: String| Corrupt::new(WHAT, at, expected, got);
    let nodes_end = bytes.len().saturating_sub(TRAILER_LEN);
    if nodes_end < HEADER_LEN {
        return Err(bad(0, "a header, nodes and a trailer", format!("{} bytes", bytes.len())));
    }
    let version = Cursor::new(WHAT, bytes).u64()?;
    if version != VERSION {
        return Err(bad(0, "version 3", version.to_string()));
    }
    let mut trailer = Cursor::new(WHAT, &bytes[nodes_end..]);
    let (count, root) = (trailer.u64()?, trailer.u64()?);
    if count != u64::from(value_count) {
        let expected = format!("{value_count} values");
        return Err(Corrupt::new(WHAT, nodes_end, expected, count.to_string()));
    }
    if nodes_end == HEADER_LEN {
        // The empty value alone needs no node: its root is the one without bytes.
        return match (count, root) {
            (1, 0) => Ok(()),
            _ => Err(bad(nodes_end, "one value, root 0", format!("{count} values, root {root}"))),
        };
    }
    if root != nodes_end as u64 - 1 {
        return Err(bad(nodes_end + 8, "a root at the end of the nodes", root.to_string()));
    }
    let mut back = Backwards { bytes, end: nodes_end };
    let mut awaited = Awaited::new(nodes_end);
    while back.end > HEADER_LEN {
        let address = back.end - 1;
        awaited.meet(address);
        let sound = node(&mut back, value_count, &mut awaited);
        if sound.is_none() {
            return Err(bad(address, "a node", "impossible bytes".to_owned()));
        }
    }
    match awaited.count {
        0 => Ok(()),
        count => Err(bad(0, "transitions that lead to nodes", format!("{count} others"))),
    }
}

/// Reads one node; `None` if it cannot be.
fn node(back: &mut Backwards<'_>, value_count: u32, awaited: &mut Awaited) -> Option<()> {
    let state = back.byte()?;
    let has_one = state & 0x80 != 0;
    let low = usize::from(state & 0x3f);
    if has_one && low == 0 {
        // The input, where it is not one of the common ones that the state names.
        back.byte()?;
    }
    if has_one && state & 0x40 != 0 {
        return awaited.add(back.end, 1);
    }
    let transitions = match (has_one, low) {
        (true, _) => 1,
        (false, 0) => match back.byte()? {
            1 => 256,
            n => usize::from(n),
        },
        (false, n) => n,
    };
    let sizes = back.byte()?;
    let (address_len, output_len) = (usize::from(sizes >> 4), usize::from(sizes & 0x0f));
    if address_len > PACKED_LEN_MAX
        || output_len > PACKED_LEN_MAX
        || (address_len == 0 && transitions > 0)
    {
        return None;
    }
    if !has_one {
        back.take(if transitions > TABLE_MIN { 256 } else { 0 })?;
        back.take(transitions)?;
    }
    let addresses = back.take(transitions * address_len)?;
    let is_final = !has_one && state & 0x40 != 0;
    let outputs = back.take((transitions + usize::from(is_final)) * output_len)?;
    if address_len > 0 {
        for distance in addresses.chunks_exact(address_len).map(packed) {
            // 0 is the node without bytes that ends most keys.
            if distance != 0 {
                awaited.add(back.end, distance)?;
            }
        }
    }
    // Outputs are added up along a key: small ones cannot overflow.
    let is_small = |output: &[u8]| packed(output) < u64::from(value_count);
    (output_len == 0 || outputs.chunks_exact(output_len).all(is_small)).then_some(())
}

fn packed(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Takes bytes from the end, down to the header.
struct Backwards<'a> {
    bytes: &'a [u8],
    end: usize,
}

impl<'a> Backwards<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let start = self.end.checked_sub(n).filter(|&start| start >= HEADER_LEN)?;
        let taken = &self.bytes[start..self.end];
        self.end = start;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
}

/// Addresses that transitions lead to, until a node is met there.
struct Awaited {
    bits: Vec<u64>,
    count: usize,
}

impl Awaited {
    fn new(len: usize) -> Self {
        Self { bits: vec![0; len.div_ceil(64)], count: 0 }
    }

    /// Awaits the node `distance` bytes before `start`; `None` if no node can be there.
    fn add(&mut self, start: usize, distance: u64) -> Option<()> {
        let distance = usize::try_from(distance).ok()?;
        let address = start.checked_sub(distance).filter(|&a| a >= HEADER_LEN)?;
        let (word, bit) = (address / 64, 1u64 << (address % 64));
        self.count += usize::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
        Some(())
    }

    fn meet(&mut self, address: usize) {
        let (word, bit) = (address / 64, 1u64 << (address % 64));
        self.count -= usize::from(self.bits[word] & bit != 0);
        self.bits[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use fst::Streamer;
    use proptest::prelude::*;

    use super::*;

    fn dictionary(values: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, u32) {
        let mut builder = fst::MapBuilder::memory();
        let mut count = 0u32;
        for value in values {
            builder.insert(value, u64::from(count)).expect("ascending");
            count += 1;
        }
        (builder.into_inner().expect("memory"), count)
    }

    /// Walks whatever is sound; the library panics if it is not.
    fn walk(bytes: &[u8]) {
        let Ok(map) = fst::Map::new(bytes) else { return };
        let mut stream = map.stream();
        let mut steps = 0;
        while let Some((key, _)) = stream.next() {
            let _number = map.get(key);
            steps += 1;
            if steps == 10_000 {
                break;
            }
        }
        for key in ["", "a", "ab", "zzz"] {
            let _number = map.get(key);
        }
    }

    #[test]
    fn wide_nodes_are_read() {
        for width in [31u8, 32, 33, 64, 255] {
            let pairs = (0..=width).flat_map(|a| [vec![a], vec![a, 7], vec![a, 7, a]]);
            let (bytes, count) = dictionary(pairs);
            check(&bytes, count).expect("sound");
        }
    }

    #[test]
    fn the_empty_value_alone_has_no_node() {
        let (bytes, count) = dictionary([Vec::new()]);
        assert_eq!((bytes.len(), count), (HEADER_LEN + TRAILER_LEN, 1));
        check(&bytes, 1).expect("sound");
        assert!(check(&bytes, 0).is_err() && check(&bytes, 2).is_err());
        for at in HEADER_LEN..HEADER_LEN + 16 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(check(&bytes, 1).is_err(), "byte {at}");
        }
        assert!(check(&bytes[..bytes.len() - 1], 1).is_err());
    }

    proptest! {
        #[test]
        fn what_the_library_writes_is_sound(
            values in proptest::collection::btree_set("[a-f\u{0}\u{e9}]{0,7}", 1..200),
        ) {
            let (bytes, count) = dictionary(values.into_iter().map(String::into_bytes));
            prop_assert_eq!(check(&bytes, count), Ok(()));
            prop_assert!(check(&bytes, count + 1).is_err());
        }

        #[test]
        fn what_is_sound_can_be_walked(
            values in proptest::collection::btree_set("[a-d\u{e9}]{0,5}", 1..60),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let (mut bytes, count) = dictionary(values.into_iter().map(String::into_bytes));
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if check(&bytes, count).is_ok() {
                walk(&bytes);
            }
        }

        #[test]
        fn any_bytes_are_sound_or_refused(
            nodes in proptest::collection::vec(any::<u8>(), 1..60),
            count in 0u32..9,
        ) {
            let mut bytes = VERSION.to_le_bytes().to_vec();
            bytes.extend([0; 8]);
            bytes.extend(&nodes);
            let root = bytes.len() as u64 - 1;
            bytes.extend(u64::from(count).to_le_bytes());
            bytes.extend(root.to_le_bytes());
            bytes.extend([0; 4]);
            if check(&bytes, count).is_ok() {
                walk(&bytes);
            }
        }
    }
}
