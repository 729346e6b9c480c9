//! Where everything lies under the data directory.

use std::path::{Path, PathBuf};

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

    /// Directories of which each namespace has one.
    pub(crate) fn parts(&self) -> [PathBuf; 3] {
        ["data", "snapshots", "index"].map(|part| self.root.join(part))
    }

    pub(crate) fn index(&self, dir: &str) -> PathBuf {
        self.root.join("index").join(dir)
    }

    pub(crate) fn data(&self, dir: &str, shard: u16) -> PathBuf {
        self.root.join("data").join(dir).join(shard.to_string())
    }

    pub(crate) fn snapshots(&self, dir: &str, shard: u16) -> PathBuf {
        self.root.join("snapshots").join(dir).join(shard.to_string())
    }

    /// The snapshot of one window: `{block start ns}-{log segment}.snapshot`.
    pub(crate) fn snapshot(
        &self,
        dir: &str,
        shard: u16,
        block_start: i64,
        segment: u64,
    ) -> PathBuf {
        self.snapshots(dir, shard).join(format!("{block_start}-{segment:010}.snapshot"))
    }
}

/// Block start and log segment from a snapshot's file name; `None` for any other name.
pub(crate) fn parse_snapshot(path: &Path) -> Option<(i64, u64)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    let (start, segment) = stem.rsplit_once('-')?;
    Some((start.parse().ok()?, segment.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_names_are_read_back() {
        let layout = Layout::new(Path::new("/d"));
        for start in [-7_200_000_000_000, 0, 1_600_000_000_000_000_000] {
            let path = layout.snapshot("default", 3, start, 12);
            assert_eq!(parse_snapshot(&path), Some((start, 12)));
        }
        assert_eq!(parse_snapshot(Path::new("x.snapshot")), None);
        assert_eq!(parse_snapshot(Path::new("1-2.fileset")), None);
    }
}
