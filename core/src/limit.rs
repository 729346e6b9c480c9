//! Limits as values: a name, a setting that moves it, a bound, and what holds a share of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} would be {wanted}, the limit is {max} (setting {setting})")]
pub struct LimitReached {
    /// What is limited, such as `bytes of queries`.
    pub name: &'static str,
    /// The setting that moves the limit.
    pub setting: &'static str,
    /// The bound.
    pub max: u64,
    /// What the amount in use would have become.
    pub wanted: u64,
}

/// A bound on an amount that many holders share: permits, bytes, samples. Clones share it.
///
/// Cost: one compare-and-swap to take, one subtraction to give back; never waits.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    setting: &'static str,
    max: u64,
    used: AtomicU64,
    refusals: AtomicU64,
}

impl Budget {
    /// A budget of `max`, of which nothing is in use.
    #[must_use]
    pub fn new(name: &'static str, setting: &'static str, max: u64) -> Self {
        let (used, refusals) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { name, setting, max, used, refusals }))
    }

    /// Takes `amount` until the share is dropped.
    ///
    /// # Errors
    /// [`LimitReached`] if more than the bound would be in use; nothing is taken then.
    pub fn take(&self, amount: u64) -> Result<Share, LimitReached> {
        self.add(amount)?;
        Ok(Share { budget: self.clone(), amount })
    }

    fn add(&self, amount: u64) -> Result<(), LimitReached> {
        let shared = &self.0;
        let fits = |used: u64| used.checked_add(amount).filter(|sum| *sum <= shared.max);
        let (order, read) = (Ordering::AcqRel, Ordering::Relaxed);
        match shared.used.fetch_update(order, read, fits) {
            Ok(_) => Ok(()),
            Err(used) => {
                shared.refusals.fetch_add(1, Ordering::Relaxed);
                let Shared { name, setting, max, .. } = **shared;
                Err(LimitReached { name, setting, max, wanted: used.saturating_add(amount) })
            }
        }
    }

    /// The amount in use now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The bound.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.max
    }

    /// How often the limit was reached.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    amount: u64,
}

impl Share {
    /// Takes `amount` more.
    ///
    /// # Errors
    /// [`LimitReached`]; the share stays as it was.
    pub fn grow(&mut self, amount: u64) -> Result<(), LimitReached> {
        self.budget.add(amount)?;
        self.amount += amount;
        Ok(())
    }

    /// The amount held.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max: u64) -> Budget {
        Budget::new("bytes of queries", "query.bytes_max", max)
    }

    #[test]
    fn n_fits_and_n_plus_1_does_not() {
        let budget = budget(10);
        let share = budget.take(10).expect("it fits");
        let error = budget.take(1).expect_err("it is full");
        assert_eq!(
            error.to_string(),
            "bytes of queries would be 11, the limit is 10 (setting query.bytes_max)"
        );
        assert_eq!((budget.used(), budget.refusals()), (10, 1));
        drop(share);
        assert_eq!(budget.used(), 0);
        assert!(budget.take(10).is_ok());
    }

    #[test]
    fn a_share_that_cannot_grow_stays() {
        let budget = budget(10);
        let mut share = budget.take(4).expect("it fits");
        share.grow(6).expect("it fits");
        assert!(share.grow(1).is_err());
        assert!(share.grow(u64::MAX).is_err());
        assert_eq!((share.amount(), budget.used()), (10, 10));
    }

    #[test]
    fn threads_never_pass_the_bound() {
        let budget = budget(100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let share = budget.take(40);
                        assert!(budget.used() <= 100);
                        drop(share);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
