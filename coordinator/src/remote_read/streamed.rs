//! An answer as a stream of chunks: frames of `ChunkedReadResponse`, made while they are sent.
//!
//! A frame is its length as a varint, its CRC-32C with the highest byte first, and the message,
//! which has chunks of one series. A series that does not fit goes on in the next frame.
//!
//! Budget: with reading, 30 million samples/s of one core.

use std::io;

use bytes::Bytes;
use crc32c::crc32c;
use m3rs_core::model::{Histogram, Labels};
use m3rs_core::wire::put_varint;
use m3rs_query::source::SampleColumns;

use super::message::{put_bytes, put_labels, put_number};
use super::{PIECE_BYTES, ReadError, Reading};
use crate::chunks::{Chunk, put_floats, put_histograms};
use crate::read::AnswerRest;

/// Fields of `ChunkedReadResponse`.
const RESPONSE_SERIES: u32 = 1;
const RESPONSE_QUERY: u32 = 2;

/// Fields of `ChunkedSeries`.
const SERIES_CHUNK: u32 = 2;

/// Fields of `Chunk`.
const CHUNK_MIN: u32 = 1;
const CHUNK_MAX: u32 = 2;
const CHUNK_ENCODING: u32 = 3;
const CHUNK_DATA: u32 = 4;

/// The rest of an answer.
pub(crate) struct ChunkStream {
    reading: Reading,
    frames: Frames,
    is_done: bool,
}

impl ChunkStream {
    /// Streams all that `reading` reads.
    pub(crate) fn new(reading: Reading) -> Self {
        let frames = Frames::new(reading.limits().frame_bytes_max);
        Self { reading, frames, is_done: false }
    }

    /// The next frames; none at the end.
    ///
    /// # Errors
    /// As [`Reading::read_some`].
    pub(crate) fn frames(&mut self) -> Result<Vec<Bytes>, ReadError> {
        while !self.is_done && self.frames.out.len() < PIECE_BYTES {
            let frames = &mut self.frames;
            let read = self.reading.read_some(|query, labels, columns| {
                frames.add(query as u64, labels, columns);
                Ok(())
            })?;
            self.is_done = read.is_none();
        }
        let out = std::mem::take(&mut self.frames.out);
        Ok(if out.is_empty() { Vec::new() } else { vec![Bytes::from(out)] })
    }
}

impl AnswerRest for ChunkStream {
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>> {
        self.frames().map_err(|error| {
            // The status was sent already: the log and a connection that ends tell of it.
            tracing::warn!(%error, "remote read ended early");
            io::Error::other(error)
        })
    }
}

/// Makes frames.
struct Frames {
    /// Frames that are done.
    out: Vec<u8>,
    frame_bytes_max: usize,
    /// Memory for labels, chunks and a chunk of the series at work.
    labels: Vec<u8>,
    chunks: Vec<u8>,
    data: Vec<u8>,
    head: Vec<u8>,
}

impl Frames {
    fn new(frame_bytes_max: usize) -> Self {
        let memory = Vec::new;
        Self {
            out: memory(),
            frame_bytes_max,
            labels: memory(),
            chunks: memory(),
            data: memory(),
            head: memory(),
        }
    }

    /// Appends all frames of a series.
    fn add(&mut self, query: u64, labels: &Labels, columns: &SampleColumns) {
        self.labels.clear();
        put_labels(&mut self.labels, labels);
        let mut samples = Samples::new(columns);
        loop {
            self.data.clear();
            let Some(chunk) = samples.next_chunk(&mut self.data) else { break };
            self.head.clear();
            put_number(&mut self.head, CHUNK_MIN, chunk.min_ms.cast_unsigned());
            put_number(&mut self.head, CHUNK_MAX, chunk.max_ms.cast_unsigned());
            put_number(&mut self.head, CHUNK_ENCODING, chunk.encoding as u64);
            // Two tags and two lengths more.
            let len = self.head.len() + self.data.len() + 12;
            if !self.chunks.is_empty()
                && self.labels.len() + self.chunks.len() + len > self.frame_bytes_max
            {
                self.finish_frame(query);
            }
            put_bytes(&mut self.head, CHUNK_DATA, &self.data);
            put_bytes(&mut self.chunks, SERIES_CHUNK, &self.head);
        }
        if !self.chunks.is_empty() {
            self.finish_frame(query);
        }
    }

    #[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
    fn finish_frame(&mut self, query: u64) {
        let len = self.labels.len() + self.chunks.len();
        let message = &mut self.data;
        let chunk = message.len();
        // Behind a chunk that waits for the next frame.
        put_varint(message, u64::from(RESPONSE_SERIES << 3 | 2));
        put_varint(message, len as u64);
        message.extend_from_slice(&self.labels);
        message.extend_from_slice(&self.chunks);
        put_number(message, RESPONSE_QUERY, query);
        let frame = &message[chunk..];
        put_varint(&mut self.out, frame.len() as u64);
        self.out.extend_from_slice(&crc32c(frame).to_be_bytes());
        self.out.extend_from_slice(frame);
        message.truncate(chunk);
        self.chunks.clear();
    }
}

/// Samples of a series that are in no chunk yet.
struct Samples<'a> {
    columns: &'a SampleColumns,
    floats: usize,
    histograms: usize,
}

impl<'a> Samples<'a> {
    fn new(columns: &'a SampleColumns) -> Self {
        Self { columns, floats: 0, histograms: 0 }
    }

    /// Appends the next chunk by time: floats until the next histogram, or histograms until the
    /// next float.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Option<Chunk> {
        let SampleColumns { ts, vs, histograms, .. } = self.columns;
        let (floats, others) = (&ts[self.floats..], &histograms.ts[self.histograms..]);
        let is_float = match (floats.first(), others.first()) {
            (Some(float), Some(other)) => float < other,
            (float, _) => float.is_some(),
        };
        if is_float {
            let end = before(floats, others.first());
            let chunk = put_floats(&floats[..end], &vs[self.floats..], out)?;
            self.floats += chunk.len;
            return Some(chunk);
        }
        let end = before(others, floats.first());
        let hs = &histograms.hs[self.histograms..];
        let chunk = put_histograms(&others[..end], &hs[..end], self.histogram_before(), out)?;
        self.histograms += chunk.len;
        Some(chunk)
    }

    /// The histogram before the next one, unless a float stands between.
    fn histogram_before(&self) -> Option<&'a Histogram> {
        let histograms = &self.columns.histograms;
        let Some(last) = self.histograms.checked_sub(1) else {
            return histograms.before.as_deref();
        };
        let float = self.floats.checked_sub(1).map(|i| self.columns.ts[i]);
        let is_next = float.is_none_or(|t| t < histograms.ts[last]);
        histograms.hs.get(last).filter(|_| is_next).map(|h| &**h)
    }
}

/// How many of these times are before another.
fn before(ts: &[i64], other: Option<&i64>) -> usize {
    other.map_or(ts.len(), |other| ts.partition_point(|t| t < other))
}
