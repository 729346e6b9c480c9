//! The samples of one metric of OpenMetrics, which wait for its start timestamp.

use m3rs_core::model::Labels;
use m3rs_core::wire::put_length_prefixed;

use crate::ingest::intake::{Intake, SampleTime};
use crate::write::{StoreError, WriteSession};

/// The most samples that wait; those of a metric with more go without a start timestamp.
const WAITING_MAX: usize = 4096;

/// A sample that was read.
pub(super) struct Waiting {
    pub(super) value: f64,
    pub(super) t: SampleTime,
    pub(super) exemplar: Option<(Labels, f64, SampleTime)>,
}

/// The metric at hand: lines of one family and, but for buckets and quantiles, equal labels.
#[derive(Default)]
pub(super) struct Metric {
    /// What its lines have in common.
    key: Vec<u8>,
    /// The same of the line that is read.
    next_key: Vec<u8>,
    /// Samples with the labels of their series.
    waiting: Vec<(Vec<u8>, Waiting)>,
    /// In milliseconds; 0 if it is not known.
    start_ms: i64,
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metric").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Metric {
    /// Where the labels of the next line of `family` go.
    pub(super) fn begin_key(&mut self, family: &str) -> &mut Vec<u8> {
        self.next_key.clear();
        put_length_prefixed(&mut self.next_key, family.as_bytes());
        &mut self.next_key
    }

    /// Goes on to the metric of the line that was read, if it is another one.
    fn advance<W: WriteSession>(&mut self, intake: &mut Intake<'_, W>) -> Result<(), StoreError> {
        if self.key != self.next_key {
            self.flush_before(intake)?;
            std::mem::swap(&mut self.key, &mut self.next_key);
        }
        Ok(())
    }

    /// Takes the sample of the series in `intake`.
    pub(super) fn wait<W: WriteSession>(
        &mut self,
        sample: Waiting,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), StoreError> {
        self.advance(intake)?;
        if self.waiting.len() == WAITING_MAX {
            let series = intake.gathered().to_vec();
            self.flush(intake)?;
            intake.restore(&series);
        }
        self.waiting.push((intake.gathered().to_vec(), sample));
        Ok(())
    }

    /// Takes the start timestamp, in seconds.
    pub(super) fn take_created<W: WriteSession>(
        &mut self,
        seconds: f64,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), StoreError> {
        self.advance(intake)?;
        // A cast of a float ends at the ends of the integer; not-a-number is 0, which is not told.
        self.start_ms = (seconds * 1000.0).round() as i64;
        Ok(())
    }

    /// Hands on what waits, and leaves the labels in `intake` as they are.
    pub(super) fn flush_before<W: WriteSession>(
        &mut self,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), StoreError> {
        if !self.waiting.is_empty() {
            let series = intake.gathered().to_vec();
            self.flush(intake)?;
            intake.restore(&series);
        }
        self.start_ms = 0;
        self.key.clear();
        Ok(())
    }

    /// Hands on what waits.
    pub(super) fn flush<W: WriteSession>(
        &mut self,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), StoreError> {
        for (labels, sample) in self.waiting.drain(..) {
            intake.restore(&labels);
            push(sample, self.start_ms, intake)?;
        }
        Ok(())
    }
}

/// Takes a sample of the series in `intake`.
pub(super) fn push<W: WriteSession>(
    sample: Waiting,
    start_ms: i64,
    intake: &mut Intake<'_, W>,
) -> Result<(), StoreError> {
    let counts = intake.counts();
    counts.series += 1;
    counts.samples += 1;
    counts.exemplars += u64::from(sample.exemplar.is_some());
    let Some(series) = intake.series(1)? else { return Ok(()) };
    intake.float(series, sample.t, sample.value, start_ms)?;
    if let Some((labels, value, t)) = sample.exemplar {
        intake.exemplar(series, t, value, labels)?;
    }
    Ok(())
}
