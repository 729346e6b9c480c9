//! How far the log has come, and what that means for a ticket.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::watch;

use crate::error::CommitLogError;

/// How many ended epochs are remembered; a ticket from before them counts as lost.
const EPOCHS_KEPT: usize = 64;

/// The right to learn when an append became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Counts the times that the log resumed after a failure.
    pub(super) epoch: u32,
    /// Counts appends over the life of the log; the first has 1.
    pub(super) position: u64,
}

/// What the log thread tells everyone who waits.
#[derive(Debug, Default)]
pub(super) struct Progress {
    epoch: u32,
    durable: u64,
    failed: Option<Arc<str>>,
    closed: bool,
    ended: VecDeque<EndedEpoch>,
}

#[derive(Debug)]
struct EndedEpoch {
    epoch: u32,
    durable: u64,
    why: Arc<str>,
}

impl Progress {
    /// All appends up to `position` are durable.
    pub(super) fn advance(&mut self, position: u64) {
        self.durable = position;
    }

    /// Nothing more of this epoch will become durable.
    pub(super) fn fail(&mut self, why: Arc<str>) {
        self.failed.get_or_insert(why);
    }

    /// Starts the epoch that follows a failure.
    pub(super) fn resume(&mut self, epoch: u32) {
        let why = self.failed.take().unwrap_or_else(|| Arc::from("no failure was recorded"));
        if self.ended.len() == EPOCHS_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(EndedEpoch { epoch: self.epoch, durable: self.durable, why });
        self.epoch = epoch;
    }

    /// The log thread ends.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// What became of a ticket; `None` while that is open.
    pub(super) fn outcome(&self, ticket: Ticket) -> Option<Result<(), CommitLogError>> {
        if ticket.epoch == self.epoch {
            return match &self.failed {
                _ if ticket.position <= self.durable => Some(Ok(())),
                Some(why) => Some(Err(CommitLogError::Failed { why: why.clone() })),
                None if self.closed => Some(Err(CommitLogError::Closed)),
                None => None,
            };
        }
        let ended = self.ended.iter().find(|e| e.epoch == ticket.epoch);
        Some(match ended {
            Some(e) if ticket.position <= e.durable => Ok(()),
            Some(e) => Err(CommitLogError::Failed { why: e.why.clone() }),
            None => Err(CommitLogError::Failed { why: Arc::from("the log failed long ago") }),
        })
    }
}

/// Waits until the outcome of `ticket` is known.
pub(super) async fn wait(
    mut progress: watch::Receiver<Progress>,
    ticket: Ticket,
) -> Result<(), CommitLogError> {
    let known = progress.wait_for(|p| p.outcome(ticket).is_some()).await;
    match known {
        Ok(p) => p.outcome(ticket).unwrap_or(Err(CommitLogError::Closed)),
        Err(_) => Err(CommitLogError::Closed),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread, which sleeps while it waits.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(epoch: u32, position: u64) -> Ticket {
        Ticket { epoch, position }
    }

    #[test]
    fn a_ticket_keeps_its_outcome_after_the_log_resumed() {
        let mut p = Progress::default();
        assert!(p.outcome(ticket(0, 1)).is_none());
        p.advance(5);
        p.fail(Arc::from("disk gone"));
        assert!(matches!(p.outcome(ticket(0, 5)), Some(Ok(()))));
        assert!(matches!(p.outcome(ticket(0, 6)), Some(Err(CommitLogError::Failed { .. }))));
        p.resume(1);
        p.advance(9);
        assert!(matches!(p.outcome(ticket(0, 5)), Some(Ok(()))));
        assert!(matches!(p.outcome(ticket(0, 6)), Some(Err(CommitLogError::Failed { .. }))));
        assert!(matches!(p.outcome(ticket(1, 9)), Some(Ok(()))));
        assert!(p.outcome(ticket(1, 10)).is_none());
        p.close();
        assert!(matches!(p.outcome(ticket(1, 10)), Some(Err(CommitLogError::Closed))));
        for epoch in 2..100 {
            p.fail(Arc::from("again"));
            p.resume(epoch);
        }
        assert_eq!(p.ended.len(), EPOCHS_KEPT);
        assert!(matches!(p.outcome(ticket(0, 1)), Some(Err(CommitLogError::Failed { .. }))));
    }
}
