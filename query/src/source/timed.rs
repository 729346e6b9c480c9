//! A source that measures how long selections take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::model::Labels;

use super::{Cancel, LabelRequest, Listing, SelectRequest, Selection, SeriesSource, SourceError};

/// Passes all calls on, and takes the time of [`SeriesSource::select`].
pub(crate) struct TimedSource<'a> {
    inner: &'a dyn SeriesSource,
    clock: &'a SharedClock,
    selecting_ns: AtomicU64,
}

impl<'a> TimedSource<'a> {
    pub(crate) fn new(inner: &'a dyn SeriesSource, clock: &'a SharedClock) -> Self {
        Self { inner, clock, selecting_ns: AtomicU64::new(0) }
    }

    /// The time of all selections so far.
    pub(crate) fn selecting(&self) -> Duration {
        Duration::from_nanos(self.selecting_ns.load(Ordering::Relaxed))
    }
}

impl SeriesSource for TimedSource<'_> {
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError> {
        let started = self.clock.monotonic();
        let selected = self.inner.select(request, cancel);
        let took = self.clock.monotonic().saturating_sub(started);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.selecting_ns.fetch_add(took_ns, Ordering::Relaxed);
        selected
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        self.inner.label_names(request)
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        self.inner.label_values(name, request)
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        self.inner.series(request)
    }
}
