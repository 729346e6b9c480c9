//! The file that fixes what of a namespace can never change: `docs/formats/namespace.md`.

use std::path::Path;

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, write_atomic};
use m3rs_core::wire::{Cursor, checksum, header};

use crate::error::TsdbError;

const MAGIC: &[u8; 8] = b"M3RSNSPC";
const VERSION: u16 = 1;
/// How IDs for sharding are made: M3's `quoted` scheme, the only one.
const ID_SCHEME_QUOTED: u8 = 1;

/// Identity and layout of a namespace, fixed at its creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceMeta {
    /// Its number in the commit log.
    pub(crate) id: u32,
    pub(crate) shard_count: u16,
    pub(crate) block_size_ns: i64,
    pub(crate) name: String,
}

impl NamespaceMeta {
    /// Writes the file durably.
    pub(crate) fn write(&self, fs: &dyn Fs, path: &Path) -> Result<(), TsdbError> {
        let bytes = self.encode();
        write_atomic(fs, path, |file| file.write_all(&bytes))
            .map_err(|e| TsdbError::io("write", path, e))
    }

    /// Reads the file back.
    pub(crate) fn read(fs: &dyn Fs, path: &Path) -> Result<Self, TsdbError> {
        let bytes = fs.read(path).map_err(|e| TsdbError::io("read", path, e))?;
        Self::decode(&bytes).map_err(|corrupt| TsdbError::Meta { path: path.to_owned(), corrupt })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        header::put(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.shard_count.to_le_bytes());
        out.push(ID_SCHEME_QUOTED);
        out.extend_from_slice(&self.block_size_ns.to_le_bytes());
        let name_len = u16::try_from(self.name.len()).expect("BUG: names are checked to be short");
        out.extend_from_slice(&name_len.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        let crc = checksum::crc32(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        const WHAT: &str = "namespace file";
        let (body, crc) = bytes
            .split_last_chunk::<4>()
            .ok_or_else(|| Corrupt::new(WHAT, 0, "a checksum", "fewer than 4 bytes"))?;
        let (want, got) = (u32::from_le_bytes(*crc), checksum::crc32(body));
        if want != got {
            return Err(Corrupt::new(WHAT, body.len(), want.to_string(), got.to_string()));
        }
        let mut cursor = Cursor::new(WHAT, body);
        header::check(&mut cursor, MAGIC, VERSION)?;
        let id = cursor.u32()?;
        let shard_count = cursor.u16()?;
        let scheme = cursor.u8()?;
        if scheme != ID_SCHEME_QUOTED {
            return Err(Corrupt::new(WHAT, 16, "ID scheme 1", scheme.to_string()));
        }
        let block_size_ns = cursor.i64()?;
        let name_len = usize::from(cursor.u16()?);
        let name = std::str::from_utf8(cursor.take(name_len)?)
            .map_err(|e| Corrupt::new(WHAT, 27, "a UTF-8 name", e.to_string()))?;
        if shard_count == 0 || block_size_ns <= 0 || !cursor.is_empty() {
            return Err(Corrupt::new(WHAT, 14, "shards, a block size and nothing more", "other"));
        }
        Ok(Self { id, shard_count, block_size_ns, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_is_noticed() {
        let meta = NamespaceMeta {
            id: 7,
            shard_count: 4,
            block_size_ns: 7_200_000_000_000,
            name: "default".into(),
        };
        let bytes = meta.encode();
        assert_eq!(NamespaceMeta::decode(&bytes), Ok(meta));
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            assert!(NamespaceMeta::decode(&bad).is_err(), "byte {i}");
            assert!(NamespaceMeta::decode(&bytes[..i]).is_err(), "length {i}");
        }
    }
}
