//! A segment that is being written, and the group of chunks that one write adds to it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use m3rs_core::fs::{Fs, FsFile};
use m3rs_core::wire::checksum::crc32;

use super::entry::END_PAYLOAD;
use super::format::{CHUNK_HEADER_LEN, CHUNK_PAYLOAD_TARGET, ChunkHeader, SegmentHeader};
use super::names::segment_path;
use super::writer::SyncMode;
use crate::error::CommitLogError;

/// A buffer larger than this is given back once a group needs far less.
const BUFFER_KEPT_MAX: usize = 4 << 20;

/// The file of the newest segment. After an error it must be dropped and never written again.
#[derive(Debug)]
pub(super) struct OpenSegment {
    file: Box<dyn FsFile>,
    path: PathBuf,
    sequence: u64,
    len: u64,
    dirty: bool,
}

impl OpenSegment {
    /// Makes the file, durable with its name and header when this returns.
    pub(super) fn create(
        fs: &dyn Fs,
        dir: &Path,
        sequence: u64,
        sealed: u64,
    ) -> Result<Self, CommitLogError> {
        let path = segment_path(dir, sequence);
        if fs.exists(&path) {
            return Err(CommitLogError::Invalid(format!("segment {} exists", path.display())));
        }
        let mut header = Vec::new();
        SegmentHeader { sequence, sealed }.put(&mut header);
        let made = fs.create(&path).and_then(|mut file| {
            file.write_all(&header)?;
            file.sync()?;
            fs.sync_dir(dir)?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                let len = header.len() as u64;
                Ok(Self { file, path, sequence, len, dirty: false })
            }
            Err(source) => {
                // The first error is the one to report; an empty segment left over is read as one.
                drop(fs.remove_file(&path));
                Err(CommitLogError::Io { path, source })
            }
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Appends one chunk.
    pub(super) fn write_chunk(&mut self, payload: &[u8]) -> Result<(), CommitLogError> {
        let mut group = Group::default();
        group.push(payload);
        let end = group.bytes.len();
        group.fill_headers(0..1, 0..end, self);
        self.write(&group.bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CommitLogError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.dirty = true;
        self.file.write_all(bytes).map_err(CommitLogError::io(&self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written durable; free when nothing was.
    pub(super) fn sync(&mut self) -> Result<(), CommitLogError> {
        if self.dirty {
            self.file.sync().map_err(CommitLogError::io(&self.path))?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Ends the segment: everything in it is durable, and the reader can tell that it is whole.
    pub(super) fn seal(mut self) -> Result<(), CommitLogError> {
        // A seal that a disk wrote before the chunks that it is behind would make them damage.
        self.sync()?;
        self.write_chunk(&END_PAYLOAD)?;
        self.sync()
    }
}

/// What one write holds: chunks back to back with room for their headers, cut by rotations.
#[derive(Debug, Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A chunk starts at this byte of the buffer; it ends where the next one starts.
    Chunk { at: usize },
    /// What follows belongs to this segment.
    Rotate { segment: u64 },
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes that wait to be written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Copies the entries of one append into the chunk that is open, or into a new one.
    pub(super) fn push(&mut self, entries: &[u8]) {
        let fits = match self.steps.last() {
            Some(Step::Chunk { at }) => {
                self.bytes.len() - at - CHUNK_HEADER_LEN + entries.len() <= CHUNK_PAYLOAD_TARGET
            }
            _ => false,
        };
        if !fits {
            self.steps.push(Step::Chunk { at: self.bytes.len() });
            self.bytes.extend_from_slice(&[0; CHUNK_HEADER_LEN]);
        }
        self.bytes.extend_from_slice(entries);
    }

    /// What is pushed from now on goes to `segment`.
    pub(super) fn rotate(&mut self, segment: u64) {
        self.steps.push(Step::Rotate { segment });
    }

    /// Forgets everything; keeps the buffer unless it is far larger than what it held.
    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > BUFFER_KEPT_MAX && self.bytes.len() < BUFFER_KEPT_MAX / 4 {
            self.bytes.shrink_to(BUFFER_KEPT_MAX);
        }
        self.bytes.clear();
        self.steps.clear();
    }

    /// Writes the group to the segments that it touches. `next` seals a segment and makes the one
    /// that follows it.
    pub(super) fn write(
        &mut self,
        segment: &mut Option<OpenSegment>,
        sync: SyncMode,
        mut next: impl FnMut(OpenSegment, u64) -> Result<OpenSegment, CommitLogError>,
    ) -> Result<(), CommitLogError> {
        let mut from_step = 0;
        let mut from = 0;
        for i in 0..=self.steps.len() {
            let rotation = match self.steps.get(i) {
                Some(Step::Chunk { .. }) => continue,
                Some(Step::Rotate { segment }) => Some(*segment),
                None => None,
            };
            let mut open = segment.take().ok_or(CommitLogError::Closed)?;
            let to = self.end_of(i);
            self.fill_headers(from_step..i, from..to, &open);
            self.write_chunks(from_step..i, from..to, &mut open, sync)?;
            (from_step, from) = (i + 1, to);
            *segment = Some(match rotation {
                Some(sequence) => next(open, sequence)?,
                None => open,
            });
        }
        Ok(())
    }

    /// Writes the chunks among `steps`, whose bytes are `bytes`.
    ///
    /// A disk may keep later bytes of what was not synced and lose earlier ones. So if groups are
    /// acknowledged once they are durable, each chunk is durable before the next one is written:
    /// no right chunk stands behind one that was lost and that nobody was promised.
    fn write_chunks(
        &self,
        steps: Range<usize>,
        bytes: Range<usize>,
        open: &mut OpenSegment,
        sync: SyncMode,
    ) -> Result<(), CommitLogError> {
        if sync != SyncMode::Group {
            return open.write(&self.bytes[bytes]);
        }
        for i in steps {
            let Step::Chunk { at } = self.steps[i] else { continue };
            open.sync()?;
            open.write(&self.bytes[at..self.end_of(i + 1)])?;
        }
        Ok(())
    }

    /// The byte at which the first chunk at or after step `i` starts.
    fn end_of(&self, i: usize) -> usize {
        let rest = self.steps.get(i..).unwrap_or_default();
        let next = rest.iter().find_map(|s| match s {
            Step::Chunk { at } => Some(*at),
            Step::Rotate { .. } => None,
        });
        next.unwrap_or(self.bytes.len())
    }

    /// Fills in the headers of the chunks among `steps`, whose bytes are `bytes` and come next
    /// in `segment`.
    fn fill_headers(&mut self, steps: Range<usize>, bytes: Range<usize>, segment: &OpenSegment) {
        for i in steps {
            let Step::Chunk { at } = self.steps[i] else { continue };
            let payload = &self.bytes[at + CHUNK_HEADER_LEN..self.end_of(i + 1)];
            let payload_len = u32::try_from(payload.len()).expect("BUG: appends are limited");
            let header = ChunkHeader { payload_len, payload_crc: crc32(payload) };
            let offset = segment.len + (at - bytes.start) as u64;
            self.bytes[at..at + CHUNK_HEADER_LEN]
                .copy_from_slice(&header.to_bytes(segment.sequence, offset));
        }
    }
}
