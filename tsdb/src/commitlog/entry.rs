//! Entries of the log: series named once, and batches of samples in columns.
//!
//! Pure functions over bytes. Per float nothing is allocated: the encoder appends to the caller's
//! buffer, the decoder fills columns that it keeps.

mod rich;
mod side;

use m3rs_core::Corrupt;
use m3rs_core::model::{Metadata, SampleKind};
use m3rs_core::time::NS_PER_MS;
use m3rs_core::wire::{Cursor, put_varint, put_zigzag};

use super::deletion::read_deletion;
use crate::buffer::RichSample;
use crate::exemplar::Exemplar;

pub use rich::encode_rich_samples;
pub use side::{encode_exemplars, encode_metadata};

/// The most samples in one entry; [`encode_samples`] writes larger batches as several entries.
pub const BATCH_SAMPLES_MAX: usize = 1 << 16;

pub(super) const KIND_SERIES: u8 = 1;
pub(super) const KIND_SAMPLES: u8 = 2;
pub(super) const KIND_END: u8 = 3;
pub(super) const KIND_PADDING: u8 = 4;
pub(super) const KIND_STARTED_SAMPLES: u8 = 5;
pub(super) const KIND_RICH_SAMPLES: u8 = 6;
pub(super) const KIND_METADATA: u8 = 7;
pub(super) const KIND_EXEMPLARS: u8 = 8;
pub(super) const KIND_DELETION: u8 = 9;

/// The payload of the chunk that seals a segment.
pub(super) const END_PAYLOAD: [u8; 2] = [KIND_END, 0];

const REFS_EACH: u8 = 0;
const REFS_CONSECUTIVE: u8 = 1;

const TIMES_EACH: u8 = 0;
const TIMES_RUNS: u8 = 1;

const SCALE_NS: u8 = 0;
const SCALE_MS: u8 = 1;

/// Bytes of the length of a batch: a varint, padded so that it can be filled in afterwards.
const BATCH_LENGTH_LEN: usize = 4;

// A float takes at most 5 bytes of reference, 11 of each time, 1 of control and 8 of value. Other
// samples are split by their bytes, see `rich`.
const _: () = assert!(BATCH_SAMPLES_MAX * 36 + 64 < 1 << (7 * BATCH_LENGTH_LEN));

const CONTROL_LEN_MASK: u8 = 0x0f;
const CONTROL_SHIFT_BIT: u32 = 4;
const CONTROL_SHIFT_MASK: u8 = 0x07;
const CONTROL_XOR: u8 = 0x80;

/// One entry of the log, borrowed from the chunk and from the decoder's columns.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A series got its reference.
    Series {
        /// The namespace's durable number.
        namespace: u32,
        /// The series' durable number.
        series_ref: u32,
        /// The shard that it belongs to.
        shard: u16,
        /// Its canonical label bytes, as they were given: [`Labels::from_canonical`] checks them.
        ///
        /// [`Labels::from_canonical`]: m3rs_core::model::Labels::from_canonical
        labels: &'a [u8],
    },
    /// Float samples of one shard, in the order of their arrival; the columns have one length.
    Samples {
        /// The namespace's durable number.
        namespace: u32,
        /// The shard that all samples belong to.
        shard: u16,
        /// Series references.
        refs: &'a [u32],
        /// Times in nanoseconds.
        ts: &'a [i64],
        /// Values, with exact bits.
        vs: &'a [f64],
        /// Start timestamps in nanoseconds, 0 for none; empty if no sample carries one.
        starts: &'a [i64],
    },
    /// Samples of one shard were deleted: those that stand before this entry.
    Deletion {
        /// The namespace's durable number.
        namespace: u32,
        /// The shard that all series belong to.
        shard: u16,
        /// The first time, in nanoseconds.
        from: i64,
        /// The last time, in nanoseconds.
        to: i64,
        /// Series references.
        refs: &'a [u32],
    },
    /// Samples of any kind of one shard, in the order of their arrival.
    RichSamples {
        /// The namespace's durable number.
        namespace: u32,
        /// The shard that all samples belong to.
        shard: u16,
        /// Series references.
        refs: &'a [u32],
        /// Times in nanoseconds.
        ts: &'a [i64],
        /// What was sampled.
        samples: &'a [RichSample],
    },
    /// What a metric family means.
    Metadata {
        /// The namespace's durable number.
        namespace: u32,
        /// The family's name.
        family: &'a str,
        /// Its type, help and unit.
        metadata: Metadata,
    },
    /// Exemplars, in the order of their arrival.
    Exemplars {
        /// The namespace's durable number.
        namespace: u32,
        /// Series references.
        refs: &'a [u32],
        /// An exemplar of each.
        exemplars: &'a [Exemplar],
    },
}

