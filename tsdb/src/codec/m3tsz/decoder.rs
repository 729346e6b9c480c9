//! The reader of one stream: point by point, or whole columns at once.

use m3rs_core::Corrupt;
use m3rs_core::time::TimestampNs;
use m3rs_core::wire::unzigzag;

use super::decimal::{POWERS, SCALE_MAX};
use super::timestamp::BUCKETS;
use super::{TimeUnit, limits, marker};
use crate::codec::bits::{BitReader, WINDOW_BITS};

/// What a stream does not say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Whether the encoder turned short decimals into integers. M3DB's always do.
    pub int_optimized: bool,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self { int_optimized: true }
    }
}

/// One sample with everything that a stream says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its time.
    pub time: TimestampNs,
    /// Its value.
    pub value: f64,
    /// The unit of the stream at this point.
    pub unit: TimeUnit,
    /// The annotation, if one is written at this point; empty otherwise.
    pub annotation: Vec<u8>,
}

/// Points that are decoded before the caller's columns grow.
const CHUNK: usize = 64;

/// Appends all samples of a stream: nanoseconds to `ts`, values to `vs`.
///
/// # Errors
/// [`Corrupt`] for bytes that no encoder writes, or that end before the end-of-stream marker.
/// What was decoded before that stays appended.
///
/// # Cost
/// 1 to 5 ns a sample; one allocation per column at most when the caller reserved nothing.
pub fn decode_into(
    bytes: &[u8],
    int_optimized: bool,
    ts: &mut Vec<i64>,
    vs: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    decode_chunks(bytes, int_optimized, |chunk_ts, chunk_vs| {
        ts.extend_from_slice(chunk_ts);
        vs.extend_from_slice(chunk_vs);
        true
    })
}

/// Appends the samples from `from_ns` to `to_ns`, both included.
///
/// Decoding stops at the first sample after `to_ns`, so times must ascend, and damage behind
/// that sample goes unnoticed.
///
/// # Errors
/// As [`decode_into`].
pub fn decode_range_into(
    bytes: &[u8],
    int_optimized: bool,
    from_ns: i64,
    to_ns: i64,
    ts: &mut Vec<i64>,
    vs: &mut Vec<f64>,
) -> Result<(), Corrupt> {
    decode_chunks(bytes, int_optimized, |chunk_ts, chunk_vs| {
        let end = chunk_ts.iter().position(|&t| t > to_ns).unwrap_or(chunk_ts.len());
        let (in_ts, in_vs) = (&chunk_ts[..end], &chunk_vs[..end]);
        let begin = in_ts.iter().position(|&t| t >= from_ns).unwrap_or(end);
        ts.extend_from_slice(&in_ts[begin..]);
        vs.extend_from_slice(&in_vs[begin..]);
        end == chunk_ts.len()
    })
}

/// Hands over columns of up to [`CHUNK`] samples until the end or until `take` says stop.
#[inline(always)]
fn decode_chunks(
    bytes: &[u8],
    int_optimized: bool,
    mut take: impl FnMut(&[i64], &[f64]) -> bool,
) -> Result<(), Corrupt> {
    let mut decoder = Decoder::new(bytes, DecoderOptions { int_optimized });
    let (mut ts, mut vs) = ([0; CHUNK], [0.0; CHUNK]);
    loop {
        let (n, result) = decoder.fill(&mut ts, &mut vs);
        if !take(&ts[..n], &vs[..n]) {
            return Ok(());
        }
        result?;
        if n < CHUNK {
            return Ok(());
        }
    }
}

/// Reads one stream in order. Iterate for [`Point`]s; after an error there are none.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    reader: Option<BitReader<'a>>,
    state: State,
    int_optimized: bool,
    is_first: bool,
}

/// Where a stream stands, for the reader.
#[derive(Clone, Copy, Debug)]
struct State {
    time: i64,
    delta: i64,
    unit: Option<TimeUnit>,
    integer: f64,
    bits: u64,
    xor: u64,
    width: u32,
    scale: u8,
    is_float: bool,
}

/// What stands at a sample's place.
enum Step {
    Sample,
    End,
}

impl<'a> Decoder<'a> {
    /// A reader of `bytes`. No bytes are a stream without samples.
    #[must_use]
    pub fn new(bytes: &'a [u8], options: DecoderOptions) -> Self {
        let state = State {
            time: 0,
            delta: 0,
            unit: None,
            integer: 0.0,
            bits: 0,
            xor: 0,
            width: 0,
            scale: 0,
            is_float: false,
        };
        let reader = BitReader::new(bytes);
        Self { bytes, reader, state, int_optimized: options.int_optimized, is_first: true }
    }

