//! Parity with M3: streams written by M3 decode to the points M3 sees, and those points encode to
//! the same bytes. The data and its origin: `testdata/m3/README.md`.

use m3rs_core::time::TimestampNs;
use m3rs_tsdb::codec::m3tsz::{
    Decoder, DecoderOptions, Encoder, EncoderOptions, Exactness, Point, TimeUnit, decode_into,
};
use serde::Deserialize;
use serde_json::Value;

const SAMPLE_BLOCKS: &str = include_str!("../../testdata/m3/m3tsz/sample_blocks.json");
const GOLDEN: &str = include_str!("../../testdata/m3/m3tsz/golden_reference.json");
const VECTORS: &str = include_str!("../../testdata/m3/m3tsz/unit_test_vectors.json");

/// Whether the samples of a golden case come back as they went in; the ones that do not.
const LOSSY: [&str; 5] = [
    "negative_zero",
    "first_value_below_min_int64",
    "huge_int_then_small",
    "seconds_unit_sub_second_timestamps_truncated",
    "seconds_unit_sub_second_timestamps_truncated_nointopt",
];

#[derive(Deserialize)]
struct GoldenCase {
    name: String,
    start: i64,
    int_optimized: bool,
    input: Vec<GoldenPoint>,
    stream_hex: String,
    decoded: Vec<GoldenPoint>,
    lossy: bool,
}

#[derive(Deserialize)]
struct GoldenPoint {
    t: i64,
    bits: String,
    unit: u8,
    #[serde(default)]
    annotation_hex: String,
}

/// A point that compares by bits.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    t: i64,
    bits: u64,
    unit: TimeUnit,
    annotation: Vec<u8>,
}

impl From<Point> for Sample {
    fn from(p: Point) -> Self {
        let bits = p.value.to_bits();
        Self { t: p.time.0, bits, unit: p.unit, annotation: p.annotation }
    }
}

impl From<&GoldenPoint> for Sample {
    fn from(p: &GoldenPoint) -> Self {
        Self {
            t: p.t,
            bits: u64::from_str_radix(&p.bits, 16).expect("hex"),
            unit: TimeUnit::from_code(p.unit).expect("a unit"),
            annotation: unhex(&p.annotation_hex),
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex"))
        .collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0u32;
    let mut held = 0;
    let mut out = Vec::new();
    for c in text.trim_end_matches('=').chars() {
        bits = bits << 6 | u32::try_from(digits.find(c).expect("a digit")).expect("small");
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).expect("a byte"));
        }
    }
    out
}

fn encode(start: i64, options: EncoderOptions, samples: &[Sample]) -> Vec<u8> {
    let mut encoder = Encoder::new(TimestampNs(start), options);
    for s in samples {
        encoder
            .push(TimestampNs(s.t), f64::from_bits(s.bits), s.unit, &s.annotation)
            .expect("encodes");
    }
    assert_eq!(encoder.len(), samples.len());
    let mut snapshot = Vec::new();
    encoder.snapshot(&mut snapshot);
    assert_eq!(snapshot.len(), encoder.bytes_len());
    assert_eq!(encoder.finish(), snapshot);
    snapshot
}

fn decode(bytes: &[u8], int_optimized: bool) -> Vec<Sample> {
    let samples: Vec<Sample> = Decoder::new(bytes, DecoderOptions { int_optimized })
        .map(|point| point.expect("decodes").into())
        .collect();
    let (mut ts, mut vs) = (vec![], vec![]);
    decode_into(bytes, int_optimized, &mut ts, &mut vs).expect("decodes");
    assert!(samples.iter().map(|s| s.t).eq(ts), "the two decoders agree on times");
    assert!(samples.iter().map(|s| s.bits).eq(vs.iter().map(|v| v.to_bits())), "and on values");
    samples
}

fn golden() -> Vec<GoldenCase> {
    let cases: Vec<GoldenCase> = serde_json::from_str(GOLDEN).expect("the golden file");
    assert_eq!(cases.len(), 58);
    cases
}

fn options(int_optimized: bool, exactness: Exactness) -> EncoderOptions {
    EncoderOptions { int_optimized, exactness }
}

/// M3 reports the annotation where it is written; a repeated one is not written again.
fn written_annotations(samples: &[Sample]) -> Vec<Sample> {
    let mut last = Vec::new();
    let mut out = samples.to_vec();
    for s in &mut out {
        if s.annotation == last {
            s.annotation.clear();
        } else if !s.annotation.is_empty() {
            last.clone_from(&s.annotation);
        }
    }
    out
}

