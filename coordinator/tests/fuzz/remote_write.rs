//! Any bytes as a decompressed Remote Write body: no panic, and the walker and the generated
//! decoder read the same samples.

use std::collections::BTreeMap;
use std::future::{Ready, ready};

use m3rs_coordinator::ingest::{
    LabelRefusal, Refusals, WalkError, parse_labels, walk_write_request,
};
use m3rs_coordinator::limits::LabelLimits;
use m3rs_coordinator::write::{Committed, StoreError, WriteError, WriteSession};
use m3rs_core::model::Labels;
use m3rs_core::time::{TimestampMs, TimestampNs};
use prost::Message;

use crate::generated::WriteRequest;

/// Label sets are not limited here: the generated decoder knows no limits.
const NO_LIMITS: LabelLimits = LabelLimits {
    labels_max: usize::MAX,
    name_bytes_max: usize::MAX,
    value_bytes_max: usize::MAX,
    set_bytes_max: usize::MAX,
};

/// A sample of a series, with the bits of its value.
type Written = Vec<(Labels, TimestampNs, u64)>;

/// Takes all samples in order.
#[derive(Default)]
struct Session {
    known: BTreeMap<Vec<u8>, usize>,
    labels: Vec<Labels>,
    written: Written,
    broken_labels: bool,
}

impl WriteSession for Session {
    type Series = usize;
    type Durable = Ready<Result<(), StoreError>>;

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
        self.written.push((self.labels[series].clone(), t, v.to_bits()));
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        Ok(Committed { samples: self.written.len() as u64, durable: ready(Ok(())) })
    }
}

/// What should be written and how many samples refused, by the generated decoder.
fn expected(request: &WriteRequest) -> (Written, u64) {
    let mut written = Vec::new();
    let mut refused = 0;
    for series in &request.timeseries {
        refused += series.histograms.len() as u64;
        let pairs = series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str()));
        match Labels::from_pairs(pairs).ok().filter(|l| l.metric_name().is_some()) {
            Some(labels) => written.extend(
                series
                    .samples
                    .iter()
                    .map(|s| (labels.clone(), TimestampMs(s.timestamp).to_ns(), s.value.to_bits())),
            ),
            None => refused += series.samples.len() as u64,
        }
    }
    (written, refused)
}

/// Whether the walker stopped at a group, which it refuses and the generated decoder skips.
fn is_group(error: &WalkError) -> bool {
    matches!(error, WalkError::Malformed(c) if c.expected.starts_with("wire type"))
}

/// The property.
pub(crate) fn fuzz_remote_write(body: &[u8]) {
    let mut session = Session::default();
    let mut refusals = Refusals::new(3);
    let mut metadata = 0;
    let walked =
        walk_write_request(body, &mut session, &NO_LIMITS, &mut refusals, |_, _| metadata += 1);
    // As labels of a series, too: hostile bytes reach that parser alone on a miss.
    let _ = parse_labels(body, &LabelLimits::default());
    let Ok(theirs) = WriteRequest::decode(body) else { return };
    let counts = match walked {
        Ok(counts) => counts,
        Err(error) if is_group(&error) => return,
        Err(error) => panic!("the generated decoder reads what we refuse: {error}"),
    };
    if session.broken_labels {
        // Only a group can break a label that the generated decoder reads.
        return;
    }
    let (written, refused) = expected(&theirs);
    assert_eq!(session.written, written);
    assert_eq!(refusals.samples(), refused);
    assert_eq!(counts.samples + counts.histograms, written.len() as u64 + refused);
    assert_eq!(counts.series, theirs.timeseries.len() as u64);
    assert_eq!((counts.metadata, metadata), (theirs.metadata.len() as u64, counts.metadata));
}
