//! Takes a request's body as one slice, within limits of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::BodyExt;
use parking_lot::Mutex;

/// The most buffers that wait for reuse.
const BUFFERS_KEPT_MAX: usize = 64;

/// Larger buffers are given back to the allocator.
const BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

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

/// Buffers for bodies that come in several pieces.
#[derive(Debug, Default)]
pub(crate) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_default()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.0.lock();
        if kept.len() < BUFFERS_KEPT_MAX && buffer.capacity() <= BUFFER_KEPT_BYTES_MAX {
            kept.push(buffer);
        }
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
    pool: &'p BufferPool,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer));
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
    let mut joined = Joined { buffer: pool.take(), pool };
    joined.buffer.reserve(told.unwrap_or(0));
    joined.buffer.extend_from_slice(&first);
    while let Some(piece) = next_piece(&mut body).await? {
        joined.buffer.extend_from_slice(&piece);
        check_len(joined.buffer.len(), limit)?;
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