#[test]
fn golden_cases_encode_to_the_bytes_of_m3() {
    for case in golden() {
        let input: Vec<Sample> = case.input.iter().map(Sample::from).collect();
        let options = options(case.int_optimized, Exactness::Reference);
        assert_eq!(encode(case.start, options, &input), unhex(&case.stream_hex), "{}", case.name);
    }
}

#[test]
fn golden_cases_decode_to_the_points_of_m3() {
    for case in golden() {
        let expected: Vec<Sample> = case.decoded.iter().map(Sample::from).collect();
        let got = decode(&unhex(&case.stream_hex), case.int_optimized);
        assert_eq!(got, expected, "{}", case.name);
    }
}

#[test]
fn reference_mode_loses_what_m3_loses_and_nothing_else() {
    let mut lossy = Vec::new();
    for case in golden() {
        let input: Vec<Sample> = case.input.iter().map(Sample::from).collect();
        let options = options(case.int_optimized, Exactness::Reference);
        let got = decode(&encode(case.start, options, &input), case.int_optimized);
        let is_lossy = got != written_annotations(&input);
        assert_eq!(is_lossy, case.lossy, "{}", case.name);
        if is_lossy {
            lossy.push(case.name);
        }
    }
    assert_eq!(lossy, LOSSY);
}

#[test]
fn exact_mode_loses_nothing_and_changes_only_lossy_streams() {
    for case in golden() {
        let input: Vec<Sample> = case.input.iter().map(Sample::from).collect();
        let bytes = encode(case.start, options(case.int_optimized, Exactness::Exact), &input);
        assert_eq!(bytes == unhex(&case.stream_hex), !case.lossy, "{}", case.name);
        let got = decode(&bytes, case.int_optimized);
        let key = |s: &Sample| (s.t, s.bits, s.annotation.clone());
        assert!(
            got.iter().map(key).eq(written_annotations(&input).iter().map(key)),
            "{}",
            case.name
        );
    }
}

#[test]
fn blocks_of_a_real_node_go_both_ways() {
    let blocks: Vec<Value> = serde_json::from_str(SAMPLE_BLOCKS).unwrap();
    assert_eq!(blocks.len(), 11);
    for block in blocks {
        let source = block["source"].as_str().unwrap();
        let bytes = unbase64(block["base64"].as_str().unwrap());
        let start =
            i64::try_from(bytes[..8].iter().fold(0u64, |t, &b| t << 8 | u64::from(b))).unwrap();
        let unit = TimeUnit::from_code(u8::try_from(block["unit"].as_u64().unwrap()).unwrap());
        let expected: Vec<Sample> = block["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| Sample {
                t: p[0].as_i64().unwrap(),
                bits: u64::from_str_radix(p[1].as_str().unwrap(), 16).unwrap(),
                unit: unit.clone().unwrap(),
                annotation: p.get(2).and_then(Value::as_str).map(unhex).unwrap_or_default(),
            })
            .collect();
        assert_eq!(decode(&bytes, true), expected, "{source}");
        for exactness in [Exactness::Reference, Exactness::Exact] {
            assert_eq!(encode(start, options(true, exactness), &expected), bytes, "{source}");
        }
        if expected.iter().all(|s| s.annotation.is_empty()) {
            let mut encoder = Encoder::new(TimestampNs(start), EncoderOptions::default());
            let ts: Vec<i64> = expected.iter().map(|s| s.t).collect();
            let vs: Vec<f64> = expected.iter().map(|s| f64::from_bits(s.bits)).collect();
            encoder.push_all(&ts, &vs).unwrap();
            assert_eq!(encoder.finish(), bytes, "batch, {source}");
        }
    }
}

const VECTOR_START: i64 = 1_427_162_400_000_000_000;

#[test]
fn whole_streams_of_the_unit_tests_go_both_ways() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let streams = vectors["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 4);
    for stream in streams {
        let name = stream["name"].as_str().unwrap();
        let bytes = unhex(stream["hex"].as_str().unwrap());
        let input: Vec<Sample> = stream["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| Sample {
                t: p[0].as_i64().unwrap(),
                bits: p[1].as_f64().unwrap().to_bits(),
                unit: TimeUnit::from_code(u8::try_from(p[2].as_u64().unwrap()).unwrap()).unwrap(),
                annotation: p[3].as_str().map(unhex).unwrap_or_default(),
            })
            .collect();
        for exactness in [Exactness::Reference, Exactness::Exact] {
            assert_eq!(encode(VECTOR_START, options(false, exactness), &input), bytes, "{name}");
        }
        assert_eq!(decode(&bytes, false), written_annotations(&input), "{name}");
    }
}

