//! Lets queries run: a few at a time, each within its time, none longer than its client stays.

use std::sync::Arc;
use std::time::Duration;

use m3rs_query::source::Cancel;
use tokio::sync::Semaphore;

use crate::http::error::ApiError;
use crate::limits::QueryLimits;
use crate::metrics::Metrics;
use crate::read::ErrorType;

/// Runs blocking query work on the runtime's blocking threads, under the limits of queries.
pub(crate) struct QueryGate {
    permits: Arc<Semaphore>,
    concurrent_max: usize,
    queue_timeout: Duration,
    metrics: Arc<Metrics>,
}

/// Tells the query to stop when the handler's future is dropped, which is what happens when the
/// client leaves.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl QueryGate {
    /// A gate with the given limits.
    pub(crate) fn new(limits: &QueryLimits, metrics: Arc<Metrics>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.concurrent_max)),
            concurrent_max: limits.concurrent_max,
            queue_timeout: limits.queue_timeout,
            metrics,
        }
    }

    /// Waits for a turn, runs `work` and returns what it returned.
    ///
    /// # Errors
    /// [`ErrorType::Unavailable`] if no turn came, [`ErrorType::Timeout`] if the work took longer
    /// than `timeout`. A panic of the work goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = Arc::clone(&self.permits).acquire_owned();
        let Ok(permit) = tokio::time::timeout(self.queue_timeout, turn).await else {
            self.metrics.query_queue_timeouts.inc();
            return Err(ApiError::new(ErrorType::Unavailable, self.queue_text()));
        };
        let permit = permit.expect("BUG: the semaphore is never closed");
        let cancel = Cancel::new();
        let guard = CancelOnDrop(cancel.clone());
        let in_flight = self.metrics.queries_in_flight.clone();
        in_flight.inc();
        // The permit goes with the work: a query that does not stop at once still counts.
        let task = tokio::task::spawn_blocking(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&cancel)));
            in_flight.dec();
            drop(permit);
            result
        });
        let finished = tokio::time::timeout(timeout, task).await;
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

    fn queue_text(&self) -> String {
        format!(
            "query waited {} s for its turn; {} queries run at a time (query.concurrent_max, \
             query.queue_timeout)",
            self.queue_timeout.as_secs_f64(),
            self.concurrent_max
        )
    }
}
