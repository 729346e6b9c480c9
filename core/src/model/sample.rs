//! Samples and the special NaNs of Prometheus.

use crate::time::TimestampNs;

/// Bits of Prometheus's staleness marker: "this series ended here".
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits of the NaN that Prometheus writes for an ordinary "not a number".
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The staleness marker as a float.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether `v` is the staleness marker; every other NaN is a value.
#[inline]
#[must_use]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// What the samples of a batch or a block are; the tag stands in the file formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SampleKind {
    /// 64-bit floats, every bit pattern kept.
    Float = 0,
    /// Any kinds: floats, native histograms, and what samples carry beside their value.
    Mixed = 1,
}

impl SampleKind {
    /// Reads the tag byte of a file format; `None` for an unknown tag.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Float),
            1 => Some(Self::Mixed),
            _ => None,
        }
    }
}

/// One float sample: a time and a value, with exact bits.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was taken.
    pub t: TimestampNs,
    /// What was measured.
    pub v: f64,
}

/// Equality by bits, so that NaN equals itself and −0 differs from 0.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.t == other.t && self.v.to_bits() == other.v.to_bits()
    }
}
