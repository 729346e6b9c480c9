//! The order of background work: one thread for what must be done in time, one job after the
//! other, and one for compaction, which can take long and can wait.

mod jobs;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use parking_lot::{Condvar, Mutex};

pub(crate) use jobs::Jobs;
pub use jobs::{JobKind, JobStatus};

use crate::database::Core;
use crate::error::TsdbError;

/// How often the mediator looks whether there is work.
const TICK: Duration = Duration::from_millis(500);
/// How often closed blocks and retention are looked at.
const SLOW_TICK: Duration = Duration::from_secs(10);
/// How long a job that failed waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long compaction rests after a failure, which may be a full disk.
const COMPACTION_RETRY_AFTER: Duration = Duration::from_secs(60);

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

/// Runs until it is stopped.
pub(crate) fn run(core: &Arc<Core>, stop: &Stop, clock: &SharedClock) {
    let mut slow_at = clock.monotonic() + SLOW_TICK;
    let mut retry_at = Duration::ZERO;
    while !stop.wait(TICK) {
        let now = clock.monotonic();
        if now < retry_at {
            continue;
        }
        let slow = now >= slow_at;
        if let Err(error) = work(core, slow) {
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
        pause = match core.compact_one(stop) {
            Ok(true) => Duration::ZERO,
            Ok(false) => SLOW_TICK,
            Err(TsdbError::Closing) => return,
            Err(error) => {
                core.background_failures.add(1);
                tracing::error!(%error, "a compaction failed");
                COMPACTION_RETRY_AFTER
            }
        };
    }
}

/// Scrubs until it is stopped.
pub(crate) fn run_scrub(core: &Arc<Core>, stop: &Stop, _clock: &SharedClock) {
    let mut pause = SCRUB_FIRST_AFTER;
    while !stop.wait(pause) {
        pause = SCRUB_REST;
        match core.scrub(stop) {
            Ok(report) => tracing::debug!(?report, "scrub"),
            Err(TsdbError::Closing) => return,
            Err(error) => {
                core.background_failures.add(1);
                tracing::error!(%error, "a scrub failed");
            }
        }
    }
}

fn work(core: &Arc<Core>, slow: bool) -> Result<(), TsdbError> {
    core.recover_failed_log()?;
    if core.log.bytes_since_rotation() >= core.snapshot_log_bytes {
        core.snapshot()?;
    }
    core.seal_new_series()?;
    if slow {
        core.flush_due()?;
        core.expire()?;
        core.retire_series()?;
    }
    Ok(())
}
