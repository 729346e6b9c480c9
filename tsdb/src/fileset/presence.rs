//! The exact set of a file's series, as a roaring bitmap in its portable serialisation.
//!
//! A look-up asks the bytes where they lie: nothing is unpacked but 16 bytes for 65,536 refs.

use std::io;
use std::sync::OnceLock;

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;
use m3rs_core::wire::checksum::{check_crc, crc32};
use roaring::RoaringBitmap;

use super::format::FilesetTotals;

const WHAT: &str = "fileset series set";

/// The first two bytes of a set without containers of runs, and of one with some.
const COOKIE: u32 = 12_346;
const COOKIE_RUNS: u32 = 12_347;

/// Sets with runs have offsets of their containers from that many on.
const OFFSETS_FROM: usize = 4;

/// The most members that a container lists one by one.
const ARRAY_MAX: u32 = 4096;

const BITMAP_LEN: usize = 8192;

/// The section's bytes.
pub(super) fn put(mut series: RoaringBitmap) -> io::Result<Vec<u8>> {
    series.optimize();
    let mut bytes = Vec::with_capacity(series.serialized_size());
    series.serialize_into(&mut bytes)?;
    Ok(bytes)
}

/// Reads the set, and holds it against what the file says of its series.
pub(super) fn read(
    bytes: &[u8],
    crc: u32,
    totals: &FilesetTotals,
) -> Result<RoaringBitmap, Corrupt> {
    check_crc(WHAT, 0, crc32(bytes), crc)?;
    let mut rest = bytes;
    let set = RoaringBitmap::deserialize_from(&mut rest)
        .map_err(|e| Corrupt::new(WHAT, 0, "a roaring bitmap", e.to_string()))?;
    let bounds = |set: &RoaringBitmap| (set.min().unwrap_or(0), set.max().unwrap_or(0));
    let is_right = rest.is_empty()
        && set.len() == u64::from(totals.series)
        && bounds(&set) == (totals.series_min, totals.series_max);
    if is_right {
        return Ok(set);
    }
    let FilesetTotals { series, series_min, series_max, .. } = totals;
    let want = format!("{series} series from {series_min} to {series_max}");
    let (min, max) = bounds(&set);
    Err(Corrupt::new(WHAT, 0, want, format!("{} from {min} to {max}", set.len())))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Array,
    Bitmap,
    Runs,
}

/// The members with the same upper 16 bits.
#[derive(Clone, Copy, Debug)]
struct Container {
    key: u16,
    form: Form,
    /// Members of an array, or runs.
    count: u32,
    /// Where they start in the section.
    at: usize,
}

/// Where the containers of a set lie, once it was checked.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Empty inside if the set is damaged.
    containers: OnceLock<Option<Box<[Container]>>>,
}

impl Presence {
    /// Whether the set in `bytes` has `series`; `None` if the set is damaged, which `read` tells
    /// at the first call.
    pub(super) fn contains(
        &self,
        bytes: &[u8],
        series: u32,
        read: impl FnOnce() -> Result<RoaringBitmap, Corrupt>,
    ) -> Option<bool> {
        let containers = self.containers.get_or_init(|| {
            read().ok()?;
            containers(bytes).ok()
        });
        let containers = containers.as_deref()?;
        let (key, low) = ((series >> 16) as u16, series as u16);
        match containers.binary_search_by_key(&key, |container| container.key) {
            Ok(at) => containers[at].contains(bytes, low),
            Err(_) => Some(false),
        }
    }
}

impl Container {
    /// `None` if it is not inside `bytes`.
    fn contains(&self, bytes: &[u8], low: u16) -> Option<bool> {
        let count = self.count as usize;
        match self.form {
            Form::Bitmap => {
                let byte = bytes.get(self.at..self.at + BITMAP_LEN)?[usize::from(low / 8)];
                Some(byte >> (low % 8) & 1 == 1)
            }
            Form::Array => {
                let (members, _) = bytes.get(self.at..self.at + 2 * count)?.as_chunks::<2>();
                Some(members.binary_search_by_key(&low, |m| u16::from_le_bytes(*m)).is_ok())
            }
            Form::Runs => {
                let (runs, _) = bytes.get(self.at..self.at + 4 * count)?.as_chunks::<4>();
                let after = runs.partition_point(|[a, b, ..]| u16::from_le_bytes([*a, *b]) <= low);
                let Some(run) = after.checked_sub(1) else { return Some(false) };
                let [a, b, c, d] = runs[run];
                let (start, more) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
                Some(low - start <= more)
            }
        }
    }
}