    /// Fills the columns; fewer than they hold means that the stream is over.
    fn fill(
        &mut self,
        ts: &mut [i64; CHUNK],
        vs: &mut [f64; CHUNK],
    ) -> (usize, Result<(), Corrupt>) {
        if self.int_optimized {
            self.fill_as::<true>(ts, vs)
        } else {
            self.fill_as::<false>(ts, vs)
        }
    }

    fn fill_as<const INT: bool>(
        &mut self,
        ts: &mut [i64; CHUNK],
        vs: &mut [f64; CHUNK],
    ) -> (usize, Result<(), Corrupt>) {
        let mut n = 0;
        if self.is_first {
            match self.step_first(None) {
                Ok(Step::Sample) => (ts[0], vs[0], n) = (self.state.time, self.value(), 1),
                Ok(Step::End) => return (0, Ok(())),
                Err(corrupt) => return (0, Err(corrupt)),
            }
        }
        let Some(mut reader) = self.reader else { return (0, Ok(())) };
        let mut state = self.state;
        while n < CHUNK {
            match state.step::<INT>(&mut reader, None) {
                Ok(Step::Sample) => {}
                Ok(Step::End) => {
                    self.reader = None;
                    return (n, Ok(()));
                }
                Err(corrupt) => {
                    self.reader = None;
                    return (n, Err(corrupt));
                }
            }
            ts[n] = state.time;
            vs[n] = state.value::<INT>();
            n += 1;
        }
        (self.reader, self.state) = (Some(reader), state);
        (n, Ok(()))
    }

    /// Reads the stream's start and its first sample.
    #[cold]
    fn step_first(&mut self, annotation: Option<&mut Vec<u8>>) -> Result<Step, Corrupt> {
        self.is_first = false;
        if self.bytes.is_empty() {
            return Ok(Step::End);
        }
        let Some(mut reader) = self.reader.take() else {
            let got = format!("{} bytes", self.bytes.len());
            return Err(Corrupt::new("m3tsz stream", 0, "a start of 8 bytes", got));
        };
        self.state.time = reader.take64().cast_signed();
        self.state.unit = TimeUnit::initial(self.state.time);
        let step = if self.int_optimized {
            self.state.step_time(&mut reader, annotation).and_then(|step| match step {
                Step::Sample => self.state.read_first_value(&mut reader).map(|()| step),
                Step::End => Ok(step),
            })
        } else {
            let step = self.state.step_time(&mut reader, annotation);
            self.state.read_full(&mut reader);
            step
        }?;
        if let Step::Sample = step {
            State::check_end(&reader)?;
            self.reader = Some(reader);
        }
        Ok(step)
    }

    fn value(&self) -> f64 {
        if self.int_optimized { self.state.value::<true>() } else { self.state.value::<false>() }
    }

    fn step(&mut self, annotation: &mut Vec<u8>) -> Result<Step, Corrupt> {
        if self.is_first {
            return self.step_first(Some(annotation));
        }
        let Some(mut reader) = self.reader.take() else { return Ok(Step::End) };
        let step = if self.int_optimized {
            self.state.step::<true>(&mut reader, Some(annotation))
        } else {
            self.state.step::<false>(&mut reader, Some(annotation))
        }?;
        if let Step::Sample = step {
            self.reader = Some(reader);
        }
        Ok(step)
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Point, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut annotation = Vec::new();
        match self.step(&mut annotation) {
            Ok(Step::Sample) => Some(Ok(Point {
                time: TimestampNs(self.state.time),
                value: self.value(),
                unit: self.state.unit.expect("BUG: a sample was read without a unit"),
                annotation,
            })),
            Ok(Step::End) => None,
            Err(corrupt) => Some(Err(corrupt)),
        }
    }
}

impl std::iter::FusedIterator for Decoder<'_> {}

impl State {
    /// The value read last.
    #[inline(always)]
    fn value<const INT: bool>(&self) -> f64 {
        if !INT || self.is_float {
            f64::from_bits(self.bits)
        } else {
            self.integer / POWERS[usize::from(self.scale & 7)]
        }
    }

    /// Reads a sample after the first.
    #[inline(always)]
    fn step<const INT: bool>(
        &mut self,
        reader: &mut BitReader<'_>,
        annotation: Option<&mut Vec<u8>>,
    ) -> Result<Step, Corrupt> {
        if let Step::End = self.step_time(reader, annotation)? {
            return Ok(Step::End);
        }
        if INT {
            self.read_value(reader)?;
        } else {
            let window = reader.window();
            self.read_xor(reader, window, 0)?;
        }
        Self::check_end(reader)?;
        Ok(Step::Sample)
    }

