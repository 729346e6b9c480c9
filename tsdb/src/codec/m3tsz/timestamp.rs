//! Timestamps: units, and the delta-of-delta codes.

use m3rs_core::time::{NS_PER_MS, NS_PER_S};

use super::{EncodeError, Exactness, limits, marker};
use crate::codec::bits::BitSink;

/// Nanoseconds in a microsecond.
const NS_PER_US: i64 = 1_000;

/// The unit in which a stream counts changes of the time delta.
///
/// Finer units compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimeUnit {
    /// Seconds.
    Second = 1,
    /// Milliseconds.
    Millisecond = 2,
    /// Microseconds.
    Microsecond = 3,
    /// Nanoseconds.
    Nanosecond = 4,
}

impl TimeUnit {
    /// All units, coarsest first.
    pub const ALL: [Self; 4] =
        [Self::Second, Self::Millisecond, Self::Microsecond, Self::Nanosecond];

    /// The unit of a code of M3. Minutes, hours, days and years (5 to 8) are no units of a
    /// stream: M3 has no timestamp codes for them.
    ///
    /// # Errors
    /// [`EncodeError::UnknownUnit`] for every other code.
    pub fn from_code(code: u8) -> Result<Self, EncodeError> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.code() == code)
            .ok_or(EncodeError::UnknownUnit { code })
    }

    /// M3's code of this unit.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Nanoseconds in one unit.
    #[must_use]
    #[inline]
    pub const fn as_ns(self) -> i64 {
        match self {
            Self::Second => NS_PER_S,
            Self::Millisecond => NS_PER_MS,
            Self::Microsecond => NS_PER_US,
            Self::Nanosecond => 1,
        }
    }

    /// Bits of the widest delta-of-delta.
    #[inline(always)]
    pub(super) const fn widest_bits(self) -> u32 {
        match self {
            Self::Second | Self::Millisecond => 32,
            Self::Microsecond | Self::Nanosecond => 64,
        }
    }

    /// The unit in which a stream begins: seconds if `start_ns` is a whole second, else none,
    /// and the first sample must name one.
    pub(super) fn initial(start_ns: i64) -> Option<Self> {
        (start_ns % NS_PER_S == 0).then_some(Self::Second)
    }

    /// The coarsest unit of which `ns` is a multiple.
    fn coarsest_of(ns: i64) -> Self {
        Self::ALL.into_iter().find(|unit| ns % unit.as_ns() == 0).unwrap_or(Self::Nanosecond)
    }

    /// `ns` in this unit and whether nothing is left over. Divisions by constants.
    #[inline(always)]
    fn divide(self, ns: i64) -> (i64, bool) {
        match self {
            Self::Second => (ns / NS_PER_S, ns % NS_PER_S == 0),
            Self::Millisecond => (ns / NS_PER_MS, ns % NS_PER_MS == 0),
            Self::Microsecond => (ns / NS_PER_US, ns % NS_PER_US == 0),
            Self::Nanosecond => (ns, true),
        }
    }

    /// Whether a delta-of-delta of `units` has a code.
    #[inline(always)]
    fn fits(self, units: i64) -> bool {
        self.widest_bits() == 64 || i32::try_from(units).is_ok()
    }
}

/// Where a stream stands in time, for the writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeWriter {
    /// The last time; the stream's start before the first sample.
    pub(super) time: i64,
    delta: i64,
    unit: Option<TimeUnit>,
    /// The unit is finer than the caller asked for, because the times needed it.
    refined: bool,
}

impl TimeWriter {
    pub(super) fn new(start_ns: i64) -> Self {
        let unit = TimeUnit::initial(start_ns);
        Self { time: start_ns, delta: 0, unit, refined: false }
    }

