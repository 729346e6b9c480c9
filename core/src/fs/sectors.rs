//! Reading around sectors that the disk does not give any more.
//!
//! A mapping of such a file would end the process where it is read.

use std::io;
use std::path::Path;

use super::{Fs, Mapped};

/// Bytes that are read at a time from a file that may have bad sectors, and around these.
const READ_BYTES: usize = 1 << 20;
const SECTOR_BYTES: usize = 4096;

/// Linux's numbers of errors of a device, of a lost sector, and of checksums of a file system.
const OF_DEVICES: [i32; 4] = [5, 61, 74, 117];

/// Maps a file all of which can be read; of another one, zeros stand for what cannot, and the rest
/// is held in memory. Checksums then tell what is lost. Cost: a read of the file.
///
/// # Errors
/// As the operating system says, but for errors of the device.
pub fn map_around(fs: &dyn Fs, path: &Path) -> io::Result<Mapped> {
    match read_around(fs, path)? {
        Some(bytes) => Ok(Mapped::of_bytes(bytes)),
        None => fs.map(path),
    }
}

/// The file with zeros for what cannot be read; `None` if all of it can.
fn read_around(fs: &dyn Fs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let len = fs.file_len(path)?;
    let can_read = |at: u64, bytes: usize| match fs.read_at(path, at, bytes) {
        Err(e) if is_of_device(&e) => Ok(None),
        read => read.map(Some),
    };
    let mut is_whole = true;
    for at in (0..len).step_by(READ_BYTES) {
        is_whole &= can_read(at, READ_BYTES)?.is_some();
    }
    if is_whole {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for at in (0..len).step_by(SECTOR_BYTES) {
        let piece = (len - at).min(SECTOR_BYTES as u64) as usize;
        bytes.extend(can_read(at, piece)?.unwrap_or_else(|| vec![0; piece]));
    }
    Ok(Some(bytes))
}

/// Whether the device failed, rather than the request: a file that may not be opened, or not now,
/// is as good as ever. A simulated device has no numbers.
fn is_of_device(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(number) => OF_DEVICES.contains(&number),
        None => error.kind() == io::ErrorKind::Other,
    }
}
