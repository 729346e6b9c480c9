//! The times of a closed block, as differences from the first one.
//!
//! A regular scrape takes three to five bytes whatever its length; series that are scraped
//! together have the same bytes, whenever that was, so that they can share them. Drawn in
//! `docs/formats/codecs.md`.
//!
//! Budgets: decode 1.5 ns, encode 10 ns a time.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

use super::integers;
use super::values::COUNT_MAX;

/// Encodes times, in memory that it keeps.
#[derive(Debug, Default)]
pub struct TimeEncoder {
    differences: Vec<i64>,
    integers: integers::Scratch,
}

impl TimeEncoder {
    /// Appends times without the first one and without their number. They ascend.
    pub fn encode(&mut self, times: &[i64], out: &mut Vec<u8>) {
        let Some(&first) = times.first() else { return };
        self.differences.clear();
        self.differences.extend(times.iter().map(|t| t.wrapping_sub(first)));
        integers::encode(&self.differences, &mut self.integers, out);
    }
}

/// Reads `count` times that start with `first`, and leaves the cursor behind them.
///
/// # Errors
/// [`Corrupt`] for bytes that [`TimeEncoder`] does not write, for times that do not ascend, and
/// for more than [`COUNT_MAX`] of them. What was read before that is appended.
pub fn decode_times(
    cursor: &mut Cursor<'_>,
    count: usize,
    first: i64,
    out: &mut Vec<i64>,
) -> Result<(), Corrupt> {
    let at = cursor.position();
    if count > COUNT_MAX {
        let want = format!("at most {COUNT_MAX} times");
        return Err(Corrupt::new("times", at, want, count.to_string()));
    }
    let begin = out.len();
    integers::decode(cursor, count, first, out)?;
    let times = &out[begin..];
    let is_ascending = times.windows(2).fold(true, |sound, pair| sound & (pair[0] < pair[1]));
    if !is_ascending || times.first().is_some_and(|t| *t != first) {
        let want = format!("times that ascend from {first}");
        return Err(Corrupt::new("times", at, want, "others"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn round_trip(times: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        TimeEncoder::default().encode(times, &mut bytes);
        let (mut out, mut cursor) = (Vec::new(), Cursor::new("t", &bytes));
        decode_times(&mut cursor, times.len(), times[0], &mut out).expect("sound");
        assert!(cursor.is_empty());
        assert_eq!(out, times);
        bytes
    }

    proptest! {
        #[test]
        fn any_times_come_back(
            times in prop::collection::btree_set(any::<i64>(), 1..200),
            near in prop::collection::btree_set(-5000i64..5000, 1..200),
            unit in prop::sample::select(vec![1i64, 1000, 1_000_000, 1_000_000_000]),
        ) {
            let wide: BTreeSet<i64> = times;
            round_trip(&wide.into_iter().collect::<Vec<_>>());
            round_trip(&near.iter().map(|t| t * unit).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_borne(
            bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0usize..500,
        ) {
            let mut out = Vec::new();
            if decode_times(&mut Cursor::new("t", &bytes), count, 7, &mut out).is_ok() {
                prop_assert!(out.len() == count && out.is_sorted());
            }
        }
    }

    #[test]
    fn shapes_take_what_they_should() {
        const MS: i64 = 1_000_000;
        let regular: Vec<i64> = (0..480).map(|i| 77 * MS + i * 15_000 * MS).collect();
        let later: Vec<i64> = regular.iter().map(|t| t + 123_456_789).collect();
        assert_eq!(round_trip(&regular).len(), 3);
        assert_eq!(round_trip(&regular), round_trip(&later));
        let jittered: Vec<i64> =
            regular.iter().enumerate().map(|(i, t)| t + (i as i64 * 37 % 11 - 5) * MS).collect();
        assert!(round_trip(&jittered).len() < 480 * 5 / 8 + 20);
        let gap: Vec<i64> = regular.iter().copied().filter(|t| t % 7 != 0).collect();
        round_trip(&gap);
        let hostile = decode_times(&mut Cursor::new("t", &[5; 9]), COUNT_MAX + 1, 0, &mut vec![]);
        assert!(hostile.is_err());
    }
}
