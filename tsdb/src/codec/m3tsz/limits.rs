//! Limits of the M3TSZ codec.

/// The longest annotation of one sample, in bytes, for writer and reader.
///
/// M3 itself has no limit but the stream's length; what it writes is a few bytes long.
pub const ANNOTATION_LEN_MAX: usize = 1 << 20;

/// The most samples of one stream.
pub const SAMPLES_MAX: u32 = u32::MAX;
