//! The checksum of every file of ours: CRC-32 (IEEE, as in zlib).

use crate::error::Corrupt;

/// CRC-32 of `bytes`.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Compares a computed checksum with the stored one; `at` is where the checked bytes start.
///
/// # Errors
/// [`Corrupt`] if they differ.
pub fn check_crc(what: &'static str, at: usize, computed: u32, stored: u32) -> Result<(), Corrupt> {
    if computed == stored {
        return Ok(());
    }
    let (want, got) = (format!("checksum {stored:08x}"), format!("{computed:08x}"));
    Err(Corrupt::new(what, at, want, got))
}

/// CRC-32 over several pieces in a row.
#[derive(Clone, Debug, Default)]
pub struct Crc32(crc32fast::Hasher);

impl Crc32 {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces so far.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}
