//! Scrub: every file is read again and again, at a bounded rate, so that damage is found before
//! a query needs the bytes, and while another copy may still have them.
//!
//! A file with damage is **quarantined**: it is told in the log, in metrics and in the status, and
//! served on, as each block is checked whenever it is read and a damaged one is left out with a
//! warning. A merge takes over what is sound and sets the file aside; nothing is thrown away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::blocks::BlockId;
use crate::cache::{self, ServedFile};
use crate::database::Core;
use crate::error::{Damage, FilesetError, TsdbError};
use crate::fileset::FilesetKind;
use crate::limits::Throttle;
use crate::mediator::{JobKind, Stop};
use crate::namespace::{Counter, Namespace};

/// Most quarantined files that are described; all of them are counted.
const DESCRIBED_MAX: usize = 1000;

/// A file in which damage was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Quarantined {
    /// The file.
    pub path: PathBuf,
    /// The namespace whose file it is.
    pub namespace: String,
    /// `volume`, `snapshot` or `index`.
    pub kind: &'static str,
    /// The shard; `None` for an index, which has all shards.
    pub shard: Option<u16>,
    /// Start of the block in nanoseconds; `None` for an index.
    pub block_start_ns: Option<i64>,
    /// Length of the block in nanoseconds; `None` for an index.
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
            "a scrub found damage; the file is quarantined, and what is sound in it is served"
        );
        self.quarantine.lock().insert(found.path.clone(), found);
    }
}

impl Core {
    /// Reads every file of every namespace once, at the rate that is set.
    pub(crate) fn scrub(&self, stop: &Stop) -> Result<ScrubReport, TsdbError> {
        self.jobs.run(JobKind::Scrub, || {
            let mut report = ScrubReport::default();
            let mut damaged = Vec::new();
            for namespace in self.all() {
                for (shard, id, file) in namespace.served_files() {
                    self.scrub_bytes(file.file_len(), stop, &mut report)?;
                    let found = verify(&file)?;
                    if !found.is_empty() {
                        damaged.push(file.path().to_owned());
                        self.scrub.note(of_fileset(&namespace, shard, id, &file, &found));
                    }
                }
                for segment in namespace.index.sealed_segments() {
                    self.scrub_bytes(segment.file_len, stop, &mut report)?;
                    let checked = namespace.index.verify_sealed(namespace.fs.as_ref(), &segment)?;
                    if let Some(found) = checked {
                        damaged.push(segment.path.clone());
                        self.scrub.note(of_index(&namespace, &Damage::from(found)));
                    }
                }
            }
            // What was damaged before and is not served any more.
            self.scrub.quarantine.lock().retain(|path, _| damaged.contains(path));
            report.damaged_files = damaged.len() as u64;
            Ok(report)
        })
    }

    /// Waits until so many bytes may be read, and counts them.
    fn scrub_bytes(
        &self,
        bytes: u64,
        stop: &Stop,
        report: &mut ScrubReport,
    ) -> Result<(), TsdbError> {
        stop.check()?;
        self.scrub.throttle.pass(usize::try_from(bytes).unwrap_or(usize::MAX));
        stop.check()?;
        report.files += 1;
        report.bytes += bytes;
        self.scrub.files.add(1);
        self.scrub.bytes.add(bytes);
        Ok(())
    }
}

/// Checks a file, past the cache, as one pass over all files would drive everything out of it.
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

fn of_index(namespace: &Namespace, found: &Damage) -> Quarantined {
    Quarantined {
        path: found.path.clone(),
        namespace: namespace.name().to_owned(),
        kind: "index",
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
