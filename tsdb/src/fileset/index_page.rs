//! A page of the index: up to 128 entries as packed columns, each readable without the others.
//!
//! Refs and lengths are written as differences with a sum before every sixteenth, so that a look-up
//! adds up at most fifteen of them. No page is unpacked and none is kept.

use std::ops::Range;

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_varint, put_zigzag, unzigzag};

use super::format::{BLOCK_CRC_LEN, IndexEntry, PAGE_SERIES};
use crate::codec::{pack, packed_at, packed_len, width_of};

const WHAT: &str = "fileset index page";

/// Entries between two sums.
const GROUP: usize = 16;

/// A packed column: integer `i` is `base + scale * packed[i]`.
#[derive(Clone, Copy, Debug, Default)]
struct Column<'a> {
    base: u64,
    scale: u64,
    width: u32,
    bytes: &'a [u8],
}

impl Column<'_> {
    #[inline]
    fn get(&self, at: usize) -> u64 {
        if self.width == 0 {
            return self.base;
        }
        let packed = packed_at(self.bytes, self.width, at);
        self.base.wrapping_add(self.scale.wrapping_mul(packed))
    }
}

/// How the base of a column stands in the page's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// It is 0 and left out, and so is the scale, which is 1.
    None,
    /// A varint; the scale is 1.
    Plain,
    /// A varint, and the scale.
    Scaled,
    /// A zigzag varint, and the scale.
    Signed,
}

/// The columns in the order in which they stand, and their bases.
const BASES: [Base; COLUMNS] = [
    Base::None,
    Base::None,
    Base::Plain,
    Base::None,
    Base::Plain,
    Base::Plain,
    Base::Plain,
    Base::Signed,
    Base::Scaled,
    Base::Plain,
];

const COLUMNS: usize = 10;
const REF_GAPS: usize = 0;
const REF_SUMS: usize = 1;
const LENGTHS: usize = 2;
const OFFSET_SUMS: usize = 3;
const CODECS: usize = 4;
const KINDS: usize = 5;
const COUNTS: usize = 6;
const FIRST_TIMES: usize = 7;
const SPANS: usize = 8;
const TIME_COLUMNS: usize = 9;

/// Appends a page of 1 to 128 entries, ascending by ref. The first ref stands in the directory.
pub(super) fn put_page(entries: &[IndexEntry], block_start_ns: i64, out: &mut Vec<u8>) {
    assert!((1..=PAGE_SERIES).contains(&entries.len()), "BUG: {} entries", entries.len());
    let first_ref = entries[0].series;
    let mut columns: [Vec<u64>; COLUMNS] = Default::default();
    let (mut last_ref, mut offset) = (None, 0u64);
    for (at, entry) in entries.iter().enumerate() {
        if at.is_multiple_of(GROUP) {
            columns[REF_SUMS].push(u64::from(entry.series - first_ref));
            columns[OFFSET_SUMS].push(offset);
        }
        let gap = last_ref.map_or(0, |last| u64::from(entry.series - last) - 1);
        last_ref = Some(entry.series);
        offset += u64::from(entry.len) + BLOCK_CRC_LEN as u64;
        columns[REF_GAPS].push(gap);
        columns[LENGTHS].push(u64::from(entry.len));
        columns[CODECS].push(u64::from(entry.codec));
        columns[KINDS].push(u64::from(entry.kind));
        columns[COUNTS].push(u64::from(entry.count));
        columns[FIRST_TIMES].push(entry.first_ns.wrapping_sub(block_start_ns).cast_unsigned());
        columns[SPANS].push(entry.last_ns.wrapping_sub(entry.first_ns).cast_unsigned());
        columns[TIME_COLUMNS].push(u64::from(entry.time_column));
    }
    let mut widths = [0; COLUMNS];
    for ((values, base), width) in columns.iter_mut().zip(BASES).zip(&mut widths) {
        *width = put_head(values, base, out);
    }
    for (values, width) in columns.iter().zip(widths) {
        pack(values, width, out);
    }
}

