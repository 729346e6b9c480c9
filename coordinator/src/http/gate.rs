//! Lets queries run: a few at a time, each within its time, none longer than its client stays.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_query::source::Cancel;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::error::ApiError;
use crate::http::short::{ShortWork, WorkKey};
use crate::limits::QueryLimits;
use crate::metrics::Metrics;
use crate::queries::Stop;
use crate::read::ErrorType;

/// Runs blocking query work on the runtime's blocking threads, under the limits of queries.
pub(crate) struct QueryGate {
    permits: Arc<Semaphore>,
    concurrent_max: usize,
    queue_timeout: Duration,
    metrics: Arc<Metrics>,
    clock: SharedClock,
    short: Arc<ShortWork>,
}

/// What a query knows when it has its turn.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Says when to stop.
    pub(crate) cancel: &'a Cancel,
    /// How long it waited.
    pub(crate) queued: Duration,
    /// How long it may run.
    pub(crate) time_left: Duration,
}

/// Tells the query to stop when the handler's future is dropped, which is what happens when the
/// client leaves.
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl QueryGate {
    /// A gate with the given limits.
    pub(crate) fn new(limits: &QueryLimits, metrics: Arc<Metrics>, clock: SharedClock) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.concurrent_max)),
            concurrent_max: limits.concurrent_max,
            queue_timeout: limits.queue_timeout,
            metrics,
            clock,
            short: Arc::default(),
        }
    }

    /// The key of work that `kind` describes.
    pub(crate) fn key(&self, kind: impl Hash) -> WorkKey {
        self.short.key(kind)
    }

    /// Waits for a turn, runs `work` and returns what it returned. `timeout` is the time from now
    /// to the end. Work whose `key` was short the last time runs on this thread; whether the client
    /// is still there is not looked at meanwhile.
    ///
    /// # Errors
    /// [`ErrorType::Unavailable`] if no turn came, [`ErrorType::Timeout`] if it took longer than
    /// `timeout`, [`ErrorType::Canceled`] if it was told to stop. A panic of the work goes on in
    /// the caller.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        stop: &Stop,
        key: WorkKey,
        work: impl FnOnce(Turn<'_>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let came = self.clock.monotonic();
        let permit = tokio::select! {
            biased;
            () = stop.told() => return Err(canceled()),
            permit = self.turn(timeout) => permit?,
        };
        let queued = self.clock.monotonic().saturating_sub(came);
        let time_left = timeout.saturating_sub(queued);
        let cancel = stop.cancel().clone();
        let guard = CancelOnDrop(cancel.clone());
        let (in_flight, short) = (self.metrics.queries_in_flight.clone(), Arc::clone(&self.short));
        let clock = Arc::clone(&self.clock);
        in_flight.inc();
        // The permit goes with the work: a query that does not stop at once still counts.
        let run = move || {
            let turn = Turn { cancel: &cancel, queued, time_left };
            let start = clock.monotonic();
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(turn)));
            short.took(key, clock.monotonic().saturating_sub(start));
            in_flight.dec();
            drop(permit);
            result
        };
        if self.short.was_short(key) && has_other_threads() {
            let result = tokio::task::block_in_place(run);
            drop(guard);
            return Ok(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        let task = tokio::task::spawn_blocking(run);
        let finished = tokio::select! {
            biased;
            () = stop.told() => return Err(canceled()),
            finished = tokio::time::timeout(time_left, task) => finished,
        };
        drop(guard);
        match finished {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(panic))) => std::panic::resume_unwind(panic),
            Ok(Err(_)) => Err(ApiError::new(ErrorType::Unavailable, "the server is stopping")),
            Err(_) => {
                Err(ApiError::new(ErrorType::Timeout, "query timed out in expression evaluation"))
            }
        }
    }

    /// Waits for a permit, as long as both the queue and the query's own time allow.
    async fn turn(&self, timeout: Duration) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = Arc::clone(&self.permits).acquire_owned();
        let wait = timeout.min(self.queue_timeout);
        // PARITY(prometheus): a query without time times out before it begins.
        if !timeout.is_zero()
            && let Ok(permit) = tokio::time::timeout(wait, turn).await
        {
            return Ok(permit.expect("BUG: the semaphore is never closed"));
        }
        if timeout <= self.queue_timeout {
            return Err(ApiError::new(ErrorType::Timeout, "query timed out in query execution"));
        }
        self.metrics.query_queue_timeouts.inc();
        Err(ApiError::new(ErrorType::Unavailable, self.queue_text()))
    }

    fn queue_text(&self) -> String {
        format!(
            "query waited {} s for its turn; {} queries run at a time (query.concurrent_max, \
             query.queue_timeout)",
            self.queue_timeout.as_secs_f64(),
            self.concurrent_max
        )
    }
}

/// Whether other threads go on with what this one would have done.
fn has_other_threads() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

fn canceled() -> ApiError {
    ApiError::new(ErrorType::Canceled, "query was canceled in expression evaluation")
}
