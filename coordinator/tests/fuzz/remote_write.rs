//! Any bytes as a decompressed Remote Write body: no panic, and the walkers and the generated
//! decoders read the same samples.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;

use m3rs_coordinator::ingest::{
    LabelPolicy, LabelRefusal, Refusals, WalkError, parse_labels, walk_write_request,
    walk_write_request_2,
};
use m3rs_coordinator::limits::LabelLimits;
use m3rs_coordinator::write::{Committed, Fingerprint, StoreError, WriteError, WriteSession};
use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, Labels, Metadata, ResetHint, SCHEMA_MAX, Span,
};
use m3rs_core::time::{TimestampMs, TimestampNs};
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::{generated, generated2};

/// Label sets are not limited here: the generated decoder knows no limits.
const NO_LIMITS: LabelLimits = LabelLimits {
    labels_max: usize::MAX,
    name_bytes_max: usize::MAX,
    value_bytes_max: usize::MAX,
    set_bytes_max: usize::MAX,
    symbols_max: usize::MAX,
};

/// A value by bits.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Float(u64),
    Histogram(Histogram),
    /// A histogram whose buckets are merged, which another test looks at.
    TooFine,
}

/// Series, time, value and start timestamp.
type Written = Vec<(Labels, TimestampNs, Value, TimestampNs)>;

/// Takes all samples in order.
#[derive(Default)]
struct Session {
    known: BTreeMap<Vec<u8>, usize>,
    labels: Vec<Labels>,
    written: Written,
    broken_labels: bool,
    exemplars: u64,
    metadata: u64,
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
        let parsed = parse();
        self.broken_labels |= matches!(parsed, Err(LabelRefusal::Malformed(_)));
        self.labels.push(parsed?);
        self.known.insert(raw.to_vec(), self.labels.len() - 1);
        Ok(self.labels.len() - 1)
    }

    fn push(&mut self, series: usize, t: TimestampNs, v: f64) -> Result<(), WriteError> {
        self.push_started(series, t, v, TimestampNs(0))
    }

    fn push_started(
        &mut self,
        series: usize,
        t: TimestampNs,
        v: f64,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        self.written.push((self.labels[series].clone(), t, Value::Float(v.to_bits()), start));
        Ok(())
    }

    fn push_histogram(
        &mut self,
        series: usize,
        t: TimestampNs,
        h: Histogram,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        assert_eq!(h.validate(), Ok(()));
        self.written.push((self.labels[series].clone(), t, Value::Histogram(h), start));
        Ok(())
    }

    fn push_exemplar(
        &mut self,
        _: usize,
        _: TimestampNs,
        _: f64,
        _: Labels,
    ) -> Result<(), WriteError> {
        self.exemplars += 1;
        Ok(())
    }

    fn push_metadata(&mut self, _: &str, _: Metadata) -> Result<(), StoreError> {
        self.metadata += 1;
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        Ok(Committed { samples: self.written.len() as u64, durable: ready(Ok(())) })
    }
}

/// What the walkers should make of histograms that a generated decoder read.
macro_rules! expected_histogram {
    ($name:ident, $module:ident) => {
        fn $name(h: &$module::Histogram) -> Option<Value> {
            use $module::histogram::{Count, ZeroCount};
            let spans = |spans: &[$module::BucketSpan]| {
                let of = |s: &$module::BucketSpan| Span { offset: s.offset, length: s.length };
                spans.iter().map(of).collect()
            };
            let counts = match h.count {
                Some(Count::CountFloat(count)) => Counts::Float(BucketCounts {
                    count,
                    zero: match h.zero_count {
                        Some(ZeroCount::ZeroCountFloat(zero)) => zero,
                        _ => 0.0,
                    },
                    positive: h.positive_counts.clone(),
                    negative: h.negative_counts.clone(),
                }),
                ref count => Counts::Integer(BucketCounts {
                    count: match count {
                        Some(Count::CountInt(count)) => *count,
                        _ => 0,
                    },
                    zero: match h.zero_count {
                        Some(ZeroCount::ZeroCountInt(zero)) => zero,
                        _ => 0,
                    },
                    positive: absolute(&h.positive_deltas)?,
                    negative: absolute(&h.negative_deltas)?,
                }),
            };
            if (SCHEMA_MAX + 1..=52).contains(&h.schema) {
                return Some(Value::TooFine);
            }
            let layout = HistogramLayout {
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                positive_spans: spans(&h.positive_spans),
                negative_spans: spans(&h.negative_spans),
                custom_bounds: h.custom_values.clone(),
            };
            let hint = u8::try_from(h.reset_hint).ok().and_then(ResetHint::from_tag);
            let h = Histogram {
                layout: Arc::new(layout),
                reset_hint: hint.unwrap_or_default(),
                sum: h.sum,
                counts,
            };
            h.validate().is_ok().then_some(Value::Histogram(h))
        }
    };
}

expected_histogram!(expected_histogram, generated);
expected_histogram!(expected_histogram_2, generated2);

fn absolute(deltas: &[i64]) -> Option<Vec<u64>> {
    let mut count = 0i64;
    let mut all = Vec::new();
    for &delta in deltas {
        count = count.checked_add(delta)?;
        all.push(u64::try_from(count).ok()?);
    }
    Some(all)
}

/// What should be written, and how many samples refused.
#[derive(Default)]
struct Expected {
    written: Written,
    refused: u64,
}

impl Expected {
    fn add(&mut self, labels: &Labels, t: i64, value: Option<Value>, start: i64) {
        let (t, start) = (TimestampMs(t).to_ns(), TimestampMs(start).to_ns());
        match value {
            Some(value) => self.written.push((labels.clone(), t, value, start)),
            None => self.refused += 1,
        }
    }