    /// Adds `time` in the current unit, or in another one if that cannot hold it exactly.
    #[inline(always)]
    pub(super) fn put_exact<const N: usize>(&mut self, sink: &mut BitSink<N>, time: i64) {
        let delta = time.wrapping_sub(self.time);
        let dod = delta.wrapping_sub(self.delta);
        if let Some(unit) = self.unit {
            if dod == 0 {
                sink.put(0, 1);
                self.time = time;
                return;
            }
            let (units, is_whole) = unit.divide(dod);
            if is_whole && unit.fits(units) {
                put_bucket(sink, units, unit);
                self.time = time;
                self.delta = delta;
                return;
            }
        }
        self.refined = true;
        let unit = self.unit_for(delta);
        self.change_unit(sink, unit, time);
    }

    /// Adds `time` in `unit`. [`Exactness::Reference`] drops what is finer than the unit.
    ///
    /// # Errors
    /// [`EncodeError::DeltaTooLarge`] in reference mode, [`EncodeError::StepTooLong`] in the exact
    /// one; nothing was added then.
    pub(super) fn check(
        &self,
        time: i64,
        unit: TimeUnit,
        exactness: Exactness,
    ) -> Result<(), EncodeError> {
        if exactness == Exactness::Exact {
            return self.check_steps(&[time]);
        }
        let dod_ns = time.wrapping_sub(self.time).wrapping_sub(self.delta);
        let is_same_unit = self.unit == Some(unit);
        if is_same_unit && !unit.fits(unit.divide(dod_ns).0) {
            return Err(EncodeError::DeltaTooLarge { dod_ns, unit });
        }
        Ok(())
    }

    /// Looks for a step that is too long, in a loop without branches.
    ///
    /// # Errors
    /// [`EncodeError::StepTooLong`].
    #[inline]
    pub(super) fn check_steps(&self, times: &[i64]) -> Result<(), EncodeError> {
        let Some(&first) = times.first() else { return Ok(()) };
        let mut far = far_step(self.time, first);
        for (&from, &to) in times.iter().zip(&times[1..]) {
            far |= far_step(from, to);
        }
        if far < 0 { Err(self.long_step(times)) } else { Ok(()) }
    }

    #[cold]
    fn long_step(&self, times: &[i64]) -> EncodeError {
        let steps = std::iter::once(&self.time).chain(times).zip(times);
        let steps = steps.map(|(from, to)| to.wrapping_sub(*from));
        EncodeError::StepTooLong { step_ns: steps.max_by_key(|s| s.unsigned_abs()).unwrap_or(0) }
    }

    /// Adds `time` in `unit`, which [`TimeWriter::check`] has let pass.
    ///
    /// Exact mode stays with a finer unit that it had to choose until the times allow `unit`.
    #[inline]
    pub(super) fn put_in_unit<const N: usize>(
        &mut self,
        sink: &mut BitSink<N>,
        time: i64,
        unit: TimeUnit,
        exactness: Exactness,
    ) {
        let delta = time.wrapping_sub(self.time);
        if self.unit != Some(unit) {
            let keep_finer = self.refined && self.unit > Some(unit) && !unit.divide(delta).1;
            if exactness == Exactness::Exact && keep_finer {
                self.put_exact(sink, time);
            } else {
                self.refined = false;
                self.change_unit(sink, unit, time);
            }
        } else if exactness == Exactness::Exact {
            self.put_exact(sink, time);
        } else {
            let dod = delta.wrapping_sub(self.delta);
            put_bucket(sink, unit.divide(dod).0, unit);
            self.time = time;
            self.delta = delta;
        }
    }

    /// The unit to change to when the current one cannot hold a step of `delta` nanoseconds.
    fn unit_for(&self, delta: i64) -> TimeUnit {
        let unit = TimeUnit::coarsest_of(delta);
        match (self.unit, unit) {
            // The step is a multiple of the unit but too long for its codes. A change of unit
            // carries any step, and later steps will change back if they need to.
            (Some(current), wanted) if current == wanted => match current {
                TimeUnit::Second => TimeUnit::Millisecond,
                _ => TimeUnit::Second,
            },
            (_, wanted) => wanted,
        }
    }

