//! Bytes of a segment around its entries: segment header and chunk header.
//!
//! `docs/formats/commitlog.md` draws them; the constants below are that drawing.

use m3rs_core::Corrupt;
use m3rs_core::wire::checksum::{Crc32, check_crc, crc32};
use m3rs_core::wire::{Cursor, header};

/// The first bytes of a segment.
pub const MAGIC: [u8; 8] = *b"m3rs.log";

/// The newest version of the format, which is the one that is written.
pub const VERSION: u16 = 2;

/// The most payload bytes that one chunk holds, and so the most that one append takes.
pub const CHUNK_PAYLOAD_MAX: usize = 32 << 20;

/// The payload length at which the writer starts another chunk in the same group: what a single
/// damaged byte costs at most, larger appends excepted.
pub(super) const CHUNK_PAYLOAD_TARGET: usize = 1 << 20;

const SEQUENCE_AT: usize = header::LEN;
const SEALED_AT: usize = SEQUENCE_AT + 8;
const HEADER_CRC_AT: usize = SEALED_AT + 8;

/// Bytes of a segment header.
pub(super) const HEADER_LEN: usize = HEADER_CRC_AT + 4;
const _: () = assert!(HEADER_LEN == 30, "the document says 30");

/// The first bytes of a chunk, which the reader looks for after damage.
pub(super) const SYNC_WORD: [u8; 4] = [0xa7, 0x4d, 0x33, 0xc4];

const LENGTH_AT: usize = SYNC_WORD.len();
const PAYLOAD_CRC_AT: usize = LENGTH_AT + 4;
const CHUNK_CRC_AT: usize = PAYLOAD_CRC_AT + 4;

/// Bytes of a chunk header.
pub(super) const CHUNK_HEADER_LEN: usize = CHUNK_CRC_AT + 4;
const _: () = assert!(CHUNK_HEADER_LEN == 16, "the document says 16");

/// What a segment says of itself in its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its place in the log.
    pub(super) sequence: u64,
    /// The segment that the same writer sealed just before; 0 if there was none.
    pub(super) sealed: u64,
}

/// What is wrong with a segment's first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Written by a newer program: its checksum is right.
    Version(Corrupt),
    /// Not what was written.
    Damaged(Corrupt),
}

impl SegmentHeader {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        let start = out.len();
        header::put(out, &MAGIC, VERSION);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.sealed.to_le_bytes());
        let crc = crc32(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header of a file whose name says `sequence`.
    pub(super) fn read(bytes: &[u8], sequence: u64) -> Result<Self, HeaderFault> {
        let mut cursor = Cursor::new("segment header", bytes);
        let head = cursor.array::<HEADER_LEN>().map_err(HeaderFault::Damaged)?;
        let mut tail = Cursor::new("segment header", &head[SEQUENCE_AT..]);
        let parsed = (|| Ok((tail.u64()?, tail.u64()?, tail.u32()?)))();
        let (got_sequence, sealed, crc) = parsed.map_err(HeaderFault::Damaged)?;
        check_crc("segment header", 0, crc32(&head[..HEADER_CRC_AT]), crc)
            .map_err(HeaderFault::Damaged)?;
        header::check(&mut Cursor::new("segment header", &head), &MAGIC, VERSION)
            .map_err(HeaderFault::Version)?;
        if got_sequence != sequence {
            return Err(HeaderFault::Damaged(Corrupt::new(
                "segment header",
                SEQUENCE_AT,
                format!("sequence {sequence}, as in the file's name"),
                got_sequence.to_string(),
            )));
        }
        Ok(Self { sequence, sealed })
    }
}

/// What precedes a chunk's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub(super) payload_len: u32,
    pub(super) payload_crc: u32,
}

impl ChunkHeader {
    /// Bytes for a chunk that stands at `offset` of segment `sequence`.
    pub(super) fn to_bytes(self, sequence: u64, offset: u64) -> [u8; CHUNK_HEADER_LEN] {
        let mut bytes = [0; CHUNK_HEADER_LEN];
        bytes[..LENGTH_AT].copy_from_slice(&SYNC_WORD);
        bytes[LENGTH_AT..PAYLOAD_CRC_AT].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[PAYLOAD_CRC_AT..CHUNK_CRC_AT].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = self.crc(sequence, offset);
        bytes[CHUNK_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header that stands at the start of `bytes`.
    pub(super) fn read(bytes: &[u8], sequence: u64, offset: u64) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new("chunk header", bytes);
        let sync = cursor.array::<4>()?;
        if sync != SYNC_WORD {
            let (want, got) = (format!("sync word {SYNC_WORD:02x?}"), format!("{sync:02x?}"));
            return Err(Corrupt::new("chunk header", 0, want, got));
        }
        let read = Self { payload_len: cursor.u32()?, payload_crc: cursor.u32()? };
        check_crc("chunk header", 0, read.crc(sequence, offset), cursor.u32()?)?;
        Ok(read)
    }

    /// The checksum binds the header to its place, so that neither bytes of another segment nor
    /// a header forged inside a label are taken for a chunk.
    fn crc(self, sequence: u64, offset: u64) -> u32 {
        let mut crc = Crc32::default();
        crc.update(&SYNC_WORD);
        crc.update(&self.payload_len.to_le_bytes());
        crc.update(&self.payload_crc.to_le_bytes());
        crc.update(&sequence.to_le_bytes());
        crc.update(&offset.to_le_bytes());
        crc.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_headers_round_trip_and_every_flip_is_seen() {
        let header = SegmentHeader { sequence: 9, sealed: 8 };
        let mut bytes = Vec::new();
        header.put(&mut bytes);
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(SegmentHeader::read(&bytes, 9), Ok(header));
        assert!(matches!(SegmentHeader::read(&bytes, 7), Err(HeaderFault::Damaged(_))));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(matches!(SegmentHeader::read(&flipped, 9), Err(HeaderFault::Damaged(_))));
            }
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = Vec::new();
        header::put(&mut bytes, &MAGIC, VERSION + 1);
        bytes.extend_from_slice(&[0; 16]);
        let crc = crc32(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        assert!(matches!(SegmentHeader::read(&bytes, 0), Err(HeaderFault::Version(_))));
    }

    #[test]
    fn chunk_headers_are_bound_to_their_place() {
        let header = ChunkHeader { payload_len: 5, payload_crc: 6 };
        let bytes = header.to_bytes(3, 30);
        assert_eq!(ChunkHeader::read(&bytes, 3, 30), Ok(header));
        assert!(ChunkHeader::read(&bytes, 3, 31).is_err());
        assert!(ChunkHeader::read(&bytes, 4, 30).is_err());
        assert!(ChunkHeader::read(&bytes[..15], 3, 30).is_err());
    }
}
