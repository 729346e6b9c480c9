//! Series blocks of any kinds: floats, histograms and what samples carry, part by part.
//!
//! Drawn in `docs/formats/fileset.md`, "Blocks of parts".

use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::Corrupt;
use m3rs_core::model::SampleKind;
use m3rs_core::time::NS_PER_MS;
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint, put_zigzag};

use super::{BlockDecoder, BlockEncoder, Effort, EncodedBlock, Values, overlay_values, times_of};
use crate::buffer::{Columns, Timed};
use crate::codec::histogram;
use crate::codec::values::ValueCodec;
use crate::fileset::BlockCodec;
use crate::limits::ANNOTATION_BYTES_MAX;

const WHAT: &str = "series block";

const FLOATS: u8 = 1;
const HISTOGRAMS: u8 = 2;
const STARTS: u8 = 3;
const ANNOTATIONS: u8 = 4;
const DELETIONS: u8 = 5;

const SCALE_NS: u8 = 0;
const SCALE_MS: u8 = 1;

impl BlockEncoder {
    /// Encodes columns that hold more than plain floats.
    pub(super) fn encode_parts(
        &mut self,
        columns: &Columns,
        effort: Effort,
    ) -> Result<Option<EncodedBlock<'_>>, Corrupt> {
        let Some((first_ns, last_ns)) = span(columns) else { return Ok(None) };
        self.parts.clear();
        let rich = &columns.rich;
        let floats = self.encode_floats(columns, effort)?;
        // The block says all of its floats' times if it has nothing else that has a time.
        let is_timed = rich.histograms.is_empty() && rich.deleted.is_empty();
        if let Some(floats) = floats {
            let mut head = vec![floats.codec as u8];
            let mut times: &[u8] = &[];
            if !is_timed {
                put_varint(&mut head, u64::from(floats.count));
                put_zigzag(&mut head, floats.first_ns.wrapping_sub(first_ns));
                put_zigzag(&mut head, floats.last_ns.wrapping_sub(first_ns));
                times = &self.times;
            }
            put_part(&mut self.parts, FLOATS, &[&head, times, &self.bytes]);
        }
        if !rich.histograms.is_empty() {
            let mut body = Vec::new();
            histogram::encode(&mut body, &rich.histograms.ts, &rich.histograms.values);
            put_part(&mut self.parts, HISTOGRAMS, &[&body]);
        }
        let times = columns.times();
        if !rich.starts.is_empty() {
            let body = starts_body(&times, &rich.starts, first_ns);
            put_part(&mut self.parts, STARTS, &[&body]);
        }
        if !rich.annotations.is_empty() {
            let body = annotations_body(&times, &rich.annotations, first_ns);
            put_part(&mut self.parts, ANNOTATIONS, &[&body]);
        }
        if !rich.deleted.is_empty() {
            put_part(&mut self.parts, DELETIONS, &[&deletions_body(&rich.deleted, first_ns)]);
        }
        Ok(Some(EncodedBlock {
            codec: if is_timed { BlockCodec::TimedParts } else { BlockCodec::Parts },
            kind: SampleKind::Mixed,
            count: u32::try_from(columns.len()).unwrap_or(u32::MAX),
            first_ns,
            last_ns,
            times: if is_timed { &self.times } else { &[] },
            bytes: &self.parts,
        }))
    }
}

/// The times that a block speaks of: of its samples, and those in which it deletes older ones.
fn span(columns: &Columns) -> Option<(i64, i64)> {
    let wider = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
    columns.bounds().into_iter().chain(columns.rich.deleted.iter().copied()).reduce(wider)
}

fn deletions_body(deleted: &[(i64, i64)], first_ns: i64) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, deleted.len() as u64);
    for (from, to) in deleted {
        put_zigzag(&mut body, from.wrapping_sub(first_ns));
        put_zigzag(&mut body, to.wrapping_sub(first_ns));
    }
    body
}

