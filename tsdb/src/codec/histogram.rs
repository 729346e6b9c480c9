//! Native histograms: runs of samples with equal buckets, each field a column of differences.
//!
//! **What it is:** the codec of histograms in open windows, snapshots and volumes
//! ([`encode`], [`decode_range_into`]), and the form of a single histogram in the commit log
//! ([`RowWriter`], [`RowReader`]). Drawn in `docs/formats/histogram.md`.
//!
//! **What it is not:** a container. Whoever stores the bytes keeps their length and a checksum.
//!
//! **In → out:** (nanoseconds, histogram), ascending by time → chunks of bytes → the same.
//!
//! # Invariants
//! - What goes in comes out by bits: layout, reset hint, kind and every count.
//! - A chunk stands alone but for its layout, which may be that of the chunk before.
//! - Hostile bytes end in histograms that are valid or in a [`Corrupt`]; no panic, and no memory
//!   beyond the histograms in range and one chunk.
//!
//! Budget: at most the bytes of Prometheus's histogram chunks (`benches/benches/histogram.rs`).

mod bits;
mod chunk;
mod column;
mod layout;
mod row;

use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::model::Histogram;
use m3rs_core::wire::Cursor;

pub use row::{RowReader, RowWriter};

/// The most samples of one chunk.
pub const CHUNK_SAMPLES_MAX: usize = 128;

const WHAT: &str = "histogram chunk";

/// Appends chunks that hold these samples, which ascend by time, to `out`.
///
/// # Panics
/// If the columns differ in length, which is a bug of the caller.
pub fn encode(out: &mut Vec<u8>, ts: &[i64], hs: &[Arc<Histogram>]) {
    assert!(ts.len() == hs.len(), "BUG: {} times of {} histograms", ts.len(), hs.len());
    let mut before: Option<&Histogram> = None;
    let mut at = 0;
    while at < hs.len() {
        let run = chunk::run_len(&hs[at..]);
        let (ts, hs) = (&ts[at..at + run], &hs[at..at + run]);
        let layout_goes_on = before.is_some_and(|b| b.layout == hs[0].layout);
        chunk::encode(out, ts, hs, layout_goes_on);
        before = hs.last().map(|h| &**h);
        at += run;
    }
}

