//! The seam to threads and tasks: each has a name and an owner that joins it.

use std::fmt;
use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// A thread that its owner joins: by [`Thread::join`], or else when the value is dropped.
#[derive(Debug)]
pub struct Thread {
    name: String,
    handle: Option<JoinHandle<()>>,
}

/// A thread or task of ours panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("BUG: `{name}` panicked")]
pub struct Panicked {
    /// Name of the thread or group of tasks.
    pub name: String,
}

impl Thread {
    /// Starts `work` on a new thread called `name`, which debuggers show (15 bytes of it).
    ///
    /// # Errors
    /// The machine has no more threads to give.
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { name: name.to_owned(), handle: Some(handle) })
    }

    /// The thread's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// [`Panicked`] if it ended that way.
    pub fn join(mut self) -> Result<(), Panicked> {
        self.join_once()
    }

    fn join_once(&mut self) -> Result<(), Panicked> {
        match self.handle.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(Panicked { name: self.name.clone() }),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Err(error) = self.join_once() {
            tracing::error!(%error, "a thread ended badly");
        }
    }
}

/// Runs `work` for `0..count` at the same time, the first on this thread, and returns what each
/// came to. A part that gets no thread runs on this one.
///
/// # Panics
/// If a part panics: it is a part of the caller.
pub fn fork<T: Send>(name: &str, count: ThreadCount, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let start = |part| {
            let builder = std::thread::Builder::new().name(name.to_owned());
            builder.spawn_scoped(scope, move || work(part))
        };
        let others: Vec<_> = (1..count.get()).map(|part| (part, start(part))).collect();
        let mut results = vec![work(0)];
        results.extend(others.into_iter().map(|(part, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => work(part),
        }));
        results
    })
}

/// A group of tasks on the present runtime; those still running when it is dropped are cancelled.
#[derive(Debug)]
pub struct Tasks {
    name: &'static str,
    set: JoinSet<()>,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, set: JoinSet::new() }
    }

    /// Starts a task in the group. Must be called on a runtime.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Number of tasks that were not joined yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is no task to join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Waits until every task has ended.
    ///
    /// # Errors
    /// [`Panicked`] if any ended that way; the others are waited for all the same.
    pub async fn join_all(mut self) -> Result<(), Panicked> {
        let mut result = Ok(());
        while let Some(ended) = self.set.join_next().await {
            if ended.is_err_and(|error| error.is_panic()) {
                result = Err(Panicked { name: self.name.to_owned() });
            }
        }
        result
    }
}

/// Number of threads of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadCount(usize);

impl ThreadCount {
    /// `count` threads, at least one.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(count.max(1))
    }

    /// As many threads as the process may run at the same time.
    #[must_use]
    pub fn of_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl fmt::Display for ThreadCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Builds a runtime for sockets and timers. No CPU work and no file work belongs on its threads:
/// those go to its at most `blocking_max` blocking threads, or to a pool of their own.
///
/// # Errors
/// The machine has no more threads or descriptors to give.
pub fn io_runtime(
    name: &str,
    threads: ThreadCount,
    blocking_max: ThreadCount,
) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(threads.get())
        .max_blocking_threads(blocking_max.get())
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_dropped_thread_was_joined() {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let thread = Thread::start("count", move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        drop(thread.expect("a thread"));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_names_its_thread() {
        let thread = Thread::start("bad", || panic!("as the test wants")).expect("a thread");
        let error = thread.join().expect_err("it panicked");
        assert_eq!(error.to_string(), "BUG: `bad` panicked");
    }

    #[test]
    fn a_group_joins_all_and_reports_a_panic() {
        let two = ThreadCount::new(2);
        let runtime = io_runtime("io", two, two).expect("a runtime");
        let count = Arc::new(AtomicUsize::new(0));
        let result = runtime.block_on(async {
            let mut tasks = Tasks::new("group");
            tasks.spawn(async { panic!("as the test wants") });
            for _ in 0..3 {
                let seen = Arc::clone(&count);
                tasks.spawn(async move {
                    tokio::task::yield_now().await;
                    seen.fetch_add(1, Ordering::SeqCst);
                });
            }
            assert_eq!(tasks.len(), 4);
            tasks.join_all().await
        });
        assert_eq!(result, Err(Panicked { name: "group".into() }));
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_fork_returns_what_each_part_came_to() {
        let squares = fork("square", ThreadCount::new(5), |part| part * part);
        assert_eq!(squares, [0, 1, 4, 9, 16]);
    }

    #[test]
    fn there_is_always_a_thread() {
        assert_eq!(ThreadCount::new(0).get(), 1);
        assert!(ThreadCount::of_machine().get() >= 1);
    }
}
