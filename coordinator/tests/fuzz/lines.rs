//! Any bytes as a body of lines: no panic, pieces give what the whole gives, and a line of JSON is
//! read as another reader of JSON reads it.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};

use m3rs_coordinator::ingest::{
    Csv, Encoding, Exposition, ExpositionFormat, Format, Influx, InfluxDialect, JsonLines,
    LabelRefusal, LineContext, LineFormat, Lines, Precision, Receiver, Relabeler, WriteReceiver,
};
use m3rs_coordinator::limits::WriteLimits;
use m3rs_coordinator::write::{
    Committed, Fingerprint, StoreError, WriteError, WriteSession, WriteStore, WriteTarget,
};
use m3rs_core::model::{Histogram, Labels, Metadata};
use m3rs_core::time::TimestampNs;
use xxhash_rust::xxh3::xxh3_128;

/// Series, time, bits of the value and start timestamp.
type Written = Vec<(Labels, i64, u64, i64)>;

/// A store that takes everything.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<Written>>);

struct Session {
    store: Store,
    known: BTreeMap<Vec<u8>, usize>,
    labels: Vec<Labels>,
    written: Written,
}

impl WriteStore for Store {
    type Target = Self;

    fn target(&self) -> Self {
        self.clone()
    }
}

impl WriteTarget for Store {
    type Session<'a> = Session;

    fn session(&self) -> Session {
        let (known, labels) = (BTreeMap::new(), Vec::new());
        Session { store: self.clone(), known, labels, written: Vec::new() }
    }
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
        self.push_started(series, t, v, TimestampNs(0))
    }

    fn push_started(
        &mut self,
        series: usize,
        t: TimestampNs,
        v: f64,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        self.written.push((self.labels[series].clone(), t.0, v.to_bits(), start.0));
        Ok(())
    }

    fn push_histogram(
        &mut self,
        _: usize,
        _: TimestampNs,
        _: Histogram,
        _: TimestampNs,
    ) -> Result<(), WriteError> {
        unreachable!("no format of lines has native histograms")
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

    fn push_metadata(&mut self, _: &str, _: Metadata) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        let samples = self.written.len() as u64;
        self.store.0.lock().expect("no panic before").extend(self.written);
        Ok(Committed { samples, durable: ready(Ok(())) })
    }
}

/// What is written of `pieces`, and how many samples and lines are refused.
fn taken(format: LineFormat, pieces: &[&[u8]]) -> (Written, u64) {
    let store = Store::default();
    let receiver = Receiver::new(store.clone(), WriteLimits::default(), Relabeler::default());
    let labels = vec![("extra".to_owned(), "label".to_owned())];
    let context = LineContext { now: TimestampNs(1), labels };
    let mut lines = Box::new(Lines::new(format, context));
    let mut refused = 0;
    for (at, piece) in pieces.iter().enumerate() {
        if at + 1 == pieces.len() {
            lines.end();
        }
        let mut format = Format::Lines(lines);
        let outcome = receiver.receive(piece, Encoding::Identity, &mut format);
        refused += outcome.expect("a store that takes everything").refusals.samples();
        let Format::Lines(after) = format else { unreachable!("the format stays") };
        lines = after;
    }
    let written = std::mem::take(&mut *store.0.lock().expect("no panic before"));
    (written, refused)
}

/// The body as one piece, and as one for each line.
fn in_pieces(format: impl Fn() -> LineFormat, body: &[u8]) {
    let whole = taken(format(), &[body]);
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    if !lines.is_empty() {
        assert_eq!(taken(format(), &lines), whole);
    }
}

/// The property of the line protocol.
pub(crate) fn fuzz_influx(body: &[u8]) {
    for dialect in [InfluxDialect::VictoriaMetrics, InfluxDialect::M3] {
        for precision in [Precision::ByDigits, Precision::Ns(60_000_000_000)] {
            in_pieces(|| LineFormat::Influx(Influx::new(dialect, precision, "base")), body);
        }
    }
}

/// The property of the text format and OpenMetrics.
pub(crate) fn fuzz_exposition(body: &[u8]) {
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics] {
        in_pieces(|| LineFormat::Exposition(Exposition::new(format)), body);
    }
}

/// The property of JSON lines.
pub(crate) fn fuzz_json_lines(body: &[u8]) {
    let format = || LineFormat::Json(JsonLines::default());
    in_pieces(format, body);
    for line in body.split(|byte| *byte == b'\n') {
        let (written, refused) = taken(format(), &[line]);
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        if refused > 0 || written.is_empty() {
            continue;
        }
        for (at, (labels, t, bits, _)) in written.iter().enumerate() {
            assert_eq!(
                json["timestamps"][at].as_i64().map(|ms| ms.saturating_mul(1_000_000)),
                Some(*t)
            );
            if let Some(value) = json["values"][at].as_f64() {
                assert_eq!(value.to_bits(), *bits);
            }
            let named = json["metric"].as_object().expect("it was taken");
            for (name, value) in labels.iter().filter(|(name, _)| *name != "extra") {
                assert_eq!(named[name].as_str(), Some(value));
            }
        }
    }
}

/// The property of CSV.
pub(crate) fn fuzz_csv(body: &[u8]) {
    for format in [
        "1:metric:a,2:label:b,3:time:unix_ms",
        "1:time:rfc3339,3:metric:a,2:metric:b",
        "2:metric:a,1:time:custom:2006-01-02 15:04:05.000 -0700,3:label:c",
    ] {
        in_pieces(|| LineFormat::Csv(Csv::new(format).expect("a format")), body);
    }
}

/// The property of M3's JSON: one sample or a reason, and what another reader of JSON reads.
pub(crate) fn fuzz_m3_json(body: &[u8]) {
    let store = Store::default();
    let receiver = Receiver::new(store.clone(), WriteLimits::default(), Relabeler::default());
    let taken = receiver.receive(body, Encoding::Identity, &mut Format::M3Json);
    let written = std::mem::take(&mut *store.0.lock().expect("no panic before"));
    match taken {
        Ok(outcome) => {
            assert_eq!(outcome.counts.samples, 1);
            assert_eq!(written.len() as u64 + outcome.refusals.samples(), 1);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && written.is_empty());
            return;
        }
    }
    // Keys in any case and twice are Go's; the other reader has one of each.
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let plain = json
        .as_object()
        .is_some_and(|object| object.keys().all(|key| key.chars().all(|c| c.is_ascii_lowercase())));
    let Some((labels, _, bits, _)) = written.first().filter(|_| plain) else { return };
    if let Some(value) = json["value"].as_f64() {
        assert_eq!(value.to_bits(), *bits);
    }
    for (name, value) in labels.iter() {
        assert_eq!(json["tags"][name].as_str(), Some(value));
    }
}
