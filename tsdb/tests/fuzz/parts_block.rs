//! What must hold of any bytes taken for a series block of parts.

use std::ops::RangeInclusive;
use std::sync::Arc;

use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, SampleKind, Span,
};
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint, put_zigzag};
use m3rs_tsdb::fileset::BlockCodec;
use m3rs_tsdb::series_block::{BlockDecoder, BlockEncoder, Effort, EncodedBlock};
use m3rs_tsdb::{ANNOTATION_BYTES_MAX, Columns, RichSample, Timed};

const FIRST: i64 = 1_700_000_000_000_000_000;
const STEP: i64 = 15_000_000_000;
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// More floats than this only take longer.
const FLOATS_MAX: u64 = 1 << 16;

/// Takes `data` for codec (1 byte), number of samples (2 bytes), bytes of the times (1 byte), and
/// the block; a block that decodes is encoded again to the same samples, and a read of a part of
/// it finds that part of them.
pub(crate) fn fuzz_parts_block(data: &[u8]) {
    let Some((&[codec, low, high, times_len], rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let codec = [BlockCodec::Parts, BlockCodec::TimedParts][usize::from(codec % 2)];
    let count = u32::from(u16::from_le_bytes([low, high]));
    let (times, bytes) = rest.split_at(usize::from(times_len).min(rest.len()));
    if floats_of(bytes).is_some_and(|count| count > FLOATS_MAX) {
        return;
    }
    let mut decoder = BlockDecoder::default();
    for last_ns in [FIRST, FIRST + STEP * (i64::from(count) - 1)] {
        let kind = SampleKind::Mixed;
        let block = EncodedBlock { codec, kind, count, first_ns: FIRST, last_ns, times, bytes };
        let mut columns = Columns::default();
        if decoder.overlay(&block, ALL, &mut columns).is_err() {
            assert!(columns.is_empty() && columns.rich.is_empty());
            continue;
        }
        check(&columns);
        read_part(&block, &columns, &mut decoder);
        round_trip(&columns, &mut decoder);
    }
}

/// How many floats a block of parts says it has.
fn floats_of(bytes: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new("series block", bytes);
    let _tag = cursor.u8().ok()?;
    let mut floats = Cursor::new("series block", cursor.length_prefixed().ok()?);
    let _codec = floats.u8().ok()?;
    floats.varint().ok()
}

/// What readers rely on.
fn check(columns: &Columns) {
    let times = columns.times();
    assert!(times.is_sorted_by(|a, b| a < b));
    assert_eq!((columns.ts.len(), columns.len()), (columns.vs.len(), times.len()));
    let rich = &columns.rich;
    for histogram in &rich.histograms.values {
        assert_eq!(histogram.validate(), Ok(()));
    }
    let is_carried = |ts: &[i64]| {
        ts.is_sorted_by(|a, b| a < b) && ts.iter().all(|t| times.binary_search(t).is_ok())
    };
    assert!(is_carried(&rich.starts.ts) && is_carried(&rich.annotations.ts));
    assert!(rich.starts.values.iter().all(|start| *start != 0));
    let lens = rich.annotations.values.iter().map(|annotation| annotation.len());
    assert!(lens.clone().all(|len| (1..=ANNOTATION_BYTES_MAX).contains(&len)));
}

/// Reads the middle of a block whose samples are `all`, with what they carry and without.
fn read_part(block: &EncodedBlock<'_>, all: &Columns, decoder: &mut BlockDecoder) {
    let times = all.times();
    let (Some(from), Some(to)) = (times.get(times.len() / 3), times.get(times.len() * 2 / 3))
    else {
        return;
    };
    let range = *from..=*to;
    for values_only in [false, true] {
        let mut part = Columns { values_only, ..Columns::default() };
        decoder.overlay(block, (*from, *to), &mut part).expect("the whole decodes");
        let floats = all.iter().map(|s| (s.t.0, s.v.to_bits()));
        assert!(floats.filter(|(t, _)| range.contains(t)).eq(bits(&part)));
        assert!(inside(&all.rich.histograms, &range).eq(each(&part.rich.histograms)));
        if values_only {
            assert!(part.rich.starts.is_empty() && part.rich.annotations.is_empty());
            continue;
        }
        assert!(inside(&all.rich.starts, &range).eq(each(&part.rich.starts)));
        assert!(inside(&all.rich.annotations, &range).eq(each(&part.rich.annotations)));
    }
}

fn round_trip(columns: &Columns, decoder: &mut BlockDecoder) {
    for effort in [Effort::Flush, Effort::Compact] {
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(columns, effort).expect("it has room");
        let Some(block) = block else {
            return assert!(columns.is_empty() && columns.rich.is_empty());
        };
        let mut again = Columns::default();
        decoder.overlay(&block, ALL, &mut again).expect("what we write decodes");
        assert!(bits(&again).eq(bits(columns)));
        assert!(each(&again.rich.histograms).eq(each(&columns.rich.histograms)));
        assert!(each(&again.rich.starts).eq(each(&columns.rich.starts)));
        assert!(each(&again.rich.annotations).eq(each(&columns.rich.annotations)));
    }
}

fn bits(columns: &Columns) -> impl Iterator<Item = (i64, u64)> + '_ {
    columns.iter().map(|s| (s.t.0, s.v.to_bits()))
}

fn each<T>(timed: &Timed<T>) -> impl Iterator<Item = (&i64, &T)> {
    timed.ts.iter().zip(&timed.values)
}

fn inside<'a, T>(
    timed: &'a Timed<T>,
    range: &'a RangeInclusive<i64>,
) -> impl Iterator<Item = (&'a i64, &'a T)> {
    each(timed).filter(move |(t, _)| range.contains(t))
}