fn read_deletions(body: &[u8], first_ns: i64, out: &mut Vec<(i64, i64)>) -> Result<(), Corrupt> {
    let mut cursor = Cursor::new(WHAT, body);
    let count = cursor.varint()?;
    if count > cursor.remaining() as u64 {
        let want = format!("at most {} ranges", cursor.remaining());
        return Err(Corrupt::new(WHAT, 0, want, count.to_string()));
    }
    for _ in 0..count {
        let from = first_ns.wrapping_add(cursor.zigzag()?);
        out.push((from, first_ns.wrapping_add(cursor.zigzag()?)));
    }
    if !cursor.is_empty() {
        let got = format!("{} more bytes", cursor.remaining());
        return Err(Corrupt::new(WHAT, cursor.position(), "the end of the ranges", got));
    }
    Ok(())
}

/// Appends a part whose body is these pieces.
fn put_part(out: &mut Vec<u8>, tag: u8, body: &[&[u8]]) {
    out.push(tag);
    put_varint(out, body.iter().map(|piece| piece.len() as u64).sum());
    body.iter().for_each(|piece| out.extend_from_slice(piece));
}

fn starts_body(times: &[i64], starts: &Timed<i64>, first_ns: i64) -> Vec<u8> {
    let runs = runs_of(times, starts);
    let whole_ms = first_ns % NS_PER_MS == 0
        && runs.iter().all(|(_, start)| start.is_none_or(|s| s % NS_PER_MS == 0));
    let (scale, unit) = if whole_ms { (SCALE_MS, NS_PER_MS) } else { (SCALE_NS, 1) };
    let mut body = vec![scale];
    put_varint(&mut body, runs.len() as u64);
    let (mut t_before, mut start_before) = (first_ns, first_ns / unit);
    for (t, start) in runs {
        put_zigzag(&mut body, t.wrapping_sub(t_before));
        t_before = t;
        let start = start.map_or(0, |s| s / unit);
        put_zigzag(&mut body, start.wrapping_sub(start_before));
        start_before = start;
    }
    body
}

fn annotations_body(times: &[i64], annotations: &Timed<Arc<[u8]>>, first_ns: i64) -> Vec<u8> {
    let runs = runs_of(times, annotations);
    let mut known: Vec<&Arc<[u8]>> = Vec::new();
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    let mut numbered = Vec::with_capacity(runs.len());
    for (t, annotation) in runs {
        let number = annotation.map_or(0, |annotation| {
            *numbers.entry(annotation).or_insert_with(|| {
                known.push(annotation);
                known.len()
            })
        });
        numbered.push((t, number));
    }
    let mut body = Vec::new();
    put_varint(&mut body, known.len() as u64);
    for annotation in known {
        put_length_prefixed(&mut body, annotation);
    }
    put_varint(&mut body, numbered.len() as u64);
    let mut t_before = first_ns;
    for (t, number) in numbered {
        put_zigzag(&mut body, t.wrapping_sub(t_before));
        put_varint(&mut body, number as u64);
        t_before = t;
    }
    body
}

/// Where, among the times of all samples, what they carry changes.
fn runs_of<'a, T: PartialEq>(times: &[i64], carried: &'a Timed<T>) -> Vec<(i64, Option<&'a T>)> {
    let mut runs: Vec<(i64, Option<&T>)> = Vec::new();
    let mut next = carried.ts.iter().zip(&carried.values).peekable();
    for &t in times {
        let here = next.next_if(|(at, _)| **at == t).map(|(_, value)| value);
        if runs.last().map_or(here.is_some(), |(_, before)| *before != here) {
            runs.push((t, here));
        }
    }
    runs
}