impl Entry<'_> {
    /// The namespace that the entry belongs to.
    #[must_use]
    pub fn namespace(&self) -> u32 {
        match *self {
            Self::Series { namespace, .. }
            | Self::Samples { namespace, .. }
            | Self::RichSamples { namespace, .. }
            | Self::Deletion { namespace, .. }
            | Self::Metadata { namespace, .. }
            | Self::Exemplars { namespace, .. } => namespace,
        }
    }
}

/// Appends the entry that names a series.
pub fn encode_series(
    out: &mut Vec<u8>,
    namespace: u32,
    series_ref: u32,
    shard: u16,
    labels: &[u8],
) {
    // Namespace, reference and shard take at most 13 bytes; written first to know their length.
    let mut head = Vec::with_capacity(16);
    put_varint(&mut head, u64::from(namespace));
    put_varint(&mut head, u64::from(series_ref));
    put_varint(&mut head, u64::from(shard));
    out.push(KIND_SERIES);
    put_varint(out, (head.len() + labels.len()) as u64);
    out.extend_from_slice(&head);
    out.extend_from_slice(labels);
}

/// Appends the entries for a batch of float samples of one shard; nothing for an empty batch.
///
/// `ts` is in nanoseconds. The order is kept. Smallest when references are consecutive or nearly
/// so, times repeat or are whole milliseconds, and values are alike or have few digits.
///
/// # Panics
/// If the columns differ in length, which is a bug of the caller.
pub fn encode_samples(
    out: &mut Vec<u8>,
    namespace: u32,
    shard: u16,
    refs: &[u32],
    ts: &[i64],
    vs: &[f64],
) {
    assert!(refs.len() == ts.len() && ts.len() == vs.len(), "BUG: columns differ in length");
    let batches = refs.chunks(BATCH_SAMPLES_MAX).zip(ts.chunks(BATCH_SAMPLES_MAX));
    for ((refs, ts), vs) in batches.zip(vs.chunks(BATCH_SAMPLES_MAX)) {
        put_batch(out, KIND_SAMPLES, |out| {
            put_varint(out, u64::from(namespace));
            put_varint(out, u64::from(shard));
            out.push(SampleKind::Float as u8);
            put_varint(out, refs.len() as u64);
            put_refs(out, refs);
            put_times(out, ts);
            put_values(out, vs);
        });
    }
}

/// As [`encode_samples`], with a start timestamp for each sample; 0 is none.
///
/// # Panics
/// If the columns differ in length, which is a bug of the caller.
pub fn encode_started_samples(
    out: &mut Vec<u8>,
    (namespace, shard): (u32, u16),
    refs: &[u32],
    ts: &[i64],
    vs: &[f64],
    starts: &[i64],
) {
    assert!(refs.len() == ts.len() && ts.len() == vs.len(), "BUG: columns differ in length");
    assert!(ts.len() == starts.len(), "BUG: {} times, {} starts", ts.len(), starts.len());
    for first in (0..refs.len()).step_by(BATCH_SAMPLES_MAX) {
        let batch = first..refs.len().min(first + BATCH_SAMPLES_MAX);
        put_batch(out, KIND_STARTED_SAMPLES, |out| {
            put_varint(out, u64::from(namespace));
            put_varint(out, u64::from(shard));
            put_varint(out, batch.len() as u64);
            put_refs(out, &refs[batch.clone()]);
            put_times(out, &ts[batch.clone()]);
            put_times(out, &starts[batch.clone()]);
            put_values(out, &vs[batch]);
        });
    }
}