/// Appends a column's head, and leaves in `values` what is to be packed in the returned width.
fn put_head(values: &mut [u64], base: Base, out: &mut Vec<u8>) -> u32 {
    let least = match base {
        Base::None => 0,
        Base::Signed => values.iter().map(|v| v.cast_signed()).min().unwrap_or(0).cast_unsigned(),
        Base::Plain | Base::Scaled => values.iter().copied().min().unwrap_or(0),
    };
    values.iter_mut().for_each(|v| *v = v.wrapping_sub(least));
    let mut scale = 1;
    if matches!(base, Base::Scaled | Base::Signed) {
        scale = values.iter().copied().fold(0, gcd).max(1);
        values.iter_mut().for_each(|v| *v /= scale);
    }
    let width = width_of(values.iter().copied().max().unwrap_or(0));
    out.push(width as u8);
    match base {
        Base::None => {}
        Base::Plain => put_varint(out, least),
        Base::Scaled => {
            put_varint(out, least);
            put_varint(out, scale);
        }
        Base::Signed => {
            put_zigzag(out, least.cast_signed());
            put_varint(out, scale);
        }
    }
    width
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A page's columns; borrows the page's bytes, whose checksum was verified.
#[derive(Debug)]
pub(super) struct IndexPage<'a> {
    held: usize,
    first_ref: u32,
    block_start_ns: i64,
    columns: [Column<'a>; COLUMNS],
}

/// A place in a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    /// Number of the entry.
    pub(super) at: usize,
    /// How far its ref is above the page's first one.
    above: u64,
    /// Where its block starts, from the page's first block.
    pub(super) offset: u64,
}