/// Decodes the samples in `from..=to` out of chunks back to back and appends them.
///
/// # Errors
/// [`Corrupt`] for bytes that no encoder writes. Samples before them were appended.
pub fn decode_range_into(
    bytes: &[u8],
    (from, to): (i64, i64),
    ts: &mut Vec<i64>,
    hs: &mut Vec<Arc<Histogram>>,
) -> Result<(), Corrupt> {
    let mut cursor = Cursor::new(WHAT, bytes);
    let mut decoder = chunk::Decoder::default();
    while !cursor.is_empty() {
        decoder.next(&mut cursor, (from, to), ts, hs)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::{BucketCounts, Counts, HistogramLayout, ResetHint, Span};
    use proptest::prelude::*;

    use super::*;

    fn layout() -> impl Strategy<Value = HistogramLayout> {
        let spans = || {
            prop::collection::vec((0i32..9, 0u32..4), 0..4).prop_map(|spans| {
                spans
                    .into_iter()
                    .map(|(offset, length)| Span { offset, length })
                    .collect::<Vec<_>>()
            })
        };
        let exponential = (
            -4i32..=8,
            prop_oneof![Just(0.0), Just(2f64.powi(-128)), any::<f64>()],
            spans(),
            spans(),
            -100i32..100,
        )
            .prop_map(|(schema, zero_threshold, mut positive, negative, first)| {
                if let Some(span) = positive.first_mut() {
                    span.offset = first;
                }
                HistogramLayout {
                    schema,
                    zero_threshold,
                    positive_spans: positive,
                    negative_spans: negative,
                    custom_bounds: Vec::new(),
                }
            });
        let bound = prop_oneof![any::<f64>(), (0u32..9000).prop_map(|m| f64::from(m) / 1000.0)];
        let custom = prop::collection::vec(bound, 0..9).prop_map(|mut bounds| {
            bounds.retain(|b| b.is_finite());
            bounds.sort_by(f64::total_cmp);
            bounds.dedup_by(|a, b| a <= b);
            HistogramLayout {
                schema: m3rs_core::model::SCHEMA_CUSTOM,
                positive_spans: vec![Span { offset: 0, length: bounds.len() as u32 + 1 }],
                custom_bounds: bounds,
                ..HistogramLayout::default()
            }
        });
        prop_oneof![2 => exponential, 1 => custom, 1 => Just(HistogramLayout::default())]
    }

    fn integers(layout: &HistogramLayout, seeds: &[u64]) -> BucketCounts<u64> {
        let mut seeds = seeds.iter().cycle().copied();
        let mut next = || seeds.next().unwrap_or(3) >> 8;
        let mut take = |n: u64| (0..n).map(|_| next() / 2048).collect::<Vec<u64>>();
        let (positive, negative) = (take(layout.positive_len()), take(layout.negative_len()));
        let zero = if layout.custom_bounds.is_empty() { take(1)[0] } else { 0 };
        let zero = if layout.schema == m3rs_core::model::SCHEMA_CUSTOM { 0 } else { zero };
        let count = zero + positive.iter().chain(&negative).sum::<u64>();
        BucketCounts { count, zero, positive, negative }
    }

    fn floats(layout: &HistogramLayout, seeds: &[u64]) -> BucketCounts<f64> {
        let of = |v: &u64| f64::from_bits(*v).abs();
        let whole = integers(layout, seeds);
        let mut positive: Vec<f64> = whole.positive.iter().map(|&v| v as f64).collect();
        if let (Some(first), Some(seed)) = (positive.first_mut(), seeds.first()) {
            *first = of(seed);
        }
        BucketCounts {
            count: seeds.last().map_or(0.0, of),
            zero: whole.zero as f64,
            positive,
            negative: whole.negative.iter().map(|&v| v as f64 / 3.0).collect(),
        }
    }

    fn sum() -> impl Strategy<Value = f64> {
        let stale = Just(m3rs_core::model::STALE_NAN);
        prop_oneof![any::<f64>(), stale, (0i32..99).prop_map(f64::from)]
    }

    /// The first of a run, and how much each later one grew.
    fn run() -> impl Strategy<Value = (Histogram, Vec<u64>)> {
        (histogram(), prop::collection::vec(any::<u64>(), 0..20))
    }

    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![Just(15_000_000_000i64), 1i64..1 << 40];
        prop::collection::vec(step, 100)
    }

    prop_compose! {
        fn histogram()(
            layout in layout(),
            seeds in prop::collection::vec(any::<u64>(), 1..9),
            hint in 0u8..4,
            sum in sum(),
            is_float in any::<bool>(),
        ) -> Histogram {
            let mut counts = if is_float {
                Counts::Float(floats(&layout, &seeds))
            } else {
                Counts::Integer(integers(&layout, &seeds))
            };
            if let Counts::Integer(counts) = &mut counts
                && sum.is_nan()
            {
                counts.count += seeds[0] & 0xff;
            }
            let reset_hint = ResetHint::from_tag(hint).expect("a known hint");
            let h = Histogram { layout: Arc::new(layout), reset_hint, sum, counts };
            assert_eq!(h.validate(), Ok(()), "{h:?}");
            h
        }
    }

    /// A run with one layout whose counts grow, as an application's do.
    fn grown(first: &Histogram, steps: &[u64]) -> Vec<Arc<Histogram>> {
        let mut all = vec![Arc::new(first.clone())];
        for &step in steps {
            let mut h = Histogram::clone(all.last().expect("there is a first"));
            if let Counts::Integer(c) = &mut h.counts {
                for (i, bucket) in c.positive.iter_mut().enumerate() {
                    let more = (step >> (8 * (i % 8))) & 0xff;
                    *bucket += more;
                    c.count += more;
                }
            }
            h.sum += (step & 0xffff) as f64 / 10.0;
            all.push(Arc::new(h));
        }
        all
    }

    fn decoded(
        bytes: &[u8],
        range: (i64, i64),
    ) -> Result<(Vec<i64>, Vec<Arc<Histogram>>), Corrupt> {
        let (mut ts, mut hs) = (Vec::new(), Vec::new());
        decode_range_into(bytes, range, &mut ts, &mut hs).map(|()| (ts, hs))
    }

    fn times(steps: impl Iterator<Item = i64>) -> Vec<i64> {
        steps
            .scan(-5, |t, step| {
                Some({
                    *t += step;
                    *t
                })
            })
            .collect()
    }

    proptest! {
        #[test]
        fn any_histograms_come_back_by_bits(
            runs in prop::collection::vec(run(), 0..5),
            steps in steps(),
            cut in 0usize..100,
        ) {
            let hs: Vec<_> = runs.iter().flat_map(|(h, steps)| grown(h, steps)).collect();
            let ts = times(steps.iter().copied().cycle().take(hs.len()));
            let mut bytes = Vec::new();
            encode(&mut bytes, &ts, &hs);
            prop_assert_eq!(decoded(&bytes, (i64::MIN, i64::MAX)), Ok((ts.clone(), hs.clone())));
            if let Some(&from) = ts.get(cut) {
                let to = ts[(cut + 7).min(ts.len() - 1)];
                let (got_ts, got_hs) = decoded(&bytes, (from, to)).expect("sound");
                let end = (cut + 8).min(ts.len());
                prop_assert_eq!(got_ts, &ts[cut..end]);
                prop_assert_eq!(got_hs, &hs[cut..end]);
            }
        }

        #[test]
        fn bytes_that_were_changed_never_panic(
            h in histogram(),
            steps in prop::collection::vec(any::<u64>(), 0..40),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let hs = grown(&h, &steps);
            let ts = times((0..hs.len()).map(|_| 1_000_000));
            let mut bytes = Vec::new();
            encode(&mut bytes, &ts, &hs);
            let _ = decoded(&bytes[..cut.index(bytes.len())], (i64::MIN, i64::MAX));
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok((ts, hs)) = decoded(&bytes, (i64::MIN, i64::MAX)) {
                prop_assert!(ts.is_sorted_by(|a, b| a < b));
                for h in hs {
                    prop_assert_eq!(h.validate(), Ok(()));
                }
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decoded(&bytes, (i64::MIN, i64::MAX));
            let _ = RowReader::default().next(&mut Cursor::new("t", &bytes));
        }

        #[test]
        fn rows_come_back_by_bits(hs in prop::collection::vec(histogram(), 0..6)) {
            let mut bytes = Vec::new();
            let mut writer = RowWriter::default();
            // Each twice, so that layouts repeat.
            for h in &hs {
                writer.put(&mut bytes, h);
                writer.put(&mut bytes, h);
            }
            let (mut reader, mut cursor) = (RowReader::default(), Cursor::new("t", &bytes));
            for h in &hs {
                prop_assert_eq!(&reader.next(&mut cursor).expect("sound"), h);
                prop_assert_eq!(&reader.next(&mut cursor).expect("sound"), h);
            }
            prop_assert!(cursor.is_empty());
            for end in 0..bytes.len() {
                let mut cursor = Cursor::new("t", &bytes[..end]);
                let mut reader = RowReader::default();
                let sound = |_: &usize| reader.next(&mut cursor).is_ok();
                let whole = (0..2 * hs.len()).take_while(sound).count();
                prop_assert!(whole < 2 * hs.len(), "cut at {end}");
            }
        }
    }

    #[test]
    fn a_latency_histogram_takes_few_bytes() {
        // 24 buckets, some 40 observations in 15 s, 480 samples: two hours.
        let layout = HistogramLayout {
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            positive_spans: vec![Span { offset: -10, length: 20 }, Span { offset: 2, length: 4 }],
            ..HistogramLayout::default()
        };
        let counts = BucketCounts { positive: vec![0; 24], ..BucketCounts::default() };
        let first = Histogram {
            layout: Arc::new(layout),
            reset_hint: ResetHint::Unknown,
            sum: 0.0,
            counts: Counts::Integer(counts),
        };
        let (mut hs, mut ts) = (vec![Arc::new(first)], vec![0]);
        let mut random = 88_172_645_463_325_252u64;
        for i in 1..480i64 {
            let mut h = Histogram::clone(hs.last().expect("there is a first"));
            for _ in 0..40 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // The sum of three is bell shaped around the middle bucket.
                let bucket = (random % 9 + (random >> 20) % 9 + (random >> 40) % 8) as usize;
                let Counts::Integer(c) = &mut h.counts else { unreachable!("they are integers") };
                c.positive[bucket.min(23)] += 1;
                c.count += 1;
                h.sum +=
                    1.09f64.powi(bucket as i32) * ((random >> 11) as f64 / (1u64 << 53) as f64);
            }
            ts.push(i * 15_000_000_000 + (random % 5) as i64 * 1_000_000);
            hs.push(Arc::new(h));
        }
        let mut bytes = Vec::new();
        encode(&mut bytes, &ts, &hs);
        let each = bytes.len() as f64 / hs.len() as f64;
        assert!(each < 20.0, "{each:.1} bytes a sample");
        assert_eq!(decoded(&bytes, (0, i64::MAX)), Ok((ts, hs)));
    }
}
