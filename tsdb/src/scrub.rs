//! Scrub: every file is read again and again, at a bounded rate, so that damage is found before
//! a query needs the bytes, and while another copy may still have them.
//!
//! Files are read piece by piece, each piece paid for at the rate, and never through a mapping: a
//! bad sector is then an error, which is damage as any other. Of large files the checksums over
//! their sections are checked on the way, in the memory of one piece; only if one is wrong is the
//! file mapped and looked at closely. Small files and segments of the log are checked whole.
//!
//! A file with damage is **quarantined**: it is told in the log, in metrics and in the status, and
//! served on, as each block is checked whenever it is read and a damaged one is left out with a
//! warning. A merge takes over what is sound and sets the file aside; nothing is thrown away. A
//! fileset that the disk does not read back is served from a copy in memory of what is left, a
//! damaged index warns every query until the next start makes it anew, and a side file is written
//! again from memory.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::fs::{BadSectors, Mapped};
use m3rs_core::wire::checksum::{Sum, SumCheck};
use parking_lot::Mutex;

use crate::blocks::BlockId;
use crate::cache::{self, ServedFile};
use crate::commitlog::{self, EntryDecoder, SegmentReader, SegmentReport};
use crate::database::Core;
use crate::error::{Damage, FilesetError, TsdbError};
use crate::fileset::{self, FilesetKind};
use crate::limits::Throttle;
use crate::mediator::{JobKind, Stop};
use crate::namespace::{Counter, Namespace, check_catalog};
use crate::side::Side;

/// Most quarantined files that are described; all of them are counted.
const DESCRIBED_MAX: usize = 1000;

/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// Enough for the header of a segment of the log.
const HEAD_BYTES: usize = 4096;

/// A file in which damage was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Quarantined {
    /// The file.
    pub path: PathBuf,
    /// The namespace whose file it is; empty for the catalog and the log, which all share.
    pub namespace: String,
    /// `volume`, `snapshot`, `index`, `side`, `catalog` or `log`.
    pub kind: &'static str,
    /// The shard; `None` for a file that is not that of one shard.
    pub shard: Option<u16>,
    /// Start of the block in nanoseconds; `None` for a file that is not that of one block.
    pub block_start_ns: Option<i64>,
    /// Length of the block in nanoseconds; `None` for a file that is not that of one block.
    pub block_length_ns: Option<i64>,
    /// Pieces of damage.
    pub pieces: u64,
    /// Bytes that cannot be used because of it.
    pub lost_bytes: u64,
    /// The first piece, in words.
    pub first: String,
}

/// What one pass over all files came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Files that were read.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Files with damage.
    pub damaged_files: u64,
}

/// The work of scrubs and what they found.
#[derive(Debug)]
pub(crate) struct Scrub {
    pub(crate) throttle: Throttle,
    pub(crate) files: Counter,
    pub(crate) bytes: Counter,
    /// What the last pass found, and what the present one found so far.
    quarantine: Mutex<BTreeMap<PathBuf, Quarantined>>,
}

impl Scrub {
    pub(crate) fn new(throttle: Throttle) -> Self {
        Self {
            throttle,
            files: Counter::default(),
            bytes: Counter::default(),
            quarantine: Mutex::default(),
        }
    }

    /// Files with damage, at most [`DESCRIBED_MAX`], in the order of their paths.
    pub(crate) fn quarantined(&self) -> Vec<Quarantined> {
        self.quarantine.lock().values().take(DESCRIBED_MAX).cloned().collect()
    }

    fn note(&self, found: Quarantined) {
        let Quarantined { path, pieces, first, .. } = &found;
        let (block_start_ns, block_length_ns) = (found.block_start_ns, found.block_length_ns);
        tracing::error!(
            path = %path.display(),
            namespace = found.namespace,
            kind = found.kind,
            shard = found.shard,
            block_start_ns,
            block_length_ns,
            pieces,
            damage = %first,
            "a scrub found damage; the file is quarantined, and the rest is served; a damaged \
             index or catalog is made anew at the next start"
        );
        self.quarantine.lock().insert(found.path.clone(), found);
    }
}

