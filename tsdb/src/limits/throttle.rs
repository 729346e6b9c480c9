//! The persist rate: files that background work writes are written at no more than a rate. Scrubs
//! read at a rate of their own.
//!
//! The limit is a file system around the real one, so that every writer of files is held to it
//! without knowing. The commit log does not go through it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::{Fs, FsFile, FsLock, Mapped, SharedFs, Space};
use parking_lot::{Condvar, Mutex};

/// The longest that a writer waits before it looks at the clock and the rate again.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// Holds all writers together to a number of bytes a second.
#[derive(Debug)]
pub(crate) struct Throttle {
    clock: SharedClock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    bytes_per_second: u64,
    /// When what was written so far will have been paid for.
    free_at: Duration,
    /// Set for the end of the process: nobody waits any more.
    released: bool,
}

impl Throttle {
    /// At most `bytes_per_second`; 0 is no limit.
    pub(crate) fn new(clock: SharedClock, bytes_per_second: u64) -> Self {
        let state = State { bytes_per_second, free_at: Duration::ZERO, released: false };
        Self { clock, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The rate; 0 is no limit.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.state.lock().bytes_per_second
    }

    /// Another rate from now on, also for who waits already.
    pub(crate) fn set(&self, bytes_per_second: u64) {
        let mut state = self.state.lock();
        state.bytes_per_second = bytes_per_second;
        state.free_at = Duration::ZERO;
        self.changed.notify_all();
    }

    /// Lets everyone through from now on.
    pub(crate) fn release(&self) {
        self.state.lock().released = true;
        self.changed.notify_all();
    }

    /// Waits until `bytes` may be written. Large writes are paid for by those after them.
    pub(crate) fn pass(&self, bytes: usize) {
        let mut state = self.state.lock();
        loop {
            if state.bytes_per_second == 0 || state.released {
                return;
            }
            let now = self.clock.monotonic();
            if state.free_at <= now {
                let cost = bytes as u128 * 1_000_000_000 / u128::from(state.bytes_per_second);
                let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
                state.free_at = now.saturating_add(cost);
                return;
            }
            let wait = state.free_at.saturating_sub(now).min(WAIT_MAX);
            self.changed.wait_for(&mut state, wait);
        }
    }
}

/// The persist rate. Compaction can wait and flushes cannot, so each has it for itself.
#[derive(Clone, Debug)]
pub(crate) struct PersistRate {
    checkpoints: Arc<Throttle>,
    compaction: Arc<Throttle>,
}

impl PersistRate {
    /// At most `bytes_per_second` for each of the two; 0 is no limit.
    pub(crate) fn new(clock: &SharedClock, bytes_per_second: u64) -> Self {
        let throttle = || Arc::new(Throttle::new(Arc::clone(clock), bytes_per_second));
        Self { checkpoints: throttle(), compaction: throttle() }
    }

    /// The rate; 0 is no limit.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.checkpoints.bytes_per_second()
    }

    /// As [`Throttle::set`].
    pub(crate) fn set(&self, bytes_per_second: u64) {
        self.checkpoints.set(bytes_per_second);
        self.compaction.set(bytes_per_second);
    }

    /// As [`Throttle::release`].
    pub(crate) fn release(&self) {
        self.checkpoints.release();
        self.compaction.release();
    }

    /// `inner`, held to the rate together with flushes, snapshots and the index.
    pub(crate) fn fs_of_checkpoints(&self, inner: &SharedFs) -> SharedFs {
        Arc::new(ThrottledFs::new(Arc::clone(inner), Arc::clone(&self.checkpoints)))
    }

    /// `inner`, held to the rate of compaction.
    pub(crate) fn fs_of_compaction(&self, inner: &SharedFs) -> SharedFs {
        Arc::new(ThrottledFs::new(Arc::clone(inner), Arc::clone(&self.compaction)))
    }
}