/// The parts of a block, borrowed from its bytes.
#[derive(Default)]
struct Parts<'a> {
    floats: Option<&'a [u8]>,
    histograms: Option<&'a [u8]>,
    starts: Option<&'a [u8]>,
    annotations: Option<&'a [u8]>,
    deletions: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let mut parts = Self::default();
        let mut cursor = Cursor::new(WHAT, bytes);
        let mut last = 0;
        while !cursor.is_empty() {
            let at = cursor.position();
            let tag = cursor.u8()?;
            if tag <= last {
                return Err(Corrupt::new(WHAT, at, "ascending parts", tag.to_string()));
            }
            last = tag;
            let body = Some(cursor.length_prefixed()?);
            match tag {
                FLOATS => parts.floats = body,
                HISTOGRAMS => parts.histograms = body,
                STARTS => parts.starts = body,
                ANNOTATIONS => parts.annotations = body,
                DELETIONS => parts.deletions = body,
                _ => return Err(Corrupt::new(WHAT, at, "a known part", tag.to_string())),
            }
        }
        Ok(parts)
    }
}

impl BlockDecoder {
    /// Lays the samples of a block of parts in the range over `out`.
    pub(super) fn overlay_parts(
        &mut self,
        block: &EncodedBlock<'_>,
        range: (i64, i64),
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        let parts = Parts::of(block.bytes)?;
        let carries = parts.starts.is_some() || parts.annotations.is_some();
        if parts.histograms.is_none()
            && parts.deletions.is_none()
            && (out.values_only || !carries)
            && let Some(body) = parts.floats
        {
            return self.overlay(&float_block(body, block.first_ns)?, range, out);
        }
        let mut found = std::mem::take(&mut self.parts);
        found.clear();
        let read = self.read_parts(&parts, block.first_ns, range, !out.values_only, &mut found);
        if read.is_ok() {
            out.overlay(&found);
        }
        self.parts = found;
        read
    }

    /// As [`BlockDecoder::overlay_parts`], for floats whose times stand beside the parts.
    pub(super) fn overlay_timed_parts(
        &mut self,
        block: &EncodedBlock<'_>,
        range: (i64, i64),
        out: &mut Columns,
    ) -> Result<(), Corrupt> {
        let Self { columns, parts: found, values: decoder, kept, own, millis, .. } = self;
        let (times, bytes) = times_of(block, kept, own)?;
        let parts = Parts::of(bytes)?;
        let (Some(body), None, None) = (parts.floats, parts.histograms, parts.deletions) else {
            return Err(Corrupt::new(WHAT, 0, "floats and what they carry", "other parts"));
        };
        let mut cursor = Cursor::new(WHAT, body);
        let codec = cursor.u8()?;
        let codec = ValueCodec::from_tag(codec)
            .ok_or_else(|| Corrupt::new(WHAT, 0, "a codec of values", codec.to_string()))?;
        let values = Values { codec, bytes: cursor.rest(), decoder };
        if out.values_only {
            return overlay_values(times, values, range, (columns, millis), out);
        }
        millis.stop();
        found.clear();
        overlay_values(times, values, range, (columns, millis), found)?;
        read_carried(&parts, block.first_ns, found)?;
        out.overlay(found);
        Ok(())
    }

    fn read_parts(
        &mut self,
        parts: &Parts<'_>,
        first_ns: i64,
        range: (i64, i64),
        with_carried: bool,
        found: &mut Columns,
    ) -> Result<(), Corrupt> {
        if let Some(body) = parts.floats {
            self.overlay(&float_block(body, first_ns)?, range, found)?;
            if !found.ts.is_sorted_by(|a, b| a < b) {
                return Err(Corrupt::new(WHAT, 0, "ascending times of floats", "others"));
            }
        }
        if let Some(body) = parts.histograms {
            let histograms = &mut found.rich.histograms;
            let (ts, values) = (&mut histograms.ts, &mut histograms.values);
            histogram::decode_range_into(body, range, ts, values)?;
            if let Some(t) =
                found.rich.histograms.ts.iter().find(|t| found.ts.binary_search(t).is_ok())
            {
                let got = format!("a float and a histogram at {t}");
                return Err(Corrupt::new(WHAT, 0, "one sample at each time", got));
            }
        }
        if let Some(body) = parts.deletions {
            read_deletions(body, first_ns, &mut found.rich.deleted)?;
        }
        if with_carried { read_carried(parts, first_ns, found) } else { Ok(()) }
    }
}

