//! Columns of times that blocks share, decoded once and kept.
//!
//! Queries want milliseconds, so these are kept beside the nanoseconds: a division for each sample
//! of each series costs as much as the decoding of its value.

use m3rs_core::Corrupt;
use m3rs_core::time::NS_PER_MS;
use m3rs_core::wire::Cursor;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::EncodedBlock;
use crate::buffer::Columns;
use crate::codec::times::decode_times;

/// Columns of times that a decoder keeps: those of some hundred targets in a few blocks.
const KEPT_COLUMNS: usize = 512;

/// Bytes of all columns that a decoder keeps. A column of 32 days at 15 s fits.
const KEPT_BYTES_MAX: usize = 6 << 20;

/// The longest column that is kept.
pub(super) const KEPT_COUNT_MAX: usize = KEPT_BYTES_MAX / 2 / BYTES_PER_TIME;

/// What a time takes, in both units.
const BYTES_PER_TIME: usize = 2 * size_of::<i64>();

/// The times of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockTimes<'a> {
    /// In nanoseconds.
    pub(super) times: &'a [i64],
    /// In milliseconds, if that is known and each is there once.
    pub(super) millis: Option<&'a [i64]>,
}

/// A column of times that was decoded last in its place.
#[derive(Debug, Default)]
struct KeptTimes {
    bytes: Vec<u8>,
    times: Vec<i64>,
    millis: Vec<i64>,
    /// Whether each millisecond is there once.
    is_strict: bool,
}

impl KeptTimes {
    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + (self.times.capacity() + self.millis.capacity()) * size_of::<i64>()
    }

    /// Replaces the column by that of the block.
    fn decode(&mut self, block: &EncodedBlock<'_>) -> Result<(), Corrupt> {
        let count = block.count as usize;
        self.bytes.clear();
        self.times.clear();
        self.times.reserve_exact(count);
        self.millis.reserve_exact(count.saturating_sub(self.millis.len()));
        let decoded = decode_column(block, &mut self.times);
        if decoded.is_err() {
            // Else these bytes would have a column of no times.
            self.times.clear();
            return decoded;
        }
        self.bytes.reserve_exact(block.times.len());
        self.bytes.extend_from_slice(block.times);
        self.divide();
        Ok(())
    }

    fn divide(&mut self) {
        self.millis.clear();
        self.millis.extend(self.times.iter().map(|t| t.div_euclid(NS_PER_MS)));
        self.is_strict = self.millis.windows(2).fold(true, |sound, m| sound & (m[0] < m[1]));
    }

    /// Moves the column to another first time.
    fn shift_to(&mut self, first: i64) {
        let shift = first.wrapping_sub(self.times[0]);
        if shift != 0 {
            self.times.iter_mut().for_each(|t| *t = t.wrapping_add(shift));
            self.divide();
        }
    }
}

/// Columns that were decoded lately, by a hash of their bytes and first time.
#[derive(Debug)]
pub(super) struct Kept {
    columns: Box<[KeptTimes]>,
    /// Bytes that all of them hold.
    held_bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        let columns = (0..KEPT_COLUMNS).map(|_| KeptTimes::default()).collect();
        Self { columns, held_bytes: 0 }
    }
}

impl Kept {
    /// The times of a block, whose number is in bounds and which are nothing but a column.
    fn column(&mut self, block: &EncodedBlock<'_>) -> Result<&KeptTimes, Corrupt> {
        let count = block.count as usize;
        let seed = u64::from(block.count) ^ block.first_ns.cast_unsigned();
        let hash = xxh3_64_with_seed(block.times, seed);
        let place = usize::try_from(hash % KEPT_COLUMNS as u64).expect("BUG: it is below 512");
        let kept = &self.columns[place];
        if kept.times.len() != count || kept.bytes != block.times {
            let wanted = block.times.len() + count * BYTES_PER_TIME;
            if self.held_bytes + wanted > KEPT_BYTES_MAX {
                *self = Self::default();
            }
            let kept = &mut self.columns[place];
            self.held_bytes -= kept.held_bytes();
            let decoded = kept.decode(block);
            self.held_bytes += kept.held_bytes();
            decoded?;
        }
        // The same differences may have had another first time.
        self.columns[place].shift_to(block.first_ns);
        Ok(&self.columns[place])
    }

