//! Running totals of series that tell the change since the value before.
//!
//! A total is kept for each series, in memory alone: a restart of the process begins every counter
//! anew, with the start timestamp of the first change that comes then. It is forgotten when its
//! series was quiet for `otlp.delta_idle`. The last change of a series may come again, as a sender
//! repeats what got no answer: it is not added a second time, and gives the same sample.
//!
//! PARITY(prometheus): `deltatocumulativeprocessor` 0.157 of the collector, which Prometheus uses
//! with `--enable-feature=otlp-deltatocumulative`; it has no bound on memory and drops in silence.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap};
use m3rs_core::clock::SharedClock;
use parking_lot::Mutex;

use crate::ingest::otlp::DeltaUsage;
use crate::ingest::otlp::exponential::ExponentialTotal;
use crate::ingest::otlp::points::{Common, ExponentialPoint, HistogramPoint, NumberPoint};
use crate::limits::OtlpLimits;

/// Totals are spread over as many locks.
const SHARDS: usize = 16;

/// Bytes of an entry beside its key and its buckets, with the table's spare room.
const ENTRY_BYTES: u64 = 2 * (size_of::<(Box<[u8]>, Entry)>() as u64 + 1) + 16;

/// Why a change is not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaRefusal {
    /// It came late.
    #[error("a delta at {t_ns} ns is out of order: its series is at {last_ns} ns already")]
    OutOfOrder {
        /// Its time.
        t_ns: u64,
        /// The time of the total.
        last_ns: u64,
    },
    /// It belongs to an earlier counter.
    #[error("a delta since {start_ns} ns is older than its series, which starts at {first_ns} ns")]
    OlderStart {
        /// Since when it counts.
        start_ns: u64,
        /// Since when the total counts.
        first_ns: u64,
    },
    /// It would make the total one for ever.
    #[error("a delta must be a finite number, not {0}")]
    NotFinite(String),
    /// There are too many totals.
    #[error("totals of delta series take {limit} bytes, the limit (otlp.delta_state_bytes_max)")]
    Full {
        /// The limit.
        limit: u64,
    },
    /// Deltas are not wanted.
    #[error("delta temporality is refused (otlp.delta_temporality)")]
    Unwanted,
}

/// A data point that may tell a change.
pub(super) trait DeltaPoint<'a> {
    fn common(&mut self) -> &mut Common<'a>;
    /// The point as the first total.
    fn first(&self) -> Total;
    /// Adds the point to `total`; says that it could not, as the total is of another form.
    fn add_to(&self, total: &mut Total) -> bool;
    /// Makes the point the total.
    fn become_total(&mut self, total: &Total);
    /// What tells this change from another at the same time.
    fn print(&self) -> (u64, u64);
    /// A number in it that is not finite.
    fn not_finite(&self) -> Option<f64>;
}

/// The sum of all changes so far.
#[derive(Debug)]
pub(super) enum Total {
    Number(f64),
    Explicit { bounds: Vec<f64>, buckets: Vec<u64>, count: u64, sum: Option<f64> },
    Exponential(ExponentialTotal),
}

