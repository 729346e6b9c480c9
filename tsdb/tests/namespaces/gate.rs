//! A simulated disk that waits at each sync while its gate is shut, and on which no file is made
//! below a directory that is named.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, FsFile, FsLock, Mapped, Space};
use m3rs_sim::disk::SimFs;
use parking_lot::{Condvar, Mutex};

#[derive(Clone, Debug)]
pub(crate) struct GatedFs {
    inner: SimFs,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    /// Syncs that wait.
    waiting: u64,
    refused: Option<PathBuf>,
}

impl GatedFs {
    pub(crate) fn new(inner: SimFs) -> Self {
        Self { inner, gate: Arc::default() }
    }

    /// Holds up every sync of a file from now on.
    pub(crate) fn shut(&self) {
        self.gate.state.lock().is_shut = true;
    }

    pub(crate) fn open_gate(&self) {
        self.gate.state.lock().is_shut = false;
        self.gate.changed.notify_all();
    }

    /// Returns once somebody waits at the gate.
    pub(crate) fn wait_for_a_sync(&self) {
        let mut state = self.gate.state.lock();
        while state.waiting == 0 {
            self.gate.changed.wait(&mut state);
        }
    }

    /// Lets no file be made below `dir`; below none with `None`.
    pub(crate) fn refuse_below(&self, dir: Option<&str>) {
        self.gate.state.lock().refused = dir.map(PathBuf::from);
    }

    fn wrap(&self, file: Box<dyn FsFile>) -> Box<dyn FsFile> {
        Box::new(GatedFile { inner: file, gate: Arc::clone(&self.gate) })
    }
}

#[derive(Debug)]
struct GatedFile {
    inner: Box<dyn FsFile>,
    gate: Arc<Gate>,
}

impl FsFile for GatedFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.gate.state.lock();
        state.waiting += 1;
        self.gate.changed.notify_all();
        while state.is_shut {
            self.gate.changed.wait(&mut state);
        }
        state.waiting -= 1;
        drop(state);
        self.inner.sync()
    }
}

impl Fs for GatedFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let refused = self.gate.state.lock().refused.clone();
        if refused.is_some_and(|dir| path.starts_with(dir)) {
            return Err(io::Error::other("refused by the test"));
        }
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