/// What reading a file came to.
enum Read {
    /// The file is not needed any more, and was removed meanwhile.
    Gone,
    /// All pieces that can be read were handed out; these are the others.
    Done(Vec<Damage>),
}

/// Finds the checksums of a file in its first and last bytes.
type Sums = fn(&[u8], &[u8], u64) -> Result<Vec<Sum>, Corrupt>;

/// What the checksums of a file say.
enum Checked {
    Sound,
    Gone,
    /// Some are wrong, or the file is another one than it was: a closer look tells.
    Suspect,
    Unreadable(Vec<Damage>),
}

/// One pass over all files.
struct Pass<'a> {
    core: &'a Core,
    stop: &'a Stop,
    report: ScrubReport,
    damaged: BTreeSet<PathBuf>,
}

impl Core {
    /// Reads every file once, at the rate that is set: those of every namespace, what all of them
    /// share, and the segments of the log that are not written to any more.
    pub(crate) fn scrub(&self, stop: &Stop) -> Result<ScrubReport, TsdbError> {
        self.jobs.run(JobKind::Scrub, || {
            let (report, damaged) = (ScrubReport::default(), BTreeSet::new());
            let mut pass = Pass { core: self, stop, report, damaged };
            for namespace in self.all() {
                pass.filesets(&namespace)?;
                pass.index(&namespace)?;
                pass.side(&namespace)?;
            }
            pass.catalog()?;
            pass.log()?;
            let Pass { mut report, damaged, .. } = pass;
            // What was damaged before and is not served any more.
            self.scrub.quarantine.lock().retain(|path, _| damaged.contains(path));
            report.damaged_files = damaged.len() as u64;
            Ok(report)
        })
    }
}

