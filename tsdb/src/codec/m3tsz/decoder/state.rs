//! One sample of any form: the complete reader, which the column loops fall back to.

use m3rs_core::Corrupt;
use m3rs_core::wire::unzigzag;

use super::super::decimal::{POWERS, SCALE_MAX};
use super::super::timestamp::{BUCKETS, WIDEST_BUCKET};
use super::super::{TimeUnit, limits, marker};
use crate::codec::bits::BitReader;

/// Where a stream stands, for the reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) time: i64,
    pub(super) delta: i64,
    /// `None` until the first sample if the start is no whole second.
    pub(super) unit: Option<TimeUnit>,
    /// The integer read last, before it is divided by the scale.
    pub(super) integer: f64,
    /// The float read last and the XOR that made it.
    pub(super) bits: u64,
    pub(super) xor: u64,
    /// Bits of an integer's difference.
    pub(super) width: u32,
    scale: u8,
    pub(super) is_float: bool,
}

/// What stands at a sample's place.
#[derive(Debug)]
pub(super) enum Step {
    Sample,
    End,
}

/// What stood before a time.
enum Markers {
    None,
    UnitChanged,
    End,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            time: 0,
            delta: 0,
            unit: None,
            integer: 0.0,
            bits: 0,
            xor: 0,
            width: 0,
            scale: 0,
            is_float: false,
        }
    }

    /// What integers are divided by.
    #[inline(always)]
    pub(super) fn power(&self) -> f64 {
        POWERS[usize::from(self.scale & 7)]
    }

    /// The value read last.
    #[inline(always)]
    pub(super) fn value<const INT: bool>(&self) -> f64 {
        if !INT || self.is_float { f64::from_bits(self.bits) } else { self.integer / self.power() }
    }

    /// Reads the stream's start and its first sample.
    pub(super) fn step_first<const INT: bool>(
        &mut self,
        reader: &mut BitReader<'_>,
        annotation: Option<&mut Vec<u8>>,
    ) -> Result<Step, Corrupt> {
        self.time = reader.take64().cast_signed();
        self.unit = TimeUnit::initial(self.time);
        if let Step::End = self.read_time(reader, annotation)? {
            return Ok(Step::End);
        }
        if !INT || reader.take(1) == 1 {
            self.read_full(reader);
        } else {
            self.read_header(reader)?;
            self.read_difference(reader);
        }
        check_end(reader)
    }

    /// Reads a sample after the first.
    pub(super) fn step<const INT: bool>(
        &mut self,
        reader: &mut BitReader<'_>,
        annotation: Option<&mut Vec<u8>>,
    ) -> Result<Step, Corrupt> {
        if let Step::End = self.read_time(reader, annotation)? {
            return Ok(Step::End);
        }
        if !INT {
            self.read_xor(reader)?;
        } else if reader.take(1) == 1 {
            if self.is_float {
                self.read_xor(reader)?;
            } else {
                self.read_difference(reader);
            }
        } else if reader.take(1) == 1 {
            // The value is that of the sample before.
        } else if reader.take(1) == 1 {
            self.read_full(reader);
        } else {
            self.read_header(reader)?;
            self.read_difference(reader);
            self.is_float = false;
        }
        check_end(reader)
    }

    /// Reads a time, and the markers before it.
    fn read_time(
        &mut self,
        reader: &mut BitReader<'_>,
        annotation: Option<&mut Vec<u8>>,
    ) -> Result<Step, Corrupt> {
        let markers = self.read_markers(reader, annotation)?;
        let dod = match (&markers, self.unit) {
            (Markers::End, _) => return Ok(Step::End),
            (Markers::UnitChanged, _) => reader.take64().cast_signed(),
            (Markers::None, Some(unit)) => read_dod(reader, unit),
            (Markers::None, None) => {
                return Err(corrupt(reader, "a time unit", "a time without one"));
            }
        };
        self.delta = self.delta.wrapping_add(dod);
        self.time = self.time.wrapping_add(self.delta);
        if let Markers::UnitChanged = markers {
            // The format starts over after a change of unit.
            self.delta = 0;
        }
        Ok(Step::Sample)
    }

    /// Reads all markers before a time.
    fn read_markers(
        &mut self,
        reader: &mut BitReader<'_>,
        mut annotation: Option<&mut Vec<u8>>,
    ) -> Result<Markers, Corrupt> {
        let mut found = Markers::None;
        while reader.remaining() >= marker::MARKER_BITS as usize {
            let bits = reader.window() >> (64 - marker::MARKER_BITS);
            if bits >> 2 != marker::OPCODE {
                break;
            }
            match bits & 3 {
                marker::END_OF_STREAM => return Ok(Markers::End),
                marker::ANNOTATION => {
                    reader.skip(marker::MARKER_BITS);
                    read_annotation(reader, annotation.as_deref_mut())?;
                }
                marker::TIME_UNIT => {
                    reader.skip(marker::MARKER_BITS);
                    let code = reader.take(8) as u8;
                    let unit = TimeUnit::from_code(code)
                        .map_err(|e| corrupt(reader, "a usable time unit", &e.to_string()))?;
                    if self.unit != Some(unit) {
                        self.unit = Some(unit);
                        found = Markers::UnitChanged;
                    }
                }
                _ => break,
            }
        }
        Ok(found)
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

    /// Reads the sign and magnitude of a difference.
    fn read_difference(&mut self, reader: &mut BitReader<'_>) {
        let add = reader.take(1) == 1;
        let magnitude = reader.take(self.width) as f64;
        self.integer += if add { magnitude } else { -magnitude };
    }

    /// Reads a float in full; XORs follow.
    fn read_full(&mut self, reader: &mut BitReader<'_>) {
        self.bits = reader.take64();
        self.xor = self.bits;
        self.is_float = true;
    }

    /// Reads the XOR with the last float.
    fn read_xor(&mut self, reader: &mut BitReader<'_>) -> Result<(), Corrupt> {
        if reader.take(1) == 0 {
            self.xor = 0;
            return Ok(());
        }
        let (leading, n) = if reader.take(1) == 0 {
            if self.xor == 0 {
                return Err(corrupt(reader, "an XOR with a window before it", "one without"));
            }
            let leading = self.xor.leading_zeros();
            (leading, 64 - leading - self.xor.trailing_zeros())
        } else {
            (reader.take(6) as u32, reader.take(6) as u32 + 1)
        };
        if leading + n > 64 {
            let got = format!("{leading} zeros and {n} bits");
            return Err(corrupt(reader, "an XOR of 64 bits", &got));
        }
        self.xor = reader.take(n) << (64 - leading - n);
        self.bits ^= self.xor;
        Ok(())
    }
}

