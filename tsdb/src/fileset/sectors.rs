//! Reading around sectors that the disk does not give any more.

use std::io;
use std::path::Path;

use m3rs_core::fs::Fs;

use super::reader::to_usize;

/// Bytes that are read at a time from a file that may have bad sectors, and around these.
const READ_BYTES: usize = 1 << 20;
const SECTOR_BYTES: usize = 4096;

/// The file with zeros for what cannot be read; `None` if all of it can.
pub(super) fn read_around(fs: &dyn Fs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let len = fs.file_len(path)?;
    let can_read = |at: u64, bytes: usize| match fs.read_at(path, at, bytes) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(e),
        read => Ok(read.ok()),
    };
    let mut is_whole = true;
    for at in (0..len).step_by(READ_BYTES) {
        is_whole &= can_read(at, READ_BYTES)?.is_some();
    }
    if is_whole {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(to_usize(len));
    for at in (0..len).step_by(SECTOR_BYTES) {
        let piece = (len - at).min(SECTOR_BYTES as u64) as usize;
        bytes.extend(can_read(at, piece)?.unwrap_or_else(|| vec![0; piece]));
    }
    Ok(Some(bytes))
}
