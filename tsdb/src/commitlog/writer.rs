//! The log as its callers see it: append, wait, rotate, resume.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::fs::SharedFs;
use m3rs_core::spawn::Thread;
use m3rs_core::wire::put_varint;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::entry::KIND_PADDING;
use super::format::{CHUNK_HEADER_LEN, CHUNK_PAYLOAD_MAX};
use super::log_thread::LogThread;
use super::names::{list_segments, segment_path};
use super::progress::{Progress, Ticket, block_on, wait};
use super::segment::{Group, OpenSegment};
use crate::error::CommitLogError;

/// Bytes that a probe writes to learn whether the disk takes writes again.
const PROBE_LEN: usize = 4096;

/// When a ticket counts as durable, and what a power cut may cost.
///
/// The death of the process alone loses nothing that is durable in any of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// After the group that holds it was synced. A power cut loses nothing.
    #[default]
    Group,
    /// When it was handed to the operating system, which is told to sync at most this much later.
    /// A power cut loses what was written in that time, and during the sync that was under way.
    Interval(Duration),
    /// When it was handed to the operating system, which is told to sync only when a segment
    /// ends. A power cut loses what the system did not write by itself, commonly 30 s.
    None,
}

/// How a log behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLogOptions {
    /// When to sync.
    pub sync: SyncMode,
    /// Bytes at which the log goes on in a new segment.
    pub segment_bytes_max: u64,
    /// Bytes that may wait for the disk; as many again may be under way to it.
    pub pending_bytes_max: u64,
    /// Bytes that may be in segments that were not [removed](CommitLog::remove_before) yet; 0 is no
    /// limit.
    pub uncovered_bytes_max: u64,
}

/// Sync each group, segments of 64 MiB, 64 MiB waiting, any number of segments.
impl Default for CommitLogOptions {
    fn default() -> Self {
        Self {
            sync: SyncMode::Group,
            segment_bytes_max: 64 << 20,
            pending_bytes_max: 64 << 20,
            uncovered_bytes_max: 0,
        }
    }
}

/// What callers and the log thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// There is something for the log thread to do.
    pub(super) work: Condvar,
    /// The log thread took up another segment, failed or ended.
    pub(super) moved: Condvar,
    pub(super) progress: watch::Sender<Progress>,
}

/// What waits for the log thread. The lock is held for copies and counters, never for IO.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) group: Group,
    /// Appends taken so far.
    pub(super) position: u64,
    pub(super) epoch: u32,
    /// The segment that the next append goes to.
    segment: u64,
    /// Bytes that go to `segment`, headers left out.
    segment_bytes: u64,
    bytes_since_rotation: u64,
    /// Bytes of each segment that was not removed yet.
    held: BTreeMap<u64, u64>,
    /// Their sum.
    held_bytes: u64,
    /// The segment that the log thread writes to.
    pub(super) current: u64,
    pub(super) failed: Option<Arc<str>>,
    /// A new segment, on its way to the log thread.
    pub(super) handover: Option<OpenSegment>,
    pub(super) closing: bool,
    pub(super) ended: bool,
}

impl State {
    fn refusal(&self) -> Option<CommitLogError> {
        if self.closing {
            return Some(CommitLogError::Closed);
        }
        self.failed.as_ref().map(|why| CommitLogError::Failed { why: why.clone() })
    }

    fn start_segment(&mut self) -> u64 {
        self.segment += 1;
        self.segment_bytes = 0;
        self.segment
    }

    /// Copies the entries of one append, which go to the next segment if this one is full.
    fn take(&mut self, entries: &[u8], segment_bytes_max: u64) {
        let bytes = entries.len() as u64;
        if self.segment_bytes > 0 && self.segment_bytes + bytes > segment_bytes_max {
            let segment = self.start_segment();
            self.group.rotate(segment);
        }
        self.group.push(entries);
        self.segment_bytes += bytes;
        self.bytes_since_rotation += bytes;
        *self.held.entry(self.segment).or_default() += bytes;
        self.held_bytes += bytes;
        self.position += 1;
    }

    /// Forgets the segments below `segment`.
    fn forget_before(&mut self, segment: u64) {
        self.held = self.held.split_off(&segment);
        self.held_bytes = self.held.values().sum();
    }
}

