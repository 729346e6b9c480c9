//! Takes a request's body as one slice, within limits of size and time.
//!
//! Bodies that come in pieces share a bound of memory, see [`BufferPool`]. So whoever sends slowly
//! holds what came so far, and nothing that others wait for.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The most buffers that wait for reuse.
const BUFFERS_KEPT_MAX: usize = 64;

/// Larger buffers are given back to the allocator, and no more is reserved before bytes came.
const BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

/// In what steps the memory of bodies is counted, in bytes.
const ROOM_UNIT_BYTES: usize = 4096;

/// Why a body could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than {limit} bytes ({setting})")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// The setting that raises it.
        setting: &'static str,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive within {} s", .0.as_secs())]
    Timeout(Duration),
    /// Too much of other bodies is on its way.
    #[error("bodies of {0} bytes are on their way, which is the limit (http.bodies_bytes_max)")]
    Full(usize),
    /// The connection failed.
    #[error("cannot read the body: {0}")]
    Broken(#[from] axum::Error),
}

/// How large a body may be, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit {
    /// The largest size in bytes.
    pub(crate) bytes_max: usize,
    /// The setting of that size.
    pub(crate) setting: &'static str,
    /// The longest time from the first read to the last.
    pub(crate) timeout: Duration,
}

/// Buffers for bodies that come in several pieces, and a bound of their bytes together.
#[derive(Debug)]
pub(crate) struct BufferPool {
    buffers: Mutex<Vec<Vec<u8>>>,
    room: Semaphore,
    bytes_max: usize,
    /// What of it is held.
    held_bytes: Gauge,
}

impl BufferPool {
    pub(crate) fn new(bytes_max: usize, held_bytes: Gauge) -> Self {
        let units = bytes_max.div_ceil(ROOM_UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { buffers: Mutex::default(), room: Semaphore::new(units), bytes_max, held_bytes }
    }

    /// Room for a body that has not come yet.
    pub(crate) fn room(&self) -> Room<'_> {
        Room { pool: self, held: None }
    }

    fn take(&self) -> Vec<u8> {
        self.buffers.lock().pop().unwrap_or_default()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.buffers.lock();
        if kept.len() < BUFFERS_KEPT_MAX && buffer.capacity() <= BUFFER_KEPT_BYTES_MAX {
            kept.push(buffer);
        }
    }
}

/// What a body holds of its pool's bound.
#[derive(Debug)]
pub(crate) struct Room<'p> {
    pool: &'p BufferPool,
    held: Option<SemaphorePermit<'p>>,
}

impl Room<'_> {
    /// Holds `bytes` from now on.
    ///
    /// # Errors
    /// [`BodyError::Full`]; it then holds what it held.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), BodyError> {
        let wanted = bytes.div_ceil(ROOM_UNIT_BYTES);
        let held = self.units();
        if wanted > held {
            let more = u32::try_from(wanted - held).ok();
            let more = more.and_then(|more| self.pool.room.try_acquire_many(more).ok());
            let more = more.ok_or(BodyError::Full(self.pool.bytes_max))?;
            match &mut self.held {
                Some(held) => held.merge(more),
                none => *none = Some(more),
            }
        } else if let Some(held) = &mut self.held {
            drop(held.split(held.num_permits() - wanted));
        }
        self.count(held);
        Ok(())
    }

    fn units(&self) -> usize {
        self.held.as_ref().map_or(0, SemaphorePermit::num_permits)
    }

    /// Counts the change since it had `before` units.
    fn count(&self, before: usize) {
        let bytes = |units: usize| i64::try_from(units * ROOM_UNIT_BYTES).unwrap_or(i64::MAX);
        self.pool.held_bytes.inc_by(bytes(self.units()) - bytes(before));
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let before = self.units();
        self.held = None;
        self.count(before);
    }
}

/// A whole body: the connection's own bytes if it came in one piece, else a pooled buffer.
pub(crate) enum Collected<'p> {
    Whole(Bytes),
    Joined(Joined<'p>),
}

impl Collected<'_> {
    /// The body.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(joined) => &joined.buffer,
        }
    }
}

/// A buffer that goes back to its pool.
pub(crate) struct Joined<'p> {
    buffer: Vec<u8>,
    room: Room<'p>,
}

impl<'p> Joined<'p> {
    fn new(pool: &'p BufferPool) -> Self {
        Self { buffer: pool.take(), room: pool.room() }
    }

    fn push(&mut self, piece: &[u8], limit: BodyLimit) -> Result<(), BodyError> {
        let len = self.buffer.len() + piece.len();
        check_len(len, limit)?;
        self.room.resize(len)?;
        self.buffer.extend_from_slice(piece);
        Ok(())
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.room.pool.give(std::mem::take(&mut self.buffer));
    }
}

/// Reads all of `body`. A length that the headers tell is checked before anything is read.
///
/// # Errors
/// Every kind of [`BodyError`].
pub(crate) async fn collect<'p>(
    headers: &HeaderMap,
    body: Body,
    limit: BodyLimit,
    pool: &'p BufferPool,
) -> Result<Collected<'p>, BodyError> {
    let told: Option<usize> =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if told.is_some_and(|len| len > limit.bytes_max) {
        return Err(BodyError::TooLarge { limit: limit.bytes_max, setting: limit.setting });
    }
    tokio::time::timeout(limit.timeout, read_all(body, told, limit, pool))
        .await
        .map_err(|_| BodyError::Timeout(limit.timeout))?
}

async fn read_all<'p>(
    mut body: Body,
    told: Option<usize>,
    limit: BodyLimit,
    pool: &'p BufferPool,
) -> Result<Collected<'p>, BodyError> {
    let first = next_piece(&mut body).await?.unwrap_or_default();
    if body.is_end_stream() || told == Some(first.len()) {
        check_len(first.len(), limit)?;
        return Ok(Collected::Whole(first));
    }
    let mut joined = Joined::new(pool);
    joined.buffer.reserve(told.unwrap_or(0).min(BUFFER_KEPT_BYTES_MAX));
    joined.push(&first, limit)?;
    drop(first);
    while let Some(piece) = next_piece(&mut body).await? {
        joined.push(&piece, limit)?;
    }
    Ok(Collected::Joined(joined))
}

/// The next data of the body; `None` at its end.
pub(crate) async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    while let Some(frame) = body.frame().await.transpose()? {
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn check_len(len: usize, limit: BodyLimit) -> Result<(), BodyError> {
    if len > limit.bytes_max {
        return Err(BodyError::TooLarge { limit: limit.bytes_max, setting: limit.setting });
    }
    Ok(())
}
