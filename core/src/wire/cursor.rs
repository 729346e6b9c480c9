//! A reader over borrowed bytes that cannot run past their end.

use crate::error::Corrupt;
use crate::wire::unzigzag;

/// Reads little-endian integers, varints and slices from hostile bytes.
///
/// Every method either advances past what it returns or leaves the cursor where it was and says
/// what was missing. No method allocates but on error.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte; `what` names the input in errors.
    #[must_use]
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether all bytes were read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Takes `n` bytes.
    ///
    /// # Errors
    /// [`Corrupt`] if fewer are left.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Corrupt> {
        match self.rest().get(..n) {
            Some(slice) => {
                self.at += n;
                Ok(slice)
            }
            None => Err(self.short(n)),
        }
    }

    /// Takes a fixed number of bytes as an array.
    ///
    /// # Errors
    /// [`Corrupt`] if fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        match self.rest().first_chunk::<N>() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => Err(self.short(N)),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`Corrupt`] at the end.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Corrupt> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads a little-endian `u16`.
    ///
    /// # Errors
    /// [`Corrupt`] at the end.
    pub fn u16(&mut self) -> Result<u16, Corrupt> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Reads a little-endian `u32`.
    ///
    /// # Errors
    /// [`Corrupt`] at the end.
    pub fn u32(&mut self) -> Result<u32, Corrupt> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads a little-endian `u64`.
    ///
    /// # Errors
    /// [`Corrupt`] at the end.
    pub fn u64(&mut self) -> Result<u64, Corrupt> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a little-endian `i64`.
    ///
    /// # Errors
    /// [`Corrupt`] at the end.
    pub fn i64(&mut self) -> Result<i64, Corrupt> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Reads a LEB128 varint of at most ten bytes.
    ///
    /// # Errors
    /// [`Corrupt`] at the end or if the value does not fit 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Corrupt> {
        let rest = self.rest();
        if let Some(&first) = rest.first()
            && first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(first));
        }
        let mut value = 0u64;
        for (i, &byte) in rest.iter().take(10).enumerate() {
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(Corrupt::new(self.what, self.at, "a varint of at most 64 bits", "none"))
    }

    /// Reads a zig-zag signed varint.
    ///
    /// # Errors
    /// As [`Cursor::varint`].
    pub fn zigzag(&mut self) -> Result<i64, Corrupt> {
        self.varint().map(unzigzag)
    }

    /// Takes a slice that its length precedes as a varint.
    ///
    /// # Errors
    /// [`Corrupt`] if the length is broken or longer than what is left.
    #[inline]
    pub fn length_prefixed(&mut self) -> Result<&'a [u8], Corrupt> {
        let start = self.at;
        let len = self.varint()?;
        let taken = usize::try_from(len).ok().and_then(|n| self.rest().get(..n));
        match taken {
            Some(slice) => {
                self.at += slice.len();
                Ok(slice)
            }
            None => {
                let left = self.remaining();
                self.at = start;
                Err(Corrupt::new(self.what, start, format!("{len} bytes"), format!("{left} left")))
            }
        }
    }

    fn short(&self, wanted: usize) -> Corrupt {
        Corrupt::new(
            self.what,
            self.at,
            format!("{wanted} more bytes"),
            format!("{} left", self.remaining()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_varint, put_zigzag};

    #[test]
    fn varints_round_trip_and_overlong_ones_are_refused() {
        for v in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, v);
            assert_eq!(Cursor::new("t", &out).varint(), Ok(v));
        }
        for v in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_zigzag(&mut out, v);
            assert_eq!(Cursor::new("t", &out).zigzag(), Ok(v));
        }
        assert!(Cursor::new("t", &[0xff; 10]).varint().is_err());
        assert!(Cursor::new("t", &[0x80]).varint().is_err());
    }

    #[test]
    fn a_failed_read_does_not_move() {
        let mut cursor = Cursor::new("t", &[5, 1, 2]);
        assert!(cursor.length_prefixed().is_err());
        assert_eq!(cursor.position(), 0);
        assert!(cursor.u32().is_err());
        assert_eq!(cursor.take(3), Ok(&[5u8, 1, 2][..]));
        assert!(cursor.is_empty());
    }
}