/// Finds the containers of a set that was read whole.
fn containers(bytes: &[u8]) -> Result<Box<[Container]>, Corrupt> {
    let mut cursor = Cursor::new(WHAT, bytes);
    let cookie = cursor.u32()?;
    let (count, runs): (usize, &[u8]) = match cookie & 0xffff {
        COOKIE_RUNS => {
            let count = (cookie >> 16) as usize + 1;
            (count, cursor.take(count.div_ceil(8))?)
        }
        _ if cookie == COOKIE => (cursor.u32()? as usize, &[]),
        _ => return Err(Corrupt::new(WHAT, 0, "a roaring bitmap", format!("{cookie:#x}"))),
    };
    let (heads, _) = cursor.take(count.saturating_mul(4))?.as_chunks::<4>();
    if runs.is_empty() || count >= OFFSETS_FROM {
        cursor.take(count.saturating_mul(4))?;
    }
    let mut found = Vec::with_capacity(count);
    for (number, [a, b, c, d]) in heads.iter().enumerate() {
        let key = u16::from_le_bytes([*a, *b]);
        let members = u32::from(u16::from_le_bytes([*c, *d])) + 1;
        let is_runs = runs.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1);
        let (form, count, len) = if is_runs {
            let count = u32::from(cursor.u16()?);
            (Form::Runs, count, 4 * count as usize)
        } else if members <= ARRAY_MAX {
            (Form::Array, members, 2 * members as usize)
        } else {
            (Form::Bitmap, 0, BITMAP_LEN)
        };
        found.push(Container { key, form, count, at: cursor.position() });
        cursor.take(len)?;
    }
    Ok(found.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn totals(set: &BTreeSet<u32>) -> FilesetTotals {
        FilesetTotals {
            series: u32::try_from(set.len()).expect("few"),
            series_min: set.first().copied().unwrap_or(0),
            series_max: set.last().copied().unwrap_or(0),
            ..FilesetTotals::default()
        }
    }

    fn check(set: &BTreeSet<u32>, asked: impl Iterator<Item = u32>) -> usize {
        let bytes = put(set.iter().copied().collect()).expect("memory");
        let read_back = || read(&bytes, crc32(&bytes), &totals(set));
        assert!(read_back().expect("sound").iter().eq(set.iter().copied()));
        let presence = Presence::default();
        for series in asked {
            let found = presence.contains(&bytes, series, read_back);
            assert_eq!(found, Some(set.contains(&series)), "{series}");
        }
        bytes.len()
    }

    fn around(set: &BTreeSet<u32>) -> impl Iterator<Item = u32> + '_ {
        let near = |&s: &u32| [s.wrapping_sub(1), s, s.wrapping_add(1), s ^ 0x1_0000];
        set.iter().flat_map(near).chain([0, u32::MAX])
    }

    #[test]
    fn every_form_is_asked_where_it_lies() {
        let arrays: BTreeSet<u32> = (0..9000u32).map(|i| i * 977).collect();
        let bitmaps: BTreeSet<u32> = (0..90_000u32).filter(|i| i % 4 == 1 || i % 7 == 2).collect();
        let few_runs: BTreeSet<u32> = (10..70_000).chain(100_000..100_003).collect();
        let runs: BTreeSet<u32> = (0..6).flat_map(|i| i << 16..(i << 16) + 40_000).collect();
        let mixed: BTreeSet<u32> = arrays.iter().chain(&bitmaps).chain(&runs).copied().collect();
        for set in [&arrays, &bitmaps, &few_runs, &runs, &mixed] {
            check(set, around(set));
        }
        assert!(check(&few_runs, 0..9) < 40, "runs where they are smaller");
        assert!(check(&bitmaps, 0..9) < 17_000);
    }

    #[test]
    fn a_damaged_set_says_nothing() {
        let set = BTreeSet::from([5, 6, 7, 90_000]);
        let bytes = put(set.iter().copied().collect()).expect("memory");
        let crc = crc32(&bytes);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let read = || read(&flipped, crc, &totals(&set));
            assert_eq!(Presence::default().contains(&flipped, 5, read), None, "byte {at}");
        }
        assert!(read(&bytes, crc, &totals(&BTreeSet::from([5, 90_000]))).is_err());
    }

    proptest! {
        #[test]
        fn sets_come_back(
            spans in prop::collection::vec((0u32..300_000, 0u32..3000, 1usize..9), 0..12),
            others in prop::collection::btree_set(any::<u32>(), 0..20),
        ) {
            let spans = spans.into_iter().flat_map(|(start, len, step)| {
                (start..start + len).step_by(step)
            });
            let set: BTreeSet<u32> = spans.chain(others).collect();
            check(&set, around(&set));
        }

        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let cookied = [&COOKIE_RUNS.to_le_bytes()[..], &bytes].concat();
            for bytes in [&bytes, &cookied] {
                if let Ok(found) = containers(bytes) {
                    assert!(found.iter().all(|c| c.contains(bytes, 7).is_some()));
                }
            }
        }
    }
}