    /// All of a sample must lie before the end.
    #[inline(always)]
    fn check_end(reader: &BitReader<'_>) -> Result<(), Corrupt> {
        if reader.is_overrun() {
            return Err(corrupt(reader, "a sample or the end-of-stream marker", "the end"));
        }
        Ok(())
    }

    /// Reads a time, and the markers before it.
    #[inline(always)]
    fn step_time(
        &mut self,
        reader: &mut BitReader<'_>,
        annotation: Option<&mut Vec<u8>>,
    ) -> Result<Step, Corrupt> {
        let mut window = reader.window();
        let is_marker = window >> (64 - marker::OPCODE_BITS) == marker::OPCODE;
        if is_marker || self.unit.is_none() {
            match self.read_markers(reader, annotation)? {
                Markers::End => return Ok(Step::End),
                Markers::UnitChanged => {
                    let dod = reader.take64().cast_signed();
                    self.delta = self.delta.wrapping_add(dod);
                    self.time = self.time.wrapping_add(self.delta);
                    // The format starts over after a change of unit.
                    self.delta = 0;
                    return Ok(Step::Sample);
                }
                Markers::None => window = reader.window(),
            }
        }
        if window >> 63 == 0 {
            reader.skip(1);
        } else {
            self.read_dod(reader, window);
        }
        self.time = self.time.wrapping_add(self.delta);
        Ok(Step::Sample)
    }

    /// Reads a delta-of-delta that is not zero.
    #[inline(always)]
    fn read_dod(&mut self, reader: &mut BitReader<'_>, window: u64) {
        let unit = self.unit.unwrap_or(TimeUnit::Second);
        let (opcode_bits, value_bits) = BUCKETS[(window >> 60) as usize];
        let units = if value_bits == 0 {
            reader.skip(u32::from(opcode_bits));
            let widest = unit.widest_bits();
            let value = if widest == 64 { reader.take64() } else { reader.take(widest) };
            (value << (64 - widest)).cast_signed() >> (64 - widest)
        } else {
            reader.skip(u32::from(opcode_bits + value_bits));
            (window << opcode_bits).cast_signed() >> (64 - u32::from(value_bits))
        };
        self.delta = self.delta.wrapping_add(units.wrapping_mul(unit.as_ns()));
    }

    /// Reads all markers before a time.
    #[cold]
    fn read_markers(
        &mut self,
        reader: &mut BitReader<'_>,
        mut annotation: Option<&mut Vec<u8>>,
    ) -> Result<Markers, Corrupt> {
        let mut found = Markers::None;
        loop {
            let bits = reader.window() >> (64 - marker::MARKER_BITS);
            let is_marker =
                reader.remaining() >= marker::MARKER_BITS as usize && bits >> 2 == marker::OPCODE;
            match bits & 3 {
                marker::END_OF_STREAM if is_marker => return Ok(Markers::End),
                marker::ANNOTATION if is_marker => {
                    reader.skip(marker::MARKER_BITS);
                    read_annotation(reader, annotation.as_deref_mut())?;
                }
                marker::TIME_UNIT if is_marker => {
                    reader.skip(marker::MARKER_BITS);
                    let code = reader.take(8) as u8;
                    let unit = TimeUnit::from_code(code)
                        .map_err(|e| corrupt(reader, "a usable time unit", &e.to_string()))?;
                    if self.unit != Some(unit) {
                        self.unit = Some(unit);
                        found = Markers::UnitChanged;
                    }
                }
                _ if self.unit.is_none() => {
                    return Err(corrupt(reader, "a time unit", "a time without one"));
                }
                _ => return Ok(found),
            }
        }
    }

