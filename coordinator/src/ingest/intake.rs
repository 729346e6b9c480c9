//! The way of every format into a store: labels are gathered, a series is found or made, samples
//! are pushed, and what is refused is counted and told.
//!
//! A format names the labels of a series one after the other; they may stand in any order. Their
//! bytes, as gathered, are what a known series is found by: it costs no parsing and no allocation.

use m3rs_core::model::{Histogram, HistogramError, Labels, Metadata};
use m3rs_core::time::{TimestampMs, TimestampNs};
use m3rs_core::wire::put_varint;

use crate::ingest::labels::{LabelPolicy, LabelRefusal, describe_canonical};
use crate::ingest::{Refusals, WalkCounts};
use crate::write::{Fingerprint, StoreError, WriteError, WriteRefusal, WriteSession};

/// What label bytes begin with here; label fields of Remote Write 1.0 never do.
const CANONICAL_MARK: u8 = 0;

/// The time of a sample as it is stored, and as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleTime {
    stored: TimestampNs,
    sent: TimestampMs,
}

impl SampleTime {
    /// Milliseconds since 1970, which may be beyond what storage can say.
    #[must_use]
    pub fn of_ms(ms: i64) -> Self {
        Self { stored: TimestampMs(ms).to_ns(), sent: TimestampMs(ms) }
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn of_ns(ns: i64) -> Self {
        Self { stored: TimestampNs(ns), sent: TimestampNs(ns).to_ms() }
    }
}

/// One request at work.
pub struct Intake<'a, W> {
    session: &'a mut W,
    policy: &'a LabelPolicy,
    refusals: &'a mut Refusals,
    counts: WalkCounts,
    /// The mark, then name and value of each label in the order in which they came, or what else
    /// stands for them; and room.
    labels: Vec<u8>,
    /// Bytes of `labels` that are not room.
    used: usize,
    /// Tells for people what stands behind the mark.
    describe: &'a dyn Fn(&[u8]) -> String,
}

impl<'a, W: WriteSession> Intake<'a, W> {
    /// An intake into `session`.
    pub fn new(session: &'a mut W, policy: &'a LabelPolicy, refusals: &'a mut Refusals) -> Self {
        Self {
            session,
            policy,
            refusals,
            counts: WalkCounts::default(),
            labels: Vec::new(),
            used: 0,
            describe: &describe_canonical,
        }
    }

    /// What came so far.
    pub fn counts(&mut self) -> &mut WalkCounts {
        &mut self.counts
    }

    /// Begins a series without labels.
    #[inline]
    pub fn begin(&mut self) {
        self.begin_with(CANONICAL_MARK, &describe_canonical);
    }

    /// Begins a series whose labels are made of further bytes, see [`Self::series_by`]. `mark` is a
    /// byte of the format's own, and `describe` tells those bytes for people.
    #[inline]
    pub(super) fn begin_with(&mut self, mark: u8, describe: &'a dyn Fn(&[u8]) -> String) {
        self.used = 0;
        self.raw(&[mark]);
        self.describe = describe;
    }

