//! Whether the wall clock may be trusted with what cannot be undone.
//!
//! A wall clock that was set wrong looks like any other. But time that passes moves the wall clock
//! and the monotonic one alike; a step moves the wall clock alone. So nothing is done for good by a
//! wall clock before it has kept pace with the monotonic one for a while, since the process started
//! or since it was last set ahead. Setting it back makes data younger, which costs nothing.

use std::time::Duration;

use m3rs_core::clock::SharedClock;
use parking_lot::Mutex;

/// How far the wall clock may get ahead between two looks without that being a step.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(60);

/// For how long the wall clock must have kept pace before it is trusted.
pub(crate) const STEADY_AFTER: Duration = Duration::from_secs(3600);

/// Watches a clock for steps ahead.
#[derive(Debug)]
pub(crate) struct StepWatch {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Wall minus monotonic time, in nanoseconds.
    offset: i128,
    /// Monotonic time since which there was no step.
    since: Duration,
}

impl StepWatch {
    /// Watches from now on.
    pub(crate) fn new(clock: SharedClock) -> Self {
        let state = State { offset: offset(&clock), since: clock.monotonic() };
        Self { clock, state: Mutex::new(state) }
    }

    /// Looks at the clock; says whether it may be trusted. A step is only seen by a look, so look
    /// before each deed, and often.
    pub(crate) fn is_steady(&self) -> bool {
        let mut state = self.state.lock();
        let offset = offset(&self.clock);
        let ahead_ns = offset - state.offset;
        if ahead_ns > STEP_MAX.as_nanos() as i128 {
            state.since = self.clock.monotonic();
            let held_s = STEADY_AFTER.as_secs();
            let ahead_s = i64::try_from(ahead_ns / 1_000_000_000).unwrap_or(i64::MAX);
            tracing::warn!(
                ahead_s,
                held_s,
                "the wall clock was set ahead; nothing expires for now"
            );
        }
        state.offset = offset;
        self.clock.monotonic().saturating_sub(state.since) >= STEADY_AFTER
    }
}

fn offset(clock: &SharedClock) -> i128 {
    i128::from(clock.now().0) - clock.monotonic().as_nanos() as i128
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use m3rs_core::clock::Clock;
    use m3rs_core::time::{NS_PER_S, TimestampNs};

    use super::*;

    #[derive(Debug, Default)]
    struct Hands(Mutex<(i64, u64)>);

    impl Clock for Hands {
        fn now(&self) -> TimestampNs {
            TimestampNs(self.0.lock().0 * NS_PER_S)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.lock().1)
        }
    }

    impl Hands {
        fn pass(&self, s: u64) {
            let mut hands = self.0.lock();
            *hands = (hands.0 + s as i64, hands.1 + s);
        }

        fn step(&self, s: i64) {
            self.0.lock().0 += s;
        }
    }

    #[test]
    fn a_clock_is_trusted_an_hour_after_the_start_and_after_each_step_ahead() {
        let clock = Arc::new(Hands::default());
        let watch = StepWatch::new(clock.clone());
        assert!(!watch.is_steady());
        clock.pass(3599);
        assert!(!watch.is_steady());
        clock.pass(1);
        assert!(watch.is_steady());
        clock.step(60);
        assert!(watch.is_steady(), "a slow correction is no step");
        clock.step(61);
        assert!(!watch.is_steady());
        clock.pass(3600);
        assert!(watch.is_steady());
        clock.step(-1_000_000_000);
        assert!(watch.is_steady(), "back costs nothing");
        clock.step(1_000_000_000);
        assert!(!watch.is_steady());
        clock.pass(100_000);
        assert!(watch.is_steady());
    }
}
