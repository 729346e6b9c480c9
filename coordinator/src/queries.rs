//! The queries of this process: those that run, what earlier ones cost, and a log of slow ones.

mod active;
mod history;

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use parking_lot::Mutex;

use crate::limits::QueryLimits;
use crate::metrics::Metrics;
use crate::read::{QueryAnswer, QueryFailure, QueryTime};

pub(crate) use active::{ActiveQueries, ActiveQuery, Asker, Stop};
pub(crate) use history::{History, TextStats, TopBy};

/// The most bytes of a query's text that lists and logs show; the rest is cut off.
pub(crate) const TEXT_SHOWN_BYTES_MAX: usize = 4096;

/// What is known of the queries of this process.
pub(crate) struct Queries {
    pub(crate) active: ActiveQueries,
    pub(crate) history: History,
    log_slower_than: Duration,
    metrics: Arc<Metrics>,
    clock: SharedClock,
}

impl Queries {
    pub(crate) fn new(
        limits: &QueryLimits,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Arc<Self> {
        Arc::new(Self {
            active: ActiveQueries::default(),
            history: History::new(limits.history_texts_max),
            log_slower_than: limits.log_slower_than,
            metrics,
            clock,
        })
    }

    /// Lists a query until the last clone of what is returned is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        text: &str,
        time: QueryTime,
        asker: Asker,
    ) -> Arc<RunningQuery> {
        let start = (self.clock.now(), self.clock.monotonic());
        let active = self.active.add(shown(text), time, asker, start);
        Arc::new(RunningQuery { queries: Arc::clone(self), active, end: Mutex::default() })
    }

    /// Tells a query to stop; says whether there is one of this number.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let is_there = self.active.cancel(id);
        self.metrics.queries_cancelled.inc_by(u64::from(is_there));
        is_there
    }

    /// How long a query has been running, its time in the queue included.
    pub(crate) fn duration_of(&self, query: &ActiveQuery) -> Duration {
        self.clock.monotonic().saturating_sub(query.started)
    }
}

/// How a query ended.
struct End {
    samples: Option<u64>,
    series: Option<u64>,
    error: Option<String>,
}

/// A query between its request and its end. Whoever works on it holds a clone.
pub(crate) struct RunningQuery {
    queries: Arc<Queries>,
    active: Arc<ActiveQuery>,
    end: Mutex<Option<End>>,
}

impl RunningQuery {
    /// Tells the query to stop.
    pub(crate) fn stop(&self) -> &Stop {
        &self.active.stop
    }

    /// Says that it has its turn, after such a time.
    pub(crate) fn starts(&self, queued: Duration) {
        self.active.starts(queued);
    }

    /// Says how its evaluation ended.
    pub(crate) fn evaluated(&self, result: &Result<QueryAnswer, QueryFailure>) {
        match result {
            Ok(QueryAnswer { samples, series, .. }) => {
                let (samples, series) = (Some(*samples), Some(*series));
                self.set_end(End { samples, series, error: None });
            }
            Err(failure) => self.failed(&failure.message),
        }
    }

    /// Says that it has no answer. Of several ends the first counts.
    pub(crate) fn failed(&self, error: &str) {
        self.set_end(End { samples: None, series: None, error: Some(error.to_owned()) });
    }

    fn set_end(&self, end: End) {
        self.end.lock().get_or_insert(end);
    }

    fn end(&mut self) -> End {
        let nobody_said = || {
            let error = match self.active.queued() {
                Some(_) => "the evaluation panicked",
                None => "the client left while the query waited for its turn",
            };
            End { samples: None, series: None, error: Some(error.to_owned()) }
        };
        self.end.get_mut().take().unwrap_or_else(nobody_said)
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        let end = self.end();
        let Self { queries, active, .. } = self;
        let took = queries.duration_of(active);
        queries.active.remove(active.id);
        let now = queries.clock.now();
        queries.history.add(&active.text, took, end.error.is_some(), now);
        if took >= queries.log_slower_than {
            queries.metrics.queries_slow.inc();
            log(active, took, &end);
        }
    }
}

fn log(query: &ActiveQuery, took: Duration, end: &End) {
    let ActiveQuery { id, text, time, asker, .. } = query;
    let (start_ms, end_ms, step_ms) = time.grid_ms();
    tracing::info!(
        id,
        query = text,
        start_ms,
        end_ms,
        step_ms,
        duration_seconds = took.as_secs_f64(),
        queue_seconds = query.queued().unwrap_or(took).as_secs_f64(),
        series = end.series,
        samples = end.samples,
        error = end.error,
        client = asker.client.map(tracing::field::display),
        request_id = asker.request_id,
        "slow query"
    );
}

/// The start of a text, as much as is shown of it.
fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_SHOWN_BYTES_MAX);
    match text.get(..end) {
        Some(cut) if cut.len() < text.len() => format!("{cut}..."),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::clock::SystemClock;
    use m3rs_core::fs::DiskFs;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::http::BuildInfo;

    fn queries(texts_max: usize) -> Arc<Queries> {
        let limits = QueryLimits { history_texts_max: texts_max, ..QueryLimits::default() };
        let clock: SharedClock = Arc::new(SystemClock::new());
        let (registry, build) = (Registry::default(), BuildInfo::default());
        let metrics = Metrics::new(registry, &build, &clock, Arc::new(DiskFs));
        Queries::new(&limits, Arc::new(metrics), clock)
    }

    const AT_ONE: QueryTime = QueryTime::Instant { time_ms: 1 };

    #[test]
    fn a_query_is_listed_until_nobody_works_on_it() {
        let queries = queries(10);
        let query = queries.begin("up", AT_ONE, Asker::default());
        let worker = Arc::clone(&query);
        let id = query.active.id;
        assert_eq!(queries.active.list()[0].queued(), None);
        worker.starts(Duration::from_millis(7));
        assert_eq!(queries.active.list()[0].queued(), Some(Duration::from_millis(7)));
        drop(query);
        assert!(queries.cancel(id), "the worker goes on");
        assert!(worker.stop().cancel().is_cancelled());
        worker.evaluated(&Ok(QueryAnswer::default()));
        worker.failed("too late to count");
        drop(worker);
        assert!(queries.active.list().is_empty());
        assert!(!queries.cancel(id));
        assert_eq!(queries.metrics.queries_cancelled.get(), 1);
        let top = queries.history.top(TopBy::Count, 10);
        assert_eq!((top[0].text.as_str(), top[0].count, top[0].errors), ("up", 1, 0));
    }

    #[test]
    fn who_leaves_or_panics_has_an_error() {
        let queries = queries(10);
        let waiting = queries.begin("a", AT_ONE, Asker::default());
        drop(waiting);
        let panicked = queries.begin("a", AT_ONE, Asker::default());
        panicked.starts(Duration::ZERO);
        drop(panicked);
        assert_eq!(queries.history.top(TopBy::Count, 1)[0].errors, 2);
    }

    #[test]
    fn long_texts_are_cut_at_characters() {
        let at_limit = "x".repeat(TEXT_SHOWN_BYTES_MAX);
        assert_eq!(shown(&at_limit), at_limit);
        assert_eq!(shown(&format!("{at_limit}x")), format!("{at_limit}..."));
        let wide = "\u{e9}".repeat(TEXT_SHOWN_BYTES_MAX);
        assert_eq!(shown(&wide).len(), TEXT_SHOWN_BYTES_MAX + 3);
        let odd = format!("x{wide}");
        assert_eq!(shown(&odd).len(), TEXT_SHOWN_BYTES_MAX - 1 + 3);
    }
}