impl Shared {
    /// Refuses all appends from now on and gives up those that wait.
    pub(super) fn fail(&self, why: &str) {
        let why: Arc<str> = Arc::from(why);
        let mut state = self.state.lock();
        state.failed.get_or_insert_with(|| why.clone());
        state.group.clear();
        // Before the lock is released, so that no one resumes in between.
        self.progress.send_modify(|p| p.fail(why));
        drop(state);
        self.moved.notify_all();
    }
}

/// The commit log of a database, open for writing.
///
/// All methods may be called from any thread. Dropping it closes it.
#[derive(Debug)]
pub struct CommitLog {
    fs: SharedFs,
    dir: PathBuf,
    options: CommitLogOptions,
    shared: Arc<Shared>,
    /// A segment that was probed after a failure and waits for [`CommitLog::resume`].
    probed: Mutex<Option<OpenSegment>>,
    thread: Mutex<Option<Thread>>,
}

impl CommitLog {
    /// Makes segment `first_segment` in `dir`, durably, and starts the log thread.
    ///
    /// `first_segment` must be at least 1 and above every segment in `dir`.
    ///
    /// # Errors
    /// [`CommitLogError::Invalid`] for such a number or an option of 0; [`CommitLogError::Io`].
    pub fn open(
        fs: SharedFs,
        dir: &Path,
        options: CommitLogOptions,
        first_segment: u64,
    ) -> Result<Self, CommitLogError> {
        if options.segment_bytes_max == 0 || options.pending_bytes_max == 0 {
            return Err(CommitLogError::Invalid("sizes must be above 0".to_owned()));
        }
        fs.create_dir_all(dir).map_err(CommitLogError::io(dir))?;
        let mut held = BTreeMap::new();
        for sequence in list_segments(fs.as_ref(), dir)? {
            let path = segment_path(dir, sequence);
            held.insert(sequence, fs.file_len(&path).map_err(CommitLogError::io(&path))?);
        }
        let newest = held.keys().next_back().copied().unwrap_or(0);
        if first_segment <= newest {
            let text = format!("first segment {first_segment} is not above {newest}");
            return Err(CommitLogError::Invalid(text));
        }
        let segment = OpenSegment::create(fs.as_ref(), dir, first_segment, 0)?;
        let state = State {
            segment: first_segment,
            current: first_segment,
            held_bytes: held.values().sum(),
            held,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            moved: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
        });
        let log_thread =
            LogThread::new(fs.clone(), dir.to_owned(), options.sync, shared.clone(), segment);
        let thread = Thread::start("commitlog", move || log_thread.run())
            .map_err(CommitLogError::io(dir))?;
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            options,
            shared,
            probed: Mutex::new(None),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes the entries of one write, to be written with whatever else waits.
    ///
    /// Copies `entries` under a short lock and never touches the disk, so that a caller may hold
    /// a shard's lock. The order of appends is the order in the log. They are read back together
    /// or not at all.
    ///
    /// # Errors
    /// [`CommitLogError::Busy`], [`CommitLogError::Uncovered`], [`CommitLogError::Failed`],
    /// [`CommitLogError::Closed`]; [`CommitLogError::TooLarge`] above [`CHUNK_PAYLOAD_MAX`].
    pub fn append(&self, entries: &[u8]) -> Result<Ticket, CommitLogError> {
        self.append_all(&[entries])
    }

