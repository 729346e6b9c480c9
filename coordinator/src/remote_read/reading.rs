//! Reads what a request asks for: query by query, series by series in order of their labels.

use std::sync::Arc;

use m3rs_core::model::Labels;
use m3rs_query::source::{
    Cancel, SampleBatch, SampleColumns, SelectHints, SelectRequest, Selection, SourceError,
};
use tokio::sync::OwnedSemaphorePermit;

use super::ReadQuery;
use crate::limits::RemoteReadLimits;
use crate::metrics::{Metrics, RemoteReadInFlight};
use crate::read::{FetchLimits, QuerySource, QuerySources};

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The source cannot answer.
    #[error("query {query}: {error}")]
    Source {
        /// The query, from 1.
        query: usize,
        /// What it says.
        error: SourceError,
    },
    /// More samples than one message may have.
    #[error("exceeded sample limit ({limit}), set by read.samples_max")]
    TooManySamples {
        /// How many there may be.
        limit: u64,
    },
    /// A message that snappy cannot hold.
    #[error("the answer has 4 GiB or more in one message; ask for streamed chunks")]
    TooLarge,
}

/// A request at work. Its permit is given back when it is dropped.
pub(crate) struct Reading {
    source: Box<dyn QuerySource>,
    queries: Vec<ReadQuery>,
    /// The query that is read, or that comes next.
    at: usize,
    selected: Option<Selected>,
    /// Whether series without samples are given, too.
    gives_empty: bool,
    limits: RemoteReadLimits,
    cancel: Cancel,
    metrics: Arc<Metrics>,
    _in_flight: (OwnedSemaphorePermit, RemoteReadInFlight),
}

/// The series of one query.
struct Selected {
    labels: Vec<Labels>,
    /// Numbers of series, in order of their labels.
    order: Vec<usize>,
    /// How many of these were given.
    given: usize,
    /// `None` if no samples are wanted.
    selection: Option<Selection>,
    batch: SampleBatch,
}

impl Reading {
    pub(crate) fn new(
        sources: &dyn QuerySources,
        queries: Vec<ReadQuery>,
        limits: RemoteReadLimits,
        cancel: Cancel,
        metrics: Arc<Metrics>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let in_flight = (permit, metrics.remote_read.in_flight());
        Self {
            source: sources.open(&FetchLimits::default()),
            queries,
            at: 0,
            selected: None,
            gives_empty: false,
            limits,
            cancel,
            metrics,
            _in_flight: in_flight,
        }
    }

    /// Gives series without samples, too, which is what one message has and a stream has not.
    pub(crate) fn with_empty_series(self) -> Self {
        Self { gives_empty: true, ..self }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> RemoteReadLimits {
        self.limits
    }

    /// The queries.
    pub(crate) fn queries(&self) -> &[ReadQuery] {
        &self.queries
    }

    /// Gives some series to `take`, with the number of their query from 0. Returns the number of
    /// the query that was read and whether it has more series; `None` at the end of all.
    ///
    /// # Errors
    /// Every kind of [`ReadError`] that `take` has, and what the source says.
    pub(crate) fn read_some(
        &mut self,
        mut take: impl FnMut(usize, &Labels, &SampleColumns) -> Result<(), ReadError>,
    ) -> Result<Option<(usize, bool)>, ReadError> {
        let at = self.at;
        let Some(query) = self.queries.get(at) else {
            self.tell_notes();
            return Ok(None);
        };
        let source_failed = |error| ReadError::Source { query: at + 1, error };
        if self.cancel.is_cancelled() {
            return Err(source_failed(SourceError::Cancelled));
        }
        let selected = match &mut self.selected {
            Some(selected) => selected,
            none => none.insert(
                select(&*self.source, query, self.limits, &self.cancel).map_err(source_failed)?,
            ),
        };
        let (mut series, mut samples) = (0, 0);
        let gives_empty = self.gives_empty;
        selected.read_some(source_failed, |labels, columns| {
            if columns.is_empty() && !gives_empty {
                return Ok(());
            }
            series += 1;
            samples += columns.len() as u64;
            take(at, labels, columns)
        })?;
        self.metrics.remote_read.add(series, samples);
        let has_more = selected.given < selected.order.len();
        if !has_more {
            self.selected = None;
            self.at += 1;
        }
        Ok(Some((at, has_more)))
    }

    /// The client has no place for warnings.
    fn tell_notes(&self) {
        for note in self.source.notes() {
            tracing::warn!(note, "remote read left something out");
        }
    }
}

fn select(
    source: &dyn QuerySource,
    query: &ReadQuery,
    limits: RemoteReadLimits,
    cancel: &Cancel,
) -> Result<Selected, SourceError> {
    let empty = Selected {
        labels: Vec::new(),
        order: Vec::new(),
        given: 0,
        selection: None,
        batch: SampleBatch::default(),
    };
    // PARITY(prometheus): without matchers nothing is selected.
    let (Some(range), false) = (query.range(), query.matchers.is_empty()) else {
        return Ok(empty);
    };
    let hints = query.hints.clone().unwrap_or_default();
    let request = SelectRequest {
        matchers: query.matchers.clone(),
        range,
        hints: SelectHints {
            step_ms: hints.step_ms,
            range_ms: hints.range_ms,
            function: Some(hints.function).filter(|function| !function.is_empty()),
            ..SelectHints::default()
        },
        series_max: limits.series_max,
    };
    let mut selection = source.select(&request, cancel)?;
    let labels = std::mem::take(&mut selection.series);
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_unstable_by(|a, b| labels[*a].cmp(&labels[*b]));
    let selection = (!query.wants_series_alone()).then_some(selection);
    Ok(Selected { labels, order, selection, ..empty })
}

/// Series without samples that are given at a time.
const SERIES_ALONE: usize = 1024;

impl Selected {
    fn read_some(
        &mut self,
        failed: impl Fn(SourceError) -> ReadError,
        mut take: impl FnMut(&Labels, &SampleColumns) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let Some(rest) = self.order.get(self.given..).filter(|rest| !rest.is_empty()) else {
            return Ok(());
        };
        let first = rest[0];
        let Some(selection) = &self.selection else {
            let some = &rest[..rest.len().min(SERIES_ALONE)];
            self.given += some.len();
            let none = SampleColumns::default();
            return some.iter().try_for_each(|number| take(&self.labels[*number], &none));
        };
        // Series that follow each other in storage as well are read together.
        let run = rest.iter().zip(first..).take_while(|(number, i)| *number == i).count();
        selection.reader.read_batch(first..first + run, &mut self.batch).map_err(failed)?;
        let rows = self.batch.rows();
        self.given += rows.len();
        for (labels, columns) in self.labels[first..].iter().zip(rows) {
            take(labels, columns)?;
        }
        Ok(())
    }
}
