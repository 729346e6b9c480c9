//! Queries that run or wait for their turn. Their number is bounded by that of connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use m3rs_core::time::TimestampNs;
use m3rs_query::source::Cancel;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::read::QueryTime;

/// By which a query is told to stop; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    cancel: Cancel,
    told: Arc<Notify>,
}

impl Stop {
    /// The flag that the evaluation looks at.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Tells the query to stop, and whoever waits for its answer.
    pub(crate) fn tell(&self) {
        self.cancel.cancel();
        self.told.notify_waiters();
    }

    /// Returns once [`Stop::tell`] was called.
    pub(crate) async fn told(&self) {
        let mut told = pin!(self.told.notified());
        // From here on no call is missed.
        told.as_mut().enable();
        if !self.cancel.is_cancelled() {
            told.await;
        }
    }
}

/// Whose query it is, as far as that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// The other end of the connection.
    pub(crate) client: Option<SocketAddr>,
    /// The id of the request.
    pub(crate) request_id: Option<String>,
}

/// A query that runs or waits for its turn.
#[derive(Debug)]
pub(crate) struct ActiveQuery {
    pub(crate) id: u64,
    /// The text, as much as is shown of it.
    pub(crate) text: String,
    pub(crate) time: QueryTime,
    pub(crate) asker: Asker,
    /// When it came, by the wall clock.
    pub(crate) came: TimestampNs,
    /// The same by the monotonic clock.
    pub(crate) started: Duration,
    pub(crate) stop: Stop,
    queued: OnceLock<Duration>,
}

impl ActiveQuery {
    /// How long it waited for its turn; `None` if it does still.
    pub(crate) fn queued(&self) -> Option<Duration> {
        self.queued.get().copied()
    }

    pub(super) fn starts(&self, queued: Duration) {
        self.queued.get_or_init(|| queued);
    }
}

/// All queries that run or wait, by number; numbers are not given twice.
#[derive(Debug, Default)]
pub(crate) struct ActiveQueries {
    queries: Mutex<BTreeMap<u64, Arc<ActiveQuery>>>,
    last_id: AtomicU64,
}

impl ActiveQueries {
    pub(super) fn add(
        &self,
        text: String,
        time: QueryTime,
        asker: Asker,
        (came, started): (TimestampNs, Duration),
    ) -> Arc<ActiveQuery> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (stop, queued) = (Stop::default(), OnceLock::new());
        let query = ActiveQuery { id, text, time, asker, came, started, stop, queued };
        let query = Arc::new(query);
        self.queries.lock().insert(id, Arc::clone(&query));
        query
    }

    pub(super) fn remove(&self, id: u64) {
        self.queries.lock().remove(&id);
    }

    /// All of them, the oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<ActiveQuery>> {
        self.queries.lock().values().cloned().collect()
    }

    /// Tells a query to stop; says whether there is one of this number.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let query = self.queries.lock().get(&id).cloned();
        query.inspect(|query| query.stop.tell()).is_some()
    }
}
