//! Chunks against those of Prometheus, and against a plain reader of them.
//!
//! `coordinator/tests/golden/chunks.txt` was written by `tsdb/chunkenc` of Prometheus 3.14 from the
//! same samples.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, ResetHint, SCHEMA_CUSTOM, STALE_NAN, Span,
};
use proptest::prelude::*;

use super::chunk_reader::{float_histograms, floats, histograms};
use super::{CHUNK_SAMPLES_MAX, Chunk, ChunkEncoding, put_floats, put_histograms};

const BASE: i64 = 1_700_000_000_000;

fn golden() -> BTreeMap<String, Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chunks.txt");
    let text = DiskFs.read(Path::new(path)).expect("the golden chunks");
    let text = String::from_utf8(text).expect("text");
    let line = |line: &str| {
        let (name, hex) = line.split_once(' ').expect("a name and bytes");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (name.to_owned(), (0..hex.len()).step_by(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}

fn float_chunk(samples: &[(i64, f64)]) -> Vec<u8> {
    let (ts, vs): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
    let mut out = Vec::new();
    let chunk = put_floats(&ts, &vs, &mut out).expect("samples");
    let (min_ms, max_ms) = (ts[0], ts[ts.len() - 1]);
    let encoding = ChunkEncoding::Xor;
    assert_eq!(chunk, Chunk { encoding, len: samples.len(), min_ms, max_ms });
    out
}

#[test]
fn floats_are_encoded_as_prometheus_does() {
    let golden = golden();
    let jitter = [0, 1, -7, 5000, -5000, 70_000, -60_000, 400_000, 1 << 40];
    let odd = [
        0.0,
        -0.0,
        STALE_NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e-300,
        5e-324,
        f64::MAX,
        1.0,
        1.0,
    ];
    let at = |i: i64| usize::try_from(i).expect("small");
    let cases: [(&str, Vec<(i64, f64)>); 5] = [
        ("counter", (0..120).map(|i| (BASE + i * 15_000, i as f64 * 3.0)).collect()),
        (
            "jitter",
            (0..63)
                .map(|i| (BASE + i * 15_000 + jitter[at(i % 9)], (i * i) as f64 / 7.0))
                .collect(),
        ),
        ("odd", (0..10).map(|i| (i * i * i - 5, odd[at(i)])).collect()),
        ("one", vec![(-1, 7.0)]),
        ("two", vec![(0, 7.0), (3, 7.0)]),
    ];
    for (name, samples) in cases {
        assert_eq!(float_chunk(&samples), golden[name], "{name}");
    }
}

fn layout(schema: i32, zero_threshold: f64) -> HistogramLayout {
    let span = |offset, length| Span { offset, length };
    HistogramLayout {
        schema,
        zero_threshold,
        positive_spans: vec![span(0, 2), span(3, 1)],
        negative_spans: vec![span(-2, 1)],
        custom_bounds: Vec::new(),
    }
}

/// The histograms of the golden file.
fn golden_histograms(name: &str) -> (Vec<i64>, Vec<Arc<Histogram>>) {
    let ts: Vec<i64> = (0..12).map(|i| BASE + i * 15_000 + i % 3).collect();
    let float = name.starts_with("float");
    let of = |i: u64| -> Histogram {
        let n = i as f64;
        let integer = BucketCounts {
            count: 8 * i,
            zero: i,
            positive: vec![i, 2 * i, 3 * i],
            negative: vec![i],
        };
        let sum = n * 1.5;
        let (counts, layout, sum, reset_hint) = match name {
            "custom" => {
                let positive = (1..=5).map(|k| k * i * i).collect();
                let counts =
                    BucketCounts { count: 15 * i * i, positive, ..BucketCounts::default() };
                let span = |offset, length| Span { offset, length };
                let layout = HistogramLayout {
                    schema: SCHEMA_CUSTOM,
                    positive_spans: vec![span(0, 3), span(1, 2)],
                    custom_bounds: vec![0.005, 0.01, 1.0, 2.5, 40_000.0, 40_000.5],
                    ..HistogramLayout::default()
                };
                (Counts::Integer(counts), layout, n / 3.0, ResetHint::Unknown)
            }
            "gauge" => {
                let counts = BucketCounts { count: 8 * i + 12 - 2 * i, zero: 12 - i, ..integer };
                (Counts::Integer(counts), layout(3, 0.001), sum, ResetHint::Gauge)
            }
            _ if float => {
                let counts = BucketCounts {
                    count: 4.0 * n,
                    zero: n / 2.0,
                    positive: vec![n, 2.0 * n, 3.0 * n],
                    negative: vec![n],
                };
                let hint = match name {
                    "float_gauge" => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                };
                (Counts::Float(counts), layout(3, 0.0), sum, hint)
            }
            _ => {
                let threshold = f64::powi(2.0, -128);
                (Counts::Integer(integer), layout(3, threshold), sum, ResetHint::Unknown)
            }
        };
        Histogram { layout: Arc::new(layout), reset_hint, sum, counts }
    };
    (ts, (0..12).map(|i| Arc::new(of(i))).collect())
}

#[test]
fn histograms_are_encoded_as_prometheus_does() {
    let golden = golden();
    for name in ["histogram", "stale", "gauge", "custom", "float", "float_gauge", "float_stale"] {
        let (mut ts, mut hs) = golden_histograms(name);
        let stale = Histogram::stale();
        let stale = match name {
            "float_stale" => Histogram { counts: Counts::Float(BucketCounts::default()), ..stale },
            _ => stale,
        };
        if name.ends_with("stale") {
            ts.push(BASE + 300_000);
            hs.push(Arc::new(stale.clone()));
        }
        if name == "stale" {
            ts.push(BASE + 315_000);
            hs.push(Arc::new(stale));
        }
        let mut out = Vec::new();
        let chunk = put_histograms(&ts, &hs, None, &mut out).expect("samples");
        assert_eq!(chunk.len, hs.len(), "{name}");
        assert_eq!(out, golden[name], "{name}");
    }
}

#[test]
fn chunks_end_where_readers_would_see_a_reset() {
    let (ts, mut hs) = golden_histograms("histogram");
    let cut = |hs: &[Arc<Histogram>], before: Option<&Histogram>| {
        let mut out = Vec::new();
        let chunk = put_histograms(&ts, hs, before, &mut out).expect("samples");
        (chunk.len, out[2])
    };
    assert_eq!(cut(&hs, None), (12, 0));
    assert_eq!(cut(&hs[3..], Some(&hs[2])), (9, 0x40), "no reset before");
    assert_eq!(cut(&hs[3..], Some(&hs[5])), (9, 0x80), "a reset before");
    let fallen = Arc::clone(&hs[1]);
    hs.insert(4, fallen);
    assert_eq!(cut(&hs, None).0, 4);
    hs.remove(4);
    let changed = |change: &dyn Fn(&mut Histogram)| {
        let mut all = hs.clone();
        change(Arc::make_mut(&mut all[6]));
        cut(&all, None).0
    };
    assert_eq!(changed(&|h| h.reset_hint = ResetHint::Reset), 6);
    assert_eq!(changed(&|h| h.reset_hint = ResetHint::Gauge), 6);
    assert_eq!(changed(&|h| h.layout = Arc::new(layout(4, 0.0))), 6);
    assert_eq!(changed(&|h| h.counts = Counts::Float(BucketCounts::default())), 6);
    assert_eq!(changed(&|h| *h = Histogram::stale()), 7, "nothing follows a staleness marker");
    assert_eq!(cut(&[Arc::new(Histogram::stale())], None), (1, 0));
}

#[test]
fn chunks_have_no_more_samples_than_they_may() {
    let ts: Vec<i64> = (0..300).collect();
    let mut out = Vec::new();
    let chunk = put_floats(&ts, &vec![0.0; 300], &mut out).expect("samples");
    assert_eq!(chunk.len, CHUNK_SAMPLES_MAX);
    assert_eq!(put_floats(&[], &[], &mut out), None);
    assert_eq!(put_histograms(&[], &[], None, &mut out), None);
    // Large ones end after ten.
    let positive: Vec<f64> = (0..500).map(|i| f64::from(i) / 3.0).collect();
    let counts = BucketCounts { positive, ..BucketCounts::default() };
    let span = Span { offset: 0, length: 500 };
    let layout = HistogramLayout { positive_spans: vec![span], ..HistogramLayout::default() };
    let large = Histogram {
        layout: Arc::new(layout),
        reset_hint: ResetHint::Gauge,
        sum: 0.0,
        counts: Counts::Float(counts),
    };
    let large = Arc::new(large);
    let hs: Vec<Arc<Histogram>> = (0..300).map(|_| Arc::clone(&large)).collect();
    assert_eq!(put_histograms(&ts, &hs, None, &mut out).expect("samples").len, 10);
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (-1000i32..1000).prop_map(f64::from),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(STALE_NAN),
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..20u64, 1 => 0..1u64 << 62]
}

/// Histograms with few layouts, so that some follow each other in a chunk.
fn any_histogram() -> impl Strategy<Value = Histogram> {
    let counts = prop_oneof![
        4 => proptest::array::uniform6(any_count()).prop_map(|n| {
            let [count, zero, a, b, c, d] = n;
            let (positive, negative) = (vec![a, b, c], vec![d]);
            Counts::Integer(BucketCounts { count, zero, positive, negative })
        }),
        2 => proptest::array::uniform6(any_float()).prop_map(|n| {
            let [count, zero, a, b, c, d] = n;
            let (positive, negative) = (vec![a, b, c], vec![d]);
            Counts::Float(BucketCounts { count, zero, positive, negative })
        }),
    ];
    let hint = prop_oneof![
        3 => Just(ResetHint::Unknown), 1 => Just(ResetHint::Reset),
        1 => Just(ResetHint::NoReset), 1 => Just(ResetHint::Gauge),
    ];
    let threshold = prop_oneof![Just(0.0), Just(0.25), Just(0.001)];
    let histogram = (counts, hint, any_float(), -4i32..=-3, threshold).prop_map(
        |(counts, reset_hint, sum, schema, threshold)| {
            let sum = if m3rs_core::model::is_stale(sum) { 0.0 } else { sum };
            Histogram { layout: Arc::new(layout(schema, threshold)), reset_hint, sum, counts }
        },
    );
    prop_oneof![6 => histogram, 1 => Just(Histogram::stale())]
}

proptest! {
    #[test]
    fn floats_come_back(
        samples in proptest::collection::vec((any::<i64>(), any_float()), 1..CHUNK_SAMPLES_MAX),
        steps in any::<bool>(),
    ) {
        let mut samples = samples;
        if steps {
            let mut t = 0i64;
            for (at, _) in &mut samples {
                t = t.wrapping_add(15_000 + (*at % 3000) * i64::from(*at % 5 == 0));
                *at = t;
            }
        }
        let back = floats(&float_chunk(&samples));
        let bits = |s: &[(i64, f64)]| -> Vec<(i64, u64)> {
            s.iter().map(|(t, v)| (*t, v.to_bits())).collect()
        };
        prop_assert_eq!(bits(&back), bits(&samples));
    }

    /// All but hints, which say no more than is known, and the empty layout of staleness markers.
    #[test]
    fn histograms_come_back(
        hs in proptest::collection::vec(any_histogram(), 1..40),
        first in -10i64..1000,
    ) {
        let hs: Vec<Arc<Histogram>> = hs.into_iter().map(Arc::new).collect();
        let ts: Vec<i64> = (first..).step_by(7).take(hs.len()).collect();
        let mut at = 0;
        while at < hs.len() {
            let mut out = Vec::new();
            let before = at.checked_sub(1).map(|i| &*hs[i]);
            let chunk = put_histograms(&ts[at..], &hs[at..], before, &mut out).expect("samples");
            let back = match chunk.encoding {
                ChunkEncoding::FloatHistogram => float_histograms(&out),
                _ => histograms(&out),
            };
            prop_assert_eq!(back.len(), chunk.len);
            for (i, (t, h)) in back.into_iter().enumerate() {
                let wanted = &hs[at + i];
                prop_assert_eq!(t, ts[at + i]);
                prop_assert!(
                    h.reset_hint != ResetHint::NoReset || wanted.reset_hint != ResetHint::Reset
                );
                let same = Histogram { reset_hint: wanted.reset_hint, ..h };
                prop_assert!(wanted.is_stale() && same.is_stale() || same == **wanted);
            }
            at += chunk.len;
        }
    }
}