/// A histogram with as many observations as `i`.
fn histogram(i: u64) -> RichSample {
    let layout = HistogramLayout {
        schema: 3,
        zero_threshold: 1e-9,
        positive_spans: vec![Span { offset: 1, length: 2 }, Span { offset: 3, length: 1 }],
        ..HistogramLayout::default()
    };
    let positive = vec![i / 2, i - i / 2, 7];
    let counts = BucketCounts { count: i + 7, zero: 0, positive, negative: Vec::new() };
    RichSample::histogram(Arc::new(Histogram {
        layout: Arc::new(layout),
        reset_hint: ResetHint::Unknown,
        sum: i as f64,
        counts: Counts::Integer(counts),
    }))
}

/// Sample number `i`, with a start timestamp that changes once, and later an annotation.
fn carrying(i: u64, sample: RichSample) -> RichSample {
    let start_ns = FIRST - if i < 30 { 2 * STEP } else { STEP };
    let annotation = (i >= 40).then(|| Arc::from(&b"restart"[..]));
    RichSample { start_ns, annotation, ..sample }
}

/// A name, which samples are histograms (those with 0), and whether they carry something.
type Shape = (&'static str, fn(u64) -> u64, bool);

/// Sound inputs of each form, by name.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let float = |i: u64| RichSample::float((i * 37 % 100) as f64 / 100.0);
    let shapes: [Shape; 3] =
        [("timed", |_| 1, true), ("histograms", |_| 0, false), ("mixed", |i| i % 3, true)];
    let mut seeds = Vec::new();
    for (name, kind, carries) in shapes {
        let mut columns = Columns::default();
        for i in 0..60 {
            let sample = if kind(i) == 0 { histogram(i) } else { float(i) };
            let sample = if carries { carrying(i, sample) } else { sample };
            columns.push_rich(FIRST + i as i64 * STEP, &sample);
        }
        seeds.push((name, input_of(&columns)));
    }
    // A layer may delete what is below it, and nothing but that.
    let mut ranges = Vec::new();
    put_varint(&mut ranges, 1);
    put_zigzag(&mut ranges, 0);
    put_zigzag(&mut ranges, 10 * STEP);
    let mut deletions = vec![0, 0, 0, 0, 5];
    put_length_prefixed(&mut deletions, &ranges);
    seeds.push(("deletions", deletions));
    seeds
}

fn input_of(columns: &Columns) -> Vec<u8> {
    let mut encoder = BlockEncoder::default();
    let block = encoder.encode(columns, Effort::Flush).expect("fits").expect("some");
    let codec = u8::from(block.codec == BlockCodec::TimedParts);
    let head = [codec, block.count as u8, 0, block.times.len() as u8];
    [&head[..], block.times, block.bytes].concat()
}
