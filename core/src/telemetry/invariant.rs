//! Broken invariants in code that must go on: counted and logged, fatal in debug builds.
//!
//! A request that meets a bug answers with an error. A background loop has nobody to answer: it
//! calls [`violated`], sets the thing aside and goes on with the rest.

use std::sync::atomic::{AtomicU64, Ordering};

static VIOLATIONS: AtomicU64 = AtomicU64::new(0);

/// Notes that `what`, which cannot happen, has happened.
///
/// # Panics
/// In debug builds, so that tests fail.
pub fn violated(what: &str) {
    VIOLATIONS.fetch_add(1, Ordering::Relaxed);
    tracing::error!(what, "BUG: an invariant is violated");
    if cfg!(debug_assertions) {
        panic!("BUG: an invariant is violated: {what}");
    }
}

/// How often that happened in this process; the metric `m3rs_invariant_violations_total`.
#[must_use]
pub fn count() -> u64 {
    VIOLATIONS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_counted_and_fails_tests() {
        let before = count();
        let caught = std::panic::catch_unwind(|| violated("as the test wants"));
        assert_eq!(caught.is_err(), cfg!(debug_assertions));
        assert_eq!(count(), before + 1);
    }
}