    /// Takes several appends, with nothing in between: all of them, or none if one is refused. The
    /// ticket is that of the last.
    ///
    /// # Errors
    /// As [`CommitLog::append`].
    pub fn append_all(&self, appends: &[&[u8]]) -> Result<Ticket, CommitLogError> {
        let is_too_large = |entries: &&&[u8]| entries.len() > CHUNK_PAYLOAD_MAX;
        if let Some(entries) = appends.iter().find(is_too_large) {
            let (bytes, max) = (entries.len() as u64, CHUNK_PAYLOAD_MAX as u64);
            return Err(CommitLogError::TooLarge { bytes, max });
        }
        let bytes: u64 = appends.iter().map(|entries| entries.len() as u64).sum();
        let mut state = self.shared.state.lock();
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        if bytes == 0 {
            return Ok(Ticket { epoch: state.epoch, position: state.position });
        }
        let (pending, max) = (state.group.len() as u64, self.options.pending_bytes_max);
        if pending > 0 && pending + bytes > max {
            return Err(CommitLogError::Busy { pending, max });
        }
        let (held, max) = (state.held_bytes, self.options.uncovered_bytes_max);
        if max > 0 && held + bytes > max {
            return Err(CommitLogError::Uncovered { bytes: held, max });
        }
        for entries in appends.iter().filter(|entries| !entries.is_empty()) {
            state.take(entries, self.options.segment_bytes_max);
        }
        let ticket = Ticket { epoch: state.epoch, position: state.position };
        drop(state);
        self.shared.work.notify_one();
        Ok(ticket)
    }

    /// Resolves when the append is durable as [`CommitLogOptions::sync`] has it, or never will be.
    ///
    /// # Errors
    /// [`CommitLogError::Failed`] or [`CommitLogError::Closed`]: the append is not durable, though
    /// it may still be read back.
    pub fn durable(
        &self,
        ticket: Ticket,
    ) -> impl Future<Output = Result<(), CommitLogError>> + Send + use<> {
        wait(self.shared.progress.subscribe(), ticket)
    }

    /// As [`CommitLog::durable`], but blocks the calling thread.
    ///
    /// # Errors
    /// As [`CommitLog::durable`].
    pub fn wait_durable(&self, ticket: Ticket) -> Result<(), CommitLogError> {
        block_on(self.durable(ticket))
    }

    /// Cuts the log: what was appended before is in segments below the returned one, what is
    /// appended after in it or above. Does no IO; the log thread makes the segment in its turn.
    ///
    /// # Errors
    /// [`CommitLogError::Failed`] and [`CommitLogError::Closed`].
    pub fn rotate(&self) -> Result<u64, CommitLogError> {
        let mut state = self.shared.state.lock();
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        let segment = state.start_segment();
        state.group.rotate(segment);
        state.bytes_since_rotation = 0;
        drop(state);
        self.shared.work.notify_one();
        Ok(segment)
    }

    /// Sequences of the segments on disk, ascending, those of earlier runs included.
    ///
    /// # Errors
    /// [`CommitLogError::Io`].
    pub fn segments(&self) -> Result<Vec<u64>, CommitLogError> {
        list_segments(self.fs.as_ref(), &self.dir)
    }

    /// Adds bytes of segments that are older than this writer, and that the next
    /// [`CommitLog::rotate`] cuts off too, to [`CommitLog::bytes_since_rotation`].
    pub fn count_replayed(&self, bytes: u64) {
        self.shared.state.lock().bytes_since_rotation += bytes;
    }

    /// Bytes appended since [`CommitLog::rotate`] was last called, or since the log was opened.
    #[must_use]
    pub fn bytes_since_rotation(&self) -> u64 {
        self.shared.state.lock().bytes_since_rotation
    }

    /// Bytes in segments that were not removed yet, those of earlier runs included.
    #[must_use]
    pub fn uncovered_bytes(&self) -> u64 {
        self.shared.state.lock().held_bytes
    }