/// Adds an entry whose length is known once its body is there.
fn put_batch(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let length_at = out.len();
    out.extend_from_slice(&[0; BATCH_LENGTH_LEN]);
    body(out);
    let length = out.len() - length_at - BATCH_LENGTH_LEN;
    patch_length(&mut out[length_at..], length);
}

/// Writes `length` as a varint of exactly [`BATCH_LENGTH_LEN`] bytes.
fn patch_length(at: &mut [u8], mut length: usize) {
    for (i, byte) in at.iter_mut().take(BATCH_LENGTH_LEN).enumerate() {
        let more = if i + 1 < BATCH_LENGTH_LEN { 0x80 } else { 0 };
        *byte = (length & 0x7f) as u8 | more;
        length >>= 7;
    }
}

pub(super) fn put_refs(out: &mut Vec<u8>, refs: &[u32]) {
    let consecutive = refs.windows(2).all(|w| w[0].checked_add(1) == Some(w[1]));
    out.push(if consecutive { REFS_CONSECUTIVE } else { REFS_EACH });
    if consecutive {
        put_varint(out, u64::from(refs.first().copied().unwrap_or_default()));
        return;
    }
    let mut previous = 0;
    for &r in refs {
        put_zigzag(out, i64::from(r) - previous);
        previous = i64::from(r);
    }
}

fn put_times(out: &mut Vec<u8>, ts: &[i64]) {
    let mut runs = 1;
    let mut whole_ms = ts.first().is_none_or(|t| t % NS_PER_MS == 0);
    for w in ts.windows(2) {
        if w[0] != w[1] {
            runs += 1;
            whole_ms &= w[1] % NS_PER_MS == 0;
        }
    }
    let (scale, unit) = if whole_ms { (SCALE_MS, NS_PER_MS) } else { (SCALE_NS, 1) };
    out.push(scale);
    let in_runs = runs * 2 <= ts.len() + 1;
    out.push(if in_runs { TIMES_RUNS } else { TIMES_EACH });
    let mut previous_ns = 0;
    let mut previous = 0i64;
    if in_runs {
        for run in ts.chunk_by(|a, b| a == b) {
            let scaled = run[0] / unit;
            put_varint(out, run.len() as u64);
            put_zigzag(out, scaled.wrapping_sub(previous));
            previous = scaled;
        }
        return;
    }
    for &t in ts {
        // Division is the dear part; neighbours often have the same time.
        let scaled = if t == previous_ns { previous } else { t / unit };
        put_zigzag(out, scaled.wrapping_sub(previous));
        (previous_ns, previous) = (t, scaled);
    }
}

/// Control bytes first, then the bytes they describe, so that the decoder reads ahead.
fn put_values(out: &mut Vec<u8>, vs: &[f64]) {
    let control_at = out.len();
    let data_at = control_at + vs.len();
    out.resize(data_at + 8 * vs.len(), 0);
    let (control, data) = out[control_at..].split_at_mut(vs.len());
    let mut previous = 0u64;
    let mut at = 0;
    for (control, v) in control.iter_mut().zip(vs) {
        let raw = v.to_bits();
        let xor = raw ^ previous;
        previous = raw;
        let (raw_len, raw_shift) = significant(raw);
        let (xor_len, xor_shift) = significant(xor);
        let (bits, len, shift, flag) = if xor_len < raw_len {
            (xor, xor_len, xor_shift, CONTROL_XOR)
        } else {
            (raw, raw_len, raw_shift, 0)
        };
        *control = flag | (shift << CONTROL_SHIFT_BIT) as u8 | len as u8;
        let bytes = (bits >> (8 * shift)).to_le_bytes();
        // Eight bytes fit: this sample and each one after it has eight bytes of room.
        data[at..at + 8].copy_from_slice(&bytes);
        at += len as usize;
    }
    out.truncate(data_at + at);
}

/// How many bytes are left between the zero bytes at both ends, and how many are below them.
#[inline]
fn significant(bits: u64) -> (u32, u32) {
    if bits == 0 {
        return (0, 0);
    }
    let below = bits.trailing_zeros() / 8;
    (8 - below - bits.leading_zeros() / 8, below)
}