/// Gives the samples in `found` what they carry.
fn read_carried(parts: &Parts<'_>, first_ns: i64, found: &mut Columns) -> Result<(), Corrupt> {
    let times = found.times();
    if let Some(body) = parts.starts {
        let runs = read_starts(body, first_ns)?;
        expand(&times, runs, &mut found.rich.starts);
    }
    if let Some(body) = parts.annotations {
        let runs = read_annotations(body, first_ns)?;
        expand(&times, runs, &mut found.rich.annotations);
    }
    Ok(())
}

/// The floats of a block of parts, as a block of their own.
fn float_block(body: &[u8], first_ns: i64) -> Result<EncodedBlock<'_>, Corrupt> {
    let mut cursor = Cursor::new(WHAT, body);
    let codec = cursor.u8()?;
    let codec = BlockCodec::from_tag(codec)
        .filter(|codec| !matches!(codec, BlockCodec::Parts | BlockCodec::TimedParts))
        .ok_or_else(|| Corrupt::new(WHAT, 0, "a codec of floats", codec.to_string()))?;
    let count = cursor.varint()?;
    let count = u32::try_from(count)
        .map_err(|_| Corrupt::new(WHAT, 1, "a count of 32 bits", count.to_string()))?;
    Ok(EncodedBlock {
        codec,
        kind: SampleKind::Float,
        count,
        first_ns: first_ns.wrapping_add(cursor.zigzag()?),
        last_ns: first_ns.wrapping_add(cursor.zigzag()?),
        times: &[],
        bytes: cursor.rest(),
    })
}

/// A run of samples from a time on, and what they carry.
type Runs<T> = Vec<(i64, Option<T>)>;

fn read_starts(body: &[u8], first_ns: i64) -> Result<Runs<i64>, Corrupt> {
    let mut cursor = Cursor::new(WHAT, body);
    let unit = match cursor.u8()? {
        SCALE_NS => 1,
        SCALE_MS => NS_PER_MS,
        scale => return Err(Corrupt::new(WHAT, 0, "a known scale", scale.to_string())),
    };
    let count = read_count(&mut cursor)?;
    let mut runs = Vec::with_capacity(count);
    let (mut t, mut start) = (first_ns, first_ns / unit);
    for _ in 0..count {
        t = next_time(&mut cursor, t, runs.is_empty())?;
        start = start.wrapping_add(cursor.zigzag()?);
        let ns = start.wrapping_mul(unit);
        runs.push((t, (ns != 0).then_some(ns)));
    }
    check_end(&cursor)?;
    Ok(runs)
}

fn read_annotations(body: &[u8], first_ns: i64) -> Result<Runs<Arc<[u8]>>, Corrupt> {
    let mut cursor = Cursor::new(WHAT, body);
    let mut known: Vec<Arc<[u8]>> = Vec::with_capacity(read_count(&mut cursor)?);
    for _ in 0..known.capacity() {
        let (at, bytes) = (cursor.position(), cursor.length_prefixed()?);
        if bytes.is_empty() || bytes.len() > ANNOTATION_BYTES_MAX {
            let want = format!("an annotation of 1 to {ANNOTATION_BYTES_MAX} bytes");
            return Err(Corrupt::new(WHAT, at, want, bytes.len().to_string()));
        }
        known.push(Arc::from(bytes));
    }
    let count = read_count(&mut cursor)?;
    let mut runs = Vec::with_capacity(count);
    let mut t = first_ns;
    for _ in 0..count {
        t = next_time(&mut cursor, t, runs.is_empty())?;
        let (at, number) = (cursor.position(), cursor.varint()?);
        let annotation = match number.checked_sub(1) {
            None => None,
            Some(i) => {
                let found = usize::try_from(i).ok().and_then(|i| known.get(i).cloned());
                let bad = || Corrupt::new(WHAT, at, "a known annotation", number.to_string());
                Some(found.ok_or_else(bad)?)
            }
        };
        runs.push((t, annotation));
    }
    check_end(&cursor)?;
    Ok(runs)
}

