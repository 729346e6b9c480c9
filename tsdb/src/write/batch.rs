//! The samples of one request, by shard and kind, on their way to log and buffer.

use std::time::Duration;

use crate::buffer::{Buffer, RichSample, Slot};
use crate::commitlog;
use crate::write::SeriesHandle;

/// The samples of one shard in one request.
#[derive(Debug, Default)]
pub(super) struct ShardBatch {
    pub(super) slots: Vec<Slot>,
    pub(super) refs: Vec<u32>,
    pub(super) ts: Vec<i64>,
    pub(super) vs: Vec<f64>,
    /// Start timestamps of the floats up to the last one that carries one; 0 is none.
    pub(super) starts: Vec<i64>,
    pub(super) rich: RichBatch,
}

/// Samples that are more than floats with a start timestamp.
#[derive(Debug, Default)]
pub(super) struct RichBatch {
    pub(super) slots: Vec<Slot>,
    pub(super) refs: Vec<u32>,
    pub(super) ts: Vec<i64>,
    pub(super) samples: Vec<RichSample>,
}

impl ShardBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty() && self.rich.refs.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.refs.clear();
        self.ts.clear();
        self.vs.clear();
        self.starts.clear();
        self.rich.slots.clear();
        self.rich.refs.clear();
        self.rich.ts.clear();
        self.rich.samples.clear();
    }

    #[inline]
    pub(super) fn push(&mut self, series: SeriesHandle, t: i64, v: f64, start: i64) {
        self.slots.push(series.place.slot);
        self.refs.push(series.series);
        self.ts.push(t);
        self.vs.push(v);
        if start != 0 {
            self.starts.resize(self.ts.len() - 1, 0);
            self.starts.push(start);
        }
    }

    pub(super) fn push_rich(&mut self, series: SeriesHandle, t: i64, sample: RichSample) {
        self.rich.slots.push(series.place.slot);
        self.rich.refs.push(series.series);
        self.rich.ts.push(t);
        self.rich.samples.push(sample);
    }

    /// Appends the log entries of the batch.
    pub(super) fn encode(&mut self, out: &mut Vec<u8>, namespace: u32, shard: u16) {
        let Self { refs, ts, vs, starts, rich, .. } = self;
        if starts.is_empty() {
            commitlog::encode_samples(out, namespace, shard, refs, ts, vs);
        } else {
            starts.resize(ts.len(), 0);
            commitlog::encode_started_samples(out, (namespace, shard), refs, ts, vs, starts);
        }
        let RichBatch { refs, ts, samples, .. } = rich;
        commitlog::encode_rich_samples(out, (namespace, shard), refs, ts, samples);
    }

    /// The earliest time of its samples; [`i64::MAX`] without any.
    pub(super) fn earliest(&self) -> i64 {
        let floats = self.ts.iter().fold(i64::MAX, |earliest, t| earliest.min(*t));
        self.rich.ts.iter().fold(floats, |earliest, t| earliest.min(*t))
    }

    /// Whether all slots are still those of their series.
    pub(super) fn is_of(&self, buffer: &Buffer) -> bool {
        let floats = self.slots.iter().zip(&self.refs);
        let mut all = floats.chain(self.rich.slots.iter().zip(&self.rich.refs));
        all.all(|(&slot, &series)| buffer.is_slot_of(slot, series))
    }

    /// Appends the batch to the buffer, in the order in which it stands in the log.
    pub(super) fn append(&self, buffer: &mut Buffer, now: Duration) {
        if self.starts.is_empty() {
            for ((&slot, &t), &v) in self.slots.iter().zip(&self.ts).zip(&self.vs) {
                buffer.append(slot, t, v, now);
            }
        } else {
            let floats = self.slots.iter().zip(&self.ts).zip(&self.vs).zip(&self.starts);
            for (((&slot, &t), &v), &start) in floats {
                match start {
                    0 => buffer.append(slot, t, v, now),
                    start => buffer.append_started(slot, t, v, start, now),
                }
            }
        }
        let rich = &self.rich;
        for ((&slot, &t), sample) in rich.slots.iter().zip(&rich.ts).zip(&rich.samples) {
            buffer.append_rich(slot, t, sample, now);
        }
    }
}