/// Reads entries into columns that it reuses.
///
/// It holds at most [`BATCH_SAMPLES_MAX`] samples, whatever the bytes say.
#[derive(Debug, Default)]
pub struct EntryDecoder {
    refs: Vec<u32>,
    ts: Vec<i64>,
    vs: Vec<f64>,
    starts: Vec<i64>,
    rich: Vec<RichSample>,
    exemplars: Vec<Exemplar>,
}

impl EntryDecoder {
    /// A decoder without columns yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next entry of a chunk's payload; `None` at its end.
    ///
    /// # Errors
    /// [`Corrupt`] for bytes that no writer of this version makes, placed from the cursor's
    /// first byte. Nothing behind them in the chunk can be read; the cursor stays before them.
    pub fn next<'a, 'p: 'a>(
        &'a mut self,
        payload: &mut Cursor<'p>,
    ) -> Result<Option<Entry<'a>>, Corrupt> {
        loop {
            if payload.is_empty() {
                return Ok(None);
            }
            let mut ahead = payload.clone();
            let kind = ahead.u8()?;
            let body = ahead.length_prefixed()?;
            let body_at = (ahead.position() - body.len()) as u64;
            let within = |mut e: Corrupt| {
                e.at += body_at;
                e
            };
            let entry = match kind {
                KIND_PADDING => {
                    *payload = ahead;
                    continue;
                }
                KIND_SERIES => read_series(body).map_err(within)?,
                KIND_SAMPLES => self.read_samples(body).map_err(within)?,
                KIND_STARTED_SAMPLES => self.read_started_samples(body).map_err(within)?,
                KIND_METADATA => side::read_metadata(body).map_err(within)?,
                KIND_EXEMPLARS => self.read_exemplars(body).map_err(within)?,
                KIND_RICH_SAMPLES => self.read_rich_samples(body).map_err(within)?,
                KIND_DELETION => read_deletion(body, &mut self.refs).map_err(within)?,
                _ => {
                    let (what, at) = ("log entry", payload.position());
                    return Err(Corrupt::new(what, at, "a known kind", format!("kind {kind}")));
                }
            };
            *payload = ahead;
            return Ok(Some(entry));
        }
    }

    fn read_samples(&mut self, body: &[u8]) -> Result<Entry<'_>, Corrupt> {
        let mut cursor = Cursor::new("log samples", body);
        let namespace = read_u32(&mut cursor, "a namespace of 32 bits")?;
        let shard = read_u16(&mut cursor, "a shard of 16 bits")?;
        let at = cursor.position();
        let tag = cursor.u8()?;
        if SampleKind::from_tag(tag) != Some(SampleKind::Float) {
            return Err(Corrupt::new("log samples", at, "float samples", format!("kind {tag}")));
        }
        let count = read_count(&mut cursor)?;
        read_refs(&mut cursor, count, &mut self.refs)?;
        read_times(&mut cursor, count, &mut self.ts)?;
        read_values(&mut cursor, count, &mut self.vs)?;
        let Self { refs, ts, vs, .. } = self;
        Ok(Entry::Samples { namespace, shard, refs, ts, vs, starts: &[] })
    }

    fn read_started_samples(&mut self, body: &[u8]) -> Result<Entry<'_>, Corrupt> {
        let mut cursor = Cursor::new("log samples", body);
        let namespace = read_u32(&mut cursor, "a namespace of 32 bits")?;
        let shard = read_u16(&mut cursor, "a shard of 16 bits")?;
        let count = read_count(&mut cursor)?;
        read_refs(&mut cursor, count, &mut self.refs)?;
        read_times(&mut cursor, count, &mut self.ts)?;
        read_times(&mut cursor, count, &mut self.starts)?;
        read_values(&mut cursor, count, &mut self.vs)?;
        let Self { refs, ts, vs, starts, .. } = self;
        Ok(Entry::Samples { namespace, shard, refs, ts, vs, starts })
    }
}