    /// Adds a unit marker and `time` in full nanoseconds.
    #[cold]
    fn change_unit<const N: usize>(&mut self, sink: &mut BitSink<N>, unit: TimeUnit, time: i64) {
        marker::put(sink, marker::TIME_UNIT);
        sink.put(u64::from(unit.code()), 8);
        let dod = time.wrapping_sub(self.time).wrapping_sub(self.delta);
        sink.put_long(dod.cast_unsigned(), 64);
        self.time = time;
        // The format starts over: the delta just written may be no multiple of the new unit.
        self.delta = 0;
        self.unit = Some(unit);
    }
}

/// Negative if the step between two times is beyond [`limits::STEP_NS_MAX`]. Steps that go round
/// the ends of the type are as short as they come out, as readers go round as well.
#[inline(always)]
fn far_step(from: i64, to: i64) -> i64 {
    const MARGIN: i64 = (1 << 62) - 1 - limits::STEP_NS_MAX;
    let step = to.wrapping_sub(from);
    // The two top bits differ from 2^62 on and below -2^62.
    let (low, high) = (step.wrapping_sub(MARGIN + 1), step.wrapping_add(MARGIN));
    (low ^ low << 1) | (high ^ high << 1)
}

/// A class of delta-of-delta codes: opcode, its bits, and value bits.
#[derive(Clone, Copy)]
struct Bucket {
    opcode: u64,
    opcode_bits: u32,
    value_bits: u32,
}

const ZERO: Bucket = Bucket { opcode: 0, opcode_bits: 1, value_bits: 0 };
const NARROW: Bucket = Bucket { opcode: 0b10, opcode_bits: 2, value_bits: 7 };
const MIDDLE: Bucket = Bucket { opcode: 0b110, opcode_bits: 3, value_bits: 9 };
const WIDE: Bucket = Bucket { opcode: 0b1110, opcode_bits: 4, value_bits: 12 };
const WIDEST_OPCODE: u64 = 0b1111;
const WIDEST_OPCODE_BITS: u32 = 4;

/// Adds a delta-of-delta of `units`, which fits the unit's widest code.
#[inline(always)]
fn put_bucket<const N: usize>(sink: &mut BitSink<N>, units: i64, unit: TimeUnit) {
    // Bits of the number in two's complement, sign included; 1 for 0 and -1.
    let bits = 65 - (units ^ (units >> 63)).leading_zeros();
    let bucket = match bits {
        _ if units == 0 => ZERO,
        ..=7 => NARROW,
        8..=9 => MIDDLE,
        10..=12 => WIDE,
        _ => {
            sink.put(WIDEST_OPCODE, WIDEST_OPCODE_BITS);
            let widest = unit.widest_bits();
            sink.put_long(units.cast_unsigned() & (u64::MAX >> (64 - widest)), widest);
            return;
        }
    };
    let value = units.cast_unsigned() & ((1 << bucket.value_bits) - 1);
    let code = bucket.opcode << bucket.value_bits | value;
    sink.put(code, bucket.opcode_bits + bucket.value_bits);
}

/// Opcode bits and value bits of the code that a window starts with, by its top four bits.
///
/// A zero is taken as a one-bit value without an opcode. The value bits of [`WIDEST_BUCKET`]
/// depend on the unit.
pub(super) const BUCKETS: [(u8, u8); 16] = {
    let mut buckets = [(0, 1); 16];
    let mut i = 8;
    while i < WIDEST_BUCKET {
        let Bucket { opcode_bits, value_bits, .. } = match i {
            8..=11 => NARROW,
            12..=13 => MIDDLE,
            _ => WIDE,
        };
        buckets[i] = (opcode_bits as u8, value_bits as u8);
        i += 1;
    }
    buckets[WIDEST_BUCKET] = (WIDEST_OPCODE_BITS as u8, 0);
    buckets
};

/// The place of the widest codes in [`BUCKETS`].
pub(super) const WIDEST_BUCKET: usize = 15;
