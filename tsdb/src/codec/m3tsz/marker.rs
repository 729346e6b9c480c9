//! Markers: what a stream can say between two samples.

use crate::codec::bits::BitSink;

/// Bits of a marker: opcode and kind.
pub(super) const MARKER_BITS: u32 = OPCODE_BITS + 2;

/// Bits of the opcode.
pub(super) const OPCODE_BITS: u32 = 9;

/// The opcode. As a delta-of-delta it would be a zero in the 7-bit bucket, which has a shorter
/// form, so no sample begins like this.
pub(super) const OPCODE: u64 = 0b1_0000_0000;

/// No sample follows.
pub(super) const END_OF_STREAM: u64 = 0;

/// A length and bytes that belong to the next sample follow.
pub(super) const ANNOTATION: u64 = 1;

/// The unit code of the samples from here on follows.
pub(super) const TIME_UNIT: u64 = 2;

/// Adds a marker of one of the kinds above.
#[inline]
pub(super) fn put<const N: usize>(sink: &mut BitSink<N>, kind: u64) {
    sink.put(OPCODE << 2 | kind, MARKER_BITS);
}