/// The number of samples of a batch.
fn read_count(cursor: &mut Cursor<'_>) -> Result<usize, Corrupt> {
    let at = cursor.position();
    let count = cursor.varint()?;
    // Each sample has a byte of its own, so that a false count cannot ask for much memory.
    let most = cursor.remaining().min(BATCH_SAMPLES_MAX);
    usize::try_from(count).ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
        let want = format!("1 to {most} samples");
        Corrupt::new("log samples", at, want, count.to_string())
    })
}

fn read_series(body: &[u8]) -> Result<Entry<'_>, Corrupt> {
    let mut cursor = Cursor::new("log series", body);
    Ok(Entry::Series {
        namespace: read_u32(&mut cursor, "a namespace of 32 bits")?,
        series_ref: read_u32(&mut cursor, "a reference of 32 bits")?,
        shard: read_u16(&mut cursor, "a shard of 16 bits")?,
        labels: cursor.rest(),
    })
}

pub(super) fn read_u32(cursor: &mut Cursor<'_>, want: &str) -> Result<u32, Corrupt> {
    let at = cursor.position();
    let v = cursor.varint()?;
    u32::try_from(v).map_err(|_| Corrupt::new("log entry", at, want, v.to_string()))
}

pub(super) fn read_u16(cursor: &mut Cursor<'_>, want: &str) -> Result<u16, Corrupt> {
    let at = cursor.position();
    let v = cursor.varint()?;
    u16::try_from(v).map_err(|_| Corrupt::new("log entry", at, want, v.to_string()))
}

pub(super) fn read_refs(
    cursor: &mut Cursor<'_>,
    count: usize,
    refs: &mut Vec<u32>,
) -> Result<(), Corrupt> {
    refs.clear();
    let start = cursor.position();
    let out_of_range =
        |v: i64| Corrupt::new("log samples", start, "references of 32 bits", v.to_string());
    match cursor.u8()? {
        REFS_CONSECUTIVE => {
            let first = read_u32(cursor, "a reference of 32 bits")?;
            let last = u64::from(first) + count as u64 - 1;
            let last = u32::try_from(last).map_err(|_| out_of_range(last as i64))?;
            refs.extend(first..=last);
        }
        REFS_EACH => {
            refs.reserve(count);
            let mut previous = 0i64;
            for _ in 0..count {
                previous = previous.wrapping_add(cursor.zigzag()?);
                refs.push(u32::try_from(previous).map_err(|_| out_of_range(previous))?);
            }
        }
        mode => return Err(unknown_mode("a known reference mode", start, mode)),
    }
    Ok(())
}

fn read_times(cursor: &mut Cursor<'_>, count: usize, ts: &mut Vec<i64>) -> Result<(), Corrupt> {
    ts.clear();
    ts.reserve(count);
    let start = cursor.position();
    let unit = match cursor.u8()? {
        SCALE_NS => 1,
        SCALE_MS => NS_PER_MS,
        scale => return Err(unknown_mode("a known time scale", start, scale)),
    };
    let to_ns = |scaled: i64| {
        let far = || Corrupt::new("log samples", start, "times of 64 bits", scaled.to_string());
        scaled.checked_mul(unit).ok_or_else(far)
    };
    let (mut scaled, mut ns) = (0i64, 0i64);
    let mode_at = cursor.position();
    match cursor.u8()? {
        TIMES_RUNS => {
            while ts.len() < count {
                let at = cursor.position();
                let run = cursor.varint()?;
                let left = count - ts.len();
                let run = usize::try_from(run).ok().filter(|n| (1..=left).contains(n)).ok_or_else(
                    || {
                        let want = format!("a run of 1 to {left}");
                        Corrupt::new("log samples", at, want, run.to_string())
                    },
                )?;
                scaled = scaled.wrapping_add(cursor.zigzag()?);
                ns = to_ns(scaled)?;
                ts.resize(ts.len() + run, ns);
            }
        }
        TIMES_EACH => {
            for _ in 0..count {
                let delta = cursor.zigzag()?;
                if delta != 0 {
                    scaled = scaled.wrapping_add(delta);
                    ns = to_ns(scaled)?;
                }
                ts.push(ns);
            }
        }
        mode => return Err(unknown_mode("a known time mode", mode_at, mode)),
    }
    Ok(())
}

