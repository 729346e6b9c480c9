//! A simulated disk at which a test looks, or waits, before each operation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, FsFile, FsLock, Mapped, Space};
use m3rs_sim::disk::SimFs;

pub(crate) struct Hooked {
    fs: SimFs,
    hook: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Hooked {
    /// The disk `fs` with `hook` before each operation.
    pub(crate) fn over(fs: &SimFs, hook: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { fs: fs.clone(), hook: Box::new(hook) })
    }

    fn look(&self) -> &SimFs {
        (self.hook)();
        &self.fs
    }
}

impl Fs for Hooked {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.look().create(path)
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.look().open_append(path)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.look().map(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.look().read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.look().read_at(path, offset, len)
    }

    fn file_len(&self, path: &Path) -> io::Result<u64> {
        self.look().file_len(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.look().truncate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.look().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.look().hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.look().remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.look().remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.look().create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.look().sync_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.look().list(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.look().exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.look().is_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.look().space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.look().lock(path)
    }
}
