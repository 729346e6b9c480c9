//! Compactions that did not succeed wait before they are tried again, each by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::blocks::BlockId;

/// The first rest; each failure doubles it.
const REST_MIN: Duration = Duration::from_secs(60);
const REST_MAX: Duration = Duration::from_secs(3600);
/// The most spans that are remembered; the one that rests for the shortest time is forgotten.
const RESTS_MAX: usize = 10_000;

/// Which compactions rest, by shard and span.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    by_span: BTreeMap<(usize, BlockId), Rest>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Duration,
    length: Duration,
}

impl Rests {
    /// Whether the span rests at `now`, which is monotonic.
    pub(super) fn has(&self, shard: usize, span: BlockId, now: Duration) -> bool {
        self.by_span.get(&(shard, span)).is_some_and(|rest| now < rest.until)
    }

    /// Lets the span rest from now on, twice as long as the last time.
    pub(super) fn add(&mut self, shard: usize, span: BlockId, now: Duration) {
        if self.by_span.len() >= RESTS_MAX
            && let Some(first) = self.by_span.iter().min_by_key(|(_, rest)| rest.until)
        {
            let key = *first.0;
            self.by_span.remove(&key);
        }
        let before = self.by_span.get(&(shard, span)).map_or(Duration::ZERO, |rest| rest.length);
        let length = (before * 2).clamp(REST_MIN, REST_MAX);
        self.by_span.insert((shard, span), Rest { until: now.saturating_add(length), length });
    }

    /// Forgets the failures of a span that was compacted.
    pub(super) fn end(&mut self, shard: usize, span: BlockId) {
        self.by_span.remove(&(shard, span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_longer_each_time_and_its_own() {
        let at = Duration::from_secs;
        let (one, other) = (BlockId::new(0, 10), BlockId::new(10, 10));
        let mut rests = Rests::default();
        assert!(!rests.has(0, one, at(0)));
        rests.add(0, one, at(0));
        assert!(rests.has(0, one, at(59)) && !rests.has(0, one, at(60)));
        assert!(!rests.has(0, other, at(1)) && !rests.has(1, one, at(1)));
        rests.add(0, one, at(60));
        assert!(rests.has(0, one, at(179)) && !rests.has(0, one, at(180)));
        for _ in 0..20 {
            rests.add(0, one, at(1000));
        }
        assert!(rests.has(0, one, at(4599)) && !rests.has(0, one, at(4600)));
        rests.end(0, one);
        assert!(!rests.has(0, one, at(1000)));
    }

    #[test]
    fn no_more_than_the_most_are_remembered() {
        let mut rests = Rests::default();
        for start in 0..RESTS_MAX as i64 + 1 {
            let now = Duration::from_secs(start.unsigned_abs());
            rests.add(0, BlockId::new(start, 10), now);
        }
        assert_eq!(rests.by_span.len(), RESTS_MAX);
        assert!(!rests.has(0, BlockId::new(0, 10), Duration::ZERO), "the shortest is forgotten");
    }
}