/// The bits of a snippet, of which the last byte holds only some.
fn snippet_bits(hex: &str, bits_used_in_last_byte: usize) -> Vec<bool> {
    let bytes = unhex(hex);
    bits_of(&bytes, bytes.len() * 8 - 8 + bits_used_in_last_byte)
}

fn bits_of(bytes: &[u8], n: usize) -> Vec<bool> {
    (0..n).map(|i| bytes[i / 8] >> (7 - i % 8) & 1 == 1).collect()
}

/// What a stream holds from bit `from` on, without its end marker.
fn record_bits(bytes: &[u8], from: usize, n: usize) -> Vec<bool> {
    bits_of(bytes, from + n).split_off(from)
}

#[test]
fn timestamp_codes_are_those_of_the_unit_tests() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["delta_of_delta"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let dod = case[0].as_i64().unwrap();
        let unit = TimeUnit::from_code(u8::try_from(case[1].as_u64().unwrap()).unwrap()).unwrap();
        let used = usize::try_from(case[3].as_u64().unwrap()).unwrap();
        let code = snippet_bits(case[2].as_str().unwrap(), used);
        // Start and a first sample at the start itself: 64 bits, the unit if it is not seconds,
        // the zero delta, a full float. The code follows.
        let sample = |t: i64| Sample { t, bits: 0, unit, annotation: vec![] };
        let input = [sample(VECTOR_START), sample(VECTOR_START + dod)];
        let bytes = encode(VECTOR_START, options(false, Exactness::Reference), &input);
        let before = if unit == TimeUnit::Second { 64 + 1 + 64 } else { 64 + 19 + 64 + 64 };
        assert_eq!(record_bits(&bytes, before, code.len()), code, "{dod} {unit:?}");
    }
}

#[test]
fn float_codes_are_those_of_the_unit_tests() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["float_xor"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let hex = |i: usize| u64::from_str_radix(case[i].as_str().unwrap(), 16).unwrap();
        let (previous_xor, xor) = (hex(0), hex(1));
        let used = usize::try_from(case[3].as_u64().unwrap()).unwrap();
        let code = snippet_bits(case[2].as_str().unwrap(), used);
        // The first float is its own XOR.
        let sample = |bits: u64| Sample {
            t: VECTOR_START,
            bits,
            unit: TimeUnit::Second,
            annotation: vec![],
        };
        let input = [sample(previous_xor), sample(previous_xor ^ xor)];
        let bytes = encode(VECTOR_START, options(false, Exactness::Reference), &input);
        assert_eq!(record_bits(&bytes, 64 + 1 + 64 + 1, code.len()), code, "{xor:x}");
    }
}

#[test]
fn marker_codes_are_those_of_the_unit_tests() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let sample = |unit, annotation: &str| Sample {
        t: VECTOR_START,
        bits: 0,
        unit,
        annotation: unhex(annotation),
    };
    let cases = vectors["annotation"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let annotation = case[0].as_str().unwrap();
        let used = usize::try_from(case[2].as_u64().unwrap()).unwrap();
        let code = snippet_bits(case[1].as_str().unwrap(), used);
        let input = [sample(TimeUnit::Second, annotation)];
        let bytes = encode(VECTOR_START, options(false, Exactness::Reference), &input);
        assert_eq!(record_bits(&bytes, 64, code.len()), code, "{annotation}");
    }
    let case = &vectors["time_unit_marker"]["cases"][0];
    assert_eq!(case[0], 1);
    let code = snippet_bits(case[1].as_str().unwrap(), 3);
    // Seconds need a marker when the start is no whole second.
    let input = [sample(TimeUnit::Second, "")];
    let bytes = encode(VECTOR_START + 1, options(false, Exactness::Reference), &input);
    assert_eq!(record_bits(&bytes, 64, code.len()), code);
}

#[test]
fn broken_streams_of_the_unit_tests_are_refused() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["must_fail"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let bytes = unhex(case["hex"].as_str().unwrap());
        for int_optimized in [false, true] {
            let result = decode_into(&bytes, int_optimized, &mut vec![], &mut vec![]);
            assert!(result.is_err(), "{}", case["why"]);
        }
    }
}
