//! What a process costs, as Linux tells it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use m3rs_core::fs::{DiskFs, Fs};

use crate::Failure;

/// Clock ticks in a second, as Linux reports process times on every platform we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that runs.
#[derive(Clone, Debug)]
pub struct Process(PathBuf);

impl Process {
    /// The one that asks.
    #[must_use]
    pub fn this() -> Self {
        Self(PathBuf::from("/proc/self"))
    }

    /// The one with this number.
    #[must_use]
    pub fn of(id: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{id}")))
    }

    /// User and system time so far.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = self.read("stat")?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| -> Result<f64, Failure> {
            Ok(fields.get(i).ok_or("short stat line")?.parse::<f64>()?)
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// A number of its status: `VmHWM`, `VmRSS` and `RssAnon` in KiB, `Threads`.
    ///
    /// # Errors
    /// If the process is gone, or there is no such number.
    pub fn status(&self, name: &str) -> Result<u64, Failure> {
        let status = self.read("status")?;
        let line = status.lines().find(|l| l.starts_with(name)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }

    /// File descriptors that it has open.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn open_files(&self) -> Result<usize, Failure> {
        Ok(DiskFs.list(&self.0.join("fd"))?.len())
    }

    fn read(&self, file: &str) -> Result<String, Failure> {
        Ok(String::from_utf8(DiskFs.read(&self.0.join(file))?)?)
    }
}

/// What became of the time of a thread.
#[derive(Clone, Copy, Debug)]
pub struct ThreadTimes {
    /// It was on a core.
    pub on_core: Duration,
    /// It waited for one.
    pub in_queue: Duration,
}

impl ThreadTimes {
    /// Of the thread that asks, so far.
    ///
    /// # Errors
    /// If the kernel keeps no statistics of its scheduler.
    pub fn now() -> Result<Self, Failure> {
        let stat = String::from_utf8(DiskFs.read(Path::new("/proc/thread-self/schedstat"))?)?;
        let mut fields = stat.split_whitespace();
        let mut next = || -> Result<Duration, Failure> {
            Ok(Duration::from_nanos(fields.next().ok_or("short line")?.parse()?))
        };
        Ok(Self { on_core: next()?, in_queue: next()? })
    }
}

/// Bytes of all files below a directory.
///
/// # Errors
/// As the operating system says.
pub fn bytes_below(dir: &Path) -> Result<u64, Failure> {
    let mut sum = 0;
    for path in DiskFs.list(dir)? {
        sum += if path.is_dir() { bytes_below(&path)? } else { DiskFs.file_len(&path)? };
    }
    Ok(sum)
}
