//! One histogram after the other, as the commit log holds them.

use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::model::{BucketCounts, Counts, Histogram, HistogramLayout, ResetHint};
use m3rs_core::wire::{Cursor, put_varint, put_zigzag};

use super::column::is_whole;
use super::layout;

const WHAT: &str = "histogram row";

const FLOAT_COUNTS: u8 = 1;
const SAME_LAYOUT: u8 = 1 << 1;
const HINT_SHIFT: u32 = 2;
const HINT_MASK: u8 = 3;
const WHOLE_SUM: u8 = 1 << 4;
/// The count is what the buckets add up to.
const COUNT_OF_BUCKETS: u8 = 1 << 5;
const KNOWN_FLAGS: u8 = (1 << 6) - 1;

/// Writes histograms; a layout that repeats is written once.
#[derive(Debug, Default)]
pub struct RowWriter {
    layout: Option<Arc<HistogramLayout>>,
}

impl RowWriter {
    /// Appends one valid histogram.
    pub fn put(&mut self, out: &mut Vec<u8>, h: &Histogram) {
        let is_same = self.layout.as_ref().is_some_and(|l| *l == h.layout);
        let count_follows = match &h.counts {
            Counts::Integer(c) => c.count != integers_in_buckets(c),
            Counts::Float(c) => c.count.to_bits() != floats_in_buckets(c).to_bits(),
        };
        let flags = (u8::from(h.is_float()) * FLOAT_COUNTS)
            | (u8::from(is_same) * SAME_LAYOUT)
            | ((h.reset_hint as u8) << HINT_SHIFT)
            | (u8::from(is_whole(h.sum)) * WHOLE_SUM)
            | (u8::from(!count_follows) * COUNT_OF_BUCKETS);
        out.push(flags);
        if !is_same {
            layout::put(out, &h.layout);
            self.layout = Some(Arc::clone(&h.layout));
        }
        if is_whole(h.sum) {
            put_zigzag(out, h.sum as i64);
        } else {
            out.extend_from_slice(&h.sum.to_bits().to_le_bytes());
        }
        match &h.counts {
            Counts::Integer(counts) => put_integers(out, counts, count_follows),
            Counts::Float(counts) => put_floats(out, counts, count_follows),
        }
    }
}

fn put_integers(out: &mut Vec<u8>, counts: &BucketCounts<u64>, count_follows: bool) {
    if count_follows {
        put_varint(out, counts.count);
    }
    put_varint(out, counts.zero);
    for side in [&counts.positive, &counts.negative] {
        let mut before = 0u64;
        for &bucket in side {
            put_zigzag(out, bucket.wrapping_sub(before).cast_signed());
            before = bucket;
        }
    }
}

fn put_floats(out: &mut Vec<u8>, counts: &BucketCounts<f64>, count_follows: bool) {
    let count = count_follows.then_some(counts.count);
    let all = count.iter().chain([&counts.zero]).chain(&counts.positive).chain(&counts.negative);
    for v in all {
        out.extend_from_slice(&v.to_bits().to_le_bytes());
    }
}

/// Observations in all buckets. Wraps around, as reader and writer only have to agree.
pub(super) fn integers_in_buckets(counts: &BucketCounts<u64>) -> u64 {
    let sides = counts.positive.iter().chain(&counts.negative);
    sides.fold(counts.zero, |sum, &bucket| sum.wrapping_add(bucket))
}

/// Observations in all buckets, added up in their order.
pub(super) fn floats_in_buckets(counts: &BucketCounts<f64>) -> f64 {
    let sides = counts.positive.iter().chain(&counts.negative);
    sides.fold(counts.zero, |sum, &bucket| sum + bucket)
}

/// Reads what a [`RowWriter`] wrote, from its first row on.
#[derive(Debug, Default)]
pub struct RowReader {
    layout: Option<Arc<HistogramLayout>>,
}

impl RowReader {
    /// Reads one histogram, which is valid.
    ///
    /// # Errors
    /// [`Corrupt`] for bytes that no writer makes.
    pub fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<Histogram, Corrupt> {
        let at = cursor.position();
        let flags = cursor.u8()?;
        let hint = ResetHint::from_tag((flags >> HINT_SHIFT) & HINT_MASK);
        let (Some(reset_hint), 0) = (hint, flags & !KNOWN_FLAGS) else {
            return Err(Corrupt::new(WHAT, at, "known flags", format!("{flags:#x}")));
        };
        let layout = if flags & SAME_LAYOUT == 0 {
            let layout = layout::read(cursor)?;
            self.layout = Some(Arc::clone(&layout));
            layout
        } else {
            let same = self.layout.clone();
            same.ok_or_else(|| Corrupt::new(WHAT, at, "a layout before", "none"))?
        };
        let sum = match flags & WHOLE_SUM {
            0 => f64::from_bits(cursor.u64()?),
            _ => cursor.zigzag()? as f64,
        };
        let count_follows = flags & COUNT_OF_BUCKETS == 0;
        let counts = if flags & FLOAT_COUNTS == 0 {
            Counts::Integer(read_integers(cursor, &layout, count_follows)?)
        } else {
            Counts::Float(read_floats(cursor, &layout, count_follows)?)
        };
        let h = Histogram { layout, reset_hint, sum, counts };
        let valid = h.validate_counts();
        valid.map_err(|e| Corrupt::new(WHAT, at, "a valid histogram", e.to_string()))?;
        Ok(h)
    }
}

fn read_integers(
    cursor: &mut Cursor<'_>,
    layout: &HistogramLayout,
    count_follows: bool,
) -> Result<BucketCounts<u64>, Corrupt> {
    let mut counts = BucketCounts::default();
    if count_follows {
        counts.count = cursor.varint()?;
    }
    counts.zero = cursor.varint()?;
    for (side, len) in [
        (&mut counts.positive, layout.positive_len()),
        (&mut counts.negative, layout.negative_len()),
    ] {
        let len = checked_len(cursor, len, 1)?;
        side.reserve_exact(len);
        let mut before = 0u64;
        for _ in 0..len {
            before = before.wrapping_add(cursor.zigzag()?.cast_unsigned());
            side.push(before);
        }
    }
    if !count_follows {
        counts.count = integers_in_buckets(&counts);
    }
    Ok(counts)
}

fn read_floats(
    cursor: &mut Cursor<'_>,
    layout: &HistogramLayout,
    count_follows: bool,
) -> Result<BucketCounts<f64>, Corrupt> {
    let mut counts = BucketCounts::default();
    if count_follows {
        counts.count = f64::from_bits(cursor.u64()?);
    }
    counts.zero = f64::from_bits(cursor.u64()?);
    for (side, len) in [
        (&mut counts.positive, layout.positive_len()),
        (&mut counts.negative, layout.negative_len()),
    ] {
        let len = checked_len(cursor, len, 8)?;
        side.reserve_exact(len);
        for _ in 0..len {
            side.push(f64::from_bits(cursor.u64()?));
        }
    }
    if !count_follows {
        counts.count = floats_in_buckets(&counts);
    }
    Ok(counts)
}

/// The number of buckets, once there are bytes for that many.
fn checked_len(cursor: &Cursor<'_>, len: u64, item_len: usize) -> Result<usize, Corrupt> {
    let most = cursor.remaining() / item_len;
    usize::try_from(len).ok().filter(|&n| n <= most).ok_or_else(|| {
        let got = format!("bytes for {most}");
        Corrupt::new(WHAT, cursor.position(), format!("{len} buckets"), got)
    })
}
