//! The appendable writer of one stream.

use m3rs_core::time::TimestampNs;
use m3rs_core::wire::put_zigzag;

use super::timestamp::TimeWriter;
use super::value::ValueWriter;
use super::{EncodeError, TimeUnit, limits, marker};
use crate::codec::bits::BitSink;

/// What an encoder promises about values and times that M3's own encoder would change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exactness {
    /// The bytes of M3's encoder, with its losses: -0.0, integers beyond 2^53 apart, decimals
    /// one ulp off, times finer than their unit.
    Reference,
    /// Every value and time comes back as it was. What an integer would lose is written as a
    /// float, what a unit would lose in a finer unit; M3 reads the stream all the same. Where
    /// nothing would be lost the bytes are those of [`Exactness::Reference`].
    #[default]
    Exact,
}

/// How an encoder writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Whether short decimals become integers. M3DB always has it on. The reader must know.
    pub int_optimized: bool,
    /// Whether M3's losses are avoided.
    pub exactness: Exactness,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self { int_optimized: true, exactness: Exactness::Exact }
    }
}

/// Bytes that one sample may need: unit marker 83 bits, value 80, and room to store a word.
const SAMPLE_BYTES: usize = 21;

/// Samples of a batch that are gathered on the stack before the stream grows.
const BATCH_SAMPLES: usize = 32;

/// Room for a batch, the stream's start and a word.
const BATCH_BYTES: usize = BATCH_SAMPLES * SAMPLE_BYTES + 24;

/// Room for one sample, the stream's start and a word.
const PUSH_BYTES: usize = 64;

const _: () = assert!(PUSH_BYTES >= SAMPLE_BYTES + 24);
const _: () = assert!(size_of::<Encoder>() <= 120, "one encoder per open series");

/// Writes one stream, sample by sample or batch by batch.
///
/// The stream can be read at any time with [`Encoder::snapshot`] and grow afterwards. Times are
/// expected in order, but any are taken. An encoder allocates nothing before its first sample.
#[derive(Clone, Debug)]
pub struct Encoder {
    head: Vec<u8>,
    time: TimeWriter,
    value: ValueWriter,
    /// First bit and length in bytes of the last annotation, which the stream itself remembers.
    annotation_at: u64,
    annotation_len: u32,
    count: u32,
    tail: u8,
    tail_bits: u8,
    options: EncoderOptions,
}

impl Encoder {
    /// An empty stream that begins at `start`: in M3 the block's start, not the first sample.
    #[must_use]
    pub fn new(start: TimestampNs, options: EncoderOptions) -> Self {
        Self {
            head: Vec::new(),
            time: TimeWriter::new(start.0),
            value: ValueWriter::new(),
            annotation_at: 0,
            annotation_len: 0,
            count: 0,
            tail: 0,
            tail_bits: 0,
            options,
        }
    }

    /// Appends a sample with its unit and annotation.
    ///
    /// `unit` is the one that `t` is a multiple of; [`Exactness::Exact`] takes a finer one when
    /// it is not. An annotation is written when it differs from the last one; an empty one means
    /// none, and leaves the last one remembered.
    ///
    /// # Errors
    /// [`EncodeError`]; the stream is as it was then.
    #[inline]
    pub fn push(
        &mut self,
        t: TimestampNs,
        v: f64,
        unit: TimeUnit,
        annotation: &[u8],
    ) -> Result<(), EncodeError> {
        self.check_room(1)?;
        self.time.check(t.0, unit, self.options.exactness)?;
        if annotation.len() > limits::ANNOTATION_LEN_MAX {
            return Err(EncodeError::AnnotationTooLong { len: annotation.len() });
        }
        let mut sink = BitSink::<PUSH_BYTES>::resume(self.tail, self.tail_bits);
        if self.count == 0 {
            sink.put_long(self.time.time.cast_unsigned(), 64);
        }
        if !annotation.is_empty() && !self.is_last_annotation(annotation) {
            self.put_annotation(&mut sink, annotation);
        }
        self.time.put_in_unit(&mut sink, t.0, unit, self.options.exactness);
        match (self.options.int_optimized, self.options.exactness) {
            (true, Exactness::Exact) => self.put_value::<PUSH_BYTES, true, true>(&mut sink, v),
            (true, Exactness::Reference) => {
                self.put_value::<PUSH_BYTES, true, false>(&mut sink, v);
            }
            (false, _) => self.put_value::<PUSH_BYTES, false, true>(&mut sink, v),
        }
        self.flush(&mut sink);
        self.count += 1;
        Ok(())
    }

    /// Appends samples without annotations, each in the unit that the stream is in, or in a finer
    /// one when that would lose something. Times are exact in both modes.
    ///
    /// # Errors
    /// [`EncodeError::UnequalBatch`], [`EncodeError::Full`], [`EncodeError::StepTooLong`]; the
    /// stream is as it was then.
    ///
    /// # Cost
    /// About half of as many [`Encoder::push`]es.
    pub fn push_all(&mut self, ts: &[i64], vs: &[f64]) -> Result<(), EncodeError> {
        if ts.len() != vs.len() {
            return Err(EncodeError::UnequalBatch { times: ts.len(), values: vs.len() });
        }
        self.check_room(ts.len())?;
        self.time.check_steps(ts)?;
        match (self.options.int_optimized, self.options.exactness) {
            (true, Exactness::Exact) => self.put_batch::<true, true>(ts, vs),
            (true, Exactness::Reference) => self.put_batch::<true, false>(ts, vs),
            (false, _) => self.put_batch::<false, true>(ts, vs),
        }
        Ok(())
    }