    /// Whether these times are kept; checks what is held on the way.
    #[cfg(test)]
    pub(super) fn has(&self, times: &[i64]) -> bool {
        let held: usize = self.columns.iter().map(KeptTimes::held_bytes).sum();
        assert_eq!(held, self.held_bytes);
        assert!(held <= KEPT_BYTES_MAX, "{held} bytes");
        self.columns.iter().any(|kept| kept.times == times)
    }
}

/// The times of a block, and the bytes of its values.
pub(super) fn times_of<'k, 'b>(
    block: &EncodedBlock<'b>,
    kept: &'k mut Kept,
    own: &'k mut Vec<i64>,
) -> Result<(BlockTimes<'k>, &'b [u8]), Corrupt> {
    let count = block.count as usize;
    if block.times.is_empty() {
        let mut cursor = Cursor::new("series block", block.bytes);
        own.clear();
        decode_times(&mut cursor, count, block.first_ns, own)?;
        check_last(own, block)?;
        return Ok((BlockTimes { times: own, millis: None }, cursor.rest()));
    }
    if count > KEPT_COUNT_MAX {
        own.clear();
        decode_column(block, own)?;
        return Ok((BlockTimes { times: own, millis: None }, block.bytes));
    }
    let column = kept.column(block)?;
    check_last(&column.times, block)?;
    let millis = column.is_strict.then_some(&*column.millis);
    Ok((BlockTimes { times: &column.times, millis }, block.bytes))
}

/// Decodes times that are nothing but a column.
fn decode_column(block: &EncodedBlock<'_>, out: &mut Vec<i64>) -> Result<(), Corrupt> {
    let mut cursor = Cursor::new("shared times", block.times);
    decode_times(&mut cursor, block.count as usize, block.first_ns, out)?;
    if !cursor.is_empty() {
        let got = format!("{} more bytes", cursor.remaining());
        return Err(Corrupt::new("shared times", cursor.position(), "the end", got));
    }
    check_last(out, block)
}

/// The last time is the one that the block says; so times that were shifted ascend as well.
fn check_last(times: &[i64], block: &EncodedBlock<'_>) -> Result<(), Corrupt> {
    let last = times.last().copied();
    if last == Some(block.last_ns) && block.last_ns >= block.first_ns {
        return Ok(());
    }
    let want = format!("times from {} to {}", block.first_ns, block.last_ns);
    Err(Corrupt::new("series block", 0, want, format!("the last one is {last:?}")))
}

/// The times of columns in milliseconds, as far as nothing but blocks that know theirs was laid
/// over them, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Millis {
    times: Vec<i64>,
    /// Whether all of the columns' times are in `times` so far.
    is_followed: bool,
}

impl Millis {
    /// Follows columns that are empty.
    pub(super) fn start(&mut self) {
        self.times.clear();
        self.is_followed = true;
    }

    /// Follows no more.
    pub(super) fn stop(&mut self) {
        self.is_followed = false;
    }

    /// Times are appended to the columns, which have `len` so far; `None` if they are not known in
    /// milliseconds.
    pub(super) fn extend(&mut self, len: usize, millis: Option<&[i64]>) {
        if !self.is_followed {
            return;
        }
        match millis {
            // The last sample of a block may share its millisecond with the first of the next.
            Some(millis) if len == self.times.len() && self.times.last() < millis.first() => {
                self.times.extend_from_slice(millis);
            }
            _ => self.stop(),
        }
    }

    /// Exchanges the times for `columns.millis` if they are those of all floats.
    pub(super) fn give(&mut self, columns: &mut Columns) {
        if self.is_followed && self.times.len() == columns.ts.len() {
            std::mem::swap(&mut self.times, &mut columns.millis);
        }
        self.stop();
    }
}
