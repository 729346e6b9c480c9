//! A bound on how often something happens.

use std::time::Duration;

/// A bucket of tokens that fills at a rate and holds one second's worth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateLimit {
    /// Billionths of a token.
    tokens: u128,
    /// When it was last filled; it starts full.
    filled_at: Option<Duration>,
}

/// Billionths of a token in one; a rate in tokens a second is this many of them a nanosecond.
const UNIT: u128 = 1_000_000_000;

impl RateLimit {
    /// Takes one token if there is one. A rate of 0 is no limit. `now` is monotonic.
    pub(crate) fn take(&mut self, per_second: u64, now: Duration) -> bool {
        if per_second == 0 {
            return true;
        }
        self.fill(per_second, now);
        if self.tokens < UNIT {
            return false;
        }
        self.tokens -= UNIT;
        true
    }

    fn fill(&mut self, per_second: u64, now: Duration) {
        let full = u128::from(per_second) * UNIT;
        let Some(filled_at) = self.filled_at else {
            *self = Self { tokens: full, filled_at: Some(now) };
            return;
        };
        let passed = now.saturating_sub(filled_at).as_nanos().min(UNIT);
        let came = u128::from(per_second) * passed;
        let tokens = (self.tokens + came).min(full);
        *self = Self { tokens, filled_at: Some(now.max(filled_at)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(limit: &mut RateLimit, per_second: u64, now: Duration) -> u64 {
        (0..10_000).take_while(|_| limit.take(per_second, now)).count() as u64
    }

    #[test]
    fn a_second_holds_its_rate_and_no_more() {
        let at = Duration::from_millis;
        let mut limit = RateLimit::default();
        assert_eq!(take_all(&mut limit, 100, at(5_000)), 100, "it starts full");
        assert_eq!(take_all(&mut limit, 100, at(5_000)), 0);
        assert_eq!(take_all(&mut limit, 100, at(5_009)), 0, "nine tenths of one");
        assert_eq!(take_all(&mut limit, 100, at(5_010)), 1, "parts add up");
        assert_eq!(take_all(&mut limit, 100, at(5_510)), 50);
        assert_eq!(take_all(&mut limit, 100, at(99_000)), 100, "a long pause saves up a second");
        assert_eq!(take_all(&mut limit, 100, at(98_000)), 0, "a clock that goes back gives none");
    }

    #[test]
    fn the_rate_may_change() {
        let at = Duration::from_secs;
        let mut limit = RateLimit::default();
        assert_eq!(take_all(&mut limit, 5, at(1)), 5);
        assert_eq!(take_all(&mut limit, 0, at(1)), 10_000, "0 is no limit");
        assert_eq!(take_all(&mut limit, 50, at(1)), 0, "a new rate gives nothing at once");
        assert_eq!(take_all(&mut limit, 50, at(2)), 50);
        assert_eq!(take_all(&mut limit, 2, at(3)), 2, "no more than a second's worth is kept");
    }
}
