//! Reads segments back, around whatever is damaged in them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, Mapped, map_around};
use m3rs_core::wire::Cursor;
use m3rs_core::wire::checksum::{check_crc, crc32};

use super::entry::{END_PAYLOAD, Entry, EntryDecoder};
use super::format::{
    CHUNK_HEADER_LEN, ChunkHeader, HEADER_LEN, HeaderFault, SYNC_WORD, SegmentHeader,
};
use super::names::{list_segments, parse_segment_name, segment_path};
use crate::error::{CommitLogError, Damage};

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentEnd {
    /// The writer sealed it: all of it is there.
    Sealed,
    /// After a whole chunk, without a seal: the writer is at work, died or failed here.
    Open,
    /// In bytes that are no chunk and have none behind them: a write that was never finished.
    Torn {
        /// Where the unfinished bytes start.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
}

/// The payload of a chunk whose checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where the payload starts in the file.
    pub offset: u64,
    /// Entries, back to back.
    pub payload: &'a [u8],
}

/// What reading a segment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The segment.
    pub segment: u64,
    /// Chunks with right checksums, the seal left out.
    pub chunks: u64,
    /// Entries handed out.
    pub entries: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes that could not be used though others follow them.
    pub damages: Vec<Damage>,
    /// How it ends.
    pub end: SegmentEnd,
}

/// Walks the chunks of one segment.
///
/// Holds a mapping of the file as it was when opened; a writer may go on appending to it.
#[derive(Debug)]
pub struct SegmentReader {
    path: PathBuf,
    bytes: Mapped,
    sequence: u64,
    sealed: u64,
    at: usize,
    /// What is wrong with the header, of which it is open whether a chunk follows.
    header_fault: Option<Damage>,
    /// Bytes that are no chunk, of which it is open whether a chunk follows.
    suspect: Option<Damage>,
    damages: Vec<Damage>,
    chunks: u64,
    end: Option<SegmentEnd>,
}

