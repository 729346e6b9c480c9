//! A disk in memory that remembers what was synced and forgets the rest in a crash.

mod tree;
mod world;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, FsFile, FsLock, Mapped, Space};
use parking_lot::Mutex;

use world::World;

/// What a crash does to that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// A power cut at its worst: all of it is gone, contents and names.
    Lost,
    /// A power cut as it comes: of each file a prefix of what was not synced is left, perhaps
    /// with zeros at its end; each name that was not synced is kept or lost, as the seed says.
    Torn,
    /// A power cut on a disk that writes in its own order: as [`Unsynced::Torn`], but what is left
    /// of a file has holes, of zeros or of bytes that stood elsewhere before, and later bytes
    /// behind them.
    Reordered,
    /// The process died but the machine did not: all of it is left, and still not synced.
    Kept,
}

impl Unsynced {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Torn, Self::Reordered, Self::Kept];
}

/// A simulated file system. Clones share one disk.
///
/// Every operation that changes something counts as one step, see [`SimFs::ops`], so that a test
/// can run a story once to learn its length and then again with a fault at each step.
#[derive(Clone, Debug)]
pub struct SimFs(Arc<Mutex<World>>);

impl SimFs {
    /// An empty disk with an endless amount of space; `seed` decides all that is left to chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World::new(seed))))
    }

    /// Another disk with the same files and faults; `seed` decides what is left to chance there.
    /// Open files and locks stay with this one: [`SimFs::crash`] the copy to open a database on it.
    #[must_use]
    pub fn copied(&self, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().copied(seed))))
    }

    /// Ends every open file and lock, forgets as `unsynced` says and clears all faults but the
    /// limit of space. The disk can then be used again.
    pub fn crash(&self, unsynced: Unsynced) {
        self.0.lock().crash(unsynced);
    }

    /// Lets the next `n` syncs of files or directories fail. What a file had not synced before
    /// such a failure is lost in a power cut, even if a later sync succeeds.
    pub fn fail_next_sync(&self, n: u32) {
        self.0.lock().failing_syncs = n;
    }

    /// Leaves `bytes` of free space; removing files gives theirs back. `None` is endless.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.0.lock().set_space(bytes);
    }

    /// Changing operations so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Lets operation number `n`, counted from the first of all, fail with an error of the disk.
    pub fn fail_at_op(&self, n: u64) {
        self.0.lock().fail_at = Some(n);
    }

    /// Lets operation number `n`, counted from the first of all, and everything after it fail
    /// until [`SimFs::crash`].
    pub fn crash_at_op(&self, n: u64) {
        self.0.lock().crash_at = Some(n);
    }

    /// Whether [`SimFs::crash_at_op`] struck and [`SimFs::crash`] was not called yet.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.0.lock().down
    }

    /// Changes the file's bytes in place, on the disk itself: the disk rots.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn damage(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.0.lock().damage(path, edit)
    }

    /// Makes a range of the file unreadable: the disk has bad sectors there, also after a crash
    /// and under another name.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn make_unreadable(&self, path: &Path, range: Range<usize>) -> io::Result<()> {
        self.0.lock().make_unreadable(path, range)
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut world = self.0.lock();
        let inode = world.create(path)?;
        let generation = world.generation;
        Ok(Box::new(SimFile { world: self.0.clone(), inode, generation }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let world = self.0.lock();
        let inode = world.inode_of(path)?;
        let generation = world.generation;
        Ok(Box::new(SimFile { world: self.0.clone(), inode, generation }))
    }

    /// The whole file is read here, so a bad sector is an error where a real disk maps the file
    /// and ends the process once somebody touches that page.
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.read(path).map(Mapped::of_bytes)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.lock().read_at(path, 0, usize::MAX)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.lock().read_at(path, offset, len)
    }

    fn file_len(&self, path: &Path) -> io::Result<u64> {
        self.0.lock().contents(path).map(|bytes| bytes.len() as u64)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.0.lock().truncate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.lock().remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.lock().remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.lock().create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().sync_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.lock().list(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.lock().exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.0.lock().is_dir(path)
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        self.0.lock().space()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        let mut world = self.0.lock();
        world.lock(path)?;
        let generation = world.generation;
        Ok(Box::new(SimLock { world: self.0.clone(), path: path.to_owned(), generation }))
    }
}

/// A file open for writing; useless after a crash, as the process that held it is gone.
#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    inode: u64,
    generation: u64,
}

impl FsFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.world.lock().write(self.inode, self.generation, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.world.lock().sync(self.inode, self.generation)
    }
}

#[derive(Debug)]
struct SimLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
    generation: u64,
}

impl FsLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().unlock(&self.path, self.generation);
    }
}
