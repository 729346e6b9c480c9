//! Runs the fuzz target of the walker over its seeds and past findings, on the stable compiler,
//! and over requests made at random.

#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote.rs"]
mod generated;
#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote2.rs"]
mod generated2;
#[allow(
    clippy::enum_variant_names,
    dead_code,
    unreachable_pub,
    reason = "generated for all messages of the file"
)]
#[path = "../src/generated/otlp.rs"]
mod generated_otlp;
#[path = "fuzz/otlp.rs"]
mod otlp;
#[path = "fuzz/remote_write.rs"]
mod remote_write;

use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};
use proptest::prelude::*;
use prost::Message;

use generated::{
    BucketSpan, Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
    histogram,
};
use otlp::fuzz_otlp;
use remote_write::{fuzz_remote_write, fuzz_remote_write_2};

#[test]
fn remote_write_inputs_hold() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    type Property = fn(&[u8]);
    let all: [(&str, Property); 3] = [
        ("remote_write", fuzz_remote_write),
        ("remote_write_2", fuzz_remote_write_2),
        ("otlp", fuzz_otlp),
    ];
    for (target, property) in all {
        let mut inputs = 0;
        for kind in ["corpus", "regressions"] {
            for path in DiskFs.list(&fuzz.join(kind).join(target)).expect("readable") {
                property(&DiskFs.read(&path).expect("readable"));
                inputs += 1;
            }
        }
        assert!(inputs >= 4, "{inputs} inputs of {target}");
    }
}

/// Seeds that show the fuzzer the shapes of a request. `M3RS_WRITE_GOLDEN=1` writes them.
#[test]
fn seeds_are_current() {
    let all = [("remote_write", seeds()), ("remote_write_2", seeds_2()), ("otlp", seeds_otlp())];
    for (target, seeds) in all {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let dir = corpus.join(target);
        for (name, bytes) in seeds {
            let path = dir.join(name);
            if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
                DiskFs.create_dir_all(&dir).expect("makes");
                let mut file = DiskFs.create(&path).expect("creates");
                file.write_all(&bytes).expect("writes");
            }
            assert_eq!(DiskFs.read(&path).expect("the seed is committed"), bytes, "{name}");
        }
    }
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.into(), value: value.into() }
}

fn up() -> TimeSeries {
    TimeSeries {
        labels: vec![label("__name__", "up"), label("job", "a")],
        samples: vec![Sample { value: 1.0, timestamp: 1_704_067_200_000 }],
        ..TimeSeries::default()
    }
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let request = |timeseries| WriteRequest { timeseries, metadata: Vec::new() };
    let sample = |timestamp| Sample { value: 2.5, timestamp };
    let several = TimeSeries { samples: vec![sample(1), sample(2), sample(3)], ..up() };
    let no_name = TimeSeries { labels: vec![label("job", "a")], ..up() };
    let other_kinds = TimeSeries {
        exemplars: vec![Exemplar { labels: vec![label("t", "1")], value: 1.0, timestamp: 1 }],
        histograms: vec![Histogram { timestamp: 1, ..Histogram::default() }],
        ..up()
    };
    let metadata = MetricMetadata {
        metric_family_name: "up".into(),
        help: "h".into(),
        ..MetricMetadata::default()
    };
    let with_metadata = WriteRequest { timeseries: Vec::new(), metadata: vec![metadata] };
    vec![
        ("empty", Vec::new()),
        ("one", request(vec![up()]).encode_to_vec()),
        ("several_samples", request(vec![several.clone(), up()]).encode_to_vec()),
        ("refused", request(vec![no_name, up()]).encode_to_vec()),
        ("other_kinds", request(vec![other_kinds]).encode_to_vec()),
        ("metadata", with_metadata.encode_to_vec()),
        ("labels_last", labels_last(&request(vec![several]))),
        ("group", vec![0x0a, 2, 0x2b, 0x2c]),
    ]
}