impl Pass<'_> {
    fn filesets(&mut self, namespace: &Namespace) -> Result<(), TsdbError> {
        for (shard, id, file) in namespace.served_files() {
            let ends = fileset::ENDS_LEN;
            let found = match self.sums(file.path(), file.file_len(), ends, fileset::sums)? {
                Checked::Sound | Checked::Gone => continue,
                Checked::Suspect => verify(&file)?,
                Checked::Unreadable(found) => {
                    file.distrust();
                    found
                }
            };
            if !found.is_empty() {
                self.note(of_fileset(namespace, shard, id, &file, &found));
            }
        }
        Ok(())
    }

    fn index(&mut self, namespace: &Namespace) -> Result<(), TsdbError> {
        let index = &namespace.index;
        for segment in index.sealed_segments() {
            let (path, ends) = (&segment.path, m3rs_index::ENDS_LEN);
            let found = match self.sums(path, segment.file_len, ends, m3rs_index::sums)? {
                Checked::Gone => None,
                Checked::Sound => {
                    index.note_checked(path, None);
                    None
                }
                Checked::Suspect => {
                    let fs = namespace.fs.as_ref();
                    index.verify_sealed(fs, &segment)?.map(Damage::from)
                }
                Checked::Unreadable(found) => found.into_iter().next().inspect(|found| {
                    let Damage { what, expected, got, .. } = found.clone();
                    let at = usize::try_from(found.offset).unwrap_or(usize::MAX);
                    index.note_checked(path, Some(Corrupt::new(what, at, expected, got)));
                }),
            };
            self.note_whole("index", namespace.name(), found);
        }
        Ok(())
    }

    fn side(&mut self, namespace: &Namespace) -> Result<(), TsdbError> {
        let path = namespace.layout.side(&namespace.dir);
        let found = self.small(&path, |bytes| {
            let loaded = Side::new(namespace.limits.metadata).load(bytes);
            loaded.err().map(|c| Damage::of_corrupt(&path, 0, bytes.len() as u64, c))
        })?;
        if found.is_some() {
            namespace.side.write_again();
        }
        self.note_whole("side", namespace.name(), found);
        Ok(())
    }

    fn catalog(&mut self) -> Result<(), TsdbError> {
        let layout = self.core.opener.layout.clone();
        for path in [layout.catalog(), layout.catalog_copy()] {
            let found = self.small(&path, |bytes| {
                check_catalog(bytes).map(|c| Damage::of_corrupt(&path, 0, 0, c))
            })?;
            self.note_whole("catalog", "", found);
        }
        Ok(())
    }

    /// The segments of the log but for the one that is written to, of which only the header says
    /// something: whether the segment before it must have a seal.
    fn log(&mut self) -> Result<(), TsdbError> {
        let dir = self.core.opener.layout.commitlog();
        let segments = self.core.log.segments()?;
        let Some((&written_to, closed)) = segments.split_last() else { return Ok(()) };
        // The last one that could be read, with all that was read of it.
        let mut before: Option<SegmentReport> = None;
        for &segment in closed {
            let path = commitlog::segment_path(&dir, segment);
            let mut bytes = Vec::new();
            let unreadable = match self.read(&path, None, |piece| bytes.extend_from_slice(piece))? {
                Read::Gone => {
                    before = None;
                    continue;
                }
                Read::Done(unreadable) => unreadable,
            };
            if !unreadable.is_empty() {
                self.note_whole("log", "", unreadable.into_iter().next());
                before = None;
                continue;
            }
            let (sealed_before, report) = read_segment(&path, bytes, segment)?;
            self.note_whole("log", "", report.damages.first().cloned());
            self.note_unsealed(&dir, before.take(), sealed_before, &report);
            before = Some(report);
        }
        let path = commitlog::segment_path(&dir, written_to);
        if let Ok(head) = self.core.opener.fs.read_at(&path, 0, HEAD_BYTES) {
            let (sealed_before, report) = read_segment(&path, head, written_to)?;
            self.note_unsealed(&dir, before, sealed_before, &report);
        }
        Ok(())
    }

    /// Notes that the segment before lacks the seal that this one tells of.
    fn note_unsealed(
        &mut self,
        dir: &Path,
        before: Option<SegmentReport>,
        sealed_before: Option<u64>,
        report: &SegmentReport,
    ) {
        let Some(before) = before.filter(|b| Some(b.segment) == sealed_before) else { return };
        let pair = [(None, &before), (sealed_before, report)];
        let found = commitlog::missing_seals(dir, pair.into_iter()).next();
        self.note_whole("log", "", found);
    }

    /// Checks a file that fits into memory.
    fn small(
        &mut self,
        path: &Path,
        check: impl Fn(&[u8]) -> Option<Damage>,
    ) -> Result<Option<Damage>, TsdbError> {
        let mut bytes = Vec::new();
        match self.read(path, None, |piece| bytes.extend_from_slice(piece))? {
            Read::Gone => return Ok(None),
            Read::Done(unreadable) if !unreadable.is_empty() => {
                return Ok(unreadable.into_iter().next());
            }
            Read::Done(_) => {}
        }
        if check(&bytes).is_none() {
            return Ok(None);
        }
        // Perhaps it was replaced between two pieces.
        match self.core.opener.fs.read(path) {
            Ok(bytes) => Ok(check(&bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Ok(Some(unreadable(path, 0, bytes.len() as u64, &e))),
        }
    }

    /// Checks the sums of a file, which stand in the `ends` bytes at its two ends.
    fn sums(
        &mut self,
        path: &Path,
        len: u64,
        ends: usize,
        find: Sums,
    ) -> Result<Checked, TsdbError> {
        let fs = Arc::clone(&self.core.opener.fs);
        let tail_at = len.saturating_sub(ends as u64);
        let head = fs.read_at(path, 0, ends);
        let tail = fs.read_at(path, tail_at, ends);
        // What cannot be read is told below.
        let sums = head.ok().zip(tail.ok()).and_then(|(head, tail)| find(&head, &tail, len).ok());
        let is_framed = sums.is_some();
        let mut check = SumCheck::new(sums.unwrap_or_default());
        let mut read = 0;
        let done = self.read(path, Some(len), |piece| {
            read += piece.len() as u64;
            check.update(piece);
        })?;
        Ok(match done {
            Read::Gone => Checked::Gone,
            Read::Done(found) if !found.is_empty() => Checked::Unreadable(found),
            Read::Done(_) if is_framed && read == len && check.is_sound() => Checked::Sound,
            Read::Done(_) => Checked::Suspect,
        })
    }

    /// Reads all of a file at the rate that is set, and hands its pieces to `take`. Without `len`
    /// the file says how long it is.
    fn read(
        &mut self,
        path: &Path,
        len: Option<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Read, TsdbError> {
        let fs = Arc::clone(&self.core.opener.fs);
        let scrub = &self.core.scrub;
        let len = match len.map_or_else(|| fs.file_len(path), Ok) {
            Ok(len) => len,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Read::Gone),
            Err(e) => return Err(TsdbError::io("look at", path, e)),
        };
        let mut found = Vec::new();
        let mut at = 0;
        while at < len {
            let piece = (len - at).min(PIECE_BYTES);
            self.stop.check()?;
            scrub.throttle.pass(piece as usize);
            self.stop.check()?;
            match fs.read_at(path, at, piece as usize) {
                // It was cut off; the check will say so.
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => take(&bytes),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Read::Gone),
                Err(e) => found.push(unreadable(path, at, piece, &e)),
            }
            at += piece;
            self.report.bytes += piece;
            scrub.bytes.add(piece);
        }
        self.report.files += 1;
        scrub.files.add(1);
        Ok(Read::Done(found))
    }

    fn note_whole(&mut self, kind: &'static str, namespace: &str, found: Option<Damage>) {
        if let Some(found) = found {
            self.note(of_whole(kind, namespace, &found));
        }
    }

    fn note(&mut self, found: Quarantined) {
        self.damaged.insert(found.path.clone());
        self.core.scrub.note(found);
    }
}

