//! A session of tests, which remembers what formats of lines gave it.

use std::fmt::Write;
use std::future::{Ready, ready};

use m3rs_core::model::{Histogram, Labels, METRIC_NAME, Metadata};
use m3rs_core::time::TimestampNs;
use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::labels::{LabelPolicy, LabelRefusal};
use crate::ingest::lines::{LineContext, LineFormat, Lines};
use crate::ingest::{Refusals, WalkCounts};
use crate::write::{Committed, Fingerprint, StoreError, WriteError, WriteRefusal, WriteSession};

/// What a body became.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    series: Vec<Labels>,
    /// `name{label="value"} value @nanoseconds`, with ` since start` if one was told.
    pub(super) samples: Vec<String>,
    pub(super) bits: Vec<u64>,
    pub(super) exemplars: Vec<String>,
    pub(super) metadata: Vec<String>,
    /// The answer's lines of refusals.
    pub(super) refused: Vec<String>,
    pub(super) counts: WalkCounts,
}

/// What `text` becomes, as one piece, or as one for each line.
pub(super) fn taken(format: LineFormat, text: &[u8]) -> Recorded {
    taken_with(format, LineContext { now: TimestampNs(7_500_000_000), labels: Vec::new() }, text)
}

pub(super) fn taken_with(format: LineFormat, context: LineContext, text: &[u8]) -> Recorded {
    taken_in_pieces(format, context, &[text])
}

pub(super) fn taken_in_pieces(
    format: LineFormat,
    context: LineContext,
    pieces: &[&[u8]],
) -> Recorded {
    let mut recorded = Recorded::default();
    let mut refusals = Refusals::new(20);
    let policy = LabelPolicy::default();
    let mut lines = Lines::new(format, context);
    for (at, piece) in pieces.iter().enumerate() {
        if at + 1 == pieces.len() {
            lines.end();
        }
        recorded.counts = lines
            .walk(piece, 1 << 20, (&mut recorded, &policy), &mut refusals)
            .expect("a session that takes all");
    }
    recorded.refused = refusals.told().to_vec();
    recorded
}

fn shown(labels: &Labels) -> String {
    let mut text = labels.metric_name().unwrap_or_default().to_owned();
    let others: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    if !others.is_empty() {
        write!(text, "{{{}}}", others.join(",")).expect("memory");
    }
    text
}

impl WriteSession for Recorded {
    type Series = usize;
    type Durable = Ready<Result<(), StoreError>>;

    fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        let hash = xxh3_128(text);
        [hash as u64, (hash >> 64) as u64]
    }

    fn resolve(
        &mut self,
        _: &[u8],
        parse: impl FnOnce() -> Result<Labels, LabelRefusal>,
    ) -> Result<usize, WriteError> {
        self.series.push(parse()?);
        Ok(self.series.len() - 1)
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
        let mut text = format!("{} {v} @{}", shown(&self.series[series]), t.0);
        if start.0 != 0 {
            write!(text, " since {}", start.0).expect("memory");
        }
        self.samples.push(text);
        self.bits.push(v.to_bits());
        Ok(())
    }

    fn push_histogram(
        &mut self,
        _: usize,
        _: TimestampNs,
        _: Histogram,
        _: TimestampNs,
    ) -> Result<(), WriteError> {
        Err(WriteRefusal::NoSamples.into())
    }

    fn push_exemplar(
        &mut self,
        series: usize,
        t: TimestampNs,
        value: f64,
        labels: Labels,
    ) -> Result<(), WriteError> {
        let series = shown(&self.series[series]);
        self.exemplars.push(format!("{series} # {} {value} @{}", shown(&labels), t.0));
        Ok(())
    }

    fn push_metadata(&mut self, family: &str, metadata: Metadata) -> Result<(), StoreError> {
        let Metadata { metric_type, help, unit } = metadata;
        self.metadata.push(format!("{family} {} {help:?} {unit:?}", metric_type.as_str()));
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        Ok(Committed { samples: self.samples.len() as u64, durable: ready(Ok(())) })
    }
}
