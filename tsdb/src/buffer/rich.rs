//! What a window holds beside plain floats: histograms, start timestamps, annotations.
//!
//! All of it is empty for a series of plain floats. Samples later than all before them of their
//! series go to the streams here, as floats go to theirs; every other one goes to the late list,
//! which remembers how many plain late arrivals came before it.

use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::Corrupt;
use m3rs_core::model::Histogram;

use super::Slot;
use super::columns::Columns;
use crate::codec::histogram;

/// Histograms that wait as values before they become a chunk.
const PENDING_MAX: usize = 16;

/// A value of any kind.
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A float with exact bits.
    Float(f64),
    /// A native histogram, which is valid.
    Histogram(Arc<Histogram>),
}

/// Equality by bits.
impl PartialEq for SampleValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

/// A sample without its time: a value and what it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct RichSample {
    /// What was measured.
    pub value: SampleValue,
    /// Since when the value has been counted, in nanoseconds since 1970; 0 if that is not told.
    pub start_ns: i64,
    /// Bytes that are kept beside the value; never empty.
    pub annotation: Option<Arc<[u8]>>,
}

impl RichSample {
    /// A float that carries nothing.
    #[must_use]
    pub fn float(v: f64) -> Self {
        Self { value: SampleValue::Float(v), start_ns: 0, annotation: None }
    }

    /// A histogram that carries nothing.
    #[must_use]
    pub fn histogram(h: Arc<Histogram>) -> Self {
        Self { value: SampleValue::Histogram(h), start_ns: 0, annotation: None }
    }

    fn carries_nothing(&self) -> bool {
        self.start_ns == 0 && self.annotation.is_none()
    }
}

/// From this time on, the samples of the streams carry this.
#[derive(Clone, Debug)]
pub(super) struct Run {
    t: i64,
    start_ns: i64,
    annotation: Option<Arc<[u8]>>,
}

/// An arrival out of order.
#[derive(Clone, Debug)]
pub(super) struct LateSample {
    pub(super) t: i64,
    /// Plain late arrivals of the series that came before it.
    pub(super) after: u32,
    pub(super) sample: RichSample,
}

/// The histograms of one series in one window, in order.
#[derive(Clone, Debug)]
struct HistogramStream {
    first_t: i64,
    last_t: i64,
    /// Chunks back to back, encoded in runs.
    chunks: Vec<u8>,
    pending_ts: Vec<i64>,
    pending: Vec<Arc<Histogram>>,
}

impl HistogramStream {
    fn push(&mut self, t: i64, h: &Arc<Histogram>) {
        self.last_t = t;
        self.pending_ts.push(t);
        self.pending.push(Arc::clone(h));
        if self.pending.len() >= PENDING_MAX {
            histogram::encode(&mut self.chunks, &self.pending_ts, &self.pending);
            self.pending_ts.clear();
            self.pending.clear();
        }
    }
}

/// What a window holds beside plain floats.
#[derive(Debug, Default)]
pub(super) struct RichWindow {
    histograms: HashMap<Slot, HistogramStream>,
    runs: HashMap<Slot, Vec<Run>>,
    late: HashMap<Slot, Vec<LateSample>>,
}

impl RichWindow {
    /// Whether the series has nothing here, and so is one of plain floats.
    pub(super) fn is_plain(&self, slot: Slot) -> bool {
        !self.histograms.contains_key(&slot)
            && !self.runs.contains_key(&slot)
            && !self.late.contains_key(&slot)
    }

    /// Begins a run at `t` if what the stream's samples carry changes there.
    pub(super) fn carry(&mut self, slot: Slot, t: i64, sample: &RichSample) {
        let last = self.runs.get(&slot).and_then(|runs| runs.last());
        let goes_on = match last {
            Some(run) => run.start_ns == sample.start_ns && run.annotation == sample.annotation,
            None => sample.carries_nothing(),
        };
        if !goes_on {
            let (start_ns, annotation) = (sample.start_ns, sample.annotation.clone());
            self.runs.entry(slot).or_default().push(Run { t, start_ns, annotation });
        }
    }

    /// As [`RichWindow::carry`], for a plain float.
    pub(super) fn carry_nothing(&mut self, slot: Slot, t: i64) {
        if let Some(runs) = self.runs.get_mut(&slot)
            && runs.last().is_some_and(|run| run.start_ns != 0 || run.annotation.is_some())
        {
            runs.push(Run { t, start_ns: 0, annotation: None });
        }
    }

