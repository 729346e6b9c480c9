//! The order of background work: one thread for what must be done in time, one job after the
//! other, and one for compaction, which can take long and can wait.

mod jobs;
mod outcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::telemetry::invariant;
use parking_lot::{Condvar, Mutex};

pub(crate) use jobs::Jobs;
pub use jobs::{JobKind, JobStatus};
pub(crate) use outcome::FirstError;

use crate::database::Core;
use crate::error::TsdbError;

/// How often the mediator looks whether there is work.
const TICK: Duration = Duration::from_millis(500);
/// How often closed blocks and retention are looked at.
const SLOW_TICK: Duration = Duration::from_secs(10);
/// How long a job that failed waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// When the first scrub begins.
const SCRUB_FIRST_AFTER: Duration = Duration::from_secs(600);
/// How long the next pass waits after the end of one.
const SCRUB_REST: Duration = Duration::from_secs(3600);

/// Tells background threads to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
    /// The same, for loops that look often.
    flag: AtomicBool,
}

impl Stop {
    /// Asks for the end; says whether that was asked for before.
    pub(crate) fn stop(&self) -> bool {
        self.flag.store(true, Ordering::Relaxed);
        let was_stopped = std::mem::replace(&mut *self.stopped.lock(), true);
        self.changed.notify_all();
        was_stopped
    }

    /// Fails if it is time to stop.
    pub(crate) fn check(&self) -> Result<(), TsdbError> {
        if self.flag.load(Ordering::Relaxed) { Err(TsdbError::Closing) } else { Ok(()) }
    }

    /// Waits for at most `time`; says whether to stop.
    fn wait(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, time);
        }
        *stopped
    }
}

/// Opens the blocks that the start left for later.
pub(crate) fn run_opening(core: &Arc<Core>, stop: &Stop, clock: &SharedClock) {
    let since = clock.monotonic();
    loop {
        match contained("opener of older blocks", || core.open_older(stop)) {
            Ok(()) => {
                let took = clock.monotonic().saturating_sub(since);
                return tracing::info!(?took, "all older blocks are open");
            }
            Err(TsdbError::Closing) => return,
            Err(error) => {
                core.background_failures.add(1);
                let retry_after_s = RETRY_AFTER.as_secs();
                tracing::error!(%error, retry_after_s, "older blocks are not open yet");
            }
        }
        if stop.wait(RETRY_AFTER) {
            return;
        }
    }
}

/// Runs until it is stopped.
pub(crate) fn run(core: &Arc<Core>, stop: &Stop, clock: &SharedClock) {
    let mut slow_at = clock.monotonic() + SLOW_TICK;
    let mut retry_at = Duration::ZERO;
    while !stop.wait(TICK) {
        let now = clock.monotonic();
        if now < retry_at || core.check_opened().is_err() {
            continue;
        }
        let slow = now >= slow_at;
        if let Err(error) = contained("mediator", || work(core, slow)) {
            core.background_failures.add(1);
            let retry_after_s = RETRY_AFTER.as_secs();
            tracing::error!(%error, retry_after_s, "background work failed");
            retry_at = clock.monotonic() + RETRY_AFTER;
        } else if slow {
            slow_at = clock.monotonic() + SLOW_TICK;
        }
    }
}

/// Compacts until it is stopped.
pub(crate) fn run_compaction(core: &Arc<Core>, stop: &Stop, _clock: &SharedClock) {
    let mut pause = SLOW_TICK;
    while !stop.wait(pause) {
        if core.check_opened().is_err() {
            continue;
        }
        pause = match contained("compactor", || core.compact_one(stop)) {
            Ok(true) => Duration::ZERO,
            Ok(false) => SLOW_TICK,
            Err(TsdbError::Closing) => return,
            Err(error) => {
                core.background_failures.add(1);
                tracing::error!(%error, "a compaction failed");
                SLOW_TICK
            }
        };
    }
}

/// Scrubs until it is stopped.
pub(crate) fn run_scrub(core: &Arc<Core>, stop: &Stop, _clock: &SharedClock) {
    let mut pause = SCRUB_FIRST_AFTER;
    while !stop.wait(pause) {
        pause = SCRUB_REST;
        match contained("scrubber", || core.scrub(stop)) {
            Ok(report) => tracing::debug!(?report, "scrub"),
            Err(TsdbError::Closing) => return,
            Err(error) => {
                core.background_failures.add(1);
                tracing::error!(%error, "a scrub failed");
            }
        }
    }
}

/// One round of the mediator. Each job is done whatever comes of the others; the first error is
/// returned.
fn work(core: &Arc<Core>, slow: bool) -> Result<(), TsdbError> {
    let mut first = FirstError::default();
    if slow {
        // First, as it frees space for the others.
        first.note(core.expire());
    }
    first.note(core.recover_failed_log());
    if core.log.bytes_since_rotation() >= core.snapshot_log_bytes {
        first.note(core.snapshot());
    }
    first.note(core.seal_new_series());
    if slow {
        first.note(core.flush_due());
        first.note(core.save_deletions());
        first.note(core.retire_series());
    }
    first.into_result()
}

/// Runs `work`; a panic in it is a broken invariant and an error, and not the end of the thread.
/// What it had begun is as after an error: in memory and in the log.
fn contained<T>(
    thread: &'static str,
    work: impl FnOnce() -> Result<T, TsdbError>,
) -> Result<T, TsdbError> {
    // Locks are not poisoned, and all that is shared is behind one.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        invariant::violated(thread);
        Err(TsdbError::Panicked { thread })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_ends_no_thread() {
        let before = invariant::count();
        let caught = std::panic::catch_unwind(|| {
            contained("test", || -> Result<(), TsdbError> { panic!("as the test wants") })
        });
        assert_eq!(invariant::count(), before + 1);
        // In debug builds a broken invariant is fatal, so that tests fail.
        assert_eq!(caught.is_err(), cfg!(debug_assertions));
        let panicked = caught.map(|result| matches!(result, Err(TsdbError::Panicked { .. })));
        assert!(panicked.unwrap_or(true));
        assert!(contained("test", || Ok(7)).is_ok_and(|n| n == 7));
    }
}