impl Total {
    fn heap_bytes(&self) -> u64 {
        match self {
            Self::Number(_) => 0,
            Self::Explicit { bounds, buckets, .. } => 8 * (bounds.len() + buckets.len()) as u64,
            Self::Exponential(total) => total.heap_bytes_max(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    /// Since when the total counts.
    start_ns: u64,
    last: Last,
    seen: Duration,
    bytes: u64,
    total: Total,
}

/// The change that was added last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    start_ns: u64,
    t_ns: u64,
    print: (u64, u64),
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Box<[u8]>, Entry>,
    swept: Duration,
}

/// Totals of all series, for all requests.
#[derive(Debug)]
pub(super) struct DeltaState {
    shards: [Mutex<Shard>; SHARDS],
    hasher: DefaultHashBuilder,
    bytes: AtomicU64,
    series: AtomicU64,
    limits: OtlpLimits,
    clock: SharedClock,
}

impl DeltaState {
    pub(super) fn new(limits: OtlpLimits, clock: SharedClock) -> Self {
        Self {
            shards: Default::default(),
            hasher: DefaultHashBuilder::default(),
            bytes: AtomicU64::new(0),
            series: AtomicU64::new(0),
            limits,
            clock,
        }
    }

    pub(super) fn usage(&self) -> DeltaUsage {
        DeltaUsage {
            series: self.series.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Adds `point` to the total of `series` and makes it that total.
    ///
    /// # Errors
    /// Every kind of [`DeltaRefusal`]; the total is then as before.
    pub(super) fn add<'a>(
        &self,
        series: &[u8],
        point: &mut impl DeltaPoint<'a>,
    ) -> Result<(), DeltaRefusal> {
        if let Some(v) = point.not_finite() {
            return Err(DeltaRefusal::NotFinite(v.to_string()));
        }
        let now = self.clock.monotonic();
        // The high bits; the tables use the low ones and the highest seven.
        let at = (self.hasher.hash_one(series) >> 32) as usize % SHARDS;
        let mut shard = self.shards[at].lock();
        if now.saturating_sub(shard.swept) > self.limits.delta_idle / 4 {
            self.sweep(&mut shard, now);
        }
        if let Some(entry) = shard.entries.get_mut(series) {
            entry.seen = now;
            return self.add_to(entry, point);
        }
        let total = point.first();
        let bytes = ENTRY_BYTES + series.len() as u64 + total.heap_bytes();
        if self.reserve(0, bytes).is_err() {
            self.sweep(&mut shard, now);
            self.reserve(0, bytes)?;
        }
        let print = point.print();
        let Common { start_ns, t_ns, .. } = *point.common();
        let last = Last { start_ns, t_ns, print };
        shard.entries.insert(series.into(), Entry { start_ns, last, seen: now, bytes, total });
        self.series.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn add_to<'a>(
        &self,
        entry: &mut Entry,
        point: &mut impl DeltaPoint<'a>,
    ) -> Result<(), DeltaRefusal> {
        let print = point.print();
        let Common { start_ns, t_ns, .. } = *point.common();
        let change = Last { start_ns, t_ns, print };
        if change != entry.last {
            if t_ns <= entry.last.t_ns {
                return Err(DeltaRefusal::OutOfOrder { t_ns, last_ns: entry.last.t_ns });
            }
            if start_ns != 0 && start_ns < entry.start_ns {
                return Err(DeltaRefusal::OlderStart { start_ns, first_ns: entry.start_ns });
            }
            if !point.add_to(&mut entry.total) {
                // Buckets that cannot be added: a counter that starts here.
                let total = point.first();
                let bytes = entry.bytes - entry.total.heap_bytes() + total.heap_bytes();
                self.reserve(entry.bytes, bytes)?;
                (entry.total, entry.bytes, entry.start_ns) = (total, bytes, start_ns);
            }
            entry.last = change;
        }
        point.become_total(&entry.total);
        point.common().start_ns = entry.start_ns;
        Ok(())
    }

    /// Counts `new` bytes in place of `old` ones, if there is room for more.
    fn reserve(&self, old: u64, new: u64) -> Result<(), DeltaRefusal> {
        let limit = self.limits.delta_state_bytes_max;
        let counted = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            let bytes = bytes.saturating_sub(old).saturating_add(new);
            (bytes <= limit || new <= old).then_some(bytes)
        });
        counted.map(drop).map_err(|_| DeltaRefusal::Full { limit })
    }

    /// Forgets totals whose series were quiet for long.
    fn sweep(&self, shard: &mut Shard, now: Duration) {
        let idle = self.limits.delta_idle;
        let (mut series, mut bytes) = (0, 0);
        shard.entries.retain(|_, entry| {
            let stays = now.saturating_sub(entry.seen) <= idle;
            if !stays {
                series += 1;
                bytes += entry.bytes;
            }
            stays
        });
        shard.swept = now;
        self.series.fetch_sub(series, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl<'a> DeltaPoint<'a> for NumberPoint<'a> {
    fn common(&mut self) -> &mut Common<'a> {
        &mut self.common
    }

    fn first(&self) -> Total {
        Total::Number(self.value)
    }

    fn add_to(&self, total: &mut Total) -> bool {
        let Total::Number(sum) = total else { return false };
        *sum += self.value;
        true
    }

    fn become_total(&mut self, total: &Total) {
        if let Total::Number(sum) = total {
            self.value = *sum;
        }
    }

    fn print(&self) -> (u64, u64) {
        (self.value.to_bits(), 0)
    }

    fn not_finite(&self) -> Option<f64> {
        Some(self.value).filter(|v| !v.is_finite())
    }
}

impl<'a> DeltaPoint<'a> for HistogramPoint<'a> {
    fn common(&mut self) -> &mut Common<'a> {
        &mut self.common
    }

