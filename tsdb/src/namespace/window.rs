//! Which times a write may have, and what it changes of samples.

use m3rs_core::time::TimestampNs;

use super::{BlockGrid, Namespace, NamespaceOptions, TruncateTime, WriteTransforms};
use crate::write::WriteRefusal;

/// What holds for the samples of one request. A copy, so that a request sees one set of options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteWindow {
    oldest: i64,
    latest: i64,
    past: Past,
    transforms: WriteTransforms,
    grid: BlockGrid,
}

/// What a sample before the oldest time is outside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Retention,
    Buffer,
}

impl Namespace {
    /// The window of requests that begin now.
    pub(crate) fn write_window(&self, options: &NamespaceOptions) -> WriteWindow {
        let now = self.clock.now().0;
        let (oldest, past, ahead) = if options.cold_writes_enabled {
            let ahead = options.buffer_future_ns.max(options.future_retention_ns);
            (self.horizon().0, Past::Retention, ahead)
        } else {
            let oldest = now.saturating_sub(options.buffer_past_ns).max(0);
            (oldest, Past::Buffer, options.buffer_future_ns)
        };
        WriteWindow {
            oldest,
            latest: now.saturating_add(ahead),
            past,
            transforms: options.transforms,
            grid: self.grid,
        }
    }
}

impl WriteWindow {
    /// Checks the time of a sample.
    ///
    /// # Errors
    /// Every kind of [`WriteRefusal`].
    #[inline]
    pub(crate) fn check(&self, t: TimestampNs) -> Result<(), WriteRefusal> {
        if t.0 < self.oldest || t.0 > self.latest {
            return Err(self.refusal(t));
        }
        Ok(())
    }

    #[cold]
    fn refusal(&self, t: TimestampNs) -> WriteRefusal {
        let (oldest, latest) = (TimestampNs(self.oldest), TimestampNs(self.latest));
        match self.past {
            _ if t > latest => WriteRefusal::TooFarInFuture { t, latest },
            Past::Retention => WriteRefusal::OutsideRetention { t, oldest },
            Past::Buffer => WriteRefusal::OutsideBuffer { t, oldest },
        }
    }

    /// The sample as it is to be kept.
    #[inline]
    pub(crate) fn transform(&self, t: TimestampNs, v: f64) -> (i64, f64) {
        (self.transform_time(t), self.transforms.force_value.unwrap_or(v))
    }

    /// The time under which a sample is to be kept.
    #[inline]
    pub(crate) fn transform_time(&self, t: TimestampNs) -> i64 {
        match self.transforms.truncate_time {
            None => t.0,
            Some(TruncateTime::BlockStart) => self.grid.start_of(t.0).max(0),
            Some(TruncateTime::Unit(unit)) => t.0 - t.0.rem_euclid(unit),
        }
    }
}