    /// Samples appended so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no sample yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the stream if it ended here.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        if self.count == 0 {
            return 0;
        }
        let tail_bits = u32::from(self.tail_bits) + marker::MARKER_BITS;
        self.head.len() + tail_bits.div_ceil(8) as usize
    }

    /// Bytes that the stream holds on the heap, used or not.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.head.capacity()
    }

    /// The last sample as a decoder would return it; `None` if there is none. In reference mode
    /// the time is the one that was pushed.
    #[must_use]
    pub fn last(&self) -> Option<(TimestampNs, f64)> {
        let value = self.value.last(self.options.int_optimized);
        (self.count > 0).then_some((TimestampNs(self.time.time), value))
    }

    /// Appends the whole stream, ended, to `out`; this one can grow on. An empty encoder appends
    /// nothing.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes_len());
        out.extend_from_slice(&self.head);
        self.put_end(out);
    }

    /// Ends the stream and returns it; empty if there was no sample.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.head);
        self.put_end(&mut out);
        out
    }

    /// Appends the unfinished byte with the end-of-stream marker.
    fn put_end(&self, out: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        let mut sink = BitSink::<16>::resume(self.tail, self.tail_bits);
        marker::put(&mut sink, marker::END_OF_STREAM);
        out.extend_from_slice(sink.whole());
        let (tail, tail_bits) = sink.tail();
        if tail_bits > 0 {
            out.push(tail);
        }
    }

    fn check_room(&self, samples: usize) -> Result<(), EncodeError> {
        let room = (limits::SAMPLES_MAX - self.count) as usize;
        if samples > room { Err(EncodeError::Full) } else { Ok(()) }
    }

    #[inline(always)]
    fn put_value<const N: usize, const INT: bool, const EXACT: bool>(
        &mut self,
        sink: &mut BitSink<N>,
        v: f64,
    ) {
        if self.count == 0 {
            self.value.put_first::<N, INT, EXACT>(sink, v);
        } else {
            self.value.put_next::<N, INT, EXACT>(sink, v);
        }
    }

    fn put_batch<const INT: bool, const EXACT: bool>(&mut self, ts: &[i64], vs: &[f64]) {
        let (mut ts, mut vs) = (ts, vs);
        let mut sink = BitSink::<BATCH_BYTES>::resume(self.tail, self.tail_bits);
        if self.count == 0
            && let ([t, later_ts @ ..], [v, later_vs @ ..]) = (ts, vs)
        {
            sink.put_long(self.time.time.cast_unsigned(), 64);
            self.time.put_exact(&mut sink, *t);
            self.value.put_first::<BATCH_BYTES, INT, EXACT>(&mut sink, *v);
            self.count = 1;
            (ts, vs) = (later_ts, later_vs);
        }
        let (mut time, mut value) = (self.time, self.value);
        let mut integers = [0; BATCH_SAMPLES];
        for (ts, vs) in ts.chunks(BATCH_SAMPLES - 1).zip(vs.chunks(BATCH_SAMPLES - 1)) {
            if INT && EXACT && value.run_of(vs, &mut integers) {
                let mut last = value.integer();
                for (&t, &next) in ts.iter().zip(&integers) {
                    time.put_exact(&mut sink, t);
                    value.put_run(&mut sink, last, next);
                    last = next;
                }
                value.end_run(last);
            } else {
                for (&t, &v) in ts.iter().zip(vs) {
                    time.put_exact(&mut sink, t);
                    value.put_next::<BATCH_BYTES, INT, EXACT>(&mut sink, v);
                }
            }
            self.flush(&mut sink);
        }
        self.flush(&mut sink);
        (self.time, self.value) = (time, value);
        self.count += ts.len() as u32;
    }

    /// Moves complete bytes to the stream and remembers the unfinished one.
    #[inline(always)]
    fn flush<const N: usize>(&mut self, sink: &mut BitSink<N>) {
        self.head.extend_from_slice(sink.whole());
        sink.clear_whole();
        (self.tail, self.tail_bits) = sink.tail();
    }

    /// Adds the annotation marker, the length and the bytes.
    #[cold]
    fn put_annotation<const N: usize>(&mut self, sink: &mut BitSink<N>, annotation: &[u8]) {
        marker::put(sink, marker::ANNOTATION);
        let mut len = Vec::new();
        put_zigzag(&mut len, annotation.len() as i64 - 1);
        for &byte in &len {
            sink.put(u64::from(byte), 8);
        }
        self.flush(sink);
        self.annotation_at = self.head.len() as u64 * 8 + u64::from(self.tail_bits);
        self.annotation_len = annotation.len() as u32;
        for bytes in annotation.chunks(PUSH_BYTES / 2) {
            for &byte in bytes {
                sink.put(u64::from(byte), 8);
            }
            self.flush(sink);
        }
    }

    /// Whether the last annotation written is this one.
    fn is_last_annotation(&self, annotation: &[u8]) -> bool {
        if self.annotation_len as usize != annotation.len() {
            return false;
        }
        let first = (self.annotation_at / 8) as usize;
        let shift = (self.annotation_at % 8) as u32;
        let byte_at = |i: usize| u16::from(self.head.get(i).copied().unwrap_or(self.tail));
        annotation.iter().enumerate().all(|(i, &byte)| {
            let pair = byte_at(first + i) << 8 | byte_at(first + i + 1);
            (pair >> (8 - shift)) as u8 == byte
        })
    }
}
