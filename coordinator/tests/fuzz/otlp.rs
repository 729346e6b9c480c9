//! Any bytes as an OTLP request, protobuf and JSON: no panic, counts that agree, and of what the
//! generated decoder reads the walker sees each data point.

use std::collections::BTreeMap;
use std::future::{Ready, ready};

use m3rs_coordinator::ingest::{
    DeltaTemporality, LabelPolicy, LabelRefusal, Otlp, OtlpConfig, Refusals, WalkCounts, WalkError,
    json_to_protobuf, walk_otlp,
};
use m3rs_coordinator::limits::{LabelLimits, OtlpLimits};
use m3rs_coordinator::write::{Committed, Fingerprint, StoreError, WriteError, WriteSession};
use m3rs_core::clock::SystemClock;
use m3rs_core::model::{Histogram, Labels, Metadata};
use m3rs_core::time::TimestampNs;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::generated_otlp as proto;
use proto::metric::Data;

/// Takes all samples.
#[derive(Default)]
struct Session {
    known: BTreeMap<Vec<u8>, usize>,
    labels: Vec<Labels>,
    /// Series, time in milliseconds and bits of the value.
    floats: Vec<(usize, i64, u64)>,
    histograms: u64,
}

impl WriteSession for Session {
    type Series = usize;
    type Durable = Ready<Result<(), StoreError>>;

    fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        let hash = xxh3_128(text);
        [hash as u64, (hash >> 64) as u64]
    }

    fn resolve(
        &mut self,
        raw: &[u8],
        parse: impl FnOnce() -> Result<Labels, LabelRefusal>,
    ) -> Result<usize, WriteError> {
        if let Some(&known) = self.known.get(raw) {
            return Ok(known);
        }
        self.labels.push(parse()?);
        self.known.insert(raw.to_vec(), self.labels.len() - 1);
        Ok(self.labels.len() - 1)
    }

    fn push(&mut self, series: usize, t: TimestampNs, v: f64) -> Result<(), WriteError> {
        self.floats.push((series, t.to_ms().0, v.to_bits()));
        Ok(())
    }

    fn push_started(
        &mut self,
        series: usize,
        t: TimestampNs,
        v: f64,
        _: TimestampNs,
    ) -> Result<(), WriteError> {
        self.push(series, t, v)
    }

    fn push_histogram(
        &mut self,
        _: usize,
        _: TimestampNs,
        h: Histogram,
        _: TimestampNs,
    ) -> Result<(), WriteError> {
        assert_eq!(h.validate(), Ok(()));
        self.histograms += 1;
        Ok(())
    }

    fn push_exemplar(
        &mut self,
        _: usize,
        _: TimestampNs,
        _: f64,
        _: Labels,
    ) -> Result<(), WriteError> {
        Ok(())
    }

    fn push_metadata(&mut self, family: &str, _: Metadata) -> Result<(), StoreError> {
        assert!(!family.is_empty());
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        Ok(Committed { samples: self.floats.len() as u64, durable: ready(Ok(())) })
    }
}

fn walk(body: &[u8], otlp: &Otlp) -> Result<(WalkCounts, Session, u64), WalkError> {
    let mut session = Session::default();
    let mut refusals = Refusals::new(3);
    let policy = LabelPolicy::from(LabelLimits::default());
    let counts = walk_otlp(body, otlp, &mut session, &policy, &mut refusals)?;
    assert!(counts.points_refused <= counts.points);
    assert!(counts.points_refused <= refusals.samples());
    assert!(session.floats.len() as u64 <= counts.samples);
    assert_eq!(session.histograms, counts.histograms_taken);
    assert!(refusals.line().len() < 10_000);
    Ok((counts, session, refusals.samples()))
}

/// The data points of a request, and of gauges those that are sure to be taken: times in
/// milliseconds and bits of values.
fn expected(request: &proto::ExportMetricsServiceRequest) -> (u64, Vec<(i64, u64)>) {
    let (mut points, mut sure) = (0, Vec::new());
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        points += match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
            Some(Data::Summary(summary)) => summary.data_points.len(),
            None => 0,
        };
        let Some(Data::Gauge(gauge)) = &metric.data else { continue };
        if metric.name != "sure" {
            continue;
        }
        for point in gauge.data_points.iter().filter(|p| p.attributes.is_empty()) {
            let value = match point.value {
                _ if point.flags & 1 != 0 => m3rs_core::model::STALE_NAN,
                Some(proto::number_data_point::Value::AsDouble(v)) => v,
                Some(proto::number_data_point::Value::AsInt(v)) => v as f64,
                None => 0.0,
            };
            sure.push((point.time_unix_nano as i64 / 1_000_000, value.to_bits()));
        }
    }
    (points as u64, sure)
}

fn otlp(config: OtlpConfig) -> Otlp {
    let limits = OtlpLimits { delta_state_bytes_max: 1 << 20, ..OtlpLimits::default() };
    Otlp::new(config, limits, 300_000, std::sync::Arc::new(SystemClock::default()))
}

/// The property.
pub(crate) fn fuzz_otlp(body: &[u8]) {
    let plain = otlp(OtlpConfig::default());
    let other = otlp(OtlpConfig {
        promote_all_resource_attributes: true,
        promote_scope_metadata: true,
        convert_histograms_to_nhcb: true,
        translation_strategy: m3rs_coordinator::ingest::TranslationStrategy::NoTranslation,
        delta_temporality: DeltaTemporality::AsIs,
        ..OtlpConfig::default()
    });
    let walked = walk(body, &plain);
    // Twice, for the deltas.
    let _ = (walk(body, &plain), walk(body, &other));
    if let Ok(bytes) = json_to_protobuf(body, 1 << 20) {
        walk(&bytes, &plain).expect("what is written is read");
    }
    let Ok(theirs) = proto::ExportMetricsServiceRequest::decode(body) else { return };
    if let Err(error) = &walked {
        let is_group =
            matches!(error, WalkError::Malformed(c) if c.expected.starts_with("wire type"));
        assert!(is_group, "the generated decoder reads what we refuse: {error}");
    }
    // Written anew, each field stands there once: of several, decoders take another one than we.
    let (counts, session, _) = walk(&theirs.encode_to_vec(), &plain).expect("it was read");
    let (points, sure) = expected(&theirs);
    assert_eq!(counts.points, points);
    let bare = theirs.resource_metrics.iter().all(|r| r.resource.is_none());
    if bare {
        for (t, bits) in sure {
            assert!(session.floats.iter().any(|f| (f.1, f.2) == (t, bits)), "{t} {bits:x}");
        }
    }
}
