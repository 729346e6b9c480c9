//! Limits of the M3TSZ codec.

/// The longest annotation of one sample, in bytes, for writer and reader.
///
/// M3 itself has no limit but the stream's length; what it writes is a few bytes long.
pub const ANNOTATION_LEN_MAX: usize = 1 << 20;

/// The longest step from one sample to the next, either way, in nanoseconds: 146 years.
///
/// A delta-of-delta near -2^63 is written with the bits of a marker, which no reader can tell
/// from one. Steps up to here have no such code.
pub const STEP_NS_MAX: i64 = (1 << 62) - (1 << 56) - 1;

/// The most samples of one stream.
pub const SAMPLES_MAX: u32 = u32::MAX;