    fn first(&self) -> Total {
        Total::Explicit {
            bounds: self.bounds.kept.clone(),
            buckets: self.buckets.kept.clone(),
            count: self.count,
            sum: self.sum,
        }
    }

    fn add_to(&self, total: &mut Total) -> bool {
        let Total::Explicit { bounds, buckets, count, sum } = total else { return false };
        if *bounds != self.bounds.kept || buckets.len() != self.buckets.kept.len() {
            return false;
        }
        for (total, change) in buckets.iter_mut().zip(&self.buckets.kept) {
            *total = total.saturating_add(*change);
        }
        *count = count.saturating_add(self.count);
        *sum = sum.zip(self.sum).map(|(total, change)| total + change);
        true
    }

    fn become_total(&mut self, total: &Total) {
        if let Total::Explicit { buckets, count, sum, .. } = total {
            self.buckets.kept.clone_from(buckets);
            (self.count, self.sum) = (*count, *sum);
        }
    }

    fn print(&self) -> (u64, u64) {
        (self.count, self.sum.map_or(0, f64::to_bits))
    }

    fn not_finite(&self) -> Option<f64> {
        self.sum.filter(|v| !v.is_finite())
    }
}

impl<'a> DeltaPoint<'a> for ExponentialPoint<'a> {
    fn common(&mut self) -> &mut Common<'a> {
        &mut self.common
    }

    fn first(&self) -> Total {
        Total::Exponential(ExponentialTotal::of(self))
    }

    fn add_to(&self, total: &mut Total) -> bool {
        let Total::Exponential(total) = total else { return false };
        total.add(self);
        true
    }

    fn become_total(&mut self, total: &Total) {
        if let Total::Exponential(total) = total {
            total.put_into(self);
        }
    }

    fn print(&self) -> (u64, u64) {
        (self.count, self.sum.map_or(0, f64::to_bits))
    }

    fn not_finite(&self) -> Option<f64> {
        self.sum.filter(|v| !v.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use m3rs_core::clock::{Clock, SystemClock};
    use m3rs_core::time::TimestampNs;

    use super::*;
    use crate::ingest::otlp::points::Numbers;

    /// A clock that a test turns.
    #[derive(Debug, Default)]
    struct TurnedClock(AtomicU64);

    impl Clock for TurnedClock {
        fn now(&self) -> TimestampNs {
            TimestampNs(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    fn state() -> DeltaState {
        DeltaState::new(OtlpLimits::default(), Arc::new(SystemClock::default()))
    }

    fn number(start_ns: u64, t_ns: u64, value: f64) -> NumberPoint<'static> {
        let common = Common { start_ns, t_ns, ..Common::default() };
        NumberPoint { common, value, ..NumberPoint::default() }
    }

    fn add(state: &DeltaState, mut point: NumberPoint<'_>) -> Result<(u64, f64), DeltaRefusal> {
        state.add(b"series", &mut point)?;
        Ok((point.common.start_ns, point.value))
    }

    #[test]
    fn changes_are_added_up() {
        let state = state();
        assert_eq!(add(&state, number(10, 20, 1.5)), Ok((10, 1.5)));
        assert_eq!(add(&state, number(20, 30, 2.0)), Ok((10, 3.5)));
        assert_eq!(add(&state, number(20, 30, 2.0)), Ok((10, 3.5)), "the same again");
        let late = Err(DeltaRefusal::OutOfOrder { t_ns: 30, last_ns: 30 });
        assert_eq!(add(&state, number(20, 30, 7.0)), late, "another one at the same time");
        let late = Err(DeltaRefusal::OutOfOrder { t_ns: 25, last_ns: 30 });
        assert_eq!(add(&state, number(20, 25, 1.0)), late);
        let older = Err(DeltaRefusal::OlderStart { start_ns: 5, first_ns: 10 });
        assert_eq!(add(&state, number(5, 40, 1.0)), older);
        assert_eq!(add(&state, number(0, 40, -1.0)), Ok((10, 2.5)), "no start is told");
        assert!(matches!(add(&state, number(40, 50, f64::NAN)), Err(DeltaRefusal::NotFinite(_))));
        assert_eq!(add(&state, number(90, 99, 1.0)), Ok((10, 3.5)), "a gap is no new counter");
        assert_eq!(state.usage().series, 1);
    }

    #[test]
    fn quiet_series_are_forgotten_and_memory_is_bounded() {
        let clock = Arc::new(TurnedClock::default());
        let one = ENTRY_BYTES + 2;
        let limits = OtlpLimits {
            delta_state_bytes_max: one * 20,
            delta_idle: Duration::from_secs(100),
            ..OtlpLimits::default()
        };
        let state = DeltaState::new(limits, Arc::clone(&clock) as SharedClock);
        let put = |i: u8| state.add(&[b's', i], &mut number(1, 2, 1.0));
        for i in 0..20 {
            put(i).expect("there is room");
        }
        assert_eq!(put(20), Err(DeltaRefusal::Full { limit: one * 20 }));
        assert_eq!(state.usage(), DeltaUsage { series: 20, bytes: one * 20 });
        clock.0.store(101, Ordering::Relaxed);
        for i in 0..100 {
            // A shard is swept when it is used; each of them is by one of these.
            let _full = put(i);
        }
        let usage = state.usage();
        assert!(usage.series == 20 && usage.bytes == one * 20, "{usage:?}");
        let mut point = number(5, 9, 4.0);
        clock.0.store(300, Ordering::Relaxed);
        state.add(&[b's', 0], &mut point).expect("there is room");
        assert_eq!((point.common.start_ns, point.value), (5, 4.0), "a new counter");
    }

    #[test]
    fn buckets_are_added_up_or_begin_anew() {
        let state = state();
        let point = |t_ns, bounds: &[f64], buckets: &[u64], sum| HistogramPoint {
            common: Common { start_ns: t_ns - 10, t_ns, ..Common::default() },
            count: buckets.iter().sum(),
            sum,
            buckets: Numbers { kept: buckets.to_vec(), beyond: 0 },
            bounds: Numbers { kept: bounds.to_vec(), beyond: 0 },
            ..HistogramPoint::default()
        };
        state.add(b"h", &mut point(20, &[1.0], &[1, 2], Some(2.0))).expect("the first");
        let mut second = point(30, &[1.0], &[3, 0], Some(0.5));
        state.add(b"h", &mut second).expect("the next");
        assert_eq!((second.common.start_ns, second.count, second.sum), (10, 6, Some(2.5)));
        assert_eq!(second.buckets.kept, [4, 2]);
        let mut other = point(40, &[1.0, 2.0], &[1, 1, 1], None);
        state.add(b"h", &mut other).expect("of other buckets");
        assert_eq!((other.common.start_ns, other.count), (30, 3));
        let mut kind = number(40, 50, 2.0);
        state.add(b"h", &mut kind).expect("of another kind");
        assert_eq!((kind.common.start_ns, kind.value), (40, 2.0));
    }
}