fn read_values(cursor: &mut Cursor<'_>, count: usize, vs: &mut Vec<f64>) -> Result<(), Corrupt> {
    vs.clear();
    vs.reserve(count);
    let control_at = cursor.position();
    let control = cursor.take(count)?;
    let data_at = cursor.position();
    let data = cursor.rest();
    let mut at = 0;
    let mut previous = 0u64;
    for (i, &control) in control.iter().enumerate() {
        let len = usize::from(control & CONTROL_LEN_MASK);
        let shift = usize::from((control >> CONTROL_SHIFT_BIT) & CONTROL_SHIFT_MASK);
        if len + shift > 8 {
            let got = format!("{len} bytes above {shift}");
            return Err(Corrupt::new("log samples", control_at + i, "at most 8 bytes", got));
        }
        let word = match data[at..].first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => short_word(&data[at..]),
        };
        if data.len() - at < len {
            let (want, got) = (format!("{len} more bytes"), format!("{} left", data.len() - at));
            return Err(Corrupt::new("log samples", data_at + at, want, got));
        }
        at += len;
        let bits = (word & LOW_BYTES[len]) << (8 * shift);
        previous = if control & CONTROL_XOR == 0 { bits } else { bits ^ previous };
        vs.push(f64::from_bits(previous));
    }
    if at != data.len() {
        let got = format!("{} more bytes", data.len() - at);
        return Err(Corrupt::new("log samples", data_at + at, "the end of the entry", got));
    }
    cursor.take(at)?;
    Ok(())
}

/// Masks that keep the low `index` bytes of a word.
const LOW_BYTES: [u64; 9] = [
    0,
    0xff,
    0xffff,
    0x00ff_ffff,
    0xffff_ffff,
    0x00ff_ffff_ffff,
    0xffff_ffff_ffff,
    0x00ff_ffff_ffff_ffff,
    u64::MAX,
];

/// A little-endian word from fewer than eight bytes.
fn short_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &b| (word << 8) | u64::from(b))
}

