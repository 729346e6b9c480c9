//! Which work was short the last time, so that it may run where its request was read.
//!
//! To hand work to another thread and its result back takes two wake-ups of threads, which for
//! the queries of a dashboard's panels is more than the work itself.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::DefaultHashBuilder;

/// Work that takes no longer than this is short. A request to write takes about as long.
const SHORT: Duration = Duration::from_millis(1);

/// How many kinds of work are remembered; more of them forget each other.
const SLOTS: usize = 4096;

/// Names work of one kind: equal keys are expected to take as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkKey(u64);

/// The kinds of work that were short, by a hash.
pub(crate) struct ShortWork {
    hasher: DefaultHashBuilder,
    /// The key of what was short, or 0.
    slots: Box<[AtomicU64]>,
}

impl Default for ShortWork {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: DefaultHashBuilder::default(), slots }
    }
}

impl ShortWork {
    /// The key of what `kind` says.
    pub(crate) fn key(&self, kind: impl Hash) -> WorkKey {
        WorkKey(self.hasher.hash_one(kind) | 1)
    }

    fn slot(&self, key: WorkKey) -> &AtomicU64 {
        // The upper bits, as the lowest one is the same in all keys.
        &self.slots[(key.0 >> 32) as usize % SLOTS]
    }

    /// Whether work of this kind was short when it ran last.
    pub(crate) fn was_short(&self, key: WorkKey) -> bool {
        self.slot(key).load(Ordering::Relaxed) == key.0
    }

    /// Says how long it took.
    pub(crate) fn took(&self, key: WorkKey, took: Duration) {
        let slot = self.slot(key);
        if took <= SHORT {
            slot.store(key.0, Ordering::Relaxed);
        } else if slot.load(Ordering::Relaxed) == key.0 {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_counts() {
        let work = ShortWork::default();
        let (a, b) = (work.key(("a", 1)), work.key(("a", 2)));
        assert!(!work.was_short(a));
        work.took(a, SHORT);
        assert!(work.was_short(a) && !work.was_short(b));
        work.took(a, SHORT + Duration::from_nanos(1));
        assert!(!work.was_short(a));
    }
}
