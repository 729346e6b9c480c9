//! Limits that may change while the database serves: what M3 has as runtime options.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::Limits;

/// The present values; those of [`Limits`] at start.
#[derive(Debug)]
pub(crate) struct RuntimeLimits {
    new_series_per_second_max: AtomicU32,
    windows_max: AtomicUsize,
}

impl RuntimeLimits {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            new_series_per_second_max: AtomicU32::new(limits.new_series_per_second_max),
            windows_max: AtomicUsize::new(limits.windows_max),
        }
    }

    /// See [`Limits::new_series_per_second_max`].
    pub(crate) fn new_series_per_second_max(&self) -> u32 {
        self.new_series_per_second_max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_new_series_per_second_max(&self, limit: u32) {
        self.new_series_per_second_max.store(limit, Ordering::Relaxed);
    }

    /// See [`Limits::windows_max`].
    pub(crate) fn windows_max(&self) -> usize {
        self.windows_max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_windows_max(&self, limit: usize) {
        self.windows_max.store(limit, Ordering::Relaxed);
    }
}
