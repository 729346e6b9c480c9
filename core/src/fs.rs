//! The seam to files. Storage code opens, writes, syncs and renames through [`Fs`] alone, so that
//! the simulator can lie to it.

mod atomic;
mod disk;
mod mmap;
mod sectors;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use atomic::{TEMP_SUFFIX, write_atomic};
pub use disk::DiskFs;
pub use mmap::Mapped;
pub use sectors::{BadSectors, map_around};

/// A file system, as far as storage needs one.
///
/// What [`FsFile::sync`] returned `Ok` for survives a power cut; a name survives once
/// [`Fs::sync_dir`] of its directory returned `Ok`. Nothing else is promised.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Makes a new empty file for writing; an old one of that name is emptied.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file to write after its last byte.
    ///
    /// # Errors
    /// As the operating system says.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// The file's bytes, mapped where that is possible. Only for files that no one changes.
    ///
    /// # Errors
    /// As the operating system says.
    fn map(&self, path: &Path) -> io::Result<Mapped>;

    /// The file's bytes, copied.
    ///
    /// # Errors
    /// As the operating system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Up to `len` bytes of the file from `offset` on; fewer only at its end. They are read and not
    /// mapped, so that a bad sector is an error and no fault of memory.
    ///
    /// # Errors
    /// As the operating system says.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Length of the file in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn file_len(&self, path: &Path) -> io::Result<u64>;

    /// Cuts the file to `len` bytes and syncs it.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Gives a file another name, replacing what was there.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file one more name, which must be free and on the same file system.
    ///
    /// # Errors
    /// As the operating system says.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all that is in it.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory and its parents, each durable in its own parent when this returns.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the directory's names durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Paths of all entries of a directory, sorted; empty if the directory does not exist.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Whether something has this name.
    fn exists(&self, path: &Path) -> bool;

    /// Whether there is a directory of that name.
    fn is_dir(&self, path: &Path) -> bool;

    /// How large the volume of a path is, and how much of it is free for us.
    ///
    /// # Errors
    /// As the operating system says.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Takes the file's exclusive lock, without waiting; it is held until the value is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>>;
}

/// Bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of them.
    pub total: u64,
    /// Those that this process may still fill.
    pub free: u64,
}

/// A file open for writing at its end.
pub trait FsFile: Send + fmt::Debug {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// As the operating system says; how much was written is then unknown.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the contents durable (`fdatasync`).
    ///
    /// # Errors
    /// As the operating system says. After an error nothing written since the last `Ok` may be
    /// trusted, and a later `Ok` does not bring it back: the writer must give the file up.
    fn sync(&mut self) -> io::Result<()>;
}

/// A held file lock.
pub trait FsLock: Send + Sync + fmt::Debug {}

/// A file system that several owners share.
pub type SharedFs = Arc<dyn Fs>;
