//! The reader of one stream: point by point, or whole columns at once.

use m3rs_core::Corrupt;
use m3rs_core::time::TimestampNs;

use super::TimeUnit;
use crate::codec::bits::BitReader;

mod columns;
mod state;

pub use columns::{decode_into, decode_range_into};
use state::{State, Step};

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

/// Reads one stream in order. Iterate for [`Point`]s; after an error there are none.
///
/// [`decode_into`] is several times faster where annotations and units do not matter.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    place: Place<'a>,
    state: State,
    int_optimized: bool,
}

/// How far a decoder is.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Start(&'a [u8]),
    Samples(BitReader<'a>),
    End,
}

impl<'a> Decoder<'a> {
    /// A reader of `bytes`. No bytes are a stream without samples.
    #[must_use]
    pub fn new(bytes: &'a [u8], options: DecoderOptions) -> Self {
        let place = Place::Start(bytes);
        Self { place, state: State::new(), int_optimized: options.int_optimized }
    }

    /// Reads one sample. After an error or the end it stands at the end.
    fn step(&mut self, annotation: Option<&mut Vec<u8>>) -> Result<Step, Corrupt> {
        let (step, reader) = match std::mem::replace(&mut self.place, Place::End) {
            Place::Start([]) | Place::End => return Ok(Step::End),
            Place::Start(bytes) => {
                let Some(mut reader) = BitReader::new(bytes) else {
                    let got = format!("{} bytes", bytes.len());
                    return Err(Corrupt::new("m3tsz stream", 0, "a start of 8 bytes", got));
                };
                let step = if self.int_optimized {
                    self.state.step_first::<true>(&mut reader, annotation)?
                } else {
                    self.state.step_first::<false>(&mut reader, annotation)?
                };
                (step, reader)
            }
            Place::Samples(mut reader) => {
                let step = if self.int_optimized {
                    self.state.step::<true>(&mut reader, annotation)?
                } else {
                    self.state.step::<false>(&mut reader, annotation)?
                };
                (step, reader)
            }
        };
        if let Step::Sample = step {
            self.place = Place::Samples(reader);
        }
        Ok(step)
    }

    fn value(&self) -> f64 {
        if self.int_optimized { self.state.value::<true>() } else { self.state.value::<false>() }
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Point, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut annotation = Vec::new();
        match self.step(Some(&mut annotation)) {
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
