//! The seam to wall and monotonic time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::TimestampNs;

/// Tells the time. Production uses [`SystemClock`], the simulator its own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall time; may jump.
    fn now(&self) -> TimestampNs;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// A clock that several owners share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn now(&self) -> TimestampNs {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A clock before 1970 is a broken clock; zero keeps every sample "in the future".
        let ns = since.map_or(0, |d| d.as_nanos());
        TimestampNs(i64::try_from(ns).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