    pub(super) fn push_histogram(&mut self, slot: Slot, t: i64, h: &Arc<Histogram>) {
        let stream = self.histograms.entry(slot).or_insert_with(|| HistogramStream {
            first_t: t,
            last_t: t,
            chunks: Vec::new(),
            pending_ts: Vec::new(),
            pending: Vec::new(),
        });
        stream.push(t, h);
    }

    /// Adds an arrival out of order, after `after` plain ones of the series.
    pub(super) fn push_late(&mut self, slot: Slot, t: i64, after: usize, sample: RichSample) {
        // More arrivals than that do not fit in memory.
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        self.late.entry(slot).or_default().push(LateSample { t, after, sample });
    }

    /// Puts floats of the stream, which `ts` and `vs` hold in order, before all late arrivals
    /// with what they carry; `plain` are the plain late arrivals of the series.
    pub(super) fn floats_become_late(
        &mut self,
        slot: Slot,
        ts: &[i64],
        vs: &[f64],
        plain: &mut Vec<(i64, f64)>,
    ) {
        let runs = self.runs.get(&slot).map_or(&[][..], |runs| runs);
        let (mut first_plain, mut first_rich) = (Vec::new(), Vec::new());
        for (&t, &v) in ts.iter().zip(vs) {
            match run_at(runs, t) {
                Some(run) => {
                    let (start_ns, annotation) = (run.start_ns, run.annotation.clone());
                    let value = SampleValue::Float(v);
                    let sample = RichSample { value, start_ns, annotation };
                    first_rich.push(LateSample { t, after: 0, sample });
                }
                None => first_plain.push((t, v)),
            }
        }
        if !first_rich.is_empty() || self.late.contains_key(&slot) {
            let moved = u32::try_from(first_plain.len()).unwrap_or(u32::MAX);
            let late = self.late.entry(slot).or_default();
            late.iter_mut().for_each(|l| l.after = l.after.saturating_add(moved));
            late.splice(0..0, first_rich);
        }
        plain.splice(0..0, first_plain);
    }

    /// Copies what may fall in `from..=to`; `None` if the series has nothing here.
    pub(super) fn copy_series(&self, slot: Slot, from: i64, to: i64) -> Option<Box<RichCopy>> {
        if self.is_plain(slot) {
            return None;
        }
        let overlaps = |s: &&HistogramStream| s.first_t <= to && s.last_t >= from;
        Some(Box::new(RichCopy {
            histograms: self.histograms.get(&slot).filter(overlaps).cloned(),
            runs: self.runs.get(&slot).cloned().unwrap_or_default(),
            late: self.late.get(&slot).cloned().unwrap_or_default(),
        }))
    }
}

/// The run that holds `t`, if it says anything.
fn run_at(runs: &[Run], t: i64) -> Option<&Run> {
    let next = runs.partition_point(|run| run.t <= t);
    let run = runs.get(next.checked_sub(1)?)?;
    (run.start_ns != 0 || run.annotation.is_some()).then_some(run)
}

/// What a window holds of one series beside floats, still encoded.
#[derive(Debug)]
pub(super) struct RichCopy {
    histograms: Option<HistogramStream>,
    runs: Vec<Run>,
    pub(super) late: Vec<LateSample>,
}

impl RichCopy {
    /// Adds the histograms in `from..=to`, and what all samples carry if that is wanted, to
    /// `columns`, which has the floats of the window's stream.
    pub(super) fn complete(
        &self,
        (from, to): (i64, i64),
        with_carried: bool,
        columns: &mut Columns,
    ) -> Result<(), Corrupt> {
        if let Some(stream) = &self.histograms {
            let found = &mut columns.rich.histograms;
            let (ts, values) = (&mut found.ts, &mut found.values);
            histogram::decode_range_into(&stream.chunks, (from, to), ts, values)?;
            for (&t, h) in stream.pending_ts.iter().zip(&stream.pending) {
                if (from..=to).contains(&t) {
                    found.push(t, Arc::clone(h));
                }
            }
        }
        if self.runs.is_empty() || !with_carried {
            return Ok(());
        }
        for t in columns.times() {
            let Some(run) = run_at(&self.runs, t) else { continue };
            if run.start_ns != 0 {
                columns.rich.starts.push(t, run.start_ns);
            }
            if let Some(annotation) = &run.annotation {
                columns.rich.annotations.push(t, Arc::clone(annotation));
            }
        }
        Ok(())
    }
}