impl SegmentReader {
    /// Maps the segment and reads its header. A damaged header is a [`Damage`], and reading goes
    /// on; without a chunk behind it, or shorter than a header, the file is a torn one.
    ///
    /// # Errors
    /// [`CommitLogError::Io`]; [`CommitLogError::Version`] for a segment of a newer program;
    /// [`CommitLogError::Invalid`] if the name is not a segment's.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Self, CommitLogError> {
        let sequence = parse_segment_name(path).ok_or_else(|| {
            CommitLogError::Invalid(format!("{} is not a segment's name", path.display()))
        })?;
        let (bytes, bad) = map_around(fs, path).map_err(CommitLogError::io(path))?;
        let mut reader = Self::of_bytes(path, bytes, sequence)?;
        // Nothing else tells it from what a writer that died did not finish.
        reader.damages.extend(bad.map(|bad| Damage::of_sectors(path, bad)));
        Ok(reader)
    }

    /// As [`SegmentReader::open`], over bytes at hand; `path` only names them in reports.
    ///
    /// # Errors
    /// [`CommitLogError::Version`].
    pub fn of_bytes(path: &Path, bytes: Mapped, sequence: u64) -> Result<Self, CommitLogError> {
        let path = path.to_owned();
        let mut reader = Self {
            path,
            bytes,
            sequence,
            sealed: 0,
            at: HEADER_LEN,
            header_fault: None,
            suspect: None,
            damages: Vec::new(),
            chunks: 0,
            end: None,
        };
        if reader.bytes.len() < HEADER_LEN {
            let bytes = reader.bytes.len() as u64;
            let torn = SegmentEnd::Torn { offset: 0, bytes };
            reader.end = Some(if bytes == 0 { SegmentEnd::Open } else { torn });
            return Ok(reader);
        }
        match SegmentHeader::read(&reader.bytes, sequence) {
            Ok(header) => reader.sealed = header.sealed,
            Err(HeaderFault::Version(source)) => {
                return Err(CommitLogError::Version { path: reader.path, source });
            }
            Err(HeaderFault::Damaged(corrupt)) => {
                // No entry is lost with it: chunks are found by their own headers.
                reader.header_fault = Some(Damage::of_corrupt(&reader.path, 0, 0, corrupt));
            }
        }
        Ok(reader)
    }

    /// The segment's number.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The segment that the writer sealed just before this one; `None` if there was none, or if
    /// the header is damaged.
    #[must_use]
    pub fn sealed_before(&self) -> Option<u64> {
        (self.sealed != 0).then_some(self.sealed)
    }

    /// The next chunk; `None` at the end of the segment.
    pub fn next_chunk(&mut self) -> Option<Chunk<'_>> {
        let range = self.next_range()?;
        Some(Chunk { offset: range.start as u64, payload: &self.bytes[range] })
    }

    /// Damage found so far.
    #[must_use]
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// How the segment ends; `None` before [`SegmentReader::next_chunk`] returned `None`.
    #[must_use]
    pub fn end(&self) -> Option<SegmentEnd> {
        self.end
    }

    /// Hands every entry to `visit`, in order.
    ///
    /// # Errors
    /// What `visit` says, at once.
    pub fn read<E>(
        self,
        decoder: &mut EntryDecoder,
        mut visit: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<SegmentReport, E> {
        let bytes = self.bytes();
        self.read_chunks(|range| {
            let mut payload = Cursor::new("log entry", &bytes[range]);
            let mut entries = 0;
            loop {
                match decoder.next(&mut payload) {
                    Ok(None) => return Ok((entries, None)),
                    Ok(Some(entry)) => visit(entry)?,
                    Err(corrupt) => return Ok((entries, Some((payload.remaining(), corrupt)))),
                }
                entries += 1;
            }
        })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> Mapped {
        self.bytes.clone()
    }

    /// Hands the place of every sound chunk's payload to `visit`, in order. It answers how many
    /// entries it found, and at a fault how many bytes are left from there on; the fault is placed
    /// from the payload's first byte.
    ///
    /// # Errors
    /// What `visit` says, at once.
    pub fn read_chunks<E>(
        mut self,
        mut visit: impl FnMut(Range<usize>) -> Result<(u64, Option<(usize, Corrupt)>), E>,
    ) -> Result<SegmentReport, E> {
        let mut entries = 0;
        while let Some(range) = self.next_range() {
            let start = range.start as u64;
            let (found, fault) = visit(range)?;
            entries += found;
            if let Some((left, corrupt)) = fault {
                self.damages.push(Damage::of_corrupt(&self.path, start, left as u64, corrupt));
            }
        }
        Ok(SegmentReport {
            segment: self.sequence,
            chunks: self.chunks,
            entries,
            bytes: self.bytes.len() as u64,
            damages: self.damages,
            end: self.end.unwrap_or(SegmentEnd::Open),
        })
    }

    /// The payload of the next chunk that is not the seal.
    fn next_range(&mut self) -> Option<Range<usize>> {
        while self.end.is_none() {
            if self.at >= self.bytes.len() {
                self.finish(SegmentEnd::Open);
                break;
            }
            match self.chunk_at(self.at) {
                Ok(payload) => {
                    self.damages.extend(self.header_fault.take());
                    self.damages.extend(self.suspect.take());
                    self.at = payload.end;
                    if self.bytes[payload.clone()] == END_PAYLOAD {
                        self.finish_sealed();
                        break;
                    }
                    self.chunks += 1;
                    return Some(payload);
                }
                Err(fault) => self.skip(fault),
            }
        }
        None
    }

    /// Checks the chunk at `at`; on a fault says where to look next.
    fn chunk_at(&self, at: usize) -> Result<Range<usize>, Fault> {
        let header = ChunkHeader::read(&self.bytes[at..], self.sequence, at as u64)
            .map_err(|corrupt| Fault { corrupt, next: None })?;
        let start = at + CHUNK_HEADER_LEN;
        let left = self.bytes.len() - start;
        let len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        if len > left {
            let want = format!("a payload of {len} bytes");
            let corrupt =
                Corrupt::new("chunk", CHUNK_HEADER_LEN, want, format!("{left} bytes left"));
            return Err(Fault { corrupt, next: Some(self.bytes.len()) });
        }
        let payload = start..start + len;
        let computed = crc32(&self.bytes[payload.clone()]);
        check_crc("chunk payload", CHUNK_HEADER_LEN, computed, header.payload_crc)
            .map_err(|corrupt| Fault { corrupt, next: Some(payload.end) })?;
        Ok(payload)
    }

    /// Moves behind bytes that are no chunk: by the header's length if the header is right, else
    /// to the next right header.
    fn skip(&mut self, fault: Fault) {
        let from = self.at;
        self.at = fault.next.unwrap_or_else(|| self.find_header(from + 1));
        let bytes = (self.at - from) as u64;
        match &mut self.suspect {
            // One report for what lies between two right chunks, with its first cause.
            Some(damage) => damage.lost_bytes += bytes,
            None => {
                let damage = Damage::of_corrupt(&self.path, from as u64, bytes, fault.corrupt);
                self.suspect = Some(Damage { offset: from as u64, ..damage });
            }
        }
    }

    fn find_header(&self, mut from: usize) -> usize {
        let end = self.bytes.len();
        while let Some(found) = self.bytes[from.min(end)..]
            .windows(SYNC_WORD.len())
            .position(|window| window == SYNC_WORD)
        {
            let at = from + found;
            if ChunkHeader::read(&self.bytes[at..], self.sequence, at as u64).is_ok() {
                return at;
            }
            from = at + 1;
        }
        end
    }

    fn finish(&mut self, end: SegmentEnd) {
        if self.header_fault.take().is_some() {
            // The header is durable before a chunk is written: the machine died in between.
            self.end = Some(SegmentEnd::Torn { offset: 0, bytes: self.bytes.len() as u64 });
            return;
        }
        let torn = self.suspect.take();
        let torn = torn.map(|d| SegmentEnd::Torn { offset: d.offset, bytes: d.lost_bytes });
        self.end = Some(torn.unwrap_or(end));
    }

    fn finish_sealed(&mut self) {
        let left = (self.bytes.len() - self.at) as u64;
        if left > 0 {
            self.damages.push(Damage {
                path: self.path.clone(),
                offset: self.at as u64,
                lost_bytes: left,
                what: "segment",
                expected: "the end of the file after the seal".to_owned(),
                got: format!("{left} more bytes"),
            });
        }
        self.finish(SegmentEnd::Sealed);
    }
}

/// Why there is no chunk, and where the next may be if that is known.
struct Fault {
    corrupt: Corrupt,
    next: Option<usize>,
}

/// What reading a whole log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// One report for each segment read, ascending.
    pub segments: Vec<SegmentReport>,
    /// What is missing between segments.
    pub damages: Vec<Damage>,
}

