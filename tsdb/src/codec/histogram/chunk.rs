//! A chunk: up to 128 samples of one layout and one kind of counts.

use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::model::{BucketCounts, Counts, Histogram, HistogramLayout, ResetHint};
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint, unzigzag, zigzag};

use super::bits::BitWriter;
use super::column::{
    Scratch, put_floats, put_number, put_steps, read_floats, read_number, read_steps,
};
use super::row::{floats_in_buckets, integers_in_buckets};
use super::{CHUNK_SAMPLES_MAX, WHAT, layout};
use crate::codec::bits::BitReader;

const FLOAT_COUNTS: u8 = 1;
const SAME_LAYOUT: u8 = 1 << 1;
const HINT_SHIFT: u32 = 2;
const HINT_MASK: u8 = 3;
/// Each sample has a hint of its own.
const MIXED_HINTS: u8 = 1 << 4;
/// Each count is what the buckets add up to.
const COUNT_OF_BUCKETS: u8 = 1 << 5;
const KNOWN_FLAGS: u8 = (1 << 6) - 1;

const HINT_BITS: u32 = 2;

/// Bytes that a bit string has at least, as its reader wants.
const BITS_LEN_MIN: usize = 8;

/// How many of the first samples make one chunk; at least one if there is one.
pub(super) fn run_len(hs: &[Arc<Histogram>]) -> usize {
    let Some(first) = hs.first() else { return 0 };
    let fits = |h: &&Arc<Histogram>| {
        h.is_float() == first.is_float()
            && (Arc::ptr_eq(&h.layout, &first.layout) || h.layout == first.layout)
    };
    hs.iter().take(CHUNK_SAMPLES_MAX).take_while(fits).count()
}

/// Appends one chunk; the histograms are of one layout and kind.
pub(super) fn encode(out: &mut Vec<u8>, ts: &[i64], hs: &[Arc<Histogram>], layout_goes_on: bool) {
    let Some(first) = hs.first() else { return };
    let is_mixed = hs.iter().any(|h| h.reset_hint != first.reset_hint);
    let count_follows = !hs.iter().all(|h| match &h.counts {
        Counts::Integer(c) => c.count == integers_in_buckets(c),
        Counts::Float(c) => c.count.to_bits() == floats_in_buckets(c).to_bits(),
    });
    let hint = if is_mixed { 0 } else { first.reset_hint as u8 };
    put_varint(out, hs.len() as u64);
    out.push(
        (u8::from(first.is_float()) * FLOAT_COUNTS)
            | (u8::from(layout_goes_on) * SAME_LAYOUT)
            | (hint << HINT_SHIFT)
            | (u8::from(is_mixed) * MIXED_HINTS)
            | (u8::from(!count_follows) * COUNT_OF_BUCKETS),
    );
    if !layout_goes_on {
        layout::put(out, &first.layout);
    }
    let mut packed = Vec::new();
    let mut writer = Writer {
        bits: BitWriter::new(&mut packed),
        numbers: Vec::new(),
        floats: Vec::new(),
        scratch: Scratch::default(),
    };
    writer.times(ts);
    if is_mixed {
        for h in hs {
            writer.bits.put(u64::from(h.reset_hint as u8), HINT_BITS);
        }
    }
    writer.floats(hs.iter().map(|h| h.sum));
    match &first.counts {
        Counts::Integer(shape) => writer.integer_counts(hs, shape, count_follows),
        Counts::Float(shape) => writer.float_counts(hs, shape, count_follows),
    }
    writer.bits.finish();
    packed.resize(packed.len().max(BITS_LEN_MIN), 0);
    put_length_prefixed(out, &packed);
}

struct Writer<'a> {
    bits: BitWriter<'a>,
    numbers: Vec<u64>,
    floats: Vec<f64>,
    scratch: Scratch,
}