/// A file system whose files are written at the rate of a [`Throttle`].
#[derive(Debug)]
pub(crate) struct ThrottledFs {
    inner: SharedFs,
    throttle: Arc<Throttle>,
}

impl ThrottledFs {
    /// `inner`, held to the rate of `throttle`.
    pub(crate) fn new(inner: SharedFs, throttle: Arc<Throttle>) -> Self {
        Self { inner, throttle }
    }

    fn wrap(&self, file: Box<dyn FsFile>) -> Box<dyn FsFile> {
        Box::new(ThrottledFile { inner: file, throttle: Arc::clone(&self.throttle) })
    }
}

#[derive(Debug)]
struct ThrottledFile {
    inner: Box<dyn FsFile>,
    throttle: Arc<Throttle>,
}

impl FsFile for ThrottledFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.throttle.pass(bytes.len());
        self.inner.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

impl Fs for ThrottledFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.inner.create(path).map(|file| self.wrap(file))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.inner.open_append(path).map(|file| self.wrap(file))
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.inner.map(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_at(path, offset, len)
    }

    fn file_len(&self, path: &Path) -> io::Result<u64> {
        self.inner.file_len(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.inner.truncate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.inner.is_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.inner.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use m3rs_core::clock::Clock;
    use m3rs_core::time::TimestampNs;
    use m3rs_sim::disk::SimFs;

    use super::*;

    /// A clock on which 100 ms pass whenever it is looked at.
    #[derive(Debug, Default)]
    struct BusyClock(AtomicU64);

    impl Clock for BusyClock {
        fn now(&self) -> TimestampNs {
            TimestampNs(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.fetch_add(100, Ordering::Relaxed))
        }
    }

    fn seconds_to_write(bytes_per_second: u64, edit: impl FnOnce(&Throttle)) -> f64 {
        let clock = Arc::new(BusyClock::default());
        let throttle = Arc::new(Throttle::new(clock.clone(), bytes_per_second));
        let fs = ThrottledFs::new(Arc::new(SimFs::new(1)), Arc::clone(&throttle));
        edit(&throttle);
        fs.create_dir_all(Path::new("/d")).expect("made");
        let mut file = fs.create(Path::new("/d/f")).expect("made");
        for _ in 0..10 {
            file.write_all(&[7; 1000]).expect("written");
        }
        clock.0.load(Ordering::Relaxed) as f64 / 1000.0
    }

    #[test]
    fn compaction_does_not_slow_flushes() {
        let clock = Arc::new(BusyClock::default());
        let shared: SharedClock = clock.clone();
        let rate = PersistRate::new(&shared, 1000);
        let inner: SharedFs = Arc::new(SimFs::new(1));
        inner.create_dir_all(Path::new("/d")).expect("made");
        let compaction = rate.fs_of_compaction(&inner);
        let mut file = compaction.create(Path::new("/d/long")).expect("made");
        file.write_all(&[7; 1_000_000]).expect("written, and to be paid for 1000 s");
        let flushes = rate.fs_of_checkpoints(&inner);
        let mut file = flushes.create(Path::new("/d/short")).expect("made");
        file.write_all(&[7; 10]).expect("written");
        file.write_all(&[7; 10]).expect("written");
        assert!(clock.0.load(Ordering::Relaxed) < 2000, "flushes did not wait");
    }

    #[test]
    fn ten_thousand_bytes_take_as_long_as_the_rate_says() {
        // The last write is paid for by whoever comes next.
        let took = seconds_to_write(2000, |_| ());
        assert!((4.5..7.0).contains(&took), "{took} s");
        assert!(seconds_to_write(0, |_| ()) < 0.1, "0 is no limit");
        assert!(seconds_to_write(1, Throttle::release) < 0.1, "the end waits for nobody");
        let took = seconds_to_write(1, |throttle| throttle.set(10_000));
        assert!((0.9..2.5).contains(&took), "{took} s");
    }
}
