//! Entries of samples that are more than floats: histograms, and what carries an annotation.

use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint, put_zigzag};

use super::{
    BATCH_SAMPLES_MAX, Entry, EntryDecoder, KIND_RICH_SAMPLES, put_batch, put_refs, put_times,
    read_count, read_refs, read_times, read_u16, read_u32,
};
use crate::buffer::{RichSample, SampleValue};
use crate::codec::histogram::{RowReader, RowWriter};
use crate::limits::ANNOTATION_BYTES_MAX;

const WHAT: &str = "log samples";

const HISTOGRAM: u8 = 1;
const STARTED: u8 = 1 << 1;
const ANNOTATED: u8 = 1 << 2;
const KNOWN_FLAGS: u8 = (1 << 3) - 1;

/// Bytes of samples at which another entry is begun. One sample may have more.
const ENTRY_BYTES_TARGET: usize = 1 << 20;

/// Appends the entries for samples of any kind of one shard; nothing for an empty batch.
///
/// The order is kept. A layout of histograms that repeats is written once in an entry.
///
/// # Panics
/// If the columns differ in length, which is a bug of the caller.
pub fn encode_rich_samples(
    out: &mut Vec<u8>,
    (namespace, shard): (u32, u16),
    refs: &[u32],
    ts: &[i64],
    samples: &[RichSample],
) {
    assert!(refs.len() == ts.len() && ts.len() == samples.len(), "BUG: columns differ in length");
    let mut rows = Vec::new();
    let mut first = 0;
    while first < samples.len() {
        rows.clear();
        let mut writer = RowWriter::default();
        let mut start_before = 0;
        let mut end = first;
        while end < samples.len()
            && end - first < BATCH_SAMPLES_MAX
            && rows.len() < ENTRY_BYTES_TARGET
        {
            put_sample(&mut rows, &samples[end], &mut start_before, &mut writer);
            end += 1;
        }
        put_batch(out, KIND_RICH_SAMPLES, |out| {
            put_varint(out, u64::from(namespace));
            put_varint(out, u64::from(shard));
            put_varint(out, (end - first) as u64);
            put_refs(out, &refs[first..end]);
            put_times(out, &ts[first..end]);
            out.extend_from_slice(&rows);
        });
        first = end;
    }
}

fn put_sample(
    out: &mut Vec<u8>,
    sample: &RichSample,
    start_before: &mut i64,
    writer: &mut RowWriter,
) {
    let is_histogram = matches!(sample.value, SampleValue::Histogram(_));
    out.push(
        (u8::from(is_histogram) * HISTOGRAM)
            | (u8::from(sample.start_ns != 0) * STARTED)
            | (u8::from(sample.annotation.is_some()) * ANNOTATED),
    );
    if sample.start_ns != 0 {
        put_zigzag(out, sample.start_ns.wrapping_sub(*start_before));
        *start_before = sample.start_ns;
    }
    if let Some(annotation) = &sample.annotation {
        put_length_prefixed(out, annotation);
    }
    match &sample.value {
        SampleValue::Float(v) => out.extend_from_slice(&v.to_bits().to_le_bytes()),
        SampleValue::Histogram(h) => writer.put(out, h),
    }
}

impl EntryDecoder {
    pub(super) fn read_rich_samples(&mut self, body: &[u8]) -> Result<Entry<'_>, Corrupt> {
        let mut cursor = Cursor::new(WHAT, body);
        let namespace = read_u32(&mut cursor, "a namespace of 32 bits")?;
        let shard = read_u16(&mut cursor, "a shard of 16 bits")?;
        let count = read_count(&mut cursor)?;
        read_refs(&mut cursor, count, &mut self.refs)?;
        read_times(&mut cursor, count, &mut self.ts)?;
        self.rich.clear();
        let mut reader = RowReader::default();
        let mut start_before = 0;
        for _ in 0..count {
            self.rich.push(read_sample(&mut cursor, &mut start_before, &mut reader)?);
        }
        if !cursor.is_empty() {
            let got = format!("{} more bytes", cursor.remaining());
            return Err(Corrupt::new(WHAT, cursor.position(), "the end of the entry", got));
        }
        let Self { refs, ts, rich, .. } = self;
        Ok(Entry::RichSamples { namespace, shard, refs, ts, samples: rich })
    }
}