impl Writer<'_> {
    /// The first time, what all steps are multiples of, and those multiples.
    fn times(&mut self, ts: &[i64]) {
        let Some(&first) = ts.first() else { return };
        put_number(&mut self.bits, zigzag(first));
        if ts.len() == 1 {
            return;
        }
        let since = |t: i64| t.wrapping_sub(first).cast_unsigned();
        let unit = ts.iter().fold(0, |unit, &t| gcd(unit, since(t))).max(1);
        put_number(&mut self.bits, unit);
        self.numbers.clear();
        self.numbers.extend(ts.iter().map(|&t| since(t) / unit));
        put_steps(&mut self.bits, &self.numbers, &mut self.scratch);
    }

    fn floats(&mut self, values: impl Iterator<Item = f64>) {
        self.floats.clear();
        self.floats.extend(values);
        put_floats(&mut self.bits, &self.floats, &mut self.numbers, &mut self.scratch);
    }

    fn integer_counts(
        &mut self,
        hs: &[Arc<Histogram>],
        shape: &BucketCounts<u64>,
        count_follows: bool,
    ) {
        if count_follows {
            self.integers(hs, 0, |c| c.count);
        }
        self.integers(hs, 0, |c| c.zero);
        let mut before = 0;
        for i in 0..shape.positive.len() {
            before = self.integers(hs, before, |c| c.positive[i]);
        }
        before = 0;
        for i in 0..shape.negative.len() {
            before = self.integers(hs, before, |c| c.negative[i]);
        }
    }

    /// A column of integers; its first one as the difference to that of the bucket before.
    fn integers(
        &mut self,
        hs: &[Arc<Histogram>],
        before: u64,
        of: impl Fn(&BucketCounts<u64>) -> u64,
    ) -> u64 {
        self.numbers.clear();
        self.numbers.extend(hs.iter().filter_map(|h| match &h.counts {
            Counts::Integer(counts) => Some(of(counts)),
            Counts::Float(_) => None,
        }));
        let first = self.numbers.first().copied().unwrap_or(0);
        put_number(&mut self.bits, zigzag(first.wrapping_sub(before).cast_signed()));
        put_steps(&mut self.bits, &self.numbers, &mut self.scratch);
        first
    }

    fn float_counts(
        &mut self,
        hs: &[Arc<Histogram>],
        shape: &BucketCounts<f64>,
        count_follows: bool,
    ) {
        let all = || {
            hs.iter().filter_map(|h| match &h.counts {
                Counts::Float(counts) => Some(counts),
                Counts::Integer(_) => None,
            })
        };
        if count_follows {
            self.floats(all().map(|c| c.count));
        }
        self.floats(all().map(|c| c.zero));
        for i in 0..shape.positive.len() {
            self.floats(all().map(|c| c.positive[i]));
        }
        for i in 0..shape.negative.len() {
            self.floats(all().map(|c| c.negative[i]));
        }
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Reads chunks that follow each other.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    layout: Option<Arc<HistogramLayout>>,
    last_t: Option<i64>,
    times: Vec<i64>,
    numbers: Vec<u64>,
    sums: Vec<f64>,
    hints: Vec<ResetHint>,
}

impl Decoder {
    /// Reads one chunk and appends its samples in `from..=to`.
    pub(super) fn next(
        &mut self,
        cursor: &mut Cursor<'_>,
        (from, to): (i64, i64),
        ts: &mut Vec<i64>,
        hs: &mut Vec<Arc<Histogram>>,
    ) -> Result<(), Corrupt> {
        let at = cursor.position();
        let bad = |want: &str, got: String| Corrupt::new(WHAT, at, want, got);
        let count = cursor.varint()?;
        let most = CHUNK_SAMPLES_MAX as u64;
        let n = usize::try_from(count).ok().filter(|_| (1..=most).contains(&count));
        let n = n.ok_or_else(|| bad("1 to 128 samples", count.to_string()))?;
        let flags = cursor.u8()?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(bad("known flags", format!("{flags:#x}")));
        }
        if flags & SAME_LAYOUT == 0 {
            self.layout = Some(layout::read(cursor)?);
        }
        let layout = self.layout.clone();
        let layout = layout.ok_or_else(|| bad("a layout before", "none".to_owned()))?;
        let packed = cursor.length_prefixed()?;
        let mut bits = BitReader::new(packed)
            .ok_or_else(|| bad("at least 8 bytes", packed.len().to_string()))?;
        self.read_times(&mut bits, n)?;
        let first = self.times.partition_point(|&t| t < from);
        let end = self.times.partition_point(|&t| t <= to);
        if first >= end {
            return Ok(());
        }
        self.read_hints(&mut bits, n, flags)?;
        self.sums.clear();
        self.sums.resize(n, 0.0);
        read_floats(&mut bits, &mut self.sums, &mut self.numbers)?;
        let is_float = flags & FLOAT_COUNTS != 0;
        let count_follows = flags & COUNT_OF_BUCKETS == 0;
        let all = if is_float {
            let all =
                Floats { n, numbers: &mut self.numbers }.read(&mut bits, &layout, count_follows)?;
            all.into_iter().map(Counts::Float).collect()
        } else {
            let all = Integers { n, numbers: &mut self.numbers }.read(
                &mut bits,
                &layout,
                count_follows,
            )?;
            all.into_iter().map(Counts::Integer).collect::<Vec<_>>()
        };
        for (i, counts) in all.into_iter().enumerate().take(end).skip(first) {
            let (reset_hint, sum) = (self.hints[i], self.sums[i]);
            let h = Histogram { layout: Arc::clone(&layout), reset_hint, sum, counts };
            h.validate_counts().map_err(|e| bad("a valid histogram", e.to_string()))?;
            ts.push(self.times[i]);
            hs.push(Arc::new(h));
        }
        Ok(())
    }

    fn read_times(&mut self, bits: &mut BitReader<'_>, n: usize) -> Result<(), Corrupt> {
        let first = unzigzag(read_number(bits)?);
        self.numbers.clear();
        self.numbers.resize(n, 0);
        let unit = if n > 1 { read_number(bits)? } else { 1 };
        read_steps(bits, &mut self.numbers)?;
        self.times.clear();
        for &steps in &self.numbers {
            let t = first.wrapping_add(steps.wrapping_mul(unit).cast_signed());
            if self.last_t.is_some_and(|last| last >= t) {
                let got = format!("{t} after {:?}", self.last_t);
                return Err(Corrupt::new(WHAT, bits.position() / 8, "ascending times", got));
            }
            self.times.push(t);
            self.last_t = Some(t);
        }
        Ok(())
    }

    fn read_hints(&mut self, bits: &mut BitReader<'_>, n: usize, flags: u8) -> Result<(), Corrupt> {
        self.hints.clear();
        for _ in 0..n {
            let tag = match flags & MIXED_HINTS {
                0 => (flags >> HINT_SHIFT) & HINT_MASK,
                _ => bits.take(HINT_BITS) as u8,
            };
            let hint = ResetHint::from_tag(tag).ok_or_else(|| {
                Corrupt::new(WHAT, bits.position() / 8, "a reset hint", tag.to_string())
            })?;
            self.hints.push(hint);
        }
        Ok(())
    }
}

