//! The order of all background work: one thread, one job at a time.

mod jobs;

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use parking_lot::{Condvar, Mutex};

pub use jobs::{JobKind, JobStatus};
pub(crate) use jobs::Jobs;

use crate::database::Core;
use crate::error::TsdbError;

/// How often the mediator looks whether there is work.
const TICK: Duration = Duration::from_millis(500);
/// How often closed blocks and retention are looked at.
const SLOW_TICK: Duration = Duration::from_secs(10);
/// How long a job that failed waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Tells the mediator to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks for the end; says whether that was asked for before.
    pub(crate) fn stop(&self) -> bool {
        let was_stopped = std::mem::replace(&mut *self.stopped.lock(), true);
        self.changed.notify_all();
        was_stopped
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

fn work(core: &Arc<Core>, slow: bool) -> Result<(), TsdbError> {
    if let Some(why) = core.log.failure() {
        core.recover_log()?;
        tracing::warn!(%why, "commit log takes writes again, on a new segment");
    }
    if core.log.bytes_since_rotation() >= core.snapshot_log_bytes {
        core.snapshot()?;
    }
    if slow {
        core.flush_due()?;
        core.expire()?;
    }
    Ok(())
}
