//! What storage may fetch for one query, and what becomes of a query that wants more: M3's limits
//! by header.

use m3rs_core::time::NS_PER_MS;
use m3rs_core::time::duration::DurationNs;
use m3rs_query::source::{SourceError, TimeRange};

/// The warning of an answer from which storage left something out. PARITY(m3).
pub(crate) const NOT_EXHAUSTIVE: &str = "m3db exceeded query limit: results not exhaustive";

/// Documents that M3 takes from its index at a time: a limit of documents is noticed after these.
const DOCS_BATCH: usize = 256;

/// Limits that a client sets for a query of its own; 0 is none. They hold for each selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Series.
    pub series_max: usize,
    /// Documents of the index that match; noticed after every 256.
    pub docs_max: usize,
    /// Nanoseconds between the first and the last sample that may be read.
    pub range_max_ns: i64,
    /// Whether a query that wants more fails, instead of being answered with what fits.
    pub is_exhaustive: bool,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { series_max: 0, docs_max: 0, range_max_ns: 0, is_exhaustive: true }
    }
}

impl FetchLimits {
    /// Series to take at most; `None` for all.
    pub(crate) fn series_max(&self) -> Option<usize> {
        let docs_max = match self.docs_max {
            0 => usize::MAX,
            max => max.checked_next_multiple_of(DOCS_BATCH).unwrap_or(usize::MAX),
        };
        let series_max = if self.series_max == 0 { usize::MAX } else { self.series_max };
        (self.series_max != 0 || self.docs_max != 0).then(|| series_max.min(docs_max))
    }

    /// Says whether `matched` series are more than may be fetched.
    ///
    /// # Errors
    /// [`SourceError::FetchLimit`] if that must not be.
    pub(crate) fn check_series(&self, matched: u64) -> Result<bool, SourceError> {
        let is_over = |max: usize| max != 0 && matched > max as u64;
        let is_over = is_over(self.series_max) || is_over(self.docs_max);
        if is_over && self.is_exhaustive {
            let Self { series_max, docs_max, .. } = self;
            return Err(SourceError::FetchLimit(format!(
                "require_exhaustive=true, series_limit={series_max}, series_matched={matched}, \
                 docs_limit={docs_max}, docs_matched={matched}"
            )));
        }
        Ok(is_over)
    }

    /// The part of a range that may be read, the newest, and whether it is shorter.
    ///
    /// # Errors
    /// [`SourceError::FetchLimit`] if it must not be.
    pub(crate) fn range(&self, range: TimeRange) -> Result<(TimeRange, bool), SourceError> {
        let TimeRange { start_ms, end_ms } = range;
        let wanted = end_ms.saturating_sub(start_ms);
        let allowed = self.range_max_ns / NS_PER_MS;
        if self.range_max_ns == 0 || wanted <= allowed {
            return Ok((range, false));
        }
        if self.is_exhaustive {
            return Err(SourceError::FetchLimit(format!(
                "require_exhaustive=true, range_limit={}, range_matched={}",
                DurationNs(self.range_max_ns).go(),
                DurationNs(wanted.saturating_mul(NS_PER_MS)).go()
            )));
        }
        Ok((TimeRange { start_ms: end_ms - allowed, end_ms }, true))
    }
}
