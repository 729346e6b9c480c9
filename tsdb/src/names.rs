//! Where everything lies under the data directory.

use std::path::{Path, PathBuf};

use m3rs_core::fs::Fs;
use m3rs_core::time::duration::DurationNs;

use crate::namespace::check_name;

/// What the name of a file ends in that is kept for a closer look only.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";

/// Directory names and file names of a data directory.
///
/// `dir` is the name of a namespace's directories, which its metadata has.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The file whose lock keeps a second process out.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn commitlog(&self) -> PathBuf {
        self.root.join("commitlog")
    }

    pub(crate) fn namespaces(&self) -> PathBuf {
        self.root.join("namespaces")
    }

    /// Which namespaces there are.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.namespaces().join("catalog")
    }

    /// The same once more.
    pub(crate) fn catalog_copy(&self) -> PathBuf {
        self.namespaces().join("catalog.copy")
    }

    /// Directories with all that backups hold, by backup.
    pub(crate) fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }

    /// Directories of which each namespace has one.
    pub(crate) fn parts(&self) -> [PathBuf; 4] {
        ["data", "snapshots", "index", "side"].map(|part| self.root.join(part))
    }

    /// Whether there is anything in the directories of that name.
    pub(crate) fn has(&self, fs: &dyn Fs, dir: &str) -> bool {
        self.parts().iter().any(|part| fs.exists(&part.join(dir)))
    }

    pub(crate) fn index(&self, dir: &str) -> PathBuf {
        self.root.join("index").join(dir)
    }

    /// Metadata and exemplars.
    pub(crate) fn side(&self, dir: &str) -> PathBuf {
        self.root.join("side").join(dir).join("metadata-exemplars.side")
    }

    /// The directory of the shards' directories with volumes.
    pub(crate) fn data_root(&self, dir: &str) -> PathBuf {
        self.root.join("data").join(dir)
    }

    /// The directory of the shards' directories with snapshots.
    pub(crate) fn snapshots_root(&self, dir: &str) -> PathBuf {
        self.root.join("snapshots").join(dir)
    }

    pub(crate) fn data(&self, dir: &str, shard: u16) -> PathBuf {
        self.data_root(dir).join(shard.to_string())
    }

    pub(crate) fn snapshots(&self, dir: &str, shard: u16) -> PathBuf {
        self.snapshots_root(dir).join(shard.to_string())
    }
}

/// Whether only we give a namespace's directory this name: that of a namespace with a number. A
/// namespace's name has no `@`.
pub(crate) fn is_numbered_dir(name: &str) -> bool {
    let Some((namespace, number)) = name.split_once('@') else { return false };
    let is_canonical = number.parse::<u32>().is_ok_and(|n| n.to_string() == number);
    is_canonical && check_name(namespace).is_ok()
}

/// The directory, below a shard's, of blocks that compaction made: their length, such as `1d`.
pub(crate) fn compacted_dir(shard_dir: &Path, length_ns: i64) -> PathBuf {
    shard_dir.join(DurationNs(length_ns).prometheus().to_string())
}

/// The length of blocks in a directory that [`compacted_dir`] names; `None` for any other.
pub(crate) fn parse_compacted_dir(path: &Path) -> Option<i64> {
    let name = path.file_name()?.to_str()?;
    let length = DurationNs::parse_prometheus(name).ok()?;
    (length.0 > 0 && length.prometheus().to_string() == name).then_some(length.0)
}

/// The file name of the snapshot of one window: `{block start ns}-{log segment}.snapshot`.
pub(crate) fn snapshot_name(block_start: i64, segment: u64) -> String {
    format!("{block_start}-{segment:010}.snapshot")
}

/// Block start and log segment from a snapshot's file name; `None` for any other name.
pub(crate) fn parse_snapshot(path: &Path) -> Option<(i64, u64)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    let (start, segment) = stem.rsplit_once('-')?;
    Some((start.parse().ok()?, segment.parse().ok()?))
}

/// The name under which a damaged file is set aside; a number tells it from an earlier one.
pub(crate) fn damaged_name(fs: &dyn Fs, path: &Path) -> PathBuf {
    let named = |number: u32| {
        let mut aside = path.as_os_str().to_owned();
        if number > 0 {
            aside.push(format!(".{number}"));
        }
        aside.push(DAMAGED_SUFFIX);
        PathBuf::from(aside)
    };
    let mut number = 0;
    while fs.exists(&named(number)) {
        number += 1;
    }
    named(number)
}

/// The name that a file had before it was set aside as `name`.
pub(crate) fn undamaged_name(name: &str) -> &str {
    let name = name.strip_suffix(DAMAGED_SUFFIX).unwrap_or(name);
    match name.rsplit_once('.') {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_names_are_read_back() {
        for start in [-7_200_000_000_000, 0, 1_600_000_000_000_000_000] {
            let name = snapshot_name(start, 12);
            assert_eq!(parse_snapshot(&Path::new("/d").join(name)), Some((start, 12)));
        }
        assert_eq!(parse_snapshot(Path::new("x.snapshot")), None);
        assert_eq!(parse_snapshot(Path::new("1-2.fileset")), None);
    }

    #[test]
    fn numbered_directories_are_ours() {
        for name in ["a@1", "default@4294967295", "a:b-c_d.e@20"] {
            assert!(is_numbered_dir(name), "{name}");
        }
        for name in ["a", "a@", "@1", "a@01", "a@+1", "a@1@2", "a b@1", "a@4294967296", ".a@1"] {
            assert!(!is_numbered_dir(name), "{name}");
        }
    }

    #[test]
    fn directories_of_compacted_blocks_are_read_back() {
        let dir = compacted_dir(Path::new("/d/0"), 86_400_000_000_000);
        assert_eq!(dir, Path::new("/d/0/1d"));
        assert_eq!(parse_compacted_dir(&dir), Some(86_400_000_000_000));
        for name in ["0", "24h", "-1d", "01d", "d", "1-2.fileset", "1-2.snapshot"] {
            assert_eq!(parse_compacted_dir(Path::new(name)), None, "{name}");
        }
    }
}
