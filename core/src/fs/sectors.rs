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

/// What of a file the device does not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSectors {
    /// Where the first of it is.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
    /// What the device said.
    pub error: String,
}

/// Maps a file all of which can be read; of another one, zeros stand for what cannot, and the rest
/// is held in memory. Cost: a read of the file, whose pages later reads find.
///
/// # Errors
/// As the operating system says, but for errors of the device.
pub fn map_around(fs: &dyn Fs, path: &Path) -> io::Result<(Mapped, Option<BadSectors>)> {
    match fs.map(path) {
        Ok(mapped) if mapped.populate().is_ok() => return Ok((mapped, None)),
        // A closer look tells.
        Ok(_) => {}
        Err(e) if is_of_device(&e) => {}
        Err(e) => return Err(e),
    }
    match read_around(fs, path)? {
        Some((bytes, bad)) => Ok((Mapped::of_bytes(bytes), Some(bad))),
        None => Ok((fs.map(path)?, None)),
    }
}

/// The file with zeros for what cannot be read; `None` if all of it can.
fn read_around(fs: &dyn Fs, path: &Path) -> io::Result<Option<(Vec<u8>, BadSectors)>> {
    let len = fs.file_len(path)?;
    let read = |at: u64, bytes: usize| match fs.read_at(path, at, bytes) {
        Err(e) if is_of_device(&e) => Ok(Err(e)),
        read => read.map(Ok),
    };
    let mut is_whole = true;
    for at in (0..len).step_by(READ_BYTES) {
        is_whole &= read(at, READ_BYTES)?.is_ok();
    }
    if is_whole {
        return Ok(None);
    }
    let mut all = Vec::new();
    let mut bad: Option<BadSectors> = None;
    for offset in (0..len).step_by(SECTOR_BYTES) {
        let bytes = (len - offset).min(SECTOR_BYTES as u64);
        match read(offset, bytes as usize)? {
            Ok(read) => all.extend(read),
            Err(error) => {
                all.resize(all.len() + bytes as usize, 0);
                let error = error.to_string();
                bad.get_or_insert(BadSectors { offset, bytes: 0, error }).bytes += bytes;
            }
        }
    }
    // What failed once may be read in pieces.
    Ok(bad.map(|bad| (all, bad)))
}

/// Whether the device failed, rather than the request: a file that may not be opened, or not now,
/// is as good as ever. A simulated device has no numbers.
fn is_of_device(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(number) => OF_DEVICES.contains(&number),
        None => error.kind() == io::ErrorKind::Other,
    }
}