    /// Adds bytes of a series that was begun with a mark.
    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Adds `len` bytes, which the caller must set. Room stays from series to series, so that it is
    /// filled with zeros but once.
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let (start, end) = (self.used, self.used + len);
        if self.labels.len() < end {
            self.labels.resize(end * 2, 0);
        }
        self.used = end;
        &mut self.labels[start..end]
    }

    /// [`WriteSession::fingerprint`] of the session.
    #[inline]
    pub(super) fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        self.session.fingerprint(text)
    }

    /// All bytes that stand for the series, the mark included.
    pub(super) fn gathered(&self) -> &[u8] {
        &self.labels[..self.used]
    }

    /// How many samples were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refusals.samples()
    }

    /// Adds a label to the series.
    #[inline]
    pub fn label(&mut self, name: &[u8], value: &[u8]) {
        self.text(name);
        self.text(value);
    }

    /// Adds a name, or the value that belongs to the name before.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        match u8::try_from(text.len()) {
            Ok(len @ 0..0x80) => self.raw(&[len]),
            _ => {
                let mut len = Vec::with_capacity(10);
                put_varint(&mut len, text.len() as u64);
                self.raw(&len);
            }
        }
        self.raw(text);
    }

    /// The length of the labels so far, for [`Self::truncate`].
    pub fn mark(&self) -> usize {
        self.used
    }

    /// Goes back to the labels that there were at `mark`.
    pub fn truncate(&mut self, mark: usize) {
        self.used = self.used.min(mark);
    }

    /// Goes back to the labels that [`Self::gathered`] gave, be it in an earlier intake.
    pub(super) fn restore(&mut self, gathered: &[u8]) {
        self.used = 0;
        self.raw(gathered);
    }

    /// The series with the labels given; `None` if it was refused together with its `samples`.
    ///
    /// # Errors
    /// A store that cannot write.
    pub fn series(&mut self, samples: u64) -> Result<Option<W::Series>, StoreError> {
        self.series_by(samples, |raw, policy| policy.parse_canonical(raw))
    }

    /// As [`Self::series`], for labels that `parse` makes of the bytes behind the mark. Equal bytes
    /// must mean equal labels.
    ///
    /// # Errors
    /// A store that cannot write.
    #[inline]
    pub(super) fn series_by(
        &mut self,
        samples: u64,
        parse: impl FnOnce(&[u8], &LabelPolicy) -> Result<Labels, LabelRefusal>,
    ) -> Result<Option<W::Series>, StoreError> {
        let (raw, policy) = (&self.labels[..self.used], self.policy);
        if let Err(refusal) = policy.check_gathered_len(raw.len() - 1) {
            self.refuse(samples, &refusal.into());
            return Ok(None);
        }
        if let Some(series) = self.session.resolve_expected(raw) {
            return Ok(Some(series));
        }
        match self.session.resolve(raw, || parse(&raw[1..], policy)) {
            Ok(series) => Ok(Some(series)),
            Err(WriteError::Refused(refusal)) => {
                self.refuse(samples, &refusal);
                Ok(None)
            }
            Err(WriteError::Store(error)) => Err(error),
        }
    }

    /// Takes a float; says whether it was taken. A start of 0 ms is not told.
    ///
    /// # Errors
    /// A store that cannot write.
    #[inline]
    pub fn float(
        &mut self,
        series: W::Series,
        t: SampleTime,
        v: f64,
        start_ms: i64,
    ) -> Result<bool, StoreError> {
        let pushed = match start_ms {
            0 => self.session.push(series, t.stored, v),
            _ => self.session.push_started(series, t.stored, v, TimestampMs(start_ms).to_ns()),
        };
        self.taken(t, pushed)
    }

    /// Takes a native histogram, or tells which rule it breaks.
    ///
    /// # Errors
    /// A store that cannot write.
    pub fn histogram(
        &mut self,
        series: W::Series,
        t: SampleTime,
        histogram: Result<Histogram, HistogramError>,
        start_ms: i64,
    ) -> Result<bool, StoreError> {
        let start = TimestampMs(start_ms).to_ns();
        let pushed = match histogram {
            Ok(h) => self.session.push_histogram(series, t.stored, h, start),
            Err(error) => Err(WriteRefusal::Histogram(error).into()),
        };
        let is_taken = self.taken(t, pushed)?;
        self.counts.histograms_taken += u64::from(is_taken);
        Ok(is_taken)
    }

    /// Takes an exemplar. One that is not kept is counted and not told: a sender cannot do anything
    /// about it.
    ///
    /// # Errors
    /// A store that cannot write.
    pub fn exemplar(
        &mut self,
        series: W::Series,
        t: SampleTime,
        v: f64,
        labels: Labels,
    ) -> Result<(), StoreError> {
        match self.session.push_exemplar(series, t.stored, v, labels) {
            Ok(()) => self.counts.exemplars_taken += 1,
            Err(WriteError::Refused(_)) => {}
            Err(WriteError::Store(error)) => return Err(error),
        }
        Ok(())
    }

    /// Takes what a metric family means.
    ///
    /// # Errors
    /// A store that cannot write.
    pub fn metadata(&mut self, family: &str, metadata: Metadata) -> Result<(), StoreError> {
        self.counts.metadata += 1;
        self.session.push_metadata(family, metadata)
    }

    /// Refuses `samples` samples of the series with the labels given.
    #[cold]
    pub fn refuse(&mut self, samples: u64, refusal: &WriteRefusal) {
        let labels = self.labels.get(1..self.used).unwrap_or_default();
        self.refusals.add_of(|| (self.describe)(labels), samples, refusal);
    }

    /// Refuses `samples` samples of what `describe` names.
    #[cold]
    pub fn refuse_of(
        &mut self,
        describe: impl FnOnce() -> String,
        samples: u64,
        refusal: &WriteRefusal,
    ) {
        self.refusals.add_of(describe, samples, refusal);
    }

    #[inline]
    fn taken(&mut self, t: SampleTime, pushed: Result<(), WriteError>) -> Result<bool, StoreError> {
        match pushed {
            Ok(()) => Ok(true),
            Err(WriteError::Refused(refusal)) => {
                self.refuse(1, &refusal.of_time(t.sent));
                Ok(false)
            }
            Err(WriteError::Store(error)) => Err(error),
        }
    }
}
