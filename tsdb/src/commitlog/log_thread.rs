//! The one thread that writes the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::{Clock, SystemClock};
use m3rs_core::fs::SharedFs;

use super::progress::Progress;
use super::segment::{Group, OpenSegment};
use super::writer::{Shared, SyncMode};
use crate::error::CommitLogError;

/// Takes what waits, writes it, syncs once, wakes who waits for it; sleeps while nothing does.
#[derive(Debug)]
pub(super) struct LogThread {
    fs: SharedFs,
    dir: PathBuf,
    sync: SyncMode,
    shared: Arc<Shared>,
    /// `None` after a failure, until the log resumes.
    segment: Option<OpenSegment>,
    /// The buffer that is being written, while callers fill the other.
    group: Group,
    clock: SystemClock,
    /// When the oldest bytes that were not synced were written.
    dirty_since: Option<Duration>,
}

enum Work {
    /// Write the group; the last append in it has this position.
    Write(u64),
    /// The interval is over.
    Sync,
    Close,
}

impl LogThread {
    pub(super) fn new(
        fs: SharedFs,
        dir: PathBuf,
        sync: SyncMode,
        shared: Arc<Shared>,
        segment: OpenSegment,
    ) -> Self {
        Self {
            fs,
            dir,
            sync,
            shared,
            segment: Some(segment),
            group: Group::default(),
            clock: SystemClock::new(),
            dirty_since: None,
        }
    }

    /// Works until the log is closed.
    pub(super) fn run(mut self) {
        let _end = EndGuard(self.shared.clone());
        loop {
            let done = match self.next_work() {
                Work::Write(position) => self.write(position),
                Work::Sync => self.sync_segment(),
                Work::Close => break,
            };
            if let Err(error) = done {
                self.fail(&error);
            }
        }
        if let Some(segment) = self.segment.take()
            && let Err(error) = segment.seal()
        {
            self.fail(&error);
        }
    }

    fn next_work(&mut self) -> Work {
        let mut state = self.shared.state.lock();
        loop {
            if let Some(segment) = state.handover.take() {
                self.segment = Some(segment);
            }
            if !state.group.is_empty() {
                std::mem::swap(&mut state.group, &mut self.group);
                return Work::Write(state.position);
            }
            if state.closing {
                return Work::Close;
            }
            match self.sync_due_in() {
                None => self.shared.work.wait(&mut state),
                Some(Duration::ZERO) => return Work::Sync,
                Some(left) => drop(self.shared.work.wait_for(&mut state, left)),
            }
        }
    }

    fn sync_due_in(&self) -> Option<Duration> {
        match (self.sync, self.dirty_since) {
            (SyncMode::Interval(interval), Some(since)) => {
                Some((since + interval).saturating_sub(self.clock.monotonic()))
            }
            _ => None,
        }
    }

    fn write(&mut self, position: u64) -> Result<(), CommitLogError> {
        let Self { fs, dir, shared, segment, group, sync, .. } = self;
        group.write(segment, *sync, |open, sequence| {
            let sealed = open.sequence();
            open.seal()?;
            let next = OpenSegment::create(fs.as_ref(), dir, sequence, sealed)?;
            shared.state.lock().current = sequence;
            shared.moved.notify_all();
            Ok(next)
        })?;
        group.clear();
        match self.sync {
            SyncMode::Group => self.sync_segment()?,
            SyncMode::Interval(_) => {
                let dirty = self.segment.as_ref().is_some_and(OpenSegment::is_dirty);
                let since = self.dirty_since.unwrap_or_else(|| self.clock.monotonic());
                self.dirty_since = dirty.then_some(since);
                if self.sync_due_in() == Some(Duration::ZERO) {
                    self.sync_segment()?;
                }
            }
            SyncMode::None => {}
        }
        self.shared.progress.send_modify(|p| p.advance(position));
        Ok(())
    }

    fn sync_segment(&mut self) -> Result<(), CommitLogError> {
        self.dirty_since = None;
        self.segment.as_mut().map_or(Ok(()), OpenSegment::sync)
    }

    /// Gives the segment up for good.
    fn fail(&mut self, error: &CommitLogError) {
        self.segment = None;
        self.group.clear();
        self.dirty_since = None;
        tracing::error!(%error, "commit log failed, writes are refused");
        self.shared.fail(&error.to_string());
    }
}

/// Lets no one wait for a thread that is gone, be it by a panic.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("BUG: the log thread panicked");
        }
        self.0.state.lock().ended = true;
        self.0.progress.send_modify(Progress::close);
        self.0.moved.notify_all();
    }
}