/// Reads a delta-of-delta, in nanoseconds.
fn read_dod(reader: &mut BitReader<'_>, unit: TimeUnit) -> i64 {
    let window = reader.window();
    let index = (window >> 60) as usize;
    let (opcode_bits, value_bits) = BUCKETS[index];
    reader.skip(u32::from(opcode_bits));
    let value_bits =
        if index == WIDEST_BUCKET { unit.widest_bits() } else { u32::from(value_bits) };
    let empty = 64 - value_bits;
    let units = (reader.take(value_bits) << empty).cast_signed() >> empty;
    units.wrapping_mul(unit.as_ns())
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
    let len = unzigzag(encoded).checked_add(1).and_then(|len| usize::try_from(len).ok());
    let Some(len) = len.filter(|len| (1..=limits::ANNOTATION_LEN_MAX).contains(len)) else {
        let expected = format!("an annotation of 1 to {} bytes", limits::ANNOTATION_LEN_MAX);
        return Err(corrupt(reader, &expected, &unzigzag(encoded).to_string()));
    };
    let left = reader.remaining() / 8;
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

/// All of a sample must lie before the end.
fn check_end(reader: &BitReader<'_>) -> Result<Step, Corrupt> {
    if reader.is_overrun() {
        return Err(corrupt(reader, "a sample or the end-of-stream marker", "the end"));
    }
    Ok(Step::Sample)
}

#[cold]
fn corrupt(reader: &BitReader<'_>, expected: &str, got: &str) -> Corrupt {
    Corrupt::new("m3tsz stream", reader.position() / 8, expected, got)
}
