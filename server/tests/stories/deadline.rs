//! Waiting for things to happen, never for time to pass.

use std::sync::LazyLock;
use std::time::Duration;

use m3rs_core::clock::{Clock, SystemClock};

/// How often to look.
const PAUSE: Duration = Duration::from_millis(10);

static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

/// A point in time after which waiting is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Duration);

impl Deadline {
    /// That much after now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(CLOCK.monotonic() + time)
    }

    /// Whether it is over.
    pub(crate) fn is_over(self) -> bool {
        CLOCK.monotonic() >= self.0
    }

    /// What is left.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(CLOCK.monotonic())
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    CLOCK.now().to_ms().0
}

/// Gives the machine to others for a moment.
pub(crate) fn pause() {
    std::thread::park_timeout(PAUSE);
}

/// Looks again and again until `look` finds something.
///
/// # Panics
/// If it found nothing within `time`; the message says `what` was waited for.
pub(crate) fn wait_for<T>(what: &str, time: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(time);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(!deadline.is_over(), "waited {time:?} in vain for {what}");
        pause();
    }
}
