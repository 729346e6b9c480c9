//! What background work does and did, for people and metrics.

use std::time::Duration;

use m3rs_core::clock::SharedClock;
use parking_lot::Mutex;

use crate::error::TsdbError;

/// A kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// Blocks become volumes.
    Flush,
    /// Buffers become snapshots.
    Snapshot,
    /// Files outside retention go.
    Expire,
    /// Series without samples are taken out.
    Retire,
    /// Volumes are merged into larger ones.
    Compact,
    /// Checksums are verified.
    Scrub,
    /// A namespace is laid out anew.
    Reshard,
    /// New series get into files of the index.
    Seal,
    /// Directories of removed namespaces go.
    Purge,
    /// A failed commit log takes writes again.
    Recover,
}

impl JobKind {
    /// Every kind, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Flush,
        Self::Snapshot,
        Self::Expire,
        Self::Retire,
        Self::Compact,
        Self::Scrub,
        Self::Reshard,
        Self::Seal,
        Self::Purge,
        Self::Recover,
    ];

    /// The kind as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Snapshot => "snapshot",
            Self::Expire => "expire",
            Self::Retire => "retire",
            Self::Compact => "compact",
            Self::Scrub => "scrub",
            Self::Reshard => "reshard",
            Self::Seal => "seal",
            Self::Purge => "purge",
            Self::Recover => "recover",
        }
    }
}

/// One kind of work as it stands. Durations are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct JobStatus {
    /// The kind.
    pub job: &'static str,
    /// For how long it has been running; `None` if it is not.
    pub running_for_ms: Option<u64>,
    /// How often it ended.
    pub runs: u64,
    /// How often it ended in an error.
    pub failures: u64,
    /// How long ago it last ended.
    pub ended_before_ms: Option<u64>,
    /// How long it took then.
    pub last_duration_ms: Option<u64>,
    /// All the time that it took so far.
    pub total_duration_ms: u64,
    /// Why it failed the last time; `None` if it went well.
    pub last_error: Option<String>,
}

/// Keeps the books of all kinds.
#[derive(Debug)]
pub(crate) struct Jobs {
    clock: SharedClock,
    all: Mutex<[Job; JobKind::ALL.len()]>,
}

#[derive(Debug, Default)]
struct Job {
    since: Option<Duration>,
    runs: u64,
    failures: u64,
    ended: Option<Duration>,
    took: Option<Duration>,
    total: Duration,
    error: Option<String>,
}

impl Jobs {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, all: Mutex::default() }
    }

    /// Does `work` as a job of that kind. Jobs of one kind do not run at the same time.
    pub(crate) fn run<T>(
        &self,
        kind: JobKind,
        work: impl FnOnce() -> Result<T, TsdbError>,
    ) -> Result<T, TsdbError> {
        let since = self.clock.monotonic();
        self.all.lock()[kind as usize].since = Some(since);
        let result = work();
        let now = self.clock.monotonic();
        let took = now.saturating_sub(since);
        let mut all = self.all.lock();
        let job = &mut all[kind as usize];
        job.since = None;
        job.runs += 1;
        job.ended = Some(now);
        job.took = Some(took);
        job.total += took;
        job.error = result.as_ref().err().map(ToString::to_string);
        job.failures += u64::from(result.is_err());
        result
    }

    pub(crate) fn status(&self) -> Vec<JobStatus> {
        let now = self.clock.monotonic();
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let all = self.all.lock();
        let each = JobKind::ALL.iter().zip(all.iter());
        each.map(|(kind, job)| JobStatus {
            job: kind.as_str(),
            running_for_ms: job.since.map(|since| ms(now.saturating_sub(since))),
            runs: job.runs,
            failures: job.failures,
            ended_before_ms: job.ended.map(|ended| ms(now.saturating_sub(ended))),
            last_duration_ms: job.took.map(ms),
            total_duration_ms: ms(job.total),
            last_error: job.error.clone(),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use m3rs_sim::clock::SimClock;

    use super::*;

    #[test]
    fn what_runs_and_how_it_ended_is_seen() {
        let clock = Arc::new(SimClock::at(0));
        let jobs = Jobs::new(clock.clone());
        let status = |kind: JobKind| jobs.status().swap_remove(kind as usize);
        let pass = |ms: i64| clock.pass(ms * 1_000_000);
        let result = jobs.run(JobKind::Flush, || {
            pass(20);
            assert_eq!(status(JobKind::Flush).running_for_ms, Some(20));
            assert_eq!(status(JobKind::Scrub).running_for_ms, None);
            Err::<(), _>(TsdbError::SeriesLimit { limit: 7 })
        });
        assert!(result.is_err());
        pass(5);
        let flush = status(JobKind::Flush);
        assert_eq!((flush.job, flush.running_for_ms), ("flush", None));
        assert_eq!((flush.runs, flush.failures), (1, 1));
        assert_eq!((flush.last_duration_ms, flush.ended_before_ms), (Some(20), Some(5)));
        assert!(flush.last_error.is_some_and(|e| e.contains("limits.series_max")));
        let took_two = jobs.run(JobKind::Flush, || {
            pass(2);
            Ok(())
        });
        assert!(took_two.is_ok());
        let flush = status(JobKind::Flush);
        assert_eq!((flush.runs, flush.failures, flush.last_error), (2, 1, None));
        assert_eq!((flush.last_duration_ms, flush.total_duration_ms), (Some(2), 22));
        assert_eq!(status(JobKind::Snapshot).runs, 0);
    }
}