    /// Reads the first value of a stream with integers.
    fn read_first_value(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corrupt> {
        if reader.take(1) == 1 {
            self.read_full(reader);
            self.is_float = true;
            return Ok(());
        }
        self.read_header(reader)?;
        self.read_difference_slow(reader);
        Ok(())
    }

    /// Reads a later value of a stream with integers.
    #[inline(always)]
    fn read_value(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corrupt> {
        let window = reader.window();
        if window >> 63 == 1 {
            if self.is_float {
                return self.read_xor(reader, window << 1, 1);
            }
            if self.width + 2 <= WINDOW_BITS {
                let magnitude = ((window << 2) >> 1) >> (63 - self.width);
                self.add_difference(window >> 62 & 1 == 1, magnitude.cast_signed() as f64);
                reader.skip(self.width + 2);
            } else {
                reader.skip(1);
                self.read_difference_slow(reader);
            }
        } else if window >> 62 == 1 {
            reader.skip(2);
        } else {
            return self.read_update(reader, window);
        }
        Ok(())
    }

    /// Reads a value that changes the mode, the width or the scale.
    fn read_update(&mut self, reader: &mut BitReader<'_>, window: u64) -> Result<(), Corrupt> {
        reader.skip(3);
        if window >> 61 & 1 == 1 {
            self.read_full(reader);
            self.is_float = true;
            return Ok(());
        }
        self.read_header(reader)?;
        self.read_difference_slow(reader);
        self.is_float = false;
        Ok(())
    }

    /// Reads the width and scale of integers from here on.
    fn read_header(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corrupt> {
        if reader.take(1) == 1 {
            self.width = if reader.take(1) == 1 { reader.take(6) as u32 + 1 } else { 0 };
        }
        if reader.take(1) == 1 {
            let scale = reader.take(3) as u8;
            if scale > SCALE_MAX {
                return Err(corrupt(reader, "a scale of at most 6", &scale.to_string()));
            }
            self.scale = scale;
        }
        Ok(())
    }

    /// Reads a sign and a magnitude of any width.
    fn read_difference_slow(&mut self, reader: &mut BitReader<'_>) {
        let add = reader.take(1) == 1;
        let magnitude = reader.take(self.width);
        self.add_difference(add, magnitude as f64);
    }

    #[inline(always)]
    fn add_difference(&mut self, add: bool, magnitude: f64) {
        self.integer += if add { magnitude } else { -magnitude };
    }

    /// Reads a float in full.
    fn read_full(&mut self, reader: &mut BitReader<'_>) {
        self.bits = reader.take64();
        self.xor = self.bits;
    }

    /// Reads an XOR from a window that is `used` bits into the sample's value.
    #[inline(always)]
    fn read_xor(
        &mut self,
        reader: &mut BitReader<'_>,
        window: u64,
        used: u32,
    ) -> Result<(), Corrupt> {
        if window >> 63 == 0 {
            reader.skip(used + 1);
            self.xor = 0;
            return Ok(());
        }
        let (leading, n) = if window >> 62 & 1 == 0 {
            reader.skip(used + 2);
            if self.xor == 0 {
                return Err(corrupt(reader, "an XOR with a window", "one without"));
            }
            let leading = self.xor.leading_zeros();
            (leading, 64 - leading - self.xor.trailing_zeros())
        } else {
            reader.skip(used + 14);
            let leading = (window >> 56 & 0x3f) as u32;
            (leading, (window >> 50 & 0x3f) as u32 + 1)
        };
        if leading + n > 64 {
            return Err(corrupt(reader, "an XOR of 64 bits", "a longer one"));
        }
        self.xor = reader.take(n) << (64 - leading - n);
        self.bits ^= self.xor;
        Ok(())
    }
}

/// What stood before a time.
enum Markers {
    None,
    UnitChanged,
    End,
}

/// Reads an annotation after its marker, into `out` if someone wants it.
fn read_annotation(reader: &mut BitReader<'_>, out: Option<&mut Vec<u8>>) -> Result<(), Corrupt> {
    let mut encoded = 0;
    for shift in (0..64).step_by(7) {
        let byte = reader.take(8);
        encoded |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    let left = reader.remaining() / 8;
    let len = unzigzag(encoded).checked_add(1).and_then(|len| usize::try_from(len).ok());
    let Some(len) = len.filter(|len| (1..=limits::ANNOTATION_LEN_MAX).contains(len)) else {
        let expected = format!("an annotation of 1 to {} bytes", limits::ANNOTATION_LEN_MAX);
        return Err(corrupt(reader, &expected, &unzigzag(encoded).to_string()));
    };
    if len > left {
        return Err(corrupt(
            reader,
            &format!("{len} bytes of annotation"),
            &format!("{left} left"),
        ));
    }
    match out {
        Some(out) => {
            out.clear();
            out.extend((0..len).map(|_| reader.take(8) as u8));
        }
        None => reader.skip(len as u32 * 8),
    }
    Ok(())
}

#[cold]
fn corrupt(reader: &BitReader<'_>, expected: &str, got: &str) -> Corrupt {
    Corrupt::new("m3tsz stream", reader.position() / 8, expected, got)
}
