//! The walker against `prost`: the same bytes, the same samples.

use std::collections::BTreeMap;

use m3rs_coordinator::ingest::{Refusals, walk_write_request};
use m3rs_coordinator::limits::LabelLimits;
use m3rs_coordinator::write::{WriteSession, WriteStore};
use m3rs_core::model::Labels;
use proptest::prelude::*;
use prost::Message;

use crate::fakes::{FakeStore, SharedStore, Written};
use crate::messages::{
    Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
};

fn label() -> impl Strategy<Value = Label> {
    ("[a-c_é]{0,3}|__name__", "[xyz\\n]{0,3}").prop_map(|(name, value)| Label { name, value })
}

fn sample() -> impl Strategy<Value = Sample> {
    (any::<u64>(), 0i64..1_704_067_800_000)
        .prop_map(|(bits, timestamp)| Sample { value: f64::from_bits(bits), timestamp })
}

fn time_series() -> impl Strategy<Value = TimeSeries> {
    let exemplar = Just(Exemplar { labels: Vec::new(), value: 1.0 });
    let histogram = Just(Histogram { sum: 1.0, timestamp: 1 });
    (
        proptest::collection::vec(label(), 0..5),
        proptest::collection::vec(sample(), 0..4),
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

fn write_request() -> impl Strategy<Value = WriteRequest> {
    let metadata = ("[a-z]{1,3}", 0i32..8).prop_map(|(name, kind)| MetricMetadata {
        kind,
        metric_family_name: name,
        help: "h".into(),
        unit: String::new(),
    });
    (proptest::collection::vec(time_series(), 0..6), proptest::collection::vec(metadata, 0..3))
        .prop_map(|(timeseries, metadata)| WriteRequest { timeseries, metadata })
}

/// What should be written: valid label sets with their samples, in order.
fn expected(request: &WriteRequest) -> (Written, u64) {
    let mut written: Written = BTreeMap::new();
    let mut refused = 0;
    for series in &request.timeseries {
        refused += series.histograms.len() as u64;
        let pairs = series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str()));
        let labels = Labels::from_pairs(pairs).ok().filter(|l| l.metric_name().is_some());
        match labels {
            Some(labels) if !series.samples.is_empty() => {
                let samples = series.samples.iter().map(|s| (s.timestamp, s.value.to_bits()));
                written.entry(labels).or_default().extend(samples);
            }
            Some(_) => {}
            None => refused += series.samples.len() as u64,
        }
    }
    (written, refused)
}

fn walk(bytes: &[u8]) -> Option<(Written, u64, u64)> {
    let store = SharedStore(std::sync::Arc::new(FakeStore::default()));
    let mut session = store.session();
    let mut refusals = Refusals::new(3);
    let limits = LabelLimits::default();
    let mut metadata = 0;
    let counts =
        walk_write_request(bytes, &mut session, &limits, &mut refusals, |_, _| metadata += 1)
            .ok()?;
    assert_eq!(counts.metadata, metadata);
    let committed = session.commit().expect("commits");
    assert_eq!(counts.samples + counts.histograms, committed.samples + refusals.samples());
    let written = store.0.written.lock().clone();
    Some((written, refusals.samples(), metadata))
}

/// The fields of each `TimeSeries` in another order, which means the same: labels after samples.
fn encode_labels_last(request: &WriteRequest) -> Vec<u8> {
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
        prost::encoding::encode_varint(message.len() as u64, &mut out);
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
    let long_time = [&[0x09][..], &2.0f64.to_le_bytes(), &[0x10, 0x85, 0x80, 0x80, 0x00]].concat();
    let unknown = [&[0x18, 9, 0x10, 5, 0x09][..], &3.0f64.to_le_bytes()].concat();
    for (message, t, v) in [
        (minus_zero, 5, -0.0),
        (time_first, 5, 1.5),
        (twice, 5, f64::MAX),
        (long_time, 5, 2.0),
        (unknown, 5, 3.0),
        (vec![0x10, 7], 7, 0.0),
        (Vec::new(), 0, 0.0),
    ] {
        let label = b"\x0a\x0d\x0a\x08__name__\x12\x01m";
        let mut series = label.to_vec();
        series.extend_from_slice(&[0x12, message.len() as u8]);
        series.extend_from_slice(&message);
        let bytes = [&[0x0a, series.len() as u8][..], &series].concat();
        let (written, refused, _) = walk(&bytes).expect("a request");
        let samples: Vec<_> = written.values().flatten().copied().collect();
        assert_eq!((samples, refused), (vec![(t, v.to_bits())], 0), "{message:x?}");
    }
}

proptest! {
    #[test]
    fn the_walker_reads_what_prost_writes(request in write_request()) {
        let bytes = request.encode_to_vec();
        // What prost reads, not what it was given: it does not write a negative zero.
        let read = WriteRequest::decode(&bytes[..]).expect("its own bytes");
        let (written, refused) = expected(&read);
        let metadata = request.metadata.len() as u64;
        let wanted = Some((written, refused, metadata));
        prop_assert_eq!(walk(&bytes), wanted.clone());
        prop_assert_eq!(walk(&encode_labels_last(&request)), wanted);
    }

    #[test]
    fn damaged_bytes_are_read_as_prost_reads_them_or_refused(
        request in write_request(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = request.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Where both read the bytes they agree. Our walker reads less closely what it does not
        // keep (exemplars, histograms), and refuses a series where prost refuses a request.
        let theirs = WriteRequest::decode(&bytes[..]);
        let ours = walk(&bytes);
        if let (Ok(theirs), Some(ours)) = (&theirs, &ours) {
            let (written, refused) = expected(theirs);
            let in_time = |w: &Written| w.values().flatten().all(|(t, _)| (0..1_704_067_800_000).contains(t));
            if in_time(&written) {
                prop_assert_eq!((&ours.0, ours.1), (&written, refused));
            }
        }
        if theirs.is_ok() {
            prop_assert!(ours.is_some(), "prost reads it, we do not: {:x?}", bytes);
        }
    }
}
