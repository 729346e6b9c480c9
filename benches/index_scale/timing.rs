//! Repetitions.

use std::fmt;
use std::time::Duration;

use m3rs_core::clock::{Clock, SystemClock};

use m3rs_benches::Failure;

/// Repetitions of a case: as many as fit into a time, between these.
const REPETITIONS_MIN: u32 = 7;
const REPETITIONS_MAX: u32 = 501;
const CASE_MAX: Duration = Duration::from_secs(1);

/// What `run` takes.
pub(crate) fn timed<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    let made = run()?;
    Ok((made, clock.monotonic() - begin))
}

/// What several runs took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: Duration,
    /// The least disturbed one.
    pub(crate) least: Duration,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:.4} ms, least {:.4} ms", ms(self.median), ms(self.least))
    }
}

/// Times several runs, each told its number; with what the last of them returned.
pub(crate) fn spread<T>(
    mut run: impl FnMut(u32) -> Result<T, Failure>,
) -> Result<(T, Spread), Failure> {
    let clock = SystemClock::new();
    let mut times = Vec::new();
    let mut number = 0;
    loop {
        let (made, time) = timed(|| run(number))?;
        times.push(time);
        number += 1;
        let is_enough = number >= REPETITIONS_MAX || clock.monotonic() >= CASE_MAX;
        if is_enough && number >= REPETITIONS_MIN {
            times.sort_unstable();
            return Ok((made, Spread { median: times[times.len() / 2], least: times[0] }));
        }
    }
}
