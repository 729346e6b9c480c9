//! What a namespace keeps beside samples: metadata of metric families, and exemplars.
//!
//! Both are logged when they are written, and put into one file at each checkpoint, drawn in
//! `docs/formats/side.md`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, write_atomic};
use m3rs_core::model::Metadata;
use m3rs_core::wire::checksum::{check_crc, crc32};
use m3rs_core::wire::{Cursor, header};
use parking_lot::Mutex;

use crate::commitlog::{CommitLog, Entry, EntryDecoder, Ticket, encode_exemplars, encode_metadata};
use crate::error::TsdbError;
use crate::exemplar::{Exemplar, ExemplarStore};
use crate::metadata::{MetadataLimits, MetadataStore};

const MAGIC: [u8; 8] = *b"m3rs.sid";
const VERSION: u16 = 1;
const WHAT: &str = "side file";

/// The stores of a namespace beside its samples.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) metadata: MetadataStore,
    pub(crate) exemplars: ExemplarStore,
    /// INVARIANT: held over "append to the log, then apply", and while the file's bytes are
    /// made: so what was logged before a cut is in the file that is written after it.
    order: Mutex<()>,
    /// Whether the file lacks something.
    is_dirty: AtomicBool,
}

/// What one request brings.
#[derive(Debug, Default)]
pub(crate) struct SideBatch {
    pub(crate) metadata: Vec<(String, Metadata)>,
    pub(crate) refs: Vec<u32>,
    pub(crate) exemplars: Vec<Exemplar>,
}

impl SideBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.exemplars.is_empty()
    }

    pub(crate) fn push_exemplar(&mut self, series: u32, exemplar: Exemplar) {
        self.refs.push(series);
        self.exemplars.push(exemplar);
    }

    pub(crate) fn clear(&mut self) {
        self.metadata.clear();
        self.refs.clear();
        self.exemplars.clear();
    }
}

impl Side {
    pub(crate) fn new(limits: MetadataLimits) -> Self {
        Self {
            metadata: MetadataStore::new(limits),
            exemplars: ExemplarStore::default(),
            order: Mutex::new(()),
            is_dirty: AtomicBool::new(false),
        }
    }

    /// Waits until every commit that passed its check so far is done.
    pub(crate) fn settle(&self) {
        drop(self.order.lock());
    }

    /// Logs a batch, if there is a log to write to and `check` lets it, and applies it.
    pub(crate) fn commit(
        &self,
        log: Option<&CommitLog>,
        namespace: u32,
        batch: &mut SideBatch,
        check: impl FnOnce() -> Result<(), TsdbError>,
    ) -> Result<Option<Ticket>, TsdbError> {
        let mut entries = Vec::new();
        for (family, metadata) in &batch.metadata {
            encode_metadata(&mut entries, namespace, family, metadata);
        }
        encode_exemplars(&mut entries, namespace, &batch.refs, &batch.exemplars);
        let _order = self.order.lock();
        check()?;
        let ticket = log.map(|log| log.append(&entries)).transpose()?;
        for (family, metadata) in batch.metadata.drain(..) {
            self.metadata.put(&family, metadata);
        }
        self.exemplars.put(&batch.refs, &batch.exemplars);
        self.is_dirty.store(true, Ordering::Relaxed);
        Ok(ticket)
    }

    /// Applies an entry of the log or of a file.
    pub(crate) fn apply(&self, entry: &Entry<'_>) {
        match entry {
            Entry::Metadata { family, metadata, .. } => {
                self.metadata.put(family, metadata.clone());
            }
            Entry::Exemplars { refs, exemplars, .. } => self.exemplars.put(refs, exemplars),
            _ => return,
        }
        self.is_dirty.store(true, Ordering::Relaxed);
    }

    /// Writes the file, if it lacks something; exemplars before `oldest` are left out.
    pub(crate) fn persist(
        &self,
        fs: &dyn Fs,
        path: &Path,
        namespace: u32,
        oldest: i64,
    ) -> Result<(), TsdbError> {
        if !self.is_dirty.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let bytes = {
            let _order = self.order.lock();
            self.encode(namespace, oldest)
        };
        let dir = path.parent().unwrap_or(path);
        let written = fs
            .create_dir_all(dir)
            .and_then(|()| write_atomic(fs, path, |file| file.write_all(&bytes)));
        written.map_err(|e| {
            self.is_dirty.store(true, Ordering::Relaxed);
            TsdbError::io("write", path, e)
        })
    }

    /// Lets the next [`Side::persist`] write the file, though it lacks nothing.
    pub(crate) fn write_again(&self) {
        self.is_dirty.store(true, Ordering::Relaxed);
    }

    fn encode(&self, namespace: u32, oldest: i64) -> Vec<u8> {
        let mut out = Vec::new();
        header::put(&mut out, &MAGIC, VERSION);
        for (family, entries) in self.metadata.list(None, usize::MAX, usize::MAX) {
            for metadata in &entries {
                encode_metadata(&mut out, namespace, &family, metadata);
            }
        }
        let (refs, exemplars) = self.exemplars.all(oldest);
        encode_exemplars(&mut out, namespace, &refs, &exemplars);
        let crc = crc32(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Fills the stores from the bytes of a file.
    ///
    /// # Errors
    /// [`Corrupt`]; nothing is taken then.
    pub(crate) fn load(&self, bytes: &[u8]) -> Result<(), Corrupt> {
        let (body, crc) = bytes
            .split_last_chunk::<4>()
            .ok_or_else(|| Corrupt::new(WHAT, 0, "a checksum", format!("{} bytes", bytes.len())))?;
        check_crc(WHAT, 0, crc32(body), u32::from_le_bytes(*crc))?;
        let mut cursor = Cursor::new(WHAT, body);
        header::check(&mut cursor, &MAGIC, VERSION)?;
        let mut decoder = EntryDecoder::new();
        while let Some(entry) = decoder.next(&mut cursor)? {
            self.apply(&entry);
        }
        self.is_dirty.store(false, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::{Labels, MetricType};

    use super::*;

    fn filled() -> Side {
        let side = Side::new(MetadataLimits::default());
        let metadata =
            Metadata { metric_type: MetricType::Counter, help: "h".into(), unit: "s".into() };
        let labels = Labels::from_pairs([("trace", "1")]).expect("valid");
        let mut batch = SideBatch {
            metadata: vec![("up".to_owned(), metadata)],
            refs: vec![4, 2],
            exemplars: vec![
                Exemplar { t: 5, value: 1.5, labels: labels.clone() },
                Exemplar { t: 3, value: f64::NAN, labels },
            ],
        };
        side.commit(None, 1, &mut batch, || Ok(())).expect("there is no log to fail");
        side
    }

    #[test]
    fn a_file_brings_all_back_and_every_flipped_byte_is_noticed() {
        let side = filled();
        let bytes = side.encode(1, 0);
        let read = Side::new(MetadataLimits::default());
        read.load(&bytes).expect("sound");
        assert_eq!(read.metadata.list(None, 9, 9), side.metadata.list(None, 9, 9));
        assert_eq!(read.exemplars.all(0), side.exemplars.all(0));
        assert_eq!(read.encode(1, 0), bytes);
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            let read = Side::new(MetadataLimits::default());
            assert!(read.load(&bad).is_err(), "byte {i}");
            assert!(read.load(&bytes[..i]).is_err(), "length {i}");
            assert_eq!(read.metadata.families(), 0, "nothing is taken");
        }
    }
}