    /// By the generated decoder of 1.0.
    fn of(request: &generated::WriteRequest) -> Self {
        let mut all = Self::default();
        for series in &request.timeseries {
            let pairs = series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str()));
            let Some(labels) = valid_labels(pairs) else {
                all.refused += (series.samples.len() + series.histograms.len()) as u64;
                continue;
            };
            for s in &series.samples {
                all.add(&labels, s.timestamp, Some(Value::Float(s.value.to_bits())), 0);
            }
            for h in &series.histograms {
                all.add(&labels, h.timestamp, expected_histogram(h), 0);
            }
        }
        all
    }

    /// By the generated decoder of 2.0.
    fn of_2(request: &generated2::Request) -> Self {
        let mut all = Self::default();
        let symbol = |r: u32| request.symbols.get(r as usize).map(String::as_str);
        for series in &request.timeseries {
            let held = (series.samples.len() + series.histograms.len()) as u64;
            let named: Option<Vec<_>> = series.labels_refs.iter().map(|r| symbol(*r)).collect();
            let metadata = series.metadata.unwrap_or_default();
            let told = symbol(metadata.help_ref).and(symbol(metadata.unit_ref));
            let even = |named: &Vec<&str>| named.len().is_multiple_of(2);
            let labels = named.filter(even).filter(|_| told.is_some() && held > 0);
            let labels = labels.and_then(|n| valid_labels(n.chunks(2).map(|p| (p[0], p[1]))));
            let Some(labels) = labels else {
                all.refused += held;
                continue;
            };
            for s in &series.samples {
                let value = Some(Value::Float(s.value.to_bits()));
                all.add(&labels, s.timestamp, value, s.start_timestamp);
            }
            for h in &series.histograms {
                all.add(&labels, h.timestamp, expected_histogram_2(h), h.start_timestamp);
            }
        }
        all
    }

    fn check(mut self, session: Session, refusals: &Refusals) {
        let mut written = session.written;
        if self.written.iter().any(|w| w.2 == Value::TooFine) {
            // Merged or refused: only the floats can be compared.
            self.written.retain(|w| matches!(w.2, Value::Float(_)));
            written.retain(|w| matches!(w.2, Value::Float(_)));
        } else {
            assert_eq!(refusals.samples(), self.refused);
        }
        assert_eq!(written, self.written);
    }
}

fn valid_labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Labels> {
    Labels::from_pairs(pairs).ok().filter(|l| l.metric_name().is_some())
}

/// Whether the walker stopped at a group, which it refuses and the generated decoder skips.
fn is_group(error: &WalkError) -> bool {
    matches!(error, WalkError::Malformed(c) if c.expected.starts_with("wire type"))
}

/// Whether the walker refused a request of other fields alone, which the decoder skips.
fn is_of_another_version(error: &WalkError) -> bool {
    matches!(error, WalkError::Malformed(c) if c.expected == "symbols or series")
}

/// The property of 1.0.
pub(crate) fn fuzz_remote_write(body: &[u8]) {
    let mut session = Session::default();
    let mut refusals = Refusals::new(3);
    let walked =
        walk_write_request(body, &mut session, &LabelPolicy::from(NO_LIMITS), &mut refusals);
    // As labels of a series, too: hostile bytes reach that parser alone on a miss.
    let _ = parse_labels(body, &LabelLimits::default());
    let Ok(theirs) = generated::WriteRequest::decode(body) else { return };
    let counts = match walked {
        Ok(counts) => counts,
        Err(error) if is_group(&error) => return,
        Err(error) => panic!("the generated decoder reads what we refuse: {error}"),
    };
    if session.broken_labels {
        // Only a group can break a label that the generated decoder reads.
        return;
    }
    let expected = Expected::of(&theirs);
    let all = session.written.len() as u64 + refusals.samples();
    assert_eq!(counts.samples + counts.histograms, all);
    assert_eq!(counts.series, theirs.timeseries.len() as u64);
    let metadata = theirs.metadata.len() as u64;
    assert_eq!((counts.metadata, session.metadata), (metadata, metadata));
    assert_eq!(counts.exemplars_taken, session.exemplars);
    expected.check(session, &refusals);
}

/// The property of 2.0.
pub(crate) fn fuzz_remote_write_2(body: &[u8]) {
    let mut session = Session::default();
    let mut refusals = Refusals::new(3);
    let walked =
        walk_write_request_2(body, &mut session, &LabelPolicy::from(NO_LIMITS), &mut refusals);
    let Ok(theirs) = generated2::Request::decode(body) else { return };
    let has_mark = theirs.symbols.first().is_none_or(String::is_empty)
        && (theirs.timeseries.is_empty() || !theirs.symbols.is_empty());
    let counts = match walked {
        Ok(counts) => counts,
        Err(error) if is_group(&error) || !has_mark => return,
        Err(error) if is_of_another_version(&error) => {
            assert!(theirs.symbols.is_empty() && theirs.timeseries.is_empty());
            return;
        }
        Err(error) => panic!("the generated decoder reads what we refuse: {error}"),
    };
    assert!(has_mark, "the first symbol is not empty");
    let expected = Expected::of_2(&theirs);
    let all = session.written.len() as u64 + refusals.samples();
    assert_eq!(counts.samples + counts.histograms, all);
    assert_eq!(counts.series, theirs.timeseries.len() as u64);
    let exemplars: usize = theirs.timeseries.iter().map(|s| s.exemplars.len()).sum();
    assert_eq!(counts.exemplars, exemplars as u64);
    expected.check(session, &refusals);
}
