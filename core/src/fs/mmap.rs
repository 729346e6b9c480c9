//! Read-only views of whole files; the one room with `unsafe`.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// The bytes of an immutable file: mapped from disk, or held in memory by a simulated disk.
///
/// A file that another program truncates while it is mapped makes reads fail with SIGBUS. Only
/// files that we write once under a final name are mapped, and only ours to remove.
#[derive(Clone, Debug)]
pub struct Mapped(Source);

#[derive(Clone, Debug)]
enum Source {
    Map(Arc<memmap2::Mmap>),
    Heap(Arc<[u8]>),
}

impl Mapped {
    /// Maps all of `file`.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn of_file(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::of_bytes(Vec::new()));
        }
        #[expect(unsafe_code, reason = "mapping a file has no safe form")]
        // SAFETY: the map is read-only, and the files that are mapped are never changed in place:
        // they are written under a temporary name, renamed, and only ever unlinked after that,
        // which leaves the map valid. `docs/operate/damage.md` says what a foreign truncation does.
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Self(Source::Map(Arc::new(map))))
    }

    /// Reads all of it in, so that what the device does not give is an error now, and no fault of
    /// memory later. Reads after it find their pages.
    ///
    /// # Errors
    /// As the operating system says; Linux knows this from 5.14 on.
    pub fn populate(&self) -> io::Result<()> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Source::Map(map) => map.advise(memmap2::Advice::PopulateRead),
            #[cfg(not(target_os = "linux"))]
            Source::Map(_) => Err(io::ErrorKind::Unsupported.into()),
            Source::Heap(_) => Ok(()),
        }
    }

    /// Holds `bytes` in memory.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(Source::Heap(Arc::from(bytes)))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Map(map) => map,
            Source::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
