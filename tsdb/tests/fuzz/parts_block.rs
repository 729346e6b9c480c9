//! What must hold of any bytes taken for a series block of parts.

use std::sync::Arc;

use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, SCHEMA_CUSTOM, SampleKind, Span,
};
use m3rs_tsdb::fileset::BlockCodec;
use m3rs_tsdb::series_block::{BlockDecoder, BlockEncoder, Effort, EncodedBlock};
use m3rs_tsdb::{Columns, RichSample};

const STEP: i64 = 15_000_000_000;

/// Takes `data` for the number of samples (2 bytes), the span of their times in steps of 15 s
/// (2 bytes), and the block; what decodes is encoded again to the same samples.
pub(crate) fn fuzz_parts_block(data: &[u8]) {
    let Some((&[count, count_high, span, span_high], bytes)) = data.split_first_chunk::<4>() else {
        return;
    };
    let block = EncodedBlock {
        codec: BlockCodec::Parts,
        kind: SampleKind::Mixed,
        count: u32::from(u16::from_le_bytes([count, count_high])),
        first_ns: 0,
        last_ns: i64::from(u16::from_le_bytes([span, span_high])) * STEP,
        times: &[],
        bytes,
    };
    let mut decoder = BlockDecoder::default();
    let all = (i64::MIN, i64::MAX);
    let mut columns = Columns::default();
    if decoder.overlay(&block, all, &mut columns).is_err() {
        return;
    }
    assert_eq!(columns.len(), columns.ts.len() + columns.rich.histograms.ts.len());
    assert!(columns.ts.is_sorted_by(|a, b| a < b));
    for effort in [Effort::Flush, Effort::Compact] {
        let mut encoder = BlockEncoder::default();
        let encoded = encoder.encode(&columns, effort).expect("it has room");
        let Some(block) = encoded else { return assert!(columns.is_empty()) };
        let mut again = Columns::default();
        decoder.overlay(&block, all, &mut again).expect("what we write decodes");
        assert_same(&again, &columns);
    }
}

fn assert_same(read: &Columns, want: &Columns) {
    assert_eq!(read.ts, want.ts);
    let bits = |c: &Columns| c.vs.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(read), bits(want));
    let (read, want) = (&read.rich, &want.rich);
    assert_eq!((&read.starts.ts, &read.starts.values), (&want.starts.ts, &want.starts.values));
    assert_eq!(read.annotations.ts, want.annotations.ts);
    assert_eq!(read.annotations.values, want.annotations.values);
    assert_eq!(read.histograms.ts, want.histograms.ts);
    assert_eq!(read.histograms.values, want.histograms.values);
}

fn histogram(custom: bool, i: u64) -> Histogram {
    let layout = match custom {
        true => HistogramLayout {
            schema: SCHEMA_CUSTOM,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            custom_bounds: vec![0.5, 1.0],
            ..HistogramLayout::default()
        },
        false => HistogramLayout {
            schema: 3,
            zero_threshold: 1e-9,
            positive_spans: vec![Span { offset: -2, length: 3 }],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            ..HistogramLayout::default()
        },
    };
    let negative = if custom { Vec::new() } else { vec![i] };
    let counts =
        BucketCounts { count: 6 + 4 * i, zero: 0, positive: vec![1 + i, 2 + i, 3 + i], negative };
    Histogram {
        layout: Arc::new(layout),
        reset_hint: ResetHint::NoReset,
        sum: i as f64,
        counts: Counts::Integer(counts),
    }
}

/// Sound inputs by name.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    type Shape = fn(u64) -> RichSample;
    let shapes: [(&str, Shape); 4] = [
        ("exponential", |i| RichSample::histogram(Arc::new(histogram(false, i)))),
        ("custom", |i| RichSample::histogram(Arc::new(histogram(true, i)))),
        ("started", |i| RichSample { start_ns: -1, ..RichSample::float(i as f64) }),
        ("mixed", |i| match i % 3 {
            0 => RichSample::float(0.25),
            1 => RichSample::histogram(Arc::new(histogram(true, i))),
            _ => RichSample { annotation: Some(Arc::from(&b"a"[..])), ..RichSample::float(1.5) },
        }),
    ];
    let seed = |shape: Shape| {
        let mut columns = Columns::default();
        for i in 0..20 {
            columns.push_rich(i as i64 * STEP, &shape(i));
        }
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
        assert_eq!((block.codec, block.times.len()), (BlockCodec::Parts, 0));
        [&[block.count as u8, 0, 19, 0], block.bytes].concat()
    };
    shapes.into_iter().map(|(name, shape)| (name, seed(shape))).collect()
}