/// A number of items of at least one byte each, so that it cannot ask for much memory.
fn read_count(cursor: &mut Cursor<'_>) -> Result<usize, Corrupt> {
    let at = cursor.position();
    let count = cursor.varint()?;
    let most = cursor.remaining();
    usize::try_from(count)
        .ok()
        .filter(|&n| n <= most)
        .ok_or_else(|| Corrupt::new(WHAT, at, format!("at most {most} items"), count.to_string()))
}

fn next_time(cursor: &mut Cursor<'_>, before: i64, is_first: bool) -> Result<i64, Corrupt> {
    let at = cursor.position();
    let step = cursor.zigzag()?;
    match before.checked_add(step) {
        Some(t) if step > 0 || is_first => Ok(t),
        _ => Err(Corrupt::new(WHAT, at, "ascending times", format!("a step of {step}"))),
    }
}

fn check_end(cursor: &Cursor<'_>) -> Result<(), Corrupt> {
    if cursor.is_empty() {
        return Ok(());
    }
    let got = format!("{} more bytes", cursor.remaining());
    Err(Corrupt::new(WHAT, cursor.position(), "the end of the part", got))
}

/// Gives each time what the run that holds it carries.
fn expand<T: Clone>(times: &[i64], runs: Runs<T>, out: &mut Timed<T>) {
    let mut runs = runs.into_iter().peekable();
    let mut carried: Option<T> = None;
    for &t in times {
        while let Some((_, next)) = runs.next_if(|(from, _)| *from <= t) {
            carried = next;
        }
        if let Some(value) = &carried {
            out.push(t, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::Histogram;

    use super::*;
    use crate::buffer::RichSample;

    const S: i64 = 1_000_000_000;

    fn sample(h: bool, start_ns: i64, annotation: &[u8]) -> RichSample {
        let value = match h {
            true => RichSample::histogram(Arc::new(Histogram::stale())),
            false => RichSample::float(-0.0),
        };
        let annotation = (!annotation.is_empty()).then(|| Arc::from(annotation));
        RichSample { start_ns, annotation, ..value }
    }

    fn mixed() -> Columns {
        let mut columns = Columns::default();
        let all: [(bool, i64, &[u8]); 7] = [
            (false, 0, b""),
            (false, 5 * S, b""),
            (true, 5 * S, b"a"),
            (true, 0, b"b"),
            (false, 0, b""),
            (false, 7 * S, b"a"),
            (false, -7 * S, b"a"),
        ];
        for (i, (h, start, annotation)) in all.into_iter().enumerate() {
            columns.push_rich(100 * S + i as i64, &sample(h, start, annotation));
        }
        columns
    }

    fn assert_same(got: &Columns, want: &Columns) {
        assert_eq!(got.ts, want.ts);
        let bits = |c: &Columns| c.vs.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(got), bits(want));
        let (got, want) = (&got.rich, &want.rich);
        assert_eq!(
            (&got.histograms.ts, &got.histograms.values),
            (&want.histograms.ts, &want.histograms.values)
        );
        assert_eq!((&got.starts.ts, &got.starts.values), (&want.starts.ts, &want.starts.values));
        let annotations = (&got.annotations.ts, &got.annotations.values);
        assert_eq!(annotations, (&want.annotations.ts, &want.annotations.values));
    }

    #[test]
    fn all_parts_come_back() {
        let columns = mixed();
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
        assert_eq!((block.kind, block.count), (SampleKind::Mixed, 7));
        assert_eq!((block.first_ns, block.last_ns), (100 * S, 100 * S + 6));
        let mut got = Columns::default();
        let mut decoder = BlockDecoder::default();
        decoder.overlay(&block, (i64::MIN, i64::MAX), &mut got).expect("sound");
        assert_same(&got, &columns);

        let mut got = Columns::default();
        decoder.overlay(&block, (100 * S + 1, 100 * S + 2), &mut got).expect("sound");
        assert_eq!((got.ts, got.rich.histograms.ts), (vec![100 * S + 1], vec![100 * S + 2]));
        assert_eq!(got.rich.starts.values, [5 * S, 5 * S]);

        let mut got = Columns { values_only: true, ..Columns::default() };
        decoder.overlay(&block, (i64::MIN, i64::MAX), &mut got).expect("sound");
        assert_eq!((got.len(), got.rich.starts.is_empty()), (7, true));
    }

    /// Floats at a regular pace that carry a start timestamp, which changes once, and later an
    /// annotation.
    fn started(first: i64) -> Columns {
        let mut columns = Columns::default();
        for i in 0..240i64 {
            let start = if i < 100 { 3 * S } else { 50 * S };
            let annotation: &[u8] = if i < 200 { b"" } else { b"a" };
            columns.push_rich(first + i * 15 * S, &sample(false, start, annotation));
        }
        columns
    }

    /// Floats with start timestamps had their times in each block of their own, where plain ones
    /// share them: 10 of 16 bytes of a counter that stands still.
    #[test]
    fn floats_that_carry_something_share_their_times() {
        let mut encoder = BlockEncoder::default();
        let plain = Columns::of_floats(started(S).ts, vec![-0.0; 240]);
        let block = encoder.encode(&plain, Effort::Flush).expect("fits").expect("some");
        let times = block.times.to_vec();
        let mut decoder = BlockDecoder::default();
        for first in [S, 7 * S] {
            let columns = started(first);
            let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
            assert_eq!((block.codec, block.kind), (BlockCodec::TimedParts, SampleKind::Mixed));
            assert_eq!((block.count, block.times), (240, &times[..]));
            // Whoever does not share them has them at the block's start.
            let whole = [block.times, block.bytes].concat();
            let inline = EncodedBlock { times: &[], bytes: &whole, ..block };
            for block in [block, inline] {
                let mut got = Columns::default();
                decoder.overlay(&block, (i64::MIN, i64::MAX), &mut got).expect("sound");
                assert_same(&got, &columns);
                let mut got = Columns { values_only: true, ..Columns::default() };
                decoder.overlay(&block, (first + 1, first + 30 * S), &mut got).expect("sound");
                assert_eq!((got.ts, got.rich.is_empty()), (columns.ts[1..3].to_vec(), true));
            }
            assert_no_panic(&block);
            assert_no_panic(&inline);
        }
    }

    #[test]
    fn changed_bytes_never_panic() {
        let columns = mixed();
        let mut encoder = BlockEncoder::default();
        assert_no_panic(&encoder.encode(&columns, Effort::Flush).expect("fits").expect("some"));
    }

    fn assert_no_panic(block: &EncodedBlock<'_>) {
        let bytes = block.bytes.to_vec();
        let mut decoder = BlockDecoder::default();
        let all = (i64::MIN, i64::MAX);
        for end in 0..bytes.len() {
            let cut = EncodedBlock { bytes: &bytes[..end], ..*block };
            let _ = decoder.overlay(&cut, all, &mut Columns::default());
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[end] ^= 1 << bit;
                let flipped = EncodedBlock { bytes: &flipped, ..*block };
                let mut out = Columns::default();
                if decoder.overlay(&flipped, all, &mut out).is_ok() {
                    assert!(out.times().is_sorted_by(|a, b| a < b), "byte {end} bit {bit}");
                }
            }
        }
    }
}