impl ReplayReport {
    /// All damage, in the order of the log.
    pub fn all_damages(&self) -> impl Iterator<Item = &Damage> {
        self.segments.iter().flat_map(|s| &s.damages).chain(&self.damages)
    }
}

/// Hands every entry of the segments from `first` on to `visit`, in the order of the log.
///
/// A segment without its seal is damage if its successor says that it was sealed; else it is
/// where a writer died or failed, which loses nothing that was durable.
///
/// # Errors
/// As [`SegmentReader::open`], and what `visit` says, at once.
pub fn replay<E: From<CommitLogError>>(
    fs: &dyn Fs,
    dir: &Path,
    first: u64,
    decoder: &mut EntryDecoder,
    mut visit: impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<ReplayReport, E> {
    let mut segments = Vec::new();
    let mut sealed = Vec::new();
    for sequence in list_segments(fs, dir)?.into_iter().filter(|s| *s >= first) {
        let reader = SegmentReader::open(fs, &segment_path(dir, sequence))?;
        sealed.push(reader.sealed_before().filter(|s| *s >= first));
        segments.push(reader.read(decoder, &mut visit)?);
    }
    let damages = missing_seals(dir, sealed.into_iter().zip(&segments)).collect();
    Ok(ReplayReport { segments, damages })
}

/// Damage of segments whose successor says that they were sealed, and that are not. `segments`
/// ascend; with each goes what [`SegmentReader::sealed_before`] said of it.
pub fn missing_seals<'a>(
    dir: &Path,
    segments: impl Iterator<Item = (Option<u64>, &'a SegmentReport)>,
) -> impl Iterator<Item = Damage> {
    let mut last: Option<&SegmentReport> = None;
    segments.filter_map(move |(sealed_before, report)| {
        let before = sealed_before.map(|s| (s, last.filter(|l| l.segment == s)));
        last = Some(report);
        let (sequence, found) = before?;
        let is_sealed = found.map(|s| s.end) == Some(SegmentEnd::Sealed);
        (!is_sealed).then(|| unsealed(&segment_path(dir, sequence), found))
    })
}

fn unsealed(path: &Path, read: Option<&SegmentReport>) -> Damage {
    let (offset, lost_bytes, got) = match read.map(|s| (s.end, s.bytes)) {
        None => (0, 0, "no such file".to_owned()),
        Some((SegmentEnd::Torn { offset, bytes }, _)) => {
            (offset, bytes, format!("{bytes} bytes that are no chunk"))
        }
        Some((_, bytes)) => (bytes, 0, "the end of the file".to_owned()),
    };
    let path = path.to_owned();
    Damage { path, offset, lost_bytes, what: "segment", expected: "a seal".to_owned(), got }
}