fn seeds_2() -> Vec<(&'static str, Vec<u8>)> {
    let symbols = ["", "__name__", "up", "job", "a", "help", "seconds"].map(str::to_owned);
    let request = |timeseries| generated2::Request { symbols: symbols.to_vec(), timeseries };
    let sample =
        generated2::Sample { value: 1.0, timestamp: 1_704_067_200_000, start_timestamp: 5 };
    let up = generated2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![sample, generated2::Sample { start_timestamp: 0, ..sample }],
        metadata: Some(generated2::Metadata { r#type: 1, help_ref: 5, unit_ref: 6 }),
        ..generated2::TimeSeries::default()
    };
    let histogram = generated2::Histogram {
        count: Some(generated2::histogram::Count::CountInt(3)),
        sum: 1.5,
        schema: 3,
        positive_spans: vec![generated2::BucketSpan { offset: -1, length: 2 }],
        positive_deltas: vec![1, 1],
        timestamp: 1_704_067_200_000,
        ..generated2::Histogram::default()
    };
    let with_histogram = generated2::TimeSeries { histograms: vec![histogram], ..up.clone() };
    let bad_refs = generated2::TimeSeries { labels_refs: vec![1, 2, 99], ..up.clone() };
    let no_samples = generated2::TimeSeries { samples: Vec::new(), ..up.clone() };
    vec![
        ("empty", Vec::new()),
        ("one", request(vec![up.clone()]).encode_to_vec()),
        ("histogram", request(vec![with_histogram]).encode_to_vec()),
        ("refused", request(vec![bad_refs, no_samples, up]).encode_to_vec()),
        ("no_empty_symbol", vec![0x22, 1, b'x']),
    ]
}

fn attribute(key: &str, value: generated_otlp::any_value::Value) -> generated_otlp::KeyValue {
    let value = Some(generated_otlp::AnyValue { value: Some(value) });
    generated_otlp::KeyValue { key: key.to_owned(), value }
}

fn otlp_request(
    metrics: Vec<generated_otlp::Metric>,
    attributes: Vec<generated_otlp::KeyValue>,
) -> generated_otlp::ExportMetricsServiceRequest {
    let scope = generated_otlp::ScopeMetrics { metrics, ..Default::default() };
    let resource = match attributes.is_empty() {
        true => None,
        false => Some(generated_otlp::Resource { attributes }),
    };
    let resource = generated_otlp::ResourceMetrics {
        resource,
        scope_metrics: vec![scope],
        ..Default::default()
    };
    generated_otlp::ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

/// Attributes of a service, one of them a list.
fn service() -> Vec<generated_otlp::KeyValue> {
    use generated_otlp::any_value::Value;
    let nested = generated_otlp::AnyValue { value: Some(Value::IntValue(-1)) };
    let list = generated_otlp::ArrayValue { values: vec![nested] };
    vec![
        attribute("service.name", Value::StringValue("s".into())),
        attribute("list", Value::ArrayValue(list)),
    ]
}

fn seeds_otlp() -> Vec<(&'static str, Vec<u8>)> {
    use generated_otlp as o;
    use o::metric::Data;
    let t = 1_704_067_200_000_000_000;
    let point = o::NumberDataPoint {
        attributes: service(),
        start_time_unix_nano: t - 1,
        time_unix_nano: t,
        value: Some(o::number_data_point::Value::AsInt(3)),
        ..Default::default()
    };
    let exemplar = o::Exemplar {
        value: Some(o::exemplar::Value::AsDouble(0.5)),
        trace_id: vec![1; 16],
        ..Default::default()
    };
    let histogram = o::HistogramDataPoint {
        time_unix_nano: t,
        count: 3,
        sum: Some(1.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![1.0],
        exemplars: vec![exemplar],
        ..Default::default()
    };
    let exponential = o::ExponentialHistogramDataPoint {
        time_unix_nano: t,
        count: 4,
        scale: 9,
        zero_count: 1,
        positive: Some(o::Buckets { offset: -2, bucket_counts: vec![1, 0, 2] }),
        ..Default::default()
    };
    let summary = o::SummaryDataPoint {
        time_unix_nano: t,
        quantile_values: vec![o::ValueAtQuantile { quantile: 0.5, value: 1.0 }],
        ..Default::default()
    };
    let metric = |name: &str, data| o::Metric {
        name: name.into(),
        unit: "s".into(),
        data: Some(data),
        ..Default::default()
    };
    let bare = o::NumberDataPoint { attributes: Vec::new(), ..point.clone() };
    let gauge = Data::Gauge(o::Gauge { data_points: vec![bare, point.clone()] });
    let delta = Data::Sum(o::Sum {
        data_points: vec![point],
        aggregation_temporality: 1,
        is_monotonic: true,
    });
    let data = [
        Data::Histogram(o::Histogram { data_points: vec![histogram], aggregation_temporality: 2 }),
        Data::ExponentialHistogram(o::ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 1,
        }),
        Data::Summary(o::Summary { data_points: vec![summary] }),
    ];
    let json = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":
        {"stringValue":"s"}}]},"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":
        [{"timeUnixNano":"1704067200000000000","asDouble":1.5}]}}]}]}]}"#;
    vec![
        ("empty", Vec::new()),
        ("gauge", otlp_request(vec![metric("sure", gauge)], Vec::new()).encode_to_vec()),
        ("delta", otlp_request(vec![metric("m", delta)], service()).encode_to_vec()),
        ("others", otlp_request(data.map(|d| metric("m", d)).into(), Vec::new()).encode_to_vec()),
        ("json", json.to_vec()),
    ]
}

