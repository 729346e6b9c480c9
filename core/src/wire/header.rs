//! The first bytes of every file: an 8-byte magic and a little-endian `u16` version.

use crate::error::Corrupt;
use crate::wire::Cursor;

/// Bytes that [`put`] writes.
pub const LEN: usize = 10;

/// Appends magic and version.
pub fn put(out: &mut Vec<u8>, magic: &[u8; 8], version: u16) {
    out.extend_from_slice(magic);
    out.extend_from_slice(&version.to_le_bytes());
}

/// Checks the magic and returns the version, which must be in `1..=newest`.
///
/// # Errors
/// [`Corrupt`] for another magic, or for a version that this program does not know.
pub fn check(cursor: &mut Cursor<'_>, magic: &[u8; 8], newest: u16) -> Result<u16, Corrupt> {
    let at = cursor.position();
    let got: [u8; 8] = cursor.array()?;
    if &got != magic {
        return Err(Corrupt::new(
            "file header",
            at,
            format!("magic {magic:?}"),
            format!("{got:?}"),
        ));
    }
    let version = cursor.u16()?;
    if version == 0 || version > newest {
        return Err(Corrupt::new(
            "file header",
            at + 8,
            format!("a version from 1 to {newest}"),
            version.to_string(),
        ));
    }
    Ok(version)
}