/// Bytes that the disk does not read back.
fn unreadable(path: &Path, offset: u64, bytes: u64, error: &io::Error) -> Damage {
    Damage::of_sectors(path, BadSectors { offset, bytes, error: error.to_string() })
}

/// Reads a segment of the log for what is wrong with it, and which one it says was sealed before.
fn read_segment(
    path: &Path,
    bytes: Vec<u8>,
    segment: u64,
) -> Result<(Option<u64>, SegmentReport), TsdbError> {
    let reader = SegmentReader::of_bytes(path, Mapped::of_bytes(bytes), segment)?;
    let sealed_before = reader.sealed_before();
    let read = reader.read(&mut EntryDecoder::new(), |_| Ok::<(), Infallible>(()));
    Ok((sealed_before, read.unwrap_or_else(|never| match never {})))
}

/// Looks closely at a file, past the cache, as this is done once.
fn verify(file: &ServedFile) -> Result<Vec<Damage>, TsdbError> {
    match file.map() {
        Ok(reader) => Ok(reader.verify()),
        Err(FilesetError::Damaged(damage)) => Ok(vec![damage]),
        Err(error) if cache::is_gone(&error) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn of_fileset(
    namespace: &Namespace,
    shard: u16,
    id: BlockId,
    file: &ServedFile,
    found: &[Damage],
) -> Quarantined {
    Quarantined {
        path: file.path().to_owned(),
        namespace: namespace.name().to_owned(),
        kind: match file.info().kind {
            FilesetKind::Volume => "volume",
            FilesetKind::Snapshot => "snapshot",
        },
        shard: Some(shard),
        block_start_ns: Some(id.start()),
        block_length_ns: Some(id.length()),
        pieces: found.len() as u64,
        lost_bytes: found.iter().map(|d| d.lost_bytes).sum(),
        first: found.first().map(ToString::to_string).unwrap_or_default(),
    }
}

fn of_whole(kind: &'static str, namespace: &str, found: &Damage) -> Quarantined {
    Quarantined {
        path: found.path.clone(),
        namespace: namespace.to_owned(),
        kind,
        shard: None,
        block_start_ns: None,
        block_length_ns: None,
        pieces: 1,
        lost_bytes: found.lost_bytes,
        first: found.to_string(),
    }
}

impl Namespace {
    /// Every file with samples, by shard and block.
    fn served_files(&self) -> Vec<(u16, BlockId, Arc<ServedFile>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let blocks = shard.lock().blocks();
            for (id, files) in blocks.iter() {
                all.extend(files.files().map(|file| (shard.id, id, Arc::clone(file))));
            }
        }
        all
    }
}