/// The fields of each `TimeSeries` in another order, which means the same: labels after samples.
fn labels_last(request: &WriteRequest) -> Vec<u8> {
    let mut out = Vec::new();
    for series in &request.timeseries {
        let (first, rest) = series.labels.split_at(series.labels.len() / 2);
        let parts = [
            TimeSeries { labels: first.to_vec(), ..TimeSeries::default() },
            TimeSeries { labels: Vec::new(), ..series.clone() },
            TimeSeries { labels: rest.to_vec(), ..TimeSeries::default() },
        ];
        let message: Vec<u8> = parts.iter().flat_map(Message::encode_to_vec).collect();
        out.push(0x0a);
        m3rs_core::wire::put_varint(&mut out, message.len() as u64);
        out.extend_from_slice(&message);
    }
    let rest = WriteRequest { timeseries: Vec::new(), metadata: request.metadata.clone() };
    out.extend_from_slice(&rest.encode_to_vec());
    out
}

/// Senders write fields in order, but nothing obliges them to, nor to leave zeros out.
#[test]
fn samples_are_read_in_any_encoding() {
    let minus_zero = [&[0x09][..], &(-0.0f64).to_le_bytes(), &[0x10, 5]].concat();
    let time_first = [&[0x10, 5, 0x09][..], &1.5f64.to_le_bytes()].concat();
    let twice = [&[0x10, 1, 0x10, 5, 0x09][..], &f64::MAX.to_le_bytes()].concat();
    let long_time = [&[0x09][..], &2.0f64.to_le_bytes(), &[0x10, 0x85, 0x80, 0x80, 0]].concat();
    let negative = [&[0x09][..], &2.0f64.to_le_bytes(), &[0x10], &[0xff; 9], &[1]].concat();
    let unknown = [&[0x18, 9, 0x10, 5, 0x09][..], &3.0f64.to_le_bytes()].concat();
    for message in
        [minus_zero, time_first, twice, long_time, negative, unknown, vec![0x10, 7], Vec::new()]
    {
        let mut series = b"\x0a\x0d\x0a\x08__name__\x12\x01m".to_vec();
        series.extend_from_slice(&[0x12, message.len() as u8]);
        series.extend_from_slice(&message);
        let bytes = [&[0x0a, series.len() as u8][..], &series].concat();
        assert!(WriteRequest::decode(&bytes[..]).is_ok(), "{message:x?}");
        fuzz_remote_write(&bytes);
    }
}

fn any_label() -> impl Strategy<Value = Label> {
    ("[a-c_\u{e9}]{0,3}|__name__", "[xyz\\n]{0,3}").prop_map(|(n, v)| label(&n, &v))
}