impl<'a> IndexPage<'a> {
    /// Finds the columns in the bytes of a page of `held` entries, which is 1 to 128.
    ///
    /// # Errors
    /// [`Corrupt`], placed from the page's start, for bytes that [`put_page`] does not write.
    pub(super) fn read(
        bytes: &'a [u8],
        held: usize,
        first_ref: u32,
        block_start_ns: i64,
    ) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let mut columns = [Column { scale: 1, ..Column::default() }; COLUMNS];
        for (column, base) in columns.iter_mut().zip(BASES) {
            let at = cursor.position();
            column.width = u32::from(cursor.u8()?);
            if column.width > 64 {
                let got = format!("{} bits", column.width);
                return Err(Corrupt::new(WHAT, at, "at most 64 bits", got));
            }
            match base {
                Base::None => {}
                Base::Plain => column.base = cursor.varint()?,
                Base::Scaled => (column.base, column.scale) = (cursor.varint()?, cursor.varint()?),
                Base::Signed => {
                    column.base = unzigzag(cursor.varint()?).cast_unsigned();
                    column.scale = cursor.varint()?;
                }
            }
        }
        for (at, column) in columns.iter_mut().enumerate() {
            let is_sums = at == REF_SUMS || at == OFFSET_SUMS;
            let count = if is_sums { held.div_ceil(GROUP) } else { held };
            column.bytes = cursor.take(packed_len(count, column.width))?;
        }
        if !cursor.is_empty() {
            let got = format!("{} more bytes", cursor.remaining());
            return Err(Corrupt::new(WHAT, cursor.position(), "the end of the page", got));
        }
        Ok(Self { held, first_ref, block_start_ns, columns })
    }

    /// The first ref in it.
    pub(super) fn first_ref(&self) -> u32 {
        self.first_ref
    }

    /// The place of the entry `at`.
    pub(super) fn spot(&self, at: usize) -> Spot {
        let before = at / GROUP * GROUP..at;
        let offset = self.sum(OFFSET_SUMS, LENGTHS, before.clone(), BLOCK_CRC_LEN as u64);
        let gaps = before.start + 1..at + 1;
        Spot { at, above: self.sum(REF_SUMS, REF_GAPS, gaps, 1), offset }
    }

    /// Moves `spot` to the entry of `series`, or close to where it would be; says whether it is
    /// there. A step forward costs a few reads, others the search of a group.
    pub(super) fn seek(&self, series: u32, spot: &mut Spot) -> bool {
        let Some(wanted) = series.checked_sub(self.first_ref).map(u64::from) else { return false };
        let group = spot.at / GROUP;
        let groups = self.held.div_ceil(GROUP);
        let is_behind =
            |group: usize| group < groups && self.columns[REF_SUMS].get(group) <= wanted;
        if wanted < spot.above || is_behind(group + 1) {
            let after = (1..groups).find(|group| !is_behind(*group)).unwrap_or(groups);
            *spot = self.spot((after - 1) * GROUP);
        }
        while spot.above < wanted && spot.at + 1 < self.held {
            let len = self.columns[LENGTHS].get(spot.at);
            spot.offset = spot.offset.wrapping_add(len).wrapping_add(BLOCK_CRC_LEN as u64);
            spot.at += 1;
            let gap = self.columns[REF_GAPS].get(spot.at);
            spot.above = spot.above.wrapping_add(gap).wrapping_add(1);
        }
        spot.above == wanted
    }

    /// The entry at a place.
    pub(super) fn entry(&self, spot: Spot) -> IndexEntry {
        let at = spot.at;
        let first_ns =
            self.block_start_ns.wrapping_add(self.columns[FIRST_TIMES].get(at).cast_signed());
        IndexEntry {
            series: self.first_ref.wrapping_add(spot.above as u32),
            codec: self.columns[CODECS].get(at) as u8,
            kind: self.columns[KINDS].get(at) as u8,
            count: self.columns[COUNTS].get(at) as u32,
            first_ns,
            last_ns: first_ns.wrapping_add(self.columns[SPANS].get(at).cast_signed()),
            time_column: self.columns[TIME_COLUMNS].get(at) as u32,
            len: self.columns[LENGTHS].get(at) as u32,
        }
    }

    /// The sum before the group of `range` and the differences in it, each plus `each`.
    fn sum(&self, sums: usize, differences: usize, range: Range<usize>, each: u64) -> u64 {
        let before = self.columns[sums].get(range.start / GROUP);
        range.fold(before, |sum, at| {
            sum.wrapping_add(self.columns[differences].get(at)).wrapping_add(each)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_700_000_000_000_000_000;

    fn check(entries: &[IndexEntry]) -> usize {
        let mut bytes = Vec::new();
        put_page(entries, START, &mut bytes);
        let first = entries[0].series;
        let page = IndexPage::read(&bytes, entries.len(), first, START).expect("sound");
        let mut offset = 0;
        // One goes forward by a step, another by three or back to the start.
        let (mut next, mut far) = (Spot::default(), Spot::default());
        for (at, entry) in entries.iter().enumerate() {
            let want = Spot { at, above: u64::from(entry.series - first), offset };
            assert_eq!(page.spot(at), want);
            assert_eq!(page.entry(want), *entry);
            for near in [entry.series.wrapping_sub(1), entry.series.wrapping_add(1)] {
                let there = entries.iter().any(|e| e.series == near);
                assert_eq!(page.seek(near, &mut far), there, "{near}");
            }
            assert!(page.seek(entry.series, &mut next));
            assert_eq!(next, want);
            let other = &entries[(at * 3 + 1) % entries.len()];
            assert!(page.seek(other.series, &mut far));
            assert_eq!(page.entry(far), *other);
            offset += u64::from(entry.len) + 4;
        }
        for cut in 0..bytes.len() {
            assert!(IndexPage::read(&bytes[..cut], entries.len(), first, START).is_err());
        }
        bytes.len()
    }

    proptest! {
        #[test]
        fn any_entries_come_back(
            refs in prop::collection::btree_set(prop_oneof![any::<u32>(), 0u32..500], 1..=128),
            fields in prop::collection::vec(
                (any::<[u8; 2]>(), any::<[u32; 2]>(), 0u32..1 << 24, any::<[i64; 2]>()), 128),
            same in any::<bool>(),
        ) {
            let entries: Vec<IndexEntry> = refs.iter().enumerate().map(|(at, &series)| {
                let ([codec, kind], [count, time_column], len, [first_ns, last_ns]) =
                    fields[if same { 0 } else { at }];
                IndexEntry { series, codec, kind, count, first_ns, last_ns, time_column, len }
            }).collect();
            check(&entries);
        }
    }

    #[test]
    fn equal_fields_cost_nothing() {
        let entries: Vec<IndexEntry> = (0..128u32)
            .map(|at| IndexEntry {
                series: 1000 + at * 4 + at % 3,
                codec: 4,
                kind: 0,
                count: 480,
                first_ns: START + 1_000_000_000,
                last_ns: START + 7_186_000_000_000,
                time_column: 1,
                len: 400 + at,
            })
            .collect();
        // Three bits of a gap, seven of a length, the sums and the head.
        assert!(check(&entries) < 128 * 10 / 8 + 80);
    }
}