fn read_sample(
    cursor: &mut Cursor<'_>,
    start_before: &mut i64,
    reader: &mut RowReader,
) -> Result<RichSample, Corrupt> {
    let at = cursor.position();
    let flags = cursor.u8()?;
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Corrupt::new(WHAT, at, "known flags", format!("{flags:#x}")));
    }
    let mut start_ns = 0;
    if flags & STARTED != 0 {
        *start_before = start_before.wrapping_add(cursor.zigzag()?);
        start_ns = *start_before;
    }
    let mut annotation = None;
    if flags & ANNOTATED != 0 {
        let bytes = cursor.length_prefixed()?;
        if bytes.is_empty() || bytes.len() > ANNOTATION_BYTES_MAX {
            let want = format!("an annotation of 1 to {ANNOTATION_BYTES_MAX} bytes");
            return Err(Corrupt::new(WHAT, at, want, bytes.len().to_string()));
        }
        annotation = Some(Arc::from(bytes));
    }
    let value = match flags & HISTOGRAM {
        0 => SampleValue::Float(f64::from_bits(cursor.u64()?)),
        _ => SampleValue::Histogram(Arc::new(reader.next(cursor)?)),
    };
    Ok(RichSample { value, start_ns, annotation })
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::{Histogram, HistogramLayout, STALE_NAN_BITS};
    use proptest::prelude::*;

    use super::*;

    fn sample() -> impl Strategy<Value = RichSample> {
        let histogram = (-4i32..=8, any::<f64>()).prop_map(|(schema, sum)| {
            let layout = Arc::new(HistogramLayout { schema, ..HistogramLayout::default() });
            SampleValue::Histogram(Arc::new(Histogram { layout, sum, ..Histogram::stale() }))
        });
        let float = prop_oneof![any::<f64>(), Just(f64::from_bits(STALE_NAN_BITS))];
        let value = prop_oneof![histogram, float.prop_map(SampleValue::Float)];
        let annotation = prop::option::of(prop::collection::vec(any::<u8>(), 1..9));
        (value, prop_oneof![Just(0), any::<i64>()], annotation).prop_map(
            |(value, start_ns, annotation)| RichSample {
                value,
                start_ns,
                annotation: annotation.map(Arc::from),
            },
        )
    }

    type Row = (u32, i64, RichSample);

    fn encoded(rows: &[Row]) -> Vec<u8> {
        let refs: Vec<u32> = rows.iter().map(|r| r.0).collect();
        let ts: Vec<i64> = rows.iter().map(|r| r.1).collect();
        let samples: Vec<RichSample> = rows.iter().map(|r| r.2.clone()).collect();
        let mut out = Vec::new();
        encode_rich_samples(&mut out, (7, 3), &refs, &ts, &samples);
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<Row>, Corrupt> {
        let (mut decoder, mut cursor) = (EntryDecoder::new(), Cursor::new("payload", bytes));
        let mut rows = Vec::new();
        while let Some(entry) = decoder.next(&mut cursor)? {
            let Entry::RichSamples { namespace, shard, refs, ts, samples } = entry else {
                panic!("only such samples were written");
            };
            assert_eq!((namespace, shard), (7, 3));
            let all = refs.iter().zip(ts).zip(samples);
            rows.extend(all.map(|((r, t), s)| (*r, *t, s.clone())));
        }
        Ok(rows)
    }

    proptest! {
        #[test]
        fn rows_round_trip_and_cut_ones_are_refused(
            rows in prop::collection::vec((any::<u32>(), any::<i64>(), sample()), 0..20),
            flip in (any::<prop::sample::Index>(), 0u8..8),
        ) {
            let bytes = encoded(&rows);
            prop_assert_eq!(decoded(&bytes), Ok(rows));
            for end in 1..bytes.len() {
                prop_assert!(decoded(&bytes[..end]).is_err(), "cut at {}", end);
            }
            if !bytes.is_empty() {
                let mut flipped = bytes;
                let at = flip.0.index(flipped.len());
                flipped[at] ^= 1 << flip.1;
                let mut decoder = EntryDecoder::new();
                let _ = decoder.next(&mut Cursor::new("payload", &flipped));
            }
        }

        #[test]
        fn starts_round_trip(
            rows in prop::collection::vec(any::<(u32, i64, u64, i64)>(), 1..50),
        ) {
            let refs: Vec<u32> = rows.iter().map(|r| r.0).collect();
            let ts: Vec<i64> = rows.iter().map(|r| r.1).collect();
            let vs: Vec<f64> = rows.iter().map(|r| f64::from_bits(r.2)).collect();
            let starts: Vec<i64> = rows.iter().map(|r| r.3).collect();
            let mut bytes = Vec::new();
            super::super::encode_started_samples(&mut bytes, (7, 3), &refs, &ts, &vs, &starts);
            let (mut decoder, mut cursor) = (EntryDecoder::new(), Cursor::new("payload", &bytes));
            let read = decoder.next(&mut cursor).expect("sound").expect("an entry");
            let Entry::Samples { refs: r, ts: t, vs: v, starts: s, .. } = read else {
                panic!("only samples were written");
            };
            prop_assert_eq!((r, t, s), (&refs[..], &ts[..], &starts[..]));
            prop_assert!(v.iter().zip(&vs).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn many_bytes_become_several_entries() {
        let annotation: Arc<[u8]> = Arc::from([7; ANNOTATION_BYTES_MAX]);
        let sample = RichSample { annotation: Some(annotation), ..RichSample::float(1.0) };
        let rows: Vec<Row> = (0..600).map(|i| (i, 5, sample.clone())).collect();
        let bytes = encoded(&rows);
        let mut cursor = Cursor::new("payload", &bytes);
        let mut decoder = EntryDecoder::new();
        let mut entries = 0;
        while decoder.next(&mut cursor).expect("sound").is_some() {
            entries += 1;
        }
        assert_eq!(entries, 3);
        assert_eq!(decoded(&bytes), Ok(rows));
    }
}
