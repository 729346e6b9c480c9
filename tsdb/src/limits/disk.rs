//! The disk floor: writes are refused while the volume is nearly full.
//!
//! A disk that is really full stops the work that would free space too. So the floor keeps some
//! for flushes and merges, for the log's last bytes, and for the operator.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use m3rs_core::fs::SharedFs;

use crate::error::TsdbError;
use crate::namespace::Counter;

/// How long an answer about free space holds.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// How many bytes of writes it holds for: a quarter of what is free above the floor, within this.
const CHECK_BYTES: RangeInclusive<u64> = 4096..=16 << 20;
/// The floor is at most this share of the volume.
const SHARE_OF_VOLUME: u64 = 100;

/// Knows whether the volume has space for writes.
#[derive(Debug)]
pub(crate) struct DiskFloor {
    fs: SharedFs,
    dir: PathBuf,
    floor_max: u64,
    /// Monotonic nanoseconds of the next look.
    check_at: AtomicU64,
    bytes_since: AtomicU64,
    /// Bytes of writes after which the next look is due.
    check_bytes: AtomicU64,
    /// A look is under way.
    checking: AtomicBool,
    free: AtomicU64,
    floor: AtomicU64,
    pub(crate) refusals: Counter,
}

impl DiskFloor {
    /// A floor of at most `floor_max` bytes for the volume of `dir`; 0 is none.
    pub(crate) fn new(fs: SharedFs, dir: PathBuf, floor_max: u64) -> Self {
        Self {
            fs,
            dir,
            floor_max,
            check_at: AtomicU64::new(0),
            bytes_since: AtomicU64::new(0),
            check_bytes: AtomicU64::new(0),
            checking: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            floor: AtomicU64::new(0),
            refusals: Counter::default(),
        }
    }

    /// Free bytes and the floor, as last seen.
    pub(crate) fn last_seen(&self) -> (u64, u64) {
        (self.free.load(Ordering::Relaxed), self.floor.load(Ordering::Relaxed))
    }

    /// Whether `bytes` more may be written. Cost: four loads; a look at the volume twice a second
    /// and after every 16 MiB, or less when little is free.
    ///
    /// # Errors
    /// [`TsdbError::DiskFloor`].
    pub(crate) fn check(&self, bytes: u64, now: Duration) -> Result<(), TsdbError> {
        if self.floor_max == 0 {
            return Ok(());
        }
        let since = self.bytes_since.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let is_due = now_ns >= self.check_at.load(Ordering::Acquire)
            || since >= self.check_bytes.load(Ordering::Relaxed);
        if is_due && !self.checking.swap(true, Ordering::AcqRel) {
            self.look(now_ns);
            self.checking.store(false, Ordering::Release);
        }
        let (free, floor) = self.last_seen();
        if free < floor {
            self.refusals.add(1);
            return Err(TsdbError::DiskFloor { free, floor });
        }
        Ok(())
    }

    /// Bytes that background work may write and leave the floor free, looked up now; `None` if that
    /// is not known.
    pub(crate) fn room(&self) -> Option<u64> {
        let space = self.fs.space(&self.dir).ok()?;
        Some(space.free.saturating_sub(self.floor_max.min(space.total / SHARE_OF_VOLUME)))
    }

    fn look(&self, now_ns: u64) {
        match self.fs.space(&self.dir) {
            Ok(space) => {
                let floor = self.floor_max.min(space.total / SHARE_OF_VOLUME);
                self.free.store(space.free, Ordering::Relaxed);
                self.floor.store(floor, Ordering::Relaxed);
            }
            // The write itself will tell if the disk is gone; not knowing is no reason to refuse.
            Err(error) => {
                tracing::warn!(%error, dir = %self.dir.display(), "free space is not known");
                self.free.store(u64::MAX, Ordering::Relaxed);
            }
        }
        let (free, floor) = self.last_seen();
        let (least, most) = (*CHECK_BYTES.start(), *CHECK_BYTES.end());
        // Below the floor nothing is written, so only time brings a look.
        let quarter = free.checked_sub(floor).map_or(most, |above| above / 4);
        self.check_bytes.store(quarter.clamp(least, most), Ordering::Relaxed);
        self.bytes_since.store(0, Ordering::Relaxed);
        let pause = u64::try_from(CHECK_EVERY.as_nanos()).unwrap_or(u64::MAX);
        self.check_at.store(now_ns.saturating_add(pause), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use m3rs_core::fs::Fs;
    use m3rs_sim::disk::SimFs;

    use super::*;

    #[test]
    fn the_floor_is_a_hundredth_or_the_setting() {
        let fs = SimFs::new(1);
        fs.set_space(Some(10_000));
        let at = Duration::from_secs;
        for (setting, want) in [(1_000_000, 100), (40, 40)] {
            let floor = DiskFloor::new(Arc::new(fs.clone()), PathBuf::from("/"), setting);
            assert!(floor.check(1, at(1)).is_ok());
            assert_eq!(floor.last_seen(), (10_000, want));
        }
        let none = DiskFloor::new(Arc::new(fs.clone()), PathBuf::from("/"), 0);
        fs.set_space(Some(0));
        assert!(none.check(1, at(1)).is_ok());
    }

    #[test]
    fn the_answer_is_looked_up_again_in_time_and_by_bytes() {
        let fs = SimFs::new(1);
        fs.set_space(Some(10_000));
        fs.create_dir_all(Path::new("/d")).expect("made");
        let mut file = fs.create(Path::new("/d/f")).expect("made");
        let floor = DiskFloor::new(Arc::new(fs.clone()), PathBuf::from("/d"), 1 << 20);
        let at = Duration::from_millis;
        assert!(floor.check(1, at(1000)).is_ok());
        file.write_all(&[0; 9_900]).expect("there is space");
        assert!(floor.check(1, at(1499)).is_ok(), "the answer still holds");
        assert!(floor.check(1, at(1500)).is_ok(), "at the floor is not below it");
        file.write_all(&[0; 1]).expect("there is space");
        let error = floor.check(4096, at(1501)).expect_err("below the floor");
        assert!(matches!(error, TsdbError::DiskFloor { free: 99, floor: 100 }), "{error}");
        assert_eq!(floor.refusals.get(), 1);
        drop(file);
        fs.remove_file(Path::new("/d/f")).expect("removed");
        fs.sync_dir(Path::new("/d")).expect("synced");
        assert!(floor.check(1, at(1502)).is_err(), "the answer still holds");
        assert!(floor.check(1, at(2001)).is_ok(), "space came back");
    }
}