    /// Why the log takes no writes; `None` while it does.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<str>> {
        self.shared.state.lock().failed.clone()
    }

    /// Removes the segments below `segment` and returns how many there were.
    ///
    /// Blocks until the log thread writes to `segment` or a later one.
    ///
    /// # Errors
    /// [`CommitLogError::Invalid`] for a segment that [`CommitLog::rotate`] did not return yet;
    /// [`CommitLogError::Io`], and then some may be left.
    pub fn remove_before(&self, segment: u64) -> Result<usize, CommitLogError> {
        let mut state = self.shared.state.lock();
        if segment > state.segment {
            let text = format!("segment {segment} does not exist, the newest is {}", state.segment);
            return Err(CommitLogError::Invalid(text));
        }
        while state.current < segment && state.failed.is_none() && !state.ended {
            self.shared.moved.wait(&mut state);
        }
        drop(state);
        let mut removed = 0;
        for sequence in self.segments()?.into_iter().take_while(|s| *s < segment) {
            let path = segment_path(&self.dir, sequence);
            self.fs.remove_file(&path).map_err(CommitLogError::io(&path))?;
            // One by one: an older segment that came back without a newer one would put its
            // samples over those of the newer, which are in files by now.
            self.fs.sync_dir(&self.dir).map_err(CommitLogError::io(&self.dir))?;
            removed += 1;
        }
        self.shared.state.lock().forget_before(segment);
        Ok(removed)
    }

    /// After a failure, makes a new segment and syncs a probe to it; the log still refuses.
    ///
    /// The caller then makes durable elsewhere whatever it acknowledged and no other file holds,
    /// as the failed segment may not hold it, and calls [`CommitLog::resume`]. Returns the new
    /// segment. Calling again makes another one: files that a first attempt named after its segment
    /// are not replaced by those of a second.
    ///
    /// # Errors
    /// [`CommitLogError::Invalid`] if the log did not fail; [`CommitLogError::Io`] if the disk
    /// still does not take writes; [`CommitLogError::Closed`].
    pub fn probe(&self) -> Result<u64, CommitLogError> {
        let mut probed = self.probed.lock();
        // It holds padding alone, and goes when the log before the next one does.
        *probed = None;
        let sequence = {
            let mut state = self.shared.state.lock();
            self.check_failed(&state)?;
            state.start_segment()
        };
        let mut segment = OpenSegment::create(self.fs.as_ref(), &self.dir, sequence, 0)?;
        let mut padding = vec![KIND_PADDING];
        put_varint(&mut padding, PROBE_LEN as u64);
        padding.resize(padding.len() + PROBE_LEN, 0);
        let written = segment.write_chunk(&padding).and_then(|()| segment.sync());
        if let Err(error) = written {
            let path = segment_path(&self.dir, sequence);
            drop(segment);
            // The probe's error is the one to report; a segment left over holds only padding.
            drop(self.fs.remove_file(&path));
            return Err(error);
        }
        *probed = Some(segment);
        Ok(sequence)
    }

    /// Takes writes again, in the segment that [`CommitLog::probe`] made; returns it.
    ///
    /// # Errors
    /// [`CommitLogError::Invalid`] without a probe; [`CommitLogError::Closed`].
    pub fn resume(&self) -> Result<u64, CommitLogError> {
        let mut probed = self.probed.lock();
        let mut state = self.shared.state.lock();
        self.check_failed(&state)?;
        let Some(segment) = probed.take() else {
            return Err(CommitLogError::Invalid("resume without a probe".to_owned()));
        };
        let sequence = segment.sequence();
        state.handover = Some(segment);
        state.current = sequence;
        state.epoch += 1;
        state.bytes_since_rotation = 0;
        let epoch = state.epoch;
        // Before the lock is released, so that no ticket of the new epoch is older than it.
        self.shared.progress.send_modify(|p| p.resume(epoch));
        state.failed = None;
        drop(state);
        self.shared.moved.notify_all();
        self.shared.work.notify_one();
        Ok(sequence)
    }

    fn check_failed(&self, state: &State) -> Result<(), CommitLogError> {
        if state.closing {
            return Err(CommitLogError::Closed);
        }
        if state.failed.is_none() {
            return Err(CommitLogError::Invalid("the log did not fail".to_owned()));
        }
        Ok(())
    }

    /// Writes what waits, seals the segment and joins the log thread. Later calls do nothing.
    ///
    /// # Errors
    /// [`CommitLogError::Failed`] if the log had failed, or failed now.
    pub fn close(&self) -> Result<(), CommitLogError> {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        let handle = self.thread.lock().take();
        if let Some(handle) = handle {
            // A panic of the thread has been recorded as a failure, which is returned below.
            drop(handle.join());
        }
        match self.failure() {
            Some(why) => Err(CommitLogError::Failed { why }),
            None => Ok(()),
        }
    }

    /// Bytes of the log's file that `entries` bytes in one append take at most.
    #[must_use]
    pub fn bytes_on_disk(entries: u64) -> u64 {
        entries + CHUNK_HEADER_LEN as u64
    }
}

impl Drop for CommitLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "commit log closed after a failure");
        }
    }
}