fn unknown_mode(want: &str, at: usize, got: u8) -> Corrupt {
    Corrupt::new("log samples", at, want, got.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch with exact bits, so that NaN equals itself.
    type Batch = Vec<(u32, i64, u64)>;

    fn encode(batch: &[(u32, i64, u64)]) -> Vec<u8> {
        let refs: Vec<u32> = batch.iter().map(|s| s.0).collect();
        let ts: Vec<i64> = batch.iter().map(|s| s.1).collect();
        let vs: Vec<f64> = batch.iter().map(|s| f64::from_bits(s.2)).collect();
        let mut out = Vec::new();
        encode_samples(&mut out, 7, 3, &refs, &ts, &vs);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Batch, Corrupt> {
        let mut decoder = EntryDecoder::new();
        let mut cursor = Cursor::new("payload", bytes);
        let mut all = Batch::new();
        while let Some(entry) = decoder.next(&mut cursor)? {
            let Entry::Samples { namespace, shard, refs, ts, vs, starts } = entry else {
                panic!("only samples were written");
            };
            assert_eq!((namespace, shard, starts.len()), (7, 3, 0));
            assert!(refs.len() == ts.len() && ts.len() == vs.len());
            let rows = refs.iter().zip(ts).zip(vs);
            all.extend(rows.map(|((&r, &t), &v)| (r, t, v.to_bits())));
        }
        Ok(all)
    }

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (-1000i32..1000).prop_map(|v| f64::from(v).to_bits()),
            (-1000i32..1000).prop_map(|v| (f64::from(v) / 10.0).to_bits()),
            Just((-0.0f64).to_bits()),
            Just(f64::NAN.to_bits()),
            Just(m3rs_core::model::STALE_NAN_BITS),
            Just(1),
        ]
    }

    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![
            any::<i64>(),
            (0i64..4).prop_map(|t| 1_700_000_000_000_000_000 + t * 15_000_000_000),
            Just(0),
            Just(i64::MIN),
            Just(i64::MAX),
        ]
    }

    fn reference() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), 0u32..5, Just(u32::MAX)]
    }

    proptest! {
        #[test]
        fn batches_round_trip(
            batch in prop::collection::vec((reference(), time(), value()), 0..200),
        ) {
            prop_assert_eq!(decode(&encode(&batch)), Ok(batch));
        }

        #[test]
        fn consecutive_references_round_trip(
            first in any::<u32>(),
            values in prop::collection::vec(value(), 1..50),
        ) {
            let batch: Batch = values
                .iter()
                .enumerate()
                .map(|(i, v)| (first.wrapping_add(i as u32), 5, *v))
                .collect();
            prop_assert_eq!(decode(&encode(&batch)), Ok(batch));
        }

        #[test]
        fn series_round_trip(
            ns in any::<u32>(),
            r in any::<u32>(),
            shard in any::<u16>(),
            labels in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut out = Vec::new();
            encode_series(&mut out, ns, r, shard, &labels);
            let mut decoder = EntryDecoder::new();
            let entry = decoder.next(&mut Cursor::new("payload", &out)).expect("valid");
            prop_assert_eq!(
                entry,
                Some(Entry::Series { namespace: ns, series_ref: r, shard, labels: &labels })
            );
        }

        #[test]
        fn hostile_bytes_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut framed = vec![KIND_SAMPLES];
            put_varint(&mut framed, bytes.len() as u64);
            framed.extend_from_slice(&bytes);
            for payload in [&bytes, &framed] {
                let mut decoder = EntryDecoder::new();
                let mut cursor = Cursor::new("payload", payload);
                loop {
                    let before = cursor.position();
                    let Ok(Some(_)) = decoder.next(&mut cursor) else { break };
                    prop_assert!(cursor.position() > before, "an entry has bytes");
                }
            }
        }

        #[test]
        fn cut_batches_are_refused(
            batch in prop::collection::vec((reference(), time(), value()), 1..20),
        ) {
            let bytes = encode(&batch);
            for end in 1..bytes.len() {
                prop_assert!(decode(&bytes[..end]).is_err(), "cut at {}", end);
            }
        }
    }

    #[test]
    fn a_large_batch_becomes_several_entries() {
        let batch: Batch = (0..BATCH_SAMPLES_MAX as u32 + 1)
            .map(|i| {
                (i.wrapping_mul(2_654_435_761), i64::MIN + i64::from(i), u64::MAX - u64::from(i))
            })
            .collect();
        assert_eq!(decode(&encode(&batch)), Ok(batch));
    }

    #[test]
    fn an_empty_batch_is_no_entry() {
        assert!(encode(&[]).is_empty());
        let no_samples = [KIND_SAMPLES, 6, 7, 3, 0, 0, 0, 0];
        assert!(decode(&no_samples).is_err());
    }

    #[test]
    fn an_unknown_kind_is_placed_and_leaves_the_cursor() {
        let mut bytes = encode(&[(1, 2, 3)]);
        let at = bytes.len();
        bytes.extend_from_slice(&[99, 0]);
        let mut decoder = EntryDecoder::new();
        let mut cursor = Cursor::new("payload", &bytes);
        assert!(matches!(decoder.next(&mut cursor), Ok(Some(_))));
        let error = decoder.next(&mut cursor).expect_err("unknown kind");
        assert_eq!(error.at, at as u64);
        assert_eq!(cursor.position(), at);
    }

    /// 2,000 gauges and counters of one scrape: the size that the module promises.
    #[test]
    fn a_scrape_takes_at_most_ten_bytes_a_sample() {
        let batch: Batch = (0..2000u32)
            .map(|i| {
                let v = if i % 2 == 0 { f64::from(i * 37) } else { f64::from(i) * 0.731 };
                (
                    1000 + i * 4,
                    1_700_000_000_123_000_000 + i64::from(i / 100) * 7_000_000,
                    v.to_bits(),
                )
            })
            .collect();
        let bytes = encode(&batch);
        assert!(bytes.len() <= 10 * batch.len(), "{} bytes", bytes.len());
    }
}
