//! Codecs: samples to bytes and back, with no IO, no clock and no global state.
//!
//! [`m3tsz`] is the appendable stream of an open window, bit-compatible with M3. The others are
//! for blocks that are closed: [`values`] chooses among constant, run-length, scaled integers, XOR
//! and pco, and [`times`] writes the times beside them. Drawn in `docs/formats/codecs.md`.
//! [`histogram`] holds native histograms, in open windows and in closed blocks.

mod bits;
mod constant;
mod integers;
mod packed;
mod pco_values;
mod run_length;
mod scaled;
mod xor;

pub mod histogram;
pub mod m3tsz;
pub mod times;
pub mod values;

pub(crate) use packed::{pack, packed_at, packed_len, width_of};
