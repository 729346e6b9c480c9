//! When shards change hands.

use jiff::Timestamp;
use m3rs_core::time::TimestampNs;
use m3rs_core::time::duration::DurationNs;

use super::{PlacementError, Shard, ShardState};

/// The times of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Shards change hands at once: databases and coordinators.
    Immediate {
        /// The present.
        now: TimestampNs,
    },
    /// Shards change hands at the end of an aggregation window: aggregators.
    Windowed {
        /// The present.
        now: TimestampNs,
        /// The longest aggregation window; positive.
        window: DurationNs,
        /// How long an instance gets samples before it owns the shard.
        warmup: DurationNs,
    },
}

impl Timing {
    /// The present.
    pub(super) fn now(self) -> TimestampNs {
        match self {
            Self::Immediate { now } | Self::Windowed { now, .. } => now,
        }
    }

    /// From when on the placement itself holds.
    pub(super) fn placement_cutover_ns(self) -> i64 {
        match self {
            Self::Immediate { .. } => 0,
            Self::Windowed { now, .. } => now.0,
        }
    }

    /// When a shard goes from its giver to its taker; 0 is at once.
    pub(super) fn shard_cutover_ns(self) -> i64 {
        match self {
            Self::Immediate { .. } => 0,
            Self::Windowed { now, window, warmup } => {
                let (from, window) = (now.0.saturating_add(warmup.0), window.0.max(1));
                match from.rem_euclid(window) {
                    0 => from,
                    past => from.saturating_add(window - past),
                }
            }
        }
    }

    /// Whether the taker of a shard may be said to have it.
    pub(super) fn check_cutover(self, id: u32, shard: &Shard) -> Result<(), PlacementError> {
        match self {
            Self::Windowed { now, .. } if shard.cutover_ns > now.0 => {
                let time = go_time(shard.cutover_ns);
                Err(PlacementError::BeforeCutover { shard: id, time })
            }
            _ => Ok(()),
        }
    }

    /// Whether the giver of a shard may forget it.
    pub(super) fn check_cutoff(self, id: u32, shard: &Shard) -> Result<(), PlacementError> {
        match self {
            Self::Windowed { now, window, .. }
                if cutoff_ns(shard) > now.0.saturating_sub(window.0) =>
            {
                let (time, window) = (go_time(shard.cutoff_ns), window.go().to_string());
                Err(PlacementError::BeforeCutoff { shard: id, time, window })
            }
            _ => Ok(()),
        }
    }

    /// Whether a shard is in `state` and its time has not come.
    pub(super) fn is_pending(self, shard: &Shard, state: ShardState) -> bool {
        let from_ns = match state {
            ShardState::Initializing => shard.cutover_ns,
            _ => cutoff_ns(shard),
        };
        shard.state == state && from_ns > self.now().0
    }
}

/// A shard without a cutoff stays for ever.
fn cutoff_ns(shard: &Shard) -> i64 {
    if shard.cutoff_ns == 0 { i64::MAX } else { shard.cutoff_ns }
}

/// PARITY(m3): Go's text of a time, in UTC: `2026-11-20 04:22:00 +0000 UTC`.
fn go_time(ns: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn at(now: i64) -> Timing {
        let (window, warmup) = (DurationNs(MINUTE), DurationNs(0));
        Timing::Windowed { now: TimestampNs(now), window, warmup }
    }

    #[test]
    fn shards_change_hands_at_the_end_of_a_window() {
        assert_eq!(at(0).shard_cutover_ns(), 0);
        assert_eq!(at(1).shard_cutover_ns(), MINUTE);
        assert_eq!(at(MINUTE).shard_cutover_ns(), MINUTE);
        assert_eq!(Timing::Immediate { now: TimestampNs(1) }.shard_cutover_ns(), 0);
    }

    #[test]
    fn a_shard_that_leaves_stays_for_a_window() {
        let shard = Shard { cutoff_ns: MINUTE, ..Shard::new(ShardState::Leaving) };
        assert!(at(2 * MINUTE - 1).check_cutoff(7, &shard).is_err());
        assert!(at(2 * MINUTE).check_cutoff(7, &shard).is_ok());
        let why = at(MINUTE).check_cutoff(7, &shard).expect_err("too early").to_string();
        let time = "1970-01-01 00:01:00 +0000 UTC";
        let expected = format!("shard 7 with cutoff time {time}, max aggregation window 1m0s");
        assert_eq!(why, format!("could not return leaving {expected}"));
        assert!(at(i64::MAX).check_cutoff(7, &Shard::new(ShardState::Leaving)).is_err());
    }

    #[test]
    fn times_read_as_go_prints_them() {
        assert_eq!(go_time(1_795_216_000_000_000_000), "2026-11-20 23:06:40 +0000 UTC");
        assert_eq!(go_time(951_782_400_120_000_000), "2000-02-29 00:00:00.12 +0000 UTC");
        assert_eq!(go_time(-1), "1969-12-31 23:59:59.999999999 +0000 UTC");
    }
}