fn any_series() -> impl Strategy<Value = TimeSeries> {
    let sample = (any::<u64>(), any::<i64>())
        .prop_map(|(bits, timestamp)| Sample { value: f64::from_bits(bits), timestamp });
    let exemplar = Just(Exemplar { labels: Vec::new(), value: 1.0, timestamp: 3 });
    let histogram = any_histogram();
    (
        proptest::collection::vec(any_label(), 0..5),
        proptest::collection::vec(sample, 0..4),
        proptest::collection::vec(exemplar, 0..2),
        proptest::collection::vec(histogram, 0..2),
    )
        .prop_map(|(labels, samples, exemplars, histograms)| TimeSeries {
            labels,
            samples,
            exemplars,
            histograms,
        })
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let spans = || {
        let span = (0i32..3, 0u32..3).prop_map(|(offset, length)| BucketSpan { offset, length });
        proptest::collection::vec(span, 0..3)
    };
    let lists = (
        proptest::collection::vec(-1i64..4, 0..4),
        proptest::collection::vec(-1.0f64..4.0, 0..4),
        proptest::collection::vec(0.0f64..4.0, 0..2),
    );
    (any::<bool>(), -55i32..12, spans(), spans(), lists, any::<i64>(), 0i32..6, any::<bool>())
        .prop_map(
            |(
                is_float,
                schema,
                positive,
                negative,
                (deltas, counts, bounds),
                timestamp,
                hint,
                nan,
            )| {
                let counts_of = deltas.iter().scan(0i64, |c, d| {
                    *c += d;
                    Some(u64::try_from(*c).unwrap_or(0))
                });
                let sides: u64 = counts_of.sum();
                Histogram {
                    count: Some(match is_float {
                        true => histogram::Count::CountFloat(4.0),
                        false => histogram::Count::CountInt(sides),
                    }),
                    sum: if nan { f64::NAN } else { 1.0 },
                    schema: if schema < -50 { -53 } else { schema },
                    positive_spans: positive,
                    negative_spans: if schema < -52 { Vec::new() } else { negative },
                    positive_deltas: deltas,
                    positive_counts: counts,
                    custom_values: if schema < -50 { bounds } else { Vec::new() },
                    timestamp,
                    reset_hint: hint,
                    ..Histogram::default()
                }
            },
        )
}

fn any_request_2() -> impl Strategy<Value = generated2::Request> {
    let sample = (any::<u64>(), any::<i64>(), prop_oneof![Just(0), any::<i64>()]).prop_map(
        |(bits, timestamp, start_timestamp)| generated2::Sample {
            value: f64::from_bits(bits),
            timestamp,
            start_timestamp,
        },
    );
    // The messages of both protocols are the same on the wire, but for the start timestamp.
    let histogram = any_histogram().prop_map(|h| {
        generated2::Histogram::decode(&h.encode_to_vec()[..]).expect("the same fields")
    });
    let metadata = (0i32..9, 0u32..7, 0u32..7).prop_map(|(r#type, help_ref, unit_ref)| {
        generated2::Metadata { r#type, help_ref, unit_ref }
    });
    let series = (
        proptest::collection::vec(prop_oneof![9 => 0u32..6, 1 => any::<u32>()], 0..5),
        any::<bool>(),
        proptest::collection::vec(sample, 0..3),
        proptest::collection::vec(histogram, 0..2),
        prop::option::of(metadata),
    )
        .prop_map(|(refs, named, samples, histograms, metadata)| generated2::TimeSeries {
            labels_refs: if named { [&[1, 2][..], &refs].concat() } else { refs },
            samples,
            histograms,
            exemplars: Vec::new(),
            metadata,
        });
    (proptest::collection::vec(series, 0..6), any::<bool>()).prop_map(|(timeseries, mark)| {
        let mut symbols = ["", "__name__", "up", "job", "a", "\u{e9}"].map(str::to_owned).to_vec();
        if !mark && timeseries.len() > 4 {
            symbols[0] = "x".to_owned();
        }
        generated2::Request { symbols, timeseries }
    })
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    let metadata = "[a-z]{1,3}"
        .prop_map(|name| MetricMetadata { metric_family_name: name, ..MetricMetadata::default() });
    (proptest::collection::vec(any_series(), 0..6), proptest::collection::vec(metadata, 0..3))
        .prop_map(|(timeseries, metadata)| WriteRequest { timeseries, metadata })
}

proptest! {
    #[test]
    fn requests_are_read_as_the_generated_decoder_reads_them(request in any_request()) {
        fuzz_remote_write(&request.encode_to_vec());
        fuzz_remote_write(&labels_last(&request));
    }

    #[test]
    fn requests_of_2_0_are_read_as_the_generated_decoder_reads_them(
        request in any_request_2(),
        damage in prop::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = request.encode_to_vec();
        fuzz_remote_write_2(&bytes);
        if let Some((at, byte)) = damage.filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fuzz_remote_write_2(&bytes);
        }
    }

    #[test]
    fn damaged_requests_too(
        request in any_request(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = request.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz_remote_write(&bytes);
    }

    #[test]
    fn damaged_requests_of_otlp_too(
        seed in any::<proptest::sample::Index>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let seeds = seeds_otlp();
        let mut bytes = seeds[seed.index(seeds.len())].1.clone();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        fuzz_otlp(&bytes);
    }
}
