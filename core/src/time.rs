//! Times and spans of time.

pub mod duration;

/// A point in time: nanoseconds since 1970-01-01 UTC. The storage's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampNs(pub i64);

/// A point in time: milliseconds since 1970-01-01 UTC. PromQL's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampMs(pub i64);

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;

/// Nanoseconds in a second.
pub const NS_PER_S: i64 = 1_000_000_000;

impl TimestampMs {
    /// The same time in nanoseconds; times beyond the years 1677 and 2262 saturate.
    #[must_use]
    pub fn to_ns(self) -> TimestampNs {
        TimestampNs(self.0.saturating_mul(NS_PER_MS))
    }
}

impl TimestampNs {
    /// The millisecond that this time falls in.
    #[must_use]
    pub fn to_ms(self) -> TimestampMs {
        TimestampMs(self.0.div_euclid(NS_PER_MS))
    }
}
