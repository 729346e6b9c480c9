//! Who holds a data directory: a help for the person whose second server was refused.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};

/// Where Linux lists all held locks.
const LOCKS: &str = "/proc/locks";

/// The process that holds a lock on a file right in `dir`, as far as the system tells.
pub(crate) fn find(dir: &Path) -> Option<u32> {
    let locks = DiskFs.read(Path::new(LOCKS)).ok()?;
    let locks = String::from_utf8(locks).ok()?;
    let inodes: Vec<u64> = DiskFs
        .list(dir)
        .ok()?
        .iter()
        .filter_map(|path| Some(path.metadata().ok()?.ino()))
        .collect();
    owner(&locks, &inodes)
}

/// The holder of a lock on one of `inodes`. A line reads
/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`.
fn owner(locks: &str, inodes: &[u64]) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        if words.next() != Some("FLOCK") {
            return None;
        }
        let mut words = words.skip(2);
        let pid: u32 = words.next()?.parse().ok()?;
        let inode: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        // A holder in another container has no number that means anything here.
        (pid > 0 && inodes.contains(&inode)).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_this_process() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(find(dir.path()), None);
        let lock = DiskFs.lock(&dir.path().join("lock")).expect("the lock");
        assert_eq!(find(dir.path()), Some(std::process::id()));
        drop(lock);
        assert_eq!(find(dir.path()), None);
    }

    #[test]
    fn reads_only_file_locks_of_these_inodes() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:5 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 fe:00:6 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 9 fe:00:5 0 EOF\n";
        assert_eq!(owner(locks, &[5]), None);
        assert_eq!(owner(locks, &[5, 6]), Some(8));
        assert_eq!(owner("", &[5]), None);
    }
}