/// Rows with room for the buckets of a layout, to be filled column by column.
fn empty_rows<T: Default>(n: usize, layout: &HistogramLayout) -> Vec<BucketCounts<T>> {
    let row = || BucketCounts {
        count: T::default(),
        zero: T::default(),
        positive: Vec::with_capacity(layout.positive_len() as usize),
        negative: Vec::with_capacity(layout.negative_len() as usize),
    };
    (0..n).map(|_| row()).collect()
}

/// Columns of integer counts.
struct Integers<'a> {
    n: usize,
    numbers: &'a mut Vec<u64>,
}

impl Integers<'_> {
    fn read(
        mut self,
        bits: &mut BitReader<'_>,
        layout: &HistogramLayout,
        count_follows: bool,
    ) -> Result<Vec<BucketCounts<u64>>, Corrupt> {
        let mut rows = empty_rows(self.n, layout);
        if count_follows {
            self.column(bits, 0, &mut rows, |row, v| row.count = v)?;
        }
        self.column(bits, 0, &mut rows, |row, v| row.zero = v)?;
        let mut before = 0;
        for _ in 0..layout.positive_len() {
            before = self.column(bits, before, &mut rows, |row, v| row.positive.push(v))?;
        }
        before = 0;
        for _ in 0..layout.negative_len() {
            before = self.column(bits, before, &mut rows, |row, v| row.negative.push(v))?;
        }
        if !count_follows {
            rows.iter_mut().for_each(|row| row.count = integers_in_buckets(row));
        }
        Ok(rows)
    }

    fn column(
        &mut self,
        bits: &mut BitReader<'_>,
        before: u64,
        rows: &mut [BucketCounts<u64>],
        put: impl Fn(&mut BucketCounts<u64>, u64),
    ) -> Result<u64, Corrupt> {
        let first = before.wrapping_add(unzigzag(read_number(bits)?).cast_unsigned());
        self.numbers.clear();
        self.numbers.resize(self.n, first);
        read_steps(bits, self.numbers)?;
        rows.iter_mut().zip(self.numbers.iter()).for_each(|(row, &v)| put(row, v));
        Ok(first)
    }
}

/// Columns of float counts.
struct Floats<'a> {
    n: usize,
    numbers: &'a mut Vec<u64>,
}

impl Floats<'_> {
    fn read(
        mut self,
        bits: &mut BitReader<'_>,
        layout: &HistogramLayout,
        count_follows: bool,
    ) -> Result<Vec<BucketCounts<f64>>, Corrupt> {
        let mut rows = empty_rows(self.n, layout);
        if count_follows {
            self.column(bits, &mut rows, |row, v| row.count = v)?;
        }
        self.column(bits, &mut rows, |row, v| row.zero = v)?;
        for _ in 0..layout.positive_len() {
            self.column(bits, &mut rows, |row, v| row.positive.push(v))?;
        }
        for _ in 0..layout.negative_len() {
            self.column(bits, &mut rows, |row, v| row.negative.push(v))?;
        }
        if !count_follows {
            rows.iter_mut().for_each(|row| row.count = floats_in_buckets(row));
        }
        Ok(rows)
    }

    fn column(
        &mut self,
        bits: &mut BitReader<'_>,
        rows: &mut [BucketCounts<f64>],
        put: impl Fn(&mut BucketCounts<f64>, f64),
    ) -> Result<(), Corrupt> {
        let mut values = [0.0; CHUNK_SAMPLES_MAX];
        read_floats(bits, &mut values[..self.n], self.numbers)?;
        rows.iter_mut().zip(values).for_each(|(row, v)| put(row, v));
        Ok(())
    }
}
