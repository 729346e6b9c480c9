//! A clock that a test turns.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use m3rs_core::clock::Clock;
use m3rs_core::time::TimestampNs;

/// Time stands still until a test lets it pass. Its wall time may be stepped beside its monotonic
/// time, as that of a machine may.
#[derive(Debug)]
pub struct SimClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl SimClock {
    /// A clock that shows this wall time; its monotonic time is some time after 0.
    #[must_use]
    pub fn at(wall_ns: i64) -> Self {
        Self { wall_ns: AtomicI64::new(wall_ns), monotonic_ns: AtomicU64::new(1 << 40) }
    }

    /// Lets so many nanoseconds pass by both times.
    pub fn pass(&self, ns: i64) {
        self.step(ns);
        self.monotonic_ns.fetch_add(ns.unsigned_abs(), Ordering::Relaxed);
    }

    /// Lets time pass until this wall time, which lies ahead.
    pub fn pass_to(&self, wall_ns: i64) {
        self.pass(wall_ns - self.now().0);
    }

    /// Sets the wall time ahead, or back, by so many nanoseconds.
    pub fn step(&self, ns: i64) {
        self.wall_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.wall_ns.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::Relaxed))
    }
}
