//! What all operators of one query share.

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::model::Matcher;
use parking_lot::Mutex;

use super::select::Selected;
use super::series::NameRemoval;
use super::step_counts::StepCounts;
use crate::error::QueryError;
use crate::explain::Explain;
use crate::limits::{Budget, Limits};
use crate::promql::annotation::{Annotations, ForcedMonotonicity, Note};
use crate::promql::ast::Span;
use crate::source::{Cancel, SeriesSource, TimeRange};

/// What a selection is known by within a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectionKey {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) start_times: bool,
    pub(crate) last_only: bool,
}

/// What all operators of one query share.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn SeriesSource,
    pub(crate) pool: &'a rayon::ThreadPool,
    pub(crate) limits: &'a Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) cancel: &'a Cancel,
    pub(crate) clock: &'a SharedClock,
    /// The end of the query's time, on the clock's monotonic scale.
    pub(crate) deadline: Duration,
    pub(crate) lookback_ms: i64,
    pub(crate) name_removal: NameRemoval,
    pub(crate) uses_start_times: bool,
    pub(crate) notes: Mutex<Annotations>,
    /// Selections that were made, so that equal selectors share one.
    pub(crate) selections: Mutex<Vec<(SelectionKey, Arc<Selected>)>>,
    /// The time that sorting the result took.
    pub(crate) sorting: Mutex<Duration>,
    /// Collects what operators do, if somebody asks.
    pub(crate) explain: Option<Explain>,
    /// Counts samples by evaluation time, if somebody asks.
    pub(crate) step_counts: Option<StepCounts>,
}

impl Context<'_> {
    /// Whether the query may go on. To be called per batch.
    ///
    /// # Errors
    /// [`QueryError::Cancelled`] and [`QueryError::Timeout`].
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::Cancelled);
        }
        if self.clock.monotonic() > self.deadline {
            return Err(QueryError::Timeout);
        }
        Ok(())
    }

    pub(crate) fn note(&self, span: Span, note: Note<'_>) {
        self.notes.lock().add(span, note);
    }

    pub(crate) fn note_forced(&self, span: Span, name: &str, forced: ForcedMonotonicity) {
        self.notes.lock().add_forced(span, name, forced);
    }
}
